package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/fila-ia/filaia/internal/alert"
)

const alertMissing = "problem.no_page"

// Alerts gives a page of the history, newest first: of what was raised together for one subject and metric the highest.
func (s *Store) Alerts(ctx context.Context, q alert.HistoryQuery) ([]alert.Entry, error) {
	return alertPage(ctx, s.db, q)
}

// AlertCounts tells how many alerts each part of the history holds.
func (s *Store) AlertCounts(ctx context.Context, q alert.HistoryQuery) (alert.HistoryCounts, error) {
	return alertCounts(ctx, s.db, q)
}

// Alerts is Store.Alerts of the tenant's own, the ones meant for customers.
func (t *Tenant) Alerts(ctx context.Context, q alert.HistoryQuery) (list []alert.Entry, err error) {
	err = t.read(ctx, func(tx *tx) error {
		list, err = alertPage(ctx, tx, t.own(q))
		return err
	})
	return list, err
}

// AlertCounts is Store.AlertCounts of the tenant's own.
func (t *Tenant) AlertCounts(ctx context.Context, q alert.HistoryQuery) (counts alert.HistoryCounts, err error) {
	err = t.read(ctx, func(tx *tx) error {
		counts, err = alertCounts(ctx, tx, t.own(q))
		return err
	})
	return counts, err
}

func (t *Tenant) own(q alert.HistoryQuery) alert.HistoryQuery {
	q.Audience, q.TenantID = alert.Customer, t.id
	return q
}

// OwnAlerts is Tenant.Alerts.
func (p Portal) OwnAlerts(ctx context.Context, tenantID int64, q alert.HistoryQuery) ([]alert.Entry, error) {
	return p.s.ForTenant(tenantID).Alerts(ctx, q)
}

// OwnAlertCounts is Tenant.AlertCounts.
func (p Portal) OwnAlertCounts(ctx context.Context, tenantID int64, q alert.HistoryQuery) (alert.HistoryCounts, error) {
	return p.s.ForTenant(tenantID).AlertCounts(ctx, q)
}

type alertEventRow struct {
	ID             int64      `db:"id"`
	Group          uuid.UUID  `db:"group_id"`
	Lead           bool       `db:"lead"`
	RuleID         int64      `db:"rule_id"`
	RuleName       string     `db:"rule_name"`
	Audience       string     `db:"audience"`
	Metric         string     `db:"metric"`
	Unit           string     `db:"unit"`
	Subject        string     `db:"subject"`
	TenantID       int64      `db:"tenant_id"`
	SubscriptionID int64      `db:"subscription_id"`
	KeyID          int64      `db:"key_id"`
	ProviderID     int64      `db:"provider_id"`
	Period         time.Time  `db:"period"`
	Threshold      int64      `db:"threshold"`
	Value          int64      `db:"value"`
	Details        []byte     `db:"details"`
	RaisedAt       time.Time  `db:"raised_at"`
	DispatchedAt   *time.Time `db:"dispatched_at"`
	AcknowledgedAt *time.Time `db:"acknowledged_at"`
	AcknowledgedBy string     `db:"acknowledged_by"`
	ResolvedAt     *time.Time `db:"resolved_at"`
}

const alertEventColumns = `e.id, e.group_id, e.lead, e.rule_id, COALESCE(r.name, '') AS rule_name, e.audience, e.metric, e.unit, e.subject,
	COALESCE(e.tenant_id, 0) AS tenant_id, COALESCE(e.subscription_id, 0) AS subscription_id, COALESCE(e.key_id, 0) AS key_id,
	COALESCE(e.provider_id, 0) AS provider_id, e.period, e.threshold, e.value, e.details, e.raised_at, e.dispatched_at,
	e.acknowledged_at, e.acknowledged_by, e.resolved_at`

const alertEventFrom = ` FROM alert_events e LEFT JOIN alert_rules r ON r.id = e.rule_id `

func (r alertEventRow) event() alert.Event {
	e := alert.Event{
		ID: r.ID, Group: r.Group, Lead: r.Lead, RuleID: r.RuleID, RuleName: r.RuleName, Audience: alert.Audience(r.Audience),
		Metric: alert.Metric(r.Metric), Unit: alert.Unit(r.Unit),
		Subject: alert.Subject{Key: r.Subject, TenantID: r.TenantID, SubscriptionID: r.SubscriptionID, KeyID: r.KeyID, ProviderID: r.ProviderID},
		Period:  r.Period.UTC(), Threshold: r.Threshold, Value: r.Value, RaisedAt: r.RaisedAt.UTC(), DispatchedAt: moment(r.DispatchedAt),
		AcknowledgedAt: moment(r.AcknowledgedAt), AcknowledgedBy: r.AcknowledgedBy, ResolvedAt: moment(r.ResolvedAt),
	}
	// What says more and can't be read must not keep the alert, and all that are told with it, from being told.
	if err := json.Unmarshal(r.Details, &e.Details); err != nil {
		e.Details = alert.Details{}
	}
	return e
}

// moment is a time that may be missing, in UTC.
func moment(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// selectEvents reads what was raised; rest is what follows FROM.
func selectEvents(ctx context.Context, q sqlx.QueryerContext, rest string, args ...any) ([]alert.Event, error) {
	var rows []alertEventRow
	if err := sqlx.SelectContext(ctx, q, &rows, `SELECT `+alertEventColumns+alertEventFrom+rest, args...); err != nil {
		return nil, err
	}
	events := make([]alert.Event, len(rows))
	for i, row := range rows {
		events[i] = row.event()
	}
	return events, nil
}

const (
	openAlert = `e.acknowledged_at IS NULL AND e.resolved_at IS NULL`
	deadAlert = `e.id IN (SELECT unnest(event_ids) FROM deliveries WHERE state = 'dead')`
)

// alertPart is the SQL of one part of the history.
func alertPart(p alert.HistoryPart) string {
	switch p {
	case alert.OpenAlerts:
		return openAlert
	case alert.FailedAlerts:
		return openAlert + ` AND ` + deadAlert
	case alert.AcknowledgedAlerts:
		return `e.acknowledged_at IS NOT NULL AND e.resolved_at IS NULL`
	case alert.ResolvedAlerts:
		return `e.resolved_at IS NOT NULL`
	}
	return `true`
}

// alertFilter takes audience, tenant and metric as $1 to $3.
const alertFilter = `WHERE e.lead AND ($1 = '' OR e.audience = $1) AND ($2::bigint = 0 OR e.tenant_id = $2) AND ($3 = '' OR e.metric = $3)`

func alertPage(ctx context.Context, q sqlx.QueryerContext, h alert.HistoryQuery) ([]alert.Entry, error) {
	rest := alertFilter + ` AND ($4::bigint = 0 OR e.id < $4) AND ` + alertPart(h.Part) + ` ORDER BY e.id DESC LIMIT $5`
	events, err := selectEvents(ctx, q, rest, h.Audience, h.TenantID, h.Metric, h.Before, h.Limit)
	if err != nil {
		return nil, fmt.Errorf("history of alerts: %w", err)
	}
	return tellEntries(ctx, q, events)
}

// tellEntries adds how the alerts' messages went, with one question for all of them.
func tellEntries(ctx context.Context, q sqlx.QueryerContext, events []alert.Event) ([]alert.Entry, error) {
	entries := make([]alert.Entry, len(events))
	if len(events) == 0 {
		return entries, nil
	}
	ids := make([]int64, len(events))
	for i, e := range events {
		entries[i].Event, ids[i] = e, e.ID
	}
	var rows []struct {
		ID        int64 `db:"id"`
		Delivered int   `db:"delivered"`
		Pending   int   `db:"pending"`
		Dead      int   `db:"dead"`
		Kept      int   `db:"kept"`
	}
	// With a customer's tenant the index of its deliveries serves; the team's question takes that of event_ids.
	const told = `SELECT x.id, count(*) FILTER (WHERE d.state = 'delivered') AS delivered,
			count(*) FILTER (WHERE d.state = 'pending') AS pending, count(*) FILTER (WHERE d.state = 'dead') AS dead,
			count(*) FILTER (WHERE d.state = 'delivered' AND starts_with((SELECT a.answer FROM delivery_attempts a
				WHERE a.delivery_id = d.id ORDER BY a.id DESC LIMIT 1), $2)) AS kept
		FROM deliveries d CROSS JOIN LATERAL unnest(d.event_ids) AS x (id)
		WHERE d.event_ids && $1 AND x.id = ANY ($1) GROUP BY x.id`
	if err := sqlx.SelectContext(ctx, q, &rows, told, pq.Int64Array(ids), alert.KeptPrefix); err != nil {
		return nil, fmt.Errorf("deliveries of %d alerts: %w", len(ids), err)
	}
	byID := make(map[int64]alert.Told, len(rows))
	for _, r := range rows {
		byID[r.ID] = alert.Told{All: r.Delivered + r.Pending + r.Dead, Delivered: r.Delivered, Pending: r.Pending, Dead: r.Dead, Kept: r.Kept}
	}
	for i := range entries {
		entries[i].Told = byID[entries[i].ID]
	}
	return entries, nil
}

func alertCounts(ctx context.Context, q sqlx.QueryerContext, h alert.HistoryQuery) (alert.HistoryCounts, error) {
	var row struct {
		All          int `db:"everything"`
		Open         int `db:"open"`
		Failed       int `db:"failed"`
		Acknowledged int `db:"acknowledged"`
		Resolved     int `db:"resolved"`
	}
	query := `SELECT count(*) AS everything`
	for _, part := range []alert.HistoryPart{alert.OpenAlerts, alert.FailedAlerts, alert.AcknowledgedAlerts, alert.ResolvedAlerts} {
		query += `, count(*) FILTER (WHERE ` + alertPart(part) + `) AS ` + string(part)
	}
	if err := sqlx.GetContext(ctx, q, &row, query+` FROM alert_events e `+alertFilter, h.Audience, h.TenantID, h.Metric); err != nil {
		return alert.HistoryCounts{}, fmt.Errorf("count alerts: %w", err)
	}
	return alert.HistoryCounts(row), nil
}
