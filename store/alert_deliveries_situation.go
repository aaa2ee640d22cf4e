package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// situations reads what decides who is told of each group: one question a table for all groups together. Groups come in the order
// of their first event.
func (t *tx) situations(ctx context.Context, events []alert.Event) ([]alert.Situation, error) {
	all, err := t.readers(ctx, events, `r.id = ANY ($1)`)
	if err != nil {
		return nil, err
	}
	var snoozes []alert.Snooze
	const snoozed = `SELECT rule_id AS ruleid, subject, until FROM alert_snoozes WHERE rule_id = ANY ($1) AND until > $2 FOR SHARE` // until the messages are there for who ends it
	if err := t.SelectContext(ctx, &snoozes, snoozed, ruleIDs(events), t.now); err != nil {
		return nil, fmt.Errorf("read snoozes: %w", err)
	}
	for i := range all {
		all[i].Snoozes = snoozes
	}
	return all, nil
}

// situationsNow are those of a message that is about to be sent: with the rules that hold now beside those that raised its alerts, and
// without snoozes, which its time follows anyway. plans are those that the alerts are about, by the ids of the alerts: of their own
// subscription, of their key's, else of their customer.
func (t *tx) situationsNow(ctx context.Context, events []alert.Event) (all []alert.Situation, plans map[int64]int64, err error) {
	all, err = t.readers(ctx, events, `(r.id = ANY ($1) OR r.deleted_at IS NULL AND (r.tenant_id IS NULL OR r.tenant_id = ANY ($2))
		AND (r.audience, r.metric) IN (SELECT o.audience, o.metric FROM alert_rules o WHERE o.id = ANY ($1)))`)
	if err != nil {
		return nil, nil, err
	}
	var rows []struct {
		ID   int64 `db:"id"`
		Plan int64 `db:"plan_id"`
	}
	const query = `SELECT e.id, v.plan_id FROM alert_events e LEFT JOIN api_keys k ON k.id = e.key_id
			JOIN subscriptions u ON u.id = coalesce(e.subscription_id, k.subscription_id, (SELECT s.id FROM subscriptions s
				WHERE s.tenant_id = e.tenant_id AND s.scope = 'tenant' AND s.ended_at IS NULL LIMIT 1))
			JOIN plan_versions v ON v.id = u.plan_version_id WHERE e.id = ANY ($1)`
	ids := make(pq.Int64Array, len(events))
	for i, e := range events {
		ids[i] = e.ID
	}
	if err := t.SelectContext(ctx, &rows, query, ids); err != nil {
		return nil, nil, fmt.Errorf("read plans: %w", err)
	}
	plans = make(map[int64]int64, len(rows))
	for _, r := range rows {
		plans[r.ID] = r.Plan
	}
	return all, plans, nil
}

func ruleIDs(events []alert.Event) pq.Int64Array {
	ids := make(pq.Int64Array, len(events))
	for i, e := range events {
		ids[i] = e.RuleID
	}
	return ids
}

// readers reads who there is to be told of each group, and the rules that say whom: which of them is a condition on r, where $1 are
// the rules that raised the events and $2 their customers.
func (t *tx) readers(ctx context.Context, events []alert.Event, which string) ([]alert.Situation, error) {
	tenants := make([]int64, len(events))
	for i, e := range events {
		tenants[i] = e.Subject.TenantID
	}
	rules, err := t.deliveryRules(ctx, which, ruleIDs(events), tenants)
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	team, parties, err := t.parties(ctx, tenants)
	if err != nil {
		return nil, err
	}
	lines, err := t.lines(ctx, tenants)
	if err != nil {
		return nil, fmt.Errorf("read channels: %w", err)
	}
	var optouts []alert.Optout
	const silent = `SELECT tenant_id AS tenantid, address, metric FROM alert_unsubscribes WHERE tenant_id = ANY ($1)`
	if err := t.SelectContext(ctx, &optouts, silent, pq.Int64Array(tenants)); err != nil {
		return nil, fmt.Errorf("read unsubscribed addresses: %w", err)
	}
	answers, err := t.answers(ctx, tenants)
	if err != nil {
		return nil, err
	}
	var all []alert.Situation
	places := map[uuid.UUID]int{}
	for _, e := range events {
		place, known := places[e.Group]
		if !known {
			place = len(all)
			places[e.Group] = place
			all = append(all, alert.Situation{Now: t.now, Rules: rules, Team: team, Customer: parties[e.Subject.TenantID], Lines: lines, Optouts: optouts, Answers: answers})
		}
		all[place].Events = append(all[place].Events, e)
	}
	return all, nil
}

// deliveryRules reads rules, also those that are deleted: what was raised is told.
func (t *tx) deliveryRules(ctx context.Context, which string, ids, tenants pq.Int64Array) (map[int64]alert.Rule, error) {
	var rows []alertRuleRow
	if err := t.SelectContext(ctx, &rows, `SELECT `+alertRuleColumns+` `+alertRuleFrom+` WHERE $2::bigint[] IS NOT NULL AND `+which, ids, tenants); err != nil {
		return nil, err
	}
	rules := make(map[int64]alert.Rule, len(rows))
	for _, r := range rows {
		rules[r.ID] = r.rule()
	}
	return rules, nil
}

// parties reads the team and the customers with their people who may sign in.
func (t *tx) parties(ctx context.Context, tenants []int64) (team []alert.Person, parties map[int64]*alert.Party, err error) {
	parties = map[int64]*alert.Party{}
	var rows []struct {
		ID       int64     `db:"id"`
		Name     string    `db:"name"`
		Email    string    `db:"email"`
		Language i18n.Lang `db:"language"`
		Zone     string    `db:"time_zone"`
		Closed   bool      `db:"closed"`
	}
	const customers = `SELECT id, name, email, language, time_zone, status = 'closed' AS closed FROM tenants WHERE id = ANY ($1)`
	if err := t.SelectContext(ctx, &rows, customers, pq.Int64Array(tenants)); err != nil {
		return nil, nil, fmt.Errorf("read customers: %w", err)
	}
	for _, r := range rows {
		parties[r.ID] = &alert.Party{ID: r.ID, Name: r.Name, Email: r.Email, Language: r.Language, Zone: zoneOf(r.Zone), Closed: r.Closed}
	}
	var people []struct {
		Address  string       `db:"email"`
		Name     string       `db:"name"`
		Role     tenancy.Role `db:"role"`
		TenantID int64        `db:"tenant_id"`
		Language i18n.Lang    `db:"language"`
	}
	const users = `SELECT email, name, role, coalesce(tenant_id, 0) AS tenant_id, language FROM users
		WHERE disabled_at IS NULL AND (tenant_id IS NULL OR tenant_id = ANY ($1)) ORDER BY id`
	if err := t.SelectContext(ctx, &people, users, pq.Int64Array(tenants)); err != nil {
		return nil, nil, fmt.Errorf("read people: %w", err)
	}
	for _, p := range people {
		person := alert.Person{Address: p.Address, Name: p.Name, Role: p.Role, Language: p.Language}
		if p.TenantID == 0 {
			team = append(team, person)
		} else if party := parties[p.TenantID]; party != nil {
			party.Users = append(party.Users, person)
		}
	}
	return team, parties, nil
}

// zoneOf is nil for a zone that this machine does not know, which stands for the installation's.
func zoneOf(name string) *time.Location {
	zone, err := time.LoadLocation(name)
	if err != nil || name == "" {
		return nil
	}
	return zone
}

func (t *tx) lines(ctx context.Context, tenants []int64) ([]alert.Line, error) {
	var rows []struct {
		ID       int64         `db:"id"`
		TenantID int64         `db:"tenant_id"`
		Kind     alert.Channel `db:"kind"`
		Name     string        `db:"name"`
		Language i18n.Lang     `db:"language"`
	}
	const query = `SELECT id, coalesce(tenant_id, 0) AS tenant_id, kind, name, language FROM alert_channels
		WHERE active AND deleted_at IS NULL AND (tenant_id IS NULL OR tenant_id = ANY ($1)) ORDER BY id`
	if err := t.SelectContext(ctx, &rows, query, pq.Int64Array(tenants)); err != nil {
		return nil, err
	}
	lines := make([]alert.Line, len(rows))
	for i, r := range rows {
		lines[i] = alert.Line(r)
	}
	return lines, nil
}
