// Package keys draws the pages about API keys: the list, making one, the secret that is shown once, and rotating.
package keys

import (
	"time"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/views/layout"
	"github.com/fila-ia/filaia/views/plans"
	"github.com/fila-ia/filaia/views/ui"
)

// State is a word for a key.
type State string

// The states of a key.
const (
	Active  State = "active"
	Expired State = "expired"
	Revoked State = "revoked"
)

func (s State) tone() ui.Tone {
	switch s {
	case Active:
		return ui.OK
	case Expired:
		return ui.Warn
	}
	return ui.Neutral
}

// Key is an API key as these pages show it; the secret is not known any more.
type Key struct {
	ID                   string
	TenantID, TenantName string
	Name, Hint           string
	State                State
	Plan                 string // in force
	OwnPlan              bool   // of its own rather than the customer's
	Models               []string
	CreatedAt            time.Time
	LastUsedAt           time.Time // zero: never
	ExpiresAt            time.Time // zero: never
	RevokedAt            time.Time // zero: not
	Replaced             bool      // another key has taken over
	Rates                plans.Rates
	Cache                string // off, exact or smart; empty: as the plan says
}

func (k Key) href() string { return "/keys/" + k.ID }

// ListModel is a list of keys: of all customers, or of one.
type ListModel struct {
	Frame     layout.Model
	Table     ui.TableModel
	Rows      []Key
	OneTenant bool // the customer needs no column
	MayEdit   bool
	Now       time.Time
}

// FormModel is the page to make a key. Values are as typed.
type FormModel struct {
	Frame   layout.Model
	Values  map[string]string
	Tenants []ui.Option
	Plans   []ui.Option
	Models  []ui.Option
	Errors  map[string]string
	Error   string
	Cancel  string
}

// SecretModel is the page that shows a new key's secret, once.
type SecretModel struct {
	Frame   layout.Model
	Title   string
	Text    string
	Key     Key
	Secret  string
	BaseURL string // of the gateway: https://api.example.com.br/v1
	Model   string // for the example
	Back    string
}

// RotateModel is the page to replace a key's secret.
type RotateModel struct {
	Frame  layout.Model
	Key    Key
	Chosen string
	Error  string
	Now    time.Time
}

// EditModel is the page of one key's name.
type EditModel struct {
	Frame  layout.Model
	Key    Key
	Value  string
	Errors map[string]string
	Error  string
}

// ShowModel is the page of one key.
type ShowModel struct {
	Frame   layout.Model
	Key     Key
	MayEdit bool
	Now     time.Time
	Figures []ui.StatModel // of the last thirty days
}

// LimitsModel is the page of one key's own limits and of its cache. Values are as typed.
type LimitsModel struct {
	Frame  layout.Model
	Key    Key
	Values map[string]string
	Errors map[string]string
	Error  string
}

// cacheOptions are the modes, that of the plan first.
func cacheOptions(p i18n.Printer) []ui.Option {
	return append([]ui.Option{{Label: p.T("plans.cache.inherit"), Text: p.T("keys.cache.inherit_text")}}, plans.CacheOptions(p)...)
}

// Overlaps are how long the old key may go on, by the form's value.
func Overlaps() map[string]time.Duration {
	return map[string]time.Duration{"0": 0, "1h": time.Hour, "24h": 24 * time.Hour, "7d": 7 * 24 * time.Hour}
}

func overlapOptions(p i18n.Printer) []ui.Option {
	return []ui.Option{
		{Value: "24h", Label: p.T("keys.overlap.24h"), Text: p.T("keys.overlap.24h_text")},
		{Value: "1h", Label: p.T("keys.overlap.1h"), Text: p.T("keys.overlap.1h_text")},
		{Value: "7d", Label: p.T("keys.overlap.7d"), Text: p.T("keys.overlap.7d_text")},
		{Value: "0", Label: p.T("keys.overlap.0"), Text: p.T("keys.overlap.0_text")},
	}
}

// curl and python are examples ready to run.
func (m SecretModel) curl() string {
	return "curl " + m.BaseURL + "/chat/completions \\\n" +
		"  -H \"Authorization: Bearer " + m.Secret + "\" \\\n" +
		"  -H \"Content-Type: application/json\" \\\n" +
		"  -d '{\"model\": \"" + m.Model + "\", \"messages\": [{\"role\": \"user\", \"content\": \"" + m.hello() + "\"}]}'"
}

func (m SecretModel) python() string {
	return "from openai import OpenAI\n\n" +
		"client = OpenAI(\n" +
		"    base_url=\"" + m.BaseURL + "\",\n" +
		"    api_key=\"" + m.Secret + "\",\n" +
		")\n" +
		"answer = client.chat.completions.create(\n" +
		"    model=\"" + m.Model + "\",\n" +
		"    messages=[{\"role\": \"user\", \"content\": \"" + m.hello() + "\"}],\n" +
		")\n" +
		"print(answer.choices[0].message.content)"
}

func (m SecretModel) hello() string { return m.Frame.Printer.T("keys.example.hello") }
