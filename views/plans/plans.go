// Package plans draws the pages about what is sold: the list, one plan with its versions, and its form.
package plans

import (
	"strings"
	"time"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/views/layout"
	"github.com/fila-ia/filaia/views/ui"
)

// State is a word for a plan: on sale, never published, or off sale.
type State string

// The states of a plan.
const (
	OnSale   State = "active"
	Unsold   State = "draft"
	Archived State = "archived"
)

func (s State) tone() ui.Tone {
	switch s {
	case OnSale:
		return ui.OK
	case Unsold:
		return ui.Warn
	}
	return ui.Neutral
}

// Terms is what a version promises. Zero rates mean no limit, no models all of them.
type Terms struct {
	Price, OveragePrice       money.Micros
	InputTokens, OutputTokens int64
	Blocks                    bool // above the included tokens; otherwise the excess is charged
	Rates                     Rates
	Models                    []string
	Cache                     Cache
}

// above says what happens above the included tokens, in few words.
func (t Terms) above(p i18n.Printer) string {
	if t.Blocks {
		return p.T("plans.above.block")
	}
	return p.T("plans.above.charge", "price", p.Price(int64(t.OveragePrice), string(money.BRL)))
}

// models names the models that may be called.
func (t Terms) models(p i18n.Printer) string {
	if len(t.Models) == 0 {
		return p.T("plans.all_models")
	}
	return strings.Join(t.Models, ", ")
}

func brl(p i18n.Printer, m money.Micros) string { return p.Money(int64(m), string(money.BRL)) }

// ListModel is the page of all plans.
type ListModel struct {
	Frame   layout.Model
	Table   ui.TableModel
	Rows    []Row
	MayEdit bool
}

// Row is one plan. Terms are the published ones, or the draft's where nothing is published.
type Row struct {
	ID          string
	Name, Slug  string
	State       State
	HasDraft    bool // waits to be published beside a published version
	Terms       Terms
	Subscribers int
}

func (r Row) href() string { return "/plans/" + r.ID }

// ShowModel is the page of one plan.
type ShowModel struct {
	Frame            layout.Model
	MayEdit          bool
	Row              Row
	Description      string
	HasPublished     bool
	PublishedVersion int
	Draft            *Draft
	Versions         []Version
	Revenue          money.Micros // what current subscriptions bring a period, without excess
	Examples         []Example
	CreatedAt        time.Time
	NoLikeness       bool // no model tells how alike two questions are: smart caching is exact for now
}

// Draft is the version that waits.
type Draft struct {
	Number int
	Terms  Terms
}

// change is one term before and after, as people read it.
type change struct{ label, before, after string }

// changes lists the terms in which two versions differ.
func changes(p i18n.Printer, before, after Terms) []change {
	var list []change
	note := func(field, a, b string) {
		if a != b {
			list = append(list, change{p.T("plans.field." + field), a, b})
		}
	}
	note("price", brl(p, before.Price), brl(p, after.Price))
	note("input_tokens", p.Int(before.InputTokens), p.Int(after.InputTokens))
	note("output_tokens", p.Int(before.OutputTokens), p.Int(after.OutputTokens))
	note("overage", before.above(p), after.above(p))
	note("rpm", rate(p, before.Rates.RPM), rate(p, after.Rates.RPM))
	note("tpm", rate(p, before.Rates.TPM), rate(p, after.Rates.TPM))
	note("parallel", rate(p, before.Rates.Parallel), rate(p, after.Rates.Parallel))
	note("models", before.models(p), after.models(p))
	note("cache", CacheWord(p, before.Cache.Mode), CacheWord(p, after.Cache.Mode))
	if after.Cache.on() {
		note("cache_minutes", before.Cache.lifetime(p), after.Cache.lifetime(p))
		note("cache_billed", before.Cache.billed(p), after.Cache.billed(p))
	}
	return list
}

// Version is a line of the history.
type Version struct {
	Number      int
	Current     bool
	PublishedAt time.Time // zero: the draft
	Terms       Terms
	Subscribers int
}

// Example is what a customer with so many tokens would pay.
type Example struct {
	Tokens   int64
	Excess   int64
	Total    money.Micros
	Unserved bool // the excess is refused instead
}

// FormModel is the page to make or edit a plan. Values are as typed.
type FormModel struct {
	Frame       layout.Model
	ID          string // "" for a new one
	Title       string
	Version     int // the number that the terms will get
	Subscribers int // of earlier versions
	Values      map[string]string
	Models      []ui.Option
	Errors      map[string]string
	Error       string
	Preview     Preview
	NoLikeness  bool // as in ShowModel
}

func (m FormModel) action() string {
	if m.ID == "" {
		return "/plans"
	}
	return "/plans/" + m.ID
}

func (m FormModel) cancel() string {
	if m.ID == "" {
		return "/plans"
	}
	return m.action()
}

// Preview is what a customer with so many tokens would pay under the typed terms.
type Preview struct {
	OK            bool // the form says enough to tell
	Tokens        int64
	Input, Output int64
	Terms         Terms
	Excess        int64
	Charge        money.Micros
	Total         money.Micros
	CacheOK       bool // the form says enough to tell what an answer of the cache costs
}
