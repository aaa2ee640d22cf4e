package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/tenancy"
)

func TestWhatAProviderRefusesIsCountedInTheWindow(t *testing.T) {
	l := openLookout(t)
	p := l.provider("a")
	count := func(ago time.Duration, n int64) {
		l.must(l.AddThrottled(l.ctx, []tenancy.Throttled{{ProviderID: p.ID, Minute: l.at.Add(-ago).Truncate(time.Minute), Count: n}, {ProviderID: 999, Minute: l.at, Count: 1}}))
	}
	count(11*time.Minute, 500)
	count(9*time.Minute, 10)
	count(9*time.Minute, 9)
	l.look(alert.Provider429)
	l.wantRaised(alert.Provider429)
	count(0, 1)
	l.look(alert.Provider429)
	subject := fmt.Sprintf("operator provider:%d ", p.ID)
	l.wantRaised(alert.Provider429, subject+"20=20 lead")
	if got := l.details(`(details->>'provider') || provider_id || (details->>'failures')`); got != fmt.Sprintf("%s%d20", p.Name, p.ID) {
		t.Errorf("details %q", got)
	}
	l.at = l.at.Add(11 * time.Minute)
	l.look(alert.Provider429)
	l.wantRaised(alert.Provider429, subject+"20=20 lead over")
}

func TestTheQueuesAgeIsThatOfTheOldestJobThatCouldBegin(t *testing.T) {
	l := openLookout(t)
	l.db.MustExec(`INSERT INTO river_job (kind, queue, state, max_attempts, args, scheduled_at, created_at) VALUES
		('a', 'default', 'available', 5, '{}', $1, $1), ('b', 'default', 'available', 5, '{}', $2, $2), ('c', 'default', 'scheduled', 5, '{}', $3, $3)`,
		l.at.Add(-5*time.Minute), l.at.Add(-10*time.Minute), l.at.Add(time.Hour))
	l.look(alert.QueueAge)
	l.wantRaised(alert.QueueAge, "operator installation 600=600 lead")
	l.db.MustExec(`UPDATE river_job SET state = 'running' WHERE kind = 'b'`)
	l.look(alert.QueueAge)
	l.wantRaised(alert.QueueAge, "operator installation 600=600 lead over")
	l.db.MustExec(`DROP TABLE river_job CASCADE`)
	l.look(alert.QueueAge) // an installation may have no queue
}

func TestASpoolsLagGrowsWhileItsReplicaIsSilent(t *testing.T) {
	l := openLookout(t)
	l.replica("r1")
	l.replica("r2")
	l.db.MustExec(`UPDATE replicas SET spool_events = 5, spool_age_ms = 59000 WHERE name = 'r1'`)
	l.look(alert.SpoolLag)
	l.wantRaised(alert.SpoolLag)
	l.db.MustExec(`UPDATE replicas SET seen_at = now() - interval '2 seconds' WHERE name = 'r1'`)
	l.look(alert.SpoolLag)
	if got := l.raised(alert.SpoolLag); len(got) != 1 || got[0] != "operator replica:r1 60=61 lead" {
		t.Errorf("%q", got)
	}
	l.db.MustExec(`UPDATE replicas SET seen_at = now(), spool_events = 0, spool_age_ms = 0 WHERE name = 'r1'`)
	l.look(alert.SpoolLag)
	if got := l.raised(alert.SpoolLag); len(got) != 1 || got[0] != "operator replica:r1 60=61 lead over" {
		t.Errorf("%q", got)
	}
}

// A day begins at the first instant of its date in the installation's zone, and has 23 hours where the clock is put forward.
func TestADaysCostIsToldOfOnceADay(t *testing.T) {
	l := openLookout(t)
	zone, err := time.LoadLocation("America/New_York")
	l.must(err)
	l.w = l.watcher(zone)
	l.add(`audience, scope, metric, unit, thresholds`, `'operator', 'all', 'provider_cost', 'usd', '{10000000, 50000000}'`)
	cost := func(at time.Time, usd int64) {
		l.db.MustExec(`INSERT INTO usage_hourly (hour, tenant_id, key_id, period_id, model, requests, failures, input_tokens, cached_tokens, output_tokens,
			reasoning_tokens, cost_usd_micros, charge_brl_micros) VALUES ($1, 1, 1, 1, 'm', 7, 0, 0, 0, 0, 0, $2, 0)`, at.UTC(), usd*1_000_000)
	}
	midnight := time.Date(2027, 3, 14, 0, 0, 0, 0, zone) // at two the clock is put forward
	cost(midnight.Add(-time.Hour), 100)
	cost(midnight, 4)
	cost(midnight.Add(22*time.Hour), 5)
	l.at = midnight.Add(22*time.Hour + 59*time.Minute).UTC()
	l.look(alert.ProviderCost)
	l.wantRaised(alert.ProviderCost)
	cost(midnight.Add(21*time.Hour), 1)
	for range 2 {
		l.look(alert.ProviderCost)
	}
	l.wantRaised(alert.ProviderCost, "operator installation 10000000=10000000 lead")
	if got := l.details(`details->>'period_start' || ' ' || (details->>'calls') || ' ' || (e.period AT TIME ZONE 'UTC')`); got != "2027-03-14T05:00:00Z 21 2027-03-14 05:00:00" {
		t.Errorf("details %q", got)
	}
	l.must(l.FoldUsage(l.ctx)) // folded or not, it is the same
	l.look(alert.ProviderCost)
	l.at = midnight.AddDate(0, 0, 1).UTC()
	if !l.at.Equal(midnight.Add(23 * time.Hour)) {
		t.Fatal("the day has not 23 hours")
	}
	l.look(alert.ProviderCost)
	l.wantRaised(alert.ProviderCost, "operator installation 10000000=10000000 lead")
	cost(l.at, 60)
	l.look(alert.ProviderCost)
	l.wantRaised(alert.ProviderCost, "operator installation 10000000=10000000 lead", "operator installation 10000000=60000000", "operator installation 50000000=60000000 lead")
	// What the day before cost is in the books some hours later at the latest.
	cost(l.at.Add(-time.Minute), 45)
	l.at = l.at.Add(6*time.Hour - time.Second)
	l.look(alert.ProviderCost)
	const late = "operator installation 50000000=55000000 lead"
	l.wantRaised(alert.ProviderCost, "operator installation 10000000=10000000 lead", "operator installation 10000000=60000000", "operator installation 50000000=60000000 lead", late)
	if got := l.details(`details->>'period_start'`); got != "2027-03-14T05:00:00Z" {
		t.Errorf("the late alert is of %s", got)
	}
	l.at = l.at.Add(time.Second)
	l.look(alert.ProviderCost)
	l.wantRaised(alert.ProviderCost, "operator installation 10000000=10000000 lead over", "operator installation 10000000=60000000", "operator installation 50000000=60000000 lead", late+" over")
}

func TestAStaleRateIsToldOfOnceUntilThereIsANewOne(t *testing.T) {
	l := openLookout(t)
	l.look(alert.RateStale)
	l.wantRaised(alert.RateStale)
	day := time.Date(2026, 11, 16, 0, 0, 0, 0, time.UTC)
	l.must(l.SetExchangeRate(l.ctx, tenancy.ExchangeRate{Day: day, BRL: 5_000_000}))
	l.look(alert.RateStale) // six days
	l.wantRaised(alert.RateStale)
	l.at = time.Date(2026, 11, 23, 2, 59, 0, 0, time.UTC) // still the 22nd in São Paulo
	l.look(alert.RateStale)
	l.wantRaised(alert.RateStale)
	l.at = l.at.Add(time.Minute)
	l.look(alert.RateStale)
	l.wantRaised(alert.RateStale, "operator installation 7=7 lead")
	l.must(l.SetExchangeRate(l.ctx, tenancy.ExchangeRate{Day: day.AddDate(0, 0, 7), BRL: 5_000_000}))
	l.look(alert.RateStale)
	l.wantRaised(alert.RateStale, "operator installation 7=7 lead over")
	l.at = l.at.AddDate(0, 0, 30)
	l.look(alert.RateStale)
	l.wantRaised(alert.RateStale, "operator installation 7=7 lead over", "operator installation 7=30", "operator installation 30=30 lead")
}

func TestWhatATellingOfAPeriodThatIsOverIsResolved(t *testing.T) {
	l := openLookout(t)
	tenant := l.customer("Padaria", l.plan("basis", charging(1000, 1000)).ID)
	current, err := l.CurrentUsage(l.ctx, tenant.ID)
	l.must(err)
	l.db.MustExec(`INSERT INTO alert_events (group_id, lead, rule_id, audience, metric, unit, subject, tenant_id, subscription_id, period, threshold, value, raised_at)
		SELECT gen_random_uuid(), true, min(r.id), 'operator', 'input_quota', 'percent', 'subscription:1', s.tenant_id, s.id, $1, 5000, 5000, now()
		FROM alert_rules r, subscriptions s WHERE r.metric = 'input_quota' AND s.tenant_id = $2 GROUP BY s.id`, current.Period.Start, tenant.ID)
	l.at = current.Period.End.Add(-time.Second)
	l.must(l.resolvePeriods(l.ctx))
	l.wantRaised(alert.InputQuota, "operator subscription:1 5000=5000 lead")
	l.at = current.Period.End
	l.must(l.resolvePeriods(l.ctx))
	l.wantRaised(alert.InputQuota, "operator subscription:1 5000=5000 lead over")
}
