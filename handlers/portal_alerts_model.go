package handlers

import (
	"context"
	"slices"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/usage"
	"github.com/fila-ia/filaia/views/alerts"
	"github.com/fila-ia/filaia/views/ui"
)

// settingGroups are the headings under which people look for a topic.
func settingGroups() []ruleGroup {
	return []ruleGroup{
		{"usage", []alert.Metric{alert.InputQuota, alert.OutputQuota, alert.Forecast, alert.SuddenChange}},
		{"money", []alert.Metric{alert.Overage, alert.SpendCap}},
		{"safety", []alert.Metric{alert.ErrorRate, alert.LatencyP95, alert.KeyAddress, alert.KeyUnused}},
	}
}

// model is the page of a customer's settings.
func (h alertSettings) model(c *fiber.Ctx, tenantID int64) (m alerts.SettingsModel, err error) {
	ctx := c.UserContext()
	mailing, err := h.TenantAlerts.TenantMailing(ctx, tenantID)
	if err != nil {
		return m, err
	}
	m = alerts.SettingsModel{
		CSRF: h.formToken(c), Base: h.base(tenantID), Portal: h.portal, MayEdit: h.mayEdit(c), Email: mailing.Email, Language: string(mailing.Language), Now: h.Now(),
	}
	for _, s := range mailing.Silent {
		m.Silent = append(m.Silent, alerts.Silenced{Address: s.Address, Metric: string(s.Metric), At: s.At, Back: h.mayEdit(c) && h.maySpeakFor(c, mailing, s.Address)})
	}
	rules, covered, err := h.read(ctx, tenantID)
	if err != nil {
		return m, err
	}
	if m.Outside, err = h.outside(c, tenantID, namedBy(rules), !h.portal, h.askPath(c, tenantID)); err != nil {
		return m, err
	}
	named, err := h.channelsNamed(ctx, tenantID)
	if err != nil {
		return m, err
	}
	plan, err := h.plan(ctx, tenantID)
	if err != nil {
		return m, err
	}
	d := decided{mayEdit: m.MayEdit, outside: m.Outside, rules: rules, covered: covered, named: named, plan: plan, base: m.Base, capPath: tenantPath(tenantID) + "/spend-cap"}
	if h.portal {
		d.capPath = portalSpendCapPath
	}
	m.Groups = d.groups(at(c).Say, alert.Customer)
	if !h.portal {
		m.Team = d.groups(at(c).Say, alert.Operator)
	}
	return m, nil
}

// plan is what the customer's own plan includes; nil where there is none.
func (h alertSettings) plan(ctx context.Context, tenantID int64) (*usage.Allowance, error) {
	list, err := h.Portal.Allowances(ctx, tenantID, fullestPlans)
	if err != nil {
		return nil, err
	}
	for i := range list {
		if list[i].KeyName == "" {
			return &list[i], nil
		}
	}
	return nil, nil
}

// channelsNamed are the channels that the rules may tell through.
func (h alertSettings) channelsNamed(ctx context.Context, tenantID int64) (map[int64]alert.Destination, error) {
	named := map[int64]alert.Destination{}
	owners := []int64{tenantID}
	if !h.portal {
		owners = append(owners, 0)
	}
	for _, owner := range owners {
		list, err := h.TenantAlerts.Channels(ctx, owner)
		if err != nil {
			return nil, err
		}
		for _, d := range list {
			named[d.ID] = d
		}
	}
	return named, nil
}

// decided is what the rows of the page are made of.
type decided struct {
	mayEdit bool
	rules   []alert.Rule
	covered alert.Covered
	named   map[int64]alert.Destination
	outside []alerts.Outside // not told
	plan    *usage.Allowance
	base    string
	capPath string
}

func (d decided) groups(say i18n.Printer, a alert.Audience) []alerts.SettingGroup {
	topics := alert.Topics(a)
	var groups []alerts.SettingGroup
	for _, g := range settingGroups() {
		group := alerts.SettingGroup{Key: g.key}
		for _, metric := range g.metrics {
			topic := alert.Topic{Audience: a, Metric: metric}
			if !slices.Contains(topics, topic) {
				continue
			}
			group.Rows = append(group.Rows, d.row(say, topic))
			for _, key := range d.ownKeys(topic) {
				group.Rows = append(group.Rows, d.row(say, key))
			}
		}
		groups = append(groups, group)
	}
	return groups
}

// ownKeys are the keys that have rules of their own about the topic.
func (d decided) ownKeys(t alert.Topic) (keys []alert.Topic) {
	for _, r := range d.rules {
		key := alert.Topic{Audience: t.Audience, Metric: t.Metric, KeyID: r.KeyID}
		if r.Scope == alert.Key && r.Audience == t.Audience && r.Metric == t.Metric && !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys
}

func (d decided) row(say i18n.Printer, t alert.Topic) alerts.Setting {
	s := alert.Deciding(d.rules, d.covered, t)
	row := alerts.Setting{Audience: string(t.Audience), Metric: string(t.Metric), KeyID: keyText(t.KeyID), Href: topicPath(d.base, t), On: s.Enabled(), Own: s.Own}
	for _, r := range s.Rules {
		if !s.Own && t.Audience == alert.Customer { // a wider rule's own addresses are not the customer's
			r.To.Addresses, r.Escalation = nil, nil
		}
		if r.AsksFirst() {
			r.To.Addresses = markedAddresses(say, r.To.Addresses, d.outside)
		}
		row.Key = r.KeyName
		row.Rules = append(row.Rules, ruleModel(r, d.named))
	}
	if len(s.Rules) > 0 && s.Rules[0].Scope != alert.Key {
		row.Key = ""
	}
	if d.plan != nil && t.KeyID == 0 {
		switch {
		case d.plan.Hard && (t.Metric == alert.Overage || t.Metric == alert.SpendCap):
			row.Never = say.T("tenant_alerts.never.blocks", "plan", d.plan.PlanName)
		case t.Metric == alert.SpendCap && !d.plan.Capped():
			if row.Never = say.T("tenant_alerts.never.no_cap"); d.mayEdit {
				row.Act = &ui.Link{Label: say.T("spend.define"), Href: d.capPath}
			}
		}
	}
	return row
}
