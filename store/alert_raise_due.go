package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// dueBatch is how many periods are looked at in one transaction.
const dueBatch = 500

// RaiseDue looks at periods whose rules or limits changed and that nobody has called in since: what they have reached is told
// without a call. Any replica may do it at any time; buckets that a commit holds are left to the commit, or to the next time.
func (s *Store) RaiseDue(ctx context.Context) error {
	broken := s.raiseDue(ctx, `SELECT b.period_id FROM quota_buckets b WHERE b.alert_version = 0`)
	var version int64
	if err := s.db.GetContext(ctx, &version, rulesVersion); err != nil {
		return errors.Join(broken, fmt.Errorf("read the rules' version: %w", err))
	}
	if s.lookedUnder.Load() == version {
		return broken
	}
	// Open periods are few beside those that ever were. They are named to the database, which would otherwise have to guess how many
	// buckets are under other rules: where none is, and then all are, it would compare each with each.
	var open []int64
	if err := s.db.SelectContext(ctx, &open, `SELECT id FROM billing_periods WHERE ends_at > now() AND starts_at <= now() ORDER BY id`); err != nil {
		return errors.Join(broken, fmt.Errorf("find open periods: %w", err))
	}
	all := true
	for ids := range slices.Chunk(open, dueBatch) {
		const older = `SELECT b.period_id FROM quota_buckets b WHERE b.period_id = ANY ($1::bigint[]) AND b.alert_version <> (` + rulesVersion + `)`
		list := ints(ids, func(id *int64) int64 { return *id })
		broken = errors.Join(broken, s.raiseDue(ctx, older, list))
		// A bucket that was held just now may have been held by a commit that knows the rules of before.
		var left bool
		if err := s.db.GetContext(ctx, &left, `SELECT EXISTS (`+older+`)`, list); err != nil {
			return errors.Join(broken, fmt.Errorf("find periods to look at: %w", err))
		}
		all = all && !left
	}
	if all {
		s.lookedUnder.Store(version)
	}
	return broken
}

const rulesVersion = `SELECT coalesce((SELECT version FROM alert_version), 1)`

// raiseDue looks at the buckets b that a query finds, a part at a time.
func (s *Store) raiseDue(ctx context.Context, query string, args ...any) error {
	var broken error
	for after, more := int64(0), true; more; {
		ids, err := s.lookAt(ctx, query+fmt.Sprintf(` AND b.period_id > %d ORDER BY b.period_id LIMIT %d`, after, dueBatch), args...)
		if err != nil && len(ids) > 1 && ctx.Err() == nil { // what keeps one from being told keeps no other from it
			for _, id := range ids {
				_, one := s.lookAt(ctx, `SELECT b.period_id FROM quota_buckets b WHERE b.period_id = $1`, id)
				broken = errors.Join(broken, one)
			}
		} else {
			broken = errors.Join(broken, err)
		}
		if more = len(ids) == dueBatch; more {
			after = ids[len(ids)-1]
		}
	}
	return broken
}

// lookAt looks at the buckets b that a query finds, in a transaction of their own, and gives their periods also where that fails.
func (s *Store) lookAt(ctx context.Context, query string, args ...any) ([]int64, error) {
	var ids []int64
	err := s.inTx(ctx, func(t *tx) error {
		ctx, cancel := context.WithTimeout(ctx, lookTime)
		defer cancel()
		var version int64
		if err := t.GetContext(ctx, &version, rulesVersion); err != nil {
			return fmt.Errorf("read the rules' version: %w", err)
		}
		ids = nil
		if err := t.SelectContext(ctx, &ids, query+` FOR UPDATE OF b SKIP LOCKED`, args...); err != nil {
			return fmt.Errorf("find periods to look at: %w", err)
		}
		if len(ids) == 0 {
			return nil
		}
		return t.look(ctx, ids, version)
	})
	if err != nil {
		return ids, fmt.Errorf("look at periods: %w", err)
	}
	return ids, nil
}
