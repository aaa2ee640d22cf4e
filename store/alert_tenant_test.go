package store

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// ownRule is what a customer may choose.
func ownRule(thresholds ...int64) alert.Rule {
	return alert.Rule{
		Audience: alert.Customer, Metric: alert.InputQuota, Unit: alert.Percent, Thresholds: thresholds, Direction: alert.Up, Enabled: true, Rearm: 60, LastAtOnce: true,
		To: alert.Recipients{Roles: []tenancy.Role{tenancy.TenantAdmin}, Language: i18n.PtBR},
	}
}

var inputTopic = alert.Topic{Audience: alert.Customer, Metric: alert.InputQuota}

// setting is what is decided for a tenant, as it may see it.
func (o *office) setting(tenantID int64, t alert.Topic) alert.Setting {
	o.t.Helper()
	rules, covered, err := o.TenantAlertRules(o.ctx, tenantID)
	o.must(err)
	return alert.Deciding(rules, covered, t)
}

func TestACustomersOwnRuleDecidesUntilItGoesBackToTheDefault(t *testing.T) {
	o := openOffice(t)
	plan := o.plan("ouro", blocking(1000, 500))
	a, b := o.customer("A", plan.ID), o.customer("B", plan.ID)
	if s := o.setting(a.ID, inputTopic); s.Own || !s.Enabled() || len(s.Rules) != 1 || s.Rules[0].Scope != alert.All {
		t.Fatalf("before: %+v", s)
	}
	o.must(o.SaveTenantAlerts(o.ctx, a.ID, ownRule(7000, 3000)))
	s := o.setting(a.ID, inputTopic)
	if !s.Own || len(s.Rules) != 1 || !reflect.DeepEqual(s.Rules[0].Thresholds, []int64{3000, 7000}) || s.Rules[0].TenantID != a.ID {
		t.Fatalf("own: %+v", s)
	}
	if s := o.setting(b.ID, inputTopic); s.Own {
		t.Fatalf("another customer's: %+v", s)
	}
	o.must(o.DropTenantAlert(o.ctx, a.ID, inputTopic))
	o.must(o.DropTenantAlert(o.ctx, a.ID, inputTopic))
	if s := o.setting(a.ID, inputTopic); s.Own || len(s.Rules) != 1 {
		t.Fatalf("back: %+v", s)
	}
	if n := o.count(`SELECT count(*) FROM audit_log WHERE tenant_id = $1 AND action IN ('alert_rule.create', 'alert_rule.delete')`, a.ID); n != 2 {
		t.Fatalf("%d entries in the audit log", n)
	}
}

func TestACustomersSettingTouchesNobodyElses(t *testing.T) {
	o := openOffice(t)
	plan := o.plan("ouro", blocking(1000, 500))
	a, b := o.customer("A", plan.ID), o.customer("B", plan.ID)
	o.must(o.SaveTenantAlerts(o.ctx, b.ID, ownRule(4000)))
	theirs := o.setting(b.ID, inputTopic).Rules[0]
	const others = `SELECT count(*) FROM alert_rules WHERE tenant_id IS DISTINCT FROM $1 AND deleted_at IS NULL AND updated_at = created_at`
	before := o.count(others, a.ID)

	forged := ownRule(1000)
	forged.ID, forged.TenantID, forged.PlanID, forged.Scope, forged.UpdatedAt = theirs.ID, b.ID, plan.ID, alert.All, theirs.UpdatedAt
	if err := o.SaveTenantAlerts(o.ctx, a.ID, forged); !fault.Is(err, fault.Conflict) {
		t.Fatalf("a stamp of another's rule: %v", err)
	}
	forged.UpdatedAt = time.Time{}
	o.must(o.SaveTenantAlerts(o.ctx, a.ID, forged))
	if own := o.setting(a.ID, inputTopic).Rules[0]; own.ID == theirs.ID || own.TenantID != a.ID || own.Scope != alert.Tenant {
		t.Fatalf("own: %+v", own)
	}
	o.must(o.DropTenantAlert(o.ctx, a.ID, inputTopic))
	if got := o.setting(b.ID, inputTopic).Rules; len(got) != 1 || !reflect.DeepEqual(got[0], theirs) {
		t.Fatalf("theirs now: %+v", got)
	}
	if now := o.count(others, a.ID); now != before {
		t.Fatalf("%d rules of others, were %d", now, before)
	}
	through := ownRule(5000)
	through.To.Channels = []int64{o.channel(b.ID, "sala de B")}
	o.rejects(o.SaveTenantAlerts(o.ctx, a.ID, through), "channels", "alerts.error.channel_not_theirs")
	key, _, err := o.CreateKey(o.ctx, tenancy.KeyDraft{TenantID: b.ID, Name: "de B", PlanID: plan.ID})
	o.must(err)
	keyed := ownRule(5000)
	keyed.KeyID = key.ID
	o.rejects(o.SaveTenantAlerts(o.ctx, a.ID, keyed), "key", "alerts.error.key")
	// The team's rules about a tenant are not for the tenant to see.
	team := ownRule(2000)
	team.Audience, team.To.Roles = alert.Operator, []tenancy.Role{tenancy.Owner}
	o.must(o.SaveTenantAlerts(o.ctx, a.ID, team))
	rules, _, err := o.TenantAlertRules(o.ctx, a.ID)
	o.must(err)
	for _, r := range rules {
		if r.Audience != alert.Customer || r.TenantID != 0 && r.TenantID != a.ID {
			t.Errorf("seen by A: %+v", r)
		}
	}
}

func TestTwoWhoEditTheSameSettingDoNotOverwriteEachOther(t *testing.T) {
	o := openOffice(t)
	a := o.customer("A", o.plan("ouro", blocking(1000, 500)).ID)
	o.must(o.SaveTenantAlerts(o.ctx, a.ID, ownRule(5000)))
	if err := o.SaveTenantAlerts(o.ctx, a.ID, ownRule(6000)); !fault.Is(err, fault.Conflict) {
		t.Fatalf("made twice: %v", err)
	}
	seen := o.setting(a.ID, inputTopic).Draft()
	seen.Thresholds = []int64{7000}
	o.at = o.at.Add(time.Minute)
	o.must(o.SaveTenantAlerts(o.ctx, a.ID, seen))
	if err := o.SaveTenantAlerts(o.ctx, a.ID, seen); !fault.Is(err, fault.Conflict) {
		t.Fatalf("an old stamp: %v", err)
	}
	o.must(o.DropTenantAlert(o.ctx, a.ID, inputTopic))
	if err := o.SaveTenantAlerts(o.ctx, a.ID, seen); !fault.Is(err, fault.Conflict) {
		t.Fatalf("gone meanwhile: %v", err)
	}
	// All or none.
	bad := ownRule(5000)
	bad.Metric, bad.UpdatedAt = alert.OutputQuota, time.Now()
	if err := o.SaveTenantAlerts(o.ctx, a.ID, ownRule(5000), bad); err == nil || o.setting(a.ID, inputTopic).Own {
		t.Fatalf("half of it: %v", err)
	}
}

func TestSavingLeavesOneRuleATopic(t *testing.T) {
	o := openOffice(t)
	a := o.customer("A", o.plan("ouro", blocking(1000, 500)).ID)
	for _, threshold := range []int64{5000, 9000} {
		r := ownRule(threshold)
		r.Scope, r.TenantID = alert.Tenant, a.ID
		o.rule(r)
	}
	s := o.setting(a.ID, inputTopic)
	if len(s.Rules) != 2 {
		t.Fatalf("%+v", s)
	}
	o.must(o.SaveTenantAlerts(o.ctx, a.ID, s.Draft()))
	if s = o.setting(a.ID, inputTopic); len(s.Rules) != 1 || s.Rules[0].Thresholds[0] != 5000 {
		t.Fatalf("%+v", s)
	}
}

func TestADraftOfAWiderRuleKeepsItsAddressesToItself(t *testing.T) {
	o := openOffice(t)
	a := o.customer("A", o.plan("ouro", blocking(1000, 500)).ID)
	o.db.MustExec(`UPDATE alert_rules SET addresses = '{nosso@operador.com.br}', roles = '{}', contacts = false, escalate_minutes = 5, escalate_to = '{chefe@operador.com.br}'
		WHERE audience = 'customer' AND metric = 'input_quota'`)
	r := o.setting(a.ID, inputTopic).Draft()
	if len(r.To.Addresses) != 0 || r.Escalation != nil || len(r.To.Roles) != 1 || r.ID != 0 || !r.UpdatedAt.IsZero() {
		t.Fatalf("%+v", r)
	}
	o.must(o.SaveTenantAlerts(o.ctx, a.ID, r))
}

func TestACustomerReadsNobodyTheOperatorTells(t *testing.T) {
	o := openOffice(t)
	plan := o.plan("ouro", blocking(1000, 500))
	a := o.customer("A", plan.ID)
	o.must(o.SaveTenantAlerts(o.ctx, a.ID, ownRule(7500)))
	const secrets = `UPDATE alert_rules SET name = 'segredo', addresses = '{segredo@operador.example}', channel_ids = '{424242}', escalate_minutes = 5,
		escalate_roles = '{tenant_admin}', escalate_to = '{segredo@operador.example}' WHERE audience = 'customer' AND tenant_id IS NULL`
	o.db.MustExec(`INSERT INTO alert_rules (audience, scope, plan_id, metric, unit, thresholds) VALUES ('customer', 'plan', $1, 'input_quota', 'percent', '{5000}')`, plan.ID)
	o.db.MustExec(secrets)
	o.db.MustExec(`UPDATE alert_rules SET addresses = '{contador@a.example}' WHERE tenant_id = $1`, a.ID)
	rules, _, err := o.TenantAlertRules(o.ctx, a.ID)
	o.must(err)
	wide, own := 0, 0
	for _, r := range rules {
		if r.TenantID == 0 {
			wide++
		} else if own++; len(r.To.Addresses) != 1 {
			t.Errorf("its own rule tells %v", r.To.Addresses)
		}
		if text := written(t, r); strings.Contains(text, "segredo") || strings.Contains(text, "424242") || r.TenantID == 0 && r.Escalation != nil {
			t.Errorf("the customer reads %s", text)
		}
	}
	if wide < 6 || own != 1 {
		t.Errorf("%d wide rules and %d of its own, want all and 1", wide, own)
	}
	all, _, err := o.AlertRulesFor(o.ctx, a.ID)
	o.must(err)
	if !strings.Contains(written(t, all), "segredo@operador.example") {
		t.Error("the team does not read whom it tells")
	}
}

func TestMailEndsByItsLinkAndBeginsAgain(t *testing.T) {
	o := openOffice(t)
	plan := o.plan("ouro", blocking(1000, 500))
	a, b := o.customer("A", plan.ID), o.customer("B", plan.ID)
	link := alert.Subscription{TenantID: a.ID, Address: "Ana@Empresa.com.br", Metric: alert.InputQuota}
	whole := link
	whole.Metric = ""
	for range 2 {
		o.must(o.Unsubscribe(o.ctx, link))
	}
	is := func(want alert.Subscribed) {
		t.Helper()
		same := link
		same.Address = "ANA@empresa.com.br"
		got, err := o.Subscribed(o.ctx, same)
		o.must(err)
		if got != want {
			t.Fatalf("%+v, want %+v", got, want)
		}
	}
	is(alert.Subscribed{Company: "A", Metric: true})
	o.must(o.Unsubscribe(o.ctx, whole))
	is(alert.Subscribed{Company: "A", Metric: true, Whole: true})
	m, err := o.TenantMailing(o.ctx, a.ID)
	o.must(err)
	if len(m.Silent) != 2 || m.Silent[0].Address != "ana@empresa.com.br" || m.Silent[1].Metric != alert.InputQuota {
		t.Fatalf("%+v", m)
	}
	if m, err = o.TenantMailing(o.ctx, b.ID); err != nil || len(m.Silent) != 0 {
		t.Fatalf("%+v %v", m, err)
	}
	theirs := link
	theirs.TenantID = b.ID
	o.must(o.Resubscribe(o.ctx, theirs)) // another's changes nothing here
	is(alert.Subscribed{Company: "A", Metric: true, Whole: true})
	for range 2 {
		o.must(o.Resubscribe(o.ctx, whole))
	}
	is(alert.Subscribed{Company: "A", Metric: true})
	o.must(o.Resubscribe(o.ctx, link))
	is(alert.Subscribed{Company: "A"})
	if _, err := o.Subscribed(o.ctx, alert.Subscription{TenantID: 999}); !fault.Is(err, fault.NotFound) {
		t.Fatal(err)
	}
	var logged []string
	o.must(o.db.Select(&logged, `SELECT action || details::text FROM audit_log WHERE action LIKE 'alert.%' ORDER BY id`))
	if len(logged) != 4 || strings.Contains(strings.ToLower(strings.Join(logged, " ")), "ana@") {
		t.Fatalf("%q", logged)
	}
}

func TestTheLanguageOfACustomersMailIsChosen(t *testing.T) {
	o := openOffice(t)
	plan := o.plan("ouro", blocking(1000, 500))
	a := o.customer("A", plan.ID)
	if a.Language != i18n.PtBR {
		t.Fatalf("a new tenant is written to in %q", a.Language)
	}
	o.must(o.SetTenantLanguage(o.ctx, a.ID, i18n.En))
	if m, err := o.TenantMailing(o.ctx, a.ID); err != nil || m.Language != i18n.En {
		t.Fatalf("%+v %v", m, err)
	}
	if err := o.SetTenantLanguage(o.ctx, a.ID, "fr"); !fault.Is(err, fault.Invalid) {
		t.Fatal(err)
	}
	d := tenancy.TenantDraft{Name: "A", TimeZone: a.TimeZone, BillingDay: a.BillingDay, PlanID: plan.ID}
	_, err := o.UpdateTenant(o.ctx, a.ID, d) // a draft that says nothing of it leaves it
	o.must(err)
	if now, _ := o.Tenant(o.ctx, a.ID); now.Language != i18n.En {
		t.Fatalf("%q", now.Language)
	}
	d.Language = i18n.PtBR
	_, err = o.UpdateTenant(o.ctx, a.ID, d)
	o.must(err)
	if now, _ := o.Tenant(o.ctx, a.ID); now.Language != i18n.PtBR {
		t.Fatalf("%q", now.Language)
	}
	d.Language = "fr"
	_, err = o.UpdateTenant(o.ctx, a.ID, d)
	o.rejects(err, "language", "error.choice")
}

func TestACustomersRuleDecidesAtTheNextCommit(t *testing.T) {
	s := openShop(t, blocking(1000, 1000))
	s.sql(t, `DELETE FROM alert_rules WHERE audience <> 'customer' OR metric <> 'input_quota'`)
	var tenant int64
	if err := s.db.Get(&tenant, `SELECT tenant_id FROM subscriptions LIMIT 1`); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	s.commitCalls(t, 300)
	same(t, s.told(t))
	rule := ownRule(2500, 4000)
	if err := s.SaveTenantAlerts(ctx, tenant, rule); err != nil {
		t.Fatal(err)
	}
	s.commitCalls(t, 1) // 30.1 %: past the customer's first threshold and none of the default's
	same(t, s.told(t), "customer input_quota 2500 3010 lead")
	s.commitCalls(t, 250) // 55.1 %: the default's 50 % would be told here
	same(t, s.told(t), "customer input_quota 2500 3010 lead", "customer input_quota 4000 5510 lead")
	rules, covered, err := s.TenantAlertRules(ctx, tenant)
	if err != nil {
		t.Fatal(err)
	}
	off := alert.Deciding(rules, covered, inputTopic)
	draft := off.Draft()
	draft.Enabled, draft.Thresholds = false, []int64{6000}
	if err := s.SaveTenantAlerts(ctx, tenant, draft); err != nil {
		t.Fatal(err)
	}
	s.commitCalls(t, 300) // 85.1 %: off is off, by the default too
	same(t, s.told(t), "customer input_quota 2500 3010 lead", "customer input_quota 4000 5510 lead")
	if err := s.DropTenantAlert(ctx, tenant, inputTopic); err != nil {
		t.Fatal(err)
	}
	s.commitCalls(t, 50) // 90.1 %: the default decides again
	if told := s.told(t); len(told) < 3 || told[len(told)-1] != "customer input_quota 9000 9010 lead" {
		t.Fatalf("%q", told)
	}
}

// told wants that many messages to the customer's address.
func (d *delivering) told(want int) {
	d.t.Helper()
	var n int
	if d.get(&n, `SELECT count(*) FROM deliveries WHERE lower(recipient) = 'contas@cliente.com.br'`); n != want {
		d.t.Fatalf("%d messages, want %d", n, want)
	}
}

func TestWhoUnsubscribedIsToldNoMoreWhateverTheCaseOfTheirAddress(t *testing.T) {
	d := openDelivering(t)
	d.exec(`UPDATE tenants SET email = 'Contas@Cliente.com.br' WHERE id = $1`, d.tenant)
	link := alert.Subscription{TenantID: d.tenant, Address: "CONTAS@cliente.com.br"}
	for _, metric := range []alert.Metric{"", alert.InputQuota} {
		link.Metric = metric
		if err := d.Unsubscribe(t.Context(), link); err != nil {
			t.Fatal(err)
		}
		d.raise(alert.InputQuota, 5000)
		d.dispatch(alert.Decide)
		d.told(0)
		if err := d.Resubscribe(t.Context(), link); err != nil {
			t.Fatal(err)
		}
		d.exec(`DELETE FROM alert_events`)
	}
	d.raise(alert.InputQuota, 5000)
	d.dispatch(alert.Decide)
	d.told(1)
}

func TestACustomersRuleDoesNotTellAgainWhatTheDefaultHasTold(t *testing.T) {
	s := openShop(t, blocking(1000, 1000))
	s.sql(t, `DELETE FROM alert_rules WHERE audience <> 'customer' OR metric <> 'input_quota'`)
	s.commitCalls(t, 850)
	was := []string{"customer input_quota 5000 8500", "customer input_quota 8000 8500 lead"}
	same(t, s.told(t), was...)
	rules, covered, err := s.TenantAlertRules(t.Context(), s.tenant.ID)
	if err != nil {
		t.Fatal(err)
	}
	draft := alert.Deciding(rules, covered, inputTopic).Draft()
	draft.Quiet = &alert.Quiet{From: 22 * 60, Until: 7 * 60} // only the time is another
	if err := s.SaveTenantAlerts(t.Context(), s.tenant.ID, draft); err != nil {
		t.Fatal(err)
	}
	s.commitCalls(t, 1)
	same(t, s.told(t), was...)
	s.commitCalls(t, 60)
	same(t, s.told(t), append(was, "customer input_quota 9000 9110 lead")...)
	if err := s.DropTenantAlert(t.Context(), s.tenant.ID, inputTopic); err != nil {
		t.Fatal(err)
	}
	s.commitCalls(t, 1)
	same(t, s.told(t), append(was, "customer input_quota 9000 9110 lead")...)
}
