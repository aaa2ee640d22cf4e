package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/fila-ia/filaia/internal/quota"
	"github.com/fila-ia/filaia/internal/usage"
)

// Leases is one replica's side of the quota leases, in one life of its process; it is a quota.Lessor.
type Leases struct {
	s       *Store
	replica string
	life    uuid.UUID
	grace   time.Duration
	vitals  func() usage.Vitals

	joining sync.Mutex
	joined  bool  // the first heartbeat has arrived
	reaped  int64 // as last told
}

// Leases gives the leases of a replica, named for as long as its data folder lives. grace is the silence after which
// they may be taken back; vitals, which may be nil, is told with every heartbeat.
func (s *Store) Leases(replica string, grace time.Duration, vitals func() usage.Vitals) *Leases {
	return &Leases{s: s, replica: replica, life: uuid.New(), grace: grace, vitals: vitals}
}

// maxChunk bounds one lease, so that a large quota is not locked up in one replica.
const maxChunk = 5_000_000

// Lease moves free tokens into this replica's lease in one statement. Chunks are a quarter of what is free, so they
// shrink as the limit nears, down to exactly what one call needs; a need that is not free gets nothing. What lies above the limits
// is taken of the tokens that the spend cap allows both kinds together, none where there is no cap; under one overrun takes
// tokens like any use, because it is charged. The lease is
// written even then: only a row that is locked is told as it stands. All that the row's constraints look at is written from
// the locked row, because PostgreSQL checks them on the row as the statement's snapshot has it before it notices a newer one.
func (l *Leases) Lease(ctx context.Context, periodID int64, need quota.Pair) (quota.Grant, error) {
	const lease = `WITH b AS (
			SELECT period_id, hard, limit_in, used_in, overrun_in, leased_in, limit_out, used_out, overrun_out, leased_out, changes + 1 AS changes,
				extra_tokens, extra_taken, limit_in - (used_in - CASE WHEN spend_cap_micros IS NULL THEN overrun_in ELSE 0 END) - leased_in AS free_in,
				limit_out - (used_out - CASE WHEN spend_cap_micros IS NULL THEN overrun_out ELSE 0 END) - leased_out AS free_out
			FROM quota_buckets WHERE period_id = $1 AND EXISTS (SELECT FROM replicas WHERE name = $2 AND life = $6) FOR UPDATE
		), g AS (
			SELECT *, CASE WHEN $3::bigint = 0 OR spare < 0 THEN 0 ELSE greatest($3, least((greatest(free_in, $3) + spare / 2) / 4, $5)) END AS grant_in,
				CASE WHEN $4::bigint = 0 OR spare < 0 THEN 0 ELSE greatest($4, least((greatest(free_out, $4) + spare / 2) / 4, $5)) END AS grant_out
			FROM (SELECT *, greatest(extra_tokens, greatest(-free_in, 0) + greatest(-free_out, 0))
				- greatest($3 - free_in, 0) - greatest($4 - free_out, 0) AS spare FROM b) AS tried
		), u AS (
			UPDATE quota_buckets q SET hard = g.hard, limit_in = g.limit_in, used_in = g.used_in, overrun_in = g.overrun_in,
				leased_in = g.leased_in + g.grant_in, limit_out = g.limit_out, used_out = g.used_out, overrun_out = g.overrun_out,
				leased_out = g.leased_out + g.grant_out,
				extra_tokens = g.extra_tokens, extra_taken = g.extra_taken, changes = g.changes
			FROM g WHERE q.period_id = g.period_id
		), own AS (
			INSERT INTO quota_leases AS l (period_id, replica, leased_in, leased_out)
			SELECT period_id, $2, grant_in, grant_out FROM g
			ON CONFLICT (period_id, replica) DO UPDATE SET leased_in = l.leased_in + excluded.leased_in,
				leased_out = l.leased_out + excluded.leased_out
			RETURNING leased_in, leased_out, committed_in, committed_out
		)
		SELECT grant_in, grant_out, free_in - grant_in, free_out - grant_out, extra_tokens, limit_in, limit_out, used_in, used_out,
			g.leased_in + grant_in - own.leased_in, g.leased_out + grant_out - own.leased_out, own.leased_in, own.leased_out,
			committed_in, committed_out, changes
		FROM g, own`
	var g quota.Grant
	if err := l.join(ctx); err != nil {
		return g, err
	}
	row := l.s.db.QueryRowContext(ctx, lease, periodID, l.replica, need.In, need.Out, int64(maxChunk), l.life)
	err := row.Scan(&g.Granted.In, &g.Granted.Out, &g.Free.In, &g.Free.Out, &g.Extra, &g.Limit.In, &g.Limit.Out, &g.Used.In, &g.Used.Out,
		&g.Others.In, &g.Others.Out, &g.Leased.In, &g.Leased.Out, &g.Committed.In, &g.Committed.Out, &g.Version)
	if errors.Is(err, sql.ErrNoRows) { // unless there is no such period
		_, err = l.rejoin(ctx)
	}
	if err != nil {
		return g, fmt.Errorf("lease from period %d: %w", periodID, err)
	}
	return g, nil
}

// Return hands back tokens of this replica's lease; never more than it has, and once for each id. The bucket is always
// locked before the lease, as in Lease and in the commit of usage.
func (l *Leases) Return(ctx context.Context, periodID int64, idle quota.Pair, id uuid.UUID) (quota.Stand, error) {
	var s quota.Stand
	err := l.s.inTx(ctx, func(t *tx) error {
		// In a statement of its own: the next one sees what others changed while this one waited.
		const lock = `SELECT 1 FROM quota_buckets WHERE period_id = $1 FOR UPDATE`
		if _, err := t.ExecContext(ctx, lock, periodID); err != nil {
			return fmt.Errorf("lock period %d: %w", periodID, err)
		}
		const give = `WITH r AS (
				UPDATE quota_leases SET leased_in = leased_in - $3, leased_out = leased_out - $4, returned = $5
				WHERE period_id = $1 AND replica = $2 AND returned IS DISTINCT FROM $5 AND leased_in >= $3 AND leased_out >= $4
					AND EXISTS (SELECT FROM replicas WHERE name = $2 AND life = $6)
				RETURNING leased_in, leased_out, committed_in, committed_out
			)
			UPDATE quota_buckets q SET leased_in = q.leased_in - $3, leased_out = q.leased_out - $4, changes = q.changes + 1
			FROM r WHERE q.period_id = $1 RETURNING r.leased_in, r.leased_out, r.committed_in, r.committed_out, q.changes`
		row := t.QueryRowContext(ctx, give, periodID, l.replica, idle.In, idle.Out, id, l.life)
		err := row.Scan(&s.Leased.In, &s.Leased.Out, &s.Committed.In, &s.Committed.Out, &s.Version)
		if errors.Is(err, sql.ErrNoRows) { // it came before, or the lease was taken back
			s, err = t.stand(ctx, l.replica, periodID)
		}
		return err
	})
	if err != nil {
		return s, fmt.Errorf("return lease of period %d: %w", periodID, err)
	}
	return s, nil
}

func (t *tx) stand(ctx context.Context, replica string, periodID int64) (quota.Stand, error) {
	list, err := stands(ctx, t, replica, []int64{periodID})
	return list[periodID], err
}

// Stands tells how this replica's leases of some periods stand.
func (l *Leases) Stands(ctx context.Context, periodIDs []int64) (map[int64]quota.Stand, error) {
	return stands(ctx, l.s.db, l.replica, periodIDs)
}

func stands(ctx context.Context, q sqlx.QueryerContext, replica string, periodIDs []int64) (map[int64]quota.Stand, error) {
	const query = `SELECT b.period_id, coalesce(l.leased_in, 0), coalesce(l.leased_out, 0),
			coalesce(l.committed_in, 0), coalesce(l.committed_out, 0), b.changes
		FROM quota_buckets b LEFT JOIN quota_leases l ON l.period_id = b.period_id AND l.replica = $2
		WHERE b.period_id = ANY ($1::bigint[])
		UNION ALL
		SELECT b.period_id, l.leased_in, l.leased_out, l.committed_in, l.committed_out, b.changes
		FROM quota_leases l JOIN quota_buckets b ON b.period_id = l.period_id
		WHERE l.replica = $2 AND (l.leased_in > 0 OR l.leased_out > 0) AND l.period_id <> ALL ($1::bigint[])`
	rows, err := q.QueryContext(ctx, query, ints(periodIDs, func(id *int64) int64 { return *id }), replica)
	if err != nil {
		return nil, fmt.Errorf("read leases of %s: %w", replica, err)
	}
	defer rows.Close()
	list := make(map[int64]quota.Stand, len(periodIDs))
	for rows.Next() {
		var id int64
		var stand quota.Stand
		if err := rows.Scan(&id, &stand.Leased.In, &stand.Leased.Out, &stand.Committed.In, &stand.Committed.Out, &stand.Version); err != nil {
			return nil, fmt.Errorf("read leases of %s: %w", replica, err)
		}
		list[id] = stand
	}
	return list, rows.Err()
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
		periods, err := t.lockLeased(ctx, l.replica)
		if err != nil {
			return err
		}
		const release = `WITH gone AS (
				DELETE FROM quota_leases WHERE replica = $1 AND period_id = ANY ($2::bigint[]) RETURNING period_id, leased_in, leased_out
			) UPDATE quota_buckets b SET leased_in = b.leased_in - gone.leased_in, leased_out = b.leased_out - gone.leased_out, changes = b.changes + 1
			FROM gone WHERE b.period_id = gone.period_id`
		if _, err := t.ExecContext(ctx, release, l.replica, periods); err != nil {
			return fmt.Errorf("release leases of %s: %w", l.replica, err)
		}
		return nil
	})
}

// lockLeased locks the buckets of a replica's leases and gives their periods, as an array for SQL.
func (t *tx) lockLeased(ctx context.Context, replica string) (string, error) {
	const lock = `SELECT period_id FROM quota_buckets WHERE period_id IN (SELECT period_id FROM quota_leases WHERE replica = $1)
		ORDER BY period_id FOR UPDATE`
	var ids []int64
	if err := t.SelectContext(ctx, &ids, lock, replica); err != nil {
		return "", fmt.Errorf("lock leased periods of %s: %w", replica, err)
	}
	return ints(ids, func(id *int64) int64 { return *id }), nil
}

// Heartbeat says that this replica is alive. The first one takes its name for this life.
func (l *Leases) Heartbeat(ctx context.Context) (reaped int64, err error) {
	const beat = `UPDATE replicas SET beat = beat + 1, seen_at = now(), stopped_at = NULL,
			version = $3, calls = $4, spool_events = $5, spool_age_ms = $6, spool_bytes = $7, damaged_files = $8
		WHERE name = $1 AND life = $2 RETURNING reaped`
	if err := l.join(ctx); err != nil {
		return 0, err
	}
	v := l.tell()
	err = l.s.db.GetContext(ctx, &reaped, beat, l.replica, l.life, v.Version, v.Calls,
		v.SpoolEvents, v.SpoolAge.Milliseconds(), v.SpoolBytes, v.DamagedFiles)
	if errors.Is(err, sql.ErrNoRows) {
		return l.rejoin(ctx)
	}
	if err != nil {
		return 0, fmt.Errorf("lease heartbeat: %w", err)
	}
	l.joining.Lock()
	l.reaped = reaped
	l.joining.Unlock()
	return reaped, nil
}

func (l *Leases) tell() usage.Vitals {
	if l.vitals == nil {
		return usage.Vitals{}
	}
	return l.vitals()
}

// join takes the replica's name for this life, once.
func (l *Leases) join(ctx context.Context) error {
	l.joining.Lock()
	defer l.joining.Unlock()
	if l.joined {
		return nil
	}
	const join = `INSERT INTO replicas AS r (name, life, version, grace_ms) VALUES ($1, $2, $3, $4)
		ON CONFLICT (name) DO UPDATE SET life = excluded.life, version = excluded.version, grace_ms = excluded.grace_ms, beat = r.beat + 1,
			started_at = now(), seen_at = now(), stopped_at = NULL
		RETURNING reaped`
	if err := l.s.db.GetContext(ctx, &l.reaped, join, l.replica, l.life, l.tell().Version, l.grace.Milliseconds()); err != nil {
		return fmt.Errorf("join as replica %s: %w", l.replica, err)
	}
	l.joined = true
	return nil
}

// rejoin finds out why there is no row of this life: another life has the name, or the row was swept as one of a replica
// that is gone. Then it is made again, as if the leases had been reaped: they may have been.
func (l *Leases) rejoin(ctx context.Context) (reaped int64, err error) {
	l.joining.Lock()
	defer l.joining.Unlock()
	const again = `INSERT INTO replicas AS r (name, life, version, grace_ms, reaped) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (name) DO UPDATE SET beat = r.beat + 1, seen_at = now() WHERE r.life = excluded.life
		RETURNING reaped`
	err = l.s.db.GetContext(ctx, &reaped, again, l.replica, l.life, l.tell().Version, l.grace.Milliseconds(), l.reaped+1)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return 0, quota.ErrSuperseded
	case err != nil:
		return 0, fmt.Errorf("join again as replica %s: %w", l.replica, err)
	}
	l.reaped = reaped
	return reaped, nil
}

// Leave notes that this replica went in good order, and what it left in its spool if it could not commit it.
func (l *Leases) Leave(ctx context.Context) error {
	const leave = `UPDATE replicas SET stopped_at = now(), seen_at = now(), calls = 0, spool_events = $3, spool_age_ms = $4, spool_bytes = $5
		WHERE name = $1 AND life = $2`
	v := l.tell()
	if _, err := l.s.db.ExecContext(ctx, leave, l.replica, l.life, v.SpoolEvents, v.SpoolAge.Milliseconds(), v.SpoolBytes); err != nil {
		return fmt.Errorf("leave as replica %s: %w", l.replica, err)
	}
	return nil
}
