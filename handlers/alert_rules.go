package handlers

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/views/alerts"
	"github.com/fila-ia/filaia/views/ui"
)

// AlertRuleStore keeps what is watched and who is told.
type AlertRuleStore interface {
	alertRuleReader
	alertRuleForesight
	alertRuleWriter
	Replay(ctx context.Context, rule alert.Rule, from, to time.Time) (alert.Replayed, error)
}

type alertRuleReader interface {
	AlertRule(ctx context.Context, id int64) (alert.Rule, error)
	ListAlertRules(ctx context.Context, q alert.RuleQuery) (tenancy.Page[alert.Listed], error)
	MissingAlertRules(ctx context.Context) (int, error)
	RuleChannels(ctx context.Context, tenantID int64) ([]alert.Destination, error)
	ChannelsNamed(ctx context.Context, ids []int64) (map[int64]alert.Destination, error)
}

type alertRuleWriter interface {
	CreateAlertRule(ctx context.Context, r alert.Rule) (alert.Rule, error)
	UpdateAlertRule(ctx context.Context, r alert.Rule) (alert.Rule, error)
	EnableAlertRule(ctx context.Context, id int64, on bool) (alert.Rule, error)
	DeleteAlertRule(ctx context.Context, id int64) error
	RestoreAlertRules(ctx context.Context) (int, error)
}

const rulesPath = "/alerts/rules"

func rulePath(id int64) string { return rulesPath + "/" + strconv.FormatInt(id, 10) }

// alertRules serves the rules of alerts.
func (p *Panel) alertRules(r fiber.Router) {
	r.Get(rulesPath, p.listRules)
	r.Post(rulesPath, p.createRule)
	r.Get(rulesPath+"/new", p.needEditor, p.newRule)
	r.Post(rulesPath+"/form", p.reshapeRule)
	r.Post(rulesPath+"/words", p.ruleWords)
	r.Post(rulesPath+"/replay", p.replayRule)
	r.Post(rulesPath+"/message", p.typedRuleMessage)
	r.Get(rulesPath+"/message/frame", p.ruleMessageFrame)
	r.Post(rulesPath+"/restore", p.restoreRules)
	r.Get(rulesPath+"/:id", p.needEditor, p.editRule)
	r.Post(rulesPath+"/:id", p.updateRule)
	r.Get(rulesPath+"/:id/message", p.ruleMessage)
	r.Post(rulesPath+"/:id/on", p.enableRule)
	r.Post(rulesPath+"/:id/off", p.disableRule)
	r.Post(rulesPath+"/:id/delete", p.deleteRule)
}

// ruleGroup is a heading under which people look for a metric.
type ruleGroup struct {
	key     string
	metrics []alert.Metric
}

func ruleGroups() []ruleGroup {
	return []ruleGroup{
		{"usage", []alert.Metric{alert.InputQuota, alert.OutputQuota, alert.Overage, alert.SpendCap, alert.Forecast, alert.SuddenChange}},
		{"quality", []alert.Metric{alert.ErrorRate, alert.LatencyP95}},
		{"providers", []alert.Metric{alert.ProviderCost, alert.BreakerOpen, alert.Provider429}},
		{"keys", []alert.Metric{alert.KeyUnused, alert.KeyAddress}},
		{"system", []alert.Metric{alert.QueueAge, alert.SpoolLag, alert.RateStale}},
	}
}

func (p *Panel) listRules(c *fiber.Ctx) error {
	v := at(c)
	q := alert.RuleQuery{ListQuery: listQuery(c), Audience: alert.Audience(c.Query("audience")), Scope: alert.Scope(c.Query("scope"))}
	for _, g := range ruleGroups() {
		if g.key == c.Query("about") {
			q.Metrics = g.metrics
		}
	}
	page, err := p.AlertRules.ListAlertRules(c.UserContext(), q)
	if err != nil {
		return err
	}
	m := alerts.RulesModel{Frame: p.frame(c, v.Say.T("alerts.title"), "alerts"), MayEdit: v.User.Role.MayEdit(), Table: rulesTable(c, page.Total)}
	if m.Rows, err = p.ruleRows(c.UserContext(), page.Items); err != nil {
		return err
	}
	if m.MayEdit {
		if m.Missing, err = p.AlertRules.MissingAlertRules(c.UserContext()); err != nil {
			return err
		}
		m.Table.Empty.Action = ui.LinkButton(ui.ButtonModel{Label: v.Say.T("alerts.new"), Icon: "plus", Href: rulesPath + "/new"})
	}
	return p.render(c, alerts.RulesPage(m), alerts.RulesTable(m))
}

func rulesTable(c *fiber.Ctx, total int) ui.TableModel {
	say := at(c).Say
	choice := func(value, key string) ui.Option { return ui.Option{Value: value, Label: say.T(key)} }
	about := []ui.Option{choice("", "alerts.filter.all_subjects")}
	for _, g := range ruleGroups() {
		about = append(about, choice(g.key, "alerts.about."+g.key))
	}
	return ui.TableModel{
		ID: "rules-table", Path: rulesPath, Query: queryValues(c), Label: say.T("alerts.title"), Search: say.T("alerts.search"),
		CountKey: "alerts.count", Total: int64(total),
		Columns: []ui.Column{
			{Label: say.T("alerts.col.rule")}, {Label: say.T("alerts.col.told")}, {Label: say.T("alerts.col.covers")},
			{Label: say.T("alerts.col.enabled")}, {Label: say.T("alerts.col.actions"), Hidden: true},
		},
		Filters: []ui.Filter{
			{Name: "audience", Label: say.T("alerts.filter.audience"), Options: []ui.Option{
				choice("", "alerts.filter.all_audiences"), choice("operator", "alerts.audience.operator"), choice("customer", "alerts.audience.customer"),
			}},
			{Name: "scope", Label: say.T("alerts.filter.scope"), Options: []ui.Option{
				choice("", "alerts.filter.all_scopes"), choice("all", "alerts.filter.scope.all"), choice("plan", "alerts.filter.scope.plan"),
				choice("tenant", "alerts.filter.scope.tenant"), choice("key", "alerts.filter.scope.key"),
			}},
			{Name: "about", Label: say.T("alerts.filter.about"), Options: about},
		},
		Empty: ui.EmptyModel{Icon: "bell", Title: say.T("alerts.empty_title"), Text: say.T("alerts.empty_text")},
	}
}

// ruleRows are rules as the list shows them, with the names of their channels.
func (p *Panel) ruleRows(ctx context.Context, rules []alert.Listed) ([]alerts.Rule, error) {
	var ids []int64
	for _, r := range rules {
		ids = append(ids, r.To.Channels...)
	}
	named, err := p.AlertRules.ChannelsNamed(ctx, ids)
	if err != nil {
		return nil, err
	}
	rows := make([]alerts.Rule, len(rules))
	for i, r := range rules {
		rows[i] = ruleModel(r.Rule, named)
		rows[i].Plans, rows[i].Tenants, rows[i].Keys, rows[i].Nearer = r.Instead.Plans, r.Instead.Tenants, r.Instead.Keys, r.Nearer
	}
	return rows, nil
}

// ruleModel is a rule as pages show it. named holds the channels.
func ruleModel(r alert.Rule, named map[int64]alert.Destination) alerts.Rule {
	m := alerts.Rule{
		ID: strconv.FormatInt(r.ID, 10), Name: r.Name, Audience: string(r.Audience), Scope: string(r.Scope), Plan: r.PlanName, Tenant: r.TenantName, Key: r.KeyName,
		Metric: string(r.Metric), Unit: string(r.Unit), Thresholds: r.Thresholds, Direction: string(r.Direction), Window: r.Window, Whole: r.OfWhole(),
		Enabled: r.Enabled, Roles: roleNames(r.To.Roles), Contacts: r.To.Contacts, Addresses: r.To.Addresses, LastAtOnce: r.LastAtOnce,
	}
	for _, id := range r.To.Channels {
		if d, ok := named[id]; ok && d.DeletedAt.IsZero() {
			m.Channels = append(m.Channels, alerts.Channel{Name: d.Name, Gone: !d.Active})
		}
	}
	if r.Quiet != nil {
		m.Quiet = &alerts.Span{From: int(r.Quiet.From), Until: int(r.Quiet.Until)}
	}
	if r.DailyAt != nil {
		minute := int(*r.DailyAt)
		m.DailyAt = &minute
	}
	if e := r.Escalation; e != nil {
		m.EscalateAfter, m.EscalateRoles, m.EscalateTo = e.After, roleNames(e.Roles), e.Addresses
	}
	return m
}

func roleNames(roles []tenancy.Role) []string {
	names := make([]string, len(roles))
	for i, role := range roles {
		names[i] = string(role)
	}
	return names
}

func (p *Panel) enableRule(c *fiber.Ctx) error  { return p.switchRule(c, true) }
func (p *Panel) disableRule(c *fiber.Ctx) error { return p.switchRule(c, false) }

// switchRule answers htmx with the rule's row alone, so that the list stays where it is.
func (p *Panel) switchRule(c *fiber.Ctx, on bool) error {
	id, err := idParam(c, "id")
	if err != nil {
		return err
	}
	r, err := p.AlertRules.EnableAlertRule(c.UserContext(), id, on)
	if err != nil {
		return err
	}
	if !isHTMX(c) {
		return p.done(c, rulesPath, map[bool]string{true: "alerts.enabled", false: "alerts.disabled"}[on])
	}
	// Among its like, because a row also tells who has closer rules.
	page, err := p.AlertRules.ListAlertRules(c.UserContext(), alert.RuleQuery{ListQuery: tenancy.ListQuery{TenantID: r.TenantID, PlanID: r.PlanID},
		Audience: r.Audience, Scope: r.Scope, Metrics: []alert.Metric{r.Metric}})
	if err != nil {
		return err
	}
	i := slices.IndexFunc(page.Items, func(l alert.Listed) bool { return l.ID == id })
	if i < 0 {
		page.Items, i = []alert.Listed{{Rule: r}}, 0
	}
	rows, err := p.ruleRows(c.UserContext(), page.Items[i:i+1])
	if err != nil {
		return err
	}
	row := alerts.RuleRow(p.frame(c, "", "alerts"), true, rows[0])
	return p.render(c, row, row)
}

func (p *Panel) deleteRule(c *fiber.Ctx) error {
	id, err := idParam(c, "id")
	if err != nil {
		return err
	}
	if err := p.AlertRules.DeleteAlertRule(c.UserContext(), id); err != nil {
		return err
	}
	return p.done(c, rulesPath, "alerts.deleted")
}

func (p *Panel) restoreRules(c *fiber.Ctx) error {
	n, err := p.AlertRules.RestoreAlertRules(c.UserContext())
	if err != nil {
		return err
	}
	return p.done(c, rulesPath, "alerts.restored", "n", n)
}

// ruleTitle is what a rule is called: by its name, else by what it says.
func ruleTitle(say i18n.Printer, r alert.Rule) string {
	if r.Name != "" {
		return r.Name
	}
	return ruleModel(r, nil).When(say)
}
