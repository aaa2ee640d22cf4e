package alerts

import (
	"slices"
	"strconv"
	"strings"

	"github.com/a-h/templ"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/views/layout"
	"github.com/fila-ia/filaia/views/ui"
)

// FormModel is the page to make or edit a rule. Values and Thresholds are as typed. What does not belong to the metric is empty.
type FormModel struct {
	Frame      layout.Model
	ID         string // "" for a new one
	Stamp      string // when the rule was changed last; "" for a new one
	Shape      string // what the fields were made for: a submission with another choice shows the form again
	Values     map[string]string
	Thresholds []string
	Errors     map[string]string
	Error      string
	Twin       string // the page of the rule that says the same

	Metrics   []MetricGroup
	Whole     bool // all is the installation, not each customer
	Audiences []ui.Option
	Scopes    []ui.Option
	Plans     []ui.Option
	Tenants   []ui.Option
	Keys      []ui.Option // of the chosen tenant
	OwnPlan   bool        // only keys with a plan of their own are among them
	Units     []ui.Option
	Direction bool // the metric may be watched for less than usual
	Window    bool // it looks back over a time
	Rearm     bool // it comes and goes
	Timed     bool // its thresholds are lengths of time
	Prefix    string
	Suffix    string // of a threshold

	Roles         []ui.Option
	Contacts      bool // the audience has an address on record
	Channels      []ui.Option
	ChannelsGiven ChannelsGiven
	EscalateRoles []ui.Option
	AsksFirst     bool      // its addresses are told only once they have agreed
	Outside       []Outside // of them, those that are not told
	TimesOpen     bool
	MoreOpen      bool

	Words  Words
	Replay *Replay // nil: not asked yet
}

// MetricGroup is a heading and the metrics under it.
type MetricGroup struct {
	Label   string
	Options []ui.Option
}

// ChannelsGiven says why there are no channels to choose from.
type ChannelsGiven string

// The reasons.
const (
	ChannelsShown ChannelsGiven = "shown"
	NoChannels    ChannelsGiven = "none"   // nobody has made one
	ScopeTooWide  ChannelsGiven = "scope"  // the rule speaks to several customers
	NotOursToAdd  ChannelsGiven = "theirs" // the customer has none
)

// Words is the rule in words, as it stands while one types.
type Words struct {
	OK     bool // the form says enough
	Rule   Rule
	Saving OnSaving
}

// OnSaving is what saving the rule does at once.
type OnSaving struct {
	Known  bool     // it can be said what is told now
	Now    int      // alerts
	Names  []string // of the first of them, with how far they are
	Before int      // were told of it before
	More   bool     // there are more customers than were looked at
	Held   bool     // the alerts wait for the rule's hours
	Alike  string   // the page of another rule that watches the same; empty: there is none
}

// words say what saving tells.
func (s OnSaving) words(p i18n.Printer) string {
	key := "alert_saving.now"
	switch {
	case s.Now == 0:
		key = "alert_saving.nothing"
	case s.Held:
		key = "alert_saving.held"
	}
	list := strings.Join(s.Names, ", ")
	if rest := s.Now - len(s.Names); rest > 0 {
		list = p.T("alert_saving.and_more", "list", list, "n", rest)
	}
	text := p.T(key, "n", s.Now, "list", list)
	if s.Before > 0 {
		text += " " + p.T("alert_saving.before", "n", s.Before)
	}
	if s.More {
		text += " " + p.T("alert_saving.more")
	}
	return text
}

func (m FormModel) action() string {
	if m.ID == "" {
		return rulesPath
	}
	return rulesPath + "/" + m.ID
}

func (m FormModel) crumbs() []ui.Link {
	return []ui.Link{{Label: m.Frame.Printer.T("nav.alerts"), Href: "/alerts"}, {Label: m.Frame.Printer.T("alerts.tab.rules"), Href: rulesPath}}
}

func (m FormModel) lead() string {
	if m.ID == "" {
		return m.Frame.Printer.T("alerts.new_lead")
	}
	return ""
}

// reshapes has a choice bring the fields that belong to it. Without scripts the button at the form's top does.
func (m FormModel) reshapes() templ.Attributes {
	return templ.Attributes{"hx-post": rulesPath + "/form", "hx-target": "#rule-fields", "hx-swap": "outerHTML", "hx-trigger": "change", "hx-sync": "closest form:replace"}
}

func (m FormModel) field(name, label string) ui.Field {
	return ui.Field{Name: name, Label: m.Frame.Printer.T(label), Value: m.Values[name], Error: m.Errors[name]}
}

func (m FormModel) helped(name, label, help string) ui.Field {
	f := m.field(name, label)
	f.Help = m.Frame.Printer.T(help)
	return f
}

func (m FormModel) shaping(f ui.Field, options []ui.Option) ui.Field {
	f.Options, f.Attrs = options, m.reshapes()
	return f
}

func (m FormModel) metricText() string {
	return m.Frame.Printer.T("alerts.metric_text." + m.Values["metric"])
}

func (m FormModel) choosing(name string, options []ui.Option) ui.Field {
	f := m.field(name, "alerts.field."+name)
	f.Options, f.Placeholder = options, m.Frame.Printer.T("alerts.choose."+name)
	switch {
	case name == "tenant":
		f.Attrs = m.reshapes()
	case name == "key" && m.OwnPlan:
		f.Help = m.Frame.Printer.T("alerts.help.key")
	}
	return f
}

func (m FormModel) thresholdsHelp() string {
	p, key := m.Frame.Printer, "alerts.help.thresholds"
	switch metric := m.Values["metric"]; {
	case m.Rearm:
		key = "alerts.help.thresholds_episode"
	case slices.Contains([]string{"key_unused", "key_address", "rate_stale", "provider_cost"}, metric): // they know no billing period
		key += "." + metric
	}
	if m.Timed {
		return p.T(key) + " " + p.T("alerts.help.thresholds_time")
	}
	return p.T(key)
}

func thresholdID(i int) string {
	if i == 0 {
		return "f-thresholds"
	}
	return "f-thresholds-" + strconv.Itoa(i)
}

func (m FormModel) inputMode() string {
	switch {
	case m.Timed:
		return "text"
	case m.Values["unit"] == "tokens" || m.Values["unit"] == "count" || m.Values["unit"] == "days":
		return "numeric"
	}
	return "decimal"
}

func (m FormModel) addresses(name, label string) ui.Field {
	f := m.helped(name, label, "alerts.help.addresses")
	f.Optional, f.Rows = true, 2
	if m.AsksFirst {
		f.Help += " " + m.Frame.Printer.T("alert_confirm.help")
	}
	f.Attrs = templ.Attributes{"spellcheck": "false", "autocapitalize": "none", "placeholder": m.Frame.Printer.T("alerts.example_address")}
	return f
}

func languages(p i18n.Printer) []ui.Option {
	return []ui.Option{{Value: "pt-BR", Label: p.T("alerts.language.pt-BR")}, {Value: "en", Label: p.T("alerts.language.en")}}
}
