package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/usage"
)

// usageReader reads what was used: of all tenants (tenantID 0) or of one. The panel reads with cost; a customer reads
// the same through Tenant, without cost, under the role that row-level security holds to that tenant.
type usageReader struct {
	q        sqlx.QueryerContext
	tenantID int64
	cost     bool
	now      time.Time
}

func (s *Store) usage(tenantID int64) usageReader {
	return usageReader{q: s.db, tenantID: tenantID, cost: true, now: s.now().UTC()}
}

// readOwn runs one read of the tenant's own usage.
func readOwn[T any](ctx context.Context, t *Tenant, read func(usageReader) (T, error)) (T, error) {
	var result T
	err := t.read(ctx, func(tx *tx) (err error) {
		result, err = read(usageReader{q: tx, tenantID: t.id, now: tx.now})
		return err
	})
	return result, err
}

// UsageMinutes gives the minutes of a span in which anything was used, of one tenant or of all (0); only the last
// two hours are kept. Tokens are without their cached and reasoning parts, and there is neither cost nor cache.
func (s *Store) UsageMinutes(ctx context.Context, tenantID int64, span usage.Period) ([]usage.Point, error) {
	return s.usage(tenantID).minutes(ctx, span)
}

// UsageHours gives the UTC hours of a span in which anything was used, of one tenant or of all (0).
func (s *Store) UsageHours(ctx context.Context, tenantID int64, span usage.Period) ([]usage.Point, error) {
	return s.usage(tenantID).hours(ctx, span)
}

// UsageByTenant gives the tenants that used most tokens in a span, at most limit, and how many used any.
func (s *Store) UsageByTenant(ctx context.Context, span usage.Period, limit int) (top []usage.Share, active int, err error) {
	folded, err := foldedUntil(ctx, s.db)
	if err != nil {
		return nil, 0, err
	}
	var rows []struct {
		shareRow
		Active int `db:"active"`
	}
	from, args := union(byDays(span, folded, tenantDays, tenantHours), "tenant_id, ", summed(true), "", limit)
	query := `SELECT h.*, COALESCE(t.name, '') AS name FROM (
			SELECT tenant_id AS id, count(*) OVER () AS active, ` + sumColumns(true) + `
			FROM (` + from + `) u
			GROUP BY tenant_id HAVING sum(requests) <> 0
			ORDER BY sum(input_tokens + output_tokens) DESC, tenant_id LIMIT $1
		) h LEFT JOIN tenants t ON t.id = h.id ORDER BY h.input_tokens + h.output_tokens DESC, h.id`
	if err := s.db.SelectContext(ctx, &rows, query, args...); err != nil {
		return nil, 0, fmt.Errorf("read usage by tenant: %w", err)
	}
	for _, r := range rows {
		top, active = append(top, r.share()), r.Active
	}
	return top, active, nil
}

// UsageByModel gives the models by tokens used in a span, most first, of one tenant or of all (0).
func (s *Store) UsageByModel(ctx context.Context, tenantID int64, span usage.Period) ([]usage.Share, error) {
	return s.usage(tenantID).byModel(ctx, span)
}

// UsageByKey gives the keys by tokens used in a span, most first, at most maxShares.
func (s *Store) UsageByKey(ctx context.Context, tenantID int64, span usage.Period) ([]usage.Share, error) {
	return s.usage(tenantID).byKey(ctx, span)
}

// UsageMinutes is Store.UsageMinutes of the tenant's own.
func (t *Tenant) UsageMinutes(ctx context.Context, span usage.Period) ([]usage.Point, error) {
	return readOwn(ctx, t, func(r usageReader) ([]usage.Point, error) { return r.minutes(ctx, span) })
}

// UsageHours is Store.UsageHours of the tenant's own, without cost and savings.
func (t *Tenant) UsageHours(ctx context.Context, span usage.Period) ([]usage.Point, error) {
	return readOwn(ctx, t, func(r usageReader) ([]usage.Point, error) { return r.hours(ctx, span) })
}

// UsageByModel is Store.UsageByModel of the tenant's own, without cost and savings.
func (t *Tenant) UsageByModel(ctx context.Context, span usage.Period) ([]usage.Share, error) {
	return readOwn(ctx, t, func(r usageReader) ([]usage.Share, error) { return r.byModel(ctx, span) })
}

// UsageByKey is Store.UsageByKey of the tenant's own, without cost and savings.
func (t *Tenant) UsageByKey(ctx context.Context, span usage.Period) ([]usage.Share, error) {
	return readOwn(ctx, t, func(r usageReader) ([]usage.Share, error) { return r.byKey(ctx, span) })
}

// maxShares bounds a breakdown; what is further down is too little to be shown.
const maxShares = 100

func (r usageReader) minutes(ctx context.Context, span usage.Period) ([]usage.Point, error) {
	const query = `SELECT minute AS start, sum(requests)::bigint AS requests, sum(failures)::bigint AS failures,
			sum(caller_errors)::bigint AS caller_errors, sum(input_tokens)::bigint AS input_tokens, sum(output_tokens)::bigint AS output_tokens
		FROM usage_minutes WHERE minute >= $2 AND minute < $3 AND ($1::bigint = 0 OR tenant_id = $1)
		GROUP BY minute ORDER BY minute`
	return r.points(ctx, query, r.tenantID, span.Start, span.End)
}

func (r usageReader) hours(ctx context.Context, span usage.Period) ([]usage.Point, error) {
	folded, err := foldedUntil(ctx, r.q)
	if err != nil {
		return nil, err
	}
	hours := tenantHours
	if r.tenantID == 0 && r.cost { // sums of all tenants are the operator's
		hours = allHours
	}
	var parts []string
	var args []any
	for _, one := range byHours(span, folded, hours) {
		var rows string
		rows, args = r.rows([]stretch{one}, "hour AS start, ", args...)
		if one.source == hourlyRows { // of the others each is a point
			rows = `SELECT start, ` + sumColumns(r.cost) + ` FROM (` + rows + `) u GROUP BY start`
		}
		parts = append(parts, rows)
	}
	if len(parts) == 0 {
		return nil, nil
	}
	return r.points(ctx, strings.Join(parts, "\nUNION ALL ")+` ORDER BY start`, args...)
}

func (r usageReader) points(ctx context.Context, query string, args ...any) ([]usage.Point, error) {
	var rows []struct {
		Start time.Time `db:"start"`
		totalsRow
	}
	if err := sqlx.SelectContext(ctx, r.q, &rows, query, args...); err != nil {
		return nil, fmt.Errorf("read usage series of tenant %d: %w", r.tenantID, err)
	}
	points := make([]usage.Point, len(rows))
	for i, row := range rows {
		points[i] = usage.Point{Start: row.Start.UTC(), Totals: row.totals()}
	}
	return points, nil
}

// rows is the SQL of the reader's rows over stretches, with these columns before the figures, and args with what it needs.
func (r usageReader) rows(stretches []stretch, columns string, args ...any) (string, []any) {
	where := ""
	if r.tenantID != 0 {
		where = " AND tenant_id = $1"
		if len(args) == 0 {
			args = []any{r.tenantID}
		}
	}
	return union(stretches, columns, summed(r.cost), where, args...)
}

func (r usageReader) byModel(ctx context.Context, span usage.Period) ([]usage.Share, error) {
	return r.shares(ctx, span, "model, ", func(from string) string {
		return `SELECT model AS name, ` + sumColumns(r.cost) + ` FROM (` + from + `) u
			GROUP BY model HAVING sum(requests) <> 0 ORDER BY sum(input_tokens + output_tokens) DESC, model`
	})
}

func (r usageReader) byKey(ctx context.Context, span usage.Period) ([]usage.Share, error) {
	return r.shares(ctx, span, "key_id, ", func(from string) string {
		return `SELECT h.*, COALESCE(k.name, '') AS name FROM (
				SELECT key_id AS id, ` + sumColumns(r.cost) + ` FROM (` + from + `) u
				GROUP BY key_id HAVING sum(requests) <> 0 ORDER BY sum(input_tokens + output_tokens) DESC, key_id LIMIT ` + strconv.Itoa(maxShares) + `
			) h LEFT JOIN api_keys k ON k.id = h.id ORDER BY h.input_tokens + h.output_tokens DESC, h.id`
	})
}

// shares reads sums by a column of rows; query writes the statement around those rows.
func (r usageReader) shares(ctx context.Context, span usage.Period, column string, query func(from string) string) ([]usage.Share, error) {
	folded, err := foldedUntil(ctx, r.q)
	if err != nil {
		return nil, err
	}
	from, args := r.rows(byDays(span, folded, keyDays, hourlyRows), column)
	var rows []shareRow
	if err := sqlx.SelectContext(ctx, r.q, &rows, query(from)+` LIMIT `+strconv.Itoa(maxShares), args...); err != nil {
		return nil, fmt.Errorf("read usage shares of tenant %d: %w", r.tenantID, err)
	}
	shares := make([]usage.Share, len(rows))
	for i, row := range rows {
		shares[i] = row.share()
	}
	return shares, nil
}

// summed are the columns of every table that sums usage; where a customer reads, who may not see them, without what
// calls cost and what the cache saved.
func summed(cost bool) []string {
	columns := []string{"requests", "failures", "caller_errors", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "charge_brl_micros",
		"cache_lookups", "cache_hits", "served_input", "served_output"}
	if cost {
		columns = append(columns, "cost_usd_micros", "saved_usd_micros")
	}
	return columns
}

func summedColumns(cost bool) string { return strings.Join(summed(cost), ", ") }

// sumColumns are the columns of totalsRow over rows of summedColumns.
func sumColumns(cost bool) string {
	columns := summed(cost)
	for i, c := range columns {
		columns[i] = "sum(" + c + ")::bigint AS " + c
	}
	return strings.Join(columns, ", ")
}

type totalsRow struct {
	Requests  int64 `db:"requests"`
	Failures  int64 `db:"failures"` // the callers' own among them
	Callers   int64 `db:"caller_errors"`
	Input     int64 `db:"input_tokens"`
	Cached    int64 `db:"cached_tokens"`
	Output    int64 `db:"output_tokens"`
	Reasoning int64 `db:"reasoning_tokens"`
	Cost      int64 `db:"cost_usd_micros"`
	Charge    int64 `db:"charge_brl_micros"`
	Lookups   int64 `db:"cache_lookups"`
	Hits      int64 `db:"cache_hits"`
	ServedIn  int64 `db:"served_input"`
	ServedOut int64 `db:"served_output"`
	Saved     int64 `db:"saved_usd_micros"`
}

func (r totalsRow) totals() usage.Totals {
	return usage.Totals{
		Requests: r.Requests, Failures: r.Failures - r.Callers, CallerErrors: r.Callers,
		Tokens:  usage.Tokens{Input: r.Input, Cached: r.Cached, Output: r.Output, Reasoning: r.Reasoning},
		CostUSD: money.Micros(r.Cost), ChargeBRL: money.Micros(r.Charge),
		CacheLookups: r.Lookups, CacheHits: r.Hits, ServedInput: r.ServedIn, ServedOutput: r.ServedOut, SavedUSD: money.Micros(r.Saved),
	}
}

type shareRow struct {
	ID   int64  `db:"id"`
	Name string `db:"name"`
	totalsRow
}

func (r shareRow) share() usage.Share {
	return usage.Share{ID: r.ID, Name: r.Name, Totals: r.totals()}
}
