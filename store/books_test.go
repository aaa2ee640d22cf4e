package store

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/quota"
	"github.com/fila-ia/filaia/internal/usage"
)

// examine audits everything.
func (s *Store) examine(t testing.TB, scope usage.AuditScope) *usage.Audit {
	t.Helper()
	a, err := s.RunAudit(context.Background(), scope)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// clean fails where the books do not agree.
func (s *Store) clean(t testing.TB, scope usage.AuditScope) *usage.Audit {
	t.Helper()
	a := s.examine(t, scope)
	if a.Differences != 0 || len(a.Details) != 0 {
		t.Fatalf("%d differences: %+v", a.Differences, a.Details)
	}
	return a
}

// busyShop has a plan that blocks, calls in two hours and with two models, a lease that is partly used, and an overrun.
func busyShop(t testing.TB) *shop {
	t.Helper()
	s := openShop(t, blocking(1000, 1000))
	ctx := context.Background()
	leases := s.Leases("replica", testGrace, nil)
	if _, err := leases.Heartbeat(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := leases.Lease(ctx, s.caller.PeriodID, quota.Pair{In: 100, Out: 100}); err != nil {
		t.Fatal(err)
	}
	other := s.call(20, 10)
	other.Model = "gpt-4o"
	events := []usage.Event{s.call(60, 40), other, earlier(s.call(5, 2000), 2*time.Hour)} // 2000 is more than the limit
	for i := range events {
		events[i].Tokens.Cached, events[i].Tokens.Reasoning, events[i].Served = 3, 2, events[i].Tokens
	}
	if err := s.committer().CommitUsage(ctx, events); err != nil {
		t.Fatal(err)
	}
	if err := s.FoldUsage(ctx); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAnAuditFindsEachThingThatIsBroken(t *testing.T) {
	for name, c := range map[string]struct {
		do   string   // breaks something
		want []string // the differences, as check figure expected found
		also []string // differences of these checks are as well
	}{
		"an hour that lost output": {
			`UPDATE usage_hourly SET output_tokens = output_tokens - 7 WHERE model = 'gpt-4o'`,
			[]string{"events_hours output_tokens 10 3", "hours_used output_tokens 2043 2050"}, nil,
		},
		"an hour with other money": {
			`UPDATE usage_hourly SET cost_usd_micros = 8, charge_brl_micros = 1 WHERE model = 'gpt-4o'`,
			[]string{"events_hours cost_usd_micros 7 8", "events_hours charge_brl_micros 0 1"}, nil,
		},
		"an hour that is gone": {
			`DELETE FROM usage_hourly WHERE model = 'gpt-4o'`,
			[]string{"events_hours requests 1 0", "events_hours input_tokens 20 0", "events_hours served_output 10 0", "hours_used input_tokens 65 85"}, nil,
		},
		"a call that is gone": {
			`DELETE FROM usage_events WHERE model = 'gpt-4o'`,
			[]string{"events_hours requests 0 1", "events_hours cached_tokens 0 3", "events_hours reasoning_tokens 0 2", "events_used input_tokens 65 85",
				"events_used output_tokens 2040 2050"}, nil,
		},
		"a call that is there twice": {
			`INSERT INTO usage_events SELECT (jsonb_populate_record(e, jsonb_build_object('id', gen_random_uuid()))).* FROM usage_events e WHERE model = 'gpt-4o'`,
			[]string{"events_hours requests 2 1", "events_used input_tokens 105 85"}, nil,
		},
		"a call in another hour": {
			`UPDATE usage_events SET created_at = created_at - interval '1 hour' WHERE model = 'gpt-4o'`,
			[]string{"events_hours requests 0 1", "events_hours requests 1 0"}, nil,
		},
		"a failed call that was none": {
			`UPDATE usage_events SET status = 'error' WHERE model = 'gpt-4o'`, []string{"events_hours failures 1 0"}, nil,
		},
		"a bucket that counted more": {
			`UPDATE quota_buckets SET used_in = used_in + 1`, []string{"events_used input_tokens 85 86", "hours_used input_tokens 85 86"}, nil,
		},
		"a lease that grew": {
			`UPDATE quota_leases SET leased_in = leased_in + 5`, []string{"leases input_tokens 170 165"}, nil,
		},
		"a lease that is gone": {
			`DELETE FROM quota_leases`, []string{"leases input_tokens 0 165"}, nil,
		},
		"a limit that is passed": {
			`ALTER TABLE quota_buckets DROP CONSTRAINT quota_buckets_within_limit; UPDATE quota_buckets SET leased_in = 1000`,
			[]string{"limits input_tokens 1000 1085", "leases input_tokens 165 1000"}, nil,
		},
		"an overrun that nobody noted": {
			`DELETE FROM quota_overruns`, []string{"overruns output_tokens 0 1050"}, nil,
		},
		"a call of an unknown period": {
			`UPDATE usage_events SET period_id = 4711 WHERE model = 'gpt-4o'`, []string{"owners requests 0 1", "events_hours requests 0 1"}, nil,
		},
		"a call of another customer": {
			`UPDATE usage_events SET tenant_id = 4711 WHERE model = 'gpt-4o'`, []string{"owners requests 0 1", "events_used input_tokens 65 85"}, nil,
		},
		"an hour of an unknown period": {
			`UPDATE usage_hourly SET period_id = 4711 WHERE model = 'gpt-4o'`, []string{"owners requests 0 1", "hours_used input_tokens 65 85"}, nil,
		},
		"an hour and its call of an unknown customer": {
			`UPDATE usage_hourly SET tenant_id = 4711; UPDATE usage_events SET tenant_id = 4711`, []string{"owners requests 0 1"}, nil,
		},
		"a period without its bucket": {
			`INSERT INTO billing_periods (subscription_id, tenant_id, plan_version_id, starts_at, ends_at)
				SELECT subscription_id, tenant_id, plan_version_id, ends_at, ends_at + interval '1 month' FROM billing_periods`,
			[]string{"periods buckets 1 0"}, nil,
		},
		"a sum of long spans": {
			`UPDATE usage_tenant_hours SET input_tokens = input_tokens + 1`, []string{"folded input_tokens 5 6"}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := busyShop(t)
			s.clean(t, usage.AuditScope{})
			if _, err := s.db.Exec(c.do); err != nil {
				t.Fatal(err)
			}
			a := s.examine(t, usage.AuditScope{})
			told := tell(a)
			for _, want := range c.want {
				if !strings.Contains(told, want+"\n") {
					t.Errorf("%q was not found, only\n%s", want, told)
				}
			}
			counted := 0
			for _, check := range a.Checks {
				counted += check.Differences
			}
			if counted != a.Differences || len(a.Details) != a.Differences {
				t.Errorf("%d differences, %d of the checks, %d listed", a.Differences, counted, len(a.Details))
			}
			for _, d := range a.Details {
				if d.Tenant != "Padaria" && d.TenantID != 4711 && d.Table != "usage_hours" {
					t.Errorf("it is not said whose this is: %+v", d)
				}
			}
		})
	}
}

// tell says differences in short, one a line.
func tell(a *usage.Audit) string {
	var b strings.Builder
	for _, d := range a.Details {
		fmt.Fprintln(&b, d.Check, d.Figure, d.Expected, d.Found)
	}
	return b.String()
}

func TestAnAuditFindsGapsAndOverlapsOfPeriods(t *testing.T) {
	for name, shift := range map[string]string{"gap": "1 hour", "overlap": "-1 hour"} {
		t.Run(name, func(t *testing.T) {
			s := openShop(t, charging(10, 10))
			next := nextMonth(t)
			later := New(s.db.DB, func() time.Time { return next })
			if _, err := later.ensureCurrent(t, s.tenant.ID); err != nil {
				t.Fatal(err)
			}
			s.clean(t, usage.AuditScope{})
			if _, err := s.db.Exec(`UPDATE billing_periods SET starts_at = starts_at + $1::interval WHERE starts_at > now()`, shift); err != nil {
				t.Fatal(err)
			}
			a := s.examine(t, usage.AuditScope{})
			if a.Differences != 1 || a.Details[0].Check != usage.CheckPeriods || a.Details[0].Figure != usage.FigureStart {
				t.Fatalf("%+v", a.Details)
			}
			hour, _ := time.ParseDuration(strings.Replace(shift, " hour", "h", 1))
			if d := a.Details[0]; d.Found-d.Expected != hour.Microseconds() || d.Found != d.Start.UnixMicro() {
				t.Errorf("%+v", d)
			}
		})
	}
}

// ensureCurrent opens the tenant's period that holds now.
func (s *Store) ensureCurrent(t testing.TB, tenantID int64) (id int64, err error) {
	t.Helper()
	err = s.inTx(context.Background(), func(tx *tx) error {
		var sub int64
		if err := tx.Get(&sub, `SELECT id FROM subscriptions WHERE tenant_id = $1`, tenantID); err != nil {
			return err
		}
		p, err := tx.ensurePeriod(context.Background(), sub)
		id = p.ID
		return err
	})
	return id, err
}

func TestAnAuditTellsOfLeasesOfTheDeadAndWhenAllHaveStoppedOfAll(t *testing.T) {
	s := busyShop(t)
	if a := s.clean(t, usage.AuditScope{}); len(a.Notes) != 0 {
		t.Fatalf("a living replica is taken for dead: %+v", a.Notes)
	}
	settled := s.examine(t, usage.AuditScope{Settled: true})
	if settled.Differences != 1 || settled.Details[0].Check != usage.CheckSettled || settled.Details[0].Replica != "replica" || settled.Details[0].Found != 165 {
		t.Fatalf("%+v", settled.Details)
	}
	for _, death := range []string{
		`UPDATE replicas SET seen_at = now() - interval '6 minutes'`, `UPDATE replicas SET stopped_at = now(), seen_at = now()`, `DELETE FROM replicas`,
	} {
		if _, err := s.db.Exec(death); err != nil {
			t.Fatal(err)
		}
		a := s.clean(t, usage.AuditScope{})
		if len(a.Notes) != 1 || a.Notes[0].Kind != usage.NoteAbandoned || a.Notes[0].Replica != "replica" || a.Notes[0].Input != 165 || a.Notes[0].Tenant != "Padaria" {
			t.Errorf("after %s: %+v", death, a.Notes)
		}
	}
	if _, err := s.db.Exec(`UPDATE quota_buckets SET leased_in = 0, leased_out = 0; DELETE FROM quota_leases`); err != nil {
		t.Fatal(err)
	}
	s.clean(t, usage.AuditScope{Settled: true})
}

func TestAnAuditListsNoMoreThanAHundredOfACheckAndCountsAll(t *testing.T) {
	s := openShop(t, charging(1000, 1000))
	var events []usage.Event
	for i := range 150 {
		events = append(events, earlier(s.call(1, 1), time.Duration(i)*time.Second))
		events[i].Model = fmt.Sprint("m", i)
	}
	s.commit(t, events...)
	if _, err := s.db.Exec(`UPDATE usage_hourly SET cached_tokens = 1`); err != nil {
		t.Fatal(err)
	}
	a := s.examine(t, usage.AuditScope{})
	if a.Differences < 150 || a.Checks[0].Differences < 150 || a.Checks[0].Rows != 150 {
		t.Errorf("%d differences: %+v", a.Differences, a.Checks)
	}
	if len(a.Details) != usage.DetailLimit {
		t.Errorf("%d are listed", len(a.Details))
	}
}

func TestAnAuditLooksAtItsScopeOnly(t *testing.T) {
	s := openShop(t, charging(1000, 1000))
	old := time.Now().AddDate(0, -6, 0)
	before := New(s.db.DB, func() time.Time { return old })
	ended, err := before.ensureCurrentOf(t, s)
	if err != nil {
		t.Fatal(err)
	}
	e := earlier(s.call(10, 10), time.Since(old))
	e.PeriodID = ended
	s.commit(t, e, s.call(1, 1))
	s.clean(t, usage.AuditScope{})
	if _, err := s.db.Exec(`UPDATE usage_hourly SET cached_tokens = 1 WHERE period_id = $1`, ended); err != nil {
		t.Fatal(err)
	}
	recent := s.clean(t, usage.RecentScope(time.Now()))
	if recent.Periods == 0 || recent.Checks[0].Rows != 1 {
		t.Errorf("%d periods: %+v", recent.Periods, recent.Checks)
	}
	s.clean(t, usage.AuditScope{PeriodID: s.caller.PeriodID})
	one := s.examine(t, usage.AuditScope{PeriodID: ended})
	if one.Differences != 1 || one.Periods != 1 || one.Checks[0].Rows != 1 {
		t.Errorf("%d periods, %+v: %+v", one.Periods, one.Checks, one.Details)
	}
	if all := s.examine(t, usage.AuditScope{}); all.Differences < 1 || all.Checks[0].Rows != 2 {
		t.Errorf("%+v", all.Checks)
	}
	s.clean(t, usage.AuditScope{PeriodID: 4711})
}

// ensureCurrentOf gives the shop's customer a period that held at the store's time, before the others, and an end to it
// where the next begins.
func (s *Store) ensureCurrentOf(t testing.TB, of *shop) (id int64, err error) {
	t.Helper()
	const insert = `WITH p AS (INSERT INTO billing_periods (subscription_id, tenant_id, plan_version_id, starts_at, ends_at)
			SELECT subscription_id, tenant_id, plan_version_id, $1::timestamptz - interval '1 day', $1::timestamptz + interval '1 day'
			FROM billing_periods WHERE tenant_id = $2 ORDER BY starts_at LIMIT 1 RETURNING *),
		between AS (INSERT INTO billing_periods (subscription_id, tenant_id, plan_version_id, starts_at, ends_at)
			SELECT p.subscription_id, p.tenant_id, p.plan_version_id, p.ends_at, min(b.starts_at) FROM p JOIN billing_periods b USING (tenant_id)
			GROUP BY 1, 2, 3, 4 RETURNING *)
		INSERT INTO quota_buckets (period_id, tenant_id, hard, limit_in, limit_out)
			SELECT id, tenant_id, false, 1000, 1000 FROM (SELECT * FROM p UNION ALL SELECT * FROM between) n ORDER BY starts_at RETURNING period_id`
	return id, s.db.Get(&id, insert, s.now(), of.tenant.ID)
}

func TestADemonstrationAuditsClean(t *testing.T) {
	s, _ := seeded(t, time.Now())
	if err := s.FoldUsage(context.Background()); err != nil {
		t.Fatal(err)
	}
	a := s.clean(t, usage.AuditScope{Settled: true})
	if a.Periods < 10 || a.Checks[0].Rows < 10_000 || a.Took <= 0 || a.By != "system" {
		t.Errorf("%+v", a)
	}
	for _, check := range a.Checks {
		if check.Rows == 0 {
			t.Errorf("%s compared nothing", check.Name)
		}
	}
	s.clean(t, usage.RecentScope(time.Now()))
}

// TestAnAuditIsCleanBesideRunningReplicas audits over and over while four replicas lease, commit and hand back.
func TestAnAuditIsCleanBesideRunningReplicas(t *testing.T) {
	s := openShop(t, blocking(1_000_000_000_000, 1_000_000_000_000))
	ctx := context.Background()
	second := secondShop(t, s, "Oficina")
	stop := make(chan struct{})
	var replicas sync.WaitGroup
	for i := range 4 {
		replicas.Go(func() {
			name := string(rune('a' + i))
			leases, c := s.Leases(name, testGrace, nil), s.UsageCommitter(name, func(Committed) {})
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				shop := s
				if n%2 == i%2 {
					shop = second
				}
				if _, err := leases.Lease(ctx, shop.caller.PeriodID, quota.Pair{In: 300, Out: 300}); err != nil {
					t.Error(err)
				}
				events := []usage.Event{shop.call(100, 50), shop.call(20, 30), earlier(shop.call(7, 7), time.Duration(n%5)*time.Hour)}
				events[1].Model = name
				if err := c.CommitUsage(ctx, events); err != nil {
					t.Error(err)
				}
				if _, err := leases.Return(ctx, shop.caller.PeriodID, quota.Pair{In: 50, Out: 50}, uuid.New()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var seen int64
	for range 25 {
		a := s.examine(t, usage.AuditScope{Grace: testGrace})
		if a.Differences > 0 {
			t.Errorf("%s", tell(a))
		}
		seen = a.Checks[0].Rows
		if err := s.FoldUsage(ctx); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	replicas.Wait()
	if seen == 0 {
		t.Error("the audits saw no calls")
	}
	s.clean(t, usage.AuditScope{})
}
