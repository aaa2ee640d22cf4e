package handlers

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// ruleForm is what the form of a good rule sends.
func ruleForm() url.Values {
	return url.Values{
		"shape": {"overage|operator|brl"}, "metric": {"overage"}, "audience": {"operator"}, "scope": {"all"}, "unit": {"brl"},
		"thresholds": {"1.234,56", "50,00", ""}, "roles": {"owner", "manager"}, "addresses": {"ana@empresa.com.br\nbia@empresa.com.br"},
		"language": {"en"}, "quiet_from": {"22:00"}, "quiet_until": {"07:00"}, "daily_at": {"08:00"}, "last_at_once": {"on"},
		"escalate_after": {"60"}, "name": {""}, "enabled": {"on"},
	}
}

// newest is the rule that was made last.
func (s *site) newest(t *testing.T) alert.Rule {
	t.Helper()
	var id int64
	must(t, s.db.Get(&id, `SELECT max(id) FROM alert_rules WHERE deleted_at IS NULL`))
	r, err := s.store.AlertRule(context.Background(), id)
	must(t, err)
	return r
}

func (s *site) rules(t *testing.T) (n int) {
	t.Helper()
	must(t, s.db.Get(&n, `SELECT count(*) FROM alert_rules WHERE deleted_at IS NULL`))
	return n
}

func TestARuleIsMadeShownEditedAndDeleted(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	b.get("/alerts/rules/new").status(http.StatusOK).has(`value="80"`, "Avisar quando um cliente usar 50%, 80%, 90% ou 100% da franquia de entrada.")
	form := with(ruleForm(), "quiet", "on", "escalate", "on")
	form["escalate_roles"] = []string{"owner"}
	b.post("/alerts/rules", form).leadsTo("/alerts/rules")
	r := s.newest(t)
	if r.Thresholds[0] != 50_000_000 || r.Thresholds[1] != 1_234_560_000 || len(r.To.Addresses) != 2 || r.To.Language != i18n.En ||
		*r.Quiet != (alert.Quiet{From: 1320, Until: 420}) || r.DailyAt != nil || r.Escalation.After != 60 || !r.LastAtOnce || !r.Enabled {
		t.Fatalf("%+v", r)
	}
	b.get("/alerts/rules?audience=operator&about=usage").status(http.StatusOK).has(text("alerts.created"),
		"Avisar quando um cliente acumular R$\u00a050,00 ou R$\u00a01.234,56 de excedente no período.",
		"Proprietários, gestores, ana@empresa.com.br e bia@empresa.com.br", "Silêncio das 22:00 às 07:00", "Sem confirmação em 1\u00a0h: proprietários").
		lacks("administradores do cliente", "cotação do dólar")
	path := rulePath(r.ID)
	stamp := strconv.FormatInt(r.UpdatedAt.UnixMicro(), 10)
	b.get(path).status(http.StatusOK).has(`value="1.234,56"`, `value="50,00"`, "bia@empresa.com.br", `value="`+stamp+`"`)
	s.clock.pass(time.Minute)
	b.post(path, with(ruleForm(), "stamp", stamp, "name", "Conta alta")).leadsTo("/alerts/rules")
	b.get("/alerts/rules").has("Conta alta", text("alerts.saved"))
	b.post(path, with(ruleForm(), "stamp", stamp, "name", "Tarde demais")).status(http.StatusUnprocessableEntity).
		has(text("alerts.error.changed_meanwhile"), "Tarde demais")
	b.post(path+"/delete", nil).leadsTo("/alerts/rules")
	b.get("/alerts/rules").has(text("alerts.deleted")).lacks("Conta alta")
	b.get(path).status(http.StatusNotFound)
	b.post(path, ruleForm()).status(http.StatusNotFound)
}

func TestARefusedRuleKeepsWhatWasTyped(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Owner)
	b.get("/alerts/rules/new")
	before := s.rules(t)
	form := with(ruleForm(), "addresses", "ana@", "name", "Meu aviso", "quiet", "on", "quiet_from", "25:00", "escalate", "on", "escalate_after", "logo")
	form["thresholds"], form["roles"] = []string{"cem", "50,00"}, []string{"owner"}
	b.post("/alerts/rules", form).status(http.StatusUnprocessableEntity).has(
		`value="cem"`, text("alerts.error.read.money", "value", "cem"), `value="50,00"`, "ana@", text("error.email", "value", "ana@"), `value="Meu aviso"`,
		`value="25:00"`, text("alerts.error.time"), `value="logo"`, text("error.integer", "value", "logo"), text("alerts.error.nobody_escalated"))
	form = ruleForm()
	form["thresholds"], form["roles"] = []string{" ", ""}, nil
	form.Set("addresses", "")
	b.post("/alerts/rules", form).status(http.StatusUnprocessableEntity).has(text("alerts.error.thresholds", "max", 10), text("alerts.error.nobody"))
	form = ruleForm()
	form["thresholds"] = []string{"0"}
	b.post("/alerts/rules", form).status(http.StatusUnprocessableEntity).has("Use de R$ 0,01 a R$ 1.000.000.000")
	form = with(ruleForm(), "scope", "tenant", "tenant", "")
	b.post("/alerts/rules", form).status(http.StatusUnprocessableEntity).has(text("alerts.error.tenant"))
	form = with(ruleForm(), "metric", "<b>", "shape", "<b>|operator|brl")
	b.post("/alerts/rules", form).status(http.StatusUnprocessableEntity).lacks("<b>|")
	if s.rules(t) != before {
		t.Fatal("a refused rule was made")
	}
}

func TestARuleSentTwiceIsMadeOnceAndLeadsToTheFirst(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	b.get("/alerts/rules/new").has(text("alert_saving.alike"))
	b.post("/alerts/rules", ruleForm()).leadsTo("/alerts/rules")
	first := s.newest(t)
	before := s.rules(t)
	b.post("/alerts/rules", with(ruleForm(), "name", "De novo")).status(http.StatusUnprocessableEntity).
		has(text("alert_saving.error.twin"), `href="`+rulePath(first.ID)+`"`, text("alert_saving.twin_open"), `value="De novo"`)
	if s.rules(t) != before {
		t.Fatal("the rule was made twice")
	}
	b.postPart("/alerts/rules/words", with(ruleForm(), "thresholds", "70,00")).has(text("alert_saving.alike"), rulePath(first.ID))
	b.postPart("/alerts/rules/words", with(ruleForm(), "id", strconv.FormatInt(first.ID, 10))).lacks(text("alert_saving.alike"))
}

func TestTheFormSaysWhatSavingTells(t *testing.T) {
	s := newSite(t)
	c := s.subscriber(t, "Padaria", tenancy.Charge)
	c.calls(t, 1, 700, 10) // of 1,000
	b := s.as(t, tenancy.Manager)
	b.get("/alerts/rules/new")
	form := with(ruleForm(), "metric", "input_quota", "shape", "input_quota|operator|percent", "unit", "percent", "thresholds", "60")
	b.postPart("/alerts/rules/words", form).has(text("alert_saving.now", "n", 1, "list", "Padaria (70%)"))
	b.postPart("/alerts/rules/words", with(form, "thresholds", "80")).has(text("alert_saving.nothing"))
	b.postPart("/alerts/rules/words", with(form, "thresholds", "60", "daily", "on")).has(text("alert_saving.held", "n", 1, "list", "Padaria (70%)"))
}

func TestAddressesAreReadAsTheyAreCopied(t *testing.T) {
	for typed, want := range map[string][]string{
		"ana@a.example\r\nbia@a.example":                    {"ana@a.example", "bia@a.example"},
		"ana@a.example, bia@a.example;caio@a.example":       {"ana@a.example", "bia@a.example", "caio@a.example"},
		"ana@a.example bia@a.example":                       {"ana@a.example", "bia@a.example"},
		"Ana Silva <Ana@a.example>; <bia@a.example>":        {"Ana@a.example", "bia@a.example"},
		`"Silva, Ana" <ana@a.example>, "B" <bia@a.example>`: {"ana@a.example", "bia@a.example"},
		"Ana ana@a.example":                                 {"Ana ana@a.example"},
		" , ;\n":                                            nil,
	} {
		if got := typedAddresses(typed); !slices.Equal(got, want) {
			t.Errorf("%q is %q, want %q", typed, got, want)
		}
	}
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	b.get("/alerts/rules/new")
	b.post("/alerts/rules", with(ruleForm(), "addresses", "root@localhost")).status(http.StatusUnprocessableEntity).has(text("alert_saving.error.domain", "value", "root@localhost"))
	b.post("/alerts/rules", with(ruleForm(), "quiet", "on", "quiet_from", "25:00", "quiet_until", "")).status(http.StatusUnprocessableEntity).
		has(text("alerts.error.time")).lacks(text("alerts.error.quiet_whole_day"))
}

func TestAnotherMetricBringsItsOwnFieldsAndIsNotSavedUnseen(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	b.get("/alerts/rules/new")
	before := s.rules(t)
	changed := with(ruleForm(), "metric", "error_rate")
	part := b.postPart("/alerts/rules/form", changed).status(http.StatusOK)
	part.has(`name="window" `, `value="10"`, `value="error_rate|operator|percent"`, `value="5"`, `value="20"`, "bia@empresa.com.br").lacks("<html", `value="1.234,56"`, `id="f-scope-3"`)
	page := b.post("/alerts/rules", with(ruleForm(), "metric", "breaker_open")).status(http.StatusUnprocessableEntity)
	page.has(text("alerts.error.reshaped"), `value="1 min"`, `value="10 min"`, "<html")
	if s.rules(t) != before {
		t.Fatal("a rule was made with thresholds that nobody has seen")
	}
	// The team's metrics have no customer to speak to.
	b.postPart("/alerts/rules/form", with(ruleForm(), "metric", "queue_age", "audience", "customer", "shape", "overage|customer|brl")).
		has(`name="audience" value="operator"`).lacks(`value="tenant_admin"`)
	b.postPart("/alerts/rules/form", with(ruleForm(), "audience", "customer")).has(`value="tenant_admin" checked`, `value="contacts" checked`, `value="1.234,56"`)
	b.postPart("/alerts/rules/form", with(ruleForm(), "more", "yes")).has(`value="1.234,56"`, `id="f-thresholds-2"`).lacks(`id="f-thresholds-3"`)
}

func TestTheFormOffersWhatARuleMayCover(t *testing.T) {
	s := newSite(t)
	plan := s.onSale(t, "ouro", chargingTerms(1000, 500))
	tenant, other := s.customer(t, "Padaria", plan.ID), s.customer(t, "Hotel", plan.ID)
	id := func(n int64) string { return strconv.FormatInt(n, 10) }
	plain, _, err := s.store.CreateKey(context.Background(), tenancy.KeyDraft{TenantID: tenant.ID, Name: "Sem plano"})
	must(t, err)
	own, _, err := s.store.CreateKey(context.Background(), tenancy.KeyDraft{TenantID: tenant.ID, Name: "Com plano", PlanID: plan.ID})
	must(t, err)
	s.db.MustExec(`INSERT INTO alert_channels (tenant_id, kind, name, target, sealed) VALUES (NULL, 'slack', 'Canal nosso', 'x', ''), ($1, 'slack', 'Canal da padaria', 'x', ''), ($2, 'slack', 'Canal do hotel', 'x', '')`, tenant.ID, other.ID)
	b := s.as(t, tenancy.Manager)
	b.get("/alerts/rules/new").has("Canal nosso").lacks("Canal da padaria")
	b.postPart("/alerts/rules/form", with(ruleForm(), "scope", "plan")).has(plan.Name).lacks("Padaria")
	b.postPart("/alerts/rules/form", with(ruleForm(), "scope", "key", "tenant", id(tenant.ID))).has("Padaria", "Hotel", "Com plano").lacks("Sem plano")
	b.postPart("/alerts/rules/form", with(ruleForm(), "scope", "key", "tenant", id(tenant.ID), "metric", "key_unused")).has("Com plano", "Sem plano")
	customers := with(ruleForm(), "audience", "customer", "shape", "overage|customer|brl")
	b.postPart("/alerts/rules/form", customers).has(text("alerts.channels_scope")).lacks("Canal nosso")
	b.postPart("/alerts/rules/form", with(customers, "scope", "tenant", "tenant", id(tenant.ID))).has("Canal da padaria").lacks("Canal nosso", "Canal do hotel")
	b.post("/alerts/rules", with(ruleForm(), "scope", "key", "tenant", id(tenant.ID), "key", id(plain.ID))).status(http.StatusUnprocessableEntity).
		has(text("alerts.error.key_without_plan"))
	b.post("/alerts/rules", with(ruleForm(), "scope", "key", "tenant", id(tenant.ID), "key", id(own.ID))).leadsTo("/alerts/rules")
	b.get("/alerts/rules?scope=key").has("Avisar quando a chave “Com plano” de Padaria acumular")
}

func TestTheWordsFollowTheForm(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	b.get("/alerts/rules/new")
	b.postPart("/alerts/rules/words", ruleForm()).has("R$\u00a050,00 ou R$\u00a01.234,56", "Proprietários, gestores").lacks("<html")
	b.postPart("/alerts/rules/words", with(ruleForm(), "thresholds", "doze")).has(text("alerts.words_missing"))
	b.postPart("/alerts/rules/words", with(ruleForm(), "scope", "tenant", "tenant", "999")).has(text("alerts.words_missing"))
}

func TestViewersReadRulesAndChangeNone(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Viewer)
	b.get("/alerts/rules").status(http.StatusOK).has("Avisar quando", text("alerts.on")).lacks("/alerts/rules/new", `role="switch"`, text("alerts.menu.delete"))
	b.get("/alerts/rules/new").status(http.StatusForbidden)
	b.get("/alerts/rules/1").status(http.StatusForbidden)
	before := s.rules(t)
	for _, path := range []string{"/alerts/rules", "/alerts/rules/1", "/alerts/rules/1/off", "/alerts/rules/1/delete", "/alerts/rules/restore", "/alerts/rules/replay"} {
		b.post(path, ruleForm()).status(http.StatusForbidden)
	}
	customer := s.as(t, tenancy.TenantAdmin)
	customer.get("/alerts/rules").leadsTo("/portal")
	customer.post("/alerts/rules", ruleForm()).status(http.StatusNotFound)
	owner := s.as(t, tenancy.Owner)
	owner.post("/alerts/rules/1/delete", url.Values{csrfField: {"forged"}}).status(http.StatusForbidden)
	if s.rules(t) != before {
		t.Fatal("a rule was changed")
	}
}

func TestARuleIsSwitchedInItsRow(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	b.get("/alerts/rules")
	row := b.postPart("/alerts/rules/1/off", nil).status(http.StatusOK)
	row.has(`<tr class="rule-row rule-off" id="rule-1"`, `aria-checked="false"`, `/alerts/rules/1/on`).lacks("<html")
	b.post("/alerts/rules/1/on", nil).leadsTo("/alerts/rules")
	b.get("/alerts/rules").has(text("alerts.enabled"))
	b.post("/alerts/rules/999/on", nil).status(http.StatusNotFound)
}

func TestDefaultRulesAreRestored(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	b.get("/alerts/rules").lacks(text("alerts.restore"))
	s.db.MustExec(`UPDATE alert_rules SET deleted_at = now()`)
	b.get("/alerts/rules").has(text("alerts.empty_title"), text("alerts.restore_text", "n", len(alert.Defaults())))
	b.post("/alerts/rules/restore", nil).leadsTo("/alerts/rules")
	b.get("/alerts/rules").has(text("alerts.count", "n", len(alert.Defaults())), text("alerts.restored", "n", len(alert.Defaults())))
}

func TestACopyBeginsAsItsOriginal(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	b.get("/alerts/rules/new")
	b.post("/alerts/rules", with(ruleForm(), "name", "Original"))
	r := s.newest(t)
	b.get("/alerts/rules/new?from="+strconv.FormatInt(r.ID, 10)).status(http.StatusOK).has(`value="Original"`, `value="1.234,56"`, `action="/alerts/rules"`).lacks(`name="stamp"`)
	b.get("/alerts/rules/new?from=999").status(http.StatusNotFound)
}

// postPart posts as htmx does.
func (b *browser) postPart(path string, form url.Values) answer {
	b.t.Helper()
	if form == nil {
		form = url.Values{}
	}
	form.Set(csrfField, b.token)
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("HX-Request", "true")
	return b.send(r)
}
