package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/jobs"
)

// dispatchBatch is how many groups are planned in one transaction.
const dispatchBatch = 50

// DispatchAlerts plans the messages of some of the groups that wait, and makes their jobs, in one transaction. It returns how many
// groups it planned; where it is as many as it takes at once, more may wait. Any number of replicas may do it at a time: who holds
// a group's first event has the whole group. One that can't be planned keeps no other from being told.
func (s *Store) DispatchAlerts(ctx context.Context, plan func(alert.Situation) alert.Planned, enqueue jobs.Enqueue) (groups int, err error) {
	err = s.inDatabaseTime(ctx, func(t *tx) error {
		groups, err = t.dispatch(ctx, dispatchBatch, plan, enqueue)
		return err
	})
	if err != nil && ctx.Err() == nil {
		groups, err = s.dispatchEach(ctx, plan, enqueue)
	}
	if err != nil {
		return groups, fmt.Errorf("dispatch alerts: %w", err)
	}
	return groups, nil
}

// dispatchEach plans the groups that wait one by one.
func (s *Store) dispatchEach(ctx context.Context, plan func(alert.Situation) alert.Planned, enqueue jobs.Enqueue) (groups int, err error) {
	var waiting []string
	const query = `SELECT group_id FROM alert_events WHERE dispatched_at IS NULL GROUP BY group_id ORDER BY min(id) LIMIT $1`
	if err := s.db.SelectContext(ctx, &waiting, query, 4*dispatchBatch); err != nil {
		return 0, fmt.Errorf("read waiting groups: %w", err)
	}
	var errs []error
	for _, id := range waiting {
		n := 0
		err := s.inDatabaseTime(ctx, func(t *tx) (err error) {
			const claim = `SELECT group_id FROM alert_events WHERE id = (SELECT min(id) FROM alert_events WHERE group_id = $1 AND dispatched_at IS NULL)
				AND dispatched_at IS NULL FOR UPDATE SKIP LOCKED`
			var ids pq.StringArray
			if err := t.SelectContext(ctx, (*[]string)(&ids), claim, id); err != nil {
				return err
			}
			n, err = t.dispatchGroups(ctx, ids, plan, enqueue)
			return err
		})
		if err != nil {
			n, errs = 0, append(errs, fmt.Errorf("group %s: %w", id, err))
		}
		if groups += n; ctx.Err() != nil {
			break
		}
	}
	return groups, errors.Join(errs...)
}

func (t *tx) dispatch(ctx context.Context, most int, plan func(alert.Situation) alert.Planned, enqueue jobs.Enqueue) (groups int, err error) {
	const claim = `SELECT group_id FROM alert_events e WHERE dispatched_at IS NULL AND NOT EXISTS (
			SELECT FROM alert_events f WHERE f.group_id = e.group_id AND f.id < e.id AND f.dispatched_at IS NULL)
		ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED`
	var ids pq.StringArray
	if err := t.SelectContext(ctx, (*[]string)(&ids), claim, most); err != nil {
		return 0, fmt.Errorf("claim groups: %w", err)
	}
	return t.dispatchGroups(ctx, ids, plan, enqueue)
}

// dispatchGroups plans groups of which the first event that waits is locked, and tells how many. One of which somebody else holds an event
// waits for the next time: to wait for that here would be to wait in a circle, since these are not locked in the order of ids.
func (t *tx) dispatchGroups(ctx context.Context, groups pq.StringArray, plan func(alert.Situation) alert.Planned, enqueue jobs.Enqueue) (n int, err error) {
	if len(groups) == 0 {
		return 0, nil
	}
	const claim = `WITH locked AS MATERIALIZED (SELECT id, group_id FROM alert_events WHERE group_id = ANY ($1::uuid[]) AND dispatched_at IS NULL FOR UPDATE SKIP LOCKED)
		SELECT id FROM locked l WHERE NOT EXISTS (SELECT FROM alert_events e
			WHERE e.group_id = l.group_id AND e.dispatched_at IS NULL AND e.id NOT IN (SELECT id FROM locked))`
	var ids []int64
	if err := t.SelectContext(ctx, &ids, claim, groups); err != nil {
		return 0, fmt.Errorf("claim what was raised together: %w", err)
	}
	events, err := selectEvents(ctx, t, `WHERE e.id = ANY ($1) ORDER BY e.id`, pq.Int64Array(ids))
	if err != nil {
		return 0, fmt.Errorf("read what was raised: %w", err)
	}
	planned := map[uuid.UUID]bool{}
	for _, e := range events {
		planned[e.Group] = true
	}
	return len(planned), t.dispatchEvents(ctx, events, plan, enqueue)
}

// dispatchEvents plans whole groups that are locked.
func (t *tx) dispatchEvents(ctx context.Context, events []alert.Event, plan func(alert.Situation) alert.Planned, enqueue jobs.Enqueue) error {
	if len(events) == 0 {
		return nil
	}
	situations, err := t.situations(ctx, events)
	if err != nil {
		return err
	}
	var all alert.Planned
	for _, situation := range situations {
		p := plan(situation)
		all.Deliveries, all.Escalations = append(all.Deliveries, p.Deliveries...), append(all.Escalations, p.Escalations...)
		all.Unsent = append(all.Unsent, p.Unsent...)
	}
	alert.Gather(all.Deliveries, situations)
	if err := t.deliver(ctx, all, enqueue); err != nil {
		return err
	}
	const note = `UPDATE alert_events SET dispatched_at = $1 WHERE id = ANY ($2::bigint[])`
	if _, err := t.ExecContext(ctx, note, t.now, ints(events, func(e *alert.Event) int64 { return e.ID })); err != nil {
		return fmt.Errorf("note what was dispatched: %w", err)
	}
	return nil
}

// lockedFirst begins a statement that changes alerts: everybody takes several of them in one order, so that nobody waits in a circle.
func lockedFirst(which string) string {
	return `WITH locked AS MATERIALIZED (SELECT id FROM alert_events WHERE ` + which + ` ORDER BY id FOR UPDATE) `
}

// inDatabaseTime is inTx with the time of the database: what is held is held by the same clock by which it is let go, whatever the
// clock of this machine.
func (s *Store) inDatabaseTime(ctx context.Context, fn func(*tx) error) error {
	return s.inTx(ctx, func(t *tx) error {
		if err := t.GetContext(ctx, &t.now, `SELECT clock_timestamp()`); err != nil {
			return fmt.Errorf("ask for the time: %w", err)
		}
		t.now = s.clock(t.now)
		return fn(t)
	})
}

// EscalateAlerts tells others of a group that nobody has acknowledged. Where it must be looked at again it says when, by the clock
// of this machine, and its caller does so.
func (s *Store) EscalateAlerts(ctx context.Context, group uuid.UUID, ruleID int64, plan func(alert.Situation, int64) (alert.Planned, time.Time), enqueue jobs.Enqueue) (again time.Time, err error) {
	err = s.inDatabaseTime(ctx, func(t *tx) error {
		here := s.now()
		events, err := selectEvents(ctx, t, `WHERE e.group_id = $1 ORDER BY e.id`, group)
		if err != nil || len(events) == 0 {
			return err
		}
		situations, err := t.situations(ctx, events)
		if err != nil {
			return err
		}
		var p alert.Planned
		if p, again = plan(situations[0], ruleID); !again.IsZero() {
			again = here.Add(again.Sub(t.now))
		}
		return t.deliver(ctx, p, enqueue)
	})
	if err != nil {
		return again, fmt.Errorf("escalate group %s: %w", group, err)
	}
	return again, nil
}

// deliver makes messages and their jobs. Rows are taken in one order by everybody, so that nobody waits in a circle.
func (t *tx) deliver(ctx context.Context, p alert.Planned, enqueue jobs.Enqueue) error {
	slices.SortStableFunc(p.Deliveries, func(a, b alert.Delivery) int {
		return cmp.Or(strings.Compare(a.Batch, b.Batch), strings.Compare(a.Recipient, b.Recipient))
	})
	if err := t.noteUnsent(ctx, p.Unsent); err != nil {
		return err
	}
	var work []alert.Work
	for _, d := range joined(p.Deliveries) {
		id, isNew, err := t.addDelivery(ctx, d)
		if err != nil {
			return err
		}
		if isNew {
			work = append(work, alert.Work{DeliveryID: id, Channel: d.Channel, DueAt: later(d.DueAt, t.now)})
		}
	}
	return t.enqueue(ctx, append(work, p.Escalations...), enqueue)
}

// joined puts together what one reader gets in one batch: a night's digest of thousands of groups must not be written anew
// for each of them. Equals are neighbours.
func joined(sorted []alert.Delivery) []alert.Delivery {
	var all []alert.Delivery
	for _, d := range sorted {
		if n := len(all) - 1; n >= 0 && d.Kind != alert.Escalated && all[n].Batch == d.Batch && all[n].Recipient == d.Recipient {
			all[n].EventIDs = append(slices.Clip(all[n].EventIDs), d.EventIDs...)
			continue
		}
		all = append(all, d)
	}
	return all
}

// later is zero, for at once, unless the time is still to come.
func later(due, now time.Time) time.Time {
	if due.After(now) {
		return due
	}
	return time.Time{}
}

// addDelivery adds a message, or its events to the one of its batch that the reader has not got yet. Once that is being sent nothing
// is added to it, and the next one of the batch takes them: claiming it and adding to it take the same row, and each sees what the
// other has done.
func (t *tx) addDelivery(ctx context.Context, d alert.Delivery) (id int64, isNew bool, err error) {
	const add = `INSERT INTO deliveries (batch, kind, audience, tenant_id, channel, channel_id, recipient, name, language, event_ids, due_at, created_at)
		VALUES ($1, $2, $3, NULLIF($4, 0), $5, NULLIF($6, 0), $7, $8, $9, $10, CASE WHEN $11 > $12::timestamptz THEN $11 ELSE clock_timestamp() END, $12)
		ON CONFLICT ON CONSTRAINT deliveries_once DO UPDATE
			SET event_ids = deliveries.event_ids || ARRAY(SELECT unnest(excluded.event_ids) EXCEPT SELECT unnest(deliveries.event_ids) ORDER BY 1)
			WHERE deliveries.state = 'pending' AND deliveries.begun_at IS NULL
		RETURNING id, xmax = 0`
	batch := d.Batch
	for n := 2; ; n++ {
		err = t.QueryRowContext(ctx, add, d.Batch, d.Kind, d.Audience, d.TenantID, d.Channel, d.ChannelID, storable(d.Recipient, maxRecipient), storable(d.Name, maxRecipient), d.Language,
			pq.Int64Array(d.EventIDs), d.DueAt, t.now).Scan(&id, &isNew)
		if !errors.Is(err, sql.ErrNoRows) || d.Kind == alert.Escalated {
			break
		}
		d.Batch = batch + "/" + strconv.Itoa(n)
	}
	if errors.Is(err, sql.ErrNoRows) { // an escalation is told once
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("add a message of %s: %w", d.Batch, err)
	}
	return id, isNew, nil
}

// maxRecipient is more bytes than an address or a name has; texts that do not fit into an index row would fail for ever.
const maxRecipient = 1000

// enqueue makes jobs and notes which job brings which message.
func (t *tx) enqueue(ctx context.Context, work []alert.Work, enqueue jobs.Enqueue) error {
	if len(work) == 0 {
		return nil
	}
	made, err := enqueue(ctx, t.Tx.Tx, work)
	if err != nil {
		return fmt.Errorf("make %d jobs: %w", len(work), err)
	}
	var messages, ids []int64
	for i, w := range work {
		if w.DeliveryID != 0 {
			messages, ids = append(messages, w.DeliveryID), append(ids, made[i])
		}
	}
	const note = `UPDATE deliveries d SET job_id = n.job FROM unnest($1::bigint[], $2::bigint[]) AS n (id, job) WHERE d.id = n.id`
	if _, err := t.ExecContext(ctx, note, pq.Int64Array(messages), pq.Int64Array(ids)); err != nil {
		return fmt.Errorf("note %d jobs: %w", len(ids), err)
	}
	return nil
}
