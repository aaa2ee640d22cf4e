package store

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
)

// ownQuotaRules are two rules of the tenant's own, about input and output, in the order of their ids.
func (s *shop) ownQuotaRules(t *testing.T) []alert.Rule {
	t.Helper()
	ctx := context.Background()
	read := func(own bool) (list []alert.Rule) {
		rules, _, err := s.AlertRulesFor(ctx, s.tenant.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, metric := range []alert.Metric{alert.InputQuota, alert.OutputQuota} {
			for _, r := range rules {
				if r.Audience == alert.Customer && r.Metric == metric && (r.TenantID == s.tenant.ID) == own {
					list = append(list, r)
				}
			}
		}
		return list
	}
	made := read(false)
	for i := range made {
		made[i].ID, made[i].UpdatedAt = 0, time.Time{}
	}
	if err := s.SaveTenantAlerts(ctx, s.tenant.ID, made...); err != nil {
		t.Fatal(err)
	}
	own := read(true)
	if len(own) != 2 || own[0].ID > own[1].ID {
		t.Fatalf("own rules %+v", own)
	}
	return own
}

// bounded bounds what must wait for nobody: where it does all the same, the test ends with an error.
func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// open begins a transaction that the test ends.
func (s *Store) open(t *testing.T) *tx {
	t.Helper()
	begun, err := s.db.Beginx()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { begun.Rollback() }) //nolint:errcheck // after an end it does nothing
	return &tx{Tx: begun, now: s.now().UTC()}
}

// take locks a row at once, or the test fails: nobody else may have it.
func (t *tx) take(test *testing.T, what, query string, args ...any) {
	test.Helper()
	if _, err := t.Exec(query+` NOWAIT`, args...); err != nil {
		test.Errorf("%s: %v", what, err)
	}
}

func TestACommitWaitsForNobodyWhoSavesRules(t *testing.T) {
	s := openShop(t, blocking(1000, 1000))
	own := s.ownQuotaRules(t)
	s.commitCalls(t, 1)
	form := s.open(t)
	ctx := context.Background()
	if err := form.lockOwnRules(ctx, s.tenant.ID); err != nil {
		t.Fatal(err)
	}
	own[0].Thresholds = []int64{6000}
	if err := form.saveTenantRule(ctx, own[0]); err != nil {
		t.Fatal(err)
	}
	if err := s.committer().CommitUsage(bounded(t), []usage.Event{s.call(650, 650)}); err != nil {
		t.Fatalf("while a form is being saved: %v", err)
	}
	s.sql(t, `DELETE FROM alert_events`)
	if err := form.Commit(); err != nil {
		t.Fatal(err)
	}
	s.commitCalls(t, 1)
	if n := s.count(t, `SELECT count(*) FROM alert_events WHERE rule_id = $1 AND threshold = 6000`, own[0].ID); n != 1 {
		t.Errorf("%d alerts by the rule that was saved meanwhile", n)
	}
}

func TestWhoChangesARuleWaitsForNobodyWhoChangesAnother(t *testing.T) {
	s := openShop(t, blocking(1000, 1000))
	own := s.ownQuotaRules(t)
	form, ctx := s.open(t), context.Background()
	own[0].Thresholds = []int64{6000}
	if err := form.saveTenantRule(ctx, own[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := s.EnableAlertRule(bounded(t), own[1].ID, false); err != nil {
		t.Fatalf("while a form has saved another: %v", err)
	}
	if err := form.Commit(); err != nil {
		t.Fatal(err)
	}
}

func TestRulesOfACustomerAreTakenInOneOrder(t *testing.T) {
	for name, change := range map[string]func(*shop, []alert.Rule) error{
		"a form": func(s *shop, own []alert.Rule) error {
			return s.SaveTenantAlerts(context.Background(), s.tenant.ID, own[1], own[0])
		},
		"one that is dropped": func(s *shop, own []alert.Rule) error {
			return s.DropTenantAlert(context.Background(), s.tenant.ID, alert.Topic{Audience: own[1].Audience, Metric: own[1].Metric})
		},
	} {
		s := openShop(t, blocking(1000, 1000))
		own := s.ownQuotaRules(t)
		other := s.open(t)
		const rule = `SELECT id FROM alert_rules WHERE id = $1 FOR NO KEY UPDATE`
		other.take(t, name, rule, own[0].ID)
		done := make(chan error, 1)
		go func() { done <- change(s, own) }()
		s.awaitLock(t)
		other.take(t, name+" took the second before the first", rule, own[1].ID)
		if err := other.Rollback(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAKeyThatIsRotatedTakesPeriodsBeforeKeys: as commits do, which note last when a key was used.
func TestAKeyThatIsRotatedTakesPeriodsBeforeKeys(t *testing.T) {
	o := openOffice(t)
	o.at = time.Now() // open periods are those of PostgreSQL's clock
	plan := o.plan("basis", blocking(1000, 1000))
	tenant := o.customer("Padaria", plan.ID)
	key, secret := o.newKey(tenancy.KeyDraft{TenantID: tenant.ID, Name: "Loja", PlanID: plan.ID})
	_, err := o.CallerByHash(o.ctx, secret.Hash()) // opens its period
	o.must(err)
	r := quotaRule(alert.Key)
	r.TenantID, r.KeyID = tenant.ID, key.ID
	o.rule(r)
	o.must(o.RaiseDue(o.ctx))

	const rule, key1 = `SELECT id FROM alert_rules WHERE key_id = $1 FOR NO KEY UPDATE`, `SELECT id FROM api_keys WHERE id = $1 FOR NO KEY UPDATE`
	const period = `SELECT period_id FROM quota_buckets b JOIN billing_periods p ON p.id = b.period_id JOIN api_keys k ON k.subscription_id = p.subscription_id
		WHERE k.id = $1 FOR UPDATE OF b`
	commit, form := o.open(t), o.open(t)
	commit.take(t, "a period", period, key.ID)
	done := make(chan error, 1)
	go func() {
		_, _, err := o.RotateKey(context.Background(), key.ID, 0)
		done <- err
	}()
	o.awaitLock(t)
	commit.take(t, "it took the key before the period", key1, key.ID)
	if _, err := form.Exec(rule+` NOWAIT`, key.ID); err == nil {
		t.Error("it takes its rules after the period: forms do so before")
	}
	o.must(commit.Rollback())
	o.must(<-done)
}

func TestTheDispatcherTakesAGroupWholeOrNotAtAll(t *testing.T) {
	l := openLookout(t)
	rule := l.add(`audience, scope, metric, unit, thresholds`, `'operator', 'all', 'spool_lag', 'seconds', '{5,10}'`)
	raise := func(group uuid.UUID, subject string, threshold int) (id int64) {
		l.must(l.db.Get(&id, `INSERT INTO alert_events (group_id, lead, rule_id, audience, metric, unit, subject, period, threshold, value, raised_at)
			VALUES ($1, true, $2, 'operator', 'spool_lag', 'seconds', $3, now(), $4, 1, now()) RETURNING id`, group, rule, subject, threshold))
		return id
	}
	held, free := uuid.New(), uuid.New()
	raise(held, "replica:a", 5)
	second := raise(held, "replica:a", 10)
	raise(free, "replica:b", 5)
	other := l.open(t)
	other.take(t, "an alert", `SELECT id FROM alert_events WHERE id = $1 FOR UPDATE`, second)
	dispatch := func() (groups []uuid.UUID, events, n int) {
		n, err := l.DispatchAlerts(bounded(t), func(s alert.Situation) alert.Planned {
			groups, events = append(groups, s.Events[0].Group), events+len(s.Events)
			return alert.Planned{}
		}, nil)
		if err != nil {
			t.Fatalf("while somebody holds an alert: %v", err)
		}
		return groups, events, n
	}
	if groups, events, n := dispatch(); n != 1 || events != 1 || groups[0] != free {
		t.Errorf("planned %d groups with %d alerts, want only the one that nobody holds", n, events)
	}
	l.must(other.Rollback())
	if groups, events, n := dispatch(); n != 1 || events != 2 || groups[0] != held {
		t.Errorf("planned %d groups with %d alerts, want the one that was held, whole", n, events)
	}
}
