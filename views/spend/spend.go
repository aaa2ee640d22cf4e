// Package spend draws the page where what a customer may be charged above its plan is capped, for the team and for the customer.
package spend

import (
	"time"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/views/layout"
	"github.com/fila-ia/filaia/views/ui"
)

// Model is the page.
type Model struct {
	Frame  layout.Model
	Crumbs []ui.Link
	Action string // where the form posts to
	Cancel string
	State
	MayEdit bool
	Own     bool   // the customer's own page
	Value   string // as typed; empty: no cap
	Error   string // beside the field
	Problem string // of the form as a whole
	Stops   string // what confirms a cap that refuses calls from now on; empty: nothing is to be confirmed
	NewCap  money.Micros
}

// State is how the current period stands.
type State struct {
	Plan    string
	Blocks  bool // the plan charges nothing above what it includes
	Capped  bool
	Reached bool // calls are refused because of the cap
	Cap     money.Micros
	Charged money.Micros
	Left    money.Micros
	Price   money.Micros // of a token above
	Tokens  int64        // that what is left pays for
	Ends    time.Time
}

// facts are the figures of the period beside the form.
func (m Model) stopKey() string {
	if m.Own {
		return "spend_stop.own"
	}
	return "spend_stop.theirs"
}

func (s State) facts(p i18n.Printer) []ui.Fact {
	facts := []ui.Fact{{Label: p.T("spend.left"), Text: p.T("spend.left_tokens", "left", brl(p, s.Left), "n", s.Tokens)}}
	if !s.Capped || s.Cap == 0 { // else the bar tells
		words := p.T("spend.none")
		if s.Capped {
			words = brl(p, s.Cap)
		}
		facts = []ui.Fact{{Label: p.T("spend.cap"), Text: words}, {Label: p.T("spend.charged"), Text: brl(p, s.Charged)}}
	}
	return append(facts,
		ui.Fact{Label: p.T("spend.price"), Text: p.Price(int64(s.Price), string(money.BRL))},
		ui.Fact{Label: p.T("spend.renews"), Text: p.Date(s.Ends)},
	)
}

func brl(p i18n.Printer, m money.Micros) string { return p.Money(int64(m), string(money.BRL)) }
