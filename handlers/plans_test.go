package handlers

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/fila-ia/filaia/internal/tenancy"
)

// planForm is what the form of a good plan sends.
func planForm() url.Values {
	return url.Values{
		"name": {"Ouro"}, "slug": {""}, "description": {"Para quem cresce"}, "price": {"1.234,56"}, "input_tokens": {"2.000.000"},
		"output_tokens": {"1.000.000"}, "overage": {"charge"}, "overage_price": {"0,0002"}, "rpm": {"60"}, "tpm": {""}, "parallel": {""},
		"models": {"gpt-4.1", "gpt-4.1-nano"}, "simulate": {"1.400.000"}, "cache": {"off"}, "cache_minutes": {"1"}, "cache_unit": {"hours"},
		"cache_billed": {"0"},
	}
}

func with(form url.Values, pairs ...string) url.Values {
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return form
}

// onSale publishes a plan.
func (s *site) onSale(t *testing.T, slug string, terms tenancy.Terms) tenancy.Plan {
	t.Helper()
	plan, err := s.store.CreatePlan(context.Background(), tenancy.PlanDraft{Slug: slug, Name: "Plano " + slug, Terms: terms}, true)
	must(t, err)
	return plan
}

func chargingTerms(in, out int64) tenancy.Terms {
	return tenancy.Terms{Price: 99_900_000, InputTokens: in, OutputTokens: out, Overage: tenancy.Charge, OveragePrice: 100}
}

func (s *site) customer(t *testing.T, name string, planID int64) tenancy.Tenant {
	t.Helper()
	tenant, err := s.store.CreateTenant(context.Background(), tenancy.TenantDraft{Name: name, TimeZone: "America/Sao_Paulo", BillingDay: 1, PlanID: planID})
	must(t, err)
	return tenant
}

func TestAPlanIsMadePublishedAndShown(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	b.get("/plans/new").status(http.StatusOK).has(`value="0,0001"`)
	b.post("/plans", with(planForm(), "publish", "yes"))
	plan, err := s.store.PlanBySlug(context.Background(), "ouro")
	must(t, err)
	got := plan.Published.Terms
	want := tenancy.Terms{Price: 1_234_560_000, InputTokens: 2_000_000, OutputTokens: 1_000_000, Overage: tenancy.Charge, OveragePrice: 200,
		RequestsPerMinute: 60, AllowedModels: []string{"gpt-4.1", "gpt-4.1-nano"}}
	if !got.Equal(want) {
		t.Fatalf("%+v", got)
	}
	b.get(planPath(plan.ID)).status(http.StatusOK).has("Ouro", "R$\u00a01.234,56", "gpt-4.1, gpt-4.1-nano", text("plans.created", "name", "Ouro"),
		"R$\u00a00,0002")
	b.get("/plans").status(http.StatusOK).has("Básico", "Ouro", text("plans.count", "n", 4))
}

func TestARefusedPlanKeepsWhatWasTyped(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Owner)
	b.get("/plans/new")
	form := with(planForm(), "name", "", "price", "doze", "input_tokens", "1,5", "rpm", "0", "slug", "x y")
	b.post("/plans", form).status(http.StatusUnprocessableEntity).has(
		`value="doze"`, `value="1,5"`, text("error.required"), text("error.money", "value", "doze"), text("error.integer", "value", "1,5"),
		text("error.range", "min", 1, "max", 1_000_000_000), text("error.slug", "value", "x y"), "Para quem cresce", `value="0,0002"`)
	b.get("/plans/new")
	b.post("/plans", with(planForm(), "slug", "basico")).status(http.StatusUnprocessableEntity).has(text("plans.error.slug_taken"), `value="Ouro"`)
	if page, err := s.store.ListPlans(context.Background(), tenancy.ListQuery{}); err != nil || page.Total != 3 {
		t.Fatal("a refused plan was made", err)
	}
}

func TestEditingAPlanTellsWhoKeepsWhatAndPublishesOrDiscards(t *testing.T) {
	s := newSite(t)
	plan := s.onSale(t, "ouro", chargingTerms(1_000_000, 500_000))
	s.customer(t, "Padaria", plan.ID)
	b := s.as(t, tenancy.Manager)
	path := planPath(plan.ID)
	b.get(path+"/edit").status(http.StatusOK).has(text("plans.edit_keeps", "version", 2, "n", 1), `value="99,90"`, `value="1.000.000"`)
	b.post(path, with(planForm(), "slug", "ouro", "price", "109,90")).leadsTo(path)
	b.get(path).has(text("plans.draft_next", "version", 2), "R$\u00a099,90", "R$\u00a0109,90", text("plans.publish"))
	b.post(path+"/discard", nil).leadsTo(path)
	b.get(path).has(text("plans.discarded")).lacks(text("plans.draft_next", "version", 2))
	b.post(path, with(planForm(), "slug", "ouro", "publish", "yes")).leadsTo(path)
	b.get(path).has(text("plans.published", "version", 2), text("plans.history.kept"))
	b.post(path+"/publish", nil).status(http.StatusConflict).has(text("plans.error.no_draft"))
}

func TestDiscardingAPlanThatWasNeverPublishedLeadsToTheList(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	b.get("/plans/new")
	b.post("/plans", planForm())
	plan, err := s.store.PlanBySlug(context.Background(), "ouro")
	must(t, err)
	b.get(planPath(plan.ID)).has(text("plans.draft_first"))
	b.post(planPath(plan.ID)+"/discard", nil).leadsTo("/plans")
	b.get(planPath(plan.ID)).status(http.StatusNotFound)
}

func TestArchivingAPlanTakesItOffSale(t *testing.T) {
	s := newSite(t)
	plan := s.onSale(t, "ouro", chargingTerms(1, 1))
	b := s.as(t, tenancy.Manager)
	b.get("/plans").has(text("plans.archive_title", "name", plan.Name))
	b.post(planPath(plan.ID)+"/archive", nil).leadsTo(planPath(plan.ID))
	b.get("/tenants/new").lacks("Plano ouro")
	b.get("/plans?status=archived").has("Plano ouro", text("plans.count", "n", 1))
	b.post(planPath(plan.ID)+"/unarchive", nil)
	b.get("/tenants/new").has("Plano ouro")
}

func TestThePreviewSaysWhatACustomerWouldPay(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	b.get("/plans/new")
	base := func() url.Values {
		return with(planForm(), "price", "99,90", "input_tokens", "1.000.000", "output_tokens", "500.000", "overage_price", "0,0001")
	}
	for name, c := range map[string]struct {
		form url.Values
		want []string
	}{
		"inside":         {base(), []string{"R$\u00a099,90", text("plans.preview.inside", "tokens", 1_400_000)}},
		"charged":        {with(base(), "simulate", "1.900.000"), []string{"R$\u00a0139,90", "400.000"}},
		"blocked":        {with(base(), "simulate", "1.900.000", "overage", "block", "overage_price", "?"), []string{"R$\u00a099,90", text("plans.preview.blocked", "tokens", 1_900_000, "excess", 400_000)}},
		"half filled in": {with(base(), "price", ""), []string{text("plans.preview.missing")}},
		"without a name": {with(base(), "name", "", "slug", "?"), []string{"R$\u00a099,90"}},
		"nonsense":       {with(base(), "simulate", "muitos"), []string{text("plans.preview.missing")}},
		"no tokens":      {with(base(), "input_tokens", "0", "output_tokens", "0", "simulate", "1.000"), []string{"R$\u00a0100,00"}},
	} {
		t.Run(name, func(t *testing.T) {
			b.t = t
			b.post("/plans/preview", c.form).status(http.StatusOK).has(c.want...).lacks("<html")
		})
	}
}

// What a viewer must not do is refused even when the address is known, and the buttons are not there.
func TestViewersSeePlansCustomersAndKeysAndChangeNothing(t *testing.T) {
	s := newSite(t)
	plan := s.onSale(t, "ouro", chargingTerms(1, 1))
	tenant := s.customer(t, "Padaria", plan.ID)
	key, _, err := s.store.CreateKey(context.Background(), tenancy.KeyDraft{TenantID: tenant.ID, Name: "site"})
	must(t, err)
	b := s.as(t, tenancy.Viewer)
	id, keyID := fmt.Sprint(tenant.ID), fmt.Sprint(key.ID)
	for _, path := range []string{"/plans", planPath(plan.ID), "/tenants", "/tenants/" + id, "/tenants/" + id + "/keys", "/tenants/" + id + "/details", "/tenants/" + id + "?tab=usage", "/keys"} {
		b.get(path).status(http.StatusOK).lacks(`href="/plans/new"`, "/edit\"", "/archive\"", "/close\"", `href="/keys/new`, "/revoke\"", "/plan\"", `href="/tenants/new"`)
	}
	for _, path := range []string{"/plans/new", planPath(plan.ID) + "/edit", "/tenants/new", "/tenants/" + id + "/edit", "/tenants/" + id + "/plan",
		"/tenants/" + id + "/plan/preview?plan=1", "/keys/new", "/keys/" + keyID + "/rotate", "/keys/" + keyID + "/rename"} {
		b.get(path).status(http.StatusForbidden)
	}
	for _, path := range []string{"/plans", "/plans/preview", planPath(plan.ID), planPath(plan.ID) + "/publish", planPath(plan.ID) + "/archive",
		"/tenants", "/tenants/" + id, "/tenants/" + id + "/suspend", "/tenants/" + id + "/close", "/tenants/" + id + "/plan",
		"/keys", "/keys/" + keyID + "/rotate", "/keys/" + keyID + "/revoke", "/keys/" + keyID + "/rename"} {
		b.post(path, url.Values{"confirm": {"Padaria"}}).status(http.StatusForbidden)
	}
	if again, err := s.store.Tenant(context.Background(), tenant.ID); err != nil || again.Status != tenancy.TenantActive || again.Keys != 1 {
		t.Fatal(again, err)
	}
}

func TestCustomersNeverReachPlansTenantsAndKeys(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.TenantAdmin)
	for _, path := range []string{"/plans", "/plans/1", "/tenants", "/tenants/1", "/tenants/1/keys", "/keys", "/keys/new"} {
		b.get(path).leadsTo("/portal")
	}
	b.get("/account")
	b.post("/keys", url.Values{"tenant": {"1"}, "name": {"x"}}).status(http.StatusNotFound)
}

// Every page of these families reads in both languages: no key stands where a text belongs.
func TestPagesReadInBothLanguages(t *testing.T) {
	s := newSite(t)
	plan := s.onSale(t, "ouro", chargingTerms(1000, 1000))
	smaller := s.onSale(t, "prata", chargingTerms(10, 10))
	tenant := s.customer(t, "Padaria", plan.ID)
	_, err := s.store.ChangePlan(context.Background(), tenant.ID, smaller.ID)
	must(t, err)
	key, _, err := s.store.CreateKey(context.Background(), tenancy.KeyDraft{TenantID: tenant.ID, Name: "site", PlanID: smaller.ID})
	must(t, err)
	b := s.as(t, tenancy.Manager)
	id, keyID := fmt.Sprint(tenant.ID), fmt.Sprint(key.ID)
	pages := []string{"/plans", "/plans?q=nada", "/plans/new", planPath(plan.ID), planPath(plan.ID) + "/edit", "/tenants", "/tenants?plan=" + fmt.Sprint(plan.ID),
		"/tenants?status=suspended", "/tenants/new", "/tenants/" + id, "/tenants/" + id + "/keys", "/tenants/" + id + "?tab=usage", "/tenants/" + id + "/details",
		"/tenants/" + id + "/edit", "/tenants/" + id + "/plan?plan=" + fmt.Sprint(plan.ID), "/keys", "/keys?tenant=" + id, "/keys/new?tenant=" + id,
		"/keys/" + keyID + "/rename", "/keys/" + keyID + "/rotate"}
	for _, lang := range []string{"pt-BR", "en"} {
		_, err := s.db.Exec(`UPDATE users SET language = $1`, lang)
		must(t, err)
		for _, path := range pages {
			page := b.get(path).status(http.StatusOK).has(`<html lang="` + lang + `"`)
			if key := untranslated(page.body); key != "" {
				t.Errorf("%s in %s shows the key %s", path, lang, key)
			}
		}
	}
}

// untranslated finds a catalogue's key in the text of a page.
func untranslated(page string) string {
	for _, family := range []string{"plans.", "tenants.", "keys.", "ui.", "nav.", "error."} {
		for _, mark := range []string{">", `"`, " "} {
			if _, after, found := strings.Cut(page, mark+family); found && after[0] >= 'a' && after[0] <= 'z' {
				return family + after[:min(len(after), 30)]
			}
		}
	}
	return ""
}
