package handlers

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/fila-ia/filaia/internal/tenancy"
)

// outlived gives a browser whose page is open while its sessions are ended elsewhere, and the person behind it.
func outlived(t *testing.T) (*site, *browser, tenancy.User) {
	t.Helper()
	s := newSite(t)
	u := s.user(t, tenancy.Owner)
	b := s.signedIn(t, u)
	b.get("/account")
	_, err := s.db.Exec(`DELETE FROM sessions`)
	must(t, err)
	b.header.Set("Sec-Fetch-Site", "same-origin")
	return s, b, u
}

func TestWhatWasTypedWhenASessionEndedIsSentAgainAfterSignIn(t *testing.T) {
	_, b, u := outlived(t)
	typed := url.Values{"csrf": {b.token}, "name": {`Ana "Lu" <b>`}}
	b.post("/account", typed).status(http.StatusForbidden).
		has(text("problem.ended.text"), `href="/login"`, `action="/account"`, `name="name" value="Ana &#34;Lu&#34; &lt;b&gt;"`).lacks("<b>")
	b.get("/login")
	b.post("/login", signInForm(u.Email, goodPassword)).leadsTo("/")
	b.post("/account", typed).status(http.StatusForbidden).has(text("problem.stale.text"), `value="Ana &#34;Lu&#34; &lt;b&gt;"`).lacks(`target="_blank"`)
	b.post("/account", url.Values{"name": typed["name"]}).leadsTo("/account") // with the token of that page
	b.get("/account").has("Ana &#34;Lu&#34; &lt;b&gt;")
}

func TestWhatASecretFormHeldIsNotHandedBack(t *testing.T) {
	_, b, _ := outlived(t)
	b.post("/account/password", url.Values{"current_password": {"canary-1"}}).status(http.StatusForbidden).
		has(text("problem.ended_secret.text")).lacks("canary-1", text("problem.send_again"))
}

func TestScriptsAreLedToSignInWhenTheSessionHasEnded(t *testing.T) {
	_, b, _ := outlived(t)
	b.header.Set("HX-Request", "true")
	b.header.Set("HX-Current-URL", "http://panel.test/alerts/rules/new")
	a := b.post("/alerts/rules/preview", url.Values{"name": {"x"}}).status(http.StatusUnauthorized)
	if got := a.head.Get("HX-Redirect"); got != "/login?next=%2Falerts%2Frules%2Fnew" {
		t.Errorf("leads to %q", got)
	}
}

func TestOtherSitesAndStrangersGetNoFormBack(t *testing.T) {
	_, b, _ := outlived(t)
	stale := b.token
	for _, from := range []string{"cross-site", "same-site", "none"} {
		b.header.Set("Sec-Fetch-Site", from)
		b.post("/account", url.Values{"csrf": {stale}, "name": {"Mudado"}}).status(http.StatusForbidden).has(text("problem.csrf")).lacks("Mudado")
	}
	b.header.Set("Sec-Fetch-Site", "same-origin")
	form := signInForm("ana@x.example", "canary-2")
	form.Set("csrf", stale)
	b.post("/login", form).status(http.StatusForbidden).has(text("problem.csrf")).lacks("canary-2")
}

func TestAProblemLeadsBackToThePageOfOursThatLedThere(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Viewer)
	for referer, back := range map[string]string{
		"http://panel.test/plans?page=2": `href="/plans?page=2"`, "http://evil.test/plans": "", "http://panel.test/plans/new": "", "http://panel.test//evil.test/": "", "": "",
	} {
		b.header.Set("Referer", referer)
		a := b.get("/plans/new").status(http.StatusForbidden)
		if back == "" {
			a.lacks(text("problem.go_back"))
			continue
		}
		a.has(text("problem.go_back"), back)
	}
}
