package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/fila-ia/filaia/internal/usage"
)

// hourKey and minuteKey are the grains of the rollups.
type hourKey struct {
	hour                int64 // Unix microseconds
	tenant, key, period int64
	model               string
}

type minuteKey struct{ minute, tenant int64 }

// sums is one rollup row's additions. failures are all calls that ended in an error, callerErrors those of them that are the
// callers' own.
type sums struct {
	requests, failures, callerErrors, cost, charge, lookups, hits, saved int64
	tokens, served                                                       usage.Tokens
}

func (s *sums) add(e *usage.Event, charge int64) {
	s.requests++
	if e.Status == usage.Failed || e.Status == usage.Interrupted {
		s.failures++
	}
	if e.CallersFault() {
		s.callerErrors++
	}
	s.cost += int64(e.CostUSD)
	s.charge += charge
	s.tokens.Input += e.Tokens.Input
	s.tokens.Cached += e.Tokens.Cached
	s.tokens.Output += e.Tokens.Output
	s.tokens.Reasoning += e.Tokens.Reasoning
	s.served.Input += e.Served.Input
	s.served.Output += e.Served.Output
	s.saved += int64(e.SavedUSD)
	if e.Cache != usage.CacheBypass {
		s.lookups++
	}
	if e.Cache.Saved() {
		s.hits++
	}
}

func (t *tx) addRollups(ctx context.Context, events []usage.Event, charges []int64) error {
	hours, minutes := map[hourKey]*sums{}, map[minuteKey]*sums{}
	for i := range events {
		e := &events[i]
		h := hourKey{e.CreatedAt.Truncate(time.Hour).UnixMicro(), e.TenantID, e.KeyID, e.PeriodID, e.Model}
		slot(hours, h).add(e, charges[i])
		slot(minutes, minuteKey{e.CreatedAt.Truncate(time.Minute).UnixMicro(), e.TenantID}).add(e, charges[i])
	}
	if err := t.addHours(ctx, hours); err != nil {
		return err
	}
	return t.addMinutes(ctx, minutes)
}

func slot[K comparable](m map[K]*sums, key K) *sums {
	s := m[key]
	if s == nil {
		s = &sums{}
		m[key] = s
	}
	return s
}

// rollupRow is a grain with its additions. Rows are written in the order of their grain, so that two replicas never
// wait for each other crosswise.
type rollupRow[K any] struct {
	key K
	*sums
}

func sorted[K comparable](m map[K]*sums, compare func(a, b K) int) []rollupRow[K] {
	rows := make([]rollupRow[K], 0, len(m))
	for key, s := range m {
		rows = append(rows, rollupRow[K]{key, s})
	}
	slices.SortFunc(rows, func(a, b rollupRow[K]) int { return compare(a.key, b.key) })
	return rows
}

func (t *tx) addHours(ctx context.Context, hours map[hourKey]*sums) error {
	rows := sorted(hours, func(a, b hourKey) int {
		return cmp.Or(cmp.Compare(a.hour, b.hour), cmp.Compare(a.tenant, b.tenant), cmp.Compare(a.key, b.key),
			cmp.Compare(a.period, b.period), cmp.Compare(a.model, b.model))
	})
	type row = rollupRow[hourKey]
	const upsert = `INSERT INTO usage_hourly AS h (hour, tenant_id, key_id, period_id, model, requests, failures,
			input_tokens, cached_tokens, output_tokens, reasoning_tokens, cost_usd_micros, charge_brl_micros,
			cache_lookups, cache_hits, served_input, served_output, saved_usd_micros, caller_errors)
		SELECT timestamptz 'epoch' + hour * interval '1 microsecond', tenant, key, period, model, requests, failures,
			input, cached, output, reasoning, cost, charge, lookups, hits, served_in, served_out, saved, callers
		FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[],
			$9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[],
			$16::bigint[], $17::bigint[], $18::bigint[], $19::bigint[])
		AS n (hour, tenant, key, period, model, requests, failures, input, cached, output, reasoning, cost, charge,
			lookups, hits, served_in, served_out, saved, callers)
		ON CONFLICT (hour, tenant_id, key_id, period_id, model) DO UPDATE SET
			requests = h.requests + excluded.requests, failures = h.failures + excluded.failures,
			input_tokens = h.input_tokens + excluded.input_tokens, cached_tokens = h.cached_tokens + excluded.cached_tokens,
			output_tokens = h.output_tokens + excluded.output_tokens, reasoning_tokens = h.reasoning_tokens + excluded.reasoning_tokens,
			cost_usd_micros = h.cost_usd_micros + excluded.cost_usd_micros,
			charge_brl_micros = h.charge_brl_micros + excluded.charge_brl_micros,
			cache_lookups = h.cache_lookups + excluded.cache_lookups, cache_hits = h.cache_hits + excluded.cache_hits,
			served_input = h.served_input + excluded.served_input, served_output = h.served_output + excluded.served_output,
			saved_usd_micros = h.saved_usd_micros + excluded.saved_usd_micros, caller_errors = h.caller_errors + excluded.caller_errors`
	_, err := t.ExecContext(ctx, upsert,
		ints(rows, func(r *row) int64 { return r.key.hour }), ints(rows, func(r *row) int64 { return r.key.tenant }),
		ints(rows, func(r *row) int64 { return r.key.key }), ints(rows, func(r *row) int64 { return r.key.period }),
		texts(rows, func(r *row) string { return r.key.model }),
		ints(rows, func(r *row) int64 { return r.requests }), ints(rows, func(r *row) int64 { return r.failures }),
		ints(rows, func(r *row) int64 { return r.tokens.Input }), ints(rows, func(r *row) int64 { return r.tokens.Cached }),
		ints(rows, func(r *row) int64 { return r.tokens.Output }), ints(rows, func(r *row) int64 { return r.tokens.Reasoning }),
		ints(rows, func(r *row) int64 { return r.cost }), ints(rows, func(r *row) int64 { return r.charge }),
		ints(rows, func(r *row) int64 { return r.lookups }), ints(rows, func(r *row) int64 { return r.hits }),
		ints(rows, func(r *row) int64 { return r.served.Input }), ints(rows, func(r *row) int64 { return r.served.Output }),
		ints(rows, func(r *row) int64 { return r.saved }), ints(rows, func(r *row) int64 { return r.callerErrors }))
	if err != nil {
		return fmt.Errorf("add to hours: %w", err)
	}
	return nil
}

func (t *tx) addMinutes(ctx context.Context, minutes map[minuteKey]*sums) error {
	rows := sorted(minutes, func(a, b minuteKey) int {
		return cmp.Or(cmp.Compare(a.minute, b.minute), cmp.Compare(a.tenant, b.tenant))
	})
	type row = rollupRow[minuteKey]
	const upsert = `INSERT INTO usage_minutes AS m (minute, tenant_id, requests, failures, input_tokens, output_tokens, caller_errors)
		SELECT timestamptz 'epoch' + minute * interval '1 microsecond', tenant, requests, failures, input, output, callers
		FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
		AS n (minute, tenant, requests, failures, input, output, callers)
		ON CONFLICT (minute, tenant_id) DO UPDATE SET requests = m.requests + excluded.requests,
			failures = m.failures + excluded.failures, input_tokens = m.input_tokens + excluded.input_tokens,
			output_tokens = m.output_tokens + excluded.output_tokens, caller_errors = m.caller_errors + excluded.caller_errors`
	_, err := t.ExecContext(ctx, upsert,
		ints(rows, func(r *row) int64 { return r.key.minute }), ints(rows, func(r *row) int64 { return r.key.tenant }),
		ints(rows, func(r *row) int64 { return r.requests }), ints(rows, func(r *row) int64 { return r.failures }),
		ints(rows, func(r *row) int64 { return r.tokens.Input }), ints(rows, func(r *row) int64 { return r.tokens.Output }),
		ints(rows, func(r *row) int64 { return r.callerErrors }))
	if err != nil {
		return fmt.Errorf("add to minutes: %w", err)
	}
	return nil
}
