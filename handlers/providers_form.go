package handlers

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/secret"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/views/providers"
)

// presets are the houses that many use, with the addresses that they document.
func presets(say i18n.Printer) []providers.Preset {
	house := func(key, name, kind, address string) providers.Preset {
		return providers.Preset{Key: key, Name: name, Text: say.T("providers.preset." + key), Kind: kind, BaseURL: address}
	}
	return []providers.Preset{
		house("openai", "OpenAI", "openai", "https://api.openai.com/v1"),
		house("azure", "Azure OpenAI", "azure", "https://NOME.openai.azure.com"),
		house("anthropic", "Anthropic", "compatible", "https://api.anthropic.com/v1"),
		house("gemini", "Google Gemini", "compatible", "https://generativelanguage.googleapis.com/v1beta/openai"),
		house("groq", "Groq", "compatible", "https://api.groq.com/openai/v1"),
		house("mistral", "Mistral", "compatible", "https://api.mistral.ai/v1"),
		house("deepseek", "DeepSeek", "compatible", "https://api.deepseek.com/v1"),
		house("openrouter", "OpenRouter", "compatible", "https://openrouter.ai/api/v1"),
		house("ollama", "Ollama", "compatible", "http://127.0.0.1:11434/v1"),
		house("vllm", "vLLM", "compatible", "http://127.0.0.1:8000/v1"),
		house("other", say.T("providers.preset_other"), "compatible", ""),
	}
}

// newProvider asks which house it is, then shows the form filled in for it.
func (p *Panel) newProvider(c *fiber.Ctx) error {
	say := at(c).Say
	all := presets(say)
	chosen := slices.IndexFunc(all, func(one providers.Preset) bool { return one.Key == c.Query("preset") })
	if chosen < 0 {
		m := providers.PickModel{Frame: p.frame(c, say.T("providers.new"), "providers"), Presets: all}
		return p.render(c, providers.PickPage(m), nil)
	}
	one := all[chosen]
	m := p.providerForm(c, tenancy.Provider{})
	m.Preset = one.Key
	d := tenancy.Provider{Name: one.Name, Kind: tenancy.ProviderKind(one.Kind), BaseURL: one.BaseURL, Active: true, Limits: tenancy.DefaultProviderLimits()}
	if one.Key == "other" {
		d.Name = ""
	}
	fillProvider(say, &m, d)
	return p.render(c, providers.FormPage(m), nil)
}

func (p *Panel) editProvider(c *fiber.Ctx) error {
	v, err := p.providerParam(c)
	if err != nil {
		return err
	}
	m := p.providerForm(c, v)
	m.Advanced = c.Query("advanced") != ""
	fillProvider(at(c).Say, &m, v)
	return p.render(c, providers.FormPage(m), nil)
}

func (p *Panel) providerParam(c *fiber.Ctx) (tenancy.Provider, error) {
	id, err := idParam(c, "id")
	if err != nil {
		return tenancy.Provider{}, err
	}
	return p.Providers.Provider(c.UserContext(), id)
}

// providerForm is the form's page without its values; a provider without id is a new one.
func (p *Panel) providerForm(c *fiber.Ctx, v tenancy.Provider) providers.FormModel {
	say := at(c).Say
	m := providers.FormModel{FromEnvironment: v.FromEnvironment, HasCredential: len(v.Credential) > 0, Values: map[string]string{}}
	if knownHint(v.CredentialHint) {
		m.Hint = v.CredentialHint
	}
	title := say.T("providers.new")
	if v.ID != 0 {
		m.ID, m.Title, title = strconv.FormatInt(v.ID, 10), v.Name, say.T("providers.edit_title", "name", v.Name)
	}
	m.Frame = p.frame(c, title, "providers")
	return m
}

func fillProvider(say i18n.Printer, m *providers.FormModel, v tenancy.Provider) {
	m.Values = map[string]string{"name": v.Name, "kind": string(v.Kind), "base_url": v.BaseURL, "api_version": v.APIVersion}
	if v.Active {
		m.Values["active"] = "on"
	}
	l := v.Limits
	for name, d := range map[string]*time.Duration{
		"connect": &l.Connect, "first_byte": &l.FirstByte, "idle": &l.Idle, "total": &l.Total, "hedge": &l.Hedge, "max_wait": &l.MaxWait,
		"breaker_window": &l.BreakerWindow, "breaker_slow": &l.BreakerSlow, "breaker_open": &l.BreakerOpen,
	} {
		m.Values[name] = secondsTyped(say, *d)
	}
	for name, n := range map[string]int{
		"retries": l.Retries, "max_waiting": l.MaxWaiting, "breaker_failure_percent": l.BreakerFailurePercent, "breaker_min_calls": l.BreakerMinCalls,
	} {
		m.Values[name] = say.Int(int64(n))
	}
	m.Values["max_parallel"] = optionalInt(say, l.MaxParallel)
}

// secondsTyped writes a length of time as a person would type it: 300, or 0,5. Never is left empty.
func secondsTyped(say i18n.Printer, d time.Duration) string {
	if d == 0 {
		return ""
	}
	text := strconv.FormatFloat(d.Seconds(), 'f', -1, 64)
	if say.Lang() != i18n.En {
		text = strings.Replace(text, ".", ",", 1)
	}
	return text
}

// Seconds reads a length of time typed in seconds, such as 300 or 0,5.
func (f *form) Seconds(name string) time.Duration {
	text := f.Text(name)
	if text == "" {
		f.Reject(name, "error.required")
		return 0
	}
	return f.SecondsOr(name, 0)
}

// SecondsOr is Seconds of a field that may be left empty.
func (f *form) SecondsOr(name string, empty time.Duration) time.Duration {
	text := f.Text(name)
	if text == "" {
		return empty
	}
	const most = 1_000_000_000 // milliseconds
	n, err := at(f.c).Say.ParseDecimal(text, 3)
	if err != nil || n < 0 || n > most {
		f.Reject(name, "providers.error.seconds", "value", short(text, 40))
		return 0
	}
	return time.Duration(n) * time.Millisecond
}

// small reads a number of a size that any of these fields allows; Validate says more of its own bounds.
func (f *form) small(name string) int { return int(min(max(f.Int(name), -1), 1<<30)) }

// readProvider reads the form into a draft; the credential stays with the form.
func readProvider(f *form) tenancy.ProviderDraft {
	d := tenancy.ProviderDraft{
		Name: f.Text("name"), Kind: tenancy.ProviderKind(f.Text("kind")), BaseURL: f.Text("base_url"), Active: f.Checked("active"),
		Limits: tenancy.ProviderLimits{
			Connect: f.Seconds("connect"), FirstByte: f.Seconds("first_byte"), Idle: f.Seconds("idle"), Total: f.Seconds("total"),
			Retries: f.small("retries"), Hedge: f.SecondsOr("hedge", 0),
			MaxWaiting: f.small("max_waiting"), MaxWait: f.Seconds("max_wait"),
			BreakerFailurePercent: f.small("breaker_failure_percent"), BreakerMinCalls: f.small("breaker_min_calls"),
			BreakerWindow: f.Seconds("breaker_window"), BreakerSlow: f.SecondsOr("breaker_slow", 0), BreakerOpen: f.Seconds("breaker_open"),
		},
	}
	if f.Text("max_parallel") != "" {
		d.Limits.MaxParallel = f.small("max_parallel")
	}
	if d.Kind == tenancy.AzureProvider { // the field is hidden otherwise: what stands in it means nothing
		d.APIVersion = f.Text("api_version")
	}
	return d
}

func (p *Panel) createProvider(c *fiber.Ctx) error {
	f := readForm(c)
	d := readProvider(f)
	slug, err := p.freeSlug(c, d.Name)
	if err != nil {
		return err
	}
	d.Slug = slug
	checkCredential(f)
	err = f.Join(d.Validate(false))
	if err == nil {
		p.seal(&d, f.Text("credential"))
		var made tenancy.Provider
		if made, err = p.Providers.CreateProvider(c.UserContext(), d); err == nil {
			return p.done(c, providerPath(made.ID), "providers.created", "name", made.Name)
		}
	}
	return p.refuseProvider(c, f, tenancy.Provider{}, err)
}

// freeSlug makes a code of a name that no provider has.
func (p *Panel) freeSlug(c *fiber.Ctx, name string) (string, error) {
	taken, err := p.Providers.Providers(c.UserContext())
	if err != nil {
		return "", err
	}
	base := tenancy.Slugify(name)
	if base == "" {
		base = "provedor" // a missing name is told; a code that was to come from it must not be told as well
	}
	const longest = 60
	slug := base
	for n := 2; slices.ContainsFunc(taken, func(v tenancy.Provider) bool { return v.Slug == slug }); n++ {
		suffix := "-" + strconv.Itoa(n)
		slug = strings.TrimRight(base[:min(len(base), longest-len(suffix))], "-") + suffix
	}
	return slug, nil
}

// checkCredential refuses a key that no call could carry, such as one copied from where it is shown shortened.
func checkCredential(f *form) {
	if key := f.Text("credential"); key != "" {
		f.Check(tenancy.ValidCredential(key), "credential", "providers.error.credential")
	}
}

// seal puts a typed credential into the draft; none keeps the one that is there.
func (p *Panel) seal(d *tenancy.ProviderDraft, key string) {
	if key != "" {
		d.Credential, d.Hint = p.Credentials.Seal([]byte(key), credentialLabel(d.Slug)), secret.Hint(key)
	}
}

// credentialLabel is what a provider's credential is sealed to, so that it opens for no other.
func credentialLabel(slug string) string { return "provider:" + slug }

func (p *Panel) updateProvider(c *fiber.Ctx) error {
	v, err := p.providerParam(c)
	if err != nil {
		return err
	}
	f := readForm(c)
	d := readProvider(f)
	d.Slug = v.Slug
	key := f.Text("credential")
	checkCredential(f)
	forget := key == "" && f.Checked("forget_credential")
	if key == "" && !forget {
		p.guardCredential(f, v, d.BaseURL)
	}
	err = f.Join(d.Validate(v.FromEnvironment))
	if err == nil {
		p.seal(&d, key)
		if forget {
			d.Credential = []byte{}
		}
		if err = p.Providers.UpdateProvider(c.UserContext(), v.ID, d); err == nil {
			return p.done(c, providerPath(v.ID), "providers.saved")
		}
	}
	return p.refuseProvider(c, f, v, err)
}

// guardCredential lets a stored key go to no other server than the one it was given for: whoever may edit a provider
// but does not know its key could else have it sent to a server of their own.
func (p *Panel) guardCredential(f *form, v tenancy.Provider, address string) {
	_, key, err := p.Reach(v)
	if err == nil && key == "" || p.simulates(v) {
		return
	}
	moved := v
	moved.BaseURL = strings.TrimRight(address, "/")
	if origin(p.addressOf(moved)) != origin(p.addressOf(v)) {
		f.Reject("credential", "providers.error.credential_again")
	}
}

// origin is the server of an address.
func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return strings.ToLower(u.Scheme + "://" + u.Host)
}

// refuseProvider shows the form again with what was typed, but for the credential.
func (p *Panel) refuseProvider(c *fiber.Ctx, f *form, v tenancy.Provider, cause error) error {
	if !rejected(cause) {
		return cause
	}
	m := p.providerForm(c, v)
	keepProvider(f, &m)
	m.Errors, m.Error = fieldErrors(at(c).Say, cause)
	if text, taken := m.Errors["slug"]; taken && m.Errors["name"] == "" { // made from the name, and taken a moment ago
		m.Errors["name"] = text
	}
	for name := range m.Errors {
		m.Advanced = m.Advanced || slices.Contains(limitFields, name)
	}
	return p.invalid(c, providers.FormPage(m), nil)
}

// limitFields are those of the folded part of the form.
var limitFields = []string{
	"connect", "first_byte", "idle", "total", "retries", "hedge", "max_parallel", "max_waiting", "max_wait",
	"breaker_failure_percent", "breaker_min_calls", "breaker_window", "breaker_slow", "breaker_open",
}

// keepProvider puts what was typed into the form.
func keepProvider(f *form, m *providers.FormModel) {
	m.Preset = f.Text("preset")
	for _, name := range append([]string{"name", "kind", "base_url", "api_version", "active", "forget_credential"}, limitFields...) {
		m.Values[name] = f.Text(name)
	}
}
