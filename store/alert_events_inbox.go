package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"
)

// unseenMost is where counting ends: nobody reads a greater number.
const unseenMost = 100

// unseenQuery takes the audience, the tenant and the id up to which the person has seen their inbox. What somebody takes care
// of, or what is over, need not be seen by everyone.
const unseenQuery = `SELECT count(*) FROM (SELECT FROM alert_events e
	WHERE e.lead AND e.audience = $1 AND ($2::bigint = 0 OR e.tenant_id = $2) AND e.id > $3 AND ` + openAlert + ` LIMIT $4) AS unseen`

// seenUpTo is the last alert that a person has seen. Who asks for the first time has seen what was there before them.
func (s *Store) seenUpTo(ctx context.Context, userID int64) (id int64, err error) {
	err = s.db.GetContext(ctx, &id, `SELECT event_id FROM alert_seen WHERE user_id = $1`, userID)
	if errors.Is(err, sql.ErrNoRows) {
		const begin = `INSERT INTO alert_seen (user_id, event_id)
			SELECT id, COALESCE((SELECT max(e.id) FROM alert_events e WHERE e.raised_at < u.created_at), 0) FROM users u WHERE id = $1
			ON CONFLICT (user_id) DO UPDATE SET event_id = alert_seen.event_id RETURNING event_id`
		err = s.db.GetContext(ctx, &id, begin, userID)
	}
	if err != nil {
		return 0, fmt.Errorf("inbox of user %d: %w", userID, err)
	}
	return id, nil
}

// UnseenAlerts counts what one of the team has not seen, up to a hundred, and gives the id up to which they have.
func (s *Store) UnseenAlerts(ctx context.Context, userID int64) (n int, upTo int64, err error) {
	if upTo, err = s.seenUpTo(ctx, userID); err != nil {
		return 0, 0, err
	}
	n, err = unseen(ctx, s.db, "operator", 0, upTo)
	return n, upTo, err
}

// UnseenOwnAlerts is Store.UnseenAlerts of a customer's person.
func (p Portal) UnseenOwnAlerts(ctx context.Context, tenantID, userID int64) (n int, upTo int64, err error) {
	if upTo, err = p.s.seenUpTo(ctx, userID); err != nil {
		return 0, 0, err
	}
	n, err = p.s.ForTenant(tenantID).UnseenAlerts(ctx, upTo)
	return n, upTo, err
}

// UnseenAlerts counts what the tenant was told after the alert upTo and nobody has taken care of, up to a hundred.
func (t *Tenant) UnseenAlerts(ctx context.Context, upTo int64) (n int, err error) {
	err = t.read(ctx, func(tx *tx) error {
		n, err = unseen(ctx, tx, "customer", t.id, upTo)
		return err
	})
	return n, err
}

func unseen(ctx context.Context, q sqlx.QueryerContext, audience string, tenantID, upTo int64) (n int, err error) {
	if err := sqlx.GetContext(ctx, q, &n, unseenQuery, audience, tenantID, upTo, unseenMost); err != nil {
		return 0, fmt.Errorf("count unseen alerts: %w", err)
	}
	return n, nil
}

// SeenAlerts notes that a person has seen their inbox up to an alert. It never goes back, nor beyond what is there.
func (s *Store) SeenAlerts(ctx context.Context, userID, upTo int64) error {
	const seen = `INSERT INTO alert_seen (user_id, event_id) SELECT $1, LEAST($2, COALESCE(max(id), 0)) FROM alert_events
		ON CONFLICT (user_id) DO UPDATE SET event_id = GREATEST(alert_seen.event_id, EXCLUDED.event_id)`
	if _, err := s.db.ExecContext(ctx, seen, userID, upTo); err != nil {
		return fmt.Errorf("inbox of user %d seen: %w", userID, err)
	}
	return nil
}
