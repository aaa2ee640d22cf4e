package handlers

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/tenancy"
)

func signInForm(email, password string) url.Values {
	return url.Values{"email": {email}, "password": {password}}
}

func TestSignInLeadsEachRoleToItsOwnSide(t *testing.T) {
	s := newSite(t)
	for role, start := range map[tenancy.Role]string{tenancy.Owner: "/", tenancy.Viewer: "/", tenancy.TenantAdmin: "/portal"} {
		u := s.user(t, role)
		b := s.browser(t)
		b.get("/login").status(http.StatusOK)
		b.post("/login", signInForm("  "+strings.ToUpper(u.Email), goodPassword)).leadsTo(start)
	}
}

func TestSignInReturnsToThePageThatWasAskedFor(t *testing.T) {
	s := newSite(t)
	u := s.user(t, tenancy.Manager)
	b := s.browser(t)
	b.get("/account?x=1").leadsTo("/login?next=%2Faccount%3Fx%3D1")
	b.get("/login?next=%2Faccount%3Fx%3D1").has(`name="next" value="/account?x=1"`)
	for next, want := range map[string]string{
		"/account?x=1": "/account?x=1", "https://evil.test/": "/", "//evil.test": "/", `/\evil.test`: "/",
		"/\t/evil.test": "/", // browsers drop tabs: what is left names a host
	} {
		form := signInForm(u.Email, goodPassword)
		form.Set("next", next)
		fresh := s.browser(t)
		fresh.get("/login")
		fresh.post("/login", form).leadsTo(want)
	}
}

func TestSignInSaysTheSameForWrongPasswordUnknownAndDisabledAccounts(t *testing.T) {
	s := newSite(t)
	known, disabled := s.user(t, tenancy.Manager), s.user(t, tenancy.Manager)
	must(t, s.store.DisableUser(context.Background(), disabled.ID))
	b := s.browser(t)
	b.get("/login")
	var bodies []string
	for email, password := range map[string]string{
		known.Email: "errada errada", "ninguem@empresa.com.br": goodPassword, disabled.Email: goodPassword,
	} {
		a := b.post("/login", signInForm(email, password)).status(http.StatusUnprocessableEntity)
		a.has(text("signin.error.wrong"), `value="`+email+`"`).lacks(password)
		bodies = append(bodies, tokenField.ReplaceAllString(strings.ReplaceAll(a.body, email, ""), ""))
	}
	if bodies[0] != bodies[1] || bodies[1] != bodies[2] {
		t.Error("the answers differ")
	}
	if b.cookie("filaia_session") != "" {
		t.Error("a failed sign-in opened a session")
	}
}

func TestSignInSlowsDownAfterFiveFailures(t *testing.T) {
	s := newSite(t)
	u := s.user(t, tenancy.Manager)
	b := s.browser(t)
	b.get("/login")
	for range 5 {
		b.post("/login", signInForm(u.Email, "errada errada")).status(http.StatusUnprocessableEntity)
	}
	a := b.post("/login", signInForm(u.Email, goodPassword)).status(http.StatusTooManyRequests)
	until := s.clock.now().Add(2*time.Minute - time.Nanosecond)
	a.has("Aguarde 1\u00a0min", until.In(s.Zone).Format("15:04"), `value="`+u.Email+`"`)
	if got := a.head.Get("Retry-After"); got != "60" {
		t.Errorf("Retry-After %q, want 60", got)
	}
	s.clock.pass(time.Minute)
	b.post("/login", signInForm(u.Email, goodPassword)).leadsTo("/")
}

func TestASignInMovesTheSessionToANewToken(t *testing.T) {
	s := newSite(t)
	u := s.user(t, tenancy.Manager)
	b := s.browser(t)
	b.user = u
	b.get("/login")
	b.post("/login", signInForm(u.Email, goodPassword)).leadsTo("/")
	before := b.cookie("filaia_session")
	b.post("/login", signInForm(u.Email, goodPassword)).status(http.StatusForbidden) // the token belonged to the visitor
	b.get("/account").status(http.StatusOK)
	b.post("/login", signInForm(b.user.Email, goodPassword)).leadsTo("/")
	after := b.cookie("filaia_session")
	if after == before || after == "" {
		t.Fatal("the cookie stayed the same")
	}
	old := s.browser(t)
	old.header.Set("Cookie", "filaia_session="+before)
	old.get("/account").leadsTo("/login?next=%2Faccount")
	b.get("/account").status(http.StatusOK)
}

func TestSignOutEndsTheSessionOnTheServer(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	stolen := s.browser(t)
	stolen.header.Set("Cookie", "filaia_session="+b.cookie("filaia_session"))
	stolen.get("/account").status(http.StatusOK)
	b.get("/account")
	b.post("/logout", nil).leadsTo("/login")
	if b.cookie("filaia_session") != "" {
		t.Error("the cookie stayed")
	}
	stolen.get("/account").leadsTo("/login?next=%2Faccount")
}

func TestTheSessionCookieIsKeptFromScriptsAndOtherSites(t *testing.T) {
	for address, want := range map[string]struct {
		name   string
		secure bool
	}{siteAddress: {"filaia_session", false}, "https://panel.test": {"__Host-filaia_session", true}} {
		s := newSiteAt(t, address)
		u := s.user(t, tenancy.Owner)
		b := s.browser(t)
		b.get("/login")
		a := b.post("/login", signInForm(u.Email, goodPassword)).status(http.StatusSeeOther)
		found := false
		for _, c := range (&http.Response{Header: a.head}).Cookies() {
			if c.Name != want.name {
				continue
			}
			found = true
			if !c.HttpOnly || c.Secure != want.secure || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
				t.Errorf("%s: %v", address, c)
			}
		}
		if !found {
			t.Errorf("%s: no cookie %s in %v", address, want.name, a.head["Set-Cookie"])
		}
	}
}

func TestAnIdleSessionEndsAndOneInUseGoesOnForThirtyDays(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	for range 65 { // 65 × 11 h: 29.8 days
		s.clock.pass(11 * time.Hour)
		b.get("/account").status(http.StatusOK)
	}
	s.clock.pass(11 * time.Hour)
	b.get("/account").status(http.StatusSeeOther)

	idle := s.signedIn(t, b.user)
	s.clock.pass(12*time.Hour + time.Second)
	idle.get("/account").status(http.StatusSeeOther)
}

func TestAForgedOrForeignSessionCookieIsNobody(t *testing.T) {
	s, other := newSite(t), newSite(t)
	b := s.as(t, tenancy.Owner)
	good := b.cookie("filaia_session")
	for name, value := range map[string]string{"cut": good[:len(good)-3], "empty": "", "of the other site": other.as(t, tenancy.Owner).cookie("filaia_session")} {
		thief := s.browser(t)
		thief.header.Set("Cookie", "filaia_session="+value)
		if code := thief.get("/account").code; code != http.StatusSeeOther {
			t.Errorf("%s: status %d", name, code)
		}
	}
}

func TestSecretsAreInNoLog(t *testing.T) {
	s := newSite(t)
	token, err := s.store.IssueSetupToken(context.Background())
	must(t, err)
	b := s.browser(t)
	b.get("/setup?token=" + token).status(http.StatusOK)
	b.post("/setup", url.Values{"token": {token}, "name": {"Dona"}, "email": {"dona@empresa.com.br"}, "password": {"canary senha longa"}}).leadsTo("/")
	wrong := s.browser(t)
	wrong.get("/login")
	wrong.post("/login", signInForm("dona@empresa.com.br", "canary errada")).status(http.StatusUnprocessableEntity)
	b.get("/setup?token=" + token).status(http.StatusNotFound)
	s.db.Close()
	b.get("/account").status(http.StatusInternalServerError)
	log := s.log.all()
	for name, secret := range map[string]string{
		"set-up token": token, "password": "canary", "session": b.cookie("filaia_session"), "form token": b.token,
	} {
		if secret == "" || strings.Contains(log, secret) {
			t.Errorf("the %s is empty or in the log:\n%s", name, log)
		}
	}
	if !strings.Contains(log, `"route":"/setup"`) || !strings.Contains(log, `"level":"ERROR"`) {
		t.Errorf("the log tells too little:\n%s", log)
	}
}
