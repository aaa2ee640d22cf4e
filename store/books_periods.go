package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/fila-ia/filaia/internal/usage"
)

// periodBooks is a period with its bucket and with what other tables say of it.
type periodBooks struct {
	subject
	HasBucket bool  `db:"has_bucket"`
	Hard      bool  `db:"hard"`
	Partial   bool  `db:"partial"` // some of its single calls were put aside
	Extra     int64 // tokens of both kinds together that a spend cap allows above the limits
	In, Out   sideBooks
}

// sideBooks is a period's input, or its output.
type sideBooks struct {
	name                         string
	figure                       int   // of figures
	Limit, Used, Leased, Overrun int64 // of the bucket
	Hours, Leases, Noted         int64 // sums of hourly figures, leases and overruns
}

// comparePeriods compares each bucket with hours, single calls, leases and overruns. What single calls come to follows
// from the hourly figures and how far the calls are from them: they need not be read again.
func (a *auditor) comparePeriods(ctx context.Context, t *sqlx.Tx) error {
	const query = `WITH scope AS (SELECT p.id, p.tenant_id, p.starts_at, p.ends_at FROM billing_periods p WHERE ` + inScope + `),
		h AS (SELECT h.period_id, sum(h.input_tokens)::bigint AS input, sum(h.output_tokens)::bigint AS output, bool_or(g.month IS NOT NULL) AS partial
			FROM usage_hourly h LEFT JOIN usage_archives g ON g.month = date_trunc('month', h.hour AT TIME ZONE 'UTC')::date
			WHERE h.period_id IN (SELECT id FROM scope) GROUP BY 1),
		l AS (SELECT period_id, sum(leased_in)::bigint AS input, sum(leased_out)::bigint AS output FROM quota_leases
			WHERE period_id IN (SELECT id FROM scope) GROUP BY 1),
		o AS (SELECT period_id, sum(tokens_in)::bigint AS input, sum(tokens_out)::bigint AS output FROM quota_overruns
			WHERE period_id IN (SELECT id FROM scope) GROUP BY 1)
		SELECT s.tenant_id, t.name, s.id, s.starts_at, s.ends_at, b.period_id IS NOT NULL, coalesce(b.hard, false), coalesce(h.partial, false),
			coalesce(greatest(b.extra_tokens, b.extra_taken), 0),
			coalesce(b.limit_in, 0), coalesce(b.used_in, 0), coalesce(b.leased_in, 0), coalesce(b.overrun_in, 0),
			coalesce(h.input, 0), coalesce(l.input, 0), coalesce(o.input, 0),
			coalesce(b.limit_out, 0), coalesce(b.used_out, 0), coalesce(b.leased_out, 0), coalesce(b.overrun_out, 0),
			coalesce(h.output, 0), coalesce(l.output, 0), coalesce(o.output, 0)
		FROM scope s LEFT JOIN tenants t ON t.id = s.tenant_id LEFT JOIN quota_buckets b ON b.period_id = s.id
		LEFT JOIN h ON h.period_id = s.id LEFT JOIN l ON l.period_id = s.id LEFT JOIN o ON o.period_id = s.id
		ORDER BY s.tenant_id, s.starts_at, s.id`
	rows, err := t.QueryContext(ctx, query, a.scopeArgs()...)
	if err != nil {
		return fmt.Errorf("compare periods: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		p := periodBooks{In: sideBooks{name: "input_tokens", figure: inputFigure}, Out: sideBooks{name: "output_tokens", figure: outputFigure}}
		into := []any{&p.TenantID, &p.Tenant, &p.PeriodID, &p.Start, &p.End, &p.HasBucket, &p.Hard, &p.Partial, &p.Extra}
		for _, s := range []*sideBooks{&p.In, &p.Out} {
			into = append(into, &s.Limit, &s.Used, &s.Leased, &s.Overrun, &s.Hours, &s.Leases, &s.Noted)
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		a.Periods++
		a.comparePeriod(p)
	}
	return rows.Err()
}

func (a *auditor) comparePeriod(p periodBooks) {
	differ := func(check, figure string, expected, found int64) {
		a.Differ(usage.Difference{Check: check, AuditSubject: p.of(), Figure: figure, Expected: expected, Found: found})
	}
	a.Compared(usage.CheckPeriods, 1)
	if !p.HasBucket {
		differ(usage.CheckPeriods, "buckets", 1, 0)
		return
	}
	equal := func(check, figure string, expected, found int64) {
		if expected != found {
			differ(check, figure, expected, found)
		}
	}
	for _, check := range []string{usage.CheckHoursUsed, usage.CheckLeases, usage.CheckOverruns} {
		a.Compared(check, 1)
	}
	if !p.Partial {
		a.Compared(usage.CheckEventsUsed, 1)
	}
	if p.Hard {
		a.Compared(usage.CheckLimits, 1)
	}
	extra := p.Extra
	for _, s := range []sideBooks{p.In, p.Out} {
		if !p.Partial {
			equal(usage.CheckEventsUsed, s.name, s.Hours+a.moved[p.PeriodID][s.figure], s.Used)
		}
		equal(usage.CheckHoursUsed, s.name, s.Hours, s.Used)
		equal(usage.CheckLeases, s.name, s.Leases, s.Leased)
		equal(usage.CheckOverruns, s.name, s.Noted, s.Overrun)
		taken := s.Used - s.Overrun + s.Leased
		allowed := s.Limit + min(extra, max(taken-s.Limit, 0)) // what input takes above its limit, output cannot
		extra -= allowed - s.Limit
		if p.Hard && taken > allowed {
			differ(usage.CheckLimits, s.name, allowed, taken)
		}
	}
}

// compareEdges looks for gaps and overlaps between the periods of a subscription.
func (a *auditor) compareEdges(ctx context.Context, t *sqlx.Tx) error {
	const query = `SELECT p.tenant_id, t.name AS tenant, p.id AS period_id, p.starts_at, p.ends_at, p.previous
		FROM (SELECT *, lag(ends_at) OVER (PARTITION BY subscription_id ORDER BY starts_at) AS previous FROM billing_periods) p
		LEFT JOIN tenants t ON t.id = p.tenant_id
		WHERE p.previous <> p.starts_at AND ` + inScope + ` ORDER BY p.tenant_id, p.starts_at, p.id`
	var found []struct {
		subject
		Previous time.Time `db:"previous"`
	}
	if err := t.SelectContext(ctx, &found, query, a.scopeArgs()...); err != nil {
		return fmt.Errorf("compare the edges of periods: %w", err)
	}
	for _, f := range found {
		a.Differ(usage.Difference{Check: usage.CheckPeriods, AuditSubject: f.of(), Figure: usage.FigureStart,
			Expected: f.Previous.UnixMicro(), Found: f.Start.Time.UnixMicro()})
	}
	return nil
}

// compareOwners looks for hourly figures of no period, or of another customer's. Single calls of that kind either have
// such hourly figures, or were found with the hours.
func (a *auditor) compareOwners(ctx context.Context, t *sqlx.Tx) error {
	if a.Scope.PeriodID != 0 { // there can be none
		return nil
	}
	since := a.scopeArgs()[1]
	const query = `SELECT h.tenant_id, h.period_id, t.name AS tenant, NULL::timestamptz AS starts_at, NULL::timestamptz AS ends_at,
			h.hour, h.key_id, h.model, h.requests
		FROM usage_hourly h LEFT JOIN billing_periods p ON p.id = h.period_id AND p.tenant_id = h.tenant_id
		LEFT JOIN tenants t ON t.id = h.tenant_id
		WHERE h.hour >= $1::timestamptz AND p.id IS NULL ORDER BY h.hour, h.tenant_id, h.key_id, h.period_id, h.model`
	var found []struct {
		subject
		Hour     time.Time `db:"hour"`
		KeyID    int64     `db:"key_id"`
		Model    string    `db:"model"`
		Requests int64     `db:"requests"`
	}
	if err := t.SelectContext(ctx, &found, query, since); err != nil {
		return fmt.Errorf("compare owners: %w", err)
	}
	for _, f := range found {
		a.Differ(usage.Difference{Check: usage.CheckOwners, AuditSubject: f.of(), Hour: f.Hour.UTC(), KeyID: f.KeyID, Model: f.Model,
			Figure: "requests", Found: f.Requests})
	}
	var hours int64
	if err := t.GetContext(ctx, &hours, `SELECT count(*) FROM usage_hourly WHERE hour >= $1::timestamptz`, since); err != nil {
		return fmt.Errorf("count hours: %w", err)
	}
	a.Compared(usage.CheckOwners, hours)
	return nil
}

// findAbandoned looks for leases of replicas that do not live. Where all have stopped, no lease may be left.
func (a *auditor) findAbandoned(ctx context.Context, t *sqlx.Tx) error {
	grace := a.Scope.Grace
	if grace <= 0 {
		grace = usage.AuditGrace
	}
	const query = `SELECT p.tenant_id, t.name AS tenant, p.id AS period_id, p.starts_at, p.ends_at, l.replica, l.leased_in, l.leased_out, r.seen_at
		FROM quota_leases l JOIN billing_periods p ON p.id = l.period_id LEFT JOIN tenants t ON t.id = p.tenant_id
		LEFT JOIN replicas r ON r.name = l.replica
		WHERE ` + inScope + ` AND l.leased_in + l.leased_out > 0 AND ($3::boolean OR r.name IS NULL OR r.stopped_at IS NOT NULL
			OR r.seen_at < now() - $4 * interval '1 microsecond')
		ORDER BY p.tenant_id, p.starts_at, p.id, l.replica`
	var found []struct {
		subject
		Replica string       `db:"replica"`
		In      int64        `db:"leased_in"`
		Out     int64        `db:"leased_out"`
		SeenAt  sql.NullTime `db:"seen_at"`
	}
	if err := t.SelectContext(ctx, &found, query, append(a.scopeArgs(), a.Scope.Settled, grace.Microseconds())...); err != nil {
		return fmt.Errorf("look for abandoned leases: %w", err)
	}
	if a.Scope.Settled {
		a.Compared(usage.CheckSettled, int64(a.Periods))
	}
	for _, f := range found {
		if !a.Scope.Settled {
			a.Note(usage.AuditNote{Kind: usage.NoteAbandoned, AuditSubject: f.of(), Replica: f.Replica, SeenAt: utc(f.SeenAt), Input: f.In, Output: f.Out})
			continue
		}
		d := usage.Difference{Check: usage.CheckSettled, AuditSubject: f.of(), Replica: f.Replica, Figure: "input_tokens", Found: f.In}
		if f.In > 0 {
			a.Differ(d)
		}
		if d.Figure, d.Found = "output_tokens", f.Out; f.Out > 0 {
			a.Differ(d)
		}
	}
	return nil
}
