// Package providers draws the pages about who answers the calls: the list, one provider, its form, and the import of its
// models.
package providers

import (
	"time"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/views/layout"
	"github.com/fila-ia/filaia/views/operations"
	"github.com/fila-ia/filaia/views/ui"
)

// State is a word for how a provider stands.
type State string

// The states, from the one that says most.
const (
	Off       State = "off"       // switched off by a person
	Stopped   State = "stopped"   // a breaker lets nothing through
	Failing   State = "failing"   // its calls fail, too few yet for a breaker to open
	Trying    State = "trying"    // a breaker lets some calls through to see
	Paused    State = "paused"    // it asked for a pause
	Keyless   State = "keyless"   // it takes a credential and has none
	Simulated State = "simulated" // the built-in simulator answers
	Connected State = "connected" // a call of the last moments succeeded
	Ready     State = "ready"     // nothing is known against it, and nothing for it: no call lately
)

func (s State) tone() ui.Tone {
	switch s {
	case Stopped:
		return ui.Bad
	case Failing, Trying, Paused, Keyless:
		return ui.Warn
	case Simulated, Ready:
		return ui.Info
	case Connected:
		return ui.OK
	}
	return ui.Neutral
}

// Row is one provider.
type Row struct {
	ID              string
	Name, Slug      string
	Kind            string // openai, azure, compatible
	Address         string // "" for the simulator
	FromEnvironment bool
	State           State
	Models          int // routed to it
	Parallel, Cap   int // 0: no cap
	Waiting         int
}

func (r Row) href() string { return "/providers/" + r.ID }

func (r Row) kind(p i18n.Printer) string { return p.T("providers.kind." + r.Kind) }

func (r Row) address(p i18n.Printer) string {
	if r.Address == "" {
		return p.T("providers.built_in")
	}
	return r.Address
}

func (r Row) calls(p i18n.Printer) string {
	if r.Cap > 0 {
		return p.T("operations.of", "some", r.Parallel, "all", r.Cap)
	}
	return p.Int(int64(r.Parallel))
}

// ListModel is the page of all providers.
type ListModel struct {
	Frame   layout.Model
	Table   ui.TableModel
	Rows    []Row
	MayEdit bool
}

// ShowModel is the page of one provider.
type ShowModel struct {
	Frame          layout.Model
	MayEdit        bool
	Now            time.Time
	Row            Row
	Credential     string // whose key it takes, in words
	APIVersion     string
	CreatedAt      time.Time
	ThrottledUntil time.Time
	MaxWaiting     int
	Forced         operations.Breaker // of all models; State "" where nobody forced them
	Routes         []Route
	Limits         Limits
	Changes        []operations.Change
	Acts           []operations.Act
}

// Route is a model that the provider answers for.
type Route struct {
	Model, Href      string
	Priority, Weight int
	Active           bool
	Breaker          operations.Breaker // its Model is the provider's name of the model
}

// Rank orders routes: what is not normal first, then what was called.
func (r Route) Rank() int {
	trouble := r.Breaker.Trouble()
	rank := int(trouble) * 3
	switch {
	case trouble != operations.Untroubled || r.Breaker.Calls > 0:
		return rank
	case r.Breaker.State != "": // called, but not lately
		return rank + 1
	}
	return rank + 2
}

// routesShown is how many routes the page has: it asks for itself every few seconds, and some providers have hundreds.
const routesShown = 50

func (m ShowModel) shown() []Route { return m.Routes[:min(len(m.Routes), routesShown)] }

// more is how many routes are not shown.
func (m ShowModel) more() int { return len(m.Routes) - len(m.shown()) }

// Limits is what a provider is granted. Zero lengths and caps mean never and none.
type Limits struct {
	Connect, FirstByte, Idle, Total, Hedge, MaxWait time.Duration
	Retries, MaxParallel, MaxWaiting                int
	FailurePercent, MinCalls                        int
	Window, Slow, Open                              time.Duration
}

func (m ShowModel) stopped() int {
	n := 0
	for _, r := range m.Routes {
		if operations.Tone(r.Breaker.State) == ui.Bad {
			n++
		}
	}
	return n
}

// routed names the models that would lose a way to be answered, each once.
func (m ShowModel) routed() []string {
	var names []string
	seen := map[string]bool{}
	for _, r := range m.Routes {
		if !seen[r.Model] {
			names, seen[r.Model] = append(names, r.Model), true
		}
	}
	return names
}

// Preset is a house that many use, with what its form begins with.
type Preset struct {
	Key, Name, Text string
	Kind, BaseURL   string
}

// PickModel is the first step towards a new provider: which house is it?
type PickModel struct {
	Frame   layout.Model
	Presets []Preset
}

// FormModel is the page to make or edit a provider. Values are as typed; the credential is never among them.
type FormModel struct {
	Frame           layout.Model
	ID              string // "" for a new one
	Title           string
	Preset          string // of a new one
	FromEnvironment bool
	HasCredential   bool
	Hint            string // the end of the stored credential
	Values          map[string]string
	Errors          map[string]string
	Error           string
	Advanced        bool // unfolded: something in there is to be seen
	Probe           Probe
}

func (m FormModel) action() string {
	if m.ID == "" {
		return "/providers"
	}
	return "/providers/" + m.ID
}

// test is where the form is tried out.
func (m FormModel) test() string {
	if m.ID == "" {
		return "/providers/test"
	}
	return m.action() + "/test"
}

// Probe is how a test of the connection ended; the zero Probe is none.
type Probe struct {
	Done   bool
	OK     bool
	Models int
	Took   time.Duration
	Text   string // what went wrong and what to do
}

// ImportModel is the page to take over a provider's models.
type ImportModel struct {
	Frame    layout.Model
	ID       string
	Provider string
	Names    []ImportName
	Text     string // why the list could not be had
	Error    string // of the form
}

// ImportName is a model that the provider has.
type ImportName struct {
	Name  string
	There bool // it is routed to already
}

func (m ImportModel) fresh() int {
	n := 0
	for _, name := range m.Names {
		if !name.There {
			n++
		}
	}
	return n
}
