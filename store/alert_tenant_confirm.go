package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
)

type askRow struct {
	ID        int64               `db:"id"`
	TenantID  int64               `db:"tenant_id"`
	Company   string              `db:"company"`
	Address   string              `db:"address"`
	Nonce     uuid.UUID           `db:"nonce"`
	By        string              `db:"asked_by"`
	AskedAt   time.Time           `db:"asked_at"`
	ExpiresAt time.Time           `db:"expires_at"`
	Confirmed *time.Time          `db:"confirmed_at"`
	Declined  *time.Time          `db:"declined_at"`
	Mail      alert.DeliveryState `db:"mail"`
	Answer    string              `db:"answer"`
}

func (r askRow) ask() alert.Ask {
	return alert.Ask{
		ID: r.ID, TenantID: r.TenantID, Company: r.Company, Address: r.Address, Nonce: r.Nonce, By: r.By, AskedAt: r.AskedAt.UTC(), ExpiresAt: r.ExpiresAt.UTC(),
		ConfirmedAt: moment(r.Confirmed), DeclinedAt: moment(r.Declined), Mail: r.Mail, Answer: r.Answer,
	}
}

const askColumns = `a.id, a.tenant_id, t.name AS company, a.address, a.asked_by, a.asked_at, a.expires_at, a.confirmed_at, a.declined_at`

// asking has a customer's rules written, and asks the addresses that they name and that nobody named before whether they agree. Who was
// named before is asked again by hand only. An address that may not be asked is an Invalid error beside its field.
func (t *tx) asking(ctx context.Context, tenantID int64, rules []alert.Rule, write func() error) error {
	before := map[string]bool{}
	asks := slices.ContainsFunc(rules, func(r alert.Rule) bool { return r.AsksFirst() && len(r.Named()) > 0 })
	if asks {
		named, err := t.named(ctx, tenantID)
		if err != nil {
			return err
		}
		for _, n := range named {
			before[n.address] = true
		}
	}
	if err := write(); err != nil || !asks {
		return err
	}
	a, err := t.asker(ctx, tenantID)
	if err != nil {
		return err
	}
	var f fault.Form
	for _, r := range rules {
		if !r.AsksFirst() {
			continue
		}
		for _, text := range r.Named() {
			address := alert.SameAddress(text)
			if before[address] {
				continue
			}
			before[address] = true
			err := a.ask(ctx, address, false)
			var refused *fault.Error
			switch {
			case err == nil:
			case errors.As(err, &refused) && refused.Kind == fault.Conflict:
				field := "addresses"
				if !slices.Contains(r.To.Addresses, text) {
					field = "escalate_addresses"
				}
				f.Reject(field, refused.Key, refused.Args...)
			default:
				return err
			}
		}
	}
	return f.Err()
}

// namedIn is an address that a customer's own rule names, as SameAddress has it.
type namedIn struct {
	address string
	metric  alert.Metric
}

// named are the addresses that a customer's own rules name.
func (t *tx) named(ctx context.Context, tenantID int64) ([]namedIn, error) {
	var rows []struct {
		Address string       `db:"address"`
		Metric  alert.Metric `db:"metric"`
	}
	const query = `SELECT DISTINCT a AS address, r.metric FROM alert_rules r, unnest(r.addresses || r.escalate_to) AS a
		WHERE r.tenant_id = $1 AND r.audience = 'customer' AND r.scope IN ('tenant', 'key') AND r.deleted_at IS NULL ORDER BY 1, 2`
	if err := t.SelectContext(ctx, &rows, query, tenantID); err != nil {
		return nil, fmt.Errorf("addresses named by tenant %d: %w", tenantID, err)
	}
	list := make([]namedIn, len(rows))
	for i, r := range rows {
		list[i] = namedIn{alert.SameAddress(r.Address), r.Metric}
	}
	return list, nil
}

// asker asks addresses for one customer; nobody else does until its transaction ends.
type asker struct {
	*tx
	tenantID int64
	language string
	by       string
	known    map[string]bool // who signs in for the customer, and its own address
	silent   map[string]bool // who asked for no more e-mail at all
}

func (t *tx) asker(ctx context.Context, tenantID int64) (*asker, error) {
	a := &asker{tx: t, tenantID: tenantID, silent: map[string]bool{}}
	if _, err := t.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('filaia_alert_addresses', $1))`, tenantID); err != nil {
		return nil, err
	}
	if err := t.GetContext(ctx, &a.language, `SELECT language FROM tenants WHERE id = $1`, tenantID); err != nil {
		return nil, known(err, tenantMissing)
	}
	var err error
	if a.known, err = knownTo(ctx, t, tenantID); err != nil {
		return nil, err
	}
	var silent []string
	if err := t.SelectContext(ctx, &silent, `SELECT address FROM alert_unsubscribes WHERE tenant_id = $1 AND metric = ''`, tenantID); err != nil {
		return nil, err
	}
	for _, address := range silent {
		a.silent[alert.SameAddress(address)] = true
	}
	// One of the customer's own is named to who is asked; of the team that runs the installation nobody is.
	who := tenancy.ActorOf(ctx)
	err = t.GetContext(ctx, &a.by, `SELECT email FROM users WHERE id = $1 AND tenant_id = $2`, who.UserID, tenantID)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	return a, nil
}

// ask writes to an address, given as SameAddress has it, unless that is not needed. What keeps it from that is a Conflict; without
// again only that it has declined, or that the customer waits for too many.
func (a *asker) ask(ctx context.Context, address string, again bool) error {
	if a.known[address] {
		return nil
	}
	var row struct {
		askRow
		Recent int        `db:"recent"` // e-mails of the last day
		Newest *time.Time `db:"newest"`
	}
	const read = `SELECT ` + askColumns + `, (SELECT count(*) FROM unnest(a.mailed) AS m WHERE m > $3::timestamptz) AS recent, (SELECT max(m) FROM unnest(a.mailed) AS m) AS newest
		FROM alert_addresses a JOIN tenants t ON t.id = a.tenant_id WHERE a.tenant_id = $1 AND a.address = $2 FOR UPDATE OF a`
	err := a.GetContext(ctx, &row, read, a.tenantID, address, a.now.Add(-alert.AskWithin))
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("ask of tenant %d: %w", a.tenantID, err)
	}
	there := err == nil
	state := row.ask().State(a.now)
	switch {
	case there && state == alert.AskConfirmed:
		return nil
	case there && state == alert.AskDeclined:
		return fault.New(fault.Conflict, "alert_confirm.error.declined", "address", address)
	case a.silent[address]:
		return unless(!again, "alert_confirm.error.silent", address)
	case there && state == alert.AskOpen && !again:
		return nil
	}
	if newest := moment(row.Newest); there && !newest.IsZero() && a.now.Sub(newest) < alert.AskPause {
		return unless(!again, "alert_confirm.error.pause", address)
	}
	if row.Recent >= alert.AskMost {
		return unless(!again, "alert_confirm.error.most", address, "max", alert.AskMost)
	}
	if !there || state == alert.AskExpired {
		var open int
		const count = `SELECT count(*) FROM alert_addresses WHERE tenant_id = $1 AND confirmed_at IS NULL AND declined_at IS NULL AND expires_at > $2`
		if err := a.GetContext(ctx, &open, count, a.tenantID, a.now); err != nil {
			return err
		}
		if open >= alert.AsksOpen {
			return fault.New(fault.Conflict, "alert_confirm.error.open", "address", address, "max", alert.AsksOpen)
		}
	}
	return a.mail(ctx, address)
}

// unless is nil, or a Conflict that names the address.
func unless(fine bool, key, address string, args ...any) error {
	if fine {
		return nil
	}
	return fault.New(fault.Conflict, key, append([]any{"address", address}, args...)...)
}

// mail has one e-mail sent, by the way of all messages. A link that holds goes on holding, and is the same.
func (a *asker) mail(ctx context.Context, address string) error {
	const note = `INSERT INTO alert_addresses AS k (tenant_id, address, asked_by, asked_at, expires_at, mailed) VALUES ($1, $2, $3, $4::timestamptz, $5, ARRAY[$4::timestamptz])
		ON CONFLICT ON CONSTRAINT alert_addresses_once DO UPDATE SET expires_at = excluded.expires_at, asked_by = excluded.asked_by,
			asked_at = CASE WHEN k.expires_at > $4 THEN k.asked_at ELSE $4 END, nonce = CASE WHEN k.expires_at > $4 THEN k.nonce ELSE gen_random_uuid() END,
			mailed = ARRAY(SELECT m FROM unnest(k.mailed) AS m WHERE m > $6::timestamptz ORDER BY m) || excluded.mailed`
	if _, err := a.ExecContext(ctx, note, a.tenantID, address, a.by, a.now, a.now.Add(alert.AskHolds), a.now.Add(-alert.AskWithin)); err != nil {
		return fmt.Errorf("note that an address is asked: %w", err)
	}
	const send = `INSERT INTO deliveries (batch, kind, audience, tenant_id, channel, recipient, language, event_ids, due_at, created_at)
		VALUES ('confirm:' || gen_random_uuid(), 'confirmation', 'customer', $1, 'email', $2, $3, '{}', clock_timestamp(), $4)`
	if _, err := a.ExecContext(ctx, send, a.tenantID, address, a.language, a.now); err != nil {
		return fmt.Errorf("ask an address: %w", err)
	}
	if err := a.audit(ctx, "alert_address.ask", tenantSubject(a.tenantID), a.tenantID, map[string]any{"address": address}); err != nil {
		return err
	}
	_, err := a.ExecContext(ctx, `SELECT pg_notify('filaia_alerts', '')`)
	return err
}

// AskAgain writes once more to an address that a customer's own rules name. It is a Conflict that names the address when it may not be
// asked now, and NotFound when no rule names it.
func (s *Store) AskAgain(ctx context.Context, tenantID int64, address string) error {
	address = alert.SameAddress(address)
	err := s.inTx(ctx, func(tx *tx) error {
		if _, err := tx.lockOpenTenant(ctx, tenantID); err != nil {
			return err
		}
		named, err := tx.named(ctx, tenantID)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(named, func(n namedIn) bool { return n.address == address }) {
			return fault.New(fault.NotFound, "alert_confirm.error.not_named")
		}
		a, err := tx.asker(ctx, tenantID)
		if err != nil {
			return err
		}
		return a.ask(ctx, address, true)
	})
	if err != nil {
		return fmt.Errorf("ask an address of tenant %d again: %w", tenantID, err)
	}
	return nil
}

// Asks are the addresses from outside that were ever named for a tenant, by address, without what their links are made of, and without
// those who have become its people since. The tenant itself may see all of it.
func (s *Store) Asks(ctx context.Context, tenantID int64) ([]alert.Ask, error) {
	var rows []askRow
	const query = `SELECT ` + askColumns + `, coalesce(d.state, '') AS mail, coalesce(d.answer, '') AS answer FROM alert_addresses a JOIN tenants t ON t.id = a.tenant_id
		LEFT JOIN LATERAL (SELECT m.state, (SELECT k.answer FROM delivery_attempts k WHERE k.delivery_id = m.id ORDER BY k.id DESC LIMIT 1) AS answer
			FROM deliveries m WHERE m.tenant_id = a.tenant_id AND m.recipient = a.address AND m.kind = 'confirmation' ORDER BY m.id DESC LIMIT 1) d ON true
		WHERE a.tenant_id = $1 ORDER BY a.address LIMIT $2`
	err := s.ForTenant(tenantID).read(ctx, func(tx *tx) error { return tx.SelectContext(ctx, &rows, query, tenantID, maxShares) })
	if err != nil {
		return nil, fmt.Errorf("addresses of tenant %d: %w", tenantID, err)
	}
	known, err := knownTo(ctx, s.db, tenantID)
	if err != nil {
		return nil, fmt.Errorf("addresses of tenant %d: %w", tenantID, err)
	}
	var list []alert.Ask
	for _, r := range rows {
		if !known[r.Address] {
			list = append(list, r.ask())
		}
	}
	return list, nil
}

// knownTo are the addresses of who signs in for a tenant, and its own.
func knownTo(ctx context.Context, db sqlx.QueryerContext, tenantID int64) (map[string]bool, error) {
	var list []string
	const people = `SELECT email FROM users WHERE tenant_id = $1 AND disabled_at IS NULL UNION SELECT email FROM tenants WHERE id = $1`
	if err := sqlx.SelectContext(ctx, db, &list, people, tenantID); err != nil {
		return nil, err
	}
	known := make(map[string]bool, len(list))
	for _, address := range list {
		known[alert.SameAddress(address)] = true
	}
	return known, nil
}
