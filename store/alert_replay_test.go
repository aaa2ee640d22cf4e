package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/demo"
	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/store/storetest"
)

// All that a new installation watches can be replayed over the demonstration, in the order and within the span that it is asked for.
func TestEveryRuleIsReplayedOverTheDemonstration(t *testing.T) {
	now := time.Now().In(saoPaulo(t))
	s := New(storetest.Open(t).DB, func() time.Time { return now })
	ctx := context.Background()
	if _, err := demo.Seed(ctx, s, plainHasher{}, now, now.Location()); err != nil {
		t.Fatal(err)
	}
	if err := s.FoldUsage(ctx); err != nil {
		t.Fatal(err)
	}
	untold := []alert.Metric{alert.RateStale} // there are no rates
	rules := append(alert.Defaults(), alert.Rule{Audience: alert.Operator, Scope: alert.All, Metric: alert.ProviderCost, Unit: alert.USD, Thresholds: []int64{1_000}})
	for _, rule := range rules {
		t.Run(string(rule.Audience)+" "+string(rule.Metric), func(t *testing.T) {
			from := now.AddDate(0, 0, -30)
			start := time.Now()
			got, err := s.Replay(ctx, rule, from, now)
			t.Logf("%d in %s", len(got.Fired), time.Since(start).Round(time.Millisecond))
			if err != nil || got.Known == slices.Contains(untold, rule.Metric) {
				t.Fatalf("known: %v (%v)", got.Known, err)
			}
			for i, f := range got.Fired {
				if f.At.Before(from) || f.At.After(now) || f.Subject.Key == "" || !slices.Contains(rule.Thresholds, f.Threshold) || f.Value < f.Threshold ||
					i > 0 && f.At.After(got.Fired[i-1].At) {
					t.Errorf("%+v", f)
				}
			}
			if quotas := rule.Metric == alert.InputQuota || rule.Metric == alert.ProviderCost; quotas && len(got.Fired) == 0 {
				t.Error("nothing would have been raised in a month of the demonstration")
			}
		})
	}
}

// hour writes what a customer's key used in an hour.
func (l *lookout) hour(key tenancy.Key, period int64, at time.Time, calls, failures, in int64, cost int64) {
	l.t.Helper()
	l.db.MustExec(`INSERT INTO usage_hourly (hour, tenant_id, key_id, period_id, model, requests, failures, input_tokens, cached_tokens, output_tokens,
		reasoning_tokens, cost_usd_micros, charge_brl_micros) VALUES ($1, $2, $3, $4, 'm', $5, $6, $7, 0, 0, 0, $8, 0)`,
		at.Truncate(time.Hour), key.TenantID, key.ID, period, calls, failures, in, cost)
}

// fired are what a replay gives, oldest first: "time subject threshold=value".
func (l *lookout) fired(rule alert.Rule, days int) (alert.Replayed, []string) {
	l.t.Helper()
	to := l.at.In(saoPaulo(l.t))
	got, err := l.Replay(l.ctx, rule, to.AddDate(0, 0, -days), to)
	l.must(err)
	list := []string{}
	for _, f := range slices.Backward(got.Fired) {
		list = append(list, fmt.Sprintf("%s %s %d=%d", f.At.UTC().Format("02T15:04"), f.Subject.Key, f.Threshold, f.Value))
	}
	return got, list
}

func wantFired(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("fired\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func TestAReplayOfQuotasCrossesEachThresholdOnceAPeriod(t *testing.T) {
	l := openLookout(t)
	a, b := l.customer("Padaria", l.plan("basis", charging(1000, 1000)).ID), l.customer("Oficina", l.plan("other", charging(1000, 1000)).ID)
	period := func(tenant tenancy.Tenant) (key tenancy.Key, id int64) {
		key, _ = l.newKey(tenancy.KeyDraft{TenantID: tenant.ID, Name: "API"})
		_, err := l.CurrentUsage(l.ctx, tenant.ID)
		l.must(err)
		l.must(l.db.Get(&id, `SELECT max(id) FROM billing_periods WHERE tenant_id = $1`, tenant.ID))
		return key, id
	}
	ka, pa := period(a)
	kb, pb := period(b)
	l.hour(ka, pa, l.at.Add(-50*time.Hour), 1, 0, 499, 0)
	l.hour(ka, pa, l.at.Add(-49*time.Hour), 1, 0, 1, 0)
	l.hour(ka, pa, l.at.Add(-10*time.Hour), 1, 0, 400, 0)
	l.hour(kb, pb, l.at.Add(-9*time.Hour), 1, 0, 600, 0)
	l.db.MustExec(`UPDATE quota_buckets SET used_in = CASE period_id WHEN $1 THEN 900 ELSE 600 END`, pa)
	rule := alert.Rule{Audience: alert.Operator, Scope: alert.All, Metric: alert.InputQuota, Unit: alert.Percent, Thresholds: []int64{5000, 8000, 9000, 10_000}}
	var sub struct{ A, B int64 }
	l.must(l.db.Get(&sub.A, `SELECT subscription_id FROM billing_periods WHERE id = $1`, pa))
	l.must(l.db.Get(&sub.B, `SELECT subscription_id FROM billing_periods WHERE id = $1`, pb))
	ofA, ofB := fmt.Sprintf("subscription:%d", sub.A), fmt.Sprintf("subscription:%d", sub.B)
	got, list := l.fired(rule, 30)
	wantFired(t, list, "20T14:00 "+ofA+" 5000=5000", "22T05:00 "+ofA+" 8000=9000", "22T05:00 "+ofA+" 9000=9000", "22T06:00 "+ofB+" 5000=6000")
	if !got.Known || got.Truncated || !got.Since.Equal(l.at.Add(-50*time.Hour)) || got.Fired[0].Details.Tenant != "Oficina" {
		t.Errorf("%+v", got)
	}
	// Once it is folded it is the same; of a span that begins later, what came before it is left out.
	l.must(l.FoldUsage(l.ctx))
	if _, again := l.fired(rule, 30); !slices.Equal(list, again) {
		t.Errorf("folded: %q", again)
	}
	if _, list := l.fired(rule, 1); len(list) != 3 {
		t.Errorf("of a day: %q", list)
	}
	rule.Scope, rule.TenantID = alert.Tenant, b.ID
	_, list = l.fired(rule, 30)
	wantFired(t, list, "22T06:00 "+ofB+" 5000=6000")
	rule.Scope, rule.PlanID = alert.Plan, a.PlanID
	if _, list = l.fired(rule, 30); len(list) != 3 {
		t.Errorf("of a plan: %q", list)
	}
}

func TestAReplayOfASpendCapReachesAllThatTheCapBuys(t *testing.T) {
	l := openLookout(t)
	terms := charging(1000, 1000)
	terms.OveragePrice = 30
	tenant := l.customer("Padaria", l.plan("basis", terms).ID)
	key, _ := l.newKey(tenancy.KeyDraft{TenantID: tenant.ID, Name: "API"})
	limit := money.Micros(10_000) // 333 tokens
	l.must(l.SetSpendCap(l.ctx, tenant.ID, &limit))
	var period int64
	l.must(l.db.Get(&period, `SELECT max(id) FROM billing_periods`))
	l.hour(key, period, l.at.Add(-9*time.Hour), 1, 0, 1333, 0)
	l.db.MustExec(`UPDATE usage_hourly SET charge_brl_micros = 9990`)
	l.db.MustExec(`UPDATE quota_buckets SET used_in = 1333, charge_brl_micros = 9990`)
	rule := alert.Rule{Audience: alert.Operator, Scope: alert.All, Metric: alert.SpendCap, Unit: alert.Percent, Thresholds: []int64{10_000}}
	if _, list := l.fired(rule, 30); len(list) != 1 || !strings.HasSuffix(list[0], " 10000=10000") {
		t.Errorf("%q", list)
	}
}

// Where single calls are no longer kept, hours tell.
func TestAReplayOfHoursTellsEpisodes(t *testing.T) {
	l := openLookout(t)
	tenant := l.customer("Padaria", l.plan("basis", charging(1000, 1000)).ID)
	key, _ := l.newKey(tenancy.KeyDraft{TenantID: tenant.ID, Name: "API"})
	for ago, failures := range map[int]int64{30: 10, 29: 10, 28: 0, 27: 10, 10: 30, 8: 100} {
		l.hour(key, 1, l.at.Add(-time.Duration(ago)*time.Hour), 100, failures, 10, 1_000_000)
	}
	l.hour(key, 1, l.at.Add(-6*time.Hour), 19, 19, 10, 0) // too few
	rule := alert.Rule{Audience: alert.Operator, Scope: alert.All, Metric: alert.ErrorRate, Unit: alert.Percent, Thresholds: []int64{1000, 3000}, Window: 10, Rearm: 120}
	_, list := l.fired(rule, 30)
	// At 12:00 of the 21st it was over for an hour only; where nobody calls it is over, too.
	wantFired(t, list, "21T09:00 installation 1000=1000", "22T05:00 installation 1000=3000", "22T05:00 installation 3000=3000")
	rule.Rearm = 60
	_, list = l.fired(rule, 30)
	wantFired(t, list, "21T09:00 installation 1000=1000", "21T12:00 installation 1000=1000", "22T05:00 installation 1000=3000", "22T05:00 installation 3000=3000",
		"22T07:00 installation 1000=10000", "22T07:00 installation 3000=10000")
	rule.Audience = alert.Customer
	got, _ := l.fired(rule, 30)
	if len(got.Fired) != 6 || got.Fired[0].Subject.Key != tenantSubject(tenant.ID) || got.Fired[0].Details.Tenant != "Padaria" {
		t.Errorf("%+v", got)
	}
	cost := alert.Rule{Audience: alert.Operator, Scope: alert.All, Metric: alert.ProviderCost, Unit: alert.USD, Thresholds: []int64{2_000_000, 4_000_000}}
	_, list = l.fired(cost, 30)
	wantFired(t, list, "21T10:00 installation 2000000=2000000", "21T12:00 installation 4000000=4000000", "22T07:00 installation 2000000=2000000")
}

func TestAReplayOfWhatTheWatchSawNamesWhatItWasAbout(t *testing.T) {
	l := openLookout(t)
	p := l.provider("a")
	subject := fmt.Sprintf("provider:%d/llama", p.ID)
	see := func(metric alert.Metric, subject string, ago time.Duration, value int64) {
		l.db.MustExec(`INSERT INTO watch_looks (metric, subject, at, value) VALUES ($1, $2, $3, $4)`, metric, subject, l.at.Add(-ago), value)
	}
	see(alert.BreakerOpen, subject, 5*time.Hour, 299)
	see(alert.BreakerOpen, subject, 5*time.Hour-5*time.Minute, 599)
	see(alert.BreakerOpen, subject, 5*time.Hour-10*time.Minute, 600)
	see(alert.BreakerOpen, subject, 4*time.Hour, 60) // 45 minutes after it was over: it goes on for five
	see(alert.BreakerOpen, subject, 3*time.Hour-10*time.Minute, 60)
	see(alert.SpoolLag, "replica:api-2", time.Hour, 61)
	rule := alert.Rule{Audience: alert.Operator, Scope: alert.All, Metric: alert.BreakerOpen, Unit: alert.Seconds, Thresholds: []int64{60, 600}, Rearm: 60}
	got, list := l.fired(rule, 30)
	wantFired(t, list, "22T10:00 "+subject+" 60=299", "22T10:10 "+subject+" 600=600", "22T12:10 "+subject+" 60=60")
	if d := got.Fired[0].Details; !got.Known || d.Model != "llama" || d.Provider != p.Name || got.Fired[0].Subject.ProviderID != p.ID {
		t.Errorf("%+v", got.Fired[0])
	}
	rule.Metric = alert.SpoolLag
	if got, _ := l.fired(rule, 30); len(got.Fired) != 1 || got.Fired[0].Details.Replica != "api-2" {
		t.Errorf("%+v", got.Fired)
	}
	// What was seen is told of from when on it is noted.
	var since time.Time
	l.must(l.db.Get(&since, `SELECT date_trunc('second', tstamp AT TIME ZONE current_setting('TimeZone')) FROM goose_db_version WHERE version_id = $1`, looksSince))
	l.at = since.Add(time.Hour)
	if got, _ := l.fired(rule, 30); !got.Known || got.Since.Sub(since).Abs() > time.Second {
		t.Errorf("known since %s, want %s", got.Since, since)
	}
}

// The watch notes the worst of five minutes, and nothing where there is nothing; what is older than a replay goes.
func TestTheWatchNotesTheWorstThatItSaw(t *testing.T) {
	l := openLookout(t)
	l.db.MustExec(`UPDATE alert_rules SET enabled = false`) // whether anybody asks or not
	p := l.provider("a")
	l.replica("r1")
	seen := func() (list []string) {
		l.must(l.db.Select(&list, `SELECT metric || ' ' || subject || ' ' || to_char(at AT TIME ZONE 'UTC', 'HH24:MI') || ' ' || value FROM watch_looks ORDER BY at, metric`))
		return list
	}
	look := func(after time.Duration) {
		l.at = l.at.Add(after)
		for _, metric := range []alert.Metric{alert.BreakerOpen, alert.QueueAge, alert.SpoolLag, alert.ErrorRate} {
			l.look(metric)
		}
	}
	look(0)
	if got := seen(); len(got) != 0 {
		t.Fatalf("%q", got)
	}
	l.breaker("r1", p, "closed", "open", 0)
	l.db.MustExec(`INSERT INTO river_job (kind, queue, state, max_attempts, args, scheduled_at, created_at) VALUES ('a', 'default', 'available', 5, '{}', $1, $1)`, l.at)
	look(time.Minute)
	look(3*time.Minute + 59*time.Second)
	l.breaker("r1", p, "half_open", "closed", 0)
	look(0)
	look(time.Second)
	want := []string{fmt.Sprintf("breaker_open provider:%d/llama 15:00 299", p.ID), "queue_age installation 15:00 299", "queue_age installation 15:05 300"}
	if got := seen(); !slices.Equal(got, want) {
		t.Fatalf("%q, want %q", got, want)
	}
	l.at = l.at.Add(looksKept)
	if _, err := l.SweepWatched(l.ctx); err != nil {
		t.Fatal(err)
	}
	if got := seen(); len(got) != 1 || !strings.HasPrefix(got[0], "queue_age installation 15:05") {
		t.Errorf("%q is kept", got)
	}
}

func TestAReplayCountsRefusalsOfProvidersAndAgesOfRates(t *testing.T) {
	l := openLookout(t)
	p := l.provider("a")
	for ago, n := range map[int]int64{90: 15, 85: 4, 84: 1, 40: 19, 29: 1, 28: 30} {
		l.must(l.AddThrottled(l.ctx, []tenancy.Throttled{{ProviderID: p.ID, Minute: l.at.Add(-time.Duration(ago) * time.Minute), Count: n}}))
	}
	subject := fmt.Sprintf("provider:%d", p.ID)
	rule := alert.Rule{Audience: alert.Operator, Scope: alert.All, Metric: alert.Provider429, Unit: alert.Count, Thresholds: []int64{20}, Window: 10, Rearm: 10}
	_, list := l.fired(rule, 30)
	wantFired(t, list, "22T13:36 "+subject+" 20=20", "22T14:32 "+subject+" 20=31")

	rates := alert.Rule{Audience: alert.Operator, Scope: alert.All, Metric: alert.RateStale, Unit: alert.Days, Thresholds: []int64{7, 30}}
	if got, _ := l.fired(rates, 30); got.Known {
		t.Error("without any rate nothing is known")
	}
	for _, day := range []int{1, 5, 20} {
		l.must(l.SetExchangeRate(l.ctx, tenancy.ExchangeRate{Day: time.Date(2026, 11, day, 0, 0, 0, 0, time.UTC), BRL: 5_000_000}))
	}
	if got, list := l.fired(rates, 30); !got.Known || !got.Since.Equal(l.at) {
		t.Errorf("rates are known since they were given, not %s: %q", got.Since, list)
	}
	l.db.MustExec(`UPDATE exchange_rates SET recorded_at = day + interval '13 hours'`)
	_, list = l.fired(rates, 30)
	wantFired(t, list, "12T03:00 installation 7=7")
	l.db.MustExec(`INSERT INTO exchange_rates (day, brl_micros, recorded_at) VALUES ('2026-11-06', 5000000, '2026-11-13 13:00Z'), ('2026-11-19', 1, '2026-11-21 13:00Z')`)
	_, list = l.fired(rates, 30)
	wantFired(t, list, "12T03:00 installation 7=7", "13T13:00 installation 7=7") // it was seven days old when it was known
}
