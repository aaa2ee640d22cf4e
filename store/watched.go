package store

import (
	"context"
	"fmt"
	"time"

	"github.com/fila-ia/filaia/internal/tenancy"
)

const (
	addressesKept  = 6 * 30 * 24 * time.Hour
	throttlesKept  = 90 * 24 * time.Hour
	addressesOfKey = 1000 // of which a key has more, nobody is told anything new
)

// NoteKeyUses notes from where keys are used. The first sight of an address stays; keys that are gone are left out.
func (s *Store) NoteKeyUses(ctx context.Context, uses []tenancy.KeyUse) error {
	if len(uses) == 0 {
		return nil
	}
	const insert = `INSERT INTO key_addresses AS a (key_id, address, tenant_id, first_seen, last_seen)
		SELECT DISTINCT ON (k.id, u.address) k.id, u.address, k.tenant_id, u.at, u.at
		FROM (SELECT key, CASE family(address) WHEN 4 THEN address ELSE set_masklen(address, 64) END AS address,
				timestamptz 'epoch' + at * interval '1 microsecond' AS at
			FROM unnest($1::bigint[], $2::inet[], $3::bigint[]) AS n (key, address, at)) u
		JOIN api_keys k ON k.id = u.key
		WHERE EXISTS (SELECT FROM key_addresses o WHERE o.key_id = k.id AND o.address = u.address)
			OR (SELECT count(*) FROM key_addresses o WHERE o.key_id = k.id) < $4
		ORDER BY k.id, u.address, u.at
		ON CONFLICT (key_id, address) DO UPDATE SET last_seen = excluded.last_seen WHERE a.last_seen < excluded.last_seen`
	_, err := s.db.ExecContext(ctx, insert, ints(uses, func(u *tenancy.KeyUse) int64 { return u.KeyID }),
		texts(uses, func(u *tenancy.KeyUse) string { return u.Address.String() }),
		ints(uses, func(u *tenancy.KeyUse) int64 { return u.At.UnixMicro() }), addressesOfKey)
	if err != nil {
		return fmt.Errorf("note %d uses of keys: %w", len(uses), err)
	}
	return nil
}

// AddThrottled adds to how often providers said 429; those that are gone are left out.
func (s *Store) AddThrottled(ctx context.Context, counts []tenancy.Throttled) error {
	if len(counts) == 0 {
		return nil
	}
	const insert = `INSERT INTO provider_throttles AS h (minute, provider_id, count)
		SELECT timestamptz 'epoch' + n.minute * interval '1 second', v.id, n.count
		FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS n (minute, provider, count)
		JOIN (SELECT id FROM providers FOR KEY SHARE) v ON v.id = n.provider ORDER BY 1, 2
		ON CONFLICT (minute, provider_id) DO UPDATE SET count = h.count + excluded.count`
	type row = tenancy.Throttled
	_, err := s.db.ExecContext(ctx, insert, ints(counts, func(c *row) int64 { return c.Minute.Unix() }),
		ints(counts, func(c *row) int64 { return c.ProviderID }), ints(counts, func(c *row) int64 { return c.Count }))
	if err != nil {
		return fmt.Errorf("count what providers refused: %w", err)
	}
	return nil
}

// SweepWatched removes addresses that no key was used from for six months, but for the newest of each key, which tells of a key that
// slept that another one is new, what providers refused more than ninety days ago, what
// the watch saw longer ago than a replay asks for, and how breakers stood of replicas that are forgotten; it tells how many rows.
func (s *Store) SweepWatched(ctx context.Context) (rows int64, err error) {
	now := s.now().UTC()
	for _, sweep := range []struct {
		statement string
		args      []any
	}{
		{`DELETE FROM key_addresses a WHERE last_seen < $1 AND EXISTS (SELECT FROM key_addresses o
			WHERE o.key_id = a.key_id AND (o.last_seen, o.address) > (a.last_seen, a.address))`, []any{now.Add(-addressesKept)}},
		{`DELETE FROM provider_throttles WHERE minute < $1`, []any{now.Add(-throttlesKept)}},
		{`DELETE FROM watch_looks WHERE at < $1`, []any{now.Add(-looksKept)}},
		{`DELETE FROM breaker_states s WHERE NOT EXISTS (SELECT FROM replicas r WHERE r.name = s.replica)`, nil},
	} {
		result, err := s.db.ExecContext(ctx, sweep.statement, sweep.args...)
		if err != nil {
			return rows, fmt.Errorf("sweep what was watched: %w", err)
		}
		n, _ := result.RowsAffected() // lib/pq always knows
		rows += n
	}
	return rows, nil
}
