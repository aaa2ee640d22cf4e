package handlers

import (
	"encoding/hex"
	"net/http"
	"net/url"
	"regexp"
	"testing"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/tenancy"
)

const otherPassword = "outra senha bem comprida"

func TestANewPasswordEndsTheOtherSessionsAndKeepsThisOne(t *testing.T) {
	s := newSite(t)
	here := s.as(t, tenancy.Manager)
	there := s.signedIn(t, here.user)
	here.get("/account")
	here.post("/account/password", url.Values{"current": {goodPassword}, "password": {otherPassword}}).leadsTo("/account")
	here.get("/account").status(http.StatusOK).has(text("account.password_saved"))
	there.get("/account").status(http.StatusSeeOther)
	there.get("/login")
	there.post("/login", signInForm(here.user.Email, goodPassword)).status(http.StatusUnprocessableEntity)
	there.post("/login", signInForm(here.user.Email, otherPassword)).leadsTo("/")
}

func TestANewPasswordNeedsThePresentOne(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	b.get("/account")
	wrong := url.Values{"current": {"errada errada"}, "password": {otherPassword}}
	b.post("/account/password", wrong).status(http.StatusUnprocessableEntity).has(text("account.error.password_wrong")).lacks("errada errada", otherPassword)
	b.post("/account/password", url.Values{"current": {goodPassword}, "password": {"curta"}}).
		status(http.StatusUnprocessableEntity).has(text("error.password_short", "min", 10))
	for range 4 {
		b.post("/account/password", wrong).status(http.StatusUnprocessableEntity)
	}
	// Whoever sits at an open browser may not guess for ever either.
	right := url.Values{"current": {goodPassword}, "password": {otherPassword}}
	b.post("/account/password", right).status(http.StatusUnprocessableEntity).has("Foram muitas tentativas")
}

var endForm = regexp.MustCompile(`/account/sessions/([0-9a-f]{64})/end`)

func TestASessionCanBeEndedFromAnother(t *testing.T) {
	s := newSite(t)
	here, stranger := s.as(t, tenancy.Manager), s.as(t, tenancy.Owner)
	there := s.browser(t)
	there.header.Set("User-Agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605 Version/18.0 Mobile/15E Safari/604.1")
	there.get("/login")
	there.post("/login", signInForm(here.user.Email, goodPassword)).leadsTo("/")
	page := here.get("/account").has("Safari · iPhone", text("account.session.current"))
	found := endForm.FindAllStringSubmatch(page.body, -1)
	if len(found) != 1 {
		t.Fatalf("%d sessions can be ended, want the other one", len(found))
	}
	stranger.get("/account")
	stranger.post(found[0][0], nil).status(http.StatusNotFound)
	there.get("/account").status(http.StatusOK)

	here.post(found[0][0], nil).leadsTo("/account")
	there.get("/account").status(http.StatusSeeOther)
	here.get("/account").status(http.StatusOK).has(text("account.session.ended"))
	here.post("/account/sessions/"+hex.EncodeToString([]byte("short"))+"/end", nil).status(http.StatusNotFound)
}

func TestSigningOutEverywhereEndsAllSessions(t *testing.T) {
	s := newSite(t)
	here := s.as(t, tenancy.TenantViewer)
	there := s.signedIn(t, here.user)
	here.get("/account").has(`href="/portal"`)
	here.post("/account/sessions/end", nil).leadsTo("/login")
	here.get("/account").status(http.StatusSeeOther)
	there.get("/account").status(http.StatusSeeOther)
}

func TestTheAccountsNameIsChangedAndItsErrorsStandBesideIt(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Viewer) // a viewer may not change the panel, but their own account
	b.get("/account")
	b.post("/account", url.Values{"name": {"  "}}).status(http.StatusUnprocessableEntity).has(text("error.required"))
	b.post("/account", url.Values{"name": {"Novo Nome"}}).leadsTo("/account")
	b.get("/account").has("Novo Nome", text("account.saved"))
	var entries int
	must(t, s.db.Get(&entries, `SELECT count(*) FROM audit_log WHERE action = 'user.rename' AND user_id = $1`, b.user.ID))
	if entries != 1 {
		t.Errorf("%d audit entries", entries)
	}
}

func TestPreferencesWorkBeforeSignInAndStayWithTheUser(t *testing.T) {
	s := newSite(t)
	b := s.browser(t)
	b.get("/login").has(`<html lang="pt-BR"`)
	b.post("/preferences", url.Values{"lang": {"en"}, "next": {"/login"}}).leadsTo("/login")
	b.post("/preferences", url.Values{"theme": {"dark"}, "next": {"https://evil.test"}}).leadsTo("/")
	b.get("/login").has(`<html lang="en"`, `data-theme-choice="dark"`)
	b.post("/preferences", url.Values{"lang": {"xx"}, "theme": {"<b>"}, "next": {"/login"}}).leadsTo("/login")
	b.get("/login").has(`<html lang="en"`, `data-theme-choice="auto"`)

	u := s.as(t, tenancy.Manager)
	u.get("/account").has(`<html lang="pt-BR"`)
	u.post("/preferences", url.Values{"lang": {"en"}, "theme": {"light"}, "next": {"/account"}}).leadsTo("/account")
	elsewhere := s.signedIn(t, u.user)
	elsewhere.get("/account").has(`<html lang="en"`, `data-theme-choice="light"`)
}

func TestBrowserNameReadsTheUsualAgents(t *testing.T) {
	say := i18n.NewPrinter(i18n.PtBR, nil)
	for agent, want := range map[string]string{
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36":           "Chrome · Windows",
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36 Edg/130.0": "Edge · Windows",
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 Safari/605.1.15": "Safari · macOS",
		"Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0":                                                "Firefox · Linux",
		"Mozilla/5.0 (Linux; Android 14; SM-S911B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Mobile Safari/537.36":    "Chrome · Android",
		"curl/8.5": text("account.session.unknown"),
		"":         text("account.session.unknown"),
	} {
		if got := browserName(say, agent); got != want {
			t.Errorf("%q: %q, want %q", agent, got, want)
		}
	}
}
