package handlers

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/a-h/templ"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/usage"
	"github.com/fila-ia/filaia/views/dashboard"
	"github.com/fila-ia/filaia/views/ui"
	usageviews "github.com/fila-ia/filaia/views/usage"
)

// overviewSnapshot is the overview of all tenants at one moment.
type overviewSnapshot struct {
	figures
	scope      scope
	allowances []usage.Allowance
	ranking    ranking
	growth     usage.Growth
	month      usage.Totals // of the last thirty days
	day        usage.Totals // of today
}

// ranking is who used most, and how many used anything.
type ranking struct {
	top    []usage.Share
	active int
}

func (p *Panel) readOverview(ctx context.Context, s scope) (*overviewSnapshot, error) {
	o := &overviewSnapshot{scope: s}
	var err error
	if o.figures, err = p.readFigures(ctx, p.Dashboard, s, p.Zone); err != nil {
		return nil, err
	}
	if o.allowances, err = p.Dashboard.Allowances(ctx, 0, fullestPlans); err != nil {
		return nil, err
	}
	if o.growth, err = p.Dashboard.Growth(ctx); err != nil {
		return nil, err
	}
	if o.ranking, err = p.rank(ctx, s.view, o.span); err != nil {
		return nil, err
	}
	hours, err := p.sixtyDays(ctx, p.Dashboard, s, o.at, o.zone)
	o.month = usage.Fill(usage.LastDays(o.at, chartDays, o.zone), usage.Day, o.zone, hours).Sum()
	o.day = usage.Fill(usage.LastDays(o.at, 1, o.zone), usage.Hour, o.zone, hours).Sum()
	return o, err
}

// rank reads who used most; over thirty days a minute old will do.
func (p *Panel) rank(ctx context.Context, v view, span usage.Period) (ranking, error) {
	read := func() (ranking, error) {
		top, active, err := p.Dashboard.UsageByTenant(ctx, span, topTenants)
		return ranking{top, active}, err
	}
	if v == thirty {
		return p.hub.ranked.get(span, read)
	}
	return read()
}

func (o *overviewSnapshot) model(say i18n.Printer) dashboard.Model {
	cards := o.figureCards(say, true, "/refusals")
	cards = append(cards, usageviews.Figure{
		Label: say.T("usage.figure.active"), Value: say.Int(int64(o.ranking.active)),
		Note: say.T("usage.figure.active_note", "n", o.growth.Customers),
	})
	m := dashboard.Model{
		Stream: streamURL("/live", o.scope), Figures: cards, Chart: o.chartModel(say),
		Quotas: quotasModel(say, o.allowances, o.at, true), Goals: o.goals(say),
		Calls: callsModel(say, o.calls, o.at), CallsRef: "/calls", Refusals: "/refusals",
		Cache: aimed(say, o.cacheModel(say, savedItem(say, say.T("usage.cache.saved_today"), o.day.SavedUSD),
			savedItem(say, say.T("usage.cache.saved_days"), o.month.SavedUSD))),
	}
	m.Calls.Tenant, m.Calls.Cost = true, true
	m.Top = sharesModel(say, say.T("usage.shares.tenant"), o.ranking.top, o.totals.Tokens.Total(),
		func(s usage.Share) string { return tenantPath(s.ID) })
	m.Top.Cost = true
	m.Span = say.T("usage.span.today")
	if o.view == thirty {
		m.Span = say.T("usage.span.days")
	}
	return m
}

func (o *overviewSnapshot) goals(say i18n.Printer) []dashboard.Goal {
	goal := func(label string, g usage.Goal, actual int64, short, exact func(int64) string) dashboard.Goal {
		from := 0.0
		if g.To > 0 {
			from = float64(g.From) / float64(g.To)
		}
		return dashboard.Goal{
			Label: label, Value: short(actual), Exact: exact(actual), Ratio: g.Reached(actual), From: from,
			Target: say.T("dashboard.goals.of", "target", short(g.To)), Start: say.T("dashboard.goals.from", "start", short(g.From)),
		}
	}
	reais := func(micros int64) string { return say.Money(micros, string(money.BRL)) }
	revenue := int64(o.growth.Fees + o.month.ChargeBRL)
	return []dashboard.Goal{
		goal(say.T("dashboard.goals.customers"), o.growth.Goals.Customers, o.growth.Customers, say.Int, say.Int),
		goal(say.T("dashboard.goals.revenue"), o.growth.Goals.Revenue, revenue, reais, reais),
		goal(say.T("dashboard.goals.tokens"), o.growth.Goals.Tokens, o.month.Tokens.Total(), say.Compact, say.Int),
	}
}

// parts writes what the stream sends: the same components as the page's.
func (o *overviewSnapshot) parts(ctx context.Context, lang i18n.Lang) ([]part, error) {
	say := i18n.NewPrinter(lang, o.zone)
	m := o.model(say)
	return written(ctx, m.Chart, []component{
		{"figures", usageviews.Figures(say, m.Figures)},
		{"quotas", usageviews.QuotaList(say, m.Quotas)},
		{"cache", usageviews.CacheFigures(say, m.Cache)},
		{"top", usageviews.ShareTable(say, m.Top)},
		{"goals", dashboard.Goals(m.Goals)},
		{"calls", usageviews.CallTable(say, m.Calls)},
	})
}

// component is a part before it is written.
type component struct {
	name string
	body templ.Component
}

// written writes components as parts, after the chart's figures as JSON.
func written(ctx context.Context, chart ui.ChartModel, list []component) ([]part, error) {
	tokens, err := json.Marshal(chart.Data)
	if err != nil {
		return nil, fmt.Errorf("write chart: %w", err)
	}
	parts, err := rendered(ctx, list)
	if err != nil {
		return nil, err
	}
	return append([]part{{"tokens", string(tokens)}}, parts...), nil
}

// rendered writes components as parts.
func rendered(ctx context.Context, list []component) ([]part, error) {
	parts := make([]part, 0, len(list))
	for _, c := range list {
		var text strings.Builder
		if err := c.body.Render(ctx, &text); err != nil {
			return nil, fmt.Errorf("write %s: %w", c.name, err)
		}
		parts = append(parts, part{c.name, text.String()})
	}
	return parts, nil
}
