package handlers

import (
	"slices"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/views/alerts"
	"github.com/fila-ia/filaia/views/ui"
)

func (h alertSettings) edit(c *fiber.Ctx, s settled) error {
	r := s.Draft()
	m, err := h.form(c, s, r)
	if err != nil {
		return err
	}
	fillSetting(c, &m, r)
	return h.render(c, alerts.SettingPage(m), nil)
}

// form is the page without what may be typed.
func (h alertSettings) form(c *fiber.Ctx, s settled, r alert.Rule) (alerts.SettingForm, error) {
	say := at(c).Say
	mailing, err := h.TenantAlerts.TenantMailing(c.UserContext(), s.tenantID)
	if err != nil {
		return alerts.SettingForm{}, err
	}
	kind, _ := s.Metric.Kind()
	base := h.base(s.tenantID)
	m := alerts.SettingForm{
		Portal: h.portal, Crumbs: h.settingCrumbs(c, s.tenantID, mailing.Company), Back: base, Unit: string(r.Unit), Values: map[string]string{}, Direction: kind.Both,
		Setting: decided{rules: s.rules, covered: s.covered, base: base}.row(say, s.Topic), Several: s.Own && len(s.Rules) > 1,
		Spread: s.Audience == alert.Customer && s.KeyID == 0,
	}
	if s.Own {
		m.Stamp = strconv.FormatInt(r.UpdatedAt.UnixMicro(), 10)
	}
	title, active := say.T("tenant_alerts.topic."+string(s.Metric)), "alerts"
	if !h.portal {
		active = "tenants"
	}
	m.Frame = h.frame(c, title, active)
	if r.Window > 0 {
		m.Window = alerts.Minutes(say, r.Window)
	}
	m.Prefix, m.Suffix = thresholdAffixes(c, r)
	for _, role := range alert.RolesFor(s.Audience) {
		m.People = append(m.People, ui.Option{Value: string(role), Label: say.T("tenant_alerts.role_choice." + string(role)), Checked: slices.Contains(r.To.Roles, role)})
	}
	if r.AsksFirst() {
		if m.Outside, err = h.outside(c, s.tenantID, r.Named(), !h.portal, h.askPath(c, s.tenantID)); err != nil {
			return m, err
		}
	}
	owner := int64(0)
	if m.AddChannel = "/alerts/channels/new"; s.Audience == alert.Customer {
		company := ui.Option{Value: "contacts", Label: say.T("tenant_alerts.company_choice"), Text: mailing.Email, Checked: r.To.Contacts}
		if mailing.Email == "" {
			company.Text = say.T("tenant_alerts.no_email")
		}
		m.People, owner, m.AddChannel = append(m.People, company), s.tenantID, ""
		if h.portal {
			m.AddChannel = "/portal/alerts/channels/new"
		}
	}
	return m, h.offerChannels(c, &m, r, owner)
}

func (h alertSettings) offerChannels(c *fiber.Ctx, m *alerts.SettingForm, r alert.Rule, owner int64) error {
	list, err := h.TenantAlerts.Channels(c.UserContext(), owner)
	if err != nil {
		return err
	}
	for _, d := range list {
		chosen := slices.Contains(r.To.Channels, d.ID)
		if !d.Active && !chosen {
			continue
		}
		option := ui.Option{Value: strconv.FormatInt(d.ID, 10), Label: d.Name, Text: channelNote(at(c).Say, d), Checked: chosen}
		if !d.Active {
			option.Label = at(c).Say.T("alerts.channel_off", "name", d.Name)
		}
		m.Channels = append(m.Channels, option)
	}
	return nil
}

// fillSetting puts the rule into the form.
func fillSetting(c *fiber.Ctx, m *alerts.SettingForm, r alert.Rule) {
	v := m.Values
	quiet, daily := alert.Quiet{From: usualQuietFrom, Until: usualQuietUntil}, usualDaily
	if r.Quiet != nil {
		quiet = *r.Quiet
	}
	if r.DailyAt != nil {
		daily = *r.DailyAt
	}
	v["quiet_from"], v["quiet_until"], v["daily_at"] = alerts.Clock(int(quiet.From)), alerts.Clock(int(quiet.Until)), alerts.Clock(int(daily))
	v["addresses"], v["direction"] = strings.Join(r.To.Addresses, "\n"), string(r.Direction)
	if v["direction"] == "" {
		v["direction"] = string(alert.Up)
	}
	// Who opens a form of what is off wants it on.
	for name, on := range map[string]bool{"enabled": true, "quiet": r.Quiet != nil, "daily": r.DailyAt != nil, "last_at_once": r.LastAtOnce} {
		if on {
			v[name] = "on"
		}
	}
	for _, t := range r.Thresholds {
		m.Thresholds = append(m.Thresholds, typedAmount(at(c).Say, r.Metric, r.Unit, t))
	}
	m.Thresholds = roomForMore(m.Thresholds, r.Metric)
}

// roomForMore adds empty fields, so that another threshold needs no script.
func roomForMore(typed []string, m alert.Metric) []string {
	most := alert.MaxThresholds
	if m == alert.KeyAddress {
		most = 1
	}
	for n := max(2, len(typed)+1); len(typed) < min(n, most); {
		typed = append(typed, "")
	}
	return typed
}

func (h alertSettings) save(c *fiber.Ctx, s settled) error {
	f := readForm(c)
	t, err := h.readSetting(c, f, s)
	if err != nil {
		return err
	}
	rule := t.Rule // Validate puts in order, and the form shows what was typed
	rule.TenantID = s.tenantID
	if err = f.Join(rule.Validate()); err == nil {
		rules := []alert.Rule{t.Rule}
		if f.Checked("spread") && s.Audience == alert.Customer && s.KeyID == 0 {
			rules = append(rules, spread(s, t.Rule)...)
		}
		if err = h.TenantAlerts.SaveTenantAlerts(c.UserContext(), s.tenantID, rules...); err == nil {
			return h.done(c, h.base(s.tenantID), "tenant_alerts.saved", "topic", at(c).Say.T("tenant_alerts.topic."+string(s.Metric)))
		}
	}
	return h.refuse(c, f, s, t, err)
}

// readSetting reads the form over what the topic's rule is now: what the form has no field for stays.
func (h alertSettings) readSetting(c *fiber.Ctx, f *form, s settled) (typedRule, error) {
	base := s.Draft()
	t := typedRule{Rule: base}
	t.Enabled, t.LastAtOnce, t.UpdatedAt = f.Checked("enabled"), f.Checked("last_at_once"), stampOf(f)
	t.To, t.Thresholds, t.Quiet, t.DailyAt = alert.Recipients{}, nil, nil, nil
	if kind, _ := s.Metric.Kind(); kind.Both {
		t.Direction = alert.Direction(f.Text("direction"))
	}
	t.readThresholds(f)
	t.readRecipients(f)
	t.readTimes(f)
	t.Escalation, t.To.Language = base.Escalation, base.To.Language
	if s.Audience == alert.Customer {
		mailing, err := h.TenantAlerts.TenantMailing(c.UserContext(), s.tenantID)
		if err != nil {
			return t, err
		}
		t.To.Language = mailing.Language
	}
	return t, nil
}

// spread gives the other topics that are on the same people and times.
func spread(s settled, like alert.Rule) (rules []alert.Rule) {
	for _, topic := range alert.Topics(s.Audience) {
		other := alert.Deciding(s.rules, s.covered, topic)
		if topic == s.Topic || !other.Enabled() {
			continue
		}
		r := other.Draft()
		r.To, r.Quiet, r.DailyAt, r.LastAtOnce = like.To, like.Quiet, like.DailyAt, like.LastAtOnce
		rules = append(rules, r)
	}
	return rules
}

// refuse shows the form again with what was typed.
func (h alertSettings) refuse(c *fiber.Ctx, f *form, s settled, t typedRule, cause error) error {
	if !rejected(cause) {
		return cause
	}
	m, err := h.form(c, s, t.Rule)
	if err != nil {
		return err
	}
	if s.Own || f.Text("stamp") != "" {
		m.Stamp = f.Text("stamp")
	}
	for _, name := range []string{"enabled", "direction", "addresses", "quiet", "quiet_from", "quiet_until", "daily", "daily_at", "last_at_once", "spread"} {
		m.Values[name] = f.Text(name)
	}
	m.Thresholds = roomForMore(t.thresholds, s.Metric)
	m.Errors, m.Error = fieldErrors(at(c).Say, cause)
	if m.Errors["quiet"] != "" && m.Errors["quiet_from"] == "" {
		m.Errors["quiet_from"] = m.Errors["quiet"]
		delete(m.Errors, "quiet")
	}
	if m.Errors["contacts"] != "" && m.Errors["roles"] == "" {
		m.Errors["roles"] = m.Errors["contacts"]
	}
	return h.invalid(c, alerts.SettingPage(m), nil)
}
