package store

import (
	"context"
	"fmt"
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
	var rows []struct {
		shareRow
		Active int `db:"active"`
	}
	query := `SELECT h.*, COALESCE(t.name, '') AS name FROM (
			SELECT tenant_id AS id, count(*) OVER () AS active, ` + sumColumns(true) + `
			FROM usage_hourly WHERE hour >= $1 AND hour < $2
			GROUP BY tenant_id ORDER BY sum(input_tokens + output_tokens) DESC, tenant_id LIMIT $3
		) h LEFT JOIN tenants t ON t.id = h.id ORDER BY h.input_tokens + h.output_tokens DESC, h.id`
	if err := s.db.SelectContext(ctx, &rows, query, span.Start, span.End, limit); err != nil {
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
			sum(input_tokens)::bigint AS input_tokens, sum(output_tokens)::bigint AS output_tokens
		FROM usage_minutes WHERE minute >= $2 AND minute < $3 AND ($1::bigint = 0 OR tenant_id = $1)
		GROUP BY minute ORDER BY minute`
	return r.points(ctx, query, span)
}

func (r usageReader) hours(ctx context.Context, span usage.Period) ([]usage.Point, error) {
	query := `SELECT hour AS start, ` + sumColumns(r.cost) + `
		FROM usage_hourly WHERE hour >= $2 AND hour < $3 AND ($1::bigint = 0 OR tenant_id = $1)
		GROUP BY hour ORDER BY hour`
	return r.points(ctx, query, span)
}

func (r usageReader) points(ctx context.Context, query string, span usage.Period) ([]usage.Point, error) {
	var rows []struct {
		Start time.Time `db:"start"`
		totalsRow
	}
	if err := sqlx.SelectContext(ctx, r.q, &rows, query, r.tenantID, span.Start, span.End); err != nil {
		return nil, fmt.Errorf("read usage series of tenant %d: %w", r.tenantID, err)
	}
	points := make([]usage.Point, len(rows))
	for i, row := range rows {
		points[i] = usage.Point{Start: row.Start.UTC(), Totals: row.totals()}
	}
	return points, nil
}

func (r usageReader) byModel(ctx context.Context, span usage.Period) ([]usage.Share, error) {
	return r.shares(ctx, span, `SELECT model AS name, `+sumColumns(r.cost)+`
		FROM usage_hourly WHERE hour >= $2 AND hour < $3 AND ($1::bigint = 0 OR tenant_id = $1)
		GROUP BY model ORDER BY sum(input_tokens + output_tokens) DESC, model LIMIT $4`)
}

func (r usageReader) byKey(ctx context.Context, span usage.Period) ([]usage.Share, error) {
	return r.shares(ctx, span, `SELECT h.*, COALESCE(k.name, '') AS name FROM (
			SELECT key_id AS id, `+sumColumns(r.cost)+`
			FROM usage_hourly WHERE hour >= $2 AND hour < $3 AND ($1::bigint = 0 OR tenant_id = $1)
			GROUP BY key_id ORDER BY sum(input_tokens + output_tokens) DESC, key_id LIMIT $4
		) h LEFT JOIN api_keys k ON k.id = h.id ORDER BY h.input_tokens + h.output_tokens DESC, h.id`)
}

func (r usageReader) shares(ctx context.Context, span usage.Period, query string) ([]usage.Share, error) {
	var rows []shareRow
	if err := sqlx.SelectContext(ctx, r.q, &rows, query, r.tenantID, span.Start, span.End, maxShares); err != nil {
		return nil, fmt.Errorf("read usage shares of tenant %d: %w", r.tenantID, err)
	}
	shares := make([]usage.Share, len(rows))
	for i, row := range rows {
		shares[i] = row.share()
	}
	return shares, nil
}

// sumColumns are the columns of totalsRow over usage_hourly; where a customer reads, who may not see them, without what
// calls cost and what the cache saved.
func sumColumns(cost bool) string {
	columns := `sum(requests)::bigint AS requests, sum(failures)::bigint AS failures,
		sum(input_tokens)::bigint AS input_tokens, sum(cached_tokens)::bigint AS cached_tokens,
		sum(output_tokens)::bigint AS output_tokens, sum(reasoning_tokens)::bigint AS reasoning_tokens,
		sum(charge_brl_micros)::bigint AS charge_brl_micros,
		sum(cache_lookups)::bigint AS cache_lookups, sum(cache_hits)::bigint AS cache_hits,
		sum(served_input)::bigint AS served_input, sum(served_output)::bigint AS served_output`
	if cost {
		columns += `, sum(cost_usd_micros)::bigint AS cost_usd_micros, sum(saved_usd_micros)::bigint AS saved_usd_micros`
	}
	return columns
}

type totalsRow struct {
	Requests  int64 `db:"requests"`
	Failures  int64 `db:"failures"`
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
		Requests: r.Requests, Failures: r.Failures,
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
