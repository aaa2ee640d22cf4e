package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/usage"
)

// How many of the newest calls tell the latency: enough for a steady p95, and a bounded read. Those of all tenants lie side
// by side; those of one lie between others', so that each may be a page of its own.
const (
	latencySample    = 10_000
	ownLatencySample = 2_000
)

// recentDays is how far back the newest calls are looked for first: then months before are neither planned nor opened.
const recentDays = 31 * 24 * time.Hour

// Calls gives the newest calls, newest first, of one tenant or of all (0). before is the id that the page before
// ended with, uuid.Nil for the first page: a page costs the same however deep it lies.
func (s *Store) Calls(ctx context.Context, tenantID int64, before uuid.UUID, limit int) ([]usage.Call, error) {
	return s.usage(tenantID).calls(ctx, before, limit)
}

// Calls is Store.Calls of the tenant's own, without cost, savings and provider.
func (t *Tenant) Calls(ctx context.Context, before uuid.UUID, limit int) ([]usage.Call, error) {
	return readOwn(ctx, t, func(r usageReader) ([]usage.Call, error) { return r.calls(ctx, before, limit) })
}

// Latency measures the answered calls among the newest of the last month: ten thousand of all tenants (0), or two
// thousand of one.
func (s *Store) Latency(ctx context.Context, tenantID int64) (usage.Latency, error) {
	return s.usage(tenantID).latency(ctx)
}

// Latency is Store.Latency of the tenant's own.
func (t *Tenant) Latency(ctx context.Context) (usage.Latency, error) {
	return readOwn(ctx, t, func(r usageReader) (usage.Latency, error) { return r.latency(ctx) })
}

func (r usageReader) latency(ctx context.Context) (usage.Latency, error) {
	var row struct {
		Calls int   `db:"calls"`
		P50   int64 `db:"p50"`
		P95   int64 `db:"p95"`
	}
	// The failed calls are left out after the limit, not before it: a tenant with errors only would be read whole.
	const query = `SELECT count(*) AS calls,
			COALESCE(percentile_disc(0.5) WITHIN GROUP (ORDER BY latency_ms), 0) AS p50,
			COALESCE(percentile_disc(0.95) WITHIN GROUP (ORDER BY latency_ms), 0) AS p95
		FROM (SELECT status, latency_ms FROM usage_events WHERE ($1::bigint = 0 OR tenant_id = $1) AND created_at >= $2
			ORDER BY id DESC LIMIT $3) newest
		WHERE status = 'ok'`
	sample := latencySample
	if r.tenantID != 0 {
		sample = ownLatencySample
	}
	if err := sqlx.GetContext(ctx, r.q, &row, query, r.tenantID, r.now.Add(-recentDays), sample); err != nil {
		return usage.Latency{}, fmt.Errorf("read latency of tenant %d: %w", r.tenantID, err)
	}
	return usage.Latency{
		P50: time.Duration(row.P50) * time.Millisecond, P95: time.Duration(row.P95) * time.Millisecond, Calls: row.Calls,
	}, nil
}

type callRow struct {
	ID          uuid.UUID `db:"id"`
	CreatedAt   time.Time `db:"created_at"`
	TenantID    int64     `db:"tenant_id"`
	TenantName  string    `db:"tenant_name"`
	KeyID       int64     `db:"key_id"`
	KeyName     string    `db:"key_name"`
	PeriodID    int64     `db:"period_id"`
	Model       string    `db:"model"`
	Endpoint    string    `db:"endpoint"`
	Status      string    `db:"status"`
	HTTPStatus  int       `db:"http_status"`
	Streamed    bool      `db:"streamed"`
	Estimated   bool      `db:"estimated"`
	Input       int64     `db:"input_tokens"`
	Cached      int64     `db:"cached_tokens"`
	Output      int64     `db:"output_tokens"`
	Reasoning   int64     `db:"reasoning_tokens"`
	Cost        int64     `db:"cost_usd_micros"`
	Charge      int64     `db:"charge_brl_micros"`
	LatencyMS   int64     `db:"latency_ms"`
	FirstByteMS int64     `db:"first_byte_ms"`
	RequestID   string    `db:"request_id"`
	Cache       string    `db:"cache"`
	ServedInput int64     `db:"served_input"`
	ServedOut   int64     `db:"served_output"`
	Saved       int64     `db:"saved_usd_micros"`
	Provider    string    `db:"provider"`
}

func (r usageReader) calls(ctx context.Context, before uuid.UUID, limit int) ([]usage.Call, error) {
	if before == uuid.Nil {
		before = uuid.Max
	}
	from, until := callTimes(before, r.now)
	list, err := r.callsBetween(ctx, before, usage.Period{Start: from, End: until}, limit)
	if err == nil && len(list) < limit {
		return r.callsBetween(ctx, before, usage.Period{End: until}, limit)
	}
	return list, err
}

// callTimes are between when the newest calls before one with this id were most likely made, and surely not after.
func callTimes(before uuid.UUID, now time.Time) (from, until time.Time) {
	ms := int64(before[0])<<40 | int64(before[1])<<32 | int64(before[2])<<24 | int64(before[3])<<16 | int64(before[4])<<8 | int64(before[5])
	until = time.UnixMilli(ms + 1).UTC() // created_at is the id's time
	return minTime(until, now).Add(-recentDays), until
}

// callsBetween gives the newest calls before an id that were made in a span.
func (r usageReader) callsBetween(ctx context.Context, before uuid.UUID, span usage.Period, limit int) ([]usage.Call, error) {
	cost := ""
	if r.cost {
		cost = ", cost_usd_micros, saved_usd_micros, provider"
	}
	query := `SELECT e.*, COALESCE(t.name, '') AS tenant_name, COALESCE(k.name, '') AS key_name FROM (
			SELECT id, created_at, tenant_id, key_id, period_id, model, endpoint, status, http_status, streamed, estimated,
				input_tokens, cached_tokens, output_tokens, reasoning_tokens, charge_brl_micros, latency_ms, first_byte_ms,
				request_id, cache, served_input, served_output` + cost + `
			FROM usage_events WHERE ($1::bigint = 0 OR tenant_id = $1) AND id < $2
				AND created_at >= $3 AND created_at <= $4 ORDER BY id DESC LIMIT $5
		) e LEFT JOIN tenants t ON t.id = e.tenant_id LEFT JOIN api_keys k ON k.id = e.key_id ORDER BY e.id DESC`
	var rows []callRow
	if err := sqlx.SelectContext(ctx, r.q, &rows, query, r.tenantID, before, span.Start, span.End, limit); err != nil {
		return nil, fmt.Errorf("read calls of tenant %d: %w", r.tenantID, err)
	}
	calls := make([]usage.Call, len(rows))
	for i, row := range rows {
		calls[i] = row.call()
	}
	return calls, nil
}

func (r callRow) call() usage.Call {
	return usage.Call{TenantName: r.TenantName, KeyName: r.KeyName, Event: usage.Event{
		ID: r.ID, CreatedAt: r.CreatedAt.UTC(), TenantID: r.TenantID, KeyID: r.KeyID, PeriodID: r.PeriodID,
		Model: r.Model, Endpoint: r.Endpoint, Status: statusOf(r.Status), HTTPStatus: r.HTTPStatus,
		Streamed: r.Streamed, Estimated: r.Estimated,
		Tokens:  usage.Tokens{Input: r.Input, Cached: r.Cached, Output: r.Output, Reasoning: r.Reasoning},
		CostUSD: money.Micros(r.Cost), LatencyMS: r.LatencyMS, FirstByteMS: r.FirstByteMS, RequestID: r.RequestID,
		Served: usage.Tokens{Input: r.ServedInput, Output: r.ServedOut}, Cache: cacheOf(r.Cache), SavedUSD: money.Micros(r.Saved),
		Provider: r.Provider,
	}}
}

// statusOf reads usage.Status's own word; the table holds no other.
func statusOf(word string) usage.Status {
	for _, s := range []usage.Status{usage.OK, usage.Failed, usage.Aborted} {
		if s.String() == word {
			return s
		}
	}
	return usage.Interrupted
}

// cacheOf reads usage.Cache's own word; the table holds no other.
func cacheOf(word string) usage.Cache {
	for _, c := range []usage.Cache{usage.CacheMiss, usage.CacheHit, usage.CacheCoalesced} {
		if c.String() == word {
			return c
		}
	}
	return usage.CacheBypass
}
