package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/quota"
)

// Leases is one replica's side of the quota leases; it is a quota.Lessor.
type Leases struct {
	s       *Store
	replica string
}

// Leases gives the leases of a replica, named for as long as its data folder lives.
func (s *Store) Leases(replica string) *Leases { return &Leases{s: s, replica: replica} }

// maxChunk bounds one lease, so that a large quota is not locked up in one replica.
const maxChunk = 5_000_000

// Lease moves free tokens into this replica's lease in one statement. Chunks are a quarter of what is free, so they
// shrink as the limit nears, down to exactly what one call needs; a need that is not free gets nothing.
func (l *Leases) Lease(ctx context.Context, periodID int64, need quota.Pair) (quota.Grant, error) {
	const lease = `WITH own AS (
			SELECT leased_in, leased_out FROM quota_leases WHERE period_id = $1 AND replica = $2
		), b AS (
			SELECT period_id, limit_in, used_in, leased_in, limit_out, used_out, leased_out,
				greatest(limit_in - (used_in - overrun_in) - leased_in, 0) AS free_in,
				greatest(limit_out - (used_out - overrun_out) - leased_out, 0) AS free_out
			FROM quota_buckets WHERE period_id = $1 FOR UPDATE
		), g AS (
			SELECT *, CASE WHEN $3::bigint = 0 OR NOT fits THEN 0 ELSE least(free_in, greatest($3, least(free_in / 4, $5))) END AS grant_in,
				CASE WHEN $4::bigint = 0 OR NOT fits THEN 0 ELSE least(free_out, greatest($4, least(free_out / 4, $5))) END AS grant_out
			FROM (SELECT *, free_in >= $3 AND free_out >= $4 AS fits FROM b) AS tried
		), u AS (
			UPDATE quota_buckets q SET leased_in = q.leased_in + g.grant_in, leased_out = q.leased_out + g.grant_out
			FROM g WHERE q.period_id = g.period_id AND g.grant_in + g.grant_out > 0
		), l AS (
			INSERT INTO quota_leases AS own (period_id, replica, leased_in, leased_out, seen_at)
			SELECT period_id, $2, grant_in, grant_out, $6 FROM g WHERE grant_in + grant_out > 0
			ON CONFLICT (period_id, replica) DO UPDATE SET leased_in = own.leased_in + excluded.leased_in,
				leased_out = own.leased_out + excluded.leased_out, seen_at = excluded.seen_at
		)
		SELECT grant_in, grant_out, free_in - grant_in, free_out - grant_out, limit_in, limit_out, used_in, used_out,
			greatest(leased_in - coalesce((SELECT leased_in FROM own), 0), 0),
			greatest(leased_out - coalesce((SELECT leased_out FROM own), 0), 0)
		FROM g`
	var g quota.Grant
	row := l.s.db.QueryRowContext(ctx, lease, periodID, l.replica, need.In, need.Out, int64(maxChunk), l.s.now().UTC())
	err := row.Scan(&g.Granted.In, &g.Granted.Out, &g.Free.In, &g.Free.Out, &g.Limit.In, &g.Limit.Out, &g.Used.In, &g.Used.Out,
		&g.Others.In, &g.Others.Out)
	if err != nil {
		return g, fmt.Errorf("lease from period %d: %w", periodID, err)
	}
	return g, nil
}

// Return hands back tokens of this replica's lease; never more than it has, and once for each id.
func (l *Leases) Return(ctx context.Context, periodID int64, idle quota.Pair, id uuid.UUID) error {
	return l.s.inTx(ctx, func(t *tx) error {
		// The bucket is always locked before the lease, as in Lease and in the commit of usage.
		const lock = `SELECT 1 FROM quota_buckets WHERE period_id = $1 FOR UPDATE`
		if _, err := t.ExecContext(ctx, lock, periodID); err != nil {
			return fmt.Errorf("lock period %d: %w", periodID, err)
		}
		const give = `WITH r AS (
				SELECT period_id, least(leased_in, $3) AS back_in, least(leased_out, $4) AS back_out
				FROM quota_leases WHERE period_id = $1 AND replica = $2 AND returned IS DISTINCT FROM $5 FOR UPDATE
			), l AS (
				UPDATE quota_leases q SET leased_in = q.leased_in - r.back_in, leased_out = q.leased_out - r.back_out, returned = $5
				FROM r WHERE q.period_id = r.period_id AND q.replica = $2
			)
			UPDATE quota_buckets b SET leased_in = b.leased_in - r.back_in, leased_out = b.leased_out - r.back_out
			FROM r WHERE b.period_id = r.period_id`
		if _, err := t.ExecContext(ctx, give, periodID, l.replica, idle.In, idle.Out, id); err != nil {
			return fmt.Errorf("return lease of period %d: %w", periodID, err)
		}
		return nil
	})
}

// Recall asks the other replicas to hand back what they do not hold of a period.
func (l *Leases) Recall(ctx context.Context, periodID int64) error {
	const ask = `SELECT pg_notify('filaia_leases', $1)`
	if _, err := l.s.db.ExecContext(ctx, ask, fmt.Sprintf("%d %s", periodID, l.replica)); err != nil {
		return fmt.Errorf("recall leases of period %d: %w", periodID, err)
	}
	return nil
}

// ReleaseAll hands back all that this replica leased in an earlier life. Its spool must have been committed before:
// what was used has then been drawn from the leases, and what is left nobody holds.
func (l *Leases) ReleaseAll(ctx context.Context) error {
	return l.s.inTx(ctx, func(t *tx) error {
		const lock = `SELECT 1 FROM quota_buckets WHERE period_id IN (SELECT period_id FROM quota_leases WHERE replica = $1)
			ORDER BY period_id FOR UPDATE`
		if _, err := t.ExecContext(ctx, lock, l.replica); err != nil {
			return fmt.Errorf("lock leased periods: %w", err)
		}
		const release = `WITH gone AS (DELETE FROM quota_leases WHERE replica = $1 RETURNING period_id, leased_in, leased_out)
			UPDATE quota_buckets b SET leased_in = b.leased_in - gone.leased_in, leased_out = b.leased_out - gone.leased_out
			FROM gone WHERE b.period_id = gone.period_id`
		if _, err := t.ExecContext(ctx, release, l.replica); err != nil {
			return fmt.Errorf("release leases of %s: %w", l.replica, err)
		}
		return nil
	})
}

// Heartbeat says that this replica's leases are alive.
func (l *Leases) Heartbeat(ctx context.Context) error {
	const beat = `UPDATE quota_leases SET seen_at = $2 WHERE replica = $1`
	if _, err := l.s.db.ExecContext(ctx, beat, l.replica, l.s.now().UTC()); err != nil {
		return fmt.Errorf("lease heartbeat: %w", err)
	}
	return nil
}

// leaseGrace is how long a replica may be silent before its leases are taken back.
const leaseGrace = 15 * time.Minute

// ReapLeases takes back the leases of replicas that have been silent for too long: most will never return. What one
// of them still reports later is counted, as overrun where it does not fit any more.
func (s *Store) ReapLeases(ctx context.Context) error {
	return s.inTx(ctx, func(t *tx) error {
		dead := t.now.Add(-leaseGrace)
		const lock = `SELECT 1 FROM quota_buckets WHERE period_id IN (SELECT period_id FROM quota_leases WHERE seen_at < $1)
			ORDER BY period_id FOR UPDATE`
		if _, err := t.ExecContext(ctx, lock, dead); err != nil {
			return fmt.Errorf("lock periods of silent replicas: %w", err)
		}
		const reap = `WITH gone AS (DELETE FROM quota_leases WHERE seen_at < $1 RETURNING period_id, leased_in, leased_out),
			sums AS (SELECT period_id, sum(leased_in)::bigint AS leased_in, sum(leased_out)::bigint AS leased_out FROM gone GROUP BY period_id)
			UPDATE quota_buckets b SET leased_in = b.leased_in - sums.leased_in, leased_out = b.leased_out - sums.leased_out
			FROM sums WHERE b.period_id = sums.period_id`
		if _, err := t.ExecContext(ctx, reap, dead); err != nil {
			return fmt.Errorf("reap leases: %w", err)
		}
		return nil
	})
}
