package handlers

import (
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/views/keys"
	"github.com/fila-ia/filaia/views/ui"
)

// localMinute is how a browser's field writes a date and time.
const localMinute = "2006-01-02T15:04"

func (p *Panel) newKey(c *fiber.Ctx) error {
	m, err := p.keyForm(c, c.Query("tenant"))
	if err != nil {
		return err
	}
	return p.render(c, keys.FormPage(m), nil)
}

// keyForm is the form's page with its choices; tenant is chosen beforehand, or "".
func (p *Panel) keyForm(c *fiber.Ctx, tenant string) (keys.FormModel, error) {
	ctx, say := c.UserContext(), at(c).Say
	m := keys.FormModel{Frame: p.frame(c, say.T("keys.new"), "keys"), Values: map[string]string{"tenant": tenant}, Cancel: "/keys"}
	names, err := p.Users.TenantNames(ctx)
	if err != nil {
		return m, err
	}
	for _, t := range names {
		option := ui.Option{Value: strconv.FormatInt(t.ID, 10), Label: t.Name}
		if option.Value == tenant {
			m.Cancel = keysPath(t.ID)
		}
		m.Tenants = append(m.Tenants, option)
	}
	plans, err := p.Plans.PlansOnSale(ctx)
	if err != nil {
		return m, err
	}
	m.Plans = planOptions(say, plans)
	models, err := p.Plans.Models(ctx)
	if err != nil {
		return m, err
	}
	for _, model := range models {
		m.Models = append(m.Models, ui.Option{Value: model.Name, Label: model.Name})
	}
	return m, nil
}

// readKey reads the form; an expiry is in the zone in which the page shows times.
func readKey(f *form, zone *time.Location) tenancy.KeyDraft {
	d := tenancy.KeyDraft{TenantID: f.IntOr("tenant", 0), Name: f.Text("name"), PlanID: f.IntOr("plan", 0), AllowedModels: f.All("models"),
		Rates: readRates(f), Cache: tenancy.CacheMode(f.Text("cache"))}
	if text := f.Text("expires_at"); text != "" {
		at, err := time.ParseInLocation(localMinute, text, zone)
		if err != nil {
			f.Reject("expires_at", "keys.error.date", "value", short(text, 40))
		} else {
			d.ExpiresAt = &at
		}
	}
	return d
}

func (p *Panel) createKey(c *fiber.Ctx) error {
	f := readForm(c)
	d := readKey(f, at(c).Say.Zone())
	err := f.Join(d.Validate(p.Now()))
	if err == nil {
		var k tenancy.Key
		var secret tenancy.Secret
		if k, secret, err = p.Keys.CreateKey(c.UserContext(), d); err == nil {
			say := at(c).Say
			return p.showSecret(c, k, secret, keys.SecretModel{Title: say.T("keys.created"), Text: say.T("keys.secret_text", "tenant", k.TenantName)})
		}
	}
	if !rejected(err) && !fault.Is(err, fault.NotFound) {
		return err
	}
	m, formErr := p.keyForm(c, f.Text("tenant"))
	if formErr != nil {
		return formErr
	}
	for _, name := range []string{"name", "plan", "expires_at", "rpm", "tpm", "parallel", "cache"} {
		m.Values[name] = f.Text(name)
	}
	checkModels(m.Models, d.AllowedModels)
	m.Errors, m.Error = fieldErrors(at(c).Say, err)
	return p.invalid(c, keys.FormPage(m), nil)
}

// showSecret is the only page that ever holds a secret. It must not be kept anywhere.
func (p *Panel) showSecret(c *fiber.Ctx, k tenancy.Key, secret tenancy.Secret, m keys.SecretModel) error {
	m.Frame, m.Key, m.Secret = p.frame(c, k.Name, "keys"), panelKey(k, p.Now()), secret.Reveal()
	m.BaseURL, m.Back, m.Model = p.baseURL(c), keysPath(k.TenantID), p.exampleModel(c, k)
	c.Set(fiber.HeaderCacheControl, "no-store")
	return p.render(c, keys.SecretPage(m), nil)
}

// exampleModel is a model that the key may use, so that the example works as it stands.
func (p *Panel) exampleModel(c *fiber.Ctx, k tenancy.Key) string {
	if len(k.AllowedModels) > 0 {
		return k.AllowedModels[0]
	}
	models, err := p.Plans.Models(c.UserContext())
	if err != nil || len(models) == 0 {
		return "gpt-4.1-nano" // the secret is what matters on this page: it must not be lost for an example
	}
	return models[0].Name
}

func (p *Panel) rotateKeyForm(c *fiber.Ctx) error {
	k, err := p.keyParam(c)
	if err != nil {
		return err
	}
	return p.render(c, keys.RotatePage(p.rotateModel(c, k)), nil)
}

func (p *Panel) rotateModel(c *fiber.Ctx, k tenancy.Key) keys.RotateModel {
	return keys.RotateModel{
		Frame: p.frame(c, at(c).Say.T("keys.rotate_title", "name", k.Name), "keys"), Key: panelKey(k, p.Now()), Chosen: "24h", Now: p.Now(),
	}
}

func (p *Panel) rotateKey(c *fiber.Ctx) error {
	old, err := p.keyParam(c)
	if err != nil {
		return err
	}
	say, chosen := at(c).Say, readForm(c).Text("overlap")
	overlap, known := keys.Overlaps()[chosen]
	if !known {
		m := p.rotateModel(c, old)
		m.Error = say.T("keys.error.overlap")
		return p.invalid(c, keys.RotatePage(m), nil)
	}
	k, secret, err := p.Keys.RotateKey(c.UserContext(), old.ID, overlap)
	if err != nil {
		return err
	}
	text := say.T("keys.rotated_text_now")
	if overlap > 0 {
		until := p.Now().Add(overlap)
		if old.ExpiresAt != nil && old.ExpiresAt.Before(until) {
			until = *old.ExpiresAt
		}
		text = say.T("keys.rotated_text", "until", say.DateTime(until))
	}
	return p.showSecret(c, k, secret, keys.SecretModel{Title: say.T("keys.rotated"), Text: text})
}
