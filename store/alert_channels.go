package store

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/i18n"
)

// MaxChannels is how many channels an owner may have.
const MaxChannels = 50

const channelMissing = "channels.error.not_found"

// channelColumns leaves out what is sealed: customers' reads may not see it.
const channelColumns = `c.id, COALESCE(c.tenant_id, 0) AS tenant_id, c.kind, c.name, c.target, c.language, c.active, c.created_at`

// ofOwner holds a query on channels c to their owner, who is $1; 0 is the operator.
const ofOwner = `c.tenant_id IS NOT DISTINCT FROM NULLIF($1::bigint, 0) AND c.deleted_at IS NULL`

type channelRow struct {
	ID        int64     `db:"id"`
	TenantID  int64     `db:"tenant_id"`
	Kind      string    `db:"kind"`
	Name      string    `db:"name"`
	Target    string    `db:"target"`
	Language  string    `db:"language"`
	Active    bool      `db:"active"`
	CreatedAt time.Time `db:"created_at"`
	Sealed    []byte    `db:"sealed"`
	Rules     int       `db:"rules"`
	Failing   bool      `db:"failing"`
}

func (r channelRow) destination() alert.Destination {
	return alert.Destination{
		ID: r.ID, TenantID: r.TenantID, Kind: alert.Channel(r.Kind), Name: r.Name, Target: r.Target, Language: i18n.Lang(r.Language),
		Active: r.Active, CreatedAt: r.CreatedAt.UTC(), Sealed: r.Sealed, Rules: r.Rules, Failing: r.Failing,
	}
}

// channelFailing tells whether the newest attempt through a channel c, of its newest messages, did not arrive.
const channelFailing = `COALESCE((SELECT a.outcome <> 'delivered' FROM delivery_attempts a WHERE a.delivery_id IN
	(SELECT d.id FROM deliveries d WHERE d.channel_id = c.id AND d.attempts > 0 ORDER BY d.id DESC LIMIT 10) ORDER BY a.id DESC LIMIT 1), false) AS failing`

// readOwn reads for an owner of channels: a customer's reads are held to that customer by the database too.
func (s *Store) readOwn(ctx context.Context, owner int64, fn func(*tx) error) error {
	if owner != 0 {
		return s.ForTenant(owner).read(ctx, fn)
	}
	return s.inTx(ctx, fn)
}

// Channels lists an owner's channels by name, with how many rules name each. owner is a tenant, or 0 for the operator.
func (s *Store) Channels(ctx context.Context, owner int64) ([]alert.Destination, error) {
	var rows []channelRow
	err := s.readOwn(ctx, owner, func(tx *tx) error {
		const query = `SELECT ` + channelColumns + `, ` + channelFailing + `,
				(SELECT count(*) FROM alert_rules r WHERE c.id = ANY(r.channel_ids) AND r.deleted_at IS NULL) AS rules
			FROM alert_channels c WHERE ` + ofOwner + ` ORDER BY lower(c.name), c.id`
		return tx.SelectContext(ctx, &rows, query, owner)
	})
	if err != nil {
		return nil, fmt.Errorf("read channels of owner %d: %w", owner, err)
	}
	list := make([]alert.Destination, len(rows))
	for i, r := range rows {
		list[i] = r.destination()
	}
	return list, nil
}

// Channel gives one of an owner's channels and the rules that name it. Another owner's is NotFound.
func (s *Store) Channel(ctx context.Context, owner, id int64) (alert.Destination, []alert.RuleUse, error) {
	var row channelRow
	var uses []struct {
		ID       int64  `db:"id"`
		Name     string `db:"name"`
		Audience string `db:"audience"`
		Metric   string `db:"metric"`
		Enabled  bool   `db:"enabled"`
	}
	err := s.readOwn(ctx, owner, func(tx *tx) error {
		const query = `SELECT ` + channelColumns + `, ` + channelFailing + ` FROM alert_channels c WHERE ` + ofOwner + ` AND c.id = $2`
		if err := tx.GetContext(ctx, &row, query, owner, id); err != nil {
			return known(err, channelMissing)
		}
		const rules = `SELECT r.id, r.name, r.audience, r.metric, r.enabled FROM alert_rules r
			WHERE $1::bigint = ANY(r.channel_ids) AND r.deleted_at IS NULL ORDER BY r.id`
		return tx.SelectContext(ctx, &uses, rules, id)
	})
	if err != nil {
		return alert.Destination{}, nil, fmt.Errorf("read channel %d of owner %d: %w", id, owner, err)
	}
	rules := make([]alert.RuleUse, len(uses))
	for i, u := range uses {
		rules[i] = alert.RuleUse{ID: u.ID, Name: u.Name, Audience: alert.Audience(u.Audience), Metric: alert.Metric(u.Metric), Enabled: u.Enabled}
	}
	d := row.destination()
	d.Rules = len(rules)
	return d, rules, nil
}

// channelMessages is how many messages a channel's page shows.
const channelMessages = 10

// ChannelMessages gives the newest messages through one of an owner's channels, with their attempts, the newest message first.
func (s *Store) ChannelMessages(ctx context.Context, owner, id int64) (list []alert.Message, err error) {
	err = s.readOwn(ctx, owner, func(tx *tx) error {
		const newest = `WHERE d.channel_id = $2 AND c.tenant_id IS NOT DISTINCT FROM NULLIF($1::bigint, 0) ORDER BY d.id DESC LIMIT $3`
		list, err = selectMessages(ctx, tx, newest, owner, id, channelMessages)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read messages through channel %d of owner %d: %w", id, owner, err)
	}
	if owner != 0 {
		for _, m := range list {
			for i := range m.Tries {
				m.Tries[i] = ownTry(m.Tries[i], true)
			}
		}
	}
	return list, nil
}

// SendingChannel gives a channel with its sealed access, whoever it belongs to; one that was deleted is NotFound.
func (s *Store) SendingChannel(ctx context.Context, id int64) (alert.Destination, error) {
	var row channelRow
	const query = `SELECT ` + channelColumns + `, c.sealed FROM alert_channels c WHERE c.id = $1 AND c.deleted_at IS NULL`
	if err := s.db.GetContext(ctx, &row, query, id); err != nil {
		return alert.Destination{}, fmt.Errorf("read channel %d: %w", id, known(err, channelMissing))
	}
	return row.destination(), nil
}

func channelSubject(id int64) string { return fmt.Sprintf("channel:%d", id) }

// channelDetails is what the audit log keeps of a channel: of what opens it only that it is another one now.
func channelDetails(d alert.Destination, opened bool) map[string]any {
	return map[string]any{"kind": d.Kind, "name": d.Name, "target": d.Target, "language": d.Language, "active": d.Active, "access_changed": opened}
}

// CreateChannel adds a channel, sealed as it is given, to d.TenantID's. More than MaxChannels are a Conflict.
func (s *Store) CreateChannel(ctx context.Context, d alert.Destination) (alert.Destination, error) {
	err := s.inTx(ctx, func(tx *tx) error {
		// One at a time of an owner, so that the count is right; the table has no row of the operator to lock.
		if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('alert_channels', $1))`, d.TenantID); err != nil {
			return err
		}
		var there int
		if err := tx.GetContext(ctx, &there, `SELECT count(*) FROM alert_channels c WHERE `+ofOwner, d.TenantID); err != nil {
			return err
		}
		if there >= MaxChannels {
			return fault.New(fault.Conflict, "channels.error.too_many", "n", MaxChannels)
		}
		d.CreatedAt = tx.now
		const insert = `INSERT INTO alert_channels (tenant_id, kind, name, target, sealed, language, active, created_at)
			VALUES (NULLIF($1::bigint, 0), $2, $3, $4, $5, $6, $7, $8) RETURNING id`
		if err := tx.GetContext(ctx, &d.ID, insert, d.TenantID, d.Kind, d.Name, d.Target, d.Sealed, d.Language, d.Active, tx.now); err != nil {
			return err
		}
		return tx.audit(ctx, "channel.create", channelSubject(d.ID), d.TenantID, channelDetails(d, true))
	})
	if err != nil {
		return alert.Destination{}, fmt.Errorf("create channel of owner %d: %w", d.TenantID, err)
	}
	return d, nil
}

// EditChannel has change alter an owner's channel while nobody else does: its name, target, language, active and sealed are
// kept. action is what the audit log calls it, such as "channel.edit". Another owner's channel is NotFound.
func (s *Store) EditChannel(ctx context.Context, owner, id int64, action string, change func(*alert.Destination) error) (alert.Destination, error) {
	var d alert.Destination
	err := s.inTx(ctx, func(tx *tx) error {
		var row channelRow
		const query = `SELECT ` + channelColumns + `, c.sealed FROM alert_channels c WHERE ` + ofOwner + ` AND c.id = $2 FOR UPDATE`
		if err := tx.GetContext(ctx, &row, query, owner, id); err != nil {
			return known(err, channelMissing)
		}
		d = row.destination()
		if err := change(&d); err != nil {
			return err
		}
		const update = `UPDATE alert_channels c SET name = $3, target = $4, language = $5, active = $6, sealed = $7 WHERE ` + ofOwner + ` AND c.id = $2`
		if _, err := tx.ExecContext(ctx, update, owner, id, d.Name, d.Target, d.Language, d.Active, d.Sealed); err != nil {
			return err
		}
		return tx.audit(ctx, action, channelSubject(id), owner, channelDetails(d, !bytes.Equal(row.Sealed, d.Sealed)))
	})
	if err != nil {
		return alert.Destination{}, fmt.Errorf("edit channel %d of owner %d: %w", id, owner, err)
	}
	return d, nil
}

// DeleteChannel takes a channel away: the row stays, as deliveries name it, but nothing that opens it. Rules that name it
// stay, and skip it.
func (s *Store) DeleteChannel(ctx context.Context, owner, id int64) error {
	err := s.inTx(ctx, func(tx *tx) error {
		var row channelRow
		const remove = `UPDATE alert_channels c SET deleted_at = $3, active = false, sealed = '' WHERE ` + ofOwner + ` AND c.id = $2 RETURNING ` + channelColumns
		if err := tx.GetContext(ctx, &row, remove, owner, id, tx.now); err != nil {
			return known(err, channelMissing)
		}
		return tx.audit(ctx, "channel.delete", channelSubject(id), owner, channelDetails(row.destination(), false))
	})
	if err != nil {
		return fmt.Errorf("delete channel %d of owner %d: %w", id, owner, err)
	}
	return nil
}
