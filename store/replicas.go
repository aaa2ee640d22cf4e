package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/usage"
)

// Reaper takes back the leases of replicas that have been silent for a whole grace: most will never return. What one of
// them still reports later is counted, as overrun where it does not fit any more. Several may run at once.
//
// Silence is measured by the reaper's own steady clock from the moment it first saw a heartbeat, and only while the
// database answers it: no clock that is set wrong, on whatever machine, makes a living replica look dead.
type Reaper struct {
	s     *Store
	grace time.Duration
	log   *slog.Logger
	now   func() time.Time

	seen  map[string]sighting
	sweep time.Time // the last one
}

type sighting struct {
	life  uuid.UUID
	beat  int64
	since time.Time
}

// Reaper makes one; now must be a steady clock, such as time.Now. grace is that of this process: it says how often to
// look; each replica is given the grace that it counts on itself.
func (s *Store) Reaper(grace time.Duration, log *slog.Logger, now func() time.Time) *Reaper {
	return &Reaper{s: s, grace: grace, log: log, now: now, seen: map[string]sighting{}}
}

func (r *Reaper) every() time.Duration { return min(r.grace/10, 15*time.Second) }

// Run sweeps until ctx ends.
func (r *Reaper) Run(ctx context.Context) error {
	tick := time.NewTicker(r.every())
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := r.Sweep(ctx); err != nil && ctx.Err() == nil {
			r.log.Warn("look for silent replicas", "error", err)
		}
	}
}

// lessee is a replica that has something leased.
type lessee struct {
	Name    string    `db:"name"`
	Life    uuid.UUID `db:"life"`
	Beat    int64     `db:"beat"`
	GraceMS int64     `db:"grace_ms"` // as it believes itself, whatever this process was told
}

// Sweep looks once, and reaps whoever has been silent for the whole grace.
func (r *Reaper) Sweep(ctx context.Context) error {
	const query = `SELECT l.replica AS name, coalesce(r.life, '00000000-0000-0000-0000-000000000000') AS life, coalesce(r.beat, 0) AS beat,
			coalesce(r.grace_ms, $1) AS grace_ms
		FROM (SELECT DISTINCT replica FROM quota_leases WHERE leased_in > 0 OR leased_out > 0) l LEFT JOIN replicas r ON r.name = l.replica`
	var list []lessee
	if err := r.s.db.SelectContext(ctx, &list, query, r.grace.Milliseconds()); err != nil {
		clear(r.seen) // while the database is away nobody can be heard
		return fmt.Errorf("list replicas with leases: %w", err)
	}
	now := r.now()
	if now.Sub(r.sweep) > 4*r.every() { // this process was stopped, and maybe all were
		clear(r.seen)
	}
	defer func() { r.sweep = r.now() }() // what a sweep waited for counts as listened to
	before := r.seen
	r.seen = make(map[string]sighting, len(list))
	var errs []error
	for _, one := range list {
		s, known := before[one.Name]
		if !known || s.life != one.Life || s.beat != one.Beat {
			s = sighting{life: one.Life, beat: one.Beat, since: now}
		}
		r.seen[one.Name] = s
		if now.Sub(s.since) < time.Duration(one.GraceMS)*time.Millisecond {
			continue
		}
		in, out, err := r.s.reap(ctx, one)
		errs = append(errs, err)
		if in > 0 || out > 0 {
			r.log.Warn("the leases of a silent replica were taken back", "replica", one.Name, "silent", now.Sub(s.since).Round(time.Second),
				"input_tokens", in, "output_tokens", out)
		}
	}
	return errors.Join(errs...)
}

// reap takes back what a replica leases, unless it was heard of meanwhile.
func (s *Store) reap(ctx context.Context, dead lessee) (in, out int64, err error) {
	err = s.inTx(ctx, func(t *tx) error {
		// The dead one may hold a lock itself, until PostgreSQL notices; the others are looked at meanwhile.
		if _, err := t.ExecContext(ctx, `SET LOCAL lock_timeout = '2s'`); err != nil {
			return err
		}
		periods, err := t.lockLeased(ctx, dead.Name)
		if err != nil {
			return err
		}
		const mark = `UPDATE replicas SET reaped = reaped + 1, reaped_at = now() WHERE name = $1 AND life = $2 AND beat = $3`
		if dead.Life != uuid.Nil {
			result, err := t.ExecContext(ctx, mark, dead.Name, dead.Life, dead.Beat)
			if err != nil {
				return fmt.Errorf("note that leases were taken back: %w", err)
			}
			if n, err := result.RowsAffected(); err != nil || n == 0 {
				return err // it is alive
			}
		}
		const reap = `WITH was AS (
				SELECT period_id, leased_in, leased_out FROM quota_leases
				WHERE replica = $1 AND period_id = ANY ($2::bigint[]) AND (leased_in > 0 OR leased_out > 0) FOR UPDATE
			), gone AS (
				UPDATE quota_leases l SET leased_in = 0, leased_out = 0, reaped_at = now()
				FROM was WHERE l.period_id = was.period_id AND l.replica = $1
			), b AS (
				UPDATE quota_buckets b SET leased_in = b.leased_in - was.leased_in, leased_out = b.leased_out - was.leased_out, changes = b.changes + 1
				FROM was WHERE b.period_id = was.period_id
			) SELECT coalesce(sum(leased_in), 0)::bigint, coalesce(sum(leased_out), 0)::bigint FROM was`
		return t.QueryRowContext(ctx, reap, dead.Name, periods).Scan(&in, &out)
	})
	if err != nil {
		return 0, 0, fmt.Errorf("take back the leases of %s: %w", dead.Name, err)
	}
	return in, out, nil
}

// Replicas lists the processes that answer calls, or did lately, those heard of last first.
func (s *Store) Replicas(ctx context.Context) ([]usage.Replica, error) {
	const query = `SELECT r.name, r.version, r.calls, r.spool_events, r.spool_age_ms, r.spool_bytes, r.damaged_files, r.started_at, r.seen_at,
			(extract(epoch FROM now() - r.seen_at) * 1000)::bigint AS silent_ms, r.stopped_at, r.reaped_at,
			coalesce(l.leased_in, 0) AS leased_in, coalesce(l.leased_out, 0) AS leased_out, coalesce(l.leases, 0) AS leases
		FROM replicas r LEFT JOIN (SELECT replica, sum(leased_in)::bigint AS leased_in, sum(leased_out)::bigint AS leased_out, count(*) AS leases
			FROM quota_leases WHERE leased_in > 0 OR leased_out > 0 GROUP BY replica) l ON l.replica = r.name
		ORDER BY r.stopped_at IS NOT NULL, r.seen_at DESC, r.name LIMIT 200`
	var rows []struct {
		Name         string       `db:"name"`
		Version      string       `db:"version"`
		Calls        int64        `db:"calls"`
		SpoolEvents  int64        `db:"spool_events"`
		SpoolAgeMS   int64        `db:"spool_age_ms"`
		SpoolBytes   int64        `db:"spool_bytes"`
		DamagedFiles int64        `db:"damaged_files"`
		StartedAt    time.Time    `db:"started_at"`
		SeenAt       time.Time    `db:"seen_at"`
		SilentMS     int64        `db:"silent_ms"`
		StoppedAt    sql.NullTime `db:"stopped_at"`
		ReapedAt     sql.NullTime `db:"reaped_at"`
		LeasedIn     int64        `db:"leased_in"`
		LeasedOut    int64        `db:"leased_out"`
		Leases       int          `db:"leases"`
	}
	if err := s.db.SelectContext(ctx, &rows, query); err != nil {
		return nil, fmt.Errorf("list replicas: %w", err)
	}
	list := make([]usage.Replica, len(rows))
	for i, r := range rows {
		list[i] = usage.Replica{
			Name: r.Name, StartedAt: r.StartedAt.UTC(), SeenAt: r.SeenAt.UTC(), Silent: time.Duration(r.SilentMS) * time.Millisecond,
			StoppedAt: r.StoppedAt.Time.UTC(), ReapedAt: r.ReapedAt.Time.UTC(), LeasedIn: r.LeasedIn, LeasedOut: r.LeasedOut, Leases: r.Leases,
			Vitals: usage.Vitals{
				Version: r.Version, Calls: r.Calls, SpoolEvents: r.SpoolEvents, SpoolAge: time.Duration(r.SpoolAgeMS) * time.Millisecond,
				SpoolBytes: r.SpoolBytes, DamagedFiles: r.DamagedFiles,
			},
		}
	}
	return list, nil
}

// replicasKept is how long a replica that is gone is still listed.
const replicasKept = 7 * 24 * time.Hour

// SweepReplicas forgets replicas that are gone and owe nothing, and empty leases of periods that ended.
func (s *Store) SweepReplicas(ctx context.Context) error {
	const leases = `DELETE FROM quota_leases l USING billing_periods p
		WHERE p.id = l.period_id AND p.ends_at < $1 AND l.leased_in = 0 AND l.leased_out = 0`
	if _, err := s.db.ExecContext(ctx, leases, s.now().Add(-replicasKept)); err != nil {
		return fmt.Errorf("sweep leases: %w", err)
	}
	// What lies in the spool of one that is gone may still come.
	const replicas = `DELETE FROM replicas r WHERE r.seen_at < now() - $1 * interval '1 second' AND r.spool_events = 0
		AND NOT EXISTS (SELECT FROM quota_leases l WHERE l.replica = r.name)`
	if _, err := s.db.ExecContext(ctx, replicas, replicasKept.Seconds()); err != nil {
		return fmt.Errorf("sweep replicas: %w", err)
	}
	return nil
}

// Overruns lists tokens that no limit could stop, newest first.
func (s *Store) Overruns(ctx context.Context, limit int) ([]usage.Overrun, error) {
	const query = `SELECT o.at, o.tenant_id, t.name, o.period_id, o.replica, o.cause, o.tokens_in, o.tokens_out
		FROM quota_overruns o JOIN tenants t ON t.id = o.tenant_id ORDER BY o.at DESC, o.id DESC LIMIT $1`
	rows, err := s.db.QueryContext(ctx, query, limit)
	if err != nil {
		return nil, fmt.Errorf("list overruns: %w", err)
	}
	defer rows.Close()
	var list []usage.Overrun
	for rows.Next() {
		var o usage.Overrun
		if err := rows.Scan(&o.At, &o.TenantID, &o.TenantName, &o.PeriodID, &o.Replica, &o.Cause, &o.Input, &o.Output); err != nil {
			return nil, fmt.Errorf("list overruns: %w", err)
		}
		o.At = o.At.UTC()
		list = append(list, o)
	}
	return list, rows.Err()
}
