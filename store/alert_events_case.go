package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// Alert gives one alert with what the same audience was told of together with it, and every message about it. NotFound when it
// is not there.
func (s *Store) Alert(ctx context.Context, id int64) (alert.Case, error) {
	return alertCase(ctx, s.db, id)
}

// Alert is Store.Alert of the tenant's own, meant for customers; another's is NotFound.
func (t *Tenant) Alert(ctx context.Context, id int64) (c alert.Case, err error) {
	err = t.read(ctx, func(tx *tx) error {
		c, err = alertCase(ctx, tx, id)
		return err
	})
	return c, err
}

// OwnAlert is Tenant.Alert. Who of others was told, and who of others acknowledged it, is left out.
func (p Portal) OwnAlert(ctx context.Context, tenantID, id int64) (alert.Case, error) {
	c, err := p.s.ForTenant(tenantID).Alert(ctx, id)
	if err != nil {
		return c, err
	}
	var own []string
	const people = `SELECT lower(email) FROM users WHERE tenant_id = $1
		UNION SELECT lower(email) FROM tenants WHERE id = $1 AND email <> ''
		UNION SELECT lower(a) FROM alert_rules, unnest(addresses || escalate_to) AS a WHERE tenant_id = $1 AND audience = 'customer'`
	if err := p.s.db.SelectContext(ctx, &own, people, tenantID); err != nil {
		return alert.Case{}, fmt.Errorf("people of tenant %d: %w", tenantID, err)
	}
	known := map[string]bool{}
	for _, address := range own {
		known[address] = true
	}
	for i := range c.Messages {
		m := &c.Messages[i]
		ownChannel := m.ChannelName != "" // its role can't read others'
		if !ownChannel && !known[strings.ToLower(m.Recipient)] {
			m.Hidden, m.Recipient, m.Name, m.Target = true, "", "", ""
		}
		for j := range m.Tries {
			m.Tries[j] = ownTry(m.Tries[j], ownChannel)
		}
	}
	hide := func(actor *string) {
		if !known[strings.ToLower(*actor)] {
			*actor = ""
		}
	}
	hide(&c.AcknowledgedBy)
	hide(&c.SnoozedBy)
	for i := range c.Group {
		hide(&c.Group[i].AcknowledgedBy)
	}
	return c, nil
}

// ownTry is an attempt as a customer may see it: what its own channel answered. Of e-mail the words are those of the operator's
// server, which names its account, hosts and addresses.
func ownTry(a alert.Attempt, ownChannel bool) alert.Attempt {
	a.Replica = ""
	switch {
	case strings.HasPrefix(a.Answer, alert.KeptPrefix):
		a.Answer = alert.KeptPrefix // that it was, and not where
	case !ownChannel || strings.HasPrefix(a.Answer, alert.InternalPrefix):
		a.Answer = ""
	}
	return a
}

func alertCase(ctx context.Context, q sqlx.QueryerContext, id int64) (c alert.Case, err error) {
	wrap := func(err error) error { return fmt.Errorf("alert %d: %w", id, known(err, alertMissing)) }
	const group = `WHERE (e.group_id, e.audience) = (SELECT group_id, audience FROM alert_events WHERE id = $1) ORDER BY e.lead DESC, e.metric, e.threshold DESC, e.id`
	if c.Group, err = selectEvents(ctx, q, group, id); err != nil {
		return c, wrap(err)
	}
	ids := make([]int64, len(c.Group))
	for i, e := range c.Group {
		if ids[i] = e.ID; e.ID == id {
			c.Event = e
		}
	}
	if c.ID == 0 {
		return c, wrap(sql.ErrNoRows)
	}
	if c.Messages, err = messagesAbout(ctx, q, ids); err != nil {
		return c, wrap(err)
	}
	for _, m := range c.Messages {
		switch m.State {
		case alert.Delivered:
			c.Told.Delivered++
			if m.WasKept() {
				c.Told.Kept++
			}
		case alert.Pending:
			c.Told.Pending++
		case alert.Dead:
			c.Told.Dead++
		case alert.Cancelled:
			continue
		}
		c.Told.All++
	}
	var snooze struct {
		Until time.Time `db:"until"`
		Actor string    `db:"actor"`
	}
	const standing = `SELECT until, actor FROM alert_snoozes WHERE rule_id = $1 AND subject = $2 AND until > now()`
	switch err := sqlx.GetContext(ctx, q, &snooze, standing, c.RuleID, c.Subject.Key); {
	case err == nil:
		c.SnoozedUntil, c.SnoozedBy = snooze.Until.UTC(), snooze.Actor
	case !errors.Is(err, sql.ErrNoRows):
		return c, wrap(err)
	}
	return c, nil
}

// messagesAbout gives every delivery about the alerts, the oldest first.
func messagesAbout(ctx context.Context, q sqlx.QueryerContext, ids []int64) ([]alert.Message, error) {
	return selectMessages(ctx, q, `WHERE d.event_ids && $1 ORDER BY d.id`, pq.Int64Array(ids))
}

// selectMessages gives deliveries d with what is known of their channel c and with every attempt.
func selectMessages(ctx context.Context, q sqlx.QueryerContext, which string, args ...any) ([]alert.Message, error) {
	var rows []struct {
		ID         int64         `db:"id"`
		MessageID  uuid.UUID     `db:"message_id"`
		Batch      string        `db:"batch"`
		Kind       string        `db:"kind"`
		Audience   string        `db:"audience"`
		TenantID   int64         `db:"tenant_id"`
		Channel    string        `db:"channel"`
		ChannelID  int64         `db:"channel_id"`
		Recipient  string        `db:"recipient"`
		Name       string        `db:"name"`
		Language   string        `db:"language"`
		Events     pq.Int64Array `db:"event_ids"`
		State      string        `db:"state"`
		Attempts   int           `db:"attempts"`
		DueAt      time.Time     `db:"due_at"`
		CreatedAt  time.Time     `db:"created_at"`
		FinishedAt *time.Time    `db:"finished_at"`
		Reason     alert.Reason  `db:"reason"`
		Way        string        `db:"channel_name"`
		Target     string        `db:"target"`
	}
	const deliveries = `SELECT d.id, d.message_id, d.batch, d.kind, d.audience, COALESCE(d.tenant_id, 0) AS tenant_id, d.channel,
			COALESCE(d.channel_id, 0) AS channel_id, d.recipient, d.name, d.language, d.event_ids, d.state, d.attempts, d.due_at,
			d.created_at, d.finished_at, d.reason, COALESCE(c.name, '') AS channel_name, COALESCE(c.target, '') AS target
		FROM deliveries d LEFT JOIN alert_channels c ON c.id = d.channel_id `
	if err := sqlx.SelectContext(ctx, q, &rows, deliveries+which, args...); err != nil {
		return nil, fmt.Errorf("deliveries: %w", err)
	}
	list, places, found := make([]alert.Message, len(rows)), map[int64]int{}, make([]int64, len(rows))
	for i, r := range rows {
		list[i] = alert.Message{ChannelName: r.Way, Target: r.Target, Delivery: alert.Delivery{
			ID: r.ID, MessageID: r.MessageID, Batch: r.Batch, Kind: alert.DeliveryKind(r.Kind), Audience: alert.Audience(r.Audience),
			TenantID: r.TenantID, Channel: alert.Channel(r.Channel), ChannelID: r.ChannelID, Recipient: r.Recipient, Name: r.Name,
			Language: i18n.Lang(r.Language), EventIDs: r.Events, State: alert.DeliveryState(r.State), Attempts: r.Attempts,
			DueAt: r.DueAt.UTC(), CreatedAt: r.CreatedAt.UTC(), FinishedAt: moment(r.FinishedAt), Reason: r.Reason,
		}}
		places[r.ID], found[i] = i, r.ID
	}
	var tries []struct {
		Delivery int64     `db:"delivery_id"`
		At       time.Time `db:"at"`
		TookMS   int64     `db:"took_ms"`
		Outcome  string    `db:"outcome"`
		Answer   string    `db:"answer"`
		Replica  string    `db:"replica"`
	}
	const attempts = `SELECT delivery_id, at, took_ms, outcome, answer, replica FROM delivery_attempts WHERE delivery_id = ANY ($1) ORDER BY id`
	if err := sqlx.SelectContext(ctx, q, &tries, attempts, pq.Int64Array(found)); err != nil {
		return nil, fmt.Errorf("attempts: %w", err)
	}
	for _, t := range tries {
		m := &list[places[t.Delivery]]
		m.Tries = append(m.Tries, alert.Attempt{
			At: t.At.UTC(), Took: time.Duration(t.TookMS) * time.Millisecond, Outcome: alert.Outcome(t.Outcome), Answer: t.Answer, Replica: t.Replica,
		})
	}
	return list, nil
}

// AcknowledgeAlerts notes that the person in ctx takes care of these alerts and of all that the same audience was
// told of together with them, and tells how many that changed: what someone takes care of already stays theirs.
func (s *Store) AcknowledgeAlerts(ctx context.Context, ids []int64) (int, error) {
	return s.acknowledge(ctx, ids, 0)
}

// AcknowledgeOwnAlerts is Store.AcknowledgeAlerts of the tenant's own, meant for customers; others stay as they are.
func (p Portal) AcknowledgeOwnAlerts(ctx context.Context, tenantID int64, ids []int64) (int, error) {
	return p.s.acknowledge(ctx, ids, tenantID)
}

func (s *Store) acknowledge(ctx context.Context, ids []int64, tenantID int64) (n int, err error) {
	err = s.inTx(ctx, func(t *tx) error {
		var rows []struct {
			ID   int64 `db:"id"`
			Lead bool  `db:"lead"`
		}
		note := lockedFirst(`(group_id, audience) IN (SELECT group_id, audience FROM alert_events WHERE id = ANY ($3)) AND acknowledged_at IS NULL
				AND ($4::bigint = 0 OR tenant_id = $4 AND audience = 'customer')`) +
			`UPDATE alert_events e SET acknowledged_at = $1, acknowledged_by = $2 FROM locked WHERE e.id = locked.id RETURNING e.id, e.lead`
		if err := t.SelectContext(ctx, &rows, note, t.now, tenancy.ActorOf(ctx).Label, pq.Int64Array(ids), tenantID); err != nil {
			return err
		}
		for _, r := range rows {
			if !r.Lead {
				continue
			}
			n++
			if err := t.audit(ctx, "alert.acknowledge", alertSubject(r.ID), tenantID, nil); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("acknowledge %d alerts: %w", len(ids), err)
	}
	return n, nil
}

// maxSnooze is how long nobody may be told of something at most.
const maxSnooze = 92 * 24 * time.Hour

// SnoozeAlert keeps everybody from being told of the alert's subject by its rule until then. What is raised meanwhile waits, and so
// does what waited already: until the new end.
func (s *Store) SnoozeAlert(ctx context.Context, id int64, until time.Time) error {
	err := s.inTx(ctx, func(t *tx) error {
		if !until.After(t.now) || until.Sub(t.now) > maxSnooze {
			return fault.New(fault.Invalid, "alert_events.error.snooze")
		}
		const snooze = `INSERT INTO alert_snoozes (rule_id, subject, until, actor, created_at)
			SELECT rule_id, subject, $2, $3, $4 FROM alert_events WHERE id = $1
			ON CONFLICT (rule_id, subject) DO UPDATE SET until = EXCLUDED.until, actor = EXCLUDED.actor, created_at = EXCLUDED.created_at`
		result, err := t.ExecContext(ctx, snooze, id, until.UTC(), tenancy.ActorOf(ctx).Label, t.now)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, fault.New(fault.NotFound, alertMissing))
		}
		if err := t.planAgain(ctx, id); err != nil {
			return err
		}
		return t.audit(ctx, "alert.snooze", alertSubject(id), 0, map[string]any{"until": until.UTC()})
	})
	if err != nil {
		return fmt.Errorf("snooze alert %d: %w", id, err)
	}
	return nil
}

// UnsnoozeAlert ends that. What waited for its end is told.
func (s *Store) UnsnoozeAlert(ctx context.Context, id int64) error {
	err := s.inTx(ctx, func(t *tx) error {
		const unsnooze = `DELETE FROM alert_snoozes z USING alert_events e WHERE e.id = $1 AND z.rule_id = e.rule_id AND z.subject = e.subject`
		result, err := t.ExecContext(ctx, unsnooze, id)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return err
		}
		if err := t.planAgain(ctx, id); err != nil {
			return err
		}
		return t.audit(ctx, "alert.unsnooze", alertSubject(id), 0, nil)
	})
	if err != nil {
		return fmt.Errorf("unsnooze alert %d: %w", id, err)
	}
	return nil
}

// planAgain has the dispatcher decide anew about what an alert's rule raised of its subject and waits to be told to everybody:
// when that is depends on the snooze, which changes now. Its row must be locked. What has gone by itself meanwhile is told no more,
// as with all that is held.
func (t *tx) planAgain(ctx context.Context, id int64) error {
	const lock = `SELECT d.event_ids FROM deliveries d WHERE d.state = 'pending' AND d.begun_at IS NULL AND d.kind <> 'escalation'
		AND d.event_ids && ARRAY(SELECT e.id FROM alert_events e JOIN alert_events o ON o.rule_id = e.rule_id AND o.subject = e.subject WHERE o.id = $1)
		ORDER BY d.batch, d.recipient FOR UPDATE`
	if _, err := t.ExecContext(ctx, lock, id); err != nil {
		return fmt.Errorf("lock what waits: %w", err)
	}
	var waiting pq.Int64Array
	const held = `SELECT coalesce(array_agg(e.id), '{}') FROM alert_events e JOIN alert_events o ON o.rule_id = e.rule_id AND o.subject = e.subject
		WHERE o.id = $1 AND EXISTS (SELECT FROM deliveries d WHERE d.event_ids @> ARRAY[e.id] AND d.kind <> 'escalation')
			AND NOT EXISTS (SELECT FROM deliveries d WHERE d.event_ids @> ARRAY[e.id] AND d.kind <> 'escalation' AND d.reason = ''
				AND (d.state <> 'pending' OR d.begun_at IS NOT NULL))`
	if err := t.GetContext(ctx, &waiting, held, id); err != nil {
		return fmt.Errorf("read what waits: %w", err)
	}
	// A job whose message is gone does nothing.
	again := lockedFirst(`id = ANY ($1) AND NOT (resolved_at IS NOT NULL AND metric = ANY ('` + episodeMetrics() + `'::text[]))`)
	for _, query := range []string{
		`DELETE FROM deliveries WHERE event_ids && $1 AND event_ids <@ $1 AND kind <> 'escalation'`,
		`UPDATE deliveries SET event_ids = ARRAY(SELECT unnest(event_ids) EXCEPT SELECT unnest($1::bigint[]) ORDER BY 1) WHERE event_ids && $1 AND kind <> 'escalation'`,
		again + `UPDATE alert_events e SET dispatched_at = NULL FROM locked WHERE e.id = locked.id`,
	} {
		if _, err := t.ExecContext(ctx, query, waiting); err != nil {
			return fmt.Errorf("plan %d alerts again: %w", len(waiting), err)
		}
	}
	return nil
}

func alertSubject(id int64) string { return fmt.Sprintf("alert:%d", id) }
