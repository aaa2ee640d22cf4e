package store

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/tenancy"
)

func quotaRule(scope alert.Scope) alert.Rule {
	return alert.Rule{
		Audience: alert.Operator, Scope: scope, Metric: alert.InputQuota, Unit: alert.Percent, Thresholds: []int64{5000, 10_000}, Direction: alert.Up, Enabled: true,
		To: alert.Recipients{Roles: []tenancy.Role{tenancy.Owner}, Language: i18n.PtBR},
	}
}

func (o *office) rule(r alert.Rule) alert.Rule {
	o.t.Helper()
	made, err := o.CreateAlertRule(o.ctx, r)
	o.must(err)
	return made
}

// channel adds one of a tenant, or the operator's for 0.
func (o *office) channel(tenantID int64, name string) (id int64) {
	o.t.Helper()
	o.must(o.db.Get(&id, `INSERT INTO alert_channels (tenant_id, kind, name, target, sealed) VALUES (NULLIF($1::bigint, 0), 'slack', $2, 'hooks.slack.com', '')
		RETURNING id`, tenantID, name))
	return id
}

// rejects wants the field to be rejected for that reason.
func (o *office) rejects(err error, field, key string) {
	o.t.Helper()
	var f *fault.Error
	if errors.As(err, &f) {
		for _, one := range f.Fields {
			if one.Name == field && one.Key == key {
				return
			}
		}
	}
	o.t.Fatalf("%v, want %s: %s", err, field, key)
}

func TestARuleComesBackAsItWasMade(t *testing.T) {
	o := openOffice(t)
	plan := o.plan("ouro", blocking(1000, 500))
	daily := alert.Minute(480)
	r := alert.Rule{
		Name: "Pro perto do fim", Audience: alert.Operator, Scope: alert.Plan, PlanID: plan.ID, Metric: alert.ErrorRate, Unit: alert.Percent,
		Thresholds: []int64{500, 2000}, Direction: alert.Up, Window: 15, Rearm: 30, Enabled: true,
		To: alert.Recipients{Roles: []tenancy.Role{tenancy.Owner, tenancy.Manager}, Addresses: []string{"ana@empresa.com.br"}, Language: i18n.En,
			Channels: []int64{o.channel(0, "Operação")}},
		Quiet: &alert.Quiet{From: 22 * 60, Until: 7 * 60}, DailyAt: &daily,
		Escalation: &alert.Escalation{After: 60, Roles: []tenancy.Role{tenancy.Owner}, Addresses: []string{"diretor@empresa.com.br"}},
	}
	made := o.rule(r)
	got, err := o.AlertRule(o.ctx, made.ID)
	o.must(err)
	want := r
	want.ID, want.PlanName, want.CreatedAt, want.UpdatedAt = made.ID, plan.Name, o.at, o.at
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("\n%+v, want\n%+v", got, want)
	}
	if o.audited("alert_rule.create", ruleSubject(made.ID)) != 1 {
		t.Fatal("the audit log does not tell of it")
	}
}

func TestARuleNamesOnlyWhatIsThereAndItsOwn(t *testing.T) {
	o := openOffice(t)
	plan := o.plan("ouro", blocking(1000, 500))
	padaria, hotel := o.customer("Padaria", plan.ID), o.customer("Hotel", plan.ID)
	key, _ := o.newKey(tenancy.KeyDraft{TenantID: padaria.ID, Name: "Loja"})
	own, _ := o.newKey(tenancy.KeyDraft{TenantID: padaria.ID, Name: "Site", PlanID: plan.ID})
	ours, theirs, others := o.channel(0, "Nosso"), o.channel(padaria.ID, "Da padaria"), o.channel(hotel.ID, "Do hotel")
	gone := o.channel(0, "Antigo")
	o.db.MustExec(`UPDATE alert_channels SET deleted_at = now() WHERE id = $1`, gone)
	customers := func(r alert.Rule) alert.Rule {
		r.Audience, r.To.Roles, r.To.Contacts = alert.Customer, nil, true
		return r
	}
	with := func(r alert.Rule, channel int64) alert.Rule { r.To.Channels = []int64{channel}; return r }
	of := func(scope alert.Scope, plan, tenant, key int64) alert.Rule {
		r := quotaRule(scope)
		r.PlanID, r.TenantID, r.KeyID = plan, tenant, key
		return r
	}
	cases := map[string]struct {
		rule       alert.Rule
		field, key string // "": accepted
	}{
		"a plan that is none":                {of(alert.Plan, 999, 0, 0), "plan", "alerts.error.plan"},
		"a customer that is none":            {of(alert.Tenant, 0, 999, 0), "tenant", "alerts.error.tenant"},
		"another customer's key":             {of(alert.Key, 0, hotel.ID, own.ID), "key", "alerts.error.key"},
		"quota of a key without plan":        {of(alert.Key, 0, padaria.ID, key.ID), "key", "alerts.error.key_without_plan"},
		"quota of a key with one":            {of(alert.Key, 0, padaria.ID, own.ID), "", ""},
		"our channel":                        {with(quotaRule(alert.All), ours), "", ""},
		"a deleted channel":                  {with(quotaRule(alert.All), gone), "channels", "alerts.error.channel_not_theirs"},
		"a channel that is none":             {with(quotaRule(alert.All), 999), "channels", "alerts.error.channel_not_theirs"},
		"a customer's channel for the team":  {with(of(alert.Tenant, 0, padaria.ID, 0), theirs), "channels", "alerts.error.channel_not_theirs"},
		"the customer's own channel":         {with(customers(of(alert.Tenant, 0, padaria.ID, 0)), theirs), "", ""},
		"our channel for a customer":         {with(customers(of(alert.Tenant, 0, padaria.ID, 0)), ours), "channels", "alerts.error.channel_not_theirs"},
		"another customer's channel":         {with(customers(of(alert.Tenant, 0, padaria.ID, 0)), others), "channels", "alerts.error.channel_not_theirs"},
		"a customer's channel for all of it": {with(customers(quotaRule(alert.All)), theirs), "channels", "alerts.error.channels_scope"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o.t = t
			_, err := o.CreateAlertRule(o.ctx, c.rule)
			if c.field == "" {
				o.must(err)
				return
			}
			o.rejects(err, c.field, c.key)
		})
	}
	o.t = t
	if n := o.count(`SELECT count(*) FROM audit_log WHERE action = 'alert_rule.create'`); n != 3 {
		t.Fatalf("%d rules in the audit log, want those 3 that were accepted", n)
	}
}

func TestARuleKeepsAChannelThatIsDeletedAfterwards(t *testing.T) {
	o := openOffice(t)
	r := quotaRule(alert.All)
	r.To.Channels = []int64{o.channel(0, "Operação")}
	r = o.rule(r)
	o.db.MustExec(`UPDATE alert_channels SET deleted_at = now()`)
	r.Name = "Com outro nome"
	_, err := o.UpdateAlertRule(o.ctx, r)
	o.must(err)
}

func TestEditingARuleNoticesAnothersEdit(t *testing.T) {
	o := openOffice(t)
	first := o.rule(quotaRule(alert.All))
	version := o.count(`SELECT version FROM alert_version`)
	mine, theirs := first, first
	o.at = o.at.Add(time.Minute)
	theirs.Thresholds = []int64{9000}
	_, err := o.UpdateAlertRule(o.ctx, theirs)
	o.must(err)
	mine.Thresholds = []int64{1000}
	_, err = o.UpdateAlertRule(o.ctx, mine)
	o.refused(err, fault.Conflict, "alerts.error.changed_meanwhile")
	mine.UpdatedAt = time.Time{}
	now, err := o.UpdateAlertRule(o.ctx, mine)
	o.must(err)
	if now.Thresholds[0] != 1000 || o.count(`SELECT version FROM alert_version`) <= version || o.audited("alert_rule.edit", ruleSubject(first.ID)) != 2 {
		t.Fatalf("%+v", now)
	}
}

func TestADeletedRuleIsGoneAndWhatItRaisedStays(t *testing.T) {
	o := openOffice(t)
	r := o.rule(quotaRule(alert.All))
	o.db.MustExec(`INSERT INTO alert_events (group_id, lead, rule_id, audience, metric, unit, subject, period, threshold, value, raised_at)
		VALUES (gen_random_uuid(), true, $1, 'operator', 'input_quota', 'percent', 'subscription:1', now(), 5000, 5001, now())`, r.ID)
	o.must(o.DeleteAlertRule(o.ctx, r.ID))
	_, err := o.AlertRule(o.ctx, r.ID)
	o.refused(err, fault.NotFound, ruleMissing)
	o.refused(o.DeleteAlertRule(o.ctx, r.ID), fault.NotFound, ruleMissing)
	_, err = o.UpdateAlertRule(o.ctx, r)
	o.refused(err, fault.NotFound, ruleMissing)
	_, err = o.EnableAlertRule(o.ctx, r.ID, false)
	o.refused(err, fault.NotFound, ruleMissing)
	page, err := o.ListAlertRules(o.ctx, alert.RuleQuery{})
	o.must(err)
	if page.Total != len(alert.Defaults()) || o.count(`SELECT count(*) FROM alert_events WHERE rule_id = $1`, r.ID) != 1 || o.audited("alert_rule.delete", ruleSubject(r.ID)) != 1 {
		t.Fatalf("%d rules", page.Total)
	}
}

func TestARuleIsSwitchedOffAndOnlyOnForSomebody(t *testing.T) {
	o := openOffice(t)
	r := o.rule(quotaRule(alert.All))
	off, err := o.EnableAlertRule(o.ctx, r.ID, false)
	o.must(err)
	if off.Enabled || o.audited("alert_rule.disable", ruleSubject(r.ID)) != 1 {
		t.Fatalf("%+v", off)
	}
	off.To.Roles, off.UpdatedAt = nil, time.Time{}
	_, err = o.UpdateAlertRule(o.ctx, off)
	o.must(err)
	_, err = o.EnableAlertRule(o.ctx, r.ID, true)
	o.refused(err, fault.Conflict, "alerts.error.cannot_enable")
}

func TestTheListTellsWhoHasCloserRules(t *testing.T) {
	o := openOffice(t)
	ouro, prata := o.plan("ouro", blocking(1000, 500)), o.plan("prata", blocking(1000, 500))
	padaria, hotel := o.customer("Padaria", ouro.ID), o.customer("Hotel", prata.ID)
	key, _ := o.newKey(tenancy.KeyDraft{TenantID: padaria.ID, Name: "Loja", PlanID: ouro.ID})
	of := func(scope alert.Scope, plan, tenant, key int64) alert.Rule {
		r := quotaRule(scope)
		r.PlanID, r.TenantID, r.KeyID = plan, tenant, key
		return o.rule(r)
	}
	onPlan, onPadaria := of(alert.Plan, ouro.ID, 0, 0), of(alert.Tenant, 0, padaria.ID, 0)
	of(alert.Tenant, 0, hotel.ID, 0)
	onKey := of(alert.Key, 0, padaria.ID, key.ID)
	page, err := o.ListAlertRules(o.ctx, alert.RuleQuery{Audience: alert.Operator, Metrics: []alert.Metric{alert.InputQuota}})
	o.must(err)
	got := map[int64]alert.Listed{}
	var order []alert.Scope
	for _, r := range page.Items {
		got[r.ID] = r
		order = append(order, r.Scope)
	}
	if !reflect.DeepEqual(order, []alert.Scope{alert.All, alert.Plan, alert.Tenant, alert.Tenant, alert.Key}) {
		t.Fatalf("order %v", order)
	}
	if first := page.Items[0]; first.Instead != (alert.Instead{Plans: 1, Tenants: 2, Keys: 1}) || first.Nearer {
		t.Fatalf("the rule for all: %+v", first)
	}
	if r := got[onPlan.ID]; r.Instead != (alert.Instead{Tenants: 1, Keys: 1}) || !r.Nearer {
		t.Fatalf("the plan's: %+v", r)
	}
	if r := got[onPadaria.ID]; r.Instead != (alert.Instead{Keys: 1}) || !r.Nearer || r.TenantName != "Padaria" {
		t.Fatalf("the customer's: %+v", r)
	}
	if r := got[onKey.ID]; r.Instead.Any() || !r.Nearer || r.KeyName != "Loja" {
		t.Fatalf("the key's: %+v", r)
	}
}

func TestTheListFindsByWordsScopeAndState(t *testing.T) {
	o := openOffice(t)
	plan := o.plan("ouro", blocking(1000, 500))
	tenant := o.customer("Padaria São João", plan.ID)
	r := quotaRule(alert.Tenant)
	r.TenantID = tenant.ID
	o.rule(r)
	for name, c := range map[string]struct {
		q    alert.RuleQuery
		want int
	}{
		"by customer":   {alert.RuleQuery{ListQuery: tenancy.ListQuery{Search: "sao joao"}}, 1},
		"by nothing":    {alert.RuleQuery{ListQuery: tenancy.ListQuery{Search: "nada"}}, 0},
		"by scope":      {alert.RuleQuery{Scope: alert.Tenant}, 1},
		"by audience":   {alert.RuleQuery{Audience: alert.Customer}, 5},
		"by metric":     {alert.RuleQuery{Metrics: []alert.Metric{alert.InputQuota, alert.OutputQuota}}, 5},
		"switched off":  {alert.RuleQuery{ListQuery: tenancy.ListQuery{Status: "off"}}, 2},
		"of a customer": {alert.RuleQuery{ListQuery: tenancy.ListQuery{TenantID: tenant.ID}}, 1},
	} {
		page, err := o.ListAlertRules(o.ctx, c.q)
		o.must(err)
		if page.Total != c.want {
			t.Errorf("%s: %d rules, want %d", name, page.Total, c.want)
		}
	}
}

func TestRulesForACustomerAreThoseThatMayCoverIt(t *testing.T) {
	o := openOffice(t)
	ouro, prata := o.plan("ouro", blocking(1000, 500)), o.plan("prata", blocking(1000, 500))
	padaria, hotel := o.customer("Padaria", ouro.ID), o.customer("Hotel", prata.ID)
	of := func(scope alert.Scope, plan, tenant int64) alert.Rule {
		r := quotaRule(scope)
		r.PlanID, r.TenantID = plan, tenant
		return o.rule(r)
	}
	mine := []int64{of(alert.Plan, ouro.ID, 0).ID, of(alert.Tenant, 0, padaria.ID).ID}
	of(alert.Plan, prata.ID, 0)
	of(alert.Tenant, 0, hotel.ID)
	rules, covered, err := o.AlertRulesFor(o.ctx, padaria.ID)
	o.must(err)
	if covered != (alert.Covered{PlanID: ouro.ID, TenantID: padaria.ID}) || len(rules) != len(alert.Defaults())+len(mine) {
		t.Fatalf("%+v, %d rules", covered, len(rules))
	}
	var quota []int64
	for _, r := range alert.Effective(rules, covered) {
		if r.Audience == alert.Operator && r.Metric == alert.InputQuota {
			quota = append(quota, r.ID)
		}
	}
	if !reflect.DeepEqual(quota, mine[1:]) {
		t.Fatalf("%v decides, want the customer's own rule %v", quota, mine[1:])
	}
	_, _, err = o.AlertRulesFor(o.ctx, 999)
	o.refused(err, fault.NotFound, "tenants.error.not_found")
}

func TestTheDefaultsAreThoseOfANewInstallation(t *testing.T) {
	o := openOffice(t)
	page, err := o.ListAlertRules(o.ctx, alert.RuleQuery{})
	o.must(err)
	type family struct {
		alert.Audience
		alert.Metric
	}
	there := map[family]alert.Rule{}
	for _, r := range page.Items {
		rule := r.Rule
		rule.ID, rule.CreatedAt, rule.UpdatedAt = 0, time.Time{}, time.Time{}
		if len(rule.To.Addresses) == 0 && len(rule.To.Channels) == 0 {
			rule.To.Addresses, rule.To.Channels = nil, nil
		}
		there[family{r.Audience, r.Metric}] = rule
	}
	for _, want := range alert.Defaults() {
		if got := there[family{want.Audience, want.Metric}]; !reflect.DeepEqual(got, want) {
			t.Errorf("\n%+v, want\n%+v", got, want)
		}
	}
	if len(there) != len(alert.Defaults()) {
		t.Errorf("%d rules, %d defaults", len(there), len(alert.Defaults()))
	}
}

func TestRestoringBringsBackOnlyWhatIsMissing(t *testing.T) {
	o := openOffice(t)
	o.db.MustExec(`UPDATE alert_rules SET deleted_at = now() WHERE metric IN ('forecast', 'queue_age')`)
	if n, err := o.MissingAlertRules(o.ctx); err != nil || n != 2 {
		t.Fatal(n, err)
	}
	n, err := o.RestoreAlertRules(o.ctx)
	o.must(err)
	again, err := o.RestoreAlertRules(o.ctx)
	o.must(err)
	page, err := o.ListAlertRules(o.ctx, alert.RuleQuery{})
	o.must(err)
	if n != 2 || again != 0 || page.Total != len(alert.Defaults()) {
		t.Fatalf("%d and %d restored, %d rules", n, again, page.Total)
	}
}
