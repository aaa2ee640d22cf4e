package store

import (
	"context"
	"fmt"
	"time"
)

// alertsKept is how long alerts and their messages are kept: a year, and the one to compare it with.
const alertsKept = 400 * 24 * time.Hour

// sweepBatch bounds one transaction.
const sweepBatch = 10_000

// SweepAlerts forgets alerts that were raised long ago, with their messages, and tells how many. What still goes on, such as a
// breaker that has been open since, stays: it would be raised again. Addresses that never answered go as well; who agreed or declined
// is remembered.
func (s *Store) SweepAlerts(ctx context.Context) (int64, error) {
	const events = `DELETE FROM alert_events WHERE id IN (SELECT id FROM alert_events
		WHERE raised_at < $1 AND resolved_at IS NOT NULL AND dispatched_at IS NOT NULL ORDER BY id LIMIT $2)`
	const messages = `DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE created_at < $1 AND state <> 'pending' ORDER BY id LIMIT $2)`
	const silent = `DELETE FROM alert_addresses WHERE id IN (SELECT id FROM alert_addresses
		WHERE asked_at < $1 AND confirmed_at IS NULL AND declined_at IS NULL ORDER BY id LIMIT $2)`
	swept := int64(0)
	for _, query := range []string{events, messages, silent} {
		result, err := s.db.ExecContext(ctx, query, s.now().Add(-alertsKept), sweepBatch)
		if err != nil {
			return swept, fmt.Errorf("sweep alerts: %w", err)
		}
		n, err := result.RowsAffected()
		if err != nil {
			return swept, err
		}
		swept += n
	}
	return swept, nil
}
