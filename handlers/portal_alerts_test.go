package handlers

import (
	"bytes"
	"context"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/tenancy"
)

const settingsPath = "/portal/alerts/settings"

// company is a customer with a plan and someone of the role signed in.
func (s *site) company(t *testing.T, name string, role tenancy.Role) (*browser, tenancy.Tenant) {
	t.Helper()
	tenant := s.customer(t, name, s.onSale(t, "plano-"+strings.ToLower(name), chargingTerms(1000, 500)).ID)
	return s.personOf(t, tenant, role), tenant
}

func (s *site) personOf(t *testing.T, tenant tenancy.Tenant, role tenancy.Role) *browser {
	t.Helper()
	ctx := context.Background()
	hash, err := s.Passwords.Hash(ctx, goodPassword)
	must(t, err)
	u, err := s.store.CreateUser(ctx, tenancy.UserDraft{
		Name: "Pessoa", Email: string(role) + strconv.FormatInt(tenant.ID, 10) + "@empresa.com.br", Role: role, TenantID: tenant.ID,
	}, hash)
	must(t, err)
	return s.signedIn(t, u)
}

func (s *site) decided(t *testing.T, tenantID int64, m alert.Metric) alert.Setting {
	t.Helper()
	rules, covered, err := s.store.TenantAlertRules(context.Background(), tenantID)
	must(t, err)
	return alert.Deciding(rules, covered, alert.Topic{Audience: alert.Customer, Metric: m})
}

func settingForm() url.Values {
	return url.Values{
		"enabled": {"on"}, "thresholds": {"1.234,56", "50", ""}, "roles": {"tenant_admin", "contacts"}, "addresses": {"Ana@Empresa.com.br\nbia@empresa.com.br"},
		"quiet": {"on"}, "quiet_from": {"22:00"}, "quiet_until": {"07:00"}, "daily_at": {"08:00"}, "last_at_once": {"on"},
	}
}

func TestACustomerChoosesAndGoesBackToTheDefault(t *testing.T) {
	s := newSite(t)
	b, tenant := s.company(t, "Padaria", tenancy.TenantAdmin)
	b.get(settingsPath).status(http.StatusOK).has(text("tenant_alerts.topic.overage"), text("tenant_alerts.default"), "R$\u00a050,00", "Administradores e e-mail da empresa").
		lacks(text("tenant_alerts.own"), text("tenant_alerts.side.team"), text("tenant_alerts.topic.latency_p95"))
	b.get(settingsPath+"/overage").status(http.StatusOK).has(`value="50,00"`, `value="500,00"`, `value="tenant_admin" checked`, `name="stamp" value=""`).lacks(text("tenant_alerts.restore"))
	b.post(settingsPath+"/overage", settingForm()).leadsTo(settingsPath)
	b.get(settingsPath).has(text("tenant_alerts.own"), "R$\u00a050,00 ou R$\u00a01.234,56", "ana@empresa.com.br (aguarda confirmação) e bia@empresa.com.br (aguarda confirmação)", "silêncio das 22:00 às 07:00")
	own := s.decided(t, tenant.ID, alert.Overage)
	if r := own.Rules[0]; !own.Own || r.TenantID != tenant.ID || r.Audience != alert.Customer || r.Thresholds[1] != 1_234_560_000 || r.Quiet.From != 22*60 || r.DailyAt != nil {
		t.Fatalf("%+v", r)
	}
	b.get(settingsPath + "/overage").has(text("tenant_alerts.restore"))
	b.post(settingsPath+"/overage/default", nil).leadsTo(settingsPath)
	b.get(settingsPath).lacks(text("tenant_alerts.own"))
	if s.decided(t, tenant.ID, alert.Overage).Own {
		t.Fatal("still its own")
	}
}

func TestASwitchMakesARuleOfTheCustomersOwn(t *testing.T) {
	s := newSite(t)
	b, tenant := s.company(t, "Padaria", tenancy.TenantAdmin)
	b.get(settingsPath)
	row := b.postPart(settingsPath+"/input_quota/off", nil).status(http.StatusOK)
	row.has(`id="setting-customer-input_quota"`, `aria-checked="false"`, text("tenant_alerts.own"), "/input_quota/on").lacks("<html", "output_quota")
	if now := s.decided(t, tenant.ID, alert.InputQuota); now.Enabled() || !now.Own {
		t.Fatalf("%+v", now)
	}
	b.post(settingsPath+"/input_quota/on", nil).leadsTo(settingsPath)
	b.post(settingsPath+"/input_quota/on", nil).leadsTo(settingsPath)
	b.post(settingsPath+"/forecast/on", nil).leadsTo(settingsPath) // nothing watched it
	for _, m := range []alert.Metric{alert.InputQuota, alert.Forecast} {
		if now := s.decided(t, tenant.ID, m); !now.Enabled() || !now.Own || len(now.Rules) != 1 {
			t.Fatalf("%s: %+v", m, now)
		}
	}
}

func TestTheSamePeopleAndTimesForEveryNotice(t *testing.T) {
	s := newSite(t)
	b, tenant := s.company(t, "Padaria", tenancy.TenantAdmin)
	b.get(settingsPath + "/overage")
	b.post(settingsPath+"/overage", with(settingForm(), "spread", "on")).leadsTo(settingsPath)
	for m, own := range map[alert.Metric]bool{alert.InputQuota: true, alert.SpendCap: true, alert.KeyAddress: false, alert.Forecast: false} {
		now := s.decided(t, tenant.ID, m)
		if now.Own != own {
			t.Errorf("%s: own %v", m, now.Own)
		}
		if own && (len(now.Rules[0].To.Addresses) != 2 || now.Rules[0].Quiet == nil || len(now.Rules[0].Thresholds) != 4) {
			t.Errorf("%s: %+v", m, now.Rules[0])
		}
	}
}

func TestARefusedSettingKeepsWhatWasTyped(t *testing.T) {
	s := newSite(t)
	b, tenant := s.company(t, "Padaria", tenancy.TenantAdmin)
	b.get(settingsPath + "/overage")
	form := with(settingForm(), "addresses", "ana@", "quiet_from", "25:00")
	form["thresholds"], form["roles"] = []string{"cem", "50,00"}, []string{"owner"}
	b.post(settingsPath+"/overage", form).status(http.StatusUnprocessableEntity).has(
		`value="cem"`, text("alerts.error.read.money", "value", "cem"), `value="50,00"`, "ana@", text("error.email", "value", "ana@"), `value="25:00"`, text("alerts.error.time"))
	form = settingForm()
	form["thresholds"], form["roles"] = []string{" "}, nil
	form.Set("addresses", "")
	b.post(settingsPath+"/overage", form).status(http.StatusUnprocessableEntity).has(text("alerts.error.thresholds", "max", 10), text("alerts.error.nobody"))
	b.post(settingsPath+"/overage", with(settingForm(), "stamp", "1")).status(http.StatusUnprocessableEntity).has(text("tenant_alerts.error.changed_meanwhile"), "bia@empresa.com.br")
	if s.decided(t, tenant.ID, alert.Overage).Own {
		t.Fatal("a refused setting was kept")
	}
}

func TestReadersOfACustomerChangeNothing(t *testing.T) {
	s := newSite(t)
	admin, tenant := s.company(t, "Padaria", tenancy.TenantAdmin)
	b := s.personOf(t, tenant, tenancy.TenantViewer)
	b.get(settingsPath).status(http.StatusOK).has(text("tenant_alerts.read_only"), text("tenant_alerts.is_on")).lacks(`role="switch"`, text("tenant_alerts.language_save"))
	b.get(settingsPath + "/overage").status(http.StatusForbidden)
	team := s.as(t, tenancy.Viewer)
	at := "/tenants/" + strconv.FormatInt(tenant.ID, 10) + "/alerts"
	team.get(at).status(http.StatusOK).has(text("tenant_alerts.side.team")).lacks(`role="switch"`)
	team.get(at + "/team/overage").status(http.StatusForbidden)
	var before, now int
	const rules = `SELECT count(*) FROM alert_rules`
	must(t, s.db.Get(&before, rules))
	for _, path := range []string{"/overage", "/overage/on", "/overage/off", "/overage/default", "/language", "/back"} {
		b.post(settingsPath+path, settingForm()).status(http.StatusForbidden)
		team.post(at+path, settingForm()).status(http.StatusForbidden)
	}
	admin.post(settingsPath+"/team/overage", settingForm()).status(http.StatusNotFound)
	admin.post(settingsPath+"/overage", with(settingForm(), csrfField, "forged")).status(http.StatusForbidden)
	must(t, s.db.Get(&now, rules))
	if now != before {
		t.Fatal("a rule was made")
	}
}

func TestACustomerReachesNobodyElsesSettings(t *testing.T) {
	s := newSite(t)
	_, other := s.company(t, "Hotel", tenancy.TenantAdmin)
	b, tenant := s.company(t, "Padaria", tenancy.TenantAdmin)
	ctx := context.Background()
	must(t, s.store.Unsubscribe(ctx, alert.Subscription{TenantID: other.ID, Address: "hospede@hotel.com.br"}))
	must(t, s.store.Unsubscribe(ctx, alert.Subscription{TenantID: tenant.ID, Address: "ana@empresa.com.br", Metric: alert.Overage}))
	b.get(settingsPath).has("ana@empresa.com.br", text("tenant_alerts.silent_lead_own")).lacks("hospede@hotel", text("tenant_alerts.silent.back_of", "address", "ana@empresa.com.br"))
	b.post(settingsPath+"/back", url.Values{"address": {"hospede@hotel.com.br"}, "metric": {""}}).leadsTo(settingsPath)
	if m, err := s.store.TenantMailing(ctx, other.ID); err != nil || len(m.Silent) != 1 {
		t.Fatalf("%+v %v", m, err)
	}
	b.post(settingsPath+"/back", url.Values{"address": {"ana@empresa.com.br"}, "metric": {"overage"}}).status(http.StatusForbidden).has(text("tenant_alerts.error.not_theirs"))
	must(t, s.store.Unsubscribe(ctx, alert.Subscription{TenantID: tenant.ID, Address: b.user.Email, Metric: alert.Overage}))
	b.get(settingsPath).has(text("tenant_alerts.silent.back_of", "address", strings.ToLower(b.user.Email)))
	b.post(settingsPath+"/back", url.Values{"address": {b.user.Email}, "metric": {"overage"}}).leadsTo(settingsPath)
	team, path := s.as(t, tenancy.Manager), "/tenants/"+strconv.FormatInt(tenant.ID, 10)+"/alerts"
	team.get(path).has(text("tenant_alerts.silent.back_of", "address", "ana@empresa.com.br"), text("tenant_alerts.silent_lead"))
	team.post(path+"/back", url.Values{"address": {"ana@empresa.com.br"}, "metric": {"overage"}}).leadsTo(path)
	b.get(settingsPath).lacks(text("tenant_alerts.silent_lead_own"))
	b.post("/tenants/"+strconv.FormatInt(other.ID, 10)+"/alerts/overage", settingForm()).status(http.StatusNotFound)
	for _, path := range []string{"/queue_age", "/latency_p95", "/overage?key=1", "/overage?key=x"} {
		b.get(settingsPath + path).status(http.StatusNotFound)
	}
	b.post(settingsPath+"/overage", with(settingForm(), "key", "1")).status(http.StatusNotFound)
	b.post(settingsPath+"/language", url.Values{"language": {"en"}}).leadsTo(settingsPath)
	if m, _ := s.store.TenantMailing(ctx, other.ID); m.Language != i18n.PtBR {
		t.Fatal("another customer's language was changed")
	}
	if m, _ := s.store.TenantMailing(ctx, tenant.ID); m.Language != i18n.En {
		t.Fatal("the language was not changed")
	}
}

func TestTheTeamChoosesForACustomerAndForItself(t *testing.T) {
	s := newSite(t)
	_, tenant := s.company(t, "Padaria", tenancy.TenantAdmin)
	b := s.as(t, tenancy.Manager)
	at := "/tenants/" + strconv.FormatInt(tenant.ID, 10) + "/alerts"
	b.get(at).status(http.StatusOK).has(text("tenant_alerts.side.customer"), text("tenant_alerts.side.team"), text("tenant_alerts.topic.latency_p95"))
	b.get(at + "/team/error_rate").status(http.StatusOK).has(`value="manager" checked`).lacks(`value="contacts"`)
	form := settingForm()
	form["thresholds"], form["roles"] = []string{"2,5", "7"}, []string{"manager"}
	b.post(at+"/team/error_rate", form).leadsTo(at)
	b.get(at).has("2,5% ou 7%", text("tenant_alerts.own"))
	if s.decided(t, tenant.ID, alert.ErrorRate).Own {
		t.Fatal("the team's rule became the customer's")
	}
	form["roles"] = []string{"tenant_admin"}
	b.post(at+"/error_rate", form).leadsTo(at)
	if r := s.decided(t, tenant.ID, alert.ErrorRate); !r.Own || r.Rules[0].Window != 10 {
		t.Fatalf("%+v", r)
	}
	b.get("/tenants/999/alerts").status(http.StatusNotFound)
}

// ---- the links that end e-mails

func (s *site) mailLink(link alert.Subscription) string {
	return "/unsubscribe/" + alert.NewUnsubscriber(s.Secret).Token(link)
}

func (s *site) silent(t *testing.T, tenantID int64) (n int) {
	t.Helper()
	must(t, s.db.Get(&n, `SELECT count(*) FROM alert_unsubscribes WHERE tenant_id = $1`, tenantID))
	return n
}

// bare posts as a mail provider's server does: no cookie, no token, no word of where it comes from.
func (b *browser) bare(path, kind, body string) answer {
	b.t.Helper()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", kind)
	return b.send(r)
}

func TestALinkShowsWhatItEndsAndEndsItWhenAsked(t *testing.T) {
	s := newSite(t)
	_, tenant := s.company(t, "Padaria", tenancy.TenantAdmin)
	path := s.mailLink(alert.Subscription{TenantID: tenant.ID, Address: "ana@empresa.com.br", Metric: alert.Overage})
	b := s.browser(t)
	for range 2 { // whoever checks links follows them
		b.get(path).status(http.StatusOK).has("ana@empresa.com.br", "Padaria", text("tenant_alerts.topic.overage"), text("tenant_alerts.unsubscribe.all"))
	}
	if s.silent(t, tenant.ID) != 0 {
		t.Fatal("looking ended it")
	}
	// A page that tells nobody where it is sends its forms from nowhere, which are refused: the language could not be changed.
	if got := b.get(path).head.Get("Referrer-Policy"); got != "same-origin" {
		t.Fatal(got)
	}
	for range 2 {
		b.bare(path, "application/x-www-form-urlencoded", "what=topic").leadsTo(path)
	}
	b.get(path).has(text("tenant_alerts.unsubscribe.title_ended"), text("tenant_alerts.unsubscribe.undo"), text("tenant_alerts.unsubscribe.all_too"))
	b.bare(path, "application/x-www-form-urlencoded", "what=all").leadsTo(path)
	b.get(path).has(text("tenant_alerts.unsubscribe.ended_all", "address", "ana@empresa.com.br", "company", "Padaria"))
	for range 2 {
		b.bare(path+"/undo", "application/x-www-form-urlencoded", "what=all").leadsTo(path + "?undone=1")
	}
	if s.silent(t, tenant.ID) != 1 {
		t.Fatal("the undo of all took more, or nothing")
	}
	b.bare(path+"/undo", "application/x-www-form-urlencoded", "what=topic").leadsTo(path + "?undone=1")
	b.get(path+"?undone=1").has(text("tenant_alerts.unsubscribe.begun"), text("tenant_alerts.unsubscribe.submit"))
	if s.silent(t, tenant.ID) != 0 {
		t.Fatal("not undone")
	}
}

func TestOneClickOfAMailProgramNeedsNoPage(t *testing.T) {
	s := newSite(t)
	_, tenant := s.company(t, "Padaria", tenancy.TenantAdmin)
	path := s.mailLink(alert.Subscription{TenantID: tenant.ID, Address: "ana@empresa.com.br"})
	var parts bytes.Buffer
	w := multipart.NewWriter(&parts)
	must(t, w.WriteField("List-Unsubscribe", "One-Click"))
	must(t, w.Close())
	for kind, body := range map[string]string{"application/x-www-form-urlencoded": "List-Unsubscribe=One-Click", w.FormDataContentType(): parts.String(), "": ""} {
		s.db.MustExec(`DELETE FROM alert_unsubscribes`)
		got := s.browser(t).bare(path, kind, body).status(http.StatusOK) // RFC 8058: not led on
		got.lacks("<html", "ana@")
		var metric string
		must(t, s.db.Get(&metric, `SELECT metric FROM alert_unsubscribes WHERE tenant_id = $1 AND address = 'ana@empresa.com.br'`, tenant.ID))
		if metric != "" {
			t.Fatalf("%q ended %q", body, metric)
		}
	}
}

func TestAForgedLinkIsNothing(t *testing.T) {
	s := newSite(t)
	_, tenant := s.company(t, "Padaria", tenancy.TenantAdmin)
	good := s.mailLink(alert.Subscription{TenantID: tenant.ID, Address: "ana@empresa.com.br"})
	theirs := "/unsubscribe/" + alert.NewUnsubscriber([32]byte{9}).Token(alert.Subscription{TenantID: tenant.ID, Address: "ana@empresa.com.br"})
	b := s.browser(t)
	for _, path := range []string{theirs, good[:len(good)-4], "/unsubscribe/x", "/unsubscribe/" + strings.Repeat("a", 300), good[:20] + "A" + good[21:] + "AAAA"} {
		b.get(path).status(http.StatusNotFound).has(text("tenant_alerts.error.link"))
		b.bare(path, "application/x-www-form-urlencoded", "what=all").status(http.StatusNotFound)
		b.bare(path+"/undo", "application/x-www-form-urlencoded", "what=all").status(http.StatusNotFound)
	}
	if s.silent(t, tenant.ID) != 0 {
		t.Fatal("a forged link ended something")
	}
}

func TestALinksTokenOpensNothingElse(t *testing.T) {
	s := newSite(t)
	b, tenant := s.company(t, "Padaria", tenancy.TenantAdmin)
	good := s.mailLink(alert.Subscription{TenantID: tenant.ID, Address: "ana@empresa.com.br"})
	form := strings.TrimPrefix(settingForm().Encode(), "?")
	for _, path := range []string{
		good + "/../../portal/alerts/settings/overage", "/unsubscribe/../portal/alerts/settings/overage", "/unsubscribe/%2e%2e/portal/alerts/settings/overage",
		settingsPath + "/overage", settingsPath + "/overage?/unsubscribe/x", "/unsubscribe//portal/alerts/settings/overage",
	} {
		if got := b.bare(path, "application/x-www-form-urlencoded", form); got.code != http.StatusForbidden && got.code != http.StatusNotFound && got.code != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", path, got.code)
		}
	}
	if s.decided(t, tenant.ID, alert.Overage).Own {
		t.Fatal("a page took a form without its token")
	}
}

func TestNoLogNamesALinkOrItsAddress(t *testing.T) {
	s := newSite(t)
	_, tenant := s.company(t, "Padaria", tenancy.TenantAdmin)
	path := s.mailLink(alert.Subscription{TenantID: tenant.ID, Address: "ana@empresa.com.br"})
	b := s.browser(t)
	b.get(path)
	b.bare(path, "application/x-www-form-urlencoded", "what=all")
	b.get(path[:len(path)-3])
	s.db.MustExec(`ALTER TABLE alert_unsubscribes RENAME TO gone`)
	b.get(path).status(http.StatusInternalServerError)
	b.bare(path, "application/x-www-form-urlencoded", "what=all").status(http.StatusInternalServerError)
	written := s.log.all()
	for _, secret := range []string{strings.TrimPrefix(path, "/unsubscribe/")[:40], "ana@empresa"} {
		if strings.Contains(written, secret) {
			t.Fatalf("the log names %s", secret)
		}
	}
	if !strings.Contains(written, "/unsubscribe/:token") {
		t.Fatal("nothing was logged")
	}
}

func TestWhatWouldTellNobodyIsAskedWhomBeforeItIsOn(t *testing.T) {
	s := newSite(t)
	b, tenant := s.company(t, "Padaria", tenancy.TenantAdmin)
	b.get(settingsPath)
	b.post(settingsPath+"/overage", url.Values{"thresholds": {"50"}}).leadsTo(settingsPath)
	b.get(settingsPath).has(`aria-checked="false"`)
	b.post(settingsPath+"/overage/on", nil).leadsTo(settingsPath + "/overage?key=")
	if s.decided(t, tenant.ID, alert.Overage).Enabled() {
		t.Fatal("on, and tells nobody")
	}
}

func TestAKeysOwnRuleStandsUnderItsTopic(t *testing.T) {
	s := newSite(t)
	b, tenant := s.company(t, "Padaria", tenancy.TenantAdmin)
	ctx := context.Background()
	key, _, err := s.store.CreateKey(ctx, tenancy.KeyDraft{TenantID: tenant.ID, Name: "Loja"})
	must(t, err)
	topic := alert.Setting{Topic: alert.Topic{Audience: alert.Customer, Metric: alert.KeyUnused, KeyID: key.ID}}
	r := topic.Draft()
	r.Enabled = true
	must(t, s.store.SaveTenantAlerts(ctx, tenant.ID, r))
	id := strconv.FormatInt(key.ID, 10)
	path := settingsPath + "/key_unused"
	b.get(settingsPath).has("chave “Loja”", path+"?key="+id)
	stamp := ""
	rules, covered, err := s.store.TenantAlertRules(ctx, tenant.ID)
	must(t, err)
	stamp = strconv.FormatInt(alert.Deciding(rules, covered, topic.Topic).Rules[0].UpdatedAt.UnixMicro(), 10)
	b.get(path + "?key=" + id).status(http.StatusOK).has(`name="stamp" value="` + stamp + `"`)
	form := settingForm()
	form["thresholds"] = []string{"7"}
	b.post(path, with(form, "key", id, "stamp", stamp)).leadsTo(settingsPath)
	rules, covered, err = s.store.TenantAlertRules(ctx, tenant.ID)
	must(t, err)
	if now := alert.Deciding(rules, covered, topic.Topic); now.Rules[0].Thresholds[0] != 7 || now.Rules[0].Scope != alert.Key {
		t.Fatalf("%+v", now)
	}
	if s.decided(t, tenant.ID, alert.KeyUnused).Own {
		t.Fatal("the whole company's setting was changed")
	}
	b.post(path+"/default", url.Values{"key": {id}}).leadsTo(settingsPath)
	b.get(settingsPath).lacks("chave “Loja”")
}
