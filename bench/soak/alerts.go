package main

import (
	"context"
	"fmt"
	"time"

	"github.com/fila-ia/filaia/internal/tenancy"
)

// readers makes the owner that the rules of a new installation tell.
func (s *soak) readers(ctx context.Context) error {
	_, err := s.store.CreateUser(ctx, tenancy.UserDraft{Email: "dona@soak.example", Name: "Dona", Role: tenancy.Owner}, "nobody signs in")
	return err
}

// Queries about alerts of quotas; each lists what should not be. A threshold counts as told where it or a higher one was, because a
// limit that is raised tells nobody again what they know.
const (
	reachedUntold = `SELECT format('period %s: %s%% of %s is used, and %s is not told of %s%%', p.id, b.share / 100.0, b.metric, r.audience, n.threshold / 100.0)
		FROM (SELECT period_id, 'input_quota' AS metric, used_in::numeric * 10000 / limit_in AS share FROM quota_buckets WHERE limit_in > 0
			UNION ALL SELECT period_id, 'output_quota', used_out::numeric * 10000 / limit_out FROM quota_buckets WHERE limit_out > 0) b
		JOIN billing_periods p ON p.id = b.period_id
		JOIN alert_rules r ON r.metric = b.metric AND r.enabled AND r.scope = 'all' AND r.deleted_at IS NULL
		CROSS JOIN LATERAL unnest(r.thresholds) AS n (threshold)
		WHERE b.share >= n.threshold AND NOT EXISTS (SELECT FROM alert_events e WHERE e.subscription_id = p.subscription_id AND e.period = p.starts_at
			AND e.audience = r.audience AND e.metric = r.metric AND e.threshold >= n.threshold)`
	toldUnreached = `SELECT format('alert %s: %s at %s, threshold %s', id, metric, value, threshold) FROM alert_events
		WHERE metric IN ('input_quota', 'output_quota') AND value < threshold`
	toldTwice = `SELECT format('%s alerts of %s, %s, %s: threshold %s', count(*), subject, audience, metric, threshold) FROM alert_events
		WHERE metric IN ('input_quota', 'output_quota') GROUP BY subject, audience, metric, period, threshold HAVING count(*) > 1`
	undelivered = `SELECT format('alert %s is not dispatched', id) FROM alert_events WHERE dispatched_at IS NULL
		UNION ALL SELECT format('message %s is %s after %s attempts', id, state, attempts) FROM deliveries WHERE state <> 'delivered'`
	messagedTwice = `SELECT format('%s messages of %s to %s', count(*), e.group_id, d.recipient) FROM deliveries d
		JOIN alert_events e ON e.id = ANY (d.event_ids) AND e.lead GROUP BY e.group_id, d.recipient, e.audience, e.metric, d.kind HAVING count(*) > 1`
)

// alertsTime is what the last messages get to be delivered.
const alertsTime = 90 * time.Second

// checkAlerts compares what was told with what was reached, once all of it is delivered. Replicas must run.
func (s *soak) checkAlerts(ctx context.Context, r *report) error {
	begin := time.Now()
	for {
		late, err := s.list(ctx, undelivered)
		if err != nil {
			return err
		}
		if len(late) == 0 || time.Since(begin) > alertsTime {
			r.none("alerts are dispatched, and their messages delivered", fmt.Sprintf("within %.1f s", time.Since(begin).Seconds()), late)
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	told, err := s.list(ctx, `SELECT format('%s to %s: %s', metric, audience, count(*)) FROM alert_events GROUP BY metric, audience ORDER BY 1`)
	if err != nil {
		return err
	}
	messages, err := s.list(ctx, `SELECT id::text FROM deliveries`)
	if err != nil {
		return err
	}
	again, err := s.list(ctx, `SELECT format('message %s: %s attempts', id, attempts) FROM deliveries WHERE attempts > 1`)
	if err != nil {
		return err
	}
	r.figure("alerts raised", fmt.Sprintf("%d kinds, %d messages, %d of them in several attempts", len(told), len(messages), len(again)), told...)
	for _, one := range []struct{ name, query string }{
		{"thresholds that are reached are told", reachedUntold}, {"thresholds that are told were reached", toldUnreached},
		{"thresholds are told once", toldTwice}, {"readers get one message a group", messagedTwice},
	} {
		found, err := s.list(ctx, one.query)
		if err != nil {
			return err
		}
		r.none(one.name, "all", found)
	}
	return nil
}

// list reads one column of texts.
func (s *soak) list(ctx context.Context, query string) (lines []string, err error) {
	rows, err := s.store.DB().QueryContext(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("check alerts: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return nil, err
		}
		lines = append(lines, line)
	}
	return lines, rows.Err()
}
