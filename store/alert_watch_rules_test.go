package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
)

// A customer's own rule takes the place of the general one, goes, and is made anew; its plan changes: what was told is told once.
func TestAnotherRuleThatDecidesRepeatsNothing(t *testing.T) {
	l := openLookout(t)
	tenant := l.customer("Padaria", l.plan("basis", blocking(1_000_000, 1_000_000)).ID)
	current, err := l.CurrentUsage(l.ctx, tenant.ID)
	l.must(err)
	l.at = current.Period.Start.Add(10 * 24 * time.Hour)
	l.db.MustExec(`UPDATE quota_buckets SET used_in = 600000`) // 180 % at the end
	own := func(threshold int64) {
		t.Helper()
		rules, _, err := l.AlertRulesFor(l.ctx, tenant.ID)
		l.must(err)
		for _, r := range rules {
			if r.Audience == alert.Operator && r.Metric == alert.Forecast {
				r.ID, r.Scope, r.TenantID, r.UpdatedAt, r.Thresholds = 0, alert.Tenant, tenant.ID, time.Time{}, []int64{threshold}
				l.must(l.SaveTenantAlerts(l.ctx, tenant.ID, r))
			}
		}
		l.look(alert.Forecast)
	}
	drop := func() {
		t.Helper()
		l.must(l.DropTenantAlert(l.ctx, tenant.ID, alert.Topic{Audience: alert.Operator, Metric: alert.Forecast}))
		l.look(alert.Forecast)
	}
	const told = "operator subscription:1 12000=18000 lead"
	l.look(alert.Forecast)
	l.wantRaised(alert.Forecast, told)
	own(12_000)
	l.wantRaised(alert.Forecast, told)
	drop()
	l.wantRaised(alert.Forecast, told)
	own(11_000) // below what was told
	l.wantRaised(alert.Forecast, told)
	drop()
	own(15_000) // above it
	l.wantRaised(alert.Forecast, told, "operator subscription:1 15000=18000 lead")
	drop()
	own(15_000)
	l.wantRaised(alert.Forecast, told, "operator subscription:1 15000=18000 lead")
	// The customers' rule is another matter.
	l.add(`audience, scope, metric, unit, thresholds`, `'customer', 'all', 'forecast', 'percent', '{12000}'`)
	l.look(alert.Forecast)
	l.wantRaised(alert.Forecast, told, "operator subscription:1 15000=18000 lead", "customer subscription:1 12000=18000 lead")
}

// What goes on is taken over by the rule that decides now, ends with it, and comes back with it.
func TestWhatGoesOnIsTakenOver(t *testing.T) {
	l := openLookout(t)
	tenant := l.customer("Padaria", l.plan("basis", charging(1000, 1000)).ID)
	l.db.MustExec(`UPDATE alert_rules SET enabled = false`)
	l.add(`audience, scope, metric, unit, thresholds, window_minutes`, `'customer', 'all', 'error_rate', 'percent', '{500,5000}', 1`)
	told := fmt.Sprintf("customer tenant:%d 500=1000 lead", tenant.ID)
	step := func(failures int, want ...string) {
		t.Helper()
		l.at = l.at.Add(5 * time.Minute)
		l.minute(tenant, 0, 100, failures)
		l.look(alert.ErrorRate)
		l.wantRaised(alert.ErrorRate, want...)
	}
	step(10, told)
	own := fmt.Sprintf(`'customer', 'tenant', %d, 'error_rate', 'percent', '{500,2000}', 1`, tenant.ID)
	id := l.add(`audience, scope, tenant_id, metric, unit, thresholds, window_minutes`, own)
	step(11, told)
	step(0, told+" over")
	step(12, told)
	step(25, told, fmt.Sprintf("customer tenant:%d 2000=2500 lead", tenant.ID))
	l.db.MustExec(`UPDATE alert_rules SET deleted_at = now() WHERE id = $1`, id)
	step(25, told, fmt.Sprintf("customer tenant:%d 2000=2500 lead", tenant.ID))
	step(12, told, fmt.Sprintf("customer tenant:%d 2000=2500 lead over", tenant.ID))
	step(0, told+" over", fmt.Sprintf("customer tenant:%d 2000=2500 lead over", tenant.ID))
	l.db.MustExec(`UPDATE alert_rules SET enabled = false`)
	step(12, told+" over", fmt.Sprintf("customer tenant:%d 2000=2500 lead over", tenant.ID))
}
