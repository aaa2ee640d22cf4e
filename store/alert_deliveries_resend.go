package store

import (
	"context"
	"fmt"
	"time"

	"github.com/lib/pq"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/fault"
)

const deliveryMissing = "problem.no_page"

// keptMessage tells of a message d that it went into a file, because e-mail was not set up: the index delivery_attempts_kept holds
// all that ever did.
const keptMessage = `d.state = 'delivered' AND d.channel = 'email'
	AND d.id IN (SELECT k.delivery_id FROM delivery_attempts k WHERE starts_with(k.answer, '` + alert.KeptPrefix + `'))
	AND starts_with((SELECT a.answer FROM delivery_attempts a WHERE a.delivery_id = d.id ORDER BY a.id DESC LIMIT 1), '` + alert.KeptPrefix + `')`

// unwanted tells of a message d that its reader was disabled since it was made, or has asked since for no more of all that it tells, or
// has answered what it asks.
const unwanted = `(EXISTS (SELECT FROM users u WHERE lower(u.email) = d.recipient AND u.disabled_at > d.created_at)
	OR d.channel = 'email' AND d.audience = 'customer' AND d.kind <> 'confirmation' AND NOT EXISTS (SELECT FROM alert_events e WHERE e.id = ANY (d.event_ids) AND NOT EXISTS (
		SELECT FROM alert_unsubscribes o WHERE o.tenant_id = d.tenant_id AND lower(o.address) = d.recipient AND o.metric IN ('', e.metric)))
	OR ` + answeredSince + `)`

// keptWorth tells of a kept message d that it still says something new: it is not older than $1, its reader wants it, and of what it
// tells something is open of which no higher threshold was reached since, or it asks for an answer. Who has two messages about one quota gets the later one.
const keptWorth = keptMessage + ` AND d.created_at > $1 AND NOT ` + unwanted + ` AND (d.kind = 'confirmation' OR EXISTS (SELECT FROM alert_events e
	WHERE e.id = ANY (d.event_ids) AND ` + openAlert + ` AND NOT EXISTS (SELECT FROM alert_events h
		WHERE h.rule_id = e.rule_id AND h.subject = e.subject AND h.period = e.period AND h.metric = e.metric AND h.unit = e.unit AND h.threshold > e.threshold)))`

// keptAge is for how long a message that was kept is news.
const keptAge = 7 * 24 * time.Hour

const reviveDeliveries = `UPDATE deliveries SET state = 'pending', job_id = NULL, due_at = clock_timestamp(), finished_at = NULL, sending_until = NULL WHERE id = ANY ($1)`

// ResendDelivery has a message that was given up, or that was kept as a file, tried again by the person in ctx. It keeps its message
// id. NotFound when it is not there, Conflict when it was sent or is under way. A replica that delivers takes it up at once.
func (s *Store) ResendDelivery(ctx context.Context, id int64) error {
	err := s.inTx(ctx, func(t *tx) error {
		var row struct {
			State    alert.DeliveryState `db:"state"`
			TenantID int64               `db:"tenant_id"`
			Kept     bool                `db:"kept"`
		}
		const query = `SELECT d.state, coalesce(d.tenant_id, 0) AS tenant_id, coalesce(` + keptMessage + `, false) AS kept FROM deliveries d WHERE d.id = $1 FOR UPDATE`
		if err := t.GetContext(ctx, &row, query, id); err != nil {
			return known(err, deliveryMissing)
		}
		if row.State != alert.Dead && !row.Kept {
			return fault.New(fault.Conflict, "alert_events.error.not_dead")
		}
		if err := t.audit(ctx, "alert.resend", fmt.Sprintf("delivery:%d", id), row.TenantID, nil); err != nil {
			return err
		}
		return t.revive(ctx, []int64{id})
	})
	if err != nil {
		return fmt.Errorf("send delivery %d again: %w", id, err)
	}
	return nil
}

// revive has messages, whose rows are locked, tried again.
func (t *tx) revive(ctx context.Context, ids []int64) error {
	if _, err := t.ExecContext(ctx, reviveDeliveries, pq.Int64Array(ids)); err != nil {
		return err
	}
	_, err := t.ExecContext(ctx, `SELECT pg_notify('filaia_alerts', '')`)
	return err
}

// KeptDeliveries counts the messages that were kept as files while e-mail was not set up and still say something new.
func (s *Store) KeptDeliveries(ctx context.Context) (n int, err error) {
	if err := s.db.GetContext(ctx, &n, `SELECT count(*) FROM deliveries d WHERE `+keptWorth, s.now().Add(-keptAge)); err != nil {
		return 0, fmt.Errorf("count kept messages: %w", err)
	}
	return n, nil
}

// SendKeptDeliveries has those of the given messages sent, by the person in ctx, each once whoever else asks for it at the same time. It
// returns how many they are; what is not kept, or says nothing new any more, is left as it is.
func (s *Store) SendKeptDeliveries(ctx context.Context, chosen []int64) (n int, err error) {
	err = s.inTx(ctx, func(t *tx) error {
		var ids []int64
		// Rows are taken in one order by everybody. Who waited for another sees what is sent by then: the state is read again.
		const query = `SELECT d.id FROM deliveries d WHERE d.id = ANY ($2) AND ` + keptWorth + ` ORDER BY d.batch, d.recipient FOR UPDATE`
		if err := t.SelectContext(ctx, &ids, query, t.now.Add(-keptAge), pq.Int64Array(chosen)); err != nil {
			return err
		}
		if n = len(ids); n == 0 {
			return nil
		}
		if err := t.audit(ctx, "alert.send_kept", "deliveries", 0, map[string]int{"messages": n}); err != nil {
			return err
		}
		return t.revive(ctx, ids)
	})
	if err != nil {
		return 0, fmt.Errorf("send kept messages: %w", err)
	}
	return n, nil
}
