package store

import (
	"context"
	"fmt"
	"time"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// breakerMemory is how long the history of breakers is kept.
const breakerMemory = 90 * 24 * time.Hour

type breakerForceRow struct {
	ProviderID int64     `db:"provider_id"`
	Model      string    `db:"model"`
	State      string    `db:"state"`
	Actor      string    `db:"actor"`
	At         time.Time `db:"at"`
}

// BreakerForces gives what operators decided about breakers and have not given back.
func (s *Store) BreakerForces(ctx context.Context) ([]tenancy.BreakerForce, error) {
	var rows []breakerForceRow
	const query = `SELECT provider_id, model, state, actor, at FROM breaker_forces ORDER BY provider_id, model`
	if err := s.db.SelectContext(ctx, &rows, query); err != nil {
		return nil, fmt.Errorf("list forced breakers: %w", err)
	}
	forces := make([]tenancy.BreakerForce, len(rows))
	for i, r := range rows {
		forces[i] = tenancy.BreakerForce(r)
	}
	return forces, nil
}

// ForceBreaker holds the breaker of a provider's model ("": of all its models) in state, forced_open or forced_closed,
// until it is given back with "" or closed.
func (s *Store) ForceBreaker(ctx context.Context, providerID int64, model, state string) error {
	err := s.inTx(ctx, func(tx *tx) error {
		if _, err := oneProvider(ctx, tx, `id = $1`, providerID); err != nil {
			return err
		}
		var err error
		switch state {
		case "forced_open", "forced_closed":
			const upsert = `INSERT INTO breaker_forces (provider_id, model, state, actor, at) VALUES ($1, $2, $3, $4, $5)
				ON CONFLICT (provider_id, model) DO UPDATE SET state = EXCLUDED.state, actor = EXCLUDED.actor, at = EXCLUDED.at`
			_, err = tx.ExecContext(ctx, upsert, providerID, model, state, tenancy.ActorOf(ctx).Label, tx.now)
		case "", "closed":
			state = "given back"
			_, err = tx.ExecContext(ctx, `DELETE FROM breaker_forces WHERE provider_id = $1 AND model = $2`, providerID, model)
		default:
			return fault.New(fault.Invalid, "error.choice", "value", state, "accepted", "forced_open, forced_closed, closed")
		}
		if err != nil {
			return known(err, providerMissing)
		}
		return tx.audit(ctx, "breaker.force", providerSubject(providerID), 0, map[string]any{"model": model, "state": state})
	})
	if err != nil {
		return fmt.Errorf("force breaker of provider %d: %w", providerID, err)
	}
	return nil
}

// RecordBreakerChanges adds to the history; changes of providers that are gone meanwhile are dropped.
func (s *Store) RecordBreakerChanges(ctx context.Context, changes []tenancy.BreakerChange) error {
	const insert = `INSERT INTO breaker_changes (at, replica, provider_id, model, from_state, to_state, reason, failure_percent, calls)
		SELECT c.at, c.replica, c.provider_id, c.model, c.from_state, c.to_state, c.reason, c.failure_percent, c.calls
		FROM unnest($1::timestamptz[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::int[], $9::int[])
			WITH ORDINALITY AS c (at, replica, provider_id, model, from_state, to_state, reason, failure_percent, calls, n)
		JOIN (SELECT id FROM providers FOR KEY SHARE) v ON v.id = c.provider_id ORDER BY c.n`
	type change = tenancy.BreakerChange
	_, err := s.db.ExecContext(ctx, insert,
		texts(changes, func(c *change) string { return c.At.UTC().Format(time.RFC3339Nano) }),
		texts(changes, func(c *change) string { return c.Replica }),
		ints(changes, func(c *change) int64 { return c.ProviderID }),
		texts(changes, func(c *change) string { return c.Model }),
		texts(changes, func(c *change) string { return c.From }),
		texts(changes, func(c *change) string { return c.To }),
		texts(changes, func(c *change) string { return c.Reason }),
		ints(changes, func(c *change) int64 { return int64(c.FailurePercent) }),
		ints(changes, func(c *change) int64 { return int64(c.Calls) }))
	if err != nil {
		return fmt.Errorf("record breaker changes: %w", err)
	}
	return nil
}

type breakerChangeRow struct {
	At             time.Time `db:"at"`
	Replica        string    `db:"replica"`
	ProviderID     int64     `db:"provider_id"`
	Provider       string    `db:"provider"`
	Model          string    `db:"model"`
	From           string    `db:"from_state"`
	To             string    `db:"to_state"`
	Reason         string    `db:"reason"`
	FailurePercent int       `db:"failure_percent"`
	Calls          int       `db:"calls"`
}

// BreakerChanges gives the history of a provider's breakers (0: of all) with its name, the newest first, at most limit.
func (s *Store) BreakerChanges(ctx context.Context, providerID int64, limit int) ([]tenancy.BreakerChange, error) {
	var rows []breakerChangeRow
	const query = `SELECT c.at, c.replica, c.provider_id, v.name AS provider, c.model, c.from_state, c.to_state, c.reason,
			c.failure_percent, c.calls
		FROM breaker_changes c JOIN providers v ON v.id = c.provider_id
		WHERE $1 = 0 OR c.provider_id = $1 ORDER BY c.at DESC, c.id DESC LIMIT $2`
	if err := s.db.SelectContext(ctx, &rows, query, providerID, limit); err != nil {
		return nil, fmt.Errorf("list breaker changes: %w", err)
	}
	changes := make([]tenancy.BreakerChange, len(rows))
	for i, r := range rows {
		changes[i] = tenancy.BreakerChange(r)
	}
	return changes, nil
}

// SweepBreakerChanges removes what is older than 90 days; it returns how many rows.
func (s *Store) SweepBreakerChanges(ctx context.Context) (int64, error) {
	result, err := s.db.ExecContext(ctx, `DELETE FROM breaker_changes WHERE at < $1`, s.now().UTC().Add(-breakerMemory))
	if err != nil {
		return 0, fmt.Errorf("sweep breaker changes: %w", err)
	}
	n, _ := result.RowsAffected() // lib/pq always knows
	return n, nil
}
