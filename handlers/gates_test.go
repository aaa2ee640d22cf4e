package handlers

import (
	"net/http"
	"testing"

	"github.com/fila-ia/filaia/internal/tenancy"
)

// changing are addresses that change something, one a family at least.
var changing = []string{"/plans", "/tenants", "/users", "/users/1/disable"}

func TestNobodyChangesThePanelWithoutTheRight(t *testing.T) {
	s := newSite(t)
	for role, want := range map[tenancy.Role]int{
		tenancy.Viewer: http.StatusForbidden, tenancy.TenantAdmin: http.StatusNotFound, tenancy.TenantViewer: http.StatusNotFound,
	} {
		b := s.as(t, role)
		b.get("/account")
		for _, path := range changing {
			if a := b.post(path, nil); a.code != want {
				t.Errorf("%s posts to %s: status %d, want %d", role, path, a.code, want)
			}
		}
	}
	nobody := s.browser(t)
	nobody.get("/login")
	for _, path := range append(changing, "/account", "/portal/keys") {
		nobody.post(path, nil).leadsTo("/login")
	}
}

func TestEachSideIsClosedToTheOther(t *testing.T) {
	s := newSite(t)
	customer, viewer := s.as(t, tenancy.TenantAdmin), s.as(t, tenancy.Viewer)
	for _, path := range []string{"/", "/plans", "/tenants", "/keys", "/users", "/nothing"} {
		customer.get(path).leadsTo("/portal")
		customer.part(path).status(http.StatusNotFound)
	}
	viewer.get("/portal").leadsTo("/")
	viewer.get("/").status(http.StatusOK)
	customer.get("/portal").status(http.StatusOK)
}

func TestOnlyOwnersSeeUsers(t *testing.T) {
	s := newSite(t)
	s.as(t, tenancy.Owner).get("/users").status(http.StatusOK)
	for _, role := range []tenancy.Role{tenancy.Manager, tenancy.Viewer} {
		b := s.as(t, role)
		b.get("/users").status(http.StatusNotFound)
		b.get("/account").lacks(`href="/users"`)
	}
}

func TestATenantsViewerChangesNothing(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.TenantViewer)
	b.get("/account")
	b.post("/portal/keys", nil).status(http.StatusForbidden)
}

func TestASessionThatEndedSendsScriptsToSignIn(t *testing.T) {
	s := newSite(t)
	b := s.browser(t)
	b.header.Set("HX-Current-URL", "http://panel.test/users?page=2")
	a := b.part("/users?page=3").status(http.StatusUnauthorized)
	if got := a.head.Get("HX-Redirect"); got != "/login?next=%2Fusers%3Fpage%3D2" {
		t.Errorf("HX-Redirect %q", got)
	}
}

func TestLocalPathAcceptsNothingThatLeavesTheSite(t *testing.T) {
	for path, want := range map[string]bool{
		"/": true, "/users?q=a//b": true, "": false, "users": false, "//evil.test": false, "https://evil.test": false,
		`/\evil.test`: false, "/\n/evil.test": false, "javascript:alert(1)": false,
	} {
		if localPath(path) != want {
			t.Errorf("localPath(%q) = %v", path, !want)
		}
	}
}
