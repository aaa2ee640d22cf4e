package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/jobs"
)

// queueBatch bounds how many jobs one transaction makes.
const queueBatch = 500

// liveJob tells of a message d that there is a job which will bring it. A number alone tells nothing after a restore, nor does a
// job that has ended, for whatever reason.
const liveJob = `EXISTS (SELECT FROM river_job j WHERE j.id = d.job_id AND j.kind = 'deliver' AND j.args->>'delivery' = d.id::text
	AND j.state NOT IN ('cancelled', 'completed', 'discarded'))`

// QueueDeliveries makes jobs for some of the messages that wait without one: those that are sent again, and, when lost is asked
// for, those whose job is gone, for whatever reason. It returns how many.
func (s *Store) QueueDeliveries(ctx context.Context, lost bool, enqueue jobs.Enqueue) (n int, err error) {
	err = s.inTx(ctx, func(t *tx) error {
		var rows []struct {
			ID      int64         `db:"id"`
			Channel alert.Channel `db:"channel"`
			DueAt   time.Time     `db:"due_at"`
		}
		without := `d.job_id IS NULL`
		if lost {
			without = `NOT ` + liveJob
		}
		waiting := `SELECT d.id, d.channel, d.due_at FROM deliveries d WHERE d.state = 'pending' AND ` + without + `
			ORDER BY d.id LIMIT $1 FOR UPDATE SKIP LOCKED`
		if err := t.SelectContext(ctx, &rows, waiting, queueBatch); err != nil {
			return err
		}
		work := make([]alert.Work, len(rows))
		for i, r := range rows {
			work[i] = alert.Work{DeliveryID: r.ID, Channel: r.Channel, DueAt: later(r.DueAt, t.now)}
		}
		n = len(work)
		return t.enqueue(ctx, work, enqueue)
	})
	if err != nil {
		return 0, fmt.Errorf("queue messages: %w", err)
	}
	return n, nil
}

// overdue is how late a job may be for its message before its own time is not believed: it came from a clock that was ahead.
// Attempts are spread by less than that.
const overdue = time.Hour

// unbegun is after what time a job whose message nobody has claimed is nobody's: longer than the first claim of a message is held.
const unbegun = "75 seconds"

// MendQueue puts right what keeps jobs that are there from being done: queues that were paused, which nothing here does, jobs that
// are to begin long after their message is due, and those whose sender is gone: nobody holds their message any more. It also makes the jobs again that look whether others must be told of an alert
// and are gone; a message that was made for it, or a job that did it, shows that it was looked. It tells how many of each there were.
func (s *Store) MendQueue(ctx context.Context, enqueue jobs.Enqueue) (late, gone int, err error) {
	err = s.inTx(ctx, func(t *tx) error {
		for _, mend := range []string{
			`UPDATE river_queue SET paused_at = NULL, updated_at = now() WHERE paused_at IS NOT NULL AND $1::interval > '0'`,
			`UPDATE river_job j SET scheduled_at = now() FROM deliveries d WHERE d.state = 'pending' AND d.due_at < now() - $1::interval AND j.id = d.job_id
				AND j.state IN ('retryable', 'scheduled') AND j.scheduled_at > now() + interval '1 minute'`,
			`UPDATE river_job j SET state = 'available', scheduled_at = now(), attempt = greatest(j.attempt - 1, 0) FROM deliveries d
				WHERE j.state = 'running' AND j.kind = 'deliver' AND d.job_id = j.id AND d.state = 'pending' AND j.attempted_at < now() - interval '` + unbegun + `'
				AND (d.sending_until IS NULL OR d.sending_until < now() - interval '10 seconds') AND $1::interval > '0'`,
		} {
			result, err := t.ExecContext(ctx, mend, overdue.String())
			if err != nil {
				return err
			}
			n, err := result.RowsAffected()
			if err != nil {
				return err
			}
			late += int(n)
		}
		gone, err = t.queueEscalations(ctx, enqueue)
		return err
	})
	if err != nil {
		return 0, 0, fmt.Errorf("mend the queue: %w", err)
	}
	return late, gone, nil
}

// queueEscalations makes jobs for what should have been looked at by now and was not. It looks back for less than the day for which
// jobs that are done are kept, and not at what a rule raised before it was changed.
func (t *tx) queueEscalations(ctx context.Context, enqueue jobs.Enqueue) (int, error) {
	const unlooked = `SELECT DISTINCT e.group_id AS group, e.rule_id FROM alert_events e JOIN alert_rules r ON r.id = e.rule_id
		WHERE e.resolved_at IS NULL AND e.acknowledged_at IS NULL AND r.escalate_minutes IS NOT NULL AND r.updated_at <= e.raised_at
			AND now() - e.dispatched_at BETWEEN make_interval(mins => r.escalate_minutes + 5) AND make_interval(mins => r.escalate_minutes, hours => 20)
			AND NOT EXISTS (SELECT FROM river_job j WHERE j.kind = 'escalate' AND j.args @> jsonb_build_object('group', e.group_id, 'rule', e.rule_id)
				AND j.state NOT IN ('cancelled', 'discarded'))
			AND NOT EXISTS (SELECT FROM deliveries d WHERE d.batch = 'escalation:' || e.group_id || ':' || e.rule_id)
		ORDER BY 1, 2 LIMIT $1`
	var rows []struct {
		Group  uuid.UUID `db:"group"`
		RuleID int64     `db:"rule_id"`
	}
	if err := t.SelectContext(ctx, &rows, unlooked, queueBatch); err != nil {
		return 0, fmt.Errorf("read alerts that nobody looked at: %w", err)
	}
	work := make([]alert.Work, len(rows))
	for i, r := range rows {
		work[i] = alert.Work{Group: r.Group, RuleID: r.RuleID}
	}
	return len(work), t.enqueue(ctx, work, enqueue)
}
