package handlers

import (
	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
	"github.com/fila-ia/filaia/views/keys"
	"github.com/fila-ia/filaia/views/ui"
)

// showKey is the page of one key, with what it did in the last thirty days.
func (p *Panel) showKey(c *fiber.Ctx) error {
	k, err := p.keyParam(c)
	if err != nil {
		return err
	}
	v := at(c)
	shares, err := p.Dashboard.UsageByKey(c.UserContext(), k.TenantID, usage.LastDays(p.Now(), chartDays, p.Zone))
	if err != nil {
		return err
	}
	var used usage.Totals
	for _, s := range shares {
		if s.ID == k.ID {
			used = s.Totals
		}
	}
	m := keys.ShowModel{
		Frame: p.frame(c, k.Name, "keys"), Key: panelKey(k, p.Now()), MayEdit: v.User.Role.MayEdit(), Now: p.Now(), Figures: keyFigures(v.Say, used),
	}
	return p.render(c, keys.ShowPage(m), nil)
}

func keyFigures(say i18n.Printer, t usage.Totals) []ui.StatModel {
	success := say.T("keys.figure.no_calls")
	if rate, ok := t.SuccessRate(); ok {
		success = say.T("keys.figure.success", "rate", say.Percent(rate))
	}
	rate, note := hitRate(say, t)
	return []ui.StatModel{
		{Label: say.T("usage.figure.requests"), Value: say.Compact(t.Requests), Exact: say.Int(t.Requests), Note: success},
		{Label: say.T("usage.cache.billed"), Value: say.Compact(t.Tokens.Total()), Exact: say.Int(t.Tokens.Total()), Note: say.T("usage.shares.exact", "input", t.Tokens.Input, "output", t.Tokens.Output)},
		{Label: say.T("usage.cache.served"), Value: say.Compact(t.Served()), Exact: say.Int(t.Served()), Note: say.T("usage.shares.exact", "input", t.ServedInput, "output", t.ServedOutput)},
		{Label: say.T("usage.cache.rate"), Value: rate, Note: note},
	}
}

func (p *Panel) keyLimitsForm(c *fiber.Ctx) error {
	k, err := p.keyParam(c)
	if err != nil {
		return err
	}
	m := p.limitsModel(c, k)
	m.Values["cache"] = string(k.Cache)
	fillRates(at(c).Say, m.Values, k.Rates)
	return p.render(c, keys.LimitsPage(m), nil)
}

// limitsModel is the form's page without its values.
func (p *Panel) limitsModel(c *fiber.Ctx, k tenancy.Key) keys.LimitsModel {
	return keys.LimitsModel{
		Frame: p.frame(c, at(c).Say.T("keys.limits_title", "name", k.Name), "keys"), Key: panelKey(k, p.Now()), Values: map[string]string{},
	}
}

func (p *Panel) limitKey(c *fiber.Ctx) error {
	k, err := p.keyParam(c)
	if err != nil {
		return err
	}
	f := readForm(c)
	rates, cache := readRates(f), tenancy.CacheMode(f.Text("cache"))
	if err = f.Join(tenancy.ValidateKeyLimits(rates, cache)); err == nil {
		err = p.Keys.UpdateKeyLimits(c.UserContext(), k.ID, rates, cache)
	}
	if rejected(err) {
		m := p.limitsModel(c, k)
		for _, name := range []string{"rpm", "tpm", "parallel", "cache"} {
			m.Values[name] = f.Text(name)
		}
		m.Errors, m.Error = fieldErrors(at(c).Say, err)
		return p.invalid(c, keys.LimitsPage(m), nil)
	}
	if err != nil {
		return err
	}
	return p.done(c, keyPath(k.ID), "keys.limits_saved")
}
