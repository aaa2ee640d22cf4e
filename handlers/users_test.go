package handlers

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"testing"

	"github.com/fila-ia/filaia/internal/tenancy"
)

func userForm(name, email, role string) url.Values {
	return url.Values{"name": {name}, "email": {email}, "role": {role}}
}

func userPath(u tenancy.User) string { return "/users/" + strconv.FormatInt(u.ID, 10) }

var madePassword = regexp.MustCompile(`data-secret-value>([a-z2-9]{4}-[a-z2-9]{4}-[a-z2-9]{4}-[a-z2-9]{4})<`)

func TestAGeneratedPasswordIsShownOnceAndWorks(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Owner)
	b.get("/users/new").status(http.StatusOK)
	page := b.post("/users", userForm("Ana Souza", "ana@empresa.com.br", "manager")).status(http.StatusOK)
	found := madePassword.FindStringSubmatch(page.body)
	if found == nil {
		t.Fatalf("no password in the page:\n%s", page.body)
	}
	b.get("/users").has("Ana Souza", text("users.role.manager")).lacks(found[1])
	ana := s.browser(t)
	ana.get("/login")
	ana.post("/login", signInForm("ana@empresa.com.br", found[1])).leadsTo("/")

	var entries int
	must(t, s.db.Get(&entries, `SELECT count(*) FROM audit_log WHERE action = 'user.create' AND actor = $1 AND details->>'email' = 'ana@empresa.com.br'
		AND details::text NOT LIKE '%' || $2 || '%'`, b.user.Email, found[1]))
	if entries != 1 {
		t.Errorf("%d audit entries", entries)
	}
}

func TestATypedPasswordIsNotShownAgain(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Owner)
	b.get("/users/new")
	form := userForm("Ana Souza", "ana@empresa.com.br", "viewer")
	form.Set("password", goodPassword)
	b.post("/users", form).leadsTo("/users").lacks(goodPassword)
	b.get("/users").has(text("users.created", "name", "Ana Souza"))
	b.get("/users").lacks(text("users.created", "name", "Ana Souza"))
}

func TestTheUserFormKeepsWhatWasTypedAndMarksEachField(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Owner)
	b.get("/users/new")
	form := userForm("Ana", "ana", "tenant_admin")
	form.Set("password", "curta")
	b.post("/users", form).status(http.StatusUnprocessableEntity).
		has(`value="Ana"`, `value="ana"`, `value="tenant_admin" checked`, text("error.email", "value", "ana"), text("error.tenant_required"),
			text("error.password_short", "min", 10)).
		lacks("curta")
	b.post("/users", userForm("Outra", b.user.Email, "viewer")).status(http.StatusUnprocessableEntity).
		has(text("users.error.email_taken"), `value="Outra"`)
	b.post("/users", userForm("Ana", "ana@empresa.com.br", "king")).status(http.StatusUnprocessableEntity)
}

func TestACustomersUserBelongsToTheCustomerAndATeamUserToNone(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Owner)
	customer := s.user(t, tenancy.TenantAdmin)
	tenant := strconv.FormatInt(customer.TenantID, 10)
	b.get("/users/new?tenant="+tenant).has(`<option value="`+tenant+`" selected`, "Cliente de Teste")
	form := userForm("Ana", "ana@empresa.com.br", "tenant_viewer")
	form.Set("tenant", tenant)
	form.Set("password", goodPassword)
	b.post("/users", form).leadsTo("/users")
	form = userForm("Bia", "bia@empresa.com.br", "viewer")
	form.Set("tenant", tenant) // the choice stays in the form, hidden, when the role changes
	form.Set("password", goodPassword)
	b.post("/users", form).leadsTo("/users")
	page, err := s.store.ListUsers(context.Background(), tenancy.ListQuery{TenantID: customer.TenantID})
	must(t, err)
	if page.Total != 2 {
		t.Errorf("%d users of the customer", page.Total)
	}
}

func TestTheUserListSearchesFiltersSortsAndPages(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Owner)
	for i := range 60 {
		_, err := s.store.CreateUser(context.Background(), tenancy.UserDraft{Name: fmt.Sprintf("Pessoa %02d", i), Email: fmt.Sprintf("p%d@x.com", i), Role: tenancy.Viewer}, "x")
		must(t, err)
	}
	_, err := s.store.CreateUser(context.Background(), tenancy.UserDraft{Name: "Íris São João", Email: "iris@x.com", Role: tenancy.Manager}, "x")
	must(t, err)
	b.get("/users?sort=name&dir=desc").has("Pessoa 59", text("users.count", "n", 62)).lacks("Pessoa 00")
	b.get("/users?sort=name&page=2").has("Pessoa 59").lacks("Pessoa 00")
	part := b.part("/users?q=sao+joao").status(http.StatusOK).has("Íris São João", text("users.count", "n", 1)).lacks("Pessoa 01", "<html")
	if part.head.Get("Vary") != "HX-Request" {
		t.Errorf("Vary %q", part.head.Get("Vary"))
	}
	must(t, s.store.DisableUser(context.Background(), 2))
	b.get("/users?status=disabled").has("Pessoa 00", text("users.count", "n", 1))
	b.get("/users?sort=nonsense&dir=x&page=-3&status=%27").status(http.StatusOK)
}

func TestDisablingAUserSignsThemOutAtOnceAndEnablingLetsThemBack(t *testing.T) {
	s := newSite(t)
	owner, ana := s.as(t, tenancy.Owner), s.as(t, tenancy.Manager)
	ana.get("/account").status(http.StatusOK)
	owner.get("/users")
	owner.post(userPath(ana.user)+"/disable", nil).leadsTo("/users")
	ana.get("/account").status(http.StatusSeeOther)
	ana.get("/login")
	ana.post("/login", signInForm(ana.user.Email, goodPassword)).status(http.StatusUnprocessableEntity)
	owner.post(userPath(ana.user)+"/enable", nil).leadsTo("/users")
	ana.post("/login", signInForm(ana.user.Email, goodPassword)).leadsTo("/")
}

func TestAChangedRoleHoldsFromTheNextRequest(t *testing.T) {
	s := newSite(t)
	owner, ana := s.as(t, tenancy.Owner), s.as(t, tenancy.Owner)
	ana.get("/users").status(http.StatusOK)
	owner.get("/users")
	owner.post(userPath(ana.user), userForm("Ana Maria", ana.user.Email, "viewer")).leadsTo("/users")
	ana.get("/users").status(http.StatusNotFound)
	ana.get("/account").has("Ana Maria", text("users.role.viewer"))
	owner.post(userPath(ana.user), userForm("", "x", "viewer")).status(http.StatusUnprocessableEntity).has(text("error.required"), `value="x"`)
}

func TestOwnersCannotShutThemselvesOut(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Owner)
	s.user(t, tenancy.Owner)
	b.get(userPath(b.user)).has(text("users.own_role")).lacks(`name="role"`, "disable-user")
	b.post(userPath(b.user), userForm("Eu", b.user.Email, "viewer")).leadsTo("/users")
	b.get("/users").status(http.StatusOK) // still an owner
	b.post(userPath(b.user)+"/disable", nil).status(http.StatusConflict).has(text("users.error.self"))
	b.post(userPath(b.user)+"/password", nil).status(http.StatusConflict)
	b.get("/users").status(http.StatusOK)
}

func TestAResetPasswordReplacesTheOldOneAndEndsSessions(t *testing.T) {
	s := newSite(t)
	owner, ana := s.as(t, tenancy.Owner), s.as(t, tenancy.Manager)
	owner.get("/users")
	found := madePassword.FindStringSubmatch(owner.post(userPath(ana.user)+"/password", nil).status(http.StatusOK).body)
	if found == nil {
		t.Fatal("no password shown")
	}
	ana.get("/account").status(http.StatusSeeOther)
	ana.get("/login")
	ana.post("/login", signInForm(ana.user.Email, goodPassword)).status(http.StatusUnprocessableEntity)
	ana.post("/login", signInForm(ana.user.Email, found[1])).leadsTo("/")
}

func TestUsersThatAreNotThereHaveNoPage(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Owner)
	b.get("/users")
	for _, path := range []string{"/users/999", "/users/0", "/users/-1", "/users/abc", "/users/99999999999999999999"} {
		b.get(path).status(http.StatusNotFound)
		b.post(path, userForm("A", "a@b.co", "viewer")).status(http.StatusNotFound)
		b.post(path+"/disable", nil).status(http.StatusNotFound)
	}
}
