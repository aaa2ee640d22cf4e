package store

import (
	"cmp"
	"context"
	"crypto/subtle"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/fault"
)

// answeredSince tells of a message d that asks that it needs no answer any more, and of any other that its reader has declined since.
const answeredSince = `d.kind = 'confirmation' AND NOT EXISTS (SELECT FROM alert_addresses a WHERE a.tenant_id = d.tenant_id AND a.address = d.recipient
		AND a.confirmed_at IS NULL AND a.declined_at IS NULL AND a.expires_at > clock_timestamp())
	OR d.kind <> 'confirmation' AND d.audience = 'customer' AND EXISTS (SELECT FROM alert_addresses a WHERE a.tenant_id = d.tenant_id AND a.address = d.recipient
		AND a.declined_at > d.created_at)`

// oneAsk reads the ask that a link names; the link is of that round of asking only. NotFound for any other.
func (t *tx) oneAsk(ctx context.Context, id int64, nonce uuid.UUID, lock string) (alert.Ask, error) {
	var row askRow
	query := `SELECT ` + askColumns + `, a.nonce FROM alert_addresses a JOIN tenants t ON t.id = a.tenant_id WHERE a.id = $1` + lock
	if err := t.GetContext(ctx, &row, query, id); err != nil {
		return alert.Ask{}, known(err, "alert_confirm.error.link")
	}
	if subtle.ConstantTimeCompare(row.Nonce[:], nonce[:]) != 1 {
		return alert.Ask{}, fault.New(fault.NotFound, "alert_confirm.error.link")
	}
	a := row.ask()
	var err error
	a.Topics, err = t.topicsOf(ctx, a.TenantID, a.Address)
	return a, err
}

// topicsOf are what a customer's own rules tell an address of.
func (t *tx) topicsOf(ctx context.Context, tenantID int64, address string) (topics []alert.Metric, err error) {
	named, err := t.named(ctx, tenantID)
	if err != nil {
		return nil, err
	}
	for _, k := range alert.Kinds() { // in the order in which people read them
		if slices.Contains(named, namedIn{address, k.Metric}) {
			topics = append(topics, k.Metric)
		}
	}
	return topics, nil
}

// AskOf is what a link asks, and how far it is. NotFound for a link of another round, or of a tenant that is gone.
func (s *Store) AskOf(ctx context.Context, id int64, nonce uuid.UUID) (a alert.Ask, err error) {
	err = s.inTx(ctx, func(t *tx) error {
		a, err = t.oneAsk(ctx, id, nonce, "")
		return err
	})
	if err != nil {
		return alert.Ask{}, fmt.Errorf("ask %d: %w", id, err)
	}
	return a, nil
}

// AnswerAsk notes what the address that has the link says: that it agrees, for as long as the link holds, or at any time that it does
// not, and may not be asked again. Once more changes nothing. Conflict for a link that holds no more.
func (s *Store) AnswerAsk(ctx context.Context, id int64, nonce uuid.UUID, agrees bool) error {
	err := s.inTx(ctx, func(t *tx) error {
		a, err := t.oneAsk(ctx, id, nonce, " FOR UPDATE OF a")
		if err != nil {
			return err
		}
		action, change := "alert_address.confirm", `UPDATE alert_addresses SET confirmed_at = $2, declined_at = NULL WHERE id = $1`
		switch {
		case agrees && !a.ConfirmedAt.IsZero(), !agrees && !a.DeclinedAt.IsZero():
			return nil
		case !agrees:
			action, change = "alert_address.decline", `UPDATE alert_addresses SET declined_at = $2, confirmed_at = NULL WHERE id = $1`
		case !t.now.Before(a.ExpiresAt):
			return fault.New(fault.Conflict, "alert_confirm.error.expired")
		}
		if _, err := t.ExecContext(ctx, change, id, t.now); err != nil {
			return err
		}
		// The log leaves the address out, as with who unsubscribes: it is a person's, who may not even sign in here.
		return t.audit(ctx, action, tenantSubject(a.TenantID), a.TenantID, nil)
	})
	if err != nil {
		return fmt.Errorf("answer ask %d: %w", id, err)
	}
	return nil
}

// Missed are the newest alerts that are open and that an address was not told of because it had not agreed, the newest first.
func (s *Store) Missed(ctx context.Context, a alert.Ask, most int) ([]alert.Event, error) {
	const missed = `WHERE e.tenant_id = $1 AND e.audience = 'customer' AND e.lead AND ` + openAlert + ` AND e.id IN (SELECT unnest(d.event_ids) FROM deliveries d
			WHERE d.tenant_id = $1 AND d.audience = 'customer' AND d.reason <> '' AND d.recipient = ANY ($2)) ORDER BY e.id DESC LIMIT $3`
	var spellings []string
	const spelt = `SELECT DISTINCT d.recipient FROM deliveries d WHERE d.tenant_id = $1 AND d.audience = 'customer' AND d.reason <> ''`
	if err := s.db.SelectContext(ctx, &spellings, spelt, a.TenantID); err != nil {
		return nil, fmt.Errorf("missed by ask %d: %w", a.ID, err)
	}
	spellings = slices.DeleteFunc(spellings, func(text string) bool { return alert.SameAddress(text) != a.Address })
	events, err := selectEvents(ctx, s.db, missed, a.TenantID, pq.StringArray(spellings), most)
	if err != nil {
		return nil, fmt.Errorf("missed by ask %d: %w", a.ID, err)
	}
	return events, nil
}

// tellAsk reads what a message asks, and tells whether there is nothing to ask any more.
func (t *tx) tellAsk(ctx context.Context, b *alert.Begun) (over bool, err error) {
	var row struct {
		askRow
		Zone string `db:"time_zone"`
	}
	const query = `SELECT ` + askColumns + `, a.nonce, t.time_zone FROM alert_addresses a JOIN tenants t ON t.id = a.tenant_id WHERE a.tenant_id = $1 AND a.address = $2`
	if err := t.GetContext(ctx, &row, query, b.Delivery.TenantID, b.Delivery.Recipient); err != nil {
		return false, fmt.Errorf("read what is asked: %w", err)
	}
	ask := row.ask()
	if ask.Topics, err = t.topicsOf(ctx, ask.TenantID, ask.Address); err != nil {
		return false, err
	}
	b.Ask, b.Zone = &ask, zoneOf(row.Zone)
	return ask.State(t.now) != alert.AskOpen, nil
}

// answers are what addresses from outside said.
func (t *tx) answers(ctx context.Context, tenants []int64) ([]alert.Answered, error) {
	var list []alert.Answered
	const query = `SELECT tenant_id AS tenantid, address, confirmed_at IS NOT NULL AS confirmed FROM alert_addresses
		WHERE tenant_id = ANY ($1) AND (confirmed_at IS NOT NULL OR declined_at IS NOT NULL)`
	if err := t.SelectContext(ctx, &list, query, pq.Int64Array(tenants)); err != nil {
		return nil, fmt.Errorf("read who has agreed: %w", err)
	}
	return list, nil
}

// noteUnsent keeps what is not sent, with the reason. Who was never asked, because it was one of the customer's people when it was
// named, is among those that can be asked from then on.
func (t *tx) noteUnsent(ctx context.Context, list []alert.Delivery) error {
	const note = `INSERT INTO deliveries (batch, kind, audience, tenant_id, channel, recipient, name, language, event_ids, state, reason, due_at, created_at, finished_at)
		VALUES ($1, $2, $3, NULLIF($4, 0), $5, $6, $7, $8, $9, 'cancelled', $10, $11, $11, $11) ON CONFLICT ON CONSTRAINT deliveries_once DO UPDATE
			SET event_ids = deliveries.event_ids || ARRAY(SELECT unnest(excluded.event_ids) EXCEPT SELECT unnest(deliveries.event_ids) ORDER BY 1)`
	const unasked = `INSERT INTO alert_addresses (tenant_id, address, asked_at, expires_at) VALUES ($1, $2, $3, $3) ON CONFLICT ON CONSTRAINT alert_addresses_once DO NOTHING`
	slices.SortStableFunc(list, func(a, b alert.Delivery) int { // everybody takes rows in one order
		return cmp.Or(strings.Compare(a.Batch, b.Batch), cmp.Compare(a.TenantID, b.TenantID), strings.Compare(a.Recipient, b.Recipient))
	})
	for _, d := range list {
		if _, err := t.ExecContext(ctx, note, d.Batch, d.Kind, d.Audience, d.TenantID, d.Channel, storable(d.Recipient, maxRecipient), storable(d.Name, maxRecipient), d.Language,
			pq.Int64Array(d.EventIDs), string(d.Reason), t.now); err != nil {
			return fmt.Errorf("note what is not sent: %w", err)
		}
		if _, err := t.ExecContext(ctx, unasked, d.TenantID, alert.SameAddress(d.Recipient), t.now); err != nil {
			return fmt.Errorf("note who was not asked: %w", err)
		}
	}
	return nil
}
