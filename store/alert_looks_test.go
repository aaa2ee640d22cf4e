package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// TestOnlyWhatARuleMayConcernIsLookedAtAgain: a customer that saves its rules costs no other anything.
func TestOnlyWhatARuleMayConcernIsLookedAtAgain(t *testing.T) {
	o := openOffice(t)
	o.at = time.Now() // open periods are those of PostgreSQL's clock
	plan := o.plan("basis", blocking(1000, 1000))
	padaria, hotel := o.customer("Padaria", plan.ID), o.customer("Hotel", plan.ID)
	key, secret := o.newKey(tenancy.KeyDraft{TenantID: padaria.ID, Name: "Loja", PlanID: plan.ID})
	o.rule(rule(alert.ErrorRate, alert.Tenant, padaria.ID, 0))
	for _, id := range []int64{padaria.ID, hotel.ID} {
		_, err := o.CurrentUsage(o.ctx, id)
		o.must(err)
	}
	_, err := o.CallerByHash(o.ctx, secret.Hash())
	o.must(err)
	// A period of the past, of which nobody is told any more.
	o.db.MustExec(`WITH p AS (INSERT INTO billing_periods (subscription_id, tenant_id, plan_version_id, starts_at, ends_at)
			SELECT subscription_id, tenant_id, plan_version_id, starts_at - interval '1 month', starts_at FROM billing_periods WHERE tenant_id = $1 RETURNING id)
		INSERT INTO quota_buckets (period_id, tenant_id, limit_in, limit_out, hard) SELECT id, $1, 1000, 1000, true FROM p`, padaria.ID)

	own, ofKey := rule(alert.InputQuota, alert.Tenant, padaria.ID, 0), rule(alert.InputQuota, alert.Key, padaria.ID, key.ID)
	for _, c := range []struct {
		what     string
		change   string
		looked   string // whose open periods
		everyone bool
		watched  bool
	}{
		{"a customer's own rule", insert(own), "Hotel: 0, Padaria: 2", false, false},
		{"its other thresholds", `UPDATE alert_rules SET thresholds = '{6000}' WHERE scope = 'tenant' AND metric = 'input_quota'`, "Hotel: 0, Padaria: 2", false, false},
		{"its name and who is told", `UPDATE alert_rules SET name = 'x', contacts = NOT contacts, updated_at = now() WHERE scope = 'tenant' AND metric = 'input_quota'`, "Hotel: 0, Padaria: 0", false, false},
		{"a key's rule", insert(ofKey), "Hotel: 0, Padaria: 1", false, false},
		{"that is deleted", `UPDATE alert_rules SET deleted_at = now() WHERE scope = 'key'`, "Hotel: 0, Padaria: 1", false, false},
		{"a customer's rule about errors", `UPDATE alert_rules SET thresholds = '{700}' WHERE scope = 'tenant' AND metric = 'error_rate'`, "Hotel: 0, Padaria: 0", false, true},
		{"a rule for all about errors", `UPDATE alert_rules SET rearm_minutes = 5 WHERE scope = 'all' AND metric = 'error_rate'`, "Hotel: 0, Padaria: 0", false, true},
		{"a rule for all", `UPDATE alert_rules SET enabled = false WHERE scope = 'all' AND metric = 'overage'`, "Hotel: 0, Padaria: 0", true, false},
		{"its name", `UPDATE alert_rules SET name = 'x' WHERE scope = 'all' AND metric = 'overage'`, "Hotel: 0, Padaria: 0", false, false},
		{"a plan's rule", fmt.Sprintf(`INSERT INTO alert_rules (audience, scope, plan_id, metric, unit, thresholds) VALUES ('operator', 'plan', %d, 'input_quota', 'percent', '{5000}')`, plan.ID),
			"Hotel: 0, Padaria: 0", true, false},
		{"a customer's rule that becomes one for all", `UPDATE alert_rules SET scope = 'all', tenant_id = NULL WHERE scope = 'tenant' AND metric = 'input_quota'`, "Hotel: 0, Padaria: 2", true, false},
		{"a rule that is about something else", `UPDATE alert_rules SET metric = 'forecast' WHERE scope = 'plan'`, "Hotel: 0, Padaria: 0", true, true},
		{"one that goes", `DELETE FROM alert_rules WHERE metric = 'spool_lag'`, "Hotel: 0, Padaria: 0", false, true},
	} {
		o.must(o.RaiseDue(o.ctx))
		version, watched := o.count(`SELECT version FROM alert_version`), o.count(`SELECT watched FROM alert_version`)
		o.db.MustExec(c.change)
		var looked string
		o.must(o.db.Get(&looked, `SELECT string_agg(name || ': ' || n, ', ' ORDER BY name) FROM (SELECT t.name, count(*) FILTER (WHERE b.alert_version = 0) AS n
			FROM tenants t JOIN quota_buckets b ON b.tenant_id = t.id GROUP BY t.name) x`))
		everyone, who := o.count(`SELECT version FROM alert_version`) > version, o.count(`SELECT watched FROM alert_version`) > watched
		if looked != c.looked || everyone != c.everyone || who != c.watched {
			t.Errorf("%s: looked at again %s, all %v, read again by who watches %v; want %s, %v, %v", c.what, looked, everyone, who, c.looked, c.everyone, c.watched)
		}
	}
}

// rule is one of a customer's or a key's that tells the team.
func rule(metric alert.Metric, scope alert.Scope, tenant, key int64) alert.Rule {
	kind, _ := metric.Kind()
	r := quotaRule(scope)
	r.Metric, r.Unit, r.Window, r.TenantID, r.KeyID = metric, kind.Units[0], kind.Window, tenant, key
	return r
}

func insert(r alert.Rule) string {
	return fmt.Sprintf(`INSERT INTO alert_rules (audience, scope, tenant_id, key_id, metric, unit, thresholds) VALUES ('%s', '%s', %d, NULLIF(%d, 0), '%s', '%s', '{5000}')`,
		r.Audience, r.Scope, r.TenantID, r.KeyID, r.Metric, r.Unit)
}

// TestARuleThatIsSavedWhileOthersLookIsLookedAtAfterThem: they go by the rules of before.
func TestARuleThatIsSavedWhileOthersLookIsLookedAtAfterThem(t *testing.T) {
	o := openOffice(t)
	o.at = time.Now() // open periods are those of PostgreSQL's clock
	tenant := o.customer("Padaria", o.plan("basis", blocking(1000, 1000)).ID)
	_, err := o.CurrentUsage(o.ctx, tenant.ID)
	o.must(err)
	o.db.MustExec(`DELETE FROM alert_rules`)
	o.db.MustExec(`UPDATE quota_buckets SET used_in = 600`) // nobody has looked at it yet
	looking := o.open(t)
	var period, version int64
	o.must(looking.QueryRow(`SELECT period_id, (`+rulesVersion+`) FROM quota_buckets FOR UPDATE`).Scan(&period, &version))
	o.must(looking.look(o.ctx, []int64{period}, version))
	done := make(chan error, 1)
	go func() {
		_, err := o.db.Exec(insert(rule(alert.InputQuota, alert.Tenant, tenant.ID, 0)))
		done <- err
	}()
	o.awaitLock(t)
	o.must(looking.Commit())
	o.must(<-done)
	o.must(o.RaiseDue(o.ctx))
	if n := o.count(`SELECT count(*) FROM alert_events`); n != 1 {
		t.Errorf("%d alerts of the half that is used", n)
	}
}

// TestTheDatabaseKnowsWhatIsRaisedWithCommits: as the program does.
func TestTheDatabaseKnowsWhatIsRaisedWithCommits(t *testing.T) {
	o := openOffice(t)
	for _, k := range alert.Kinds() {
		version, watched := o.count(`SELECT version FROM alert_version`), o.count(`SELECT watched FROM alert_version`)
		o.db.MustExec(`INSERT INTO alert_rules (audience, scope, metric, unit, thresholds) VALUES ('operator', 'all', $1, $2, '{1}')`, k.Metric, k.Units[0])
		committed, looks := o.count(`SELECT version FROM alert_version`) > version, o.count(`SELECT watched FROM alert_version`) > watched
		if committed != k.Committed || looks == k.Committed {
			t.Errorf("%s: for commits %v, for who watches %v; raised with commits %v", k.Metric, committed, looks, k.Committed)
		}
	}
}
