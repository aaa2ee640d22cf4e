package store

import (
	"context"
	"fmt"
	"time"

	"github.com/lib/pq"

	"github.com/fila-ia/filaia/internal/alert"
)

// mostKept is how many kept messages are listed, and sent, at once.
const mostKept = 500

// KeptList gives the messages that were kept as files while e-mail was not set up and still say something new, the newest first, at most
// mostKept. Of each it gives the highest alert that it tells of; none of one that asks for an agreement.
func (s *Store) KeptList(ctx context.Context) ([]alert.KeptMessage, error) {
	var rows []struct {
		ID        int64              `db:"id"`
		Kind      alert.DeliveryKind `db:"kind"`
		Recipient string             `db:"recipient"`
		Tenant    string             `db:"tenant"`
		CreatedAt time.Time          `db:"created_at"`
		Event     int64              `db:"event"`
	}
	const query = `SELECT d.id, d.kind, d.recipient, coalesce(n.name, '') AS tenant, d.created_at,
			coalesce((SELECT e.id FROM alert_events e WHERE e.id = ANY (d.event_ids) ORDER BY e.lead DESC, e.threshold DESC LIMIT 1), 0) AS event
		FROM deliveries d LEFT JOIN tenants n ON n.id = d.tenant_id WHERE ` + keptWorth + ` ORDER BY d.id DESC LIMIT $2`
	if err := s.db.SelectContext(ctx, &rows, query, s.now().Add(-keptAge), mostKept); err != nil {
		return nil, fmt.Errorf("list kept messages: %w", err)
	}
	list, ids := make([]alert.KeptMessage, len(rows)), make([]int64, len(rows))
	for i, r := range rows {
		list[i], ids[i] = alert.KeptMessage{ID: r.ID, Kind: r.Kind, Recipient: r.Recipient, Tenant: r.Tenant, At: r.CreatedAt.UTC()}, r.Event
	}
	events, err := selectEvents(ctx, s.db, ` WHERE e.id = ANY ($1)`, pq.Int64Array(ids))
	if err != nil {
		return nil, fmt.Errorf("read what kept messages tell: %w", err)
	}
	for i := range list {
		for _, e := range events {
			if e.ID == ids[i] {
				list[i].Event = e
			}
		}
	}
	return list, nil
}

// LettersSent tells of files of the outbox how their messages fare by now: Delivered when they were sent from here later, Pending when they
// are about to be. Files that are all there is of a message are not in it.
func (s *Store) LettersSent(ctx context.Context, files []string) (map[string]alert.DeliveryState, error) {
	answers := make(pq.StringArray, len(files))
	for i, f := range files {
		answers[i] = alert.KeptPrefix + f
	}
	var rows []struct {
		Answer string              `db:"answer"`
		State  alert.DeliveryState `db:"state"`
	}
	const query = `SELECT k.answer, d.state FROM delivery_attempts k JOIN deliveries d ON d.id = k.delivery_id
		WHERE starts_with(k.answer, '` + alert.KeptPrefix + `') AND k.answer = ANY ($1) AND (d.state = 'pending' OR d.state = 'delivered'
			AND NOT starts_with((SELECT a.answer FROM delivery_attempts a WHERE a.delivery_id = d.id ORDER BY a.id DESC LIMIT 1), '` + alert.KeptPrefix + `'))`
	if err := s.db.SelectContext(ctx, &rows, query, answers); err != nil {
		return nil, fmt.Errorf("look which letters were sent: %w", err)
	}
	sent := make(map[string]alert.DeliveryState, len(rows))
	for _, r := range rows {
		sent[r.Answer[len(alert.KeptPrefix):]] = r.State
	}
	return sent, nil
}
