package alerts

import (
	"strconv"
	"time"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/views/layout"
	"github.com/fila-ia/filaia/views/ui"
)

// SettingsModel is what a customer wants to be told, for the customer and for the team.
type SettingsModel struct {
	CSRF     string
	Base     string // address of the page
	Portal   bool   // the customer reads it
	MayEdit  bool
	Groups   []SettingGroup
	Team     []SettingGroup // what the team is told about the customer; panel only
	Email    string         // of the company
	Language string
	Silent   []Silenced
	Outside  []Outside // that are not told yet, or want not to be
	Now      time.Time
}

// SettingGroup is a heading and the topics under it.
type SettingGroup struct {
	Key  string
	Rows []Setting
}

// Setting is a topic with what is decided about it.
type Setting struct {
	Audience string
	Key      string // name of the key that it is for; "": the whole company
	KeyID    string
	Metric   string
	Href     string // of its form; its switch and its way back are below
	On       bool
	Own      bool
	Rules    []Rule // that decide
	Never    string // why it can't come up as things stand; optional
	Act      *ui.Link
}

// Silenced is an address that asked for no more e-mail. Metric is empty for all of it.
type Silenced struct {
	Address, Metric string
	At              time.Time
	Back            bool // who looks may have it written to again
}

func (s Setting) id() string { return "setting-" + s.Audience + "-" + s.Metric + s.KeyID }

func (s Setting) label(p i18n.Printer) string {
	label := p.T("tenant_alerts.topic." + s.Metric)
	if s.Key != "" {
		return p.T("tenant_alerts.of_key", "topic", label, "key", s.Key)
	}
	return label
}

func (s Setting) turn() string {
	if s.On {
		return "off"
	}
	return "on"
}

func (s Setting) edit() string {
	if s.KeyID != "" {
		return s.Href + "?key=" + s.KeyID
	}
	return s.Href
}

// lines say when something is told, one for each rule.
func (s Setting) lines(p i18n.Printer) []string {
	var lines []string
	for _, r := range s.Rules {
		lines = append(lines, r.OwnWords(p))
	}
	if len(lines) == 0 {
		lines = []string{p.T("tenant_alerts.about." + s.Metric)}
	}
	return lines
}

// OwnWords says in a sentence when a customer is told, as the customer reads it.
func (r Rule) OwnWords(p i18n.Printer) string {
	key := "tenant_alerts.when." + r.Metric + "." + r.Unit
	if r.Metric == changeMetric {
		key = "tenant_alerts.when." + r.Metric + "." + r.Direction
	}
	n := int64(0)
	if len(r.Thresholds) == 1 {
		n = r.Thresholds[0]
	}
	return p.T(key, "values", r.values(p), "n", n, "window", Minutes(p, r.Window))
}

// Minutes writes a length of time: 10 min.
func Minutes(p i18n.Printer, n int) string { return p.Duration(time.Duration(n) * time.Minute) }

// OwnTold says who is told, as the customer reads it.
func (r Rule) OwnTold(p i18n.Printer) string {
	var people []string
	for _, role := range r.Roles {
		people = append(people, p.T("tenant_alerts.role."+role))
	}
	if r.Contacts {
		people = append(people, p.T("tenant_alerts.company"))
	}
	people = append(people, r.Addresses...)
	for _, c := range r.Channels {
		if !c.Gone {
			people = append(people, c.Name)
		}
	}
	if len(people) == 0 {
		return p.T("tenant_alerts.nobody")
	}
	return sentence(list(p, people, "alerts.and"))
}

func (m SettingsModel) silentLead() string {
	if m.Portal {
		return "tenant_alerts.silent_lead_own"
	}
	return "tenant_alerts.silent_lead"
}

func (s Silenced) what(p i18n.Printer) string {
	if s.Metric == "" {
		return p.T("tenant_alerts.silent.all")
	}
	return p.T("tenant_alerts.topic." + s.Metric)
}

// SettingForm is the page that changes one topic. Values and Thresholds are as typed.
type SettingForm struct {
	Frame      layout.Model
	Portal     bool
	Crumbs     []ui.Link
	Setting    Setting
	Stamp      string // when the own rule was changed last; "": there is none
	Back       string
	Unit       string
	Window     string // in words; "": it looks at no window
	Values     map[string]string
	Thresholds []string
	Prefix     string
	Suffix     string
	Direction  bool
	People     []ui.Option
	Channels   []ui.Option
	AddChannel string // where a channel is made; "": by somebody else
	Several    bool   // more than one own rule decides; saving leaves one
	Spread     bool   // people and times may be taken over for all topics
	Outside    []Outside
	Errors     map[string]string
	Error      string
}

func (m SettingForm) field(name, label string) ui.Field {
	return ui.Field{Name: name, Label: m.Frame.Printer.T(label), Value: m.Values[name], Error: m.Errors[name]}
}

func (m SettingForm) helped(name, label, help string) ui.Field {
	f := m.field(name, label)
	f.Help = m.Frame.Printer.T(help)
	return f
}

// lead says what the topic is about; to the team also whom it is told.
func (m SettingForm) lead(p i18n.Printer) string {
	about := p.T("tenant_alerts.about." + m.Setting.Metric)
	if m.Portal {
		return about
	}
	return p.T("tenant_alerts.to."+m.Setting.Audience) + " " + about
}

func (m SettingForm) single() bool { return m.Setting.Metric == "key_address" }

func (m SettingForm) inputMode() string {
	if m.Unit == "tokens" || m.Unit == "count" || m.Unit == "days" {
		return "numeric"
	}
	return "decimal"
}

func (m SettingForm) directions() ui.Field {
	f := m.field("direction", "alerts.field.direction")
	for _, d := range []string{"up", "down", "both"} {
		f.Options = append(f.Options, ui.Option{Value: d, Label: m.Frame.Printer.T("alerts.direction." + d)})
	}
	return f
}

func (m SettingForm) thresholdsHelp() string {
	p := m.Frame.Printer
	switch {
	case m.Window != "":
		return p.T("tenant_alerts.help.thresholds_window", "window", m.Window)
	case m.Setting.Metric == changeMetric:
		return p.T("tenant_alerts.help.thresholds_change")
	case m.Setting.Metric == "forecast":
		return p.T("tenant_alerts.help.thresholds_forecast")
	case m.Setting.Metric == "key_unused":
		return p.T("tenant_alerts.help.thresholds_unused")
	case m.Setting.Metric == "key_address":
		return p.T("tenant_alerts.help.thresholds_address")
	}
	return p.T("tenant_alerts.help.thresholds")
}

// UnsubscribeModel is the page that a link at the end of an e-mail leads to.
type UnsubscribeModel struct {
	Frame    layout.Model
	Action   string
	Address  string
	Company  string
	Metric   string // "": the e-mail was about several
	Ended    bool   // no more about the metric
	EndedAll bool
	Begun    bool // it has just been taken back
	Broken   bool // the link was not made here
}

func (m UnsubscribeModel) topic(p i18n.Printer) string { return p.T("tenant_alerts.topic." + m.Metric) }

func spare(i int) string { return "f-thresholds-" + strconv.Itoa(i) }
