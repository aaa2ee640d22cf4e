package handlers

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/probe"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/views/providers"
)

// testNewProvider tries a provider out that is not saved yet.
func (p *Panel) testNewProvider(c *fiber.Ctx) error {
	return p.testForm(c, tenancy.Provider{Limits: tenancy.DefaultProviderLimits()})
}

// testProvider tries a provider out: as the form says where there is one, else as it is stored.
func (p *Panel) testProvider(c *fiber.Ctx) error {
	v, err := p.providerParam(c)
	if err != nil {
		return err
	}
	if c.Context().PostArgs().Has("base_url") {
		return p.testForm(c, v)
	}
	result := p.try(c, v)
	if !isHTMX(c) { // without scripts there is no place on the page for the result
		return p.toldOfProbe(c, providerPath(v.ID), result)
	}
	return p.render(c, providers.Probed(at(c).Say, result), nil)
}

func (p *Panel) toldOfProbe(c *fiber.Ctx, path string, result providers.Probe) error {
	text, tell := result.Text, p.flashFailed
	if result.OK {
		tell = p.flash
		text = at(c).Say.T("providers.probe.ok", "n", result.Models, "time", at(c).Say.Duration(result.Took))
	}
	if err := tell(c, text); err != nil {
		return err
	}
	return p.redirect(c, path)
}

func (p *Panel) testForm(c *fiber.Ctx, v tenancy.Provider) error {
	f := readForm(c)
	d := tenancy.ProviderDraft{
		Slug: "x", Name: "x", Kind: tenancy.ProviderKind(f.Text("kind")), BaseURL: f.Text("base_url"), APIVersion: f.Text("api_version"),
		Limits: tenancy.DefaultProviderLimits(), // what a test does not need must not stop it
	}
	checkCredential(f)
	typed := v
	typed.Kind, typed.BaseURL, typed.APIVersion = d.Kind, strings.TrimRight(d.BaseURL, "/"), d.APIVersion
	switch key := f.Text("credential"); {
	case key != "":
		typed.Credential = p.Credentials.Seal([]byte(key), credentialLabel(v.Slug))
	case f.Checked("forget_credential"):
		typed.Credential = nil
	case v.ID != 0:
		p.guardCredential(f, v, d.BaseURL)
	}
	say := at(c).Say
	var result providers.Probe
	if err := f.Join(d.Validate(v.FromEnvironment)); err != nil {
		result = providers.Probe{Done: true, Text: firstProblem(say, err)}
	} else {
		result = p.try(c, typed)
	}
	m := p.providerForm(c, v)
	keepProvider(f, &m)
	m.Probe = result
	return p.render(c, providers.FormPage(m), providers.Probed(say, result))
}

// firstProblem is a refused form in one sentence.
func firstProblem(say i18n.Printer, err error) string {
	var f *fault.Error
	if errors.As(err, &f) && len(f.Fields) > 0 {
		return say.T(f.Fields[0].Key, f.Fields[0].Args...)
	}
	return say.T("providers.probe.failed")
}

// try asks for the provider's models and tells how that went.
func (p *Panel) try(c *fiber.Ctx, v tenancy.Provider) providers.Probe {
	start := time.Now()
	names, err := p.namesOf(c, v)
	if err != nil {
		return providers.Probe{Done: true, Text: p.probeText(c, err)}
	}
	return providers.Probe{Done: true, OK: true, Models: len(names), Took: time.Since(start)}
}

// namesOf asks the provider which models it has.
func (p *Panel) namesOf(c *fiber.Ctx, v tenancy.Provider) ([]string, error) {
	address, key, err := p.Reach(v)
	if err != nil {
		return nil, fault.New(fault.Unavailable, "providers.error.sealed").Because(err)
	}
	return probe.Models(c.UserContext(), probe.Target{Kind: v.Kind, BaseURL: address, APIVersion: v.APIVersion, APIKey: key})
}

// probeText says what went wrong and what to do about it.
func (p *Panel) probeText(c *fiber.Ctx, err error) string {
	say := at(c).Say
	var f *fault.Error
	if errors.As(err, &f) {
		return say.T(f.Key, f.Args...)
	}
	p.Log.WarnContext(c.UserContext(), "probe of a provider failed", "request_id", at(c).RequestID, "error", err)
	return say.T("providers.probe.failed")
}

func (p *Panel) importPage(c *fiber.Ctx) error {
	m, err := p.importModel(c)
	if err != nil {
		return err
	}
	return p.render(c, providers.ImportPage(m), nil)
}

func (p *Panel) importModel(c *fiber.Ctx) (providers.ImportModel, error) {
	v, err := p.providerParam(c)
	if err != nil {
		return providers.ImportModel{}, err
	}
	return providers.ImportModel{
		Frame: p.frame(c, at(c).Say.T("providers.import_title", "name", v.Name), "providers"), ID: strconv.FormatInt(v.ID, 10), Provider: v.Name,
	}, nil
}

// importList asks the provider which models it has.
func (p *Panel) importList(c *fiber.Ctx) error {
	m, err := p.importModel(c)
	if err != nil {
		return err
	}
	if err := p.fillImport(c, &m); err != nil {
		return err
	}
	return p.render(c, providers.ImportListPage(m), providers.ImportList(m))
}

func (p *Panel) fillImport(c *fiber.Ctx, m *providers.ImportModel) error {
	h, err := p.house(c)
	if err != nil {
		return err
	}
	names, err := p.namesOf(c, h.Provider)
	if err != nil {
		m.Text = p.probeText(c, err)
		return nil
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if !tenancy.ValidModelName(name) {
			continue
		}
		there := slices.ContainsFunc(h.routes, func(r houseRoute) bool { return r.UpstreamModel == name || r.model == name })
		m.Names = append(m.Names, providers.ImportName{Name: name, There: there})
	}
	return nil
}

// importModels takes over what was ticked. Names that no provider could have are refused as a whole: no form sends them.
func (p *Panel) importModels(c *fiber.Ctx) error {
	m, err := p.importModel(c)
	if err != nil {
		return err
	}
	f := readForm(c)
	names := f.All("models")
	if len(names) == 0 {
		if err := p.fillImport(c, &m); err != nil {
			return err
		}
		m.Error = at(c).Say.T("providers.error.nothing_ticked")
		return p.invalid(c, providers.ImportListPage(m), providers.ImportList(m))
	}
	for _, name := range names {
		if !tenancy.ValidModelName(name) {
			return fault.New(fault.Invalid, "models.error.name", "value", short(name, 80))
		}
	}
	id, err := idParam(c, "id")
	if err != nil {
		return err
	}
	added, err := p.Providers.ImportModels(c.UserContext(), id, names)
	if err != nil {
		return err
	}
	return p.done(c, "/models?status=unpriced", "providers.imported", "n", len(added))
}
