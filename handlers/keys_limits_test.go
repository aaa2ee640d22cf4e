package handlers

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/fila-ia/filaia/internal/tenancy"
)

func TestAKeyIsMadeWithLimitsAndACacheOfItsOwn(t *testing.T) {
	s := newSite(t)
	tenant := s.customer(t, "Padaria", s.onSale(t, "ouro", chargingTerms(1000, 1000)).ID)
	b := s.as(t, tenancy.Manager)
	id := fmt.Sprint(tenant.ID)
	b.get("/keys/new").has(text("keys.limits"), `name="cache" value="" checked`)
	typed := func() url.Values {
		return url.Values{"tenant": {id}, "name": {"site"}, "rpm": {"1.200"}, "tpm": {""}, "parallel": {"4"}, "cache": {"exact"}}
	}
	b.post("/keys", with(typed(), "rpm", "muitas", "parallel", "0", "cache", "clever")).status(http.StatusUnprocessableEntity).has(`value="muitas"`, `value="0"`,
		text("error.integer", "value", "muitas"), text("error.range", "min", 1, "max", 100_000), text("error.choice", "value", "clever", "accepted", "off, exact, smart"))
	b.post("/keys", typed()).status(http.StatusOK)
	page, err := s.store.ListKeys(context.Background(), tenancy.ListQuery{})
	must(t, err)
	if page.Total != 1 {
		t.Fatal("a refused key was made")
	}
	key := page.Items[0]
	if want := (tenancy.Rates{RequestsPerMinute: 1200, ParallelCalls: 4}); key.Rates != want || key.Cache != tenancy.CacheExact {
		t.Fatalf("%+v %q", key.Rates, key.Cache)
	}
	b.get("/keys").has("1.200\u00a0chamadas/min", "4\u00a0por\u00a0vez", text("keys.cache_note", "mode", text("plans.cache.exact")), keyPath(key.ID)+"/limits")
	b.get(keyPath(key.ID)).status(http.StatusOK).has("Padaria", key.Hint, ">1.200<", text("plans.no_limit"), text("plans.cache.exact"), text("keys.figure.no_calls"))
}

func TestTheLimitsOfAKeyAreChangedWhileItWorks(t *testing.T) {
	s := newSite(t)
	c := s.subscriber(t, "Padaria", tenancy.Charge)
	b := s.as(t, tenancy.Manager)
	path := keyPath(c.key.ID) + "/limits"
	b.get(path).status(http.StatusOK).has(text("keys.limits_title", "name", c.key.Name), `name="cache" value="" checked`)
	b.post(path, url.Values{"rpm": {"-3"}, "tpm": {"dez"}, "cache": {"smart"}}).status(http.StatusUnprocessableEntity).
		has(`value="-3"`, `value="dez"`, `value="smart" checked`, text("error.integer", "value", "dez"), text("error.range", "min", 1, "max", 1_000_000_000))
	b.post(path, url.Values{"rpm": {"30"}, "tpm": {"9.000"}, "parallel": {""}, "cache": {"smart"}}).leadsTo(keyPath(c.key.ID))
	b.get(keyPath(c.key.ID)).has(text("keys.limits_saved"), ">9.000<", text("plans.cache.smart"))
	key, err := s.store.Key(context.Background(), c.key.ID)
	must(t, err)
	if want := (tenancy.Rates{RequestsPerMinute: 30, TokensPerMinute: 9000}); key.Rates != want || key.Cache != tenancy.CacheSmart {
		t.Fatalf("%+v %q", key.Rates, key.Cache)
	}
	b.get(path).has(`value="30"`, `value="9.000"`, `value="smart" checked`)
	var by string
	must(t, s.db.Get(&by, `SELECT actor FROM audit_log WHERE action = 'key.limits' AND subject = $1`, fmt.Sprintf("key:%d", c.key.ID)))
	if by != b.user.Email {
		t.Errorf("the change is put down to %q, want %q", by, b.user.Email)
	}
	b.post(path, url.Values{"cache": {""}}).leadsTo(keyPath(c.key.ID))
	if key, err = s.store.Key(context.Background(), c.key.ID); err != nil || key.Rates != (tenancy.Rates{}) || key.Cache != "" {
		t.Fatal("emptied fields keep limits", key, err)
	}
	b.post("/keys/987654/limits", nil).status(http.StatusNotFound)
	b.get("/keys/987654").status(http.StatusNotFound)
}

func TestViewersSeeLimitsAndChangeNone(t *testing.T) {
	s := newSite(t)
	c := s.subscriber(t, "Padaria", tenancy.Charge)
	b := s.as(t, tenancy.Viewer)
	b.get(keyPath(c.key.ID)).status(http.StatusOK).has(text("keys.limits")).lacks("/limits", "/revoke")
	b.get(keyPath(c.key.ID) + "/limits").status(http.StatusForbidden)
	b.post(keyPath(c.key.ID)+"/limits", url.Values{"rpm": {"1"}}).status(http.StatusForbidden)
	if key, err := s.store.Key(context.Background(), c.key.ID); err != nil || key.Rates != (tenancy.Rates{}) {
		t.Fatal(key, err)
	}
}

func TestTheLimitsOfACustomerHoldForAllItsKeys(t *testing.T) {
	s := newSite(t)
	plan := s.onSale(t, "ouro", chargingTerms(1_000_000, 500_000))
	b := s.as(t, tenancy.Manager)
	b.get("/tenants/new").has(text("tenants.form.limits"))
	form := func(pairs ...string) url.Values {
		return with(with(tenantForm(plan.ID), "rpm", "120", "tpm", "", "parallel", "8"), pairs...)
	}
	b.post("/tenants", form("rpm", "0", "tpm", "x")).status(http.StatusUnprocessableEntity).
		has(`value="x"`, text("error.range", "min", 1, "max", 1_000_000_000), text("error.integer", "value", "x"), `value="8"`)
	b.post("/tenants", form()).status(http.StatusSeeOther)
	page, err := s.store.ListTenants(context.Background(), tenancy.ListQuery{})
	must(t, err)
	tenant := page.Items[0]
	if want := (tenancy.Rates{RequestsPerMinute: 120, ParallelCalls: 8}); tenant.Rates != want {
		t.Fatalf("%+v", tenant.Rates)
	}
	path := tenantPath(tenant.ID)
	b.get(path+"/details").has(text("tenants.limits_title"), ">120<", text("plans.no_limit"))
	b.get(path+"/edit").has(`value="120"`, `value="8"`)
	// Whoever edits something else keeps the limits: the form sends them.
	b.post(path, form("name", "Padaria Nova")).leadsTo(path + "/details")
	b.post(path, form("parallel", "")).leadsTo(path + "/details")
	if tenant, err = s.store.Tenant(context.Background(), tenant.ID); err != nil || tenant.Rates != (tenancy.Rates{RequestsPerMinute: 120}) {
		t.Fatalf("%+v %v", tenant.Rates, err)
	}
}
