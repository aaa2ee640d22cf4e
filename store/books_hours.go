package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/fila-ia/filaia/internal/usage"
)

// The figures that single calls and hours have in common, in order. The first ones have names of their own.
const (
	requestsFigure = 0
	inputFigure    = 2
	outputFigure   = 4
	figureCount    = 14
)

// figures are the sums of one hour, key and model, as in hourColumns.
type figures [figureCount]int64

// callersSince is from which hour on hours are held to what their callers brought on themselves: before, it was not counted.
const callersSince = `(SELECT callers_since FROM usage_folded)`

// hourColumns are the figures in usage_hourly, and how single calls add up to each.
func hourColumns() [figureCount]struct{ name, sum string } {
	return [...]struct{ name, sum string }{
		{"requests", "count(*)"},
		{"failures", "count(*) FILTER (WHERE status IN ('error', 'interrupted'))"},
		{"input_tokens", "sum(input_tokens)"},
		{"cached_tokens", "sum(cached_tokens)"},
		{"output_tokens", "sum(output_tokens)"},
		{"reasoning_tokens", "sum(reasoning_tokens)"},
		{"cost_usd_micros", "sum(cost_usd_micros)"},
		{"charge_brl_micros", "sum(charge_brl_micros)"},
		{"cache_lookups", "count(*) FILTER (WHERE cache <> 'bypass')"},
		{"cache_hits", "count(*) FILTER (WHERE cache IN ('hit', 'coalesced'))"},
		{"served_input", "sum(served_input)"},
		{"served_output", "sum(served_output)"},
		{"saved_usd_micros", "sum(saved_usd_micros)"},
		{"caller_errors", "count(*) FILTER (WHERE usage_callers_fault(status, http_status) AND created_at >= " + callersSince + ")"},
	}
}

// window is a stretch of whole hours, [from, to); a zero edge is open.
type window struct{ from, to time.Time }

func (w window) args() []any {
	edges := []any{"-infinity", "infinity"}
	if !w.from.IsZero() {
		edges[0] = w.from
	}
	if !w.to.IsZero() {
		edges[1] = w.to
	}
	return edges
}

func (w window) String() string { return fmt.Sprint(w.args()...) }

// windows cuts the bounds at the edges of months, so that one partition is summed at a time, and leaves out the months
// that were put aside: what came for them later does not tell all of them.
func (a *auditor) windows(ctx context.Context, t *sqlx.Tx, bounds window) ([]window, error) {
	var months []struct {
		Month    time.Time `db:"month"`
		Detached bool      `db:"detached"`
	}
	const query = `SELECT month::timestamp AT TIME ZONE 'UTC' AS month, true AS detached FROM usage_archives
		UNION ALL SELECT to_timestamp(substring(c.relname FROM '[0-9]{4}_[0-9]{2}$'), 'YYYY_MM')::timestamp AT TIME ZONE 'UTC', false
			FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
			WHERE i.inhparent = 'usage_events'::regclass AND c.relname ~ '^usage_events_[0-9]{4}_[0-9]{2}$'
		ORDER BY month`
	if err := t.SelectContext(ctx, &months, query); err != nil {
		return nil, fmt.Errorf("list the months: %w", err)
	}
	within := func(at time.Time) bool {
		return at.After(bounds.from) && (bounds.to.IsZero() || at.Before(bounds.to))
	}
	detached, cuts := map[time.Time]bool{}, []time.Time{}
	for _, m := range months {
		start, end := m.Month.UTC(), m.Month.UTC().AddDate(0, 1, 0)
		for _, at := range []time.Time{start, end} {
			if within(at) {
				cuts = append(cuts, at)
			}
		}
		if m.Detached && end.After(bounds.from) && (bounds.to.IsZero() || start.Before(bounds.to)) {
			detached[start] = true
			a.Note(usage.AuditNote{Kind: usage.NoteDetached, Month: start})
		}
	}
	cuts = append(append([]time.Time{bounds.from}, slices.CompactFunc(cuts, time.Time.Equal)...), bounds.to)
	var list []window
	for i := range len(cuts) - 1 {
		if !detached[month(cuts[i])] || cuts[i].IsZero() {
			list = append(list, window{cuts[i], cuts[i+1]})
		}
	}
	return list, nil
}

// month is the first instant of the UTC month that holds at.
func month(at time.Time) time.Time {
	year, m, _ := at.UTC().Date()
	return time.Date(year, m, 1, 0, 0, 0, 0, time.UTC)
}

// hoursQuery compares the single calls of a window ($3, $4) with its hourly figures and gives the rows that differ.
func hoursQuery(onePeriod bool) string {
	only := ""
	if onePeriod {
		only = ` AND period_id = $1 AND tenant_id = $5`
	}
	var sums, names, ours, theirs, shown strings.Builder
	for i, c := range hourColumns() {
		comma := ", "
		if i == 0 {
			comma = ""
		}
		fmt.Fprintf(&sums, "%s(%s)::bigint AS %s", comma, c.sum, c.name)
		if c.name == "caller_errors" {
			names.WriteString(comma + "CASE WHEN hour >= " + callersSince + " THEN caller_errors ELSE 0 END AS caller_errors")
		} else {
			names.WriteString(comma + c.name)
		}
		ours.WriteString(comma + "e." + c.name)
		theirs.WriteString(comma + "h." + c.name)
		fmt.Fprintf(&shown, ", coalesce(e.%s, 0), coalesce(h.%s, 0)", c.name, c.name)
	}
	return `WITH e AS (
			SELECT date_bin('1 hour', created_at, timestamptz 'epoch') AS hour, tenant_id, key_id, period_id, model, ` + sums.String() + `
			FROM usage_events WHERE created_at >= $3::timestamptz AND created_at < $4::timestamptz` + only + ` GROUP BY 1, 2, 3, 4, 5
		), h AS (
			SELECT hour, tenant_id, key_id, period_id, model, ` + names.String() + `
			FROM usage_hourly WHERE hour >= $3::timestamptz AND hour < $4::timestamptz` + only + `
		)
		SELECT coalesce(e.hour, h.hour), coalesce(e.tenant_id, h.tenant_id), coalesce(e.key_id, h.key_id), coalesce(e.period_id, h.period_id),
			coalesce(e.model, h.model), (SELECT name FROM tenants WHERE id = coalesce(e.tenant_id, h.tenant_id)), p.starts_at, p.ends_at` + shown.String() + `
		FROM e FULL JOIN h ON e.hour = h.hour AND e.tenant_id = h.tenant_id AND e.key_id = h.key_id AND e.period_id = h.period_id AND e.model = h.model
		LEFT JOIN billing_periods p ON p.id = coalesce(e.period_id, h.period_id) AND p.tenant_id = coalesce(e.tenant_id, h.tenant_id)
		WHERE (` + ours.String() + `) IS DISTINCT FROM (` + theirs.String() + `) AND (p.id IS NULL OR ` + inScope + `)
		ORDER BY 1, 2, 3, 4, 5`
}

// compareHours compares the single calls of a window with the hourly figures, and counts both.
func (a *auditor) compareHours(ctx context.Context, t *sqlx.Tx, w window) error {
	args := append(a.scopeArgs(), w.args()...)
	const count = `SELECT coalesce(sum(h.requests), 0)::bigint FROM usage_hourly h JOIN billing_periods p ON p.id = h.period_id
		WHERE h.hour >= $3::timestamptz AND h.hour < $4::timestamptz AND ` + inScope
	var calls int64
	if err := t.GetContext(ctx, &calls, count, args...); err != nil {
		return fmt.Errorf("count calls: %w", err)
	}
	if a.Scope.PeriodID != 0 {
		args = append(args, a.owner)
	}
	rows, err := t.QueryContext(ctx, hoursQuery(a.Scope.PeriodID != 0), args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		d, events, hours, err := scanHour(rows)
		if err != nil {
			return err
		}
		calls += events[requestsFigure] - hours[requestsFigure] // what is really there
		a.differHour(d, events, hours)
	}
	a.Compared(usage.CheckEventsHours, calls)
	return rows.Err()
}

func scanHour(rows *sql.Rows) (d usage.Difference, events, hours figures, err error) {
	var s subject
	into := []any{&d.Hour, &s.TenantID, &d.KeyID, &s.PeriodID, &d.Model, &s.Tenant, &s.Start, &s.End}
	for i := range events {
		into = append(into, &events[i], &hours[i])
	}
	err = rows.Scan(into...)
	d.Hour, d.AuditSubject = d.Hour.UTC(), s.of()
	return d, events, hours, err
}

// differHour tells of one hour, key and model whose figures differ.
func (a *auditor) differHour(d usage.Difference, events, hours figures) {
	if d.Start.IsZero() { // no such period of this customer: compareOwners tells of hours
		if hours[requestsFigure] == 0 {
			d.Check, d.Figure, d.Found = usage.CheckOwners, "requests", events[requestsFigure]
			a.Differ(d)
		}
		return
	}
	d.Check = usage.CheckEventsHours
	moved := a.moved[d.PeriodID]
	for i, c := range hourColumns() {
		moved[i] += events[i] - hours[i]
		if events[i] != hours[i] {
			d.Figure, d.Expected, d.Found = c.name, events[i], hours[i]
			a.Differ(d)
		}
	}
	a.moved[d.PeriodID] = moved
}
