// Package channels draws the pages about where alerts go besides e-mail, for the panel and for the customers' portal.
package channels

import (
	"time"

	"github.com/a-h/templ"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/views/layout"
	"github.com/fila-ia/filaia/views/ui"
)

// Side is whose pages these are.
type Side struct {
	Frame   layout.Model
	Portal  bool   // a customer's, else the operator's
	Base    string // where the pages are: /alerts/channels
	MayEdit bool
}

func (s Side) crumbs() []ui.Link {
	return []ui.Link{{Label: s.Frame.Printer.T("channels.title"), Href: s.Base}}
}

func (s Side) lead() string {
	if s.Portal {
		return s.Frame.Printer.T("channels.portal_lead")
	}
	return s.Frame.Printer.T("channels.lead")
}

// uses is the head of the column that counts what names a channel.
func (s Side) uses() string {
	if s.Portal {
		return s.Frame.Printer.T("channels.col.notices")
	}
	return s.Frame.Printer.T("channels.col.rules")
}

// Channel is one of them; what opens it is not known here.
type Channel struct {
	ID, Name  string
	Kind      string // slack, teams, discord, telegram, webhook
	Target    string // a host, a chat
	Language  string // pt-BR or en
	Active    bool
	Failing   bool // the newest message through it has not arrived
	Rules     int  // that name it
	CreatedAt time.Time
}

func (c Channel) href(s Side) string { return s.Base + "/" + c.ID }

func (c Channel) kind(p i18n.Printer) string { return p.T("channels.kind." + c.Kind) }

func (c Channel) standing() standing {
	switch {
	case c.Active && c.Failing:
		return standing{ui.Bad, "channels.state.failing"}
	case c.Active:
		return standing{ui.OK, "channels.state.active"}
	}
	return standing{ui.Neutral, "channels.state.inactive"}
}

// standing is how a channel stands: its colour and the key of its word.
type standing struct {
	tone ui.Tone
	key  string
}

func (c Channel) language(p i18n.Printer) string {
	if c.Language == string(i18n.En) {
		return p.T("channels.language.en")
	}
	return p.T("channels.language.pt")
}

// ListModel is all channels of a side.
type ListModel struct {
	Side
	Table ui.TableModel
	Rows  []Channel
}

// PickModel asks for the kind of a new channel.
type PickModel struct {
	Side
	Kinds []string
}

// FormModel makes or edits a channel. Values are as typed; without an ID it is new.
type FormModel struct {
	Side
	ID, Title  string
	Kind, Host string // Host is that of the address that is kept
	Kept       bool   // there is an address or token, which an empty field keeps
	Values     map[string]string
	Errors     map[string]string
	Error      string
}

func (m FormModel) action() string {
	if m.ID == "" {
		return m.Base
	}
	return m.Base + "/" + m.ID
}

func (m FormModel) crumbs() []ui.Link {
	if m.ID == "" {
		return append(m.Side.crumbs(), ui.Link{Label: m.Frame.Printer.T("channels.new"), Href: m.Base + "/new"})
	}
	return append(m.Side.crumbs(), ui.Link{Label: m.Title, Href: m.action()})
}

func (m FormModel) submit() string {
	if m.ID == "" {
		return m.Frame.Printer.T("channels.create")
	}
	return m.Frame.Printer.T("channels.save")
}

func (m FormModel) field(name string) ui.Field {
	p := m.Frame.Printer
	return ui.Field{
		Name: name, Label: p.T("channels.field." + name), Value: m.Values[name], Error: m.Errors[name], Autocomplete: "off",
		Attrs: ui.Unmanaged(),
	}
}

func (m FormModel) name() ui.Field {
	f := m.field("name")
	f.Help, f.MaxLength, f.Attrs = m.Frame.Printer.T("channels.help.name"), 80, nil
	return f
}

func (m FormModel) url() ui.Field {
	f := m.field("url")
	f.Help = m.Frame.Printer.T("channels.help.url")
	if m.Kept {
		f.Help, f.Optional = m.Frame.Printer.T("channels.help.url_kept", "host", m.Host), true
	}
	f.Placeholder = map[string]string{
		"slack": "https://hooks.slack.com/services/…", "discord": "https://discord.com/api/webhooks/…", "teams": "https://…", "webhook": m.Frame.Printer.T("channels.example.url"),
	}[m.Kind]
	f.Attrs["inputmode"] = "url"
	return f
}

func (m FormModel) token() ui.Field {
	f := m.field("token")
	f.Help = m.Frame.Printer.T("channels.help.token")
	if m.Kept {
		f.Help, f.Optional = m.Frame.Printer.T("channels.help.token_kept"), true
	}
	return f
}

func (m FormModel) chat() ui.Field {
	f := m.field("chat")
	f.Help = m.Frame.Printer.T("channels.help.chat")
	return f
}

func (m FormModel) language() ui.Field {
	p := m.Frame.Printer
	f := m.field("language")
	f.Attrs = nil
	f.Options = []ui.Option{{Value: string(i18n.PtBR), Label: p.T("channels.language.pt")}, {Value: string(i18n.En), Label: p.T("channels.language.en")}}
	return f
}

func (m FormModel) active() ui.Field {
	f := m.field("active")
	f.Help, f.Attrs = m.Frame.Printer.T("channels.help.active"), nil
	return f
}

// guide is where to find what the form asks for, step by step.
func (m FormModel) guide() []string {
	var steps []string
	for _, n := range []string{"1", "2", "3"} {
		steps = append(steps, m.Frame.Printer.T("channels.guide."+m.Kind+"."+n))
	}
	return steps
}

// Rule is one that names the channel.
type Rule struct {
	Name, Audience string
	Href           string
	Enabled        bool
}

// Signing is how a webhook is signed.
type Signing struct {
	Sealed        bool      // the secrets do not open
	PreviousUntil time.Time // zero: one secret is in use
}

func (s Signing) words(p i18n.Printer) string {
	switch {
	case s.Sealed:
		return p.T("channels.signing_sealed")
	case !s.PreviousUntil.IsZero():
		return p.T("channels.signing_two", "until", p.DateTime(s.PreviousUntil))
	}
	return p.T("channels.signing_one")
}

// ShowModel is one channel.
type ShowModel struct {
	Side
	Channel Channel
	Rules   []Rule
	Sent    []Sent   // the newest messages, the newest first
	Signing *Signing // of webhooks
}

// Sent is a message through the channel. Its last try is that of TriedAt.
type Sent struct {
	State   templ.Component
	At      time.Time
	Kind    string // "" for a plain alert
	Due     string // when it is tried next, in words
	Href    string // the alert it is about
	Tries   int
	TriedAt time.Time
	Answer  string // of the last try
	Arrived bool
}

// failed is what the page says of a channel whose newest attempt did not arrive.
func (m ShowModel) failed() string {
	var last Sent
	for _, s := range m.Sent {
		if s.TriedAt.After(last.TriedAt) {
			last = s
		}
	}
	if !m.Channel.Failing || last.Arrived || last.TriedAt.IsZero() {
		return ""
	}
	key := "channels.failing"
	if last.Answer != "" {
		key = "channels.failing_answer"
	}
	return m.Frame.Printer.T(key, "when", m.Frame.Printer.DateTime(last.TriedAt), "answer", last.Answer)
}

func (m ShowModel) facts() []ui.Fact {
	p := m.Frame.Printer
	return []ui.Fact{
		{Label: p.T("channels.col.kind"), Text: m.Channel.kind(p)},
		{Label: p.T("channels.col.target"), Value: target(m.Channel.Target)},
		{Label: p.T("channels.field.language"), Text: m.Channel.language(p)},
		{Label: p.T("channels.created_on"), Text: p.DateTime(m.Channel.CreatedAt)},
	}
}

func (m ShowModel) nothing() string {
	if m.Portal {
		return m.Frame.Printer.T("channels.rules_none_portal")
	}
	return m.Frame.Printer.T("channels.rules_none")
}

// choose leads to where a channel is put to use.
func (m ShowModel) choose() ui.Link {
	if m.Portal {
		return ui.Link{Label: m.Frame.Printer.T("channels.choose_portal"), Href: "/portal/alerts/settings"}
	}
	return ui.Link{Label: m.Frame.Printer.T("channels.choose"), Href: "/alerts/rules"}
}

// usesTitle is the name of what names the channel.
func (m ShowModel) usesTitle() string {
	if m.Portal {
		return m.Frame.Printer.T("channels.notices")
	}
	return m.Frame.Printer.T("channels.rules")
}

func (m ShowModel) remove() ui.ConfirmModel {
	p := m.Frame.Printer
	c := ui.ConfirmModel{
		ID: "delete-channel", Title: p.T("channels.delete_title", "name", m.Channel.Name), Text: p.T("channels.delete_text", "target", m.Channel.Target),
		Submit: p.T("channels.delete"), Action: m.Channel.href(m.Side) + "/delete", CSRF: m.Frame.CSRF, Danger: true,
	}
	if len(m.Rules) > 0 {
		c.Lost = []string{p.T("channels.delete_lost", "n", len(m.Rules))}
	}
	return c
}

// Tested is how a test message fared.
type Tested struct {
	Done, OK bool
	Text     string
}

// SecretModel shows a signing secret, once.
type SecretModel struct {
	Side
	Channel     Channel
	Title, Text string
	Secret      string
}

// verify are programs that check a signature, the same in every language of the page.
func (m SecretModel) verify() []example {
	return []example{
		{"example-python", "Python", "# pip install standardwebhooks\nfrom standardwebhooks import Webhook\n\n" +
			"hook = Webhook(\"" + m.Secret + "\")\nevent = hook.verify(body, headers)"},
		{"example-node", "Node.js", "// npm install standardwebhooks\nimport { Webhook } from \"standardwebhooks\";\n\n" +
			"const hook = new Webhook(\"" + m.Secret + "\");\nconst event = hook.verify(body, headers);"},
	}
}

type example struct{ id, title, code string }
