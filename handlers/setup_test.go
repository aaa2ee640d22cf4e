package handlers

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"testing"

	"github.com/fila-ia/filaia/internal/tenancy"
)

func ownerForm(token string) url.Values {
	return url.Values{"token": {token}, "name": {"Marina Prado"}, "email": {"Marina@Empresa.com.br"}, "password": {goodPassword}}
}

func setupToken(t *testing.T, s *site) string {
	t.Helper()
	token, err := s.store.IssueSetupToken(context.Background())
	must(t, err)
	if token == "" {
		t.Fatal("no token")
	}
	return token
}

func TestSetupMakesTheOwnerOnceAndTheLinkDies(t *testing.T) {
	s := newSite(t)
	earlier, token := setupToken(t, s), setupToken(t, s)
	b := s.browser(t)
	b.get("/login").has(text("signin.not_set_up"))
	b.get("/setup?token=" + token).status(http.StatusOK).has(text("setup.title"))
	b.post("/setup", ownerForm(token)).leadsTo("/")
	b.get("/users").status(http.StatusOK).has("Marina Prado", "marina@empresa.com.br", text("users.role.owner"))

	again := s.browser(t)
	for _, link := range []string{token, earlier, "", "x"} {
		again.get("/setup?token=" + link).status(http.StatusNotFound).has(text("setup.over_title"))
		form := ownerForm(link)
		form.Set("email", "outra@empresa.com.br")
		again.post("/setup", form).status(http.StatusNotFound)
	}
	again.get("/login").lacks(text("signin.not_set_up"))
	if next, err := s.store.IssueSetupToken(context.Background()); next != "" || err != nil {
		t.Errorf("a new link was issued: %q, %v", next, err)
	}
}

func TestOfTwoSetupsAtTheSameTimeOneMakesTheOwner(t *testing.T) {
	s := newSite(t)
	token := setupToken(t, s)
	codes := make([]int, 6)
	var wg sync.WaitGroup
	for i := range codes {
		b := s.browser(t)
		b.get("/setup?token=" + token)
		form := ownerForm(token)
		form.Set("email", string(rune('a'+i))+"@empresa.com.br")
		wg.Go(func() { codes[i] = b.post("/setup", form).code })
	}
	wg.Wait()
	made := 0
	for _, code := range codes {
		switch code {
		case http.StatusSeeOther:
			made++
		case http.StatusNotFound:
		default:
			t.Errorf("status %d", code)
		}
	}
	var owners int
	must(t, s.db.Get(&owners, `SELECT count(*) FROM users`))
	if made != 1 || owners != 1 {
		t.Errorf("%d answers say made, %d users exist", made, owners)
	}
}

func TestSetupKeepsWhatWasTypedAndSaysWhatIsWrong(t *testing.T) {
	s := newSite(t)
	token := setupToken(t, s)
	b := s.browser(t)
	b.get("/setup?token=" + token)
	form := url.Values{"token": {token}, "name": {"Marina <b>"}, "email": {"marina"}, "password": {"curta"}}
	b.post("/setup", form).status(http.StatusUnprocessableEntity).
		has(`value="Marina &lt;b&gt;"`, `value="marina"`, text("error.password_short", "min", 10), text("error.email", "value", "marina"),
			`name="token" value="`+token+`"`).
		lacks("curta")
	b.post("/setup", ownerForm(token)).leadsTo("/")
}

func TestTheOwnerKeepsTheLanguageChosenDuringSetup(t *testing.T) {
	s := newSite(t)
	token := setupToken(t, s)
	b := s.browser(t)
	b.get("/setup?token=" + token)
	b.post("/preferences", url.Values{"lang": {"en"}, "next": {"/setup?token=" + token}}).leadsTo("/setup?token=" + token)
	b.get("/setup?token=" + token).has("get started")
	b.post("/setup", ownerForm(token)).leadsTo("/")
	b.get("/account").has(`<html lang="en"`, "My account")
}

func TestAnOwnerFromElsewhereClosesTheSetup(t *testing.T) {
	s := newSite(t)
	token := setupToken(t, s)
	s.user(t, tenancy.Owner)
	s.browser(t).get("/setup?token=" + token).status(http.StatusNotFound)
}
