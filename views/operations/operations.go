// Package operations draws how the gateway stands at this moment: its servers, the breakers of every provider, what
// changed lately, the rate limiter and the cache; and whether its books agree.
package operations

import (
	"net/url"
	"time"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/views/layout"
	"github.com/fila-ia/filaia/views/ui"
)

// PageModel is the page at one moment.
type PageModel struct {
	Frame   layout.Model
	MayEdit bool
	Now     time.Time
	Servers []Server
	Houses  []House
	Changes []Change
	Limiter Limiter
	Cache   Cache
	Audit   Audit // the newest
}

// House is a provider with its breakers.
type House struct {
	ID             string
	Name           string
	Active         bool
	Keyless        bool // it takes a credential and has none
	Parallel, Cap  int  // calls on their way, and how many there may be; 0: no cap
	Waiting        int
	ThrottledUntil time.Time // zero: the provider asked for no pause
	Breakers       []Breaker // those worth a line
	Quiet          int       // further models that were not called yet
	Answering      bool      // a call of the last moments succeeded
	Forced         Breaker   // of all models; its State is "" where nobody forced them
}

// stopped counts the breakers that let nothing through.
func (h House) stopped() int {
	n := 0
	for _, b := range h.Breakers {
		if b.stops() {
			n++
		}
	}
	return n
}

// in counts the breakers in a state.
func (h House) in(state string) int {
	n := 0
	for _, b := range h.Breakers {
		if b.State == state {
			n++
		}
	}
	return n
}

// normal tells whether nothing is known against the provider.
func (h House) normal() bool { return h.Trouble() == Untroubled }

// Trouble says how much is wrong with a provider, the worst first: pages show providers in this order.
func (h House) Trouble() Trouble {
	switch {
	case !h.Active:
		return SwitchedOff
	case h.Forced.State == ForcedOpen || h.stopped() > 0:
		return Stopped
	case h.in(Failing) > 0:
		return Fails
	case h.in(HalfOpen) > 0:
		return Tries
	case !h.ThrottledUntil.IsZero() || h.Keyless:
		return Waits
	}
	return Untroubled
}

// Trouble is how much is wrong.
type Trouble int

// The troubles, the worst first.
const (
	Stopped Trouble = iota
	Fails
	Tries
	Waits
	Untroubled
	SwitchedOff
)

// Trouble is how much is wrong with a breaker.
func (b Breaker) Trouble() Trouble {
	switch b.State {
	case "open", ForcedOpen:
		return Stopped
	case Failing:
		return Fails
	case HalfOpen:
		return Tries
	case ForcedClosed:
		return Waits
	}
	return Untroubled
}

// Breaker is the breaker of one model at one provider; Model is "" for all of the provider's.
type Breaker struct {
	ProviderID     string
	Provider       string
	Model          string
	State          string // closed, failing, half_open, open, forced_open, forced_closed; "" where none was called yet
	Since          time.Time
	FailurePercent int
	Calls          int // in the window
	RetryIn        time.Duration
	ForcedBy       string
	ForcedAt       time.Time
	Unrouted       bool // no route leads to it any more: nobody can decide about it
}

// Others stands for all models beyond the number that have a breaker of their own.
const Others = "*"

// Failing is a closed breaker whose calls fail as often as opens it, but were too few yet. HalfOpen lets some calls
// through to see whether they succeed again.
const (
	Failing  = "failing"
	HalfOpen = "half_open"
)

// The states that a person decides.
const (
	ForcedOpen   = "forced_open"
	ForcedClosed = "forced_closed"
)

func (b Breaker) forced() bool { return b.State == ForcedOpen || b.State == ForcedClosed }

func (b Breaker) stops() bool { return b.State == "open" || b.State == ForcedOpen }

// Tone colours a breaker's state.
func Tone(state string) ui.Tone {
	switch state {
	case "open", ForcedOpen:
		return ui.Bad
	case HalfOpen, Failing, ForcedClosed:
		return ui.Warn
	case "":
		return ui.Neutral
	}
	return ui.OK
}

// Word names a breaker's state.
func Word(p i18n.Printer, state string) string {
	if state == "" {
		state = "closed"
	}
	return p.T("operations.state." + state)
}

// id names the breaker in the page; a model's name may hold anything but spaces.
func (b Breaker) id() string { return b.ProviderID + "-" + url.PathEscape(b.Model) }

func (b Breaker) action(act string) string {
	path := "/operations/breakers/" + b.ProviderID + "/" + act
	if b.Model != "" {
		path += "/" + url.PathEscape(b.Model)
	}
	return path
}

// subject is what a person would call it: the model, or all of them.
func (b Breaker) subject(p i18n.Printer) string {
	switch b.Model {
	case "":
		return p.T("operations.all_models")
	case Others:
		return p.T("operations.other_models")
	}
	return b.Model
}

func (b Breaker) mayOpen() bool { return b.State != ForcedOpen && !b.Unrouted }

func (b Breaker) mayClose() bool { return b.State != ForcedClosed && !b.Unrouted }

// decidable tells whether a person can decide anything about it.
func (b Breaker) decidable() bool { return b.Model != Others && (!b.Unrouted || b.forced()) }

func (b Breaker) menu(p i18n.Printer) []ui.MenuItem {
	var items []ui.MenuItem
	if b.mayOpen() {
		items = append(items, ui.MenuItem{Label: p.T("operations.open"), Icon: "plug-connected-x", Opens: "open-" + b.id(), Danger: true})
	}
	if b.mayClose() {
		items = append(items, ui.MenuItem{Label: p.T("operations.close"), Icon: "plug-connected", Opens: "close-" + b.id()})
	}
	if b.forced() {
		items = append(items, ui.MenuItem{Label: p.T("operations.auto"), Icon: "refresh", Opens: "auto-" + b.id()})
	}
	return items
}

// Change is one change of a breaker's state.
type Change struct {
	At             time.Time
	Provider       string
	Model          string
	From, To       string
	Reason         string
	FailurePercent int
	Calls          int
	Replica        string
	Tries          int // how often it let calls through in vain until At, where that is one line; 0: it is one change
}

// why tells a change's reason in words; a word that is not known is shown as it is.
func (c Change) why(p i18n.Printer) string {
	if c.Tries > 0 {
		return p.T("operations.tries", "n", c.Tries, "at", p.Clock(c.At))
	}
	key := "operations.reason." + c.Reason
	if text := p.T(key, "percent", c.FailurePercent, "n", c.Calls); text != key {
		return text
	}
	return c.Reason
}

// Act is what a person changed.
type Act struct {
	At     time.Time
	Actor  string
	Action string // of the audit log, such as "model.edit"
}

// words tells an act; one that is not known is shown as it is.
func (a Act) words(p i18n.Printer) string {
	key := "operations.action." + a.Action
	if text := p.T(key); text != key {
		return text
	}
	return a.Action
}

// Limiter is how limits a minute and at once are counted.
type Limiter struct {
	Shared bool      // over Redis, by all replicas together
	Away   time.Time // since when Redis cannot be reached; zero: it can
}

func (l Limiter) value(p i18n.Printer) string {
	switch {
	case !l.Away.IsZero():
		return p.T("operations.limiter.away")
	case l.Shared:
		return p.T("operations.limiter.shared")
	}
	return p.T("operations.limiter.local")
}

func (l Limiter) note(p i18n.Printer, now time.Time) string {
	switch {
	case !l.Away.IsZero():
		return p.T("operations.limiter.away_note", "since", p.Relative(l.Away, now))
	case l.Shared:
		return p.T("operations.limiter.shared_note")
	}
	return p.T("operations.limiter.local_note")
}

// Cache is what this process knows of the cache since it started.
type Cache struct {
	Hits, Lookups int64
	Entries       int64
	Off           bool // there is none
}

func (c Cache) rate(p i18n.Printer) string {
	if c.Off || c.Lookups == 0 {
		return "–"
	}
	return p.Percent(float64(c.Hits) / float64(c.Lookups))
}

func (c Cache) note(p i18n.Printer) string {
	switch {
	case c.Off:
		return p.T("operations.cache.off")
	case c.Lookups == 0:
		return p.T("operations.cache.none")
	}
	return p.T("operations.cache.note", "hits", p.Compact(c.Hits), "lookups", p.Compact(c.Lookups))
}

func (m PageModel) breakers() (all, stopped int) {
	for _, h := range m.Houses {
		all += len(h.Breakers) + h.Quiet
		stopped += h.stopped()
	}
	return all, stopped
}

func (m PageModel) working() int {
	n := 0
	for _, h := range m.Houses {
		if h.normal() {
			n++
		}
	}
	return n
}

func (m PageModel) active() int {
	n := 0
	for _, h := range m.Houses {
		if h.Active {
			n++
		}
	}
	return n
}

// underWay counts the calls of all servers, and those that wait in this one for a place at their provider.
func (m PageModel) underWay() (calls int64, waiting int) {
	for _, h := range m.Houses {
		waiting += h.Waiting
	}
	for _, s := range m.Servers {
		if s.state() != serverStopped {
			calls += s.Calls
		}
	}
	return calls, waiting
}
