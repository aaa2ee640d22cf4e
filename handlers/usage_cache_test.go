package handlers

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
	"github.com/fila-ia/filaia/store"
)

// answered records a call that the cache had to do with: 100 tokens in and 50 out are served, a fifth of them billed
// where the provider was not asked.
func (c *subscriber) answered(t *testing.T, how usage.Cache) {
	t.Helper()
	e := usage.Event{
		ID: uuid.Must(uuid.NewV7()), CreatedAt: c.s.Now(), TenantID: c.tenant.ID, KeyID: c.key.ID, PeriodID: c.caller.PeriodID,
		Model: "gpt-4.1-nano", Endpoint: "chat.completions", HTTPStatus: 200, Cache: how, RequestID: "req_cached",
		Tokens: usage.Tokens{Input: 100, Output: 50}, Served: usage.Tokens{Input: 100, Output: 50}, CostUSD: 2_000_000, Provider: "openai-br",
	}
	if how.Saved() {
		e.Tokens, e.CostUSD, e.SavedUSD, e.Provider = usage.Tokens{Input: 20, Output: 10}, 0, 1_230_000, ""
	}
	must(t, c.s.store.UsageCommitter("test", func(store.Committed) {}).CommitUsage(context.Background(), []usage.Event{e}))
}

func TestWhatTheCacheAnsweredIsShownToTheTeam(t *testing.T) {
	s := newSite(t)
	c := s.subscriber(t, "Padaria", tenancy.Charge)
	for _, how := range []usage.Cache{usage.CacheMiss, usage.CacheHit, usage.CacheCoalesced, usage.CacheBypass} {
		c.answered(t, how)
	}
	b := s.as(t, tenancy.Viewer)
	rate, hits := "66,6%", text("usage.cache.hits", "hits", 2, "n", 3)
	usagePage := fmt.Sprintf("/tenants/%d/usage", c.tenant.ID)
	for _, path := range []string{"/", "/?view=days", usagePage, usagePage + "?view=days", fmt.Sprintf("/?tenant=%d", c.tenant.ID)} {
		b.get(path).status(http.StatusOK).has(text("usage.cache.title"), rate, hits, text("usage.cache.goal", "goal", "70%"), "US$\u00a02,46",
			">600<", ">360<", text("usage.cache.spared", "tokens", "240"), `data-part="cache"`)
	}
	b.get("/").has(text("usage.cache.saved_today"), text("usage.cache.saved_days"))
	b.get(usagePage).has(text("usage.shares.served"), text("usage.shares.billed"), keyPath(c.key.ID))
	b.get(keyPath(c.key.ID)).has(rate, hits, ">600<", ">360<")
	b.get("/calls").has(text("usage.cache.hit"), text("usage.cache.coalesced"), "openai-br", text("usage.calls.served", "served", 150, "billed", 30)).
		lacks(text("usage.calls.served", "served", 150, "billed", 150)) // one that missed is as any other
}

func TestACustomerSeesItsHitsButNeitherSavingsNorProvider(t *testing.T) {
	s := newSite(t)
	c := s.subscriber(t, "Padaria", tenancy.Charge)
	c.answered(t, usage.CacheMiss)
	c.answered(t, usage.CacheHit)
	b := c.person(t, tenancy.TenantViewer)
	b.get("/portal").status(http.StatusOK).has(text("usage.cache.title"), "50%", text("usage.cache.hits", "hits", 1, "n", 2), ">300<", ">180<",
		text("usage.cache.spared", "tokens", "120"), text("usage.shares.served")).
		lacks("US$", "1,23", "openai-br", text("usage.cache.goal", "goal", "70%"), text("usage.cache.saved"))
	b.get("/portal/calls").status(http.StatusOK).has(text("usage.cache.hit")).lacks("US$", "openai-br", text("usage.calls.provider"))
}

func TestWhereNothingWasLookedUpThereIsNoHitRate(t *testing.T) {
	s := newSite(t)
	c := s.subscriber(t, "Padaria", tenancy.Charge)
	c.answered(t, usage.CacheBypass)
	none := text("usage.cache.none")
	s.as(t, tenancy.Viewer).get("/").status(http.StatusOK).has(none).lacks(">0%<")
	c.person(t, tenancy.TenantViewer).get("/portal").status(http.StatusOK).has(none, text("usage.cache.spared_none"))
}

func TestACustomerSeesTheLimitsOfItsKeys(t *testing.T) {
	s := newSite(t)
	c := s.subscriber(t, "Padaria", tenancy.Charge)
	b := c.person(t, tenancy.TenantViewer)
	b.get("/portal/keys").has(text("portal.keys.no_limits"), text("portal.keys.cache", "mode", text("plans.cache.inherit")))
	must(t, s.store.UpdateKeyLimits(context.Background(), c.key.ID, tenancy.Rates{TokensPerMinute: 5000}, tenancy.CacheOff))
	b.get("/portal/keys").has("5.000\u00a0tokens/min", text("portal.keys.cache", "mode", text("plans.cache.off")))
}
