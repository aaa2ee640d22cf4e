package store

import (
	"context"
	"fmt"
	"time"

	"github.com/lib/pq"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// situations reads what decides who is told of each group: one question a table for all groups together. Groups come in the order
// of their first event.
func (t *tx) situations(ctx context.Context, events []alert.Event) ([]alert.Situation, error) {
	var tenants, rules []int64
	for _, e := range events {
		tenants, rules = append(tenants, e.Subject.TenantID), append(rules, e.RuleID)
	}
	ruleByID, err := t.deliveryRules(ctx, rules)
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
	var snoozes []alert.Snooze
	const snoozed = `SELECT rule_id AS ruleid, subject, until FROM alert_snoozes WHERE rule_id = ANY ($1) AND until > $2 FOR SHARE` // until the messages are there for who ends it
	if err := t.SelectContext(ctx, &snoozes, snoozed, pq.Int64Array(rules), t.now); err != nil {
		return nil, fmt.Errorf("read snoozes: %w", err)
	}
	var optouts []alert.Optout
	const silent = `SELECT tenant_id AS tenantid, address, metric FROM alert_unsubscribes WHERE tenant_id = ANY ($1)`
	if err := t.SelectContext(ctx, &optouts, silent, pq.Int64Array(tenants)); err != nil {
		return nil, fmt.Errorf("read unsubscribed addresses: %w", err)
	}
	var all []alert.Situation
	places := map[string]int{}
	for _, e := range events {
		place, known := places[e.Group.String()]
		if !known {
			place = len(all)
			places[e.Group.String()] = place
			all = append(all, alert.Situation{Now: t.now, Rules: ruleByID, Team: team, Customer: parties[e.Subject.TenantID], Lines: lines, Snoozes: snoozes, Optouts: optouts})
		}
		all[place].Events = append(all[place].Events, e)
	}
	return all, nil
}

// deliveryRules reads rules, also those that are deleted: what was raised is told.
func (t *tx) deliveryRules(ctx context.Context, ids []int64) (map[int64]alert.Rule, error) {
	var rows []alertRuleRow
	if err := t.SelectContext(ctx, &rows, `SELECT `+alertRuleColumns+` `+alertRuleFrom+` WHERE r.id = ANY ($1)`, pq.Int64Array(ids)); err != nil {
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
	}
	const customers = `SELECT id, name, email, language, time_zone FROM tenants WHERE id = ANY ($1)`
	if err := t.SelectContext(ctx, &rows, customers, pq.Int64Array(tenants)); err != nil {
		return nil, nil, fmt.Errorf("read customers: %w", err)
	}
	for _, r := range rows {
		parties[r.ID] = &alert.Party{ID: r.ID, Name: r.Name, Email: r.Email, Language: r.Language, Zone: zoneOf(r.Zone)}
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
