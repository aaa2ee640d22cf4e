package handlers

import (
	"context"
	"net/url"
	"strconv"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
	"github.com/fila-ia/filaia/views/dashboard"
	"github.com/fila-ia/filaia/views/layout"
	"github.com/fila-ia/filaia/views/ui"
)

// DashboardStore is what the overview needs of the store, besides the usage.
type DashboardStore interface {
	UsageStore
	RefusalStore
	UsageByTenant(ctx context.Context, span usage.Period, limit int) (top []usage.Share, active int, err error)
	Growth(ctx context.Context) (usage.Growth, error)
	FirstSteps(ctx context.Context) (usage.FirstSteps, error)
	TenantName(ctx context.Context, id int64) (string, error)
	TenantNames(ctx context.Context) ([]tenancy.TenantName, error)
	Models(ctx context.Context) ([]tenancy.Model, error)
}

// dashboard serves the start page of the panel, every call, the usage of one tenant, and what keeps them moving.
func (p *Panel) dashboard(r fiber.Router) {
	r.Get("/", p.overview)
	r.Get("/live", p.live)
	r.Get("/calls", p.allCalls)
	r.Get("/tenants/:id/usage", p.tenantUsage)
}

func (p *Panel) overview(c *fiber.Ctx) error {
	ctx, v := c.UserContext(), at(c)
	first, err := p.Dashboard.FirstSteps(ctx)
	if err != nil {
		return err
	}
	frame := func() layout.Model { return p.frame(c, v.Say.T("dashboard.title"), "overview") }
	if !first.Called {
		snap, err := p.readSteps(ctx, p.baseURL(c))
		if err != nil {
			return err
		}
		m := snap.model(v.Say)
		return p.render(c, dashboard.Page(frame(), dashboard.Model{Steps: &m, Stream: "/live?view=steps"}), nil)
	}
	s := scope{tenantID: tenantParam(c), view: knownView(c.Query("view"))}
	names, err := p.Dashboard.TenantNames(ctx)
	if err != nil {
		return err
	}
	m := dashboard.Model{Stream: streamURL("/live", s)}
	if s.tenantID != 0 {
		one, err := p.readTenantUsage(ctx, s)
		if err != nil {
			return err
		}
		panel := one.model(v.Say)
		m.One = &panel
	} else {
		all, err := p.readOverview(ctx, s)
		if err != nil {
			return err
		}
		m = all.model(v.Say)
	}
	if m.Kept, err = p.mailNotice(c); err != nil {
		return err
	}
	m.View = string(s.view)
	m.Switch = switchModel(v.Say, "/", s.view, queryValues(c))
	m.Tenants = []ui.Option{{Label: v.Say.T("dashboard.filter.all")}}
	for _, t := range names {
		m.Tenants = append(m.Tenants, ui.Option{Value: strconv.FormatInt(t.ID, 10), Label: t.Name})
	}
	if s.tenantID != 0 {
		m.Tenant = strconv.FormatInt(s.tenantID, 10)
	}
	return p.render(c, dashboard.Page(frame(), m), nil)
}

// tenantParam is the tenant that the page was narrowed to; 0 for all, also where it is no id.
func tenantParam(c *fiber.Ctx) int64 {
	id, err := strconv.ParseInt(c.Query("tenant"), 10, 64)
	if err != nil || id < 0 {
		return 0
	}
	return id
}

func streamURL(path string, s scope) string {
	q := url.Values{}
	if s.tenantID != 0 && !s.portal {
		q.Set("tenant", strconv.FormatInt(s.tenantID, 10))
	}
	if s.view != today {
		q.Set("view", string(s.view))
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// live is the stream behind every page of usage in the panel.
func (p *Panel) live(c *fiber.Ctx) error {
	s := scope{tenantID: tenantParam(c), view: knownView(c.Query("view"))}
	if c.Query("view") == string(steps) {
		base := p.baseURL(c)
		return p.stream(c, scope{view: steps}, func(ctx context.Context) (snapshot, error) { return p.readSteps(ctx, base) })
	}
	return p.stream(c, s, func(ctx context.Context) (snapshot, error) {
		if s.tenantID != 0 {
			return p.readTenantUsage(ctx, s)
		}
		return p.readOverview(ctx, s)
	})
}
