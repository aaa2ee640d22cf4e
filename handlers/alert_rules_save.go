package handlers

import (
	"slices"
	"strconv"

	"github.com/a-h/templ"
	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/views/alerts"
)

// newRule begins with a metric from the address, or as a copy of another rule.
func (p *Panel) newRule(c *fiber.Ctx) error {
	r := usualRule(alert.InputQuota, alert.Operator)
	if metric := alert.Metric(c.Query("metric")); metric != "" {
		if _, known := metric.Kind(); known {
			r = usualRule(metric, alert.Operator)
		}
	}
	if from, err := strconv.ParseInt(c.Query("from"), 10, 64); err == nil {
		if r, err = p.AlertRules.AlertRule(c.UserContext(), from); err != nil {
			return err
		}
		r.ID = 0
	}
	return p.showRuleForm(c, 0, r)
}

func (p *Panel) editRule(c *fiber.Ctx) error {
	id, err := idParam(c, "id")
	if err != nil {
		return err
	}
	r, err := p.AlertRules.AlertRule(c.UserContext(), id)
	if err != nil {
		return err
	}
	return p.showRuleForm(c, id, r)
}

func (p *Panel) showRuleForm(c *fiber.Ctx, id int64, r alert.Rule) error {
	m, err := p.ruleFormModel(c, id, r)
	if err != nil {
		return err
	}
	if m.Words, err = p.wordsOf(c.UserContext(), readForm(c), &typedRule{Rule: r}); err != nil {
		return err
	}
	return p.render(c, alerts.FormPage(m), nil)
}

func (p *Panel) createRule(c *fiber.Ctx) error {
	f := readForm(c)
	t := readRule(f)
	err := p.checkRule(f, &t)
	if err == nil {
		if _, err = p.AlertRules.CreateAlertRule(c.UserContext(), t.Rule); err == nil {
			return p.done(c, rulesPath, "alerts.created")
		}
	}
	return p.refuseRule(c, f, t, 0, err)
}

func (p *Panel) updateRule(c *fiber.Ctx) error {
	id, err := idParam(c, "id")
	if err != nil {
		return err
	}
	if _, err := p.AlertRules.AlertRule(c.UserContext(), id); err != nil {
		return err
	}
	f := readForm(c)
	t := readRule(f)
	t.ID, t.UpdatedAt = id, stampOf(f)
	if err = p.checkRule(f, &t); err == nil {
		if _, err = p.AlertRules.UpdateAlertRule(c.UserContext(), t.Rule); err == nil {
			return p.done(c, rulesPath, "alerts.saved")
		}
	}
	return p.refuseRule(c, f, t, id, err)
}

// checkRule tells what cannot be read or accepted. A form whose fields were made for another choice is shown again first: what is
// usual for the new one was not seen by anybody.
func (p *Panel) checkRule(f *form, t *typedRule) error {
	if t.reshaped {
		return fault.New(fault.Invalid, "alerts.error.reshaped")
	}
	rule := t.Rule // Validate puts in order, and the form shows what was typed
	return f.Join(rule.Validate())
}

// refuseRule shows the form again with what was typed.
func (p *Panel) refuseRule(c *fiber.Ctx, f *form, t typedRule, id int64, cause error) error {
	if !rejected(cause) {
		return cause
	}
	m, err := p.typedRuleForm(c, f, t, id)
	if err != nil {
		return err
	}
	m.Errors, m.Error = fieldErrors(at(c).Say, cause)
	m.Twin = twinPath(cause)
	openFolds(&m)
	return p.invalid(c, alerts.FormPage(m), nil)
}

// openFolds shows what is wrong, wherever it stands.
func openFolds(m *alerts.FormModel) {
	for _, name := range []string{"quiet", "quiet_from", "quiet_until", "daily_at", "escalate_after", "escalate_roles", "escalate_addresses", "escalate_to", "rearm"} {
		m.TimesOpen = m.TimesOpen || m.Errors[name] != ""
	}
	m.MoreOpen = m.MoreOpen || m.Errors["name"] != ""
	if m.Errors["quiet"] != "" && m.Errors["quiet_from"] == "" {
		m.Errors["quiet_from"] = m.Errors["quiet"]
		delete(m.Errors, "quiet")
	}
	if m.Errors["contacts"] != "" && m.Errors["roles"] == "" {
		m.Errors["roles"] = m.Errors["contacts"]
	}
}

// typedRuleForm is the form with what was typed.
func (p *Panel) typedRuleForm(c *fiber.Ctx, f *form, t typedRule, id int64) (alerts.FormModel, error) {
	m, err := p.ruleFormModel(c, id, t.Rule)
	if err != nil {
		return m, err
	}
	if id != 0 {
		m.Stamp = f.Text("stamp")
	}
	for _, name := range []string{"name", "addresses", "quiet_from", "quiet_until", "daily_at", "escalate_after", "escalate_addresses"} {
		m.Values[name] = f.Text(name)
	}
	if !t.remetered {
		m.Values["window"], m.Values["rearm"] = f.Text("window"), f.Text("rearm")
	}
	if !t.reshaped {
		m.Thresholds = t.thresholds
	}
	if len(m.Thresholds) == 0 {
		m.Thresholds = []string{""}
	}
	if len(m.Thresholds) > alert.MaxThresholds {
		m.Thresholds = slices.Clone(m.Thresholds) // shown all, and told to be too many
	}
	m.Words, err = p.wordsOf(c.UserContext(), f, &t)
	return m, err
}

// reshapeRule answers another choice in the form with the fields that belong to it. Nothing is wrong yet with a form that is half
// filled in.
func (p *Panel) reshapeRule(c *fiber.Ctx) error {
	f := readForm(c)
	t := readRule(f)
	if _, known := t.Metric.Kind(); !known {
		meter(&t.Rule)
		t.reshaped, t.remetered = true, true
	}
	if t.Scope != alert.Key || t.TenantID == 0 {
		t.KeyID = 0
	}
	m, err := p.typedRuleForm(c, f, t, f.id("id"))
	if err != nil {
		return err
	}
	if f.Checked("more") && len(m.Thresholds) < alert.MaxThresholds {
		m.Thresholds = append(m.Thresholds, "")
	}
	m.TimesOpen, m.MoreOpen = m.TimesOpen || t.Quiet != nil || t.DailyAt != nil || t.Escalation != nil, m.MoreOpen || f.Text("name") != ""
	return p.render(c, alerts.FormPage(m), alerts.FormFields(at(c).Say, m))
}

// ruleWords answers the form while one types.
func (p *Panel) ruleWords(c *fiber.Ctx) error {
	f := readForm(c)
	t := readRule(f)
	words, err := p.wordsOf(c.UserContext(), f, &t)
	if err != nil {
		return err
	}
	parts := []templ.Component{alerts.WordsText(at(c).Say, words)}
	if mark := f.Text("replayed"); mark != "" && mark != replayMark(t.Rule) {
		parts = append(parts, alerts.ReplayGone(at(c).Say))
	}
	part := templ.Join(parts...)
	return p.render(c, part, part)
}
