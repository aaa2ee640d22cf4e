// Package mail draws the set-up of e-mail and the outbox.
package mail

import (
	"time"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/views/layout"
	"github.com/fila-ia/filaia/views/ui"
)

// Path is where the family begins.
const Path = "/settings/mail"

// State is how far the set-up is.
type State string

// The states.
const (
	Ready      State = "ready"
	Unverified State = "unverified" // it is set up, and nothing has shown yet that it works
	Unfinished State = "unfinished" // the account at Google has not consented
	None       State = "none"
	Troubled   State = "troubled" // it is set up, and messages do not leave
)

func (s State) tone() ui.Tone {
	switch s {
	case Ready:
		return ui.OK
	case Unfinished, Unverified:
		return ui.Warn
	case Troubled:
		return ui.Bad
	}
	return ui.Neutral
}

// IndexModel is the page of how e-mail leaves now.
type IndexModel struct {
	Frame       layout.Model
	State       State
	Way         string // gmail, gmail_oauth, smtp, none
	Ways        []string
	Environment bool // the environment decides
	Sealed      bool // what signs in does not open
	Facts       []Fact
	To          string // where a test goes
	Trouble     string // the newest answer, when the last messages did not leave
	Revoked     string // what to do where that was because the account consents no more; empty: another cause
	Kept        int    // messages that were kept before and can be sent now
	Result      Result
}

// Fact is a name, as a key, and what holds.
type Fact struct{ Key, Text string }

// lead says where a test goes, once one can be sent.
func (m IndexModel) lead() string {
	if !m.sends() {
		return ""
	}
	return m.Frame.Printer.T("mail.test_lead", "address", m.To)
}

// sends tells whether a message can be tried.
func (m IndexModel) sends() bool {
	return m.State == Ready || m.State == Unverified || m.State == Troubled
}

func (m IndexModel) facts() []ui.Fact {
	facts := make([]ui.Fact, len(m.Facts))
	for i, f := range m.Facts {
		facts[i] = ui.Fact{Label: m.Frame.Printer.T(f.Key), Text: f.Text}
	}
	return facts
}

// wayIcon is the drawing beside a way.
func wayIcon(way string) string {
	switch way {
	case "gmail":
		return "key"
	case "gmail_oauth":
		return "circle-check"
	case "smtp":
		return "server"
	}
	return "inbox"
}

// Result is how a check or a test ended; the zero value is that none was asked for.
type Result struct {
	Done   bool
	OK     bool
	Title  string
	Text   string
	Steps  []Step
	Answer string // the server's own words
}

// Step is one thing that was tried.
type Step struct {
	OK     bool
	Name   string // in words
	Detail string // what was found
}

// FormModel is the set-up of one way, with the steps that lead to it.
type FormModel struct {
	Frame    layout.Model
	Way      string
	Values   map[string]string
	Errors   map[string]string
	Error    string
	Hints    map[string]string // of what is stored, by field
	Redirect string            // where Google leads back to
	Insecure bool              // which Google will not accept
	Tokens   bool              // the part about tokens is open
}

// guided is one step of a set-up.
type guided struct {
	text, link, href, copy, id string
}

func (m FormModel) steps() []guided {
	p, say := m.Frame.Printer, "mail."+m.Way+"."
	step := func(n, href string) guided {
		g := guided{text: p.T(say + n), href: href, id: "copy-" + n}
		if href != "" {
			g.link = p.T(say + n + ".link")
		}
		return g
	}
	switch m.Way {
	case "gmail":
		return []guided{step("1", ""), step("2", "https://myaccount.google.com/signinoptions/two-step-verification"), step("3", "https://myaccount.google.com/apppasswords"), step("4", "")}
	case "gmail_oauth":
		steps := []guided{
			step("1", "https://console.cloud.google.com/projectcreate"), step("2", "https://console.cloud.google.com/apis/library/gmail.googleapis.com"),
			step("3", "https://console.cloud.google.com/auth/overview"), step("4", "https://console.cloud.google.com/apis/credentials"), step("5", ""),
		}
		steps[2].copy, steps[3].copy = "https://mail.google.com/", m.Redirect
		return steps
	}
	return []guided{step("1", ""), step("2", ""), step("3", "")}
}

// unseen is the hint of what is too short to show any of it.
const unseen = "…"

// field is an input with what was typed, its error, and what is stored of it.
func (m FormModel) field(name, label, help string) ui.Field {
	p := m.Frame.Printer
	f := ui.Field{Name: name, Label: p.T("mail.field." + label), Value: m.Values[name], Error: m.Errors[name], Autocomplete: "off"}
	if help != "" {
		f.Help = p.T("mail.help." + help)
	}
	if hint := m.Hints[name]; hint != "" {
		f.Help, f.Optional = p.T("mail.help.kept", "hint", hint), true
		if hint == unseen {
			f.Help = p.T("mail.help.kept_unseen")
		}
	}
	return f
}

// secret is a field that password managers leave alone.
func (m FormModel) secret(name, label, help string) ui.Field {
	f := m.field(name, label, help)
	f.Attrs = ui.Unmanaged()
	return f
}

func optional(f ui.Field) ui.Field {
	f.Optional = true
	return f
}

func choice(f ui.Field, p i18n.Printer, prefix string, values ...string) ui.Field {
	for _, v := range values {
		f.Options = append(f.Options, ui.Option{Value: v, Label: p.T(prefix + v)})
	}
	return f
}

// OutboxModel is the list of kept messages.
type OutboxModel struct {
	Frame layout.Model
	Table ui.TableModel
	Rows  []Row
	Owner bool // may see the set-up
	Now   time.Time
}

// Row is one kept message.
type Row struct {
	File, Subject, To, Name string
	At                      time.Time
	Sent                    bool // by e-mail, later
	Waiting                 bool // to be sent
}

// reader is who it is for.
func (r Row) reader() string {
	if r.Name == "" {
		return r.To
	}
	return r.Name + " (" + r.To + ")"
}

func (r Row) href() string { return Path + "/outbox/" + r.File }

// LetterModel is one kept message.
type LetterModel struct {
	Frame   layout.Model
	Row     Row
	Headers [][2]string
	Text    string
	HTML    bool
	File    bool // it may be downloaded
}
