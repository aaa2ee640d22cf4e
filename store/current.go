package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
)

// CurrentUsage is what a tenant's own subscription used in its current period; keys with a plan of their own are not
// part of it. A period that nobody has called in yet is opened, so that the answer always has one.
func (s *Store) CurrentUsage(ctx context.Context, tenantID int64) (u usage.Current, err error) {
	err = s.inTx(ctx, func(t *tx) error {
		var subscriptionID int64
		const own = `SELECT id FROM subscriptions WHERE tenant_id = $1 AND scope = 'tenant' ORDER BY ended_at DESC NULLS FIRST LIMIT 1`
		if err := t.GetContext(ctx, &subscriptionID, own, tenantID); err != nil {
			return known(err, "tenants.error.not_found")
		}
		period, err := t.ensurePeriod(ctx, subscriptionID)
		if err != nil {
			return err
		}
		u, err = t.periodUsage(ctx, period.ID)
		return err
	})
	if err != nil {
		return u, fmt.Errorf("usage of tenant %d: %w", tenantID, err)
	}
	return u, nil
}

func (t *tx) periodUsage(ctx context.Context, periodID int64) (u usage.Current, err error) {
	var r struct {
		PlanName  string        `db:"plan_name"`
		Overage   string        `db:"overage"`
		TimeZone  string        `db:"time_zone"`
		StartsAt  time.Time     `db:"starts_at"`
		EndsAt    time.Time     `db:"ends_at"`
		LimitIn   int64         `db:"limit_in"`
		LimitOut  int64         `db:"limit_out"`
		UsedIn    int64         `db:"used_in"`
		UsedOut   int64         `db:"used_out"`
		Requests  sql.NullInt64 `db:"requests"`
		Failures  sql.NullInt64 `db:"failures"`
		Callers   sql.NullInt64 `db:"callers"`
		Cached    sql.NullInt64 `db:"cached"`
		Reasoning sql.NullInt64 `db:"reasoning"`
		Cost      sql.NullInt64 `db:"cost"`
		Charge    sql.NullInt64 `db:"charge"`
		Lookups   sql.NullInt64 `db:"lookups"`
		Hits      sql.NullInt64 `db:"hits"`
		ServedIn  sql.NullInt64 `db:"served_in"`
		ServedOut sql.NullInt64 `db:"served_out"`
		Saved     sql.NullInt64 `db:"saved"`
	}
	from, args, err := t.periodRows(ctx, periodID)
	if err != nil {
		return u, err
	}
	query := `SELECT pl.name AS plan_name, v.overage, tn.time_zone, p.starts_at, p.ends_at,
			b.limit_in, b.limit_out, b.used_in, b.used_out, h.*
		FROM billing_periods p
		JOIN quota_buckets b ON b.period_id = p.id
		JOIN plan_versions v ON v.id = p.plan_version_id
		JOIN plans pl ON pl.id = v.plan_id
		JOIN tenants tn ON tn.id = p.tenant_id
		CROSS JOIN (SELECT sum(requests)::bigint AS requests, sum(failures)::bigint AS failures, sum(caller_errors)::bigint AS callers, sum(cached_tokens)::bigint AS cached,
			sum(reasoning_tokens)::bigint AS reasoning, sum(cost_usd_micros)::bigint AS cost, sum(charge_brl_micros)::bigint AS charge,
			sum(cache_lookups)::bigint AS lookups, sum(cache_hits)::bigint AS hits, sum(served_input)::bigint AS served_in,
			sum(served_output)::bigint AS served_out, sum(saved_usd_micros)::bigint AS saved
			FROM (` + from + `) u) h
		WHERE p.id = $1`
	if err := t.GetContext(ctx, &r, query, args...); err != nil {
		return u, fmt.Errorf("read period %d: %w", periodID, err)
	}
	zone, err := time.LoadLocation(r.TimeZone)
	if err != nil {
		return u, fmt.Errorf("period %d: %w", periodID, err)
	}
	return usage.Current{
		PlanName: r.PlanName, Hard: r.Overage == string(tenancy.Block), Zone: zone,
		Period: usage.Period{Start: r.StartsAt.UTC(), End: r.EndsAt.UTC()}, LimitInput: r.LimitIn, LimitOutput: r.LimitOut,
		Totals: usage.Totals{
			Requests: r.Requests.Int64, Failures: r.Failures.Int64 - r.Callers.Int64, CallerErrors: r.Callers.Int64,
			Tokens:  usage.Tokens{Input: r.UsedIn, Cached: r.Cached.Int64, Output: r.UsedOut, Reasoning: r.Reasoning.Int64},
			CostUSD: money.Micros(r.Cost.Int64), ChargeBRL: money.Micros(r.Charge.Int64),
			CacheLookups: r.Lookups.Int64, CacheHits: r.Hits.Int64, ServedInput: r.ServedIn.Int64, ServedOutput: r.ServedOut.Int64,
			SavedUSD: money.Micros(r.Saved.Int64),
		},
	}, nil
}

// periodRows is the SQL of what was used in a period: days that are folded, and hours of those that are not. An event may
// be of a period without being of its time, so that only its id tells.
func (t *tx) periodRows(ctx context.Context, periodID int64) (string, []any, error) {
	folded, err := foldedUntil(ctx, t)
	if err != nil {
		return "", nil, err
	}
	var tenantID int64
	if err := t.GetContext(ctx, &tenantID, `SELECT tenant_id FROM billing_periods WHERE id = $1`, periodID); err != nil {
		return "", nil, fmt.Errorf("read period %d: %w", periodID, err)
	}
	day := folded.Truncate(utcDay)
	columns := summedColumns(true)
	return `SELECT ` + columns + ` FROM usage_key_days WHERE period_id = $1 AND tenant_id = $2 AND day < $3
		UNION ALL SELECT ` + columns + ` FROM usage_hourly WHERE period_id = $1 AND tenant_id = $2 AND hour >= $3`, []any{periodID, tenantID, day}, nil
}
