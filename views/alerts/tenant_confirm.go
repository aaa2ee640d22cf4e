package alerts

import (
	"time"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/views/layout"
	"github.com/fila-ia/filaia/views/ui"
)

// Outside is an address from outside that rules name and that is not told: it has not agreed, or has declined.
type Outside struct {
	Address string
	State   string    // open, expired, unasked or declined
	Since   time.Time // of the state
	Sent    string    // how the e-mail that asks goes, where that must be said: pending, dead or kept
	Answer  string    // what the other side said to it; only for the team
	Again   string    // where it is asked again; "": by somebody else, or not at all
	Error   string    // why that was not done
	Done    bool      // it was asked just now
}

func (o Outside) id() string { return "outside-" + o.Address }

func (o Outside) told(p i18n.Printer) string {
	return p.T("alert_confirm.state."+o.State, "when", p.DateTime(o.Since))
}

func (o Outside) tone() ui.Tone {
	switch {
	case o.State == "declined":
		return ui.Neutral
	case o.State == "expired" || o.Sent == "dead" || o.Sent == "kept":
		return ui.Warn
	}
	return ui.Info
}

// ConfirmModel is the page that the link of an e-mail that asks leads to.
type ConfirmModel struct {
	Frame   layout.Model
	Action  string
	Address string
	Company string
	State   string // open, expired, confirmed, declined or broken
	Facts   []ui.Fact
	Until   time.Time
	Again   bool // the link holds: who declined may still agree
	Missed  []Missed
}

// Missed is an open alert that was not sent, because nobody had agreed yet.
type Missed struct {
	Text string
	At   time.Time
	Tone ui.Tone
}
