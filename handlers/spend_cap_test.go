package handlers

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// capForm is the form with an amount typed.
func capForm(amount string) url.Values { return url.Values{"cap": {amount}} }

func (c *subscriber) cap(t *testing.T) *money.Micros {
	t.Helper()
	tenant, err := c.s.store.Tenant(context.Background(), c.tenant.ID)
	must(t, err)
	return tenant.Allowance.SpendCap
}

// before is a text up to its moment.
func before(key string, args ...any) string {
	words, _, _ := strings.Cut(text(key, append(args, "when", "|")...), "|")
	return words
}

func TestACustomersAdministratorAndTheTeamSetTheSameCap(t *testing.T) {
	s := newSite(t)
	c := s.subscriber(t, "Padaria", tenancy.Charge)
	admin, manager, team := c.person(t, tenancy.TenantAdmin), s.as(t, tenancy.Manager), tenantPath(c.tenant.ID)
	admin.get("/portal").has(text("spend.define"), `href="/portal/spend-cap"`)
	admin.get("/portal/spend-cap").status(http.StatusOK).has(text("spend.none"), `name="cap"`, `href="/portal/alerts/settings/spend_cap"`, "R$\u00a00,0001")
	admin.post("/portal/spend-cap", capForm("1,00")).status(http.StatusSeeOther)
	if got := c.cap(t); got == nil || *got != 1_000_000 {
		t.Fatalf("cap %v", got)
	}
	admin.get("/portal/spend-cap").has(text("spend.saved"), "R$\u00a01,00", text("spend.left_tokens", "left", "R$\u00a01,00", "n", 10_000), `value="1,00"`)
	manager.get(team).has("R$\u00a01,00", `href="`+team+`/spend-cap"`)
	c.calls(t, 1, 10_000, 10) // 9,000 above, of the 10,000 that the cap pays for
	admin.get("/portal").has(before("spend.notice.near", "charged", "R$\u00a00,90", "cap", "R$\u00a01,00"), text("spend.see"))
	c.calls(t, 1, 1000, 10)
	admin.get("/portal").has(before("spend.notice.reached", "cap", "R$\u00a01,00"), text("spend.raise"))
	manager.get(team).has(text("spend.raise"))
	manager.post(team+"/spend-cap", capForm("1.234,50")).status(http.StatusSeeOther)
	manager.get(team).has("R$\u00a01.234,50").lacks(text("spend.raise"))
	manager.post(team+"/spend-cap", capForm("")).status(http.StatusSeeOther)
	if got := c.cap(t); got != nil {
		t.Errorf("cap %v after the field was emptied", *got)
	}
}

func TestACapThatStopsCallsAtOnceIsAskedFor(t *testing.T) {
	s := newSite(t)
	c := s.subscriber(t, "Padaria", tenancy.Charge)
	c.calls(t, 1, 10_000, 10) // 9,000 above: R$ 0.90
	for path, b := range map[string]*browser{
		"/portal/spend-cap": c.person(t, tenancy.TenantAdmin), tenantPath(c.tenant.ID) + "/spend-cap": s.as(t, tenancy.Manager),
	} {
		b.get(path)
		b.post(path, capForm("0,90")).status(http.StatusUnprocessableEntity).
			has("R$\u00a00,90", text("spend_stop.confirm"), `name="confirm" value="0.90"`, `value="0,90"`)
		b.post(path, with(capForm("0,80"), "confirm", "0.90")).status(http.StatusUnprocessableEntity).has(`name="confirm" value="0.80"`)
		if c.cap(t) != nil {
			t.Fatal("calls were stopped unasked")
		}
		b.post(path, capForm("0,91")).status(http.StatusSeeOther)
		b.post(path, with(capForm("0,90"), "confirm", "0.90")).status(http.StatusSeeOther)
		if got := c.cap(t); got == nil || *got != 900_000 {
			t.Fatalf("cap %v", got)
		}
		b.post(path, capForm("0,50")).status(http.StatusSeeOther) // they are stopped already
		b.post(path, capForm("")).status(http.StatusSeeOther)
	}
}

func TestACapThatIsNoAmountIsRefusedWithWhatWasTyped(t *testing.T) {
	s := newSite(t)
	c := s.subscriber(t, "Padaria", tenancy.Charge)
	for path, b := range map[string]*browser{
		"/portal/spend-cap": c.person(t, tenancy.TenantAdmin), tenantPath(c.tenant.ID) + "/spend-cap": s.as(t, tenancy.Manager),
	} {
		for typed, key := range map[string]string{"muito": "error.money", "-1": "error.money_range", "999.999.999,00": "error.money_range"} {
			b.post(path, capForm(typed)).status(http.StatusUnprocessableEntity).
				has(`value="`+typed+`"`, text(key, "value", typed, "max", tenancy.MaxSpendCap))
		}
	}
	if c.cap(t) != nil {
		t.Error("something was set")
	}
}

func TestWhereAPlanBlocksThereIsNothingToCap(t *testing.T) {
	s := newSite(t)
	c := s.subscriber(t, "Padaria", tenancy.Block)
	admin, manager, team := c.person(t, tenancy.TenantAdmin), s.as(t, tenancy.Manager), tenantPath(c.tenant.ID)
	admin.get("/portal").lacks("/portal/spend-cap")
	admin.get("/portal/spend-cap").status(http.StatusOK).has(text("spend.blocks.title")).lacks(`name="cap"`)
	manager.get(team).lacks(team + "/spend-cap")
	manager.get(team + "/spend-cap").has(text("spend.blocks.title"))
	manager.post(team+"/spend-cap", capForm("10")).status(http.StatusUnprocessableEntity)
}

func TestOnlyWhoMayChangesACap(t *testing.T) {
	s := newSite(t)
	c, other := s.subscriber(t, "Padaria", tenancy.Charge), s.subscriber(t, "Oficina", tenancy.Charge)
	team := tenantPath(c.tenant.ID) + "/spend-cap"
	viewer := c.person(t, tenancy.TenantViewer)
	viewer.get("/portal/spend-cap").status(http.StatusOK).has(text("spend.admin_only")).lacks(`name="cap"`)
	viewer.post("/portal/spend-cap", capForm("10")).status(http.StatusForbidden)
	viewer.get("/portal/alerts/settings").status(http.StatusOK).has(text("tenant_alerts.never.no_cap")).lacks(`href="/portal/spend-cap"`)
	viewer.get("/portal/alerts").has(text("alert_events.portal.none")).lacks(text("alert_events.portal.none_action"))
	s.as(t, tenancy.Viewer).post(team, capForm("10")).status(http.StatusForbidden)
	other.person(t, tenancy.TenantAdmin).post(team, capForm("10")).status(http.StatusNotFound)
	other.person(t, tenancy.TenantViewer).get(team).status(http.StatusSeeOther)
	if c.cap(t) != nil {
		t.Error("something was set")
	}
}
