package handlers

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/views/models"
	"github.com/fila-ia/filaia/views/operations"
	"github.com/fila-ia/filaia/views/providers"
	"github.com/fila-ia/filaia/views/ui"
)

// ProviderStore is what these pages need of the store.
type ProviderStore interface {
	providerReader
	providerWriter
}

type providerReader interface {
	Providers(ctx context.Context) ([]tenancy.Provider, error)
	Provider(ctx context.Context, id int64) (tenancy.Provider, error)
	ProviderChanges(ctx context.Context, id int64, limit int) ([]tenancy.Change, error)
}

type providerWriter interface {
	CreateProvider(ctx context.Context, d tenancy.ProviderDraft) (tenancy.Provider, error)
	UpdateProvider(ctx context.Context, id int64, d tenancy.ProviderDraft) error
	DeleteProvider(ctx context.Context, id int64) error
	ImportModels(ctx context.Context, providerID int64, names []string) (added []string, err error)
}

// Reach tells where a provider's calls go and which key they carry. The provider from the environment takes both from
// there where it has none of its own. It fails where the stored credential does not open.
type Reach func(v tenancy.Provider) (address, key string, err error)

// providers serves those who answer the calls.
func (p *Panel) providers(r fiber.Router) {
	r.Get("/providers", p.listProviders)
	r.Post("/providers", p.createProvider)
	r.Get("/providers/new", p.needEditor, p.newProvider)
	r.Post("/providers/test", p.testNewProvider)
	r.Get("/providers/:id", p.showProvider)
	r.Post("/providers/:id", p.updateProvider)
	r.Get("/providers/:id/edit", p.needEditor, p.editProvider)
	r.Post("/providers/:id/test", p.testProvider)
	r.Get("/providers/:id/import", p.needEditor, p.importPage)
	r.Get("/providers/:id/import/list", p.needEditor, p.importList)
	r.Post("/providers/:id/import", p.importModels)
	r.Post("/providers/:id/delete", p.deleteProvider)
}

func providerPath(id int64) string { return "/providers/" + strconv.FormatInt(id, 10) }

func (p *Panel) listProviders(c *fiber.Ctx) error {
	v, say := at(c), at(c).Say
	houses, err := p.houses(c.UserContext())
	if err != nil {
		return err
	}
	m := providers.ListModel{Frame: p.frame(c, say.T("providers.title"), "providers"), MayEdit: v.User.Role.MayEdit()}
	for i := range houses {
		m.Rows = append(m.Rows, p.providerRow(&houses[i]))
	}
	m.Table = ui.TableModel{
		ID: "providers-table", Path: "/providers", Query: queryValues(c), Label: say.T("providers.title"),
		CountKey: "providers.count", Total: int64(len(m.Rows)),
		Columns: []ui.Column{
			{Label: say.T("providers.field.name")}, {Label: say.T("operations.col.state")}, {Label: say.T("providers.field.kind")},
			{Label: say.T("providers.field.base_url")}, {Label: say.T("providers.models"), Numeric: true},
			{Label: say.T("providers.figure.parallel"), Numeric: true}, {Label: say.T("operations.col.actions"), Hidden: true},
		},
		Empty: ui.EmptyModel{Icon: "server", Title: say.T("providers.empty_title"), Text: say.T("providers.empty_text")},
	}
	m.Rows = window(m.Rows, ui.Page(m.Table.Query))
	return p.render(c, providers.ListPage(m), providers.Table(m))
}

// window is one page of a list that is in memory whole.
func window[T any](items []T, page int) []T {
	from := min((page-1)*ui.PerPage, len(items))
	return items[from:min(from+ui.PerPage, len(items))]
}

func (p *Panel) providerRow(h *house) providers.Row {
	routed := map[string]bool{}
	for _, r := range h.routes {
		routed[r.model] = true
	}
	return providers.Row{
		ID: strconv.FormatInt(h.ID, 10), Name: h.Name, Slug: h.Slug, Kind: string(h.Kind), Address: p.addressShown(h.Provider),
		FromEnvironment: h.FromEnvironment, State: p.stateOf(h), Models: len(routed), Parallel: h.snap.Parallel, Cap: h.Limits.MaxParallel,
		Waiting: h.snap.Waiting,
	}
}

func (p *Panel) stateOf(h *house) providers.State {
	trouble := h.trouble()
	switch {
	case !h.Active:
		return providers.Off
	case trouble == operations.Stopped:
		return providers.Stopped
	case trouble == operations.Fails:
		return providers.Failing
	case trouble == operations.Tries:
		return providers.Trying
	case !h.snap.ThrottledUntil.IsZero():
		return providers.Paused
	case p.simulates(h.Provider):
		return providers.Simulated
	case p.keyless(h.Provider):
		return providers.Keyless
	case !h.answering():
		return providers.Ready
	}
	return providers.Connected
}

// simulates tells whether the built-in simulator answers for the provider.
func (p *Panel) simulates(v tenancy.Provider) bool {
	return p.Simulated && v.FromEnvironment && v.BaseURL == "" && len(v.Credential) == 0
}

// keyless tells whether the provider will refuse calls for want of a credential. Compatible ones may need none.
func (p *Panel) keyless(v tenancy.Provider) bool {
	_, key, err := p.Reach(v)
	return v.Kind != tenancy.CompatibleProvider && (err != nil || key == "")
}

// addressShown leaves out the simulator's: it is in this process, on a port of the moment.
func (p *Panel) addressShown(v tenancy.Provider) string {
	if p.simulates(v) {
		return ""
	}
	return p.addressOf(v)
}

// addressOf is where the provider's calls go.
func (p *Panel) addressOf(v tenancy.Provider) string {
	address, _, err := p.Reach(v)
	if err != nil {
		v.Credential = nil // it does not open, and says nothing of the address
		address, _, _ = p.Reach(v)
	}
	return address
}

// credentialShown says whose key the provider takes, and never the key.
func (p *Panel) credentialShown(say i18n.Printer, v tenancy.Provider) string {
	switch {
	case len(v.Credential) > 0 && knownHint(v.CredentialHint):
		return say.T("providers.credential.own", "hint", v.CredentialHint)
	case len(v.Credential) > 0:
		return say.T("providers.credential.unseen")
	case p.simulates(v):
		return say.T("providers.credential.simulator")
	}
	if _, key, err := p.Reach(v); err == nil && key != "" {
		return say.T("providers.credential.environment")
	}
	return say.T("providers.credential.none")
}

// knownHint tells whether a hint shows anything of its credential; a short one shows nothing.
func knownHint(hint string) bool { return len([]rune(hint)) > 1 }

// house is one provider with its routes and how its breakers stand.
func (p *Panel) house(c *fiber.Ctx) (*house, error) {
	id, err := idParam(c, "id")
	if err != nil {
		return nil, err
	}
	houses, err := p.houses(c.UserContext())
	if err != nil {
		return nil, err
	}
	for i := range houses {
		if houses[i].ID == id {
			return &houses[i], nil
		}
	}
	_, err = p.Providers.Provider(c.UserContext(), id) // says that there is none
	return nil, err
}

// changesOfOne is how much of its history a provider's page shows.
const changesOfOne = 10

func (p *Panel) showProvider(c *fiber.Ctx) error {
	h, err := p.house(c)
	if err != nil {
		return err
	}
	changes, err := p.Breakers.BreakerChanges(c.UserContext(), h.ID, changesOfOne*changesRead)
	if err != nil {
		return err
	}
	acts, err := p.Providers.ProviderChanges(c.UserContext(), h.ID, changesOfOne)
	if err != nil {
		return err
	}
	v := at(c)
	m := providers.ShowModel{
		Frame: p.frame(c, h.Name, "providers"), MayEdit: v.User.Role.MayEdit(), Now: p.Now(), Row: p.providerRow(h),
		Credential: p.credentialShown(v.Say, h.Provider), CreatedAt: h.CreatedAt, ThrottledUntil: h.snap.ThrottledUntil,
		MaxWaiting: h.Limits.MaxWaiting, Forced: h.breaker(""), Limits: shownLimits(h.Limits), Changes: breakerChanges(changes, changesOfOne),
		Acts: shownActs(acts),
	}
	if h.Kind == tenancy.AzureProvider {
		m.APIVersion = h.APIVersion
	}
	m.Routes = h.shownRoutes()
	return p.render(c, providers.ShowPage(m), providers.Live(m))
}

// shownRoutes are the provider's routes: what is not normal first, then what was called, then the others.
func (h *house) shownRoutes() []providers.Route {
	routes := make([]providers.Route, len(h.routes))
	for i, r := range h.routes {
		routes[i] = providers.Route{
			Model: r.model, Href: models.Path(r.model), Priority: r.Priority, Weight: r.Weight, Active: r.Active, Breaker: h.breaker(r.UpstreamModel),
		}
	}
	slices.SortStableFunc(routes, func(a, b providers.Route) int { return cmp.Compare(a.Rank(), b.Rank()) })
	return routes
}

func shownLimits(l tenancy.ProviderLimits) providers.Limits {
	return providers.Limits{
		Connect: l.Connect, FirstByte: l.FirstByte, Idle: l.Idle, Total: l.Total, Hedge: l.Hedge, MaxWait: l.MaxWait,
		Retries: l.Retries, MaxParallel: l.MaxParallel, MaxWaiting: l.MaxWaiting, FailurePercent: l.BreakerFailurePercent,
		MinCalls: l.BreakerMinCalls, Window: l.BreakerWindow, Slow: l.BreakerSlow, Open: l.BreakerOpen,
	}
}

// deleteProvider wants the name typed: it cannot be undone, and the browser's own check can be passed by.
func (p *Panel) deleteProvider(c *fiber.Ctx) error {
	id, err := idParam(c, "id")
	if err != nil {
		return err
	}
	provider, err := p.Providers.Provider(c.UserContext(), id)
	if err != nil {
		return err
	}
	if readForm(c).Text("confirm") != provider.Name {
		return fault.New(fault.Invalid, "providers.error.not_confirmed")
	}
	if err := p.Providers.DeleteProvider(c.UserContext(), id); err != nil {
		return err
	}
	return p.done(c, "/providers", "providers.deleted", "name", provider.Name)
}
