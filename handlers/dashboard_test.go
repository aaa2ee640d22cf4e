package handlers

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/tenancy"
)

func TestAnEmptyInstallationShowsItsFirstSteps(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Owner)
	b.get("/").status(http.StatusOK).has(
		text("dashboard.steps.title"), text("dashboard.step.tenant.act"), `href="/tenants/new"`,
		siteAddress+"/v1/chat/completions", "gpt-4.1-nano", `data-copy="first-call"`).
		lacks(text("dashboard.goals"))
	c := s.subscriber(t, "Padaria", tenancy.Charge)
	b.get("/").has(text("dashboard.steps.title")).lacks(text("dashboard.step.tenant.act"), text("dashboard.step.key.act"))
	c.calls(t, 1, 10, 1)
	b.get("/").has(text("dashboard.goals")).lacks(text("dashboard.steps.title"))
}

func TestTheOverviewShowsEveryTenant(t *testing.T) {
	s := newSite(t)
	s.subscriber(t, "Padaria", tenancy.Charge).calls(t, 2, 600, 100)
	s.subscriber(t, "Oficina", tenancy.Block).calls(t, 1, 850, 10)
	for _, role := range []tenancy.Role{tenancy.Owner, tenancy.Manager, tenancy.Viewer} {
		b := s.as(t, role)
		for _, path := range []string{"/", "/?view=days", "/?view=nonsense", "/?tenant=x"} {
			b.get(path).status(http.StatusOK).has("Padaria", "Oficina", "US$", "Plano de Padaria", text("dashboard.goals.customers"),
				text("usage.quota.excess", "amount", "R$\u00a00,02"), text("usage.quota.near"), `data-part="figures"`)
		}
	}
}

func TestTheOverviewNarrowsToOneTenant(t *testing.T) {
	s := newSite(t)
	c := s.subscriber(t, "Padaria", tenancy.Charge)
	c.calls(t, 2, 600, 100)
	s.subscriber(t, "Oficina", tenancy.Block).calls(t, 1, 777, 10)
	b := s.as(t, tenancy.Viewer)
	for _, path := range []string{fmt.Sprintf("/?tenant=%d", c.tenant.ID), fmt.Sprintf("/tenants/%d/usage?view=days", c.tenant.ID)} {
		b.get(path).status(http.StatusOK).has("chave de Padaria", "gpt-4.1-nano", fmt.Sprintf("/live?tenant=%d", c.tenant.ID)).
			lacks("chave de Oficina", ">777<")
	}
	part := b.part(fmt.Sprintf("/tenants/%d/usage", c.tenant.ID)).status(http.StatusOK).has("data-stream", "chave de Padaria")
	if strings.Contains(part.body, "<html") {
		t.Error("the tenant's page is given a whole page for its panel")
	}
	b.get("/?tenant=987654").status(http.StatusNotFound)
	b.get("/tenants/987654/usage").status(http.StatusNotFound)
	b.get("/tenants/x/usage").status(http.StatusNotFound)
}

func TestCallsArePagedByTheLastOneShown(t *testing.T) {
	s := newSite(t)
	c := s.subscriber(t, "Padaria", tenancy.Charge)
	c.calls(t, callsPage+5, 3, 2)
	b := s.as(t, tenancy.Viewer)
	first := b.get("/calls").status(http.StatusOK)
	if n := strings.Count(first.body, ">chave de Padaria<"); n != callsPage {
		t.Errorf("%d calls on the first page, want %d", n, callsPage)
	}
	next := regexp.MustCompile(`hx-get="([^"]+)"`).FindStringSubmatch(first.body)
	if next == nil {
		t.Fatal("no way to the older calls")
	}
	rest := b.part(strings.ReplaceAll(next[1], "&amp;", "&")).status(http.StatusOK).lacks("<html", "hx-get")
	if n := strings.Count(rest.body, "<tr>"); n != 5 {
		t.Errorf("%d older calls, want 5", n)
	}
	b.get(fmt.Sprintf("/calls?tenant=%d", c.tenant.ID)).status(http.StatusOK).has("Padaria")
	b.get("/calls?before=garbage").status(http.StatusNotFound)
	b.get("/calls?tenant=987654").status(http.StatusNotFound)
}

func TestACustomerSeesItsOwnUsageWithoutCost(t *testing.T) {
	s := newSite(t)
	c := s.subscriber(t, "Padaria", tenancy.Charge)
	c.calls(t, 2, 600, 100)
	s.subscriber(t, "Oficina", tenancy.Block).calls(t, 1, 777, 10)
	for _, role := range []tenancy.Role{tenancy.TenantAdmin, tenancy.TenantViewer} {
		b := c.person(t, role)
		for _, path := range []string{"/portal", "/portal?view=days", "/portal/calls", "/portal/keys", fmt.Sprintf("/portal?tenant=%d", c.tenant.ID+1)} {
			b.get(path).status(http.StatusOK).has("chave de Padaria").lacks("Oficina", ">777<", "US$", "4,32", "4.321")
		}
		b.get("/portal").has(text("portal.remaining.title"), "Plano de Padaria", text("portal.notice.excess", "amount", "R$\u00a00,02"),
			text("portal.remaining.charge", "price", "R$\u00a00,0001"), "200", "800")
		for _, path := range []string{"/", "/calls", "/live", fmt.Sprintf("/tenants/%d/usage", c.tenant.ID)} {
			b.get(path).leadsTo("/portal")
		}
	}
}

func TestACustomerReadsWhatHappensAtTheLimit(t *testing.T) {
	s := newSite(t)
	for name, c := range map[string]struct {
		overage tenancy.Overage
		used    int64
		want    string
	}{
		"far from it":         {tenancy.Block, 100, text("portal.remaining.block")},
		"near a hard limit":   {tenancy.Block, 850, "85%"},
		"at a hard limit":     {tenancy.Block, 1000, "novas chamadas são recusadas até"},
		"near a soft limit":   {tenancy.Charge, 900, "Acima de 100%"},
		"far from a soft one": {tenancy.Charge, 1, "as chamadas continuam"},
	} {
		t.Run(name, func(t *testing.T) {
			customer := s.subscriber(t, name, c.overage)
			customer.calls(t, 1, c.used, 1)
			customer.person(t, tenancy.TenantAdmin).get("/portal").status(http.StatusOK).has(c.want)
		})
	}
}

func TestASuspendedCustomerIsToldSo(t *testing.T) {
	s := newSite(t)
	c := s.subscriber(t, "Padaria", tenancy.Charge)
	must(t, s.store.SuspendTenant(context.Background(), c.tenant.ID))
	c.person(t, tenancy.TenantViewer).get("/portal").status(http.StatusOK).has(text("portal.notice.suspended"))
}

func TestACustomerSeesItsKeysButNoSecret(t *testing.T) {
	s := newSite(t)
	c := s.subscriber(t, "Padaria", tenancy.Charge)
	past := s.clock.now().Add(time.Hour)
	_, secret, err := s.store.CreateKey(context.Background(), tenancy.KeyDraft{TenantID: c.tenant.ID, Name: "antiga", ExpiresAt: &past})
	must(t, err)
	s.clock.pass(2 * time.Hour)
	page := c.person(t, tenancy.TenantViewer).get("/portal/keys").status(http.StatusOK).
		has("chave de Padaria", c.key.Hint, text("portal.keys.active"), "antiga", text("portal.keys.expired"), siteAddress+"/v1", "base_url=").
		lacks(secret.Reveal(), `method="post" action="/keys`)
	if strings.Index(page.body, "chave de Padaria") > strings.Index(page.body, "antiga") {
		t.Error("a key that no longer works stands before one that does")
	}
}

func TestACustomersDayIsThatOfItsOwnZone(t *testing.T) {
	s := newSite(t)
	c := s.subscriber(t, "Padaria", tenancy.Charge)
	_, err := s.db.Exec(`UPDATE tenants SET time_zone = 'Asia/Tokyo' WHERE id = $1`, c.tenant.ID)
	must(t, err)
	c.person(t, tenancy.TenantAdmin).get("/portal").status(http.StatusOK).has(`data-zone="Asia/Tokyo"`)
}
