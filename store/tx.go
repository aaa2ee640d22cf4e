package store

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jmoiron/sqlx"
)

// tx is a transaction with its frozen time, in UTC and to the microsecond that PostgreSQL keeps.
type tx struct {
	*sqlx.Tx
	now time.Time

	conn     *sqlx.Conn // of a commit of usage, which has one to itself
	prepared *prepared  // what need not be parsed and planned again; nil: nothing
}

// inTx runs fn in a transaction: committed when fn returns nil, rolled back otherwise. No HTTP, no SMTP inside.
func (s *Store) inTx(ctx context.Context, fn func(*tx) error) error {
	t, err := s.db.BeginTxx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer t.Rollback() //nolint:errcheck // after a commit it does nothing
	if err := fn(&tx{Tx: t, now: s.now().UTC().Truncate(time.Microsecond)}); err != nil {
		return err
	}
	if err := t.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// Tenant reads what one tenant may see. The database enforces it: every read runs in a transaction under the role
// filaia_tenant, which row-level security holds to that tenant.
type Tenant struct {
	s  *Store
	id int64
}

// ForTenant gives a reader that sees one tenant only.
func (s *Store) ForTenant(tenantID int64) *Tenant { return &Tenant{s: s, id: tenantID} }

func (t *Tenant) read(ctx context.Context, fn func(*tx) error) error {
	return t.s.inTx(ctx, func(tx *tx) error {
		const bind = `SELECT set_config('role', 'filaia_tenant', true), set_config('filaia.tenant_id', $1, true)`
		if _, err := tx.ExecContext(ctx, bind, strconv.FormatInt(t.id, 10)); err != nil {
			return fmt.Errorf("bind tenant %d: %w", t.id, err)
		}
		return fn(tx)
	})
}
