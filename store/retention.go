package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/lib/pq"

	"github.com/fila-ia/filaia/internal/usage"
)

// retentionSetting is where the retention lies.
const retentionSetting = "retention"

// Retention tells how long single calls are kept; until it is set, for ever.
func (s *Store) Retention(ctx context.Context) (r usage.Retention, err error) {
	if err := readSetting(ctx, s.db, retentionSetting, &r); err != nil {
		return r, fmt.Errorf("read the retention: %w", err)
	}
	return r, nil
}

// SetRetention changes how long single calls are kept. Months that are older now are put aside by the upkeep.
func (s *Store) SetRetention(ctx context.Context, r usage.Retention) error {
	if err := r.Validate(); err != nil {
		return err
	}
	err := s.inTx(ctx, func(tx *tx) error {
		if err := tx.keepSetting(ctx, retentionSetting, r); err != nil {
			return err
		}
		return tx.audit(ctx, "retention.change", "settings:"+retentionSetting, 0, r)
	})
	if err != nil {
		return fmt.Errorf("set the retention: %w", err)
	}
	return nil
}

// spoolSlack is how long before a replica was heard of last its spool may begin with calls that are committed.
const spoolSlack = 24 * time.Hour

// DueMonths lists the months whose single calls are older than the retention, the oldest first.
func (s *Store) DueMonths(ctx context.Context) ([]usage.DueMonth, error) {
	r, err := s.Retention(ctx)
	if err != nil || r.Months == 0 {
		return nil, err
	}
	var rows []struct {
		Name  string         `db:"name"`
		Start time.Time      `db:"start"`
		Open  bool           `db:"open"`
		Spool sql.NullString `db:"spool"`
	}
	// A replica that died with calls of the month in its spool commits them when it returns: then they must find their like.
	// One that did not stop in good order was maybe heard of last before it recorded them, and its files are removed some
	// minutes after they are committed: spoolSlack is more than that.
	const query = `SELECT m.name, m.start,
			EXISTS (SELECT FROM billing_periods WHERE ends_at > $1 AND starts_at < m.ends) AS open,
			(SELECT min(name) FROM replicas WHERE (stopped_at IS NULL OR spool_events > 0)
				AND seen_at - spool_age_ms * interval '1 millisecond' - $3 * interval '1 second' < m.ends) AS spool
		FROM (SELECT c.relname AS name, to_timestamp(right(c.relname, 7), 'YYYY_MM')::timestamp AT TIME ZONE 'UTC' AS start,
				(to_timestamp(right(c.relname, 7), 'YYYY_MM')::timestamp + interval '1 month') AT TIME ZONE 'UTC' AS ends
			FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
			WHERE i.inhparent = 'usage_events'::regclass AND c.relname ~ '^usage_events_[0-9]{4}_[0-9]{2}$') m
		WHERE m.start <= $2 ORDER BY m.start`
	var now time.Time // a clock that is ahead puts no month aside too soon
	if err := s.db.GetContext(ctx, &now, `SELECT least($1::timestamptz, clock_timestamp())`, s.now()); err != nil {
		return nil, fmt.Errorf("read the clock: %w", err)
	}
	if err := s.db.SelectContext(ctx, &rows, query, now, r.Newest(now), spoolSlack.Seconds()); err != nil {
		return nil, fmt.Errorf("list months to put aside: %w", err)
	}
	due := make([]usage.DueMonth, len(rows))
	for i, row := range rows {
		due[i] = usage.DueMonth{Name: row.Name, Month: row.Start.UTC(), For: row.Spool.String}
		if row.Open {
			due[i].Waits, due[i].For = usage.WaitPeriod, ""
		} else if row.Spool.Valid {
			due[i].Waits = usage.WaitSpool
		}
	}
	return due, nil
}

// DetachMonths puts the single calls of due months aside: their tables move to the schema usage_archive, where nothing
// reads them. It tells which; it may be ErrBusy.
//
// PostgreSQL detaches concurrently only where there is no default partition. The lock that is needed here lasts no
// longer than two changes of the catalogue, and is waited for as shortly.
func (s *Store) DetachMonths(ctx context.Context) (names []string, err error) {
	due, err := s.DueMonths(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range due {
		if m.Waits != usage.WaitNothing {
			continue
		}
		if err := s.detachMonth(ctx, m); err != nil {
			return names, fmt.Errorf("put %s aside: %w", m.Name, err)
		}
		names = append(names, m.Name)
	}
	return names, s.countArchives(ctx)
}

func (s *Store) detachMonth(ctx context.Context, m usage.DueMonth) error {
	table := pq.QuoteIdentifier(m.Name)
	return s.changePartitions(ctx, func(tx *tx) error {
		var there bool
		const attached = `SELECT EXISTS (SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
			WHERE i.inhparent = 'usage_events'::regclass AND c.relname = $1)`
		if err := tx.GetContext(ctx, &there, attached, m.Name); err != nil || !there {
			return err // another replica was first
		}
		for _, statement := range []string{
			`ALTER TABLE usage_events DETACH PARTITION ` + table,
			`ALTER TABLE ` + table + ` SET SCHEMA usage_archive`,
		} {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		const insert = `INSERT INTO usage_archives (month, name, detached_at) VALUES ($1, $2, $3)`
		if _, err := tx.ExecContext(ctx, insert, m.Month.Format(time.DateOnly), m.Name, tx.now); err != nil {
			return err
		}
		return tx.audit(ctx, "retention.detach", "usage_events:"+m.Name, 0, nil)
	})
}

// countArchives counts the rows of what was put aside, without any lock that somebody could wait for.
func (s *Store) countArchives(ctx context.Context) error {
	var names []string
	if err := s.db.SelectContext(ctx, &names, `SELECT name FROM usage_archives WHERE rows IS NULL AND dropped_at IS NULL`); err != nil {
		return fmt.Errorf("list what was put aside: %w", err)
	}
	for _, name := range names {
		count := `UPDATE usage_archives SET rows = (SELECT count(*) FROM usage_archive.` + pq.QuoteIdentifier(name) + `) WHERE name = $1`
		if _, err := s.patient.ExecContext(ctx, count, name); err != nil {
			return fmt.Errorf("count %s: %w", name, err)
		}
	}
	return nil
}

// ArchivedMonths lists what was put aside, the newest first, with what has been dropped since.
func (s *Store) ArchivedMonths(ctx context.Context) ([]usage.ArchivedMonth, error) {
	var rows []struct {
		Name       string        `db:"name"`
		Month      time.Time     `db:"month"`
		DetachedAt time.Time     `db:"detached_at"`
		Rows       sql.NullInt64 `db:"rows"`
		DroppedAt  sql.NullTime  `db:"dropped_at"`
		Bytes      int64         `db:"bytes"`
	}
	const query = `SELECT a.name, a.month, a.detached_at, a.rows, a.dropped_at, coalesce(pg_total_relation_size(c.oid), 0) AS bytes
		FROM usage_archives a
		LEFT JOIN pg_class c ON c.relname = a.name AND c.relnamespace = 'usage_archive'::regnamespace ORDER BY a.month DESC`
	if err := s.db.SelectContext(ctx, &rows, query); err != nil {
		return nil, fmt.Errorf("list what was put aside: %w", err)
	}
	list := make([]usage.ArchivedMonth, len(rows))
	for i, r := range rows {
		list[i] = usage.ArchivedMonth{Name: r.Name, Month: month(r.Month), DetachedAt: r.DetachedAt.UTC(), Rows: -1, Bytes: r.Bytes, DroppedAt: utc(r.DroppedAt)}
		if r.Rows.Valid {
			list[i].Rows = r.Rows.Int64
		}
	}
	return list, nil
}

// DropMonth removes the single calls of a month that was put aside, for good. That it was there stays known.
func (s *Store) DropMonth(ctx context.Context, name string) error {
	err := s.inTx(ctx, func(tx *tx) error {
		var rows sql.NullInt64
		const drop = `UPDATE usage_archives SET dropped_at = $2 WHERE name = $1 AND dropped_at IS NULL RETURNING rows`
		if err := tx.GetContext(ctx, &rows, drop, name, tx.now); err != nil {
			return known(err, "retention.error.not_found")
		}
		if _, err := tx.ExecContext(ctx, `DROP TABLE usage_archive.`+pq.QuoteIdentifier(name)); err != nil {
			return err
		}
		return tx.audit(ctx, "retention.drop", "usage_events:"+name, 0, map[string]any{"rows": rows.Int64})
	})
	if err != nil {
		return fmt.Errorf("drop month %q: %w", name, err)
	}
	return nil
}
