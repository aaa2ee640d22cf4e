package handlers

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/views/models"
	"github.com/fila-ia/filaia/views/ui"
)

// ModelStore is what these pages need of the store.
type ModelStore interface {
	modelReader
	modelWriter
}

type modelReader interface {
	AllModels(ctx context.Context) ([]tenancy.Model, error)
	Model(ctx context.Context, name string) (tenancy.Model, error)
	Prices(ctx context.Context, model string) ([]tenancy.Price, error)
	ModelChanges(ctx context.Context, name string, limit int) ([]tenancy.Change, error)
}

type modelWriter interface {
	CreateModel(ctx context.Context, d tenancy.ModelDraft, p tenancy.Price) error
	UpdateModel(ctx context.Context, name string, d tenancy.ModelDraft) error
	SetPrice(ctx context.Context, model string, p tenancy.Price) error
}

// models serves what may be called, what it costs, and the exchange rate.
func (p *Panel) models(r fiber.Router) {
	r.Get("/models", p.listModels)
	r.Post("/models", p.createModel)
	r.Get("/models/new", p.needEditor, p.newModel)
	r.Post("/models/preview", p.previewPrice)
	r.Post("/models/rate", p.setRate)
	r.Get("/models/:name", p.showModel)
	r.Post("/models/:name", p.updateModel)
	r.Get("/models/:name/edit", p.needEditor, p.editModel)
	r.Get("/models/:name/price", p.needEditor, p.newPrice)
	r.Post("/models/:name/price", p.setPrice)
}

func (p *Panel) listModels(c *fiber.Ctx) error {
	m, err := p.modelList(c)
	if err != nil {
		return err
	}
	return p.render(c, models.ListPage(m), models.Table(m))
}

func (p *Panel) modelList(c *fiber.Ctx) (models.ListModel, error) {
	ctx, v, say := c.UserContext(), at(c), at(c).Say
	all, err := p.Models.AllModels(ctx)
	if err != nil {
		return models.ListModel{}, err
	}
	houses, err := p.Providers.Providers(ctx)
	if err != nil {
		return models.ListModel{}, err
	}
	m := models.ListModel{Frame: p.frame(c, say.T("models.title"), "models"), MayEdit: v.User.Role.MayEdit()}
	if m.Rate, err = p.rateModel(c); err != nil {
		return m, err
	}
	var rows []models.Row
	for _, one := range all {
		rows = append(rows, modelRow(one, houses))
	}
	query := queryValues(c)
	rows = findModels(rows, listQuery(c))
	if id := c.Query("provider"); id != "" {
		rows = slices.DeleteFunc(rows, func(r models.Row) bool { return !r.RoutedTo(id) })
	}
	m.Rows = window(rows, min(ui.Page(query), max(1, (len(rows)+ui.PerPage-1)/ui.PerPage)))
	m.Table = ui.TableModel{
		ID: "models-table", Path: "/models", Query: query, Label: say.T("models.title"), Search: say.T("models.search"),
		CountKey: "models.count", Total: int64(len(rows)),
		Columns: []ui.Column{
			{Label: say.T("models.field.name"), Sort: "name"}, {Label: say.T("models.col.state")}, {Label: say.T("models.col.providers")},
			{Label: say.T("models.input"), Sort: "input", Numeric: true}, {Label: say.T("models.cached"), Numeric: true},
			{Label: say.T("models.output"), Sort: "output", Numeric: true}, {Label: say.T("models.col.longest"), Sort: "longest", Numeric: true},
			{Label: say.T("operations.col.actions"), Hidden: true},
		},
		Filters: []ui.Filter{{Name: "status", Label: say.T("models.col.state"), Options: []ui.Option{
			{Label: say.T("models.filter.all")}, {Value: "active", Label: say.T("models.filter.active")},
			{Value: "unpriced", Label: say.T("models.no_price")}, {Value: "unrouted", Label: say.T("models.filter.unrouted")},
			{Value: "off", Label: say.T("models.filter.off")},
		}}},
		Empty: ui.EmptyModel{Icon: "cpu", Title: say.T("models.empty_title"), Text: say.T("models.empty_text")},
	}
	for _, house := range houses { // one comes here from a provider's page, and can leave again
		if id := strconv.FormatInt(house.ID, 10); id == c.Query("provider") {
			m.Table.Filters = append(m.Table.Filters, ui.Filter{Name: "provider", Label: say.T("models.field.provider"), Options: []ui.Option{
				{Label: say.T("models.filter.all_providers")}, {Value: id, Label: house.Name},
			}})
		}
	}
	return m, nil
}

func modelRow(one tenancy.Model, houses []tenancy.Provider) models.Row {
	row := models.Row{Name: one.Name, Default: one.Default, Active: one.Active, MaxOutput: one.MaxOutputTokens, Price: shownPrice(one.Price, nil)}
	for _, r := range one.Routes {
		route := models.Route{
			ProviderHref: providerPath(r.ProviderID), Upstream: r.UpstreamModel, Priority: r.Priority, Weight: r.Weight,
			Price: shownPrice(r.Price, nil), OwnPrice: r.Price.ProviderID != 0,
		}
		for _, house := range houses {
			if house.ID == r.ProviderID {
				route.Provider, route.Active = house.Name, r.Active && house.Active
			}
		}
		row.Routes = append(row.Routes, route)
	}
	return row
}

// shownPrice is a price with the name of its provider.
func shownPrice(price tenancy.Price, houses []tenancy.Provider) models.Price {
	shown := models.Price{
		Since: price.Since, Input: price.Input, CachedInput: price.CachedInput, Output: price.Output, Reasoning: price.Reasoning, Request: price.Request,
	}
	for _, house := range houses {
		if house.ID == price.ProviderID {
			shown.Provider = house.Name
		}
	}
	return shown
}

// findModels keeps the rows that were asked for, in the order asked for.
func findModels(rows []models.Row, q tenancy.ListQuery) []models.Row {
	wanted := strings.ToLower(strings.TrimSpace(q.Search))
	rows = slices.DeleteFunc(rows, func(r models.Row) bool {
		return !strings.Contains(strings.ToLower(r.Name), wanted) || q.Status != "" && !r.Is(q.Status)
	})
	compare := map[string]func(a, b models.Row) int{
		"name":    func(a, b models.Row) int { return strings.Compare(a.Name, b.Name) },
		"input":   func(a, b models.Row) int { return cmp.Compare(a.Price.Input, b.Price.Input) },
		"output":  func(a, b models.Row) int { return cmp.Compare(a.Price.Output, b.Price.Output) },
		"longest": func(a, b models.Row) int { return cmp.Compare(a.MaxOutput, b.MaxOutput) },
	}[q.Sort]
	if compare != nil {
		slices.SortStableFunc(rows, func(a, b models.Row) int {
			if q.Desc {
				a, b = b, a
			}
			return compare(a, b)
		})
	}
	return rows
}

// modelParam reads the model that the path names.
func (p *Panel) modelParam(c *fiber.Ctx) (tenancy.Model, error) {
	name, err := textParam(c, "name")
	if err != nil {
		return tenancy.Model{}, err
	}
	return p.Models.Model(c.UserContext(), name)
}

func (p *Panel) showModel(c *fiber.Ctx) error {
	ctx, v := c.UserContext(), at(c)
	one, err := p.modelParam(c)
	if err != nil {
		return err
	}
	houses, err := p.Providers.Providers(ctx)
	if err != nil {
		return err
	}
	prices, err := p.Models.Prices(ctx, one.Name)
	if err != nil {
		return err
	}
	acts, err := p.Models.ModelChanges(ctx, one.Name, changesOfOne)
	if err != nil {
		return err
	}
	m := models.ShowModel{
		Frame: p.frame(c, one.Name, "models"), MayEdit: v.User.Role.MayEdit(), Now: p.Now(), Row: modelRow(one, houses),
		OwnedBy: one.OwnedBy, CreatedAt: one.CreatedAt, Acts: shownActs(acts),
	}
	if m.Rate, err = p.rateNow(c); err != nil {
		return err
	}
	for _, price := range prices {
		m.Prices = append(m.Prices, shownPrice(price, houses))
	}
	return p.render(c, models.ShowPage(m), nil)
}

// RateStore keeps what one US$ costs in R$.
type RateStore interface {
	ExchangeRate(ctx context.Context, at time.Time) (tenancy.ExchangeRate, error)
	SetExchangeRate(ctx context.Context, r tenancy.ExchangeRate) error
	ExchangeRates(ctx context.Context, limit int) ([]tenancy.ExchangeRate, error)
}

// A rate of more than staleDays ago is warned about; ratesShown days of history are shown.
const staleDays, ratesShown = 7, 30

// today is the date in the zone in which the page shows times, at midnight UTC.
func (p *Panel) today(say i18n.Printer) time.Time {
	year, month, day := p.Now().In(say.Zone()).Date()
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

// rateNow is the rate that holds today; the zero one where none was recorded.
func (p *Panel) rateNow(c *fiber.Ctx) (models.Rate, error) {
	today := p.today(at(c).Say)
	rate, err := p.Rates.ExchangeRate(c.UserContext(), today)
	if fault.Is(err, fault.NotFound) {
		return models.Rate{}, nil
	}
	if err != nil {
		return models.Rate{}, err
	}
	shown := shownRate(rate)
	if days := int(today.Sub(rate.Day) / (24 * time.Hour)); days > staleDays {
		shown.Stale = days
	}
	return shown, nil
}

func shownRate(r tenancy.ExchangeRate) models.Rate {
	return models.Rate{Day: r.Day, BRL: r.BRL, Source: r.Source}
}

func (p *Panel) rateModel(c *fiber.Ctx) (models.RateModel, error) {
	m := models.RateModel{MayEdit: at(c).User.Role.MayEdit()}
	history, err := p.Rates.ExchangeRates(c.UserContext(), ratesShown)
	if err != nil {
		return m, err
	}
	for _, r := range history {
		m.History = append(m.History, shownRate(r))
	}
	m.Now, err = p.rateNow(c)
	return m, err
}

// setRate records today's rate, put down to the person.
func (p *Panel) setRate(c *fiber.Ctx) error {
	v, f := at(c), readForm(c)
	rate := tenancy.ExchangeRate{Day: p.today(v.Say), BRL: f.Money("brl"), Source: short(v.User.Name, 80)}
	err := f.Join(rate.Validate())
	if err == nil {
		if err = p.Rates.SetExchangeRate(c.UserContext(), rate); err == nil {
			return p.done(c, "/models", "models.rate_saved")
		}
	}
	if !rejected(err) {
		return err
	}
	m, failed := p.modelList(c)
	if failed != nil {
		return failed
	}
	fields, _ := fieldErrors(v.Say, err)
	m.Rate.Value, m.Rate.Error = f.Text("brl"), fields["brl"]
	return p.invalid(c, models.ListPage(m), nil)
}
