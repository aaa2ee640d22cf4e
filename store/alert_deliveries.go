package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/usage"
)

// Jobs is the pool for what asks often and shortly, such as a queue; DB opens a connection for each of its questions.
func (s *Store) Jobs() *sql.DB { return s.db.DB }

type deliveryRow struct {
	ID         int64               `db:"id"`
	MessageID  uuid.UUID           `db:"message_id"`
	Batch      string              `db:"batch"`
	Kind       alert.DeliveryKind  `db:"kind"`
	Audience   alert.Audience      `db:"audience"`
	TenantID   int64               `db:"tenant_id"`
	Channel    alert.Channel       `db:"channel"`
	ChannelID  int64               `db:"channel_id"`
	Recipient  string              `db:"recipient"`
	Name       string              `db:"name"`
	Language   i18n.Lang           `db:"language"`
	EventIDs   pq.Int64Array       `db:"event_ids"`
	State      alert.DeliveryState `db:"state"`
	Attempts   int                 `db:"attempts"`
	DueAt      time.Time           `db:"due_at"`
	CreatedAt  time.Time           `db:"created_at"`
	FinishedAt *time.Time          `db:"finished_at"`
	Held       float64             `db:"held"` // s that another still has it, or that it is not due
}

func (r deliveryRow) delivery() alert.Delivery {
	return alert.Delivery{
		ID: r.ID, MessageID: r.MessageID, Batch: r.Batch, Kind: r.Kind, Audience: r.Audience, TenantID: r.TenantID, Channel: r.Channel,
		ChannelID: r.ChannelID, Recipient: r.Recipient, Name: r.Name, Language: r.Language, EventIDs: r.EventIDs, State: r.State,
		Attempts: r.Attempts, DueAt: r.DueAt.UTC(), CreatedAt: r.CreatedAt.UTC(), FinishedAt: moment(r.FinishedAt),
	}
}

const deliveryColumns = `d.id, d.message_id, d.batch, d.kind, d.audience, coalesce(d.tenant_id, 0) AS tenant_id, d.channel, coalesce(d.channel_id, 0) AS channel_id,
	d.recipient, d.name, d.language, d.event_ids, d.state, d.attempts, d.due_at, d.created_at, d.finished_at,
	coalesce(extract(epoch FROM greatest(d.sending_until, d.due_at) - clock_timestamp()), 0) AS held`

// BeginDelivery claims a message for lease, by the clock of the database. state is the message's afterwards: nothing is to be sent
// unless it is alert.Pending and wait is zero; else another sends it for that long, or it is not due before, whatever the clock of
// who let its job begin. From the first time on nothing is added to it, and before every attempt it is asked again what of it its reader is
// still to be told: a message of which nothing is left is cancelled.
func (s *Store) BeginDelivery(ctx context.Context, id int64, replica string, lease time.Duration) (begun alert.Begun, state alert.DeliveryState, wait time.Duration, err error) {
	err = s.inTx(ctx, func(t *tx) error {
		var row deliveryRow
		err := t.GetContext(ctx, &row, `SELECT `+deliveryColumns+` FROM deliveries d WHERE d.id = $1 FOR UPDATE`, id)
		if errors.Is(err, sql.ErrNoRows) {
			state = alert.Cancelled
			return nil
		}
		if err != nil {
			return err
		}
		begun.Delivery, state = row.delivery(), row.State
		if wait = max(0, time.Duration(row.Held*float64(time.Second))); state != alert.Pending || wait > 0 {
			return nil
		}
		over, err := t.askAgain(ctx, &begun)
		if err != nil {
			return err
		}
		if over {
			state = alert.Cancelled
			_, err = t.ExecContext(ctx, `UPDATE deliveries SET state = 'cancelled', finished_at = $2 WHERE id = $1`, id, t.now)
			return err
		}
		if err := t.tell(ctx, &begun); err != nil {
			return err
		}
		d := begun.Delivery
		const claim = `UPDATE deliveries SET begun_at = coalesce(begun_at, clock_timestamp()), sending_by = $2,
			sending_until = clock_timestamp() + $3 * interval '1 microsecond', event_ids = $4, audience = $5, tenant_id = NULLIF($6, 0), name = $7, language = $8 WHERE id = $1
			RETURNING (SELECT count(*) FROM delivery_attempts a WHERE a.delivery_id = $1 AND starts_with(a.answer, $9))`
		return t.GetContext(ctx, &begun.Unanswered, claim, id, replica, lease.Microseconds(), pq.Int64Array(d.EventIDs), d.Audience, d.TenantID,
			storable(d.Name, maxRecipient), d.Language, alert.UnansweredPrefix)
	})
	if err != nil {
		return begun, state, wait, fmt.Errorf("begin delivery %d: %w", id, err)
	}
	return begun, state, wait, nil
}

// askAgain leaves of a message what its reader is still to be told, as of now, and tells whether that is nothing.
func (t *tx) askAgain(ctx context.Context, b *alert.Begun) (over bool, err error) {
	if b.Delivery.Kind == alert.Confirmation {
		return t.tellAsk(ctx, b)
	}
	events, err := selectEvents(ctx, t, `WHERE e.id = ANY ($1) ORDER BY e.id`, pq.Int64Array(b.Delivery.EventIDs))
	if err != nil {
		return false, fmt.Errorf("read events: %w", err)
	}
	around, plans, err := t.situationsNow(ctx, events)
	if err != nil {
		return false, err
	}
	still, daily := alert.AskAgain(b.Delivery, around, plans)
	b.Events = slices.DeleteFunc(events, func(e alert.Event) bool { _, told := slices.BinarySearch(still.EventIDs, e.ID); return !told })
	if len(b.Events) == 0 || alert.Overtaken(still, b.Events, daily) {
		return true, nil
	}
	b.Delivery = still
	return false, nil
}

// chartDays is how many days the chart of a message shows.
const chartDays = 14

// tell reads what a message says beside its events.
func (t *tx) tell(ctx context.Context, b *alert.Begun) (err error) {
	if len(b.Events) == 0 { // it asks
		return nil
	}
	tenantID := b.Events[0].Subject.TenantID
	if slices.ContainsFunc(b.Events, func(e alert.Event) bool { return e.Subject.TenantID != tenantID }) || tenantID == 0 {
		return nil
	}
	var name string
	if err := t.GetContext(ctx, &name, `SELECT time_zone FROM tenants WHERE id = $1`, tenantID); err != nil {
		return fmt.Errorf("zone of tenant %d: %w", tenantID, err)
	}
	zone := zoneOf(name)
	if b.Delivery.Audience == alert.Customer {
		b.Zone = zone
	}
	if zone == nil {
		zone = time.UTC
	}
	b.Days, err = t.lastDays(ctx, tenantID, zone)
	return err
}

// lastDays are the tokens of a customer's newest days, the oldest first, today among them.
func (t *tx) lastDays(ctx context.Context, tenantID int64, zone *time.Location) ([]alert.Day, error) {
	year, month, day := t.now.In(zone).Date()
	days := make([]alert.Day, chartDays)
	for i := range days {
		days[i].Day = time.Date(year, month, day-chartDays+1+i, 0, 0, 0, 0, zone)
	}
	span := usage.Period{Start: days[0].Day.UTC(), End: time.Date(year, month, day+1, 0, 0, 0, 0, zone).UTC()}
	points, err := (usageReader{q: t, tenantID: tenantID, now: t.now}).hours(ctx, span)
	if err != nil {
		return nil, fmt.Errorf("read the days of tenant %d: %w", tenantID, err)
	}
	for _, p := range points {
		for i := len(days) - 1; i >= 0; i-- {
			if !p.Start.Before(days[i].Day) {
				days[i].Input, days[i].Output = days[i].Input+p.Tokens.Input, days[i].Output+p.Tokens.Output
				break
			}
		}
	}
	return days, nil
}

// HoldDelivery prolongs a replica's claim of a message to lease from now. It is an error when the replica has it no more.
func (s *Store) HoldDelivery(ctx context.Context, id int64, replica string, lease time.Duration) error {
	const hold = `UPDATE deliveries SET sending_until = clock_timestamp() + $3 * interval '1 microsecond'
		WHERE id = $1 AND state = 'pending' AND sending_by = $2 AND sending_until IS NOT NULL`
	result, err := s.db.ExecContext(ctx, hold, id, replica, lease.Microseconds())
	var n int64
	if err == nil {
		n, err = result.RowsAffected()
	}
	if err == nil && n == 0 {
		err = errors.New("somebody else has it by now")
	}
	if err != nil {
		return fmt.Errorf("hold delivery %d: %w", id, err)
	}
	return nil
}

// RecordAttempt writes an attempt down, with the state in which it leaves a message that was pending, and lets the message go. One
// that stays pending is due after a.Next. Who was stopped for so long that another has the message by now changes nothing of it, but
// for one thing: what was delivered is delivered, whoever gave it up.
func (s *Store) RecordAttempt(ctx context.Context, id int64, a alert.Attempt, state alert.DeliveryState) error {
	err := s.inTx(ctx, func(t *tx) error {
		const note = `INSERT INTO delivery_attempts (delivery_id, at, took_ms, outcome, answer, replica) VALUES ($1, $2, $3, $4, $5, $6)`
		if _, err := t.ExecContext(ctx, note, id, a.At, max(0, a.Took.Milliseconds()), a.Outcome, alert.Answer(a.Answer), a.Replica); err != nil {
			return err
		}
		const count = `UPDATE deliveries SET attempts = attempts + 1 WHERE id = $1`
		if _, err := t.ExecContext(ctx, count, id); err != nil {
			return err
		}
		const leave = `UPDATE deliveries SET sending_until = NULL, state = $2,
			due_at = CASE WHEN $2 = 'pending' THEN clock_timestamp() + $4 * interval '1 microsecond' ELSE due_at END,
			finished_at = CASE WHEN $2 <> 'pending' THEN $3 ELSE finished_at END
			WHERE id = $1 AND (state = 'pending' AND sending_by = $5 OR $2 = 'delivered' AND state IN ('pending', 'dead'))`
		if _, err := t.ExecContext(ctx, leave, id, string(state), t.now, a.Next.Microseconds(), a.Replica); err != nil {
			return err
		}
		// Pages show how far messages are.
		_, err := t.ExecContext(ctx, `SELECT pg_notify('filaia_alerts', '')`)
		return err
	})
	if err != nil {
		return fmt.Errorf("record an attempt of delivery %d: %w", id, err)
	}
	return nil
}

// ReclaimJobs makes available what this replica was at when it ended. Nobody of that name may be at work. It returns how many.
func (s *Store) ReclaimJobs(ctx context.Context, replica string) (n int64, err error) {
	err = s.inTx(ctx, func(t *tx) error {
		// The attempt that was cut off does not count, as with River's own JobSnooze.
		const jobs = `UPDATE river_job SET state = 'available', scheduled_at = now(), attempt = greatest(attempt - 1, 0)
			WHERE state = 'running' AND attempted_by[cardinality(attempted_by)] = $1`
		result, err := t.ExecContext(ctx, jobs, replica)
		if err != nil {
			return err
		}
		if n, err = result.RowsAffected(); err != nil {
			return err
		}
		_, err = t.ExecContext(ctx, `UPDATE deliveries SET sending_until = NULL WHERE state = 'pending' AND sending_by = $1`, replica)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("reclaim jobs of %s: %w", replica, err)
	}
	return n, nil
}
