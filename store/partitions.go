package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/lib/pq"
)

// minutesKept is how long the live chart's rows stay: an hour is shown, the rest is slack.
const minutesKept = 2 * time.Hour

// partitionExists reads the table of tables itself: to_regclass may answer from a cache that does not know yet what
// another replica made while we waited for the lock. A month that was put aside does not come back: its late calls stay
// in the default partition.
const partitionExists = `SELECT EXISTS (SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
	WHERE i.inhparent = 'usage_events'::regclass AND c.relname = $1) OR EXISTS (SELECT FROM usage_archives WHERE name = $1)`

// ErrBusy says that partitions could not be changed because calls and pages kept using them. It may be tried again.
var ErrBusy = errors.New("the partitions are in use; this is tried again later")

// How a change of partitions waits for its locks. Whoever commits meanwhile waits behind it, so it gives up soon and
// tries again after a pause.
const (
	lockPatience = 250 * time.Millisecond
	lockPause    = 500 * time.Millisecond
	lockTries    = 8
)

// changePartitions runs fn alone among those that change partitions, with short waits for the locks of tables. It is
// ErrBusy when they were not free in any of several tries.
func (s *Store) changePartitions(ctx context.Context, fn func(*tx) error) error {
	for try := 1; ; try++ {
		err := s.inTx(ctx, func(tx *tx) error {
			if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtext('filaia_partitions'))`); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, fmt.Sprintf(`SET LOCAL lock_timeout = %d`, lockPatience.Milliseconds())); err != nil {
				return err
			}
			return fn(tx)
		})
		var refused *pq.Error
		if !errors.As(err, &refused) || refused.Code.Name() != "lock_not_available" {
			return err
		}
		if try == lockTries {
			return fmt.Errorf("%w: %w", ErrBusy, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lockPause):
		}
	}
}

// EnsurePartitions makes the monthly partitions of usage_events (by UTC month, named usage_events_2026_11) for every
// month from one instant to another. Months that have theirs cost one look-up, so it may run often and by several
// replicas at once. Rows that fell into the default partition meanwhile move to their month. It may be ErrBusy.
func (s *Store) EnsurePartitions(ctx context.Context, from, to time.Time) error {
	year, month, _ := from.UTC().Date()
	for start := time.Date(year, month, 1, 0, 0, 0, 0, time.UTC); !start.After(to); start = start.AddDate(0, 1, 0) {
		name := "usage_events_" + start.Format("2006_01")
		var there bool
		if err := s.db.GetContext(ctx, &there, partitionExists, name); err != nil {
			return fmt.Errorf("look for partition %s: %w", name, err)
		}
		if there {
			continue
		}
		if err := s.makePartition(ctx, name, start, start.AddDate(0, 1, 0)); err != nil {
			return fmt.Errorf("make partition %s: %w", name, err)
		}
	}
	return nil
}

// makePartition attaches a table rather than creating it as a partition: attaching lets calls be recorded meanwhile,
// creating would lock the whole of usage_events.
func (s *Store) makePartition(ctx context.Context, name string, start, end time.Time) error {
	const day = "2006-01-02 15:04:05+00"
	return s.changePartitions(ctx, func(tx *tx) error {
		var there bool
		if err := tx.GetContext(ctx, &there, partitionExists, name); err != nil || there {
			return err
		}
		for _, statement := range []string{
			`LOCK TABLE ONLY usage_events IN SHARE UPDATE EXCLUSIVE MODE`, // what attaching takes, in the order that others lock
			// Nothing may fall into the default partition between the move and the attachment.
			`LOCK TABLE usage_events_default IN ACCESS EXCLUSIVE MODE`,
			fmt.Sprintf(`CREATE TABLE %s (LIKE usage_events INCLUDING DEFAULTS INCLUDING CONSTRAINTS)`, name),
			fmt.Sprintf(`WITH moved AS (DELETE FROM usage_events_default WHERE created_at >= '%s' AND created_at < '%s' RETURNING *)
				INSERT INTO %s SELECT * FROM moved`, start.Format(day), end.Format(day), name),
			fmt.Sprintf(`ALTER TABLE usage_events ATTACH PARTITION %s FOR VALUES FROM ('%s') TO ('%s')`, name, start.Format(day), end.Format(day)),
		} {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
}

// SweepMinutes removes the rows of usage_minutes that no live chart shows any more and tells how many they were.
func (s *Store) SweepMinutes(ctx context.Context) (int64, error) {
	result, err := s.db.ExecContext(ctx, `DELETE FROM usage_minutes WHERE minute < $1`, s.now().Add(-minutesKept))
	if err != nil {
		return 0, fmt.Errorf("sweep minutes: %w", err)
	}
	return result.RowsAffected()
}
