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
	committed func(Committed)
	prepared  *prepared
	judgement judgement
	shelf     shelf
}

// Committed is what one commit did in one period.
type Committed struct {
	PeriodID int64
	Lease    quota.Stand // how this replica's lease stands after it
	Overrun  quota.Pair  // tokens that no limit could stop
}

// UsageCommitter gives the sink of one replica. committed hears of every period of a batch that is in the books.
func (s *Store) UsageCommitter(replica string, committed func(Committed)) *UsageCommitter {
	return &UsageCommitter{s: s, replica: replica, committed: committed, prepared: newPrepared(s.commits)}
}

// CommitUsage adds the events, the rollups, the buckets and the leases in one transaction.
func (c *UsageCommitter) CommitUsage(ctx context.Context, events []usage.Event) error {
	if len(events) == 0 {
		return nil
	}
	events = tamed(events)
	accounts, err := c.commit(ctx, events)
	if errors.Is(err, errDuplicates) || errors.Is(err, errArchived) {
		accounts, err = c.replay(ctx, events)
	}
	if err != nil {
		return fmt.Errorf("commit %d usage events: %w", len(events), err)
	}
	for id, a := range accounts {
		c.committed(Committed{PeriodID: id, Lease: a.stand(), Overrun: a.overrun})
	}
	return nil
}

// replay commits what is really new of a batch that came before, whole or in part. Only this process writes these ids,
// so nobody adds them meanwhile. How the leases stand after what came before was maybe never heard: it is heard with
// their next change.
func (c *UsageCommitter) replay(ctx context.Context, events []usage.Event) (map[int64]*account, error) {
	fresh, err := c.fresh(ctx, events)
	if err != nil || len(fresh) == 0 {
		return nil, err
	}
	return c.commit(ctx, fresh)
}

// commit adds events that are all new. The accounts are as they stand after it.
func (c *UsageCommitter) commit(ctx context.Context, events []usage.Event) (map[int64]*account, error) {
	accounts, err := c.attempt(ctx, events, c.judge(events))
	if errors.Is(err, errMisjudged) {
		accounts, err = c.attempt(ctx, events, nil)
	}
	if err == nil {
		c.learn(accounts)
	}
	return accounts, err
}

// attempt adds the events with what they are judged to be charged, before it locks anything that other replicas wait
// for; or, where nothing is judged, with what they are charged. The order of locks is the same for all replicas: buckets,
// leases, hours, minutes, responses, keys, each by its id.
func (c *UsageCommitter) attempt(ctx context.Context, events []usage.Event, judged []int64) (accounts map[int64]*account, err error) {
	var dropped map[string]int
	err = c.s.inCommit(ctx, c.prepared, func(t *tx) (err error) {
		if judged != nil {
			if err := t.insertEvents(ctx, events, judged); err != nil {
				return err
			}
		}
		if accounts, err = c.lockAccounts(ctx, t, events); err != nil {
			return err
		}
		charges := charge(events, accounts)
		if judged == nil {
			err = t.insertEvents(ctx, events, charges)
		} else if !slices.Equal(judged, charges) {
			err = errMisjudged
		}
		if err != nil {
			return err
		}
		if dropped, err = c.refuseArchived(ctx, t, events); err != nil {
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
		if err := t.raiseAlerts(ctx, accounts); err != nil {
			return err
		}
		return t.touch(ctx, events)
	})
	if err == nil {
		c.shelf.tell(dropped)
	}
	return accounts, err
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
	aside, _, err := archived(ctx, c.s.db, events)
	if err != nil {
		return nil, err
	}
	known = append(known, aside...)
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
	const update = `WITH noted AS (
			UPDATE api_keys k SET last_used_at = timestamptz 'epoch' + u.at * interval '1 microsecond'
			FROM unnest($1::bigint[], $2::bigint[]) AS u (id, at)
			WHERE k.id = u.id AND (k.last_used_at IS NULL OR k.last_used_at < timestamptz 'epoch' + (u.at - 60000000) * interval '1 microsecond')
		) SELECT pg_notify('filaia_usage', '')`
	_, err := t.ExecContext(ctx, update,
		ints(keys, func(u *used) int64 { return u.key }), ints(keys, func(u *used) int64 { return u.at.UnixMicro() }))
	if err != nil {
		return fmt.Errorf("note use of keys: %w", err)
	}
	return nil
}
