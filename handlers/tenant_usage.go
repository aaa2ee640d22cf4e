package handlers

import (
	"context"
	"net/url"
	"strconv"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/usage"
	"github.com/fila-ia/filaia/views/ui"
	usageviews "github.com/fila-ia/filaia/views/usage"
)

// callsPage is how many calls a page of all calls has.
const callsPage = 50

// tenantSnapshot is one tenant's usage at one moment, as the panel sees it.
type tenantSnapshot struct {
	figures
	scope        scope
	name         string
	allowances   []usage.Allowance
	models, keys []usage.Share
}

// tenantUsage is the usage of one tenant: a page, or a panel for the tenant's own page.
func (p *Panel) tenantUsage(c *fiber.Ctx) error {
	id, err := idParam(c, "id")
	if err != nil {
		return err
	}
	v := at(c)
	snap, err := p.readTenantUsage(c.UserContext(), scope{tenantID: id, view: knownView(c.Query("view"))})
	if err != nil {
		return err
	}
	m := snap.model(v.Say)
	m.Switch = switchModel(v.Say, tenantPath(id)+"/usage", snap.view, queryValues(c))
	return p.render(c, usageviews.PanelPage(p.frame(c, snap.name, "tenants"), m), usageviews.Panel(v.Say, m))
}

func (p *Panel) readTenantUsage(ctx context.Context, s scope) (*tenantSnapshot, error) {
	t := &tenantSnapshot{scope: s}
	var err error
	if t.name, err = p.Dashboard.TenantName(ctx, s.tenantID); err != nil {
		return nil, err
	}
	if t.figures, err = p.readFigures(ctx, p.Dashboard, s, p.Zone); err != nil {
		return nil, err
	}
	if t.allowances, err = p.Dashboard.Allowances(ctx, s.tenantID, fullestPlans); err != nil {
		return nil, err
	}
	t.models, t.keys, err = shares(ctx, p.Dashboard, s.tenantID, t.span)
	return t, err
}

func shares(ctx context.Context, from usageShares, tenantID int64, span usage.Period) (models, keys []usage.Share, err error) {
	if models, err = from.UsageByModel(ctx, tenantID, span); err != nil {
		return nil, nil, err
	}
	keys, err = from.UsageByKey(ctx, tenantID, span)
	return models, keys, err
}

func (t *tenantSnapshot) model(say i18n.Printer) usageviews.PanelModel {
	id := strconv.FormatInt(t.scope.tenantID, 10)
	m := usageviews.PanelModel{
		Tenant: t.name, Href: tenantPath(t.scope.tenantID), CallsRef: "/calls?tenant=" + id, Stream: streamURL("/live", t.scope),
		Figures: t.figureCards(say, true, tenantPath(t.scope.tenantID)+"/refusals"), Chart: t.chartModel(say), Quotas: quotasModel(say, t.allowances, t.at, false),
		Models: sharesModel(say, say.T("usage.shares.model"), t.models, tokensOf(t.models), nil),
		Keys:   sharesModel(say, say.T("usage.shares.key"), t.keys, tokensOf(t.keys), keyRef),
		Calls:  callsModel(say, t.calls, t.at), Refusals: tenantPath(t.scope.tenantID) + "/refusals",
		Cache: aimed(say, t.cacheModel(say, savedItem(say, say.T("usage.cache.saved"), t.totals.SavedUSD))),
	}
	m.Figures = append(m.Figures, t.meanCard(say))
	m.Models.Cost, m.Keys.Cost, m.Calls.Cost = true, true, true
	m.Models.Hits, m.Keys.Hits = true, true
	return m
}

func keyRef(s usage.Share) string { return keyPath(s.ID) }

func (t *tenantSnapshot) parts(ctx context.Context, lang i18n.Lang) ([]part, error) {
	say := i18n.NewPrinter(lang, t.zone)
	m := t.model(say)
	return written(ctx, m.Chart, []component{
		{"figures", usageviews.Figures(say, m.Figures)},
		{"quotas", usageviews.QuotaList(say, m.Quotas)},
		{"cache", usageviews.CacheFigures(say, m.Cache)},
		{"models", usageviews.ShareTable(say, m.Models)},
		{"keys", usageviews.ShareTable(say, m.Keys)},
		{"calls", usageviews.CallTable(say, m.Calls)},
	})
}

// allCalls is every call, of all tenants or of one, page by page from the newest.
func (p *Panel) allCalls(c *fiber.Ctx) error {
	v, tenantID := at(c), tenantParam(c)
	m := usageviews.CallsPageModel{Crumbs: []ui.Link{{Label: v.Say.T("dashboard.title"), Href: "/"}}}
	if tenantID != 0 {
		name, err := p.Dashboard.TenantName(c.UserContext(), tenantID)
		if err != nil {
			return err
		}
		m.Crumbs = []ui.Link{{Label: v.Say.T("nav.tenants"), Href: "/tenants"}, {Label: name, Href: tenantPath(tenantID)}}
	}
	var err error
	if m.Calls, err = p.callPage(c, p.Dashboard, tenantID, v.Say, "/calls"); err != nil {
		return err
	}
	m.Calls.Tenant, m.Calls.Cost = tenantID == 0, true
	return p.render(c, usageviews.CallsPage(p.frame(c, v.Say.T("usage.calls.title"), "overview"), m), usageviews.CallRows(v.Say, m.Calls))
}

// callPage reads the calls before the one that the address names, or the newest, and where the next page is.
func (p *Panel) callPage(c *fiber.Ctx, from UsageStore, tenantID int64, say i18n.Printer, path string) (usageviews.Calls, error) {
	before := uuid.Nil
	if text := c.Query("before"); text != "" {
		id, err := uuid.Parse(text)
		if err != nil {
			return usageviews.Calls{}, fault.New(fault.NotFound, "problem.no_page").Because(err)
		}
		before = id
	}
	calls, err := from.Calls(c.UserContext(), tenantID, before, callsPage+1)
	if err != nil {
		return usageviews.Calls{}, err
	}
	more := ""
	if len(calls) > callsPage {
		calls = calls[:callsPage]
		q := url.Values{"before": {calls[callsPage-1].ID.String()}}
		if id := c.Query("tenant"); id != "" {
			q.Set("tenant", id)
		}
		more = path + "?" + q.Encode()
	}
	m := callsModel(say, calls, p.Now())
	m.More = more
	return m, nil
}
