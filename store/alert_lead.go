package store

import (
	"context"
	"fmt"

	"github.com/lib/pq"
)

// resolve notes that alerts are over. Where one of them led, the next lower one that goes on leads from then on: it is what the history
// shows, what inboxes count, and what others are told of.
func (t *tx) resolve(ctx context.Context, ids []int64) error {
	if len(ids) == 0 {
		return nil
	}
	update := lockedFirst(ofGroups("$2")) + `UPDATE alert_events e SET resolved_at = $1 FROM locked WHERE e.id = locked.id AND e.id = ANY ($2::bigint[]) AND e.resolved_at IS NULL`
	if _, err := t.ExecContext(ctx, update, t.now, pq.Int64Array(ids)); err != nil {
		return fmt.Errorf("resolve %d alerts: %w", len(ids), err)
	}
	return t.leadAnew(ctx, ids)
}

// reopen notes that alerts that were over go on.
func (t *tx) reopen(ctx context.Context, ids []int64) error {
	if len(ids) == 0 {
		return nil
	}
	update := lockedFirst(ofGroups("$1")) + `UPDATE alert_events e SET resolved_at = NULL FROM locked WHERE e.id = locked.id AND e.id = ANY ($1::bigint[])`
	if _, err := t.ExecContext(ctx, update, pq.Int64Array(ids)); err != nil {
		return fmt.Errorf("have %d alerts go on: %w", len(ids), err)
	}
	return t.leadAnew(ctx, ids)
}

// leadAnew has, of what was raised together with these alerts, the highest that goes on of each audience and metric lead, or once all of
// it is over the highest of all. Where one of them begins to go on or ends to, the groups must be locked (ofGroups) before.
func (t *tx) leadAnew(ctx context.Context, ids []int64) error {
	query := `UPDATE alert_events e SET lead = n.leads FROM (
			SELECT id, row_number() OVER (PARTITION BY group_id, audience, metric ORDER BY resolved_at IS NULL DESC, threshold DESC, lead DESC, id) = 1 AS leads
			FROM alert_events WHERE ` + ofGroups("$1") + `) AS n
		WHERE n.id = e.id AND n.leads <> e.lead`
	if _, err := t.ExecContext(ctx, query, pq.Int64Array(ids)); err != nil {
		return fmt.Errorf("find what leads of %d alerts: %w", len(ids), err)
	}
	return nil
}

// ofGroups are all that was raised together with the alerts of a parameter.
func ofGroups(ids string) string {
	return `group_id IN (SELECT group_id FROM alert_events WHERE id = ANY (` + ids + `::bigint[]))`
}
