package handlers

import (
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/views/plans"
	"github.com/fila-ia/filaia/views/portal"
	"github.com/fila-ia/filaia/views/ui"
)

// exampleModel is what the examples call where the customer's keys do not say which models they may.
const exampleModel = "gpt-4.1-nano"

// portalKeys lists a customer's keys, without secrets, and says how to call with one.
func (p *Panel) portalKeys(c *fiber.Ctx) error {
	if _, err := p.ownZone(c); err != nil {
		return err
	}
	v := at(c)
	keys, err := p.Portal.OwnKeys(c.UserContext(), v.User.TenantID)
	if err != nil {
		return err
	}
	m := portal.KeysModel{Now: p.Now(), BaseURL: p.baseURL(c)}
	model := exampleModel
	for _, k := range keys {
		row := keyModel(v.Say, k, m.Now)
		m.Rows = append(m.Rows, row)
		if len(k.AllowedModels) > 0 && k.State(m.Now) == tenancy.KeyActive {
			model = k.AllowedModels[0]
		}
	}
	m.Examples = examples(m.BaseURL, model)
	return p.render(c, portal.KeysPage(p.frame(c, v.Say.T("portal.keys.title"), "keys"), m), nil)
}

func keyModel(say i18n.Printer, k tenancy.Key, now time.Time) portal.Key {
	row := portal.Key{Limits: rateModel(k.Rates).Short(say), Cache: plans.CacheWord(say, string(k.Cache)), Name: k.Name, Hint: k.Hint, Plan: k.PlanName, Models: strings.Join(k.AllowedModels, ", "), Expires: say.T("portal.keys.never")}
	if row.Models == "" {
		row.Models = say.T("portal.keys.all_models")
	}
	if k.ExpiresAt != nil {
		row.Expires = say.DateTime(*k.ExpiresAt)
	}
	if k.LastUsedAt != nil {
		row.LastUsed = *k.LastUsedAt
	}
	switch k.State(now) {
	case tenancy.KeyRevoked:
		row.Tone, row.State = ui.Bad, say.T("portal.keys.revoked")
	case tenancy.KeyExpired:
		row.Tone, row.State = ui.Warn, say.T("portal.keys.expired")
	default:
		row.Tone, row.State = ui.OK, say.T("portal.keys.active")
	}
	return row
}

// examples are first calls by the official SDKs; they are programs, the same in every language of the page.
func examples(base, model string) []portal.Example {
	python := `from openai import OpenAI

client = OpenAI(
    base_url="` + base + `",
    api_key=os.environ["FILAIA_KEY"],
)
answer = client.chat.completions.create(
    model="` + model + `",
    messages=[{"role": "user", "content": "Olá!"}],
)
print(answer.choices[0].message.content)`
	node := `import OpenAI from "openai";

const client = new OpenAI({
  baseURL: "` + base + `",
  apiKey: process.env.FILAIA_KEY,
});
const answer = await client.chat.completions.create({
  model: "` + model + `",
  messages: [{ role: "user", content: "Olá!" }],
});
console.log(answer.choices[0].message.content);`
	return []portal.Example{
		{ID: "example-curl", Label: "curl", Code: curl(base, model)},
		{ID: "example-python", Label: "Python", Code: "import os\n" + python},
		{ID: "example-node", Label: "Node.js", Code: node},
	}
}
