package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/quota"
	"github.com/fila-ia/filaia/internal/usage"
)

// UsageCommitter writes batches of usage events; it is the sink of the ledger. Events that are there already are
// ignored, so that a batch may come twice.
type UsageCommitter struct {
	s         *Store
	replica   string
	uncovered func(periodID int64, tokens quota.Pair)
}

// UsageCommitter gives the sink of one replica. uncovered hears of tokens that its leases did not cover.
func (s *Store) UsageCommitter(replica string, uncovered func(periodID int64, tokens quota.Pair)) *UsageCommitter {
	return &UsageCommitter{s: s, replica: replica, uncovered: uncovered}
}

// errDuplicates rolls back a batch that holds events which are there already.
var errDuplicates = errors.New("events already committed")

// CommitUsage adds the events, the rollups, the buckets and the leases in one transaction.
func (c *UsageCommitter) CommitUsage(ctx context.Context, events []usage.Event) error {
	err := c.commit(ctx, events)
	if !errors.Is(err, errDuplicates) {
		return err
	}
	// A replay: commit what is really new. Only this process writes these ids, so nobody adds them meanwhile.
	fresh, err := c.fresh(ctx, events)
	if err != nil || len(fresh) == 0 {
		return err
	}
	return c.commit(ctx, fresh)
}

func (c *UsageCommitter) commit(ctx context.Context, events []usage.Event) error {
	if len(events) == 0 {
		return nil
	}
	events = tamed(events)
	var accounts map[int64]*account
	err := c.s.inTx(ctx, func(t *tx) (err error) {
		if accounts, err = c.lockAccounts(ctx, t, events); err != nil {
			return err
		}
		charges := charge(events, accounts)
		if err := t.insertEvents(ctx, events, charges); err != nil {
			return err
		}
		if err := t.addRollups(ctx, events, charges); err != nil {
			return err
		}
		if err := t.insertResponses(ctx, events); err != nil {
			return err
		}
		if err := c.saveAccounts(ctx, t, accounts); err != nil {
			return err
		}
		return t.touch(ctx, events)
	})
	if err != nil {
		return fmt.Errorf("commit %d usage events: %w", len(events), err)
	}
	for id, a := range accounts {
		if a.uncovered != (quota.Pair{}) {
			c.uncovered(id, a.uncovered)
		}
	}
	return nil
}

// fresh keeps the events that are not in the database, each once.
func (c *UsageCommitter) fresh(ctx context.Context, events []usage.Event) ([]usage.Event, error) {
	ids := uuids(events, func(e *usage.Event) uuid.UUID { return e.ID })
	first, last := events[0].CreatedAt, events[0].CreatedAt
	for i := range events {
		if at := events[i].CreatedAt; at.Before(first) {
			first = at
		} else if at.After(last) {
			last = at
		}
	}
	const query = `SELECT id FROM usage_events WHERE id = ANY ($1::uuid[]) AND created_at BETWEEN $2 AND $3`
	var known []uuid.UUID
	// PostgreSQL keeps microseconds.
	if err := c.s.db.SelectContext(ctx, &known, query, ids, first.UTC().Truncate(time.Microsecond), last.UTC()); err != nil {
		return nil, fmt.Errorf("look for committed events: %w", err)
	}
	seen := make(map[uuid.UUID]bool, len(known))
	for _, id := range known {
		seen[id] = true
	}
	return slices.DeleteFunc(slices.Clone(events), func(e usage.Event) bool {
		was := seen[e.ID]
		seen[e.ID] = true
		return was
	}), nil
}

func (t *tx) insertEvents(ctx context.Context, events []usage.Event, charges []int64) error {
	const insert = `INSERT INTO usage_events (id, created_at, tenant_id, key_id, period_id, model, endpoint, status, http_status,
			streamed, estimated, input_tokens, cached_tokens, output_tokens, reasoning_tokens, cost_usd_micros, charge_brl_micros,
			latency_ms, first_byte_ms, request_id, provider_id, provider, cache, served_input, served_output, saved_usd_micros)
		SELECT id, timestamptz 'epoch' + at * interval '1 microsecond', tenant, key, period, model, endpoint, status, http,
			streamed, estimated, input, cached, output, reasoning, cost, charge, latency, first_byte, request, provider_id,
			provider, cache, served_in, served_out, saved
		FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::text[],
			$9::smallint[], $10::boolean[], $11::boolean[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[],
			$16::bigint[], $17::bigint[], $18::int[], $19::int[], $20::text[], $21::text[], $22::text[], $23::text[],
			$24::bigint[], $25::bigint[], $26::bigint[])
		AS e (id, at, tenant, key, period, model, endpoint, status, http, streamed, estimated, input, cached, output,
			reasoning, cost, charge, latency, first_byte, request, provider_id, provider, cache, served_in, served_out, saved)
		ON CONFLICT DO NOTHING`
	type event = usage.Event
	i := -1
	result, err := t.ExecContext(ctx, insert,
		uuids(events, func(e *event) uuid.UUID { return e.ID }),
		ints(events, func(e *event) int64 { return e.CreatedAt.UnixMicro() }),
		ints(events, func(e *event) int64 { return e.TenantID }),
		ints(events, func(e *event) int64 { return e.KeyID }),
		ints(events, func(e *event) int64 { return e.PeriodID }),
		texts(events, func(e *event) string { return e.Model }),
		texts(events, func(e *event) string { return e.Endpoint }),
		texts(events, func(e *event) string { return e.Status.String() }),
		ints(events, func(e *event) int64 { return int64(e.HTTPStatus) }),
		bools(events, func(e *event) bool { return e.Streamed }),
		bools(events, func(e *event) bool { return e.Estimated }),
		ints(events, func(e *event) int64 { return e.Tokens.Input }),
		ints(events, func(e *event) int64 { return e.Tokens.Cached }),
		ints(events, func(e *event) int64 { return e.Tokens.Output }),
		ints(events, func(e *event) int64 { return e.Tokens.Reasoning }),
		ints(events, func(e *event) int64 { return int64(e.CostUSD) }),
		ints(events, func(*event) int64 { i++; return charges[i] }),
		ints(events, func(e *event) int64 { return e.LatencyMS }),
		ints(events, func(e *event) int64 { return e.FirstByteMS }),
		texts(events, func(e *event) string { return e.RequestID }),
		texts(events, func(e *event) string { return e.ProviderID }),
		texts(events, func(e *event) string { return e.Provider }),
		texts(events, func(e *event) string { return e.Cache.String() }),
		ints(events, func(e *event) int64 { return e.Served.Input }),
		ints(events, func(e *event) int64 { return e.Served.Output }),
		ints(events, func(e *event) int64 { return int64(e.SavedUSD) }))
	if err != nil {
		return fmt.Errorf("insert events: %w", err)
	}
	if n, err := result.RowsAffected(); err != nil || int(n) != len(events) {
		return errors.Join(errDuplicates, err)
	}
	return nil
}

// touch notes when keys were last used, at most once a minute each, and tells the dashboards.
func (t *tx) touch(ctx context.Context, events []usage.Event) error {
	newest := map[int64]time.Time{}
	for i := range events {
		if e := &events[i]; e.CreatedAt.After(newest[e.KeyID]) {
			newest[e.KeyID] = e.CreatedAt
		}
	}
	type used struct {
		key int64
		at  time.Time
	}
	var keys []used
	for key, at := range newest {
		keys = append(keys, used{key, at})
	}
	slices.SortFunc(keys, func(a, b used) int { return int(a.key - b.key) })
	const update = `UPDATE api_keys k SET last_used_at = timestamptz 'epoch' + u.at * interval '1 microsecond'
		FROM unnest($1::bigint[], $2::bigint[]) AS u (id, at)
		WHERE k.id = u.id AND (k.last_used_at IS NULL OR k.last_used_at < timestamptz 'epoch' + (u.at - 60000000) * interval '1 microsecond')`
	_, err := t.ExecContext(ctx, update,
		ints(keys, func(u *used) int64 { return u.key }), ints(keys, func(u *used) int64 { return u.at.UnixMicro() }))
	if err != nil {
		return fmt.Errorf("note use of keys: %w", err)
	}
	if _, err := t.ExecContext(ctx, `SELECT pg_notify('filaia_usage', '')`); err != nil {
		return fmt.Errorf("tell of usage: %w", err)
	}
	return nil
}
