package handlers

import (
	"context"
	"net/url"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
	"github.com/fila-ia/filaia/views/portal"
	"github.com/fila-ia/filaia/views/ui"
	usageviews "github.com/fila-ia/filaia/views/usage"
)

// PortalStore reads what a customer may see of itself. The database holds it to that tenant and shows it no cost, so
// it must not be the store that the panel reads from.
type PortalStore interface {
	UsageStore
	OwnRefusals
	Self(ctx context.Context, tenantID int64) (tenancy.Tenant, error)
	OwnKeys(ctx context.Context, tenantID int64) ([]tenancy.Key, error)
}

// portal serves the customers' side, below /portal. The tenant is always that of the person signed in.
func (p *Panel) portal(r fiber.Router) {
	r.Get("/", p.portalHome)
	r.Get("/live", p.portalLive)
	r.Get("/calls", p.portalCalls)
	r.Get("/keys", p.portalKeys)
	r.Get("/refusals", p.portalRefusals)
	r.Get("/refusals/:id", p.portalRefusal)
}

// portalSnapshot is a customer's own usage at one moment. Its days are those of the customer's zone.
type portalSnapshot struct {
	figures
	scope        scope
	self         tenancy.Tenant
	allowances   []usage.Allowance
	models, keys []usage.Share // of the current period
}

func (p *Panel) readPortal(ctx context.Context, s scope) (*portalSnapshot, error) {
	t := &portalSnapshot{scope: s}
	var err error
	if t.self, err = p.Portal.Self(ctx, s.tenantID); err != nil {
		return nil, err
	}
	zone, err := time.LoadLocation(t.self.TimeZone)
	if err != nil {
		return nil, err
	}
	if t.figures, err = p.readFigures(ctx, p.Portal, s, zone); err != nil {
		return nil, err
	}
	if t.allowances, err = p.Portal.Allowances(ctx, s.tenantID, fullestPlans); err != nil {
		return nil, err
	}
	t.models, t.keys, err = shares(ctx, p.Portal, s.tenantID, t.period())
	return t, err
}

// period is the current one of the customer's own plan, or else the days that the page shows.
func (t *portalSnapshot) period() usage.Period {
	for _, a := range t.allowances {
		if a.KeyName == "" {
			return a.Period
		}
	}
	return t.span
}

func (p *Panel) portalScope(c *fiber.Ctx) scope {
	return scope{tenantID: at(c).User.TenantID, portal: true, view: knownView(c.Query("view"))}
}

func (p *Panel) portalHome(c *fiber.Ctx) error {
	v, s := at(c), p.portalScope(c)
	snap, err := p.readPortal(c.UserContext(), s)
	if err != nil {
		return err
	}
	v.Say = i18n.NewPrinter(v.Say.Lang(), snap.zone)
	m := snap.model(v.Say)
	m.Switch = switchModel(v.Say, "/portal", s.view, url.Values{})
	return p.render(c, portal.Page(p.frame(c, v.Say.T("portal.title"), "overview"), m), nil)
}

func (p *Panel) portalLive(c *fiber.Ctx) error {
	s := p.portalScope(c)
	return p.stream(c, s, func(ctx context.Context) (snapshot, error) { return p.readPortal(ctx, s) })
}

// ownZone makes the page speak in the customer's time zone, and gives the customer.
func (p *Panel) ownZone(c *fiber.Ctx) (tenancy.Tenant, error) {
	v := at(c)
	self, err := p.Portal.Self(c.UserContext(), v.User.TenantID)
	if err != nil {
		return self, err
	}
	if zone, err := time.LoadLocation(self.TimeZone); err == nil {
		v.Say = i18n.NewPrinter(v.Say.Lang(), zone)
	}
	return self, nil
}

func (p *Panel) portalCalls(c *fiber.Ctx) error {
	if _, err := p.ownZone(c); err != nil {
		return err
	}
	v := at(c)
	var err error
	m := usageviews.CallsPageModel{Crumbs: []ui.Link{{Label: v.Say.T("portal.title"), Href: "/portal"}}}
	if m.Calls, err = p.callPage(c, p.Portal, v.User.TenantID, v.Say, "/portal/calls"); err != nil {
		return err
	}
	page := usageviews.PortalCallsPage(p.frame(c, v.Say.T("usage.calls.title"), "overview"), m)
	return p.render(c, page, usageviews.CallRows(v.Say, m.Calls))
}

func (t *portalSnapshot) model(say i18n.Printer) portal.Model {
	m := portal.Model{
		Lead: t.self.Name, Stream: streamURL("/portal/live", t.scope), Figures: t.figureCards(say, false, "/portal/refusals"), Chart: t.chartModel(say),
		Models: sharesModel(say, say.T("usage.shares.model"), t.models, tokensOf(t.models), nil),
		Keys:   sharesModel(say, say.T("usage.shares.key"), t.keys, tokensOf(t.keys), nil),
		Calls:  callsModel(say, t.calls, t.at), CallsRef: "/portal/calls", Refusals: "/portal/refusals", Cache: t.cacheModel(say),
	}
	m.Models.Hits, m.Keys.Hits = true, true
	for _, a := range t.allowances {
		m.Remaining = append(m.Remaining, remainingModel(say, a, t.at))
	}
	m.Tone, m.Notice, m.NoticeLink = t.notice(say)
	return m
}

// notice is what a customer must know first.
func (t *portalSnapshot) notice(say i18n.Printer) (ui.Tone, string, ui.Link) {
	if t.self.Status != tenancy.TenantActive {
		return ui.Bad, say.T("portal.notice.suspended"), ui.Link{}
	}
	for _, a := range t.allowances {
		if tone, text, link := allowanceNotice(say, a); text != "" {
			return tone, text, link
		}
	}
	return ui.Neutral, "", ui.Link{}
}

func allowanceNotice(say i18n.Printer, a usage.Allowance) (ui.Tone, string, ui.Link) {
	if a.Capped() && a.Ratio() >= 1 {
		if tone, text := capNotice(say, a); text != "" {
			return tone, text, ui.Link{Label: say.T("spend.raise"), Href: portalSpendCapPath}
		}
	}
	tone, text := quotaNotice(say, a)
	return tone, text, ui.Link{}
}

// capNotice warns of a cap that is reached, or nearly.
func capNotice(say i18n.Printer, a usage.Allowance) (ui.Tone, string) {
	when, limit := say.DateTime(a.Period.End), say.Money(int64(*a.SpendCap), string(money.BRL))
	switch {
	case a.CapReached():
		return ui.Bad, say.T("spend.notice.reached", "cap", limit, "when", when)
	case a.Charged*5 >= *a.SpendCap*4:
		return ui.Warn, say.T("spend.notice.near", "charged", say.Money(int64(a.Charged), string(money.BRL)), "cap", limit, "when", when)
	}
	return ui.Neutral, ""
}

func quotaNotice(say i18n.Printer, a usage.Allowance) (ui.Tone, string) {
	when := say.DateTime(a.Period.End)
	switch ratio := a.Ratio(); {
	case ratio >= 1 && a.Hard:
		return ui.Bad, say.T("portal.notice.blocked", "when", when)
	case ratio > 1:
		return ui.Info, say.T("portal.notice.excess", "amount", say.Money(int64(a.Charge()), string(money.BRL)))
	case ratio >= 0.8 && a.Hard:
		return ui.Warn, say.T("portal.notice.near_block", "share", say.Percent(ratio), "when", when)
	case ratio >= 0.8:
		return ui.Warn, say.T("portal.notice.near_charge", "share", say.Percent(ratio), "price", say.Price(int64(a.OveragePrice), string(money.BRL)))
	}
	return ui.Neutral, ""
}

func remainingModel(say i18n.Printer, a usage.Allowance, now time.Time) portal.Remaining {
	r := portal.Remaining{
		Name: a.KeyName, Plan: say.T("portal.remaining.plan", "plan", a.PlanName),
		Resets: say.T("portal.remaining.resets", "date", say.Date(a.Period.End)),
		Above:  say.T("portal.remaining.block"),
	}
	if when := say.Relative(a.Period.End, now); when != say.Date(a.Period.End) {
		r.Resets += " (" + when + ")"
	}
	if !a.Hard {
		price := say.Price(int64(a.OveragePrice), string(money.BRL))
		r.Above = say.T("portal.remaining.charge", "price", price)
		if a.KeyName == "" {
			r.Cap = ui.Link{Label: say.T("spend.define"), Href: portalSpendCapPath}
		}
		if a.Capped() {
			r.Above = say.T("spend.above", "price", price, "cap", say.Money(int64(*a.SpendCap), string(money.BRL)), "charged", say.Money(int64(a.Charged), string(money.BRL)))
			r.Cap.Label = say.T("spend.see")
		}
	}
	kind := func(label string, meter usage.Meter) {
		k := portal.Kind{
			Label: label, Left: say.Compact(meter.Remaining()), Word: say.T("portal.remaining.left", "limit", say.Compact(meter.Limit)),
			Meter: meterModel(label, meter, a.Hard),
		}
		if excess := meter.Excess(); excess > 0 {
			k.Left, k.Word = say.Compact(excess), say.T("portal.remaining.above", "limit", say.Compact(meter.Limit))
		}
		k.Exact = say.T("usage.quota.exact", "label", label, "used", meter.Used, "limit", meter.Limit)
		r.Kinds = append(r.Kinds, k)
	}
	kind(say.T("usage.tokens.input"), a.Input)
	kind(say.T("usage.tokens.output"), a.Output)
	return r
}

func (t *portalSnapshot) parts(ctx context.Context, lang i18n.Lang) ([]part, error) {
	say := i18n.NewPrinter(lang, t.zone)
	m := t.model(say)
	return written(ctx, m.Chart, []component{
		{"remaining", portal.RemainingCards(say, m)},
		{"figures", usageviews.Figures(say, m.Figures)},
		{"cache", usageviews.CacheFigures(say, m.Cache)},
		{"models", usageviews.ShareTable(say, m.Models)},
		{"keys", usageviews.ShareTable(say, m.Keys)},
		{"calls", usageviews.CallTable(say, m.Calls)},
	})
}
