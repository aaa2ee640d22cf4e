package handlers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/breaker"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// provided is what the environment gives the provider that comes with the product.
type provided struct{ address, key string }

// reach is what cmd answers: where a provider is and with which key.
func (s *site) reach(v tenancy.Provider) (address, key string, err error) {
	address = v.BaseURL
	if len(v.Credential) > 0 {
		opened, err := s.Credentials.Open(v.Credential, "provider:"+v.Slug)
		if err != nil {
			return "", "", err
		}
		key = string(opened)
	}
	if v.FromEnvironment && address == "" {
		address = s.environment.address
	}
	if v.FromEnvironment && key == "" {
		key = s.environment.key
	}
	return address, key, nil
}

// running is the process beside the panel, as a test wants it to be.
type running struct {
	providers map[int64]breaker.Snapshot
	limiter   LimiterState
	cache     CacheState
	purged    []int64
	self      SelfState
	audit     func(context.Context) error
	fails     bool
}

func (r *running) Providers() map[int64]breaker.Snapshot { return r.providers }
func (r *running) Limiter() LimiterState                 { return r.limiter }
func (r *running) Cache() CacheState                     { return r.cache }

func (r *running) Self() SelfState                 { return r.self }
func (r *running) Audit(ctx context.Context) error { return r.audit(ctx) }
func (r *running) Simulating() bool                { return true }

func (r *running) PurgeCache(_ context.Context, tenantID int64) error {
	if r.fails {
		return errors.New("redis: connection refused")
	}
	r.purged = append(r.purged, tenantID)
	return nil
}

func TestOperationsTellHowTheGatewayStands(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Viewer)
	own := s.comesWith(t)
	s.environment = provided{address: "https://api.openai.com/v1", key: "sk-da-variavel"}
	b.get("/operations").status(http.StatusOK).has(text("operations.limiter.local"), text("operations.no_changes"), text("providers.state.ready"))
	since := s.Now().Add(-5 * time.Minute)
	s.running.providers = map[int64]breaker.Snapshot{own.ID: {Parallel: 7, Models: []breaker.ModelSnapshot{
		{Model: "gpt-4.1", State: breaker.Open, Since: since, FailurePercent: 80, Calls: 25, RetryIn: 4 * time.Second},
		{Model: "gpt-4.1-nano", State: breaker.Closed, Since: since, FailurePercent: 2, Calls: 120},
		{Model: "gpt-4o", State: breaker.HalfOpen, Since: since},
		{Model: "*", State: breaker.Closed, Since: since},
	}}}
	s.running.limiter = LimiterState{Shared: true, Away: since}
	s.running.cache = CacheState{Hits: 30, Lookups: 40, Entries: 12}
	must(t, s.store.RecordBreakerChanges(context.Background(), []tenancy.BreakerChange{{
		At: since, Replica: "replica-one-two", ProviderID: own.ID, Model: "gpt-4.1", From: "closed", To: "open", Reason: "failures", FailurePercent: 80, Calls: 25,
	}}))
	page := b.get("/operations").status(http.StatusOK).has(
		"80%", text("operations.state.open"), text("operations.state.half_open"), text("operations.retry_in", "time", "4\u00a0s"), text("operations.other_models"),
		text("operations.limiter.away_note", "since", "há 5\u00a0min"), "75%", text("operations.reason.failures", "percent", 80, "n", 25),
		text("operations.stopped", "n", 1), `data-poll="/operations"`)
	page.lacks("/open/gpt-4.1", text("operations.open")) // a viewer only looks
	b.part("/operations").status(http.StatusOK).has("80%").lacks("<html")
}

func TestAPersonOpensABreakerAndGivesItBack(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	own := s.comesWith(t)
	_, err := s.store.ImportModels(context.Background(), own.ID, []string{"meta/llama-4"})
	must(t, err)
	s.running.providers = map[int64]breaker.Snapshot{own.ID: {Models: []breaker.ModelSnapshot{{Model: "meta/llama-4", State: breaker.Closed, Since: s.Now()}}}}
	act := func(act, model string) string { return fmt.Sprintf("/operations/breakers/%d/%s%s", own.ID, act, model) }
	forced := func() []tenancy.BreakerForce {
		t.Helper()
		list, err := s.store.BreakerForces(context.Background())
		must(t, err)
		return list
	}
	b.get("/operations").has(`action="`+act("open", "/meta%2Fllama-4")+`"`, act("close", ""))
	b.post(act("open", "/meta%2Fllama-4"), nil).leadsTo("/operations")
	if list := forced(); len(list) != 1 || list[0].Model != "meta/llama-4" || list[0].State != "forced_open" || list[0].Actor != b.user.Email {
		t.Fatalf("%+v", list)
	}
	b.get("/operations").has(text("operations.state.forced_open"), b.user.Email, text("operations.done.open", "model", "meta/llama-4", "provider", "OpenAI"),
		act("auto", "/meta%2Fllama-4"))
	b.get("/providers").has(text("providers.state.stopped"))

	b.header.Set("Referer", siteAddress+providerPath(own.ID))
	b.post(act("close", ""), nil).leadsTo(providerPath(own.ID))
	if list := forced(); len(list) != 2 || list[0].Model != "" || list[0].State != "forced_closed" {
		t.Fatalf("%+v", list)
	}
	b.header.Set("Referer", "https://elsewhere.example//evil.example")
	b.post(act("auto", ""), nil).leadsTo("/operations")
	b.header.Del("Referer")
	b.post(act("auto", "/meta%2Fllama-4"), nil).leadsTo("/operations")
	if list := forced(); len(list) != 0 {
		t.Fatalf("%+v", list)
	}
	b.post(act("explode", ""), nil).status(http.StatusNotFound)
	b.post("/operations/breakers/999/open", nil).status(http.StatusNotFound)
}

func TestViewersChangeNothingOfThePlatform(t *testing.T) {
	s := newSite(t)
	own := providerPath(s.comesWith(t).ID)
	b := s.as(t, tenancy.Viewer)
	for _, path := range []string{"/providers", own, "/models", "/models/gpt-4.1-nano", "/operations", "/cache"} {
		b.get(path).status(http.StatusOK).lacks("/edit\"", "/price\"", `href="/providers/new"`, `href="/models/new"`, `action="/models/rate"`, `action="/cache`,
			"/import\"", "/test\"", `action="/operations`)
	}
	for _, path := range []string{"/providers/new", own + "/edit", own + "/import", own + "/import/list", "/models/new", "/models/gpt-4.1-nano/edit",
		"/models/gpt-4.1-nano/price"} {
		b.get(path).status(http.StatusForbidden)
	}
	for _, path := range []string{"/providers", "/providers/test", own, own + "/test", own + "/import", own + "/delete", "/models", "/models/preview", "/models/rate",
		"/models/gpt-4.1-nano", "/models/gpt-4.1-nano/price", "/operations/breakers/1/open", "/cache", "/cache/purge"} {
		b.post(path, nil).status(http.StatusForbidden)
	}
	customer := s.as(t, tenancy.TenantAdmin)
	for _, path := range []string{"/providers", own, "/models", "/operations", "/cache"} {
		customer.get(path).leadsTo("/portal")
	}
}

func TestThePlatformReadsInBothLanguages(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	own := s.comesWith(t)
	s.running.providers = map[int64]breaker.Snapshot{own.ID: {Models: []breaker.ModelSnapshot{{Model: "gpt-4.1", State: breaker.Open, RetryIn: time.Second}}}}
	s.running.limiter = LimiterState{Shared: true, Away: s.Now().Add(-time.Hour)}
	for i, reason := range []string{"failures", "slow", "probes_ok", "probe_failed", "time", "manual"} {
		must(t, s.store.RecordBreakerChanges(context.Background(), []tenancy.BreakerChange{{
			At: s.Now().Add(time.Duration(-i) * time.Minute), ProviderID: own.ID, Model: "gpt-4.1", From: "half_open", To: "forced_closed", Reason: reason, Calls: i,
		}}))
	}
	address := providerPath(own.ID)
	pages := []string{"/providers", "/providers/new", "/providers/new?preset=azure", address, address + "/edit", address + "/import", address + "/import/list",
		"/models", "/models?status=off", "/models/new", "/models/gpt-4.1", "/models/gpt-4.1/edit", "/models/gpt-4.1/price", "/operations", "/cache"}
	for _, preset := range presets(s.browserPrinter()) {
		pages = append(pages, "/providers/new?preset="+preset.Key)
	}
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
