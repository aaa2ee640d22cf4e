package store

import (
	"context"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/demo"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/store/storetest"
)

func seeded(t *testing.T, now time.Time) (*Store, demo.Report) {
	t.Helper()
	s := New(storetest.Open(t).DB, func() time.Time { return now })
	zone, err := time.LoadLocation("America/Sao_Paulo")
	if err != nil {
		t.Fatal(err)
	}
	report, err := demo.Seed(context.Background(), s, plainHasher{}, now, zone)
	if err != nil {
		t.Fatal(err)
	}
	return s, report
}

func TestDemoAddsUpEverywhere(t *testing.T) {
	for name, now := range map[string]time.Time{
		"now":                      time.Now(),
		"first minute of a month":  time.Date(2026, 3, 1, 3, 0, 30, 0, time.UTC),
		"last day of a long month": time.Date(2026, 8, 31, 22, 0, 0, 0, time.UTC),
	} {
		t.Run(name, func(t *testing.T) {
			s, report := seeded(t, now)
			var sums struct {
				Events, Hours, Buckets       int64
				ChargeEvents, ChargeHours    int64
				Count, Requests, Overrun     int64
				Late, Blocked, Over, Nothing int64
				Lookups, Hits, Saved         int64
			}
			const query = `SELECT
				(SELECT sum(input_tokens + output_tokens) FROM usage_events) AS events,
				(SELECT sum(input_tokens + output_tokens) FROM usage_hourly) AS hours,
				(SELECT sum(used_in + used_out) FROM quota_buckets) AS buckets,
				(SELECT sum(charge_brl_micros) FROM usage_events) AS chargeevents,
				(SELECT sum(charge_brl_micros) FROM usage_hourly) AS chargehours,
				(SELECT count(*) FROM usage_events) AS count, (SELECT sum(requests) FROM usage_hourly) AS requests,
				(SELECT sum(overrun_in + overrun_out) FROM quota_buckets) AS overrun,
				(SELECT count(*) FROM usage_events e JOIN billing_periods p ON p.id = e.period_id
					WHERE e.created_at >= $1 OR e.created_at < p.starts_at OR e.created_at >= p.ends_at) AS late,
				(SELECT count(*) FROM quota_buckets b JOIN billing_periods p ON p.id = b.period_id
					WHERE p.ends_at > $1 AND hard AND used_in BETWEEN 0.8 * limit_in AND limit_in) AS blocked,
				(SELECT count(*) FROM quota_buckets b JOIN billing_periods p ON p.id = b.period_id
					WHERE p.ends_at > $1 AND NOT hard AND used_in > limit_in) AS over,
				(SELECT count(*) FROM usage_events_default) AS nothing,
				(SELECT sum(cache_lookups) FROM usage_hourly) AS lookups, (SELECT sum(cache_hits) FROM usage_hourly) AS hits,
				(SELECT sum(saved_usd_micros) FROM usage_hourly) AS saved`
			if err := s.db.Get(&sums, query, now); err != nil {
				t.Fatal(err)
			}
			if sums.Events != sums.Hours || sums.Events != sums.Buckets || sums.Count != sums.Requests || int(sums.Count) != report.Calls {
				t.Errorf("events, hours and buckets differ: %+v", sums)
			}
			if sums.ChargeEvents != sums.ChargeHours || sums.ChargeEvents == 0 {
				t.Errorf("charges differ or are none: %+v", sums)
			}
			if sums.Late != 0 || sums.Overrun != 0 || sums.Nothing != 0 {
				t.Errorf("calls outside their period, above a blocking limit or in no month: %+v", sums)
			}
			if sums.Blocked != 1 || sums.Over != 1 {
				t.Errorf("%d near a blocking limit and %d above a charging one, want one each", sums.Blocked, sums.Over)
			}
			if rate := float64(sums.Hits) / float64(sums.Lookups); rate < 0.3 || rate > 0.8 || sums.Saved <= 0 {
				t.Errorf("the cache's share is not believable: %+v", sums)
			}
			if sums.Count < 10_000 || report.Customers < 10 {
				t.Errorf("too little to look lived in: %+v", sums)
			}
		})
	}
}

func TestDemoRefusesAnInstallationWithCustomers(t *testing.T) {
	s := openShop(t, charging(1, 1))
	var before, after int
	count := `SELECT (SELECT count(*) FROM tenants) + (SELECT count(*) FROM users) + (SELECT count(*) FROM plans)`
	if err := s.db.Get(&before, count); err != nil {
		t.Fatal(err)
	}
	_, err := demo.Seed(context.Background(), s.Store, plainHasher{}, time.Now(), time.UTC)
	if !fault.Is(err, fault.Conflict) {
		t.Errorf("%v, want a conflict", err)
	}
	if err := s.db.Get(&after, count); err != nil || after != before {
		t.Errorf("%d rows, were %d (%v): a refused demonstration must change nothing", after, before, err)
	}
}

func TestDemoTwiceIsRefusedTheSecondTime(t *testing.T) {
	s, report := seeded(t, time.Now())
	_, err := demo.Seed(context.Background(), s, plainHasher{}, time.Now(), time.UTC)
	if !fault.Is(err, fault.Conflict) {
		t.Errorf("%v, want a conflict", err)
	}
	var customers int
	if err := s.db.Get(&customers, `SELECT count(*) FROM tenants`); err != nil || customers != report.Customers {
		t.Errorf("%d customers (%v), want %d", customers, err, report.Customers)
	}
}

func TestDemoKeysAndPeopleWork(t *testing.T) {
	s, report := seeded(t, time.Now())
	ctx := context.Background()
	for _, k := range report.Keys {
		caller, err := s.CallerByHash(ctx, k.Secret.Hash())
		if err != nil || caller.TenantStatus != tenancy.TenantActive {
			t.Errorf("key of %s: %+v (%v)", k.Customer, caller, err)
		}
	}
	owners := 0
	for _, l := range report.Logins {
		u, hash, err := s.SignInUser(ctx, l.Email)
		if err != nil || u.Role != l.Role || hash != "plain "+l.Password || len(l.Password) < tenancy.MinPassword {
			t.Errorf("%s: %+v (%v)", l.Email, u, err)
		}
		if l.Role == tenancy.Owner {
			owners++
		}
	}
	if owners != 1 {
		t.Errorf("%d owners, want one", owners)
	}
}
