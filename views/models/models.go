// Package models draws the pages about what may be called: every model with its routes and prices, its form, a new price,
// and the exchange rate that prices in US$ are read with.
package models

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/views/layout"
	"github.com/fila-ia/filaia/views/operations"
	"github.com/fila-ia/filaia/views/ui"
)

// Path is a model's page. A model's name may hold slashes.
func Path(name string) string { return "/models/" + url.PathEscape(name) }

// Price is what a million tokens cost in US$. A zero Since means that there is none.
type Price struct {
	Since                                          time.Time
	Provider                                       string // "" for every provider without a price of its own
	Input, CachedInput, Output, Reasoning, Request money.Micros
}

// Known tells whether there is a price.
func (p Price) Known() bool { return !p.Since.IsZero() }

// from is when the price begins. One that begins at midnight UTC was given as a date, which must not move with the
// reader's zone.
func (p Price) from(say i18n.Printer) string {
	if p.Since.Equal(p.Since.Truncate(24 * time.Hour)) {
		return i18n.NewPrinter(say.Lang(), time.UTC).Date(p.Since)
	}
	return say.DateTime(p.Since)
}

// Rate is what one US$ costs in R$.
type Rate struct {
	Day    time.Time // midnight UTC of the date; zero: none was recorded
	BRL    money.Micros
	Source string
	Stale  int // days since, where they are too many
}

// Known tells whether a rate was recorded.
func (r Rate) Known() bool { return !r.Day.IsZero() }

// date is the rate's day, which is a date and no moment: it must not move with the reader's zone.
func (r Rate) date(p i18n.Printer) string { return i18n.NewPrinter(p.Lang(), time.UTC).Date(r.Day) }

// brl gives an amount of US$ in R$; "" where no rate is known.
func (r Rate) brl(p i18n.Printer, usd money.Micros) string {
	if !r.Known() {
		return ""
	}
	return p.Money(int64(money.Cost(money.Term{Tokens: int64(usd), PerMillion: r.BRL})), string(money.BRL))
}

// hover is what stands behind a price in US$.
func (r Rate) hover(p i18n.Printer, usd money.Micros) string {
	if !r.Known() {
		return ""
	}
	return p.T("models.in_brl", "amount", r.brl(p, usd), "rate", p.Price(int64(r.BRL), string(money.BRL)), "date", r.date(p))
}

func usd(p i18n.Printer, m money.Micros) string { return p.Price(int64(m), string(money.USD)) }

// RateModel is the card of the exchange rate.
type RateModel struct {
	Now     Rate
	History []Rate // the newest first
	Value   string // as typed
	Error   string
	MayEdit bool
}

// ListModel is the page of all models.
type ListModel struct {
	Frame   layout.Model
	Table   ui.TableModel
	Rows    []Row
	Rate    RateModel
	MayEdit bool
}

// Row is one model.
type Row struct {
	Name            string
	Default, Active bool
	MaxOutput       int64
	Price           Price
	Routes          []Route // by priority
}

// Route is one way to have a model answered. Price is set where it differs from the model's.
type Route struct {
	Provider, ProviderHref string
	Upstream               string
	Priority, Weight       int
	Active                 bool // and its provider is
	Price                  Price
	OwnPrice               bool
}

// perCall tells whether calls have a price and their tokens have none.
func (p Price) perCall() bool {
	return p.Request > 0 && p.Input == 0 && p.CachedInput == 0 && p.Output == 0 && p.Reasoning == 0
}

// providers names those that answer, in the order in which they are asked.
func (r Row) providers() string {
	var names []string
	for _, route := range r.Routes {
		if route.Active && (len(names) == 0 || names[len(names)-1] != route.Provider) {
			names = append(names, route.Provider)
		}
	}
	return strings.Join(names, " → ")
}

// Is tells whether the row belongs under a filter's word.
func (r Row) Is(status string) bool {
	switch status {
	case "active":
		return r.Active
	case "unpriced":
		return !r.priced()
	case "unrouted":
		return r.providers() == ""
	case "off":
		return !r.Active
	}
	return true
}

// RoutedTo tells whether a route leads to the provider of that id.
func (r Row) RoutedTo(id string) bool {
	return slices.ContainsFunc(r.Routes, func(route Route) bool { return route.ProviderHref == "/providers/"+id })
}

func (r Row) tone() ui.Tone {
	switch {
	case !r.Active:
		return ui.Neutral
	case r.providers() == "" || !r.priced():
		return ui.Warn
	}
	return ui.OK
}

// priced tells whether every way to have the model answered has a price.
func (r Row) priced() bool {
	if r.Price.Known() {
		return true
	}
	for _, route := range r.Routes {
		if !route.Price.Known() {
			return false
		}
	}
	return len(r.Routes) > 0
}

// state says in a word whether the model can be called, or why not.
func (r Row) state(p i18n.Printer) string {
	switch {
	case !r.Active:
		return p.T("models.state.off")
	case r.providers() == "":
		return p.T("models.state.unrouted")
	}
	return p.T("models.state.on")
}

// ShowModel is the page of one model.
type ShowModel struct {
	Frame     layout.Model
	MayEdit   bool
	Now       time.Time
	Row       Row
	OwnedBy   string
	CreatedAt time.Time
	Rate      Rate
	Prices    []Price // the newest first
	Acts      []operations.Act
}

// FormModel is the page to make or edit a model. Values are as typed.
type FormModel struct {
	Frame   layout.Model
	Name    string // "" for a new one
	Values  map[string]string
	Errors  map[string]string
	Error   string
	Routes  []RouteRow
	Options []ui.Option // the providers
	Price   PriceFields // of a new one
}

func (m FormModel) isNew() bool { return m.Name == "" }

func (m FormModel) action() string {
	if m.isNew() {
		return "/models"
	}
	return Path(m.Name)
}

// RouteRow is a route as typed.
type RouteRow struct {
	Provider, Upstream, Priority, Weight string
	Active                               bool
}

// PriceFields are a price as typed, and what calls would cost under it.
type PriceFields struct {
	Values  map[string]string
	Errors  map[string]string
	Preview Preview
}

// Preview is what a thousand calls of a usual size cost.
type Preview struct {
	OK   bool
	USD  money.Micros
	Rate Rate
}

// PriceModel is the page of a new price.
type PriceModel struct {
	Frame   layout.Model
	Name    string
	First   bool // there is none yet
	Offer   bool // the model is not on offer yet; OfferOn tells whether it shall be
	OfferOn bool
	Options []ui.Option // the providers that answer for it
	Fields  PriceFields
	Error   string
}
