package handlers

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/fila-ia/filaia/internal/tenancy"
)

func tenantForm(planID int64) url.Values {
	return url.Values{
		"name": {"Padaria São João"}, "email": {"contato@padaria.com.br"}, "tax_id": {"11.222.333/0001-81"}, "plan": {fmt.Sprint(planID)},
		"billing_day": {"31"}, "time_zone": {"America/Manaus"},
	}
}

func TestACustomerIsAddedEditedAndFound(t *testing.T) {
	s := newSite(t)
	plan := s.onSale(t, "ouro", chargingTerms(1_000_000, 500_000))
	b := s.as(t, tenancy.Manager)
	b.get("/tenants/new").status(http.StatusOK).has("Plano ouro", "R$\u00a099,90", text("tenants.zone.sao_paulo"))
	b.post("/tenants", tenantForm(plan.ID)).status(http.StatusSeeOther)
	page, err := s.store.ListTenants(context.Background(), tenancy.ListQuery{})
	must(t, err)
	tenant := page.Items[0]
	path := tenantPath(tenant.ID)
	b.get(path).status(http.StatusOK).has("Padaria São João", text("tenants.created", "name", "Padaria São João"), text("tenants.quota.left", "used", 0, "limit", 1_000_000, "left", 1_000_000))
	b.get(path+"/details").has("11.222.333/0001-81", "contato@padaria.com.br", text("tenants.zone.manaus"))
	b.get(path+"/edit").has(`value="11.222.333/0001-81"`, `value="31"`)
	b.post(path, with(tenantForm(plan.ID), "name", "Padaria Nova")).leadsTo(path + "/details")
	b.part("/tenants?q=11222333").status(http.StatusOK).has("Padaria Nova", text("tenants.count", "n", 1)).lacks("<html")
	b.get("/tenants?q=ninguem").has(text("ui.table.none_title"))
	b.get("/tenants?plan="+fmt.Sprint(plan.ID)).has("Padaria Nova", text("tenants.filter.any_plan"))
}

func TestARefusedCustomerKeepsWhatWasTyped(t *testing.T) {
	s := newSite(t)
	plan := s.onSale(t, "ouro", chargingTerms(1, 1))
	b := s.as(t, tenancy.Manager)
	b.get("/tenants/new")
	b.post("/tenants", with(tenantForm(plan.ID), "tax_id", "11.222.333/0001-80", "billing_day", "32", "email", "padaria", "name", "")).
		status(http.StatusUnprocessableEntity).has(`value="11.222.333/0001-80"`, `value="32"`, `value="padaria"`,
		text("error.tax_id", "value", "11.222.333/0001-80"), text("error.range", "min", 1, "max", 31), text("error.required"),
		`<option value="America/Manaus" selected>`)
	b.post("/tenants", tenantForm(plan.ID)).status(http.StatusSeeOther)
	b.post("/tenants", with(tenantForm(plan.ID), "name", "Outra")).status(http.StatusUnprocessableEntity).has(text("tenants.error.tax_id_taken"), `value="Outra"`)
	b.post("/tenants", with(tenantForm(plan.ID), "tax_id", "", "plan", "")).status(http.StatusUnprocessableEntity)
	b.post("/tenants", with(tenantForm(plan.ID), "tax_id", "", "plan", "999999")).status(http.StatusUnprocessableEntity).has(text("plans.error.not_on_sale"))
}

func TestTheTaxIDIsCheckedAsItIsLeft(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	b.get("/tenants/new")
	for typed, want := range map[string]string{
		"11222333000181":     text("tenants.tax_id.cnpj"),
		"12abc34501de35":     `value="12.ABC.345/01DE-35"`,
		"529.982.247-25":     text("tenants.tax_id.cpf"),
		"529.982.247-26":     text("error.tax_id", "value", "529.982.247-26"),
		`"><script>alert(1)`: "&lt;script&gt;",
		"":                   text("tenants.help.tax_id"),
	} {
		b.post("/tenants/tax-id", url.Values{"tax_id": {typed}}).status(http.StatusOK).has(want).lacks("<html", "<script")
	}
}

func TestACustomerIsSuspendedReactivatedAndClosed(t *testing.T) {
	s := newSite(t)
	tenant := s.customer(t, "Padaria", s.onSale(t, "ouro", chargingTerms(1, 1)).ID)
	b := s.as(t, tenancy.Manager)
	path := tenantPath(tenant.ID)
	b.get(path).has(text("tenants.suspend_title", "name", "Padaria"), text("tenants.close_lost_final"), `data-must-match="Padaria"`)
	b.post(path+"/suspend", nil).leadsTo(path)
	b.get(path).has(text("tenants.notice.suspended"), text("tenants.state.suspended"))
	b.post(path+"/reactivate", nil).leadsTo(path)
	b.get(path)
	b.post(path+"/close", url.Values{"confirm": {"padaria"}}).status(http.StatusUnprocessableEntity).has(text("tenants.error.not_confirmed"))
	b.get(path)
	b.post(path+"/close", url.Values{"confirm": {"Padaria"}}).leadsTo(path)
	b.get(path).has(text("tenants.notice.closed")).lacks(`href="/keys/new`, path+"/suspend", text("tenants.state.resets"))
	for _, tab := range []string{"/keys", "?tab=usage", "/details"} {
		b.get(path + tab).status(http.StatusOK)
	}
	b.get(path + "/edit").status(http.StatusConflict)
	b.get(path + "/plan").status(http.StatusConflict)
	b.get("/tenants").lacks(`href="` + path + `"`)
	b.get("/tenants?status=closed").has(`href="` + path + `"`)
	b.get("/tenants?status=all").has(`href="` + path + `"`)
}

func TestChangingAPlanSaysWhenItHoldsBeforeAndAfter(t *testing.T) {
	s := newSite(t)
	mid, small := s.onSale(t, "ouro", chargingTerms(1000, 1000)), s.onSale(t, "prata", chargingTerms(10, 10))
	large := s.onSale(t, "diamante", chargingTerms(5000, 5000))
	tenant := s.customer(t, "Padaria", mid.ID)
	b := s.as(t, tenancy.Manager)
	path := tenantPath(tenant.ID)
	now, err := s.store.Tenant(context.Background(), tenant.ID)
	must(t, err)
	end := s.say().Date(now.Allowance.Period.End)
	preview := func(plan tenancy.Plan) answer { return b.part(path + "/plan/preview?plan=" + fmt.Sprint(plan.ID)) }
	preview(small).status(http.StatusOK).has(text("tenants.change.smaller", "plan", small.Name, "date", end))
	preview(mid).has(text("tenants.change.same", "plan", mid.Name, "version", 1))
	preview(large).has(text("tenants.change.now", "plan", large.Name, "input", 5000, "output", 5000, "price", "R$\u00a099,90"))
	b.get(path + "/plan?plan=" + fmt.Sprint(large.ID)).has(text("tenants.change.now", "plan", large.Name, "input", 5000, "output", 5000, "price", "R$\u00a099,90"))

	b.post(path+"/plan", url.Values{"plan": {fmt.Sprint(small.ID)}}).leadsTo(path)
	b.get(path).has(text("tenants.changed_later", "plan", small.Name, "date", end), text("tenants.notice.scheduled", "plan", small.Name, "version", 1, "date", end))
	b.post(path+"/plan/cancel", nil).leadsTo(path)
	b.get(path).lacks(text("tenants.cancel_change", "plan", mid.Name))
	b.post(path+"/plan/cancel", nil).status(http.StatusConflict)
	b.get(path)
	b.post(path+"/plan", url.Values{"plan": {fmt.Sprint(large.ID)}}).leadsTo(path)
	b.get(path).has(text("tenants.changed_now", "plan", large.Name), text("tenants.quota.left", "used", 0, "limit", 5000, "left", 5000))
	must(t, s.store.ArchivePlan(context.Background(), small.ID))
	b.post(path+"/plan", url.Values{"plan": {fmt.Sprint(small.ID)}}).status(http.StatusUnprocessableEntity).has(text("plans.error.not_on_sale"))
}

func TestACustomerOnAnOlderVersionIsOfferedTheNewOne(t *testing.T) {
	s := newSite(t)
	plan := s.onSale(t, "ouro", chargingTerms(1000, 1000))
	tenant := s.customer(t, "Padaria", plan.ID)
	_, err := s.store.UpdatePlanDraft(context.Background(), plan.ID, tenancy.PlanDraft{Slug: "ouro", Name: plan.Name, Terms: chargingTerms(2000, 1000)}, true)
	must(t, err)
	b := s.as(t, tenancy.Manager)
	path := tenantPath(tenant.ID)
	b.get(path).has(text("tenants.newer_version", "plan", plan.Name, "newest", 2, "version", 1), text("tenants.move_version", "version", 2))
	b.post(path+"/plan", url.Values{"plan": {fmt.Sprint(plan.ID)}}).leadsTo(path)
	b.get(path).lacks(text("tenants.move_version", "version", 2)).has(text("tenants.quota.left", "used", 0, "limit", 2000, "left", 2000))
}

func TestTheCustomersTabOfKeysSearchesInPlace(t *testing.T) {
	s := newSite(t)
	tenant := s.customer(t, "Padaria", s.onSale(t, "ouro", chargingTerms(1, 1)).ID)
	for _, name := range []string{"site", "lote"} {
		_, _, err := s.store.CreateKey(context.Background(), tenancy.KeyDraft{TenantID: tenant.ID, Name: name})
		must(t, err)
	}
	b := s.as(t, tenancy.Viewer)
	b.part(tenantPath(tenant.ID)+"/keys?q=lote").has("lote", text("keys.count", "n", 1)).lacks("<html", ">site<")
}

func TestAnUnknownCustomerIsNotFound(t *testing.T) {
	b := newSite(t).as(t, tenancy.Manager)
	for _, path := range []string{"/tenants/999999", "/tenants/abc", "/tenants/-1", "/tenants/999999/keys", "/plans/999999", "/keys/999999/rotate", "/tenants?plan=999999"} {
		b.get(path).status(http.StatusNotFound)
	}
}

func TestAFormTellsWhatIsWrongThroughHTMXToo(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	b.get("/tenants/new")
	r := httptest.NewRequest(http.MethodPost, "/tenants", strings.NewReader(url.Values{csrfField: {b.token}, "name": {""}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("HX-Request", "true")
	b.send(r).status(http.StatusUnprocessableEntity).has(text("error.required"))
}
