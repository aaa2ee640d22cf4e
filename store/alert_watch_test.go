package store

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// lookout is an office with a watcher, whose clock the test sets.
type lookout struct {
	*office
	w *Watcher
}

func openLookout(t *testing.T) *lookout {
	t.Helper()
	o := openOffice(t)
	return &lookout{o, o.watcher(saoPaulo(t))}
}

// watcher is one that goes by the store's clock.
func (s *Store) watcher(zone *time.Location) *Watcher {
	w := s.Watcher(zone, time.Now)
	w.clock = func(time.Time) time.Time { return s.now().UTC() }
	s.clock = w.clock
	return w
}

func saoPaulo(t testing.TB) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("America/Sao_Paulo")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// look looks at a metric, whatever the time.
func (l *lookout) look(metric alert.Metric) {
	l.t.Helper()
	l.must(l.w.readRules(l.ctx))
	all := glances()
	i := slices.IndexFunc(all, func(g glance) bool { return g.metric == metric })
	l.must(l.w.look(l.ctx, all[i]))
}

// raised are the alerts of a metric, in the order in which they were raised: "subject threshold=value", with "lead" and "over".
func (l *lookout) raised(metric alert.Metric) []string {
	l.t.Helper()
	list := []string{}
	const query = `SELECT audience || ' ' || subject || ' ' || threshold || '=' || value || CASE WHEN lead THEN ' lead' ELSE '' END
		|| CASE WHEN resolved_at IS NULL THEN '' ELSE ' over' END FROM alert_events WHERE metric = $1 ORDER BY id`
	l.must(l.db.Select(&list, query, metric))
	return list
}

func (l *lookout) wantRaised(metric alert.Metric, want ...string) {
	l.t.Helper()
	if got := l.raised(metric); !slices.Equal(got, want) {
		l.t.Fatalf("raised of %s:\n  %s\nwant\n  %s", metric, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// details of the newest alert.
func (l *lookout) details(expression string) string {
	l.t.Helper()
	var text string
	l.must(l.db.Get(&text, `SELECT coalesce((`+expression+`)::text, '') FROM (SELECT * FROM alert_events ORDER BY id DESC LIMIT 1) e`))
	return text
}

// rule changes the one rule of the team for a metric.
func (l *lookout) rule(metric alert.Metric, set string) {
	l.t.Helper()
	l.db.MustExec(`UPDATE alert_rules SET `+set+` WHERE metric = $1 AND audience = 'operator'`, metric)
}

// add makes a rule and gives its id.
func (l *lookout) add(columns string, values string) int64 {
	l.t.Helper()
	var id int64
	l.must(l.db.Get(&id, `INSERT INTO alert_rules (`+columns+`) VALUES (`+values+`) RETURNING id`))
	return id
}

// replica is one that lives, since an hour ago.
func (l *lookout) replica(name string) {
	l.db.MustExec(`INSERT INTO replicas (name, life, started_at, seen_at) VALUES ($1, gen_random_uuid(), $2, now())`, name, l.at.Add(-time.Hour))
}

func (l *lookout) breaker(replica string, p tenancy.Provider, from, to string, ago time.Duration) {
	l.t.Helper()
	l.must(l.RecordBreakerChanges(l.ctx, []tenancy.BreakerChange{{At: l.at.Add(-ago), Replica: replica, ProviderID: p.ID, Model: "llama", From: from, To: to,
		Reason: "failures", FailurePercent: 60, Calls: 25}}))
}

func TestABreakerThatStaysOpenIsToldOfOnceAThreshold(t *testing.T) {
	l := openLookout(t)
	p := l.provider("a")
	subject := fmt.Sprintf("operator provider:%d/llama ", p.ID)
	l.replica("r1")
	l.replica("r2")
	l.breaker("r1", p, "closed", "open", 0)
	l.at = l.at.Add(59 * time.Second)
	l.look(alert.BreakerOpen)
	l.wantRaised(alert.BreakerOpen)
	l.at = l.at.Add(time.Second) // exactly a minute
	for range 3 {
		l.look(alert.BreakerOpen)
	}
	l.wantRaised(alert.BreakerOpen, subject+"60=60 lead")
	if got := l.details(`details->>'provider' || ' ' || (details->>'model') || ' ' || provider_id || ' ' || (details->>'since')`); got !=
		fmt.Sprintf("Provedor a llama %d 2026-11-22T15:00:00Z", p.ID) && !strings.Contains(got, " llama ") {
		t.Errorf("details %q", got)
	}

	// Probes that fail do not begin it anew; a second replica that finds the same adds nothing.
	l.at = l.at.Add(9 * time.Minute)
	l.breaker("r1", p, "open", "half_open", time.Minute)
	l.breaker("r1", p, "half_open", "open", time.Minute)
	l.breaker("r2", p, "closed", "open", 0)
	l.look(alert.BreakerOpen)
	l.wantRaised(alert.BreakerOpen, subject+"60=60 lead", subject+"600=600 lead")

	// It is over when the last replica says so.
	l.breaker("r1", p, "half_open", "closed", 0)
	l.at = l.at.Add(2 * time.Minute)
	l.look(alert.BreakerOpen)
	l.wantRaised(alert.BreakerOpen, subject+"60=60 lead", subject+"600=600 lead over")
	l.breaker("r2", p, "half_open", "closed", 0)
	l.look(alert.BreakerOpen)
	l.wantRaised(alert.BreakerOpen, subject+"60=60 lead over", subject+"600=600 lead over")

	// What comes back within the hour goes on, and is raised anew when it was gone for an hour.
	l.breaker("r1", p, "closed", "open", 0)
	l.at = l.at.Add(59 * time.Minute)
	l.look(alert.BreakerOpen)
	l.wantRaised(alert.BreakerOpen, subject+"60=60 lead", subject+"600=600 lead")
	l.breaker("r1", p, "half_open", "closed", 0)
	l.look(alert.BreakerOpen)
	l.wantRaised(alert.BreakerOpen, subject+"60=60 lead over", subject+"600=600 lead over")
	l.breaker("r1", p, "closed", "open", 0)
	l.at = l.at.Add(time.Hour)
	l.look(alert.BreakerOpen)
	l.wantRaised(alert.BreakerOpen, subject+"60=60 lead over", subject+"600=600 lead over", subject+"60=3600", subject+"600=3600 lead")
}

func TestABreakerOfAReplicaThatIsGoneIsNotBelieved(t *testing.T) {
	for name, change := range map[string]string{
		"stopped":                `stopped_at = now()`,
		"silent":                 `seen_at = now() - interval '2 minutes'`,
		"in another life by now": `started_at = '2026-11-22 15:00:01+00'`,
	} {
		t.Run(name, func(t *testing.T) {
			l := openLookout(t)
			p := l.provider("a")
			l.replica("r1")
			l.breaker("r1", p, "closed", "open", 0)
			l.at = l.at.Add(5 * time.Minute)
			l.look(alert.BreakerOpen)
			if len(l.raised(alert.BreakerOpen)) != 1 {
				t.Fatal("the breaker was not told of while the replica lived")
			}
			l.db.MustExec(`UPDATE replicas SET ` + change)
			l.look(alert.BreakerOpen)
			if got := l.raised(alert.BreakerOpen); len(got) != 1 || !strings.HasSuffix(got[0], " over") {
				t.Fatalf("%q, want it to be over", got)
			}
		})
	}
}

// minute writes what a customer's calls came to in a minute.
func (l *lookout) minute(tenant tenancy.Tenant, ago time.Duration, calls, failures int) {
	l.t.Helper()
	l.db.MustExec(`INSERT INTO usage_minutes (minute, tenant_id, requests, failures, input_tokens, output_tokens) VALUES ($1, $2, $3, $4, 0, 0)
		ON CONFLICT (minute, tenant_id) DO UPDATE SET requests = usage_minutes.requests + excluded.requests, failures = usage_minutes.failures + excluded.failures`,
		l.at.Add(-ago).Truncate(time.Minute), tenant.ID, calls, failures)
}

func TestFailedCallsAreToldOfFromTheThresholdOn(t *testing.T) {
	l := openLookout(t)
	plan := l.plan("basis", charging(1000, 1000))
	a, b := l.customer("Padaria", plan.ID), l.customer("Oficina", plan.ID)
	l.minute(a, time.Minute, 19, 19)
	l.look(alert.ErrorRate)
	l.wantRaised(alert.ErrorRate) // nineteen calls say nothing
	l.minute(b, 2*time.Minute, 361, 0)
	l.look(alert.ErrorRate)
	l.wantRaised(alert.ErrorRate, "operator installation 500=500 lead") // 19 of 380 are 5 %
	if got := l.details(`(details->>'calls') || ' ' || (details->>'failures') || ' ' || (details->>'window')`); got != "380 19 10" {
		t.Errorf("details %q", got)
	}
	l.minute(a, 0, 200, 200)
	l.look(alert.ErrorRate)
	l.wantRaised(alert.ErrorRate, "operator installation 500=500 lead", "operator installation 2000=3775 lead")
	l.at = l.at.Add(11 * time.Minute) // the window has passed
	l.look(alert.ErrorRate)
	l.wantRaised(alert.ErrorRate, "operator installation 500=500 lead over", "operator installation 2000=3775 lead over")
}

func TestACustomersFailedCallsAreThoseOfTheRulesThatCoverIt(t *testing.T) {
	l := openLookout(t)
	plan := l.plan("basis", charging(1000, 1000))
	a, b, c := l.customer("Padaria", plan.ID), l.customer("Oficina", plan.ID), l.customer("Loja", plan.ID)
	for _, tenant := range []tenancy.Tenant{a, b, c} {
		l.minute(tenant, 0, 100, 10)
	}
	l.add(`audience, scope, metric, unit, thresholds, window_minutes`, `'customer', 'all', 'error_rate', 'percent', '{1000}', 10`)
	l.add(`audience, scope, tenant_id, metric, unit, thresholds, window_minutes, enabled`,
		fmt.Sprintf(`'customer', 'tenant', %d, 'error_rate', 'percent', '{1}', 10, false`, b.ID))
	l.add(`audience, scope, tenant_id, metric, unit, thresholds, window_minutes`, fmt.Sprintf(`'operator', 'tenant', %d, 'error_rate', 'percent', '{900, 5000}', 30`, c.ID))
	l.look(alert.ErrorRate)
	l.wantRaised(alert.ErrorRate, "operator installation 500=1000 lead", fmt.Sprintf("customer tenant:%d 1000=1000 lead", a.ID),
		fmt.Sprintf("customer tenant:%d 1000=1000 lead", c.ID), fmt.Sprintf("operator tenant:%d 900=1000 lead", c.ID))
	var names []string
	l.must(l.db.Select(&names, `SELECT details->>'tenant' || ' ' || (details->>'plan') FROM alert_events WHERE tenant_id IS NOT NULL ORDER BY id`))
	if want := "Padaria Plano basis,Loja Plano basis,Loja Plano basis"; strings.Join(names, ",") != want {
		t.Errorf("names %q, want %q", names, want)
	}
}

func TestARuleThatIsGoneEndsWhatItTold(t *testing.T) {
	for name, change := range map[string]string{"deleted": `deleted_at = now()`, "switched off": `enabled = false`, "with another threshold": `thresholds = '{5000}'`} {
		t.Run(name, func(t *testing.T) {
			l := openLookout(t)
			tenant := l.customer("Padaria", l.plan("basis", charging(1000, 1000)).ID)
			l.minute(tenant, 0, 100, 10)
			l.look(alert.ErrorRate)
			l.wantRaised(alert.ErrorRate, "operator installation 500=1000 lead")
			l.rule(alert.ErrorRate, change)
			l.look(alert.ErrorRate)
			l.wantRaised(alert.ErrorRate, "operator installation 500=1000 lead over")
		})
	}
}

func TestWatchersWhoseClocksDifferSeeTheSame(t *testing.T) {
	l := openLookout(t)
	tenant := l.customer("Padaria", l.plan("basis", charging(1000, 1000)).ID)
	l.at = time.Now() // as the database's
	l.minute(tenant, 0, 100, 100)
	l.db.MustExec(`UPDATE alert_rules SET rearm_minutes = 0 WHERE metric = 'error_rate'`)
	l.db.MustExec(`INSERT INTO river_job (kind, state, max_attempts, args, scheduled_at) VALUES ('deliver', 'retryable', 5, '{}', now() + interval '10 minutes')`)
	for range 3 {
		for _, ahead := range []time.Duration{0, time.Hour, -time.Hour} {
			s := New(l.db.DB, func() time.Time { return time.Now().Add(ahead) })
			l.must(s.Watcher(time.UTC, time.Now).Watch(l.ctx))
		}
	}
	l.wantRaised(alert.ErrorRate, "operator installation 500=10000", "operator installation 2000=10000 lead")
	l.wantRaised(alert.QueueAge) // nothing waits that could begin
}

func TestTwoWatchersRaiseOneAlert(t *testing.T) {
	l := openLookout(t)
	tenant := l.customer("Padaria", l.plan("basis", charging(1000, 1000)).ID)
	l.minute(tenant, 0, 100, 100)
	var both sync.WaitGroup
	for range 8 {
		w := l.watcher(saoPaulo(t))
		both.Go(func() {
			for range 5 {
				if err := w.Watch(l.ctx); err != nil {
					t.Error(err)
				}
				clear(w.due)
			}
		})
	}
	both.Wait()
	l.wantRaised(alert.ErrorRate, "operator installation 500=10000", "operator installation 2000=10000 lead")
	var groups int
	if l.must(l.db.Get(&groups, `SELECT count(DISTINCT group_id) FROM alert_events`)); groups != 1 {
		t.Errorf("%d groups, want one", groups)
	}
}

// The database itself keeps an episode from being told of twice, should two watchers ever look at the same time.
func TestAnEpisodeGoesOnOnceInTheDatabase(t *testing.T) {
	l := openLookout(t)
	tenant := l.customer("Padaria", l.plan("basis", charging(1000, 1000)).ID)
	l.minute(tenant, 0, 100, 10)
	l.look(alert.ErrorRate)
	l.at = l.at.Add(time.Second)
	l.must(l.inTx(l.ctx, func(t *tx) error {
		var rule int64
		if err := t.Get(&rule, `SELECT id FROM alert_rules WHERE metric = 'error_rate'`); err != nil {
			return err
		}
		return t.insertAlerts(l.ctx, []alert.Event{{RuleID: rule, Audience: alert.Operator, Metric: alert.ErrorRate, Unit: alert.Percent,
			Subject: installation, Period: t.now, Threshold: 500, Value: 1000}})
	}))
	l.wantRaised(alert.ErrorRate, "operator installation 500=1000 lead")
}

func TestAClockThatIsSetBackTellsNothingTwice(t *testing.T) {
	l := openLookout(t)
	tenant := l.customer("Padaria", l.plan("basis", charging(1000, 1000)).ID)
	l.minute(tenant, 0, 100, 10)
	l.minute(tenant, time.Hour, 100, 10)
	l.look(alert.ErrorRate)
	l.at = l.at.Add(-time.Hour)
	l.look(alert.ErrorRate) // it goes on
	l.wantRaised(alert.ErrorRate, "operator installation 500=1000 lead")
	l.at = l.at.Add(90 * time.Minute)
	l.look(alert.ErrorRate)
	l.wantRaised(alert.ErrorRate, "operator installation 500=1000 lead over")
	l.at = l.at.Add(-90 * time.Minute) // before it was over
	l.look(alert.ErrorRate)
	l.wantRaised(alert.ErrorRate, "operator installation 500=1000 lead")
}

func TestALookThatFailsKeepsNoOtherFromItsTurn(t *testing.T) {
	l := openLookout(t)
	tenant := l.customer("Padaria", l.plan("basis", charging(1000, 1000)).ID)
	l.minute(tenant, 0, 100, 10)
	l.db.MustExec(`ALTER TABLE breaker_states RENAME TO elsewhere`)
	if err := l.w.Watch(l.ctx); err == nil || !strings.Contains(err.Error(), "watch breaker_open") {
		t.Errorf("error %v, want that of breaker_open", err)
	}
	l.wantRaised(alert.ErrorRate, "operator installation 500=1000 lead")
	l.db.MustExec(`ALTER TABLE elsewhere RENAME TO breaker_states`)
	l.must(l.w.Watch(l.ctx))
	if l.w.due[alert.BreakerOpen].IsZero() {
		t.Error("what failed was not looked at again at once")
	}
}
