package handlers

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/views/alerts"
	"github.com/fila-ia/filaia/views/ui"
)

// ruleFormModel is the form of the rule r, filled in. id is 0 for a new one.
func (p *Panel) ruleFormModel(c *fiber.Ctx, id int64, r alert.Rule) (alerts.FormModel, error) {
	say := at(c).Say
	kind, _ := r.Metric.Kind()
	m := alerts.FormModel{
		Shape: ruleShape(r), Values: map[string]string{}, Whole: r.OfWhole(), OwnPlan: r.Metric.OfPlan(), Direction: kind.Both, Window: kind.Window > 0,
		Rearm: kind.Repeats == alert.PerEpisode, Timed: r.Unit == alert.Seconds || r.Unit == alert.Millis,
	}
	title := say.T("alerts.new")
	if id != 0 {
		m.ID, m.Stamp, title = strconv.FormatInt(id, 10), strconv.FormatInt(r.UpdatedAt.UnixMicro(), 10), say.T("alerts.edit_title")
	}
	m.Frame = p.frame(c, title, "alerts")
	for _, g := range ruleGroups() {
		group := alerts.MetricGroup{Label: say.T("alerts.about." + g.key)}
		for _, metric := range g.metrics {
			group.Options = append(group.Options, ui.Option{Value: string(metric), Label: say.T("alerts.metric." + string(metric))})
		}
		m.Metrics = append(m.Metrics, group)
	}
	for _, a := range kind.Audiences {
		m.Audiences = append(m.Audiences, ui.Option{Value: string(a), Label: say.T("alerts.audience_card." + string(a)), Text: say.T("alerts.audience_card." + string(a) + "_text")})
	}
	for _, s := range kind.Scopes {
		label := say.T("alerts.scope." + string(s))
		if s == alert.All && (&alert.Rule{Metric: r.Metric, Audience: r.Audience, Scope: s}).OfWhole() {
			label = say.T("alerts.scope.all_whole")
		}
		m.Scopes = append(m.Scopes, ui.Option{Value: string(s), Label: label})
	}
	if len(kind.Units) > 1 {
		for _, u := range kind.Units {
			m.Units = append(m.Units, ui.Option{Value: string(u), Label: say.T("alerts.unit." + string(u))})
		}
	}
	fillRule(c, &m, r)
	if m.AsksFirst = r.AsksFirst(); m.AsksFirst && r.TenantID != 0 {
		var err error
		if m.Outside, err = p.outside(c, r.TenantID, r.Named(), true, tenantPath(r.TenantID)+"/alerts/ask"); err != nil {
			return m, err
		}
	}
	return m, p.offerToRule(c, &m, r)
}

// fillRule puts the rule into the form.
func fillRule(c *fiber.Ctx, m *alerts.FormModel, r alert.Rule) {
	say, v := at(c).Say, m.Values
	id := func(n int64) string {
		if n == 0 {
			return ""
		}
		return strconv.FormatInt(n, 10)
	}
	v["name"], v["metric"], v["audience"], v["scope"], v["unit"] = r.Name, string(r.Metric), string(r.Audience), string(r.Scope), string(r.Unit)
	v["plan"], v["tenant"], v["key"], v["direction"] = id(r.PlanID), id(r.TenantID), id(r.KeyID), string(r.Direction)
	v["window"], v["rearm"] = say.Int(int64(r.Window)), say.Int(int64(r.Rearm))
	v["addresses"], v["language"] = strings.Join(r.To.Addresses, "\n"), string(r.To.Language)
	quiet, daily, escalation := alert.Quiet{From: usualQuietFrom, Until: usualQuietUntil}, usualDaily, alert.Escalation{After: usualEscalation}
	if r.Quiet != nil {
		quiet = *r.Quiet
	}
	if r.DailyAt != nil {
		daily = *r.DailyAt
	}
	if r.Escalation != nil {
		escalation = *r.Escalation
	}
	v["quiet_from"], v["quiet_until"], v["daily_at"] = alerts.Clock(int(quiet.From)), alerts.Clock(int(quiet.Until)), alerts.Clock(int(daily))
	v["escalate_after"], v["escalate_addresses"] = say.Int(int64(escalation.After)), strings.Join(escalation.Addresses, "\n")
	for name, on := range map[string]bool{"quiet": r.Quiet != nil, "daily": r.DailyAt != nil, "escalate": r.Escalation != nil,
		"last_at_once": r.LastAtOnce, "enabled": r.Enabled} {
		if on {
			v[name] = "on"
		}
	}
	for _, t := range r.Thresholds {
		m.Thresholds = append(m.Thresholds, typedAmount(say, r.Metric, r.Unit, t))
	}
	m.Prefix, m.Suffix = thresholdAffixes(c, r)
	for _, role := range alert.RolesFor(r.Audience) {
		label := say.T("alerts.role_choice." + string(role))
		m.Roles = append(m.Roles, ui.Option{Value: string(role), Label: label, Checked: slices.Contains(r.To.Roles, role)})
		m.EscalateRoles = append(m.EscalateRoles, ui.Option{Value: string(role), Label: label, Checked: slices.Contains(escalation.Roles, role)})
	}
	if r.Audience == alert.Customer {
		m.Roles = append(m.Roles, ui.Option{Value: "contacts", Label: say.T("alerts.role_choice.contacts"), Checked: r.To.Contacts})
	}
	m.TimesOpen = r.Quiet != nil || r.DailyAt != nil || r.Escalation != nil
	m.MoreOpen = r.Name != "" || !r.Enabled
}

// thresholdAffixes stand before and after what is typed.
func thresholdAffixes(c *fiber.Ctx, r alert.Rule) (prefix, suffix string) {
	say := at(c).Say
	switch {
	case r.Metric == alert.SuddenChange:
		return "", say.T("alerts.suffix.times")
	case r.Unit == alert.Percent:
		return "", "%"
	case r.Unit == alert.BRL:
		return "R$", ""
	case r.Unit == alert.USD:
		return "US$", ""
	case r.Unit == alert.Tokens || r.Unit == alert.Days:
		return "", say.T("alerts.suffix." + string(r.Unit))
	case r.Metric == alert.Provider429:
		return "", say.T("alerts.suffix.calls")
	case r.Metric == alert.KeyAddress:
		return "", say.T("alerts.suffix.addresses")
	}
	return "", ""
}

// offerToRule gives what the rule's scope can be chosen from, and its channels.
func (p *Panel) offerToRule(c *fiber.Ctx, m *alerts.FormModel, r alert.Rule) (err error) {
	ctx := c.UserContext()
	switch r.Scope {
	case alert.Plan:
		m.Plans, err = p.planOptions(ctx, r)
	case alert.Tenant, alert.Key:
		if m.Tenants, err = p.tenantOptions(ctx, r); err == nil && r.Scope == alert.Key && r.TenantID != 0 {
			m.Keys, err = p.keyOptions(ctx, r)
		}
	}
	if err != nil {
		return err
	}
	return p.channelOptions(c, m, r)
}

func (p *Panel) planOptions(ctx context.Context, r alert.Rule) ([]ui.Option, error) {
	onSale, err := p.Plans.PlansOnSale(ctx)
	if err != nil {
		return nil, err
	}
	var options []ui.Option
	for _, plan := range onSale {
		options = append(options, ui.Option{Value: strconv.FormatInt(plan.ID, 10), Label: plan.Name})
	}
	return withChosen(options, r.PlanID, r.PlanName), nil
}

func (p *Panel) tenantOptions(ctx context.Context, r alert.Rule) ([]ui.Option, error) {
	names, err := p.Users.TenantNames(ctx)
	if err != nil {
		return nil, err
	}
	options := make([]ui.Option, len(names))
	for i, name := range names {
		options[i] = ui.Option{Value: strconv.FormatInt(name.ID, 10), Label: name.Name}
	}
	return withChosen(options, r.TenantID, r.TenantName), nil
}

// maxKeyPages bounds what a choice of keys offers; a customer with more than five hundred is not chosen from by eye.
const maxKeyPages = 10

// keyOptions are the tenant's working keys that fit: for what a plan includes, only those with a plan of their own.
func (p *Panel) keyOptions(ctx context.Context, r alert.Rule) ([]ui.Option, error) {
	var options []ui.Option
	for page := 1; page <= maxKeyPages; page++ {
		keys, err := p.Keys.ListKeys(ctx, tenancy.ListQuery{TenantID: r.TenantID, Status: string(tenancy.KeyActive), Sort: "name", Page: page})
		if err != nil {
			return nil, err
		}
		for _, k := range keys.Items {
			if k.PlanID != 0 || !r.Metric.OfPlan() {
				options = append(options, ui.Option{Value: strconv.FormatInt(k.ID, 10), Label: k.Name + " · " + k.Hint})
			}
		}
		if page*tenancy.PageSize >= keys.Total {
			break
		}
	}
	return withChosen(options, r.KeyID, r.KeyName), nil
}

// withChosen keeps what a rule has chosen among the options though it is not on offer any more.
func withChosen(options []ui.Option, id int64, name string) []ui.Option {
	value := strconv.FormatInt(id, 10)
	if id == 0 || name == "" || slices.ContainsFunc(options, func(o ui.Option) bool { return o.Value == value }) {
		return options
	}
	return append(options, ui.Option{Value: value, Label: name})
}

func (p *Panel) channelOptions(c *fiber.Ctx, m *alerts.FormModel, r alert.Rule) error {
	owner := int64(0)
	if r.Audience == alert.Customer {
		if r.Scope == alert.All || r.Scope == alert.Plan {
			m.ChannelsGiven = alerts.ScopeTooWide
			return nil
		}
		owner = r.TenantID
		if m.ChannelsGiven = alerts.NotOursToAdd; owner == 0 {
			return nil
		}
	} else {
		m.ChannelsGiven = alerts.NoChannels
	}
	list, err := p.AlertRules.RuleChannels(c.UserContext(), owner)
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
		m.Channels, m.ChannelsGiven = append(m.Channels, option), alerts.ChannelsShown
	}
	return nil
}

// wordsOf is the rule in words. What it covers is looked up by id, since a form knows no names; until it is chosen, the form
// does not say enough.
func (p *Panel) wordsOf(ctx context.Context, f *form, t *typedRule) (alerts.Words, error) {
	unreadable := problemsOf(f.Err())
	rule := t.Rule
	err := rule.Validate()
	wrong := problemsOf(err)
	for _, name := range []string{"metric", "unit", "thresholds", "window", "direction", "scope", "plan", "tenant", "key"} {
		if _, bad := unreadable[name]; bad {
			return alerts.Words{}, nil
		}
		if _, bad := wrong[name]; bad {
			return alerts.Words{}, nil
		}
	}
	if err := p.nameCovered(ctx, &rule); err != nil {
		if fault.Is(err, fault.NotFound) {
			return alerts.Words{}, nil
		}
		return alerts.Words{}, err
	}
	t.PlanName, t.TenantName, t.KeyName = rule.PlanName, rule.TenantName, rule.KeyName
	named, err := p.AlertRules.ChannelsNamed(ctx, rule.To.Channels)
	if err != nil {
		return alerts.Words{}, err
	}
	words := alerts.Words{OK: true, Rule: ruleModel(rule, named)}
	if rule.ID == 0 {
		rule.ID = f.id("id")
	}
	words.Saving, err = p.onSaving(f.c, rule)
	return words, err
}

// nameCovered looks up the names of what the rule covers.
func (p *Panel) nameCovered(ctx context.Context, r *alert.Rule) error {
	if r.PlanID != 0 {
		plan, err := p.Plans.Plan(ctx, r.PlanID)
		if err != nil {
			return err
		}
		r.PlanName = plan.Name
	}
	if r.TenantID != 0 {
		tenant, err := p.Tenants.Tenant(ctx, r.TenantID)
		if err != nil {
			return err
		}
		r.TenantName = tenant.Name
	}
	if r.KeyID != 0 {
		key, err := p.Keys.Key(ctx, r.KeyID)
		if err != nil {
			return err
		}
		if key.TenantID != r.TenantID {
			return fault.New(fault.NotFound, "keys.error.not_found")
		}
		r.KeyName = key.Name
	}
	return nil
}

// stampOf reads when the rule was changed last as the form had it; zero where it does not say.
func stampOf(f *form) time.Time {
	micros, err := strconv.ParseInt(f.Text("stamp"), 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}
