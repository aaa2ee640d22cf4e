package handlers

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// askLink is what the e-mail to an address leads to.
func (s *site) askLink(t *testing.T, address string) string {
	t.Helper()
	var id int64
	var nonce uuid.UUID
	must(t, s.db.QueryRow(`SELECT id, nonce FROM alert_addresses WHERE address = $1`, address).Scan(&id, &nonce))
	return "/confirm/" + alert.NewConfirmer(s.Secret).Token(id, nonce)
}

// names has the customer name two addresses from outside.
func (s *site) names(t *testing.T) (*browser, tenancy.Tenant, string) {
	t.Helper()
	b, tenant := s.company(t, "Padaria", tenancy.TenantAdmin)
	b.get(settingsPath + "/overage")
	b.post(settingsPath+"/overage", settingForm()).leadsTo(settingsPath)
	return b, tenant, s.askLink(t, "ana@empresa.com.br")
}

func (s *site) answer(t *testing.T, address string) string {
	t.Helper()
	var state string
	must(t, s.db.Get(&state, `SELECT CASE WHEN confirmed_at IS NOT NULL THEN 'confirmed' WHEN declined_at IS NOT NULL THEN 'declined' ELSE 'open' END
		FROM alert_addresses WHERE address = $1`, address))
	return state
}

const formKind = "application/x-www-form-urlencoded"

func TestAnAddressFromOutsideAgreesByAButtonAndNoLook(t *testing.T) {
	s := newSite(t)
	b, tenant, path := s.names(t)
	b.get(settingsPath).has(text("alert_confirm.waiting"), text("alert_confirm.again_to", "address", "ana@empresa.com.br"), text("alert_confirm.mark", "address", "bia@empresa.com.br"))
	b.get(settingsPath+"/overage").has("Aguarda confirmação desde", "/ask?in=form")
	reader := s.browser(t)
	for _, page := range []string{path, path, path + "/decline"} { // whoever checks links follows them
		reader.get(page).status(http.StatusOK).has("ana@empresa.com.br", "Padaria", b.user.Email, text("alert_confirm.page.submit"), text("alert_confirm.page.decline"), text("tenant_alerts.topic.overage"))
	}
	reader.bare(path, formKind, "").status(http.StatusNotFound)
	if got := s.answer(t, "ana@empresa.com.br"); got != "open" {
		t.Fatal(got)
	}
	for range 2 {
		reader.bare(path, formKind, "page=yes").leadsTo(path)
	}
	reader.get(path).has(text("alert_confirm.page.title.confirmed"), text("alert_confirm.page.stop"))
	if s.answer(t, "ana@empresa.com.br") != "confirmed" || s.answer(t, "bia@empresa.com.br") != "open" {
		t.Fatal("the wrong one")
	}
	b.get(settingsPath).lacks(text("alert_confirm.again_to", "address", "ana@empresa.com.br"))
	team := s.as(t, tenancy.Viewer)
	team.get("/tenants/" + strconv.FormatInt(tenant.ID, 10) + "/alerts").has("bia@empresa.com.br").lacks(text("alert_confirm.again_to", "address", "bia@empresa.com.br"))
	reader.bare(path+"/decline", formKind, "page=yes").leadsTo(path)
	reader.get(path).has(text("alert_confirm.page.title.declined"), text("alert_confirm.page.changed_mind"))
	b.get(settingsPath).has(text("alert_confirm.mark_declined", "address", "ana@empresa.com.br"))
}

func TestAMailProgramsOneClickDeclinesAndNeverAgrees(t *testing.T) {
	s := newSite(t)
	_, _, path := s.names(t)
	s.browser(t).bare(path, formKind, "List-Unsubscribe=One-Click").status(http.StatusNotFound)
	s.browser(t).bare(path+"/decline", formKind, "List-Unsubscribe=One-Click").status(http.StatusOK).lacks("<html", "ana@")
	if got := s.answer(t, "ana@empresa.com.br"); got != "declined" {
		t.Fatal(got)
	}
}

func TestAForgedRequestToConfirmIsNothing(t *testing.T) {
	s := newSite(t)
	_, _, path := s.names(t)
	b := s.browser(t)
	other := "/confirm/" + alert.NewConfirmer([32]byte{9}).Token(1, uuid.New())
	unknown := "/confirm/" + alert.NewConfirmer(s.Secret).Token(1, uuid.New())
	for _, forged := range []string{other, unknown, path[:len(path)-4], "/confirm/x", "/confirm/" + strings.Repeat("a", 300)} {
		b.get(forged).status(http.StatusNotFound).has(text("alert_confirm.error.link"))
		b.bare(forged, formKind, "page=yes").status(http.StatusNotFound)
		b.bare(forged+"/decline", formKind, "page=yes").status(http.StatusNotFound)
	}
	for range maxForged {
		b.bare(other, formKind, "page=yes")
	}
	b.get(other).status(http.StatusServiceUnavailable)
	b.get(path).status(http.StatusOK) // who has a link is not held up by those who guess
	if got := s.answer(t, "ana@empresa.com.br"); got != "open" {
		t.Fatal(got)
	}
}

func TestALinkThatIsTooLateSaysSo(t *testing.T) {
	s := newSite(t)
	_, _, path := s.names(t)
	s.db.MustExec(`UPDATE alert_addresses SET asked_at = asked_at - interval '8 days', expires_at = expires_at - interval '8 days', mailed = '{}'`)
	b := s.browser(t)
	b.get(path).has(text("alert_confirm.page.title.expired")).lacks(text("alert_confirm.page.submit"))
	b.bare(path, formKind, "page=yes").leadsTo(path)
	if got := s.answer(t, "ana@empresa.com.br"); got != "open" {
		t.Fatal(got)
	}
}

func TestAnAddressIsAskedAgainFromWhereItIsShown(t *testing.T) {
	s := newSite(t)
	b, tenant, _ := s.names(t)
	ask := settingsPath + "/ask"
	b.post(ask, url.Values{"outside": {"ana@empresa.com.br"}}).status(http.StatusConflict).has(text("alert_confirm.error.pause", "address", "ana@empresa.com.br"))
	b.postPart(ask+"?in=form", url.Values{"outside": {"Ana@Empresa.com.br"}}).status(http.StatusUnprocessableEntity).
		has(text("alert_confirm.error.pause", "address", "ana@empresa.com.br"), `id="outside-ana@empresa.com.br"`, "formaction").lacks("<html", "<form")
	s.db.MustExec(`UPDATE alert_addresses SET mailed = ARRAY[now() - interval '2 hours']`)
	b.postPart(ask, url.Values{"outside": {"ana@empresa.com.br"}}).status(http.StatusOK).has(text("alert_confirm.asked", "address", "ana@empresa.com.br"), "<form").lacks("<html")
	b.post(ask, url.Values{"outside": {"bia@empresa.com.br"}}).leadsTo(settingsPath)
	b.post(ask, url.Values{"outside": {"estranho@x.com"}}).status(http.StatusNotFound)
	var n int
	must(t, s.db.Get(&n, `SELECT count(*) FROM deliveries WHERE kind = 'confirmation' AND recipient LIKE '%@empresa.com.br'`))
	if n != 4 {
		t.Fatalf("%d e-mails", n)
	}
	viewer := s.personOf(t, tenant, tenancy.TenantViewer)
	viewer.get(settingsPath).has("ana@empresa.com.br").lacks(text("alert_confirm.again_to", "address", "ana@empresa.com.br"))
	viewer.post(ask, url.Values{"outside": {"ana@empresa.com.br"}}).status(http.StatusForbidden)
	stranger, _ := s.company(t, "Hotel", tenancy.TenantAdmin)
	stranger.get(settingsPath).lacks("ana@empresa.com.br")
	stranger.post(ask, url.Values{"outside": {"ana@empresa.com.br"}}).status(http.StatusNotFound)
}

func TestTheTeamSeesWhoHasNotAgreedInARulesForm(t *testing.T) {
	s := newSite(t)
	_, tenant, _ := s.names(t)
	own := s.decided(t, tenant.ID, alert.Overage)
	b := s.as(t, tenancy.Manager)
	rule := "/alerts/rules/" + strconv.FormatInt(own.Rules[0].ID, 10)
	b.get(rule).status(http.StatusOK).has(text("alert_confirm.help"), "/tenants/"+strconv.FormatInt(tenant.ID, 10)+"/alerts/ask?in=form", "Aguarda confirmação desde")
	b.get("/alerts/rules/new").lacks(text("alert_confirm.help"))
}

func TestAnAlertSaysToWhomItWasNotSent(t *testing.T) {
	s := newSite(t)
	b, tenant, path := s.names(t)
	own := s.decided(t, tenant.ID, alert.Overage)
	var event int64
	must(t, s.db.Get(&event, `INSERT INTO alert_events (group_id, lead, rule_id, audience, metric, unit, subject, tenant_id, period, threshold, value, raised_at, dispatched_at)
		VALUES (gen_random_uuid(), true, $1, 'customer', 'overage', 'brl', 'tenant:1', $2, now(), 50000000, 50000000, now(), now()) RETURNING id`, own.Rules[0].ID, tenant.ID))
	s.db.MustExec(`INSERT INTO deliveries (batch, kind, audience, tenant_id, channel, recipient, language, event_ids, state, reason, due_at, created_at, finished_at)
		VALUES ('unsent:x', 'alert', 'customer', $1, 'email', 'ana@empresa.com.br', 'en', ARRAY[$2::bigint], 'cancelled', 'unconfirmed', now(), now(), now())`, tenant.ID, event)
	id := strconv.FormatInt(event, 10)
	b.get("/portal/alerts/"+id).status(http.StatusOK).has(text("alert_confirm.unsent"), "O endereço aguarda confirmação desde", settingsPath+"/ask")
	s.as(t, tenancy.Manager).get("/alerts/"+id).has("ana@empresa.com.br", text("alert_confirm.unsent"), "/tenants/"+strconv.FormatInt(tenant.ID, 10)+"/alerts/ask")
	reader := s.browser(t)
	reader.get(path).lacks(text("alert_confirm.page.missed"))
	reader.bare(path, formKind, "page=yes").leadsTo(path)
	reader.get(path).has(text("alert_confirm.page.missed"))
	b.get("/portal/alerts/" + id).has("ainda não tinha confirmado").lacks(settingsPath + "/ask")
}

func TestNoLogNamesARequestToConfirm(t *testing.T) {
	s := newSite(t)
	_, _, path := s.names(t)
	b := s.browser(t)
	b.get(path)
	b.get(path[:len(path)-3])
	b.bare(path, formKind, "page=yes")
	s.db.MustExec(`ALTER TABLE alert_addresses RENAME TO gone`)
	b.get(path).status(http.StatusInternalServerError)
	b.bare(path+"/decline", formKind, "page=yes").status(http.StatusInternalServerError)
	written := s.log.all()
	for _, secret := range []string{strings.TrimPrefix(path, "/confirm/")[:30], "ana@empresa"} {
		if strings.Contains(written, secret) {
			t.Fatalf("the log names %s", secret)
		}
	}
	if !strings.Contains(written, "/confirm/:token") {
		t.Fatal("nothing was logged")
	}
}

func TestReadersOfKeptMessagesSeeNoLinkThatAgrees(t *testing.T) {
	masked := endLink.ReplaceAllString("https://x.com/confirm/abc_-1/decline https://x.com/unsubscribe/def", "${1}…")
	if strings.Contains(masked, "abc") || strings.Contains(masked, "def") {
		t.Fatal(masked)
	}
}
