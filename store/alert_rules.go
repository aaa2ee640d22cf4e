package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/tenancy"
)

const ruleMissing = "alerts.error.not_found"

// alertRuleRow is a whole rule with the names of what it covers.
type alertRuleRow struct {
	ID              int64          `db:"id"`
	Name            string         `db:"name"`
	Audience        string         `db:"audience"`
	Scope           string         `db:"scope"`
	PlanID          int64          `db:"plan_id"`
	TenantID        int64          `db:"tenant_id"`
	KeyID           int64          `db:"key_id"`
	Metric          string         `db:"metric"`
	Unit            string         `db:"unit"`
	Thresholds      pq.Int64Array  `db:"thresholds"`
	Direction       string         `db:"direction"`
	Window          int            `db:"window_minutes"`
	Rearm           int            `db:"rearm_minutes"`
	Enabled         bool           `db:"enabled"`
	Roles           pq.StringArray `db:"roles"`
	Contacts        bool           `db:"contacts"`
	Addresses       pq.StringArray `db:"addresses"`
	Language        string         `db:"language"`
	Channels        pq.Int64Array  `db:"channel_ids"`
	QuietFrom       sql.NullInt64  `db:"quiet_from"`
	QuietUntil      sql.NullInt64  `db:"quiet_until"`
	DailyAt         sql.NullInt64  `db:"daily_at"`
	LastAtOnce      bool           `db:"last_at_once"`
	EscalateMinutes sql.NullInt64  `db:"escalate_minutes"`
	EscalateRoles   pq.StringArray `db:"escalate_roles"`
	EscalateTo      pq.StringArray `db:"escalate_to"`
	CreatedAt       time.Time      `db:"created_at"`
	UpdatedAt       time.Time      `db:"updated_at"`
	DeletedAt       sql.NullTime   `db:"deleted_at"`
	PlanName        string         `db:"plan_name"`
	TenantName      string         `db:"tenant_name"`
	KeyName         string         `db:"key_name"`
}

// alertRuleColumns and alertRuleFrom read an alertRuleRow; r is the rule.
const (
	alertRuleColumns = `r.id, r.name, r.audience, r.scope, coalesce(r.plan_id, 0) AS plan_id, coalesce(r.tenant_id, 0) AS tenant_id,
	coalesce(r.key_id, 0) AS key_id, r.metric, r.unit, r.thresholds, r.direction, r.window_minutes, r.rearm_minutes, r.enabled, r.roles,
	r.contacts, r.addresses, r.language, r.channel_ids, r.quiet_from, r.quiet_until, r.daily_at, r.last_at_once, r.escalate_minutes,
	r.escalate_roles, r.escalate_to, r.created_at, r.updated_at, r.deleted_at,
	coalesce(p.name, '') AS plan_name, coalesce(t.name, '') AS tenant_name, coalesce(k.name, '') AS key_name`
	alertRuleFrom = `FROM alert_rules r LEFT JOIN plans p ON p.id = r.plan_id LEFT JOIN tenants t ON t.id = r.tenant_id
	LEFT JOIN api_keys k ON k.id = r.key_id`
)

func (r alertRuleRow) rule() alert.Rule {
	rule := alert.Rule{
		ID: r.ID, Name: r.Name, Audience: alert.Audience(r.Audience), Scope: alert.Scope(r.Scope), PlanID: r.PlanID, TenantID: r.TenantID, KeyID: r.KeyID,
		Metric: alert.Metric(r.Metric), Unit: alert.Unit(r.Unit), Thresholds: r.Thresholds, Direction: alert.Direction(r.Direction),
		Window: r.Window, Rearm: r.Rearm, Enabled: r.Enabled,
		To:         alert.Recipients{Roles: rolesOf(r.Roles), Contacts: r.Contacts, Addresses: r.Addresses, Language: i18n.Lang(r.Language), Channels: r.Channels},
		LastAtOnce: r.LastAtOnce, PlanName: r.PlanName, TenantName: r.TenantName, KeyName: r.KeyName,
		CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(),
	}
	if r.QuietFrom.Valid {
		rule.Quiet = &alert.Quiet{From: alert.Minute(r.QuietFrom.Int64), Until: alert.Minute(r.QuietUntil.Int64)}
	}
	if r.DailyAt.Valid {
		at := alert.Minute(r.DailyAt.Int64)
		rule.DailyAt = &at
	}
	if r.EscalateMinutes.Valid {
		rule.Escalation = &alert.Escalation{After: int(r.EscalateMinutes.Int64), Roles: rolesOf(r.EscalateRoles), Addresses: r.EscalateTo}
	}
	if r.DeletedAt.Valid {
		rule.DeletedAt = r.DeletedAt.Time.UTC()
	}
	return rule
}

func rolesOf(names []string) []tenancy.Role {
	roles := make([]tenancy.Role, len(names))
	for i, name := range names {
		roles[i] = tenancy.Role(name)
	}
	return roles
}

// AlertRule reads a rule that is not deleted. NotFound when there is none.
func (s *Store) AlertRule(ctx context.Context, id int64) (alert.Rule, error) {
	r, err := oneRule(ctx, s.db, id)
	if err != nil {
		return alert.Rule{}, fmt.Errorf("rule %d: %w", id, err)
	}
	return r, nil
}

func oneRule(ctx context.Context, db sqlx.QueryerContext, id int64) (alert.Rule, error) {
	var row alertRuleRow
	err := sqlx.GetContext(ctx, db, &row, `SELECT `+alertRuleColumns+` `+alertRuleFrom+` WHERE r.id = $1 AND r.deleted_at IS NULL`, id)
	if err != nil {
		return alert.Rule{}, known(err, ruleMissing)
	}
	return row.rule(), nil
}

// ruleOrder sorts rules as people look for them: the customers' first, by metric, the widest scope first.
func ruleOrder() string {
	metrics := make([]string, 0, 16)
	for _, k := range alert.Kinds() {
		metrics = append(metrics, "'"+string(k.Metric)+"'")
	}
	return `array_position(ARRAY['operator', 'customer'], r.audience) * 100000 + coalesce(array_position(ARRAY[` + strings.Join(metrics, ", ") +
		`], r.metric), 99) * 100 + array_position(ARRAY['all', 'plan', 'tenant', 'key'], r.scope)`
}

// ListAlertRules gives a page of rules, those of the team first, by metric and the widest scope first. The search finds names
// of rules, plans, tenants and keys. Status: on or off.
func (s *Store) ListAlertRules(ctx context.Context, q alert.RuleQuery) (tenancy.Page[alert.Listed], error) {
	list := listing{
		columns: alertRuleColumns,
		from: alertRuleFrom + ` WHERE r.deleted_at IS NULL AND ` + matches("$1::text", "r.name", "p.name", "t.name", "k.name") + `
			AND ($2::text = '' OR r.audience = $2) AND ($3::text = '' OR r.scope = $3) AND (cardinality($4::text[]) = 0 OR r.metric = ANY ($4))
			AND CASE $5::text WHEN 'on' THEN r.enabled WHEN 'off' THEN NOT r.enabled ELSE true END
			AND ($6::bigint = 0 OR r.tenant_id = $6) AND ($7::bigint = 0 OR r.plan_id = $7)`,
		sorts:   map[string]string{"usual": ruleOrder()},
		initial: "usual",
		tie:     "r.id",
	}
	metrics := make(pq.StringArray, len(q.Metrics))
	for i, m := range q.Metrics {
		metrics[i] = string(m)
	}
	q.Sort = ""
	rows, total, err := selectPage[alertRuleRow](ctx, s.db, list, q.ListQuery, q.Search, string(q.Audience), string(q.Scope), metrics, q.Status, q.TenantID, q.PlanID)
	if err != nil {
		return tenancy.Page[alert.Listed]{}, fmt.Errorf("list rules: %w", err)
	}
	page := tenancy.Page[alert.Listed]{Items: make([]alert.Listed, len(rows)), Total: total}
	for i, r := range rows {
		page.Items[i].Rule = r.rule()
	}
	if err := s.compareScopes(ctx, page.Items); err != nil {
		return tenancy.Page[alert.Listed]{}, fmt.Errorf("list rules: %w", err)
	}
	return page, nil
}

// compareScopes tells of each rule who has closer ones, and whether it stands in place of a wider one.
func (s *Store) compareScopes(ctx context.Context, rules []alert.Listed) error {
	if len(rules) == 0 {
		return nil
	}
	ids := make(pq.Int64Array, len(rules))
	at := make(map[int64]*alert.Listed, len(rules))
	for i := range rules {
		ids[i], at[rules[i].ID] = rules[i].ID, &rules[i]
	}
	// Of a plan, those count who are on it; of a customer, its keys.
	const query = `SELECT r.id, count(DISTINCT o.plan_id) FILTER (WHERE o.scope = 'plan') AS plans,
			count(DISTINCT o.tenant_id) FILTER (WHERE o.scope = 'tenant') AS tenants, count(DISTINCT o.key_id) FILTER (WHERE o.scope = 'key') AS keys,
			bool_or(o.scope = 'all') AS nearer
		FROM alert_rules r JOIN alert_rules o ON o.audience = r.audience AND o.metric = r.metric AND o.deleted_at IS NULL AND CASE r.scope
			WHEN 'all' THEN o.scope <> 'all'
			WHEN 'plan' THEN o.scope = 'all' OR o.tenant_id IN (SELECT u.tenant_id FROM subscriptions u JOIN plan_versions v ON v.id = u.plan_version_id
				WHERE u.ended_at IS NULL AND u.scope = 'tenant' AND v.plan_id = r.plan_id)
			WHEN 'tenant' THEN o.scope = 'all' OR o.scope = 'key' AND o.tenant_id = r.tenant_id
			ELSE o.scope = 'all' END
		WHERE r.id = ANY ($1) GROUP BY r.id`
	var rows []struct {
		ID      int64 `db:"id"`
		Plans   int   `db:"plans"`
		Tenants int   `db:"tenants"`
		Keys    int   `db:"keys"`
		Nearer  bool  `db:"nearer"`
	}
	if err := s.db.SelectContext(ctx, &rows, query, ids); err != nil {
		return fmt.Errorf("compare scopes: %w", err)
	}
	for _, r := range rows {
		at[r.ID].Instead, at[r.ID].Nearer = alert.Instead{Plans: r.Plans, Tenants: r.Tenants, Keys: r.Keys}, r.Nearer
	}
	return nil
}

// AlertRulesFor gives all rules that may cover a tenant or one of its keys, switched off or not, and what of the tenant they
// cover: alert.Effective(rules, covered) are those that hold for the tenant's own plan. NotFound when there is no such tenant.
func (s *Store) AlertRulesFor(ctx context.Context, tenantID int64) ([]alert.Rule, alert.Covered, error) {
	return rulesCovering(ctx, s.db, tenantID)
}

func rulesCovering(ctx context.Context, db sqlx.QueryerContext, tenantID int64) (rules []alert.Rule, covered alert.Covered, err error) {
	covered.TenantID = tenantID
	const plan = `SELECT coalesce((SELECT v.plan_id FROM subscriptions u JOIN plan_versions v ON v.id = u.plan_version_id
		WHERE u.tenant_id = t.id AND u.scope = 'tenant' AND u.ended_at IS NULL LIMIT 1), 0) FROM tenants t WHERE t.id = $1`
	if err := sqlx.GetContext(ctx, db, &covered.PlanID, plan, tenantID); err != nil {
		return nil, covered, fmt.Errorf("plan of tenant %d: %w", tenantID, known(err, "tenants.error.not_found"))
	}
	var rows []alertRuleRow
	query := `SELECT ` + alertRuleColumns + ` ` + alertRuleFrom + ` WHERE r.deleted_at IS NULL AND (r.scope = 'all' OR r.tenant_id = $1
		OR r.plan_id IN (SELECT v.plan_id FROM subscriptions u JOIN plan_versions v ON v.id = u.plan_version_id
			WHERE u.tenant_id = $1 AND u.ended_at IS NULL)) ORDER BY ` + ruleOrder() + `, r.id`
	if err := sqlx.SelectContext(ctx, db, &rows, query, tenantID); err != nil {
		return nil, covered, fmt.Errorf("rules for tenant %d: %w", tenantID, err)
	}
	rules = make([]alert.Rule, len(rows))
	for i, r := range rows {
		rules[i] = r.rule()
	}
	return rules, covered, nil
}

type ruleChannelRow struct {
	ID        int64        `db:"id"`
	TenantID  int64        `db:"tenant_id"`
	Kind      string       `db:"kind"`
	Name      string       `db:"name"`
	Target    string       `db:"target"`
	Active    bool         `db:"active"`
	DeletedAt sql.NullTime `db:"deleted_at"`
}

const ruleChannelColumns = `id, coalesce(tenant_id, 0) AS tenant_id, kind, name, target, active, deleted_at`

func ruleChannels(rows []ruleChannelRow) []alert.Destination {
	list := make([]alert.Destination, len(rows))
	for i, r := range rows {
		list[i] = alert.Destination{ID: r.ID, TenantID: r.TenantID, Kind: alert.Channel(r.Kind), Name: r.Name, Target: r.Target, Active: r.Active, DeletedAt: r.DeletedAt.Time}
	}
	return list
}

// RuleChannels gives the channels that a rule may name: the operator's for tenant 0, else that tenant's. Those that are
// switched off are among them, deleted ones are not.
func (s *Store) RuleChannels(ctx context.Context, tenantID int64) ([]alert.Destination, error) {
	var rows []ruleChannelRow
	query := `SELECT ` + ruleChannelColumns + ` FROM alert_channels WHERE deleted_at IS NULL AND coalesce(tenant_id, 0) = $1 ORDER BY ` + folded("name") + `, id`
	if err := s.db.SelectContext(ctx, &rows, query, tenantID); err != nil {
		return nil, fmt.Errorf("channels of tenant %d: %w", tenantID, err)
	}
	return ruleChannels(rows), nil
}

// ChannelsNamed gives channels by their ids, deleted ones too: what rules in a list name.
func (s *Store) ChannelsNamed(ctx context.Context, ids []int64) (map[int64]alert.Destination, error) {
	named := map[int64]alert.Destination{}
	if len(ids) == 0 {
		return named, nil
	}
	var rows []ruleChannelRow
	if err := s.db.SelectContext(ctx, &rows, `SELECT `+ruleChannelColumns+` FROM alert_channels WHERE id = ANY ($1)`, pq.Int64Array(ids)); err != nil {
		return nil, fmt.Errorf("channels of rules: %w", err)
	}
	for _, c := range ruleChannels(rows) {
		named[c.ID] = c
	}
	return named, nil
}
