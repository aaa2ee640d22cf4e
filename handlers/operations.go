package handlers

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/breaker"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/views/operations"
)

// Operations is what runs in this process beside the panel. It is asked every few seconds by every open page.
type Operations interface {
	// Providers tells how the breakers of each provider stand, by the provider's id.
	Providers() map[int64]breaker.Snapshot
	Limiter() LimiterState
	Self() SelfState
	// Audit compares the books and keeps what was found. It may take minutes.
	Audit(ctx context.Context) error
	Cache() CacheState
	// Simulating tells whether the built-in simulator answers for a provider.
	Simulating() bool
	// PurgeCache forgets a tenant's answers, in every replica.
	PurgeCache(ctx context.Context, tenantID int64) error
}

// LimiterState is where limits a minute and at once are counted.
type LimiterState struct {
	Shared bool      // in Redis, by all replicas together
	Away   time.Time // since when Redis cannot be reached and each replica counts on its own; zero: it can
}

// CacheState is what the cache holds, and what it did since this process started.
type CacheState struct {
	Off           bool // there is none
	Shared        bool // in Redis
	Unhealthy     bool // Redis fails: calls go to the providers
	Hits, Lookups int64
	Entries       int64
	Bytes, Limit  int64 // 0: not known
}

// nothingRuns stands in where a panel is served beside no gateway.
type nothingRuns struct{}

func (nothingRuns) Providers() map[int64]breaker.Snapshot   { return nil }
func (nothingRuns) Limiter() LimiterState                   { return LimiterState{} }
func (nothingRuns) Self() SelfState                         { return SelfState{} }
func (nothingRuns) Audit(context.Context) error             { return errors.New("no gateway runs here") }
func (nothingRuns) Cache() CacheState                       { return CacheState{Off: true} }
func (nothingRuns) Simulating() bool                        { return true }
func (nothingRuns) PurgeCache(context.Context, int64) error { return nil }

// BreakerStore is what operators decide about breakers, and what became of them.
type BreakerStore interface {
	BreakerForces(ctx context.Context) ([]tenancy.BreakerForce, error)
	ForceBreaker(ctx context.Context, providerID int64, model, state string) error
	BreakerChanges(ctx context.Context, providerID int64, limit int) ([]tenancy.BreakerChange, error)
}

// changesShown is how much of the breakers' history a page shows.
const changesShown = 50

// changesRead is how many times as much is read: what a provider that stays dead does every few seconds is one line.
const changesRead = 8

// operations serves how the gateway stands, and a person's decisions about breakers.
func (p *Panel) operations(r fiber.Router) {
	r.Get("/operations", p.showOperations)
	r.Post("/operations/breakers/:id/:act", p.forceBreaker)
	r.Post("/operations/breakers/:id/:act/:model", p.forceBreaker)
}

func (p *Panel) showOperations(c *fiber.Ctx) error {
	ctx, v := c.UserContext(), at(c)
	houses, err := p.houses(ctx)
	if err != nil {
		return err
	}
	changes, err := p.Breakers.BreakerChanges(ctx, 0, changesShown*changesRead)
	if err != nil {
		return err
	}
	m := operations.PageModel{
		Frame: p.frame(c, v.Say.T("operations.title"), "operations"), MayEdit: v.User.Role.MayEdit(), Now: p.Now(), Changes: breakerChanges(changes, changesShown),
	}
	if m.Servers, err = p.servers(ctx); err != nil {
		return err
	}
	audits, err := p.Books.LatestAudits(ctx, 1)
	if err != nil {
		return err
	}
	if len(audits) > 0 {
		m.Audit = audit(audits[0])
	}
	limiter, cache := p.Operations.Limiter(), p.Operations.Cache()
	m.Limiter = operations.Limiter{Shared: limiter.Shared, Away: limiter.Away}
	m.Cache = operations.Cache{Hits: cache.Hits, Lookups: cache.Lookups, Entries: cache.Entries, Off: cache.Off}
	var idle []operations.House // without models: last, so that the others keep their places
	for _, h := range houses {
		shown := h.model()
		shown.Keyless = p.keyless(h.Provider)
		if len(shown.Breakers)+shown.Quiet > 0 {
			m.Houses = append(m.Houses, shown)
		} else {
			idle = append(idle, shown)
		}
	}
	slices.SortStableFunc(m.Houses, func(a, b operations.House) int { return cmp.Compare(a.Trouble(), b.Trouble()) })
	m.Houses = append(m.Houses, idle...)
	return p.render(c, operations.Page(m), operations.Live(m))
}

// house is a provider with its routes and how its breakers stand.
type house struct {
	tenancy.Provider
	snap   breaker.Snapshot
	routes []houseRoute
	forces map[string]tenancy.BreakerForce // by the provider's name of the model; "" for all
}

type houseRoute struct {
	model string
	tenancy.Route
}

// houses puts together what the database and this process know of the providers.
func (p *Panel) houses(ctx context.Context) ([]house, error) {
	list, err := p.Providers.Providers(ctx)
	if err != nil {
		return nil, err
	}
	models, err := p.Models.AllModels(ctx)
	if err != nil {
		return nil, err
	}
	forces, err := p.Breakers.BreakerForces(ctx)
	if err != nil {
		return nil, err
	}
	snaps := p.Operations.Providers()
	all := make([]house, len(list))
	for i, provider := range list {
		h := house{Provider: provider, snap: snaps[provider.ID], forces: map[string]tenancy.BreakerForce{}}
		for _, m := range models {
			for _, r := range m.Routes {
				if r.ProviderID == provider.ID {
					h.routes = append(h.routes, houseRoute{m.Name, r})
				}
			}
		}
		for _, f := range forces {
			if f.ProviderID == provider.ID {
				h.forces[f.Model] = f
			}
		}
		all[i] = h
	}
	return all, nil
}

// breaker tells how the breaker of one of the provider's models stands; "" is all of them, which has no state of its own
// but what a person decided.
func (h *house) breaker(model string) operations.Breaker {
	b := operations.Breaker{ProviderID: strconv.FormatInt(h.ID, 10), Provider: h.Name, Model: model}
	for _, s := range h.snap.Models {
		if s.Model == model && model != "" {
			b.State, b.Since, b.FailurePercent, b.Calls, b.RetryIn = string(s.State), s.Since, s.FailurePercent, s.Calls, s.RetryIn
		}
	}
	b.Unrouted = model != "" && !h.routed(model)
	force, forced := h.forces[model]
	if !forced && model != "" {
		force, forced = h.forces[""]
	}
	if forced { // the database knows before this process does
		b.State, b.ForcedBy, b.ForcedAt, b.Since, b.RetryIn = force.State, force.Actor, force.At, force.At, 0
	} else if b.State == operations.ForcedOpen || b.State == operations.ForcedClosed {
		b.State = string(breaker.Closed)
	}
	if b.State == string(breaker.Closed) && b.Calls >= tellingCalls && b.FailurePercent >= h.Limits.BreakerFailurePercent {
		b.State = operations.Failing
	}
	return b
}

// tellingCalls is from how many calls on their failures are shown, even where too few for the breaker to open.
const tellingCalls = 3

// routed tells whether a route leads to the provider's model of this name.
func (h *house) routed(upstream string) bool {
	return slices.ContainsFunc(h.routes, func(r houseRoute) bool { return r.UpstreamModel == upstream })
}

// answering tells whether a call of the last moments succeeded.
func (h *house) answering() bool {
	return slices.ContainsFunc(h.snap.Models, func(s breaker.ModelSnapshot) bool { return s.Calls > 0 && s.FailurePercent < 100 })
}

// trouble is the worst that is known of the provider's breakers.
func (h *house) trouble() operations.Trouble {
	if h.forces[""].State == operations.ForcedOpen {
		return operations.Stopped
	}
	worst := operations.Untroubled
	for _, name := range h.known() {
		worst = min(worst, h.breaker(name).Trouble())
	}
	return worst
}

// known names the models that were called in this process, or that a person decided about.
func (h *house) known() []string {
	var names []string
	for _, s := range h.snap.Models {
		names = append(names, s.Model)
	}
	for model := range h.forces {
		if model != "" {
			names = append(names, model)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// model is the house on the page of operations. Models that were not called yet are only counted: they may be hundreds.
func (h *house) model() operations.House {
	m := operations.House{
		ID: strconv.FormatInt(h.ID, 10), Name: h.Name, Active: h.Active, Parallel: h.snap.Parallel, Cap: h.Limits.MaxParallel,
		Waiting: h.snap.Waiting, ThrottledUntil: h.snap.ThrottledUntil, Forced: h.breaker(""), Answering: h.answering(),
	}
	names := h.known()
	for _, name := range names {
		m.Breakers = append(m.Breakers, h.breaker(name))
	}
	slices.SortStableFunc(m.Breakers, func(a, b operations.Breaker) int { return cmp.Compare(a.Trouble(), b.Trouble()) })
	quiet := map[string]bool{}
	for _, r := range h.routes {
		if r.Active && !slices.Contains(names, r.UpstreamModel) {
			quiet[r.UpstreamModel] = true
		}
	}
	m.Quiet = len(quiet)
	return m
}

func shownActs(list []tenancy.Change) []operations.Act {
	acts := make([]operations.Act, len(list))
	for i, one := range list {
		acts[i] = operations.Act(one)
	}
	return acts
}

// backTo is the page of this site from which a form was sent, or otherwise.
func (p *Panel) backTo(c *fiber.Ctx, otherwise string) string {
	if from := pathOf(c.Get(fiber.HeaderReferer)); c.Get(fiber.HeaderReferer) != "" && localPath(from) {
		return from
	}
	return otherwise
}

// textParam reads a part of the path that may hold escaped slashes, such as a model's name; "" where it is not there.
func textParam(c *fiber.Ctx, name string) (string, error) {
	text, err := url.PathUnescape(c.Params(name))
	if err != nil || len(text) > 300 {
		return "", fault.New(fault.NotFound, "problem.no_page")
	}
	return text, nil
}
