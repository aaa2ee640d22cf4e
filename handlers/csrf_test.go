package handlers

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/fila-ia/filaia/internal/tenancy"
)

func TestAFormWithoutItsTokenIsRefused(t *testing.T) {
	s := newSite(t)
	b, other := s.as(t, tenancy.Owner), s.as(t, tenancy.Owner)
	other.get("/account")
	b.get("/account")
	good := b.token
	for name, token := range map[string]string{
		"none": "", "nonsense": "%%%", "too short": "abcd", "changed": good[:len(good)-2] + "AA", "of another session": other.token,
	} {
		a := b.post("/account", url.Values{"csrf": {token}, "name": {"Mudado"}})
		if a.code != http.StatusForbidden {
			t.Errorf("%s: status %d", name, a.code)
		}
		a.has(text("problem.csrf"))
	}
	b.post("/account", url.Values{"csrf": {good}, "name": {"Mudado"}}).leadsTo("/account")
}

func TestAFormTokenInTheAddressIsNoToken(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Owner)
	b.get("/account")
	b.post("/account?csrf="+url.QueryEscape(b.token), url.Values{"csrf": {""}, "name": {"Mudado"}}).status(http.StatusForbidden)
}

func TestScriptsSendTheTokenInAHeader(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Owner)
	b.get("/account")
	b.header.Set("X-CSRF-Token", b.token)
	b.header.Set("HX-Request", "true")
	a := b.post("/account", url.Values{"csrf": {"old"}, "name": {"Mudado"}}).status(http.StatusNoContent)
	if got := a.head.Get("HX-Redirect"); got != "/account" {
		t.Errorf("HX-Redirect %q", got)
	}
}

func TestRequestsFromOtherSitesAreRefused(t *testing.T) {
	s := newSite(t)
	for name, c := range map[string]struct {
		header http.Header
		want   int
	}{
		"foreign origin":     {http.Header{"Origin": {"https://evil.test"}}, http.StatusForbidden},
		"null origin":        {http.Header{"Origin": {"null"}}, http.StatusForbidden},
		"another port":       {http.Header{"Origin": {"http://panel.test:8081"}}, http.StatusForbidden},
		"cross-site":         {http.Header{"Sec-Fetch-Site": {"cross-site"}}, http.StatusForbidden},
		"a sister subdomain": {http.Header{"Sec-Fetch-Site": {"same-site"}}, http.StatusForbidden},
		"own origin":         {http.Header{"Origin": {"http://panel.test"}, "Sec-Fetch-Site": {"same-origin"}}, http.StatusSeeOther},
		"says nothing":       {http.Header{}, http.StatusSeeOther},
	} {
		b := s.as(t, tenancy.Owner)
		b.get("/account")
		for key, value := range c.header {
			b.header[key] = value
		}
		if a := b.post("/account", url.Values{"name": {"Mudado"}}); a.code != c.want {
			t.Errorf("%s: status %d, want %d", name, a.code, c.want)
		}
	}
}

func TestTheTokenBeforeSignInBelongsToOneBrowser(t *testing.T) {
	s := newSite(t)
	u := s.user(t, tenancy.Owner)
	one, two := s.browser(t), s.browser(t)
	one.get("/login")
	two.get("/login")
	form := signInForm(u.Email, goodPassword)
	form.Set("csrf", one.token)
	two.post("/login", form).status(http.StatusForbidden)
	s.browser(t).post("/login", signInForm(u.Email, goodPassword)).status(http.StatusForbidden)
}

func TestEachPageHasATokenOfItsOwn(t *testing.T) {
	s := newSite(t)
	b := s.browser(t)
	b.get("/login")
	first := b.token
	b.get("/login")
	if b.token == first || b.token == "" {
		t.Error("the token repeats")
	}
}
