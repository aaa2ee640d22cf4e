package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/jmoiron/sqlx"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
)

const (
	setupSetting = "setup_links"
	setupLinks   = 10 // links that are good at the same time: each start prints one
)

// IssueSetupToken gives the secret of a link under which the first owner can be made, or "" when there is one already.
// Only its hash is kept. Every link stays good until the first owner exists.
func (s *Store) IssueSetupToken(ctx context.Context) (string, error) {
	raw := make([]byte, 32)
	rand.Read(raw) //nolint:errcheck // it never fails
	token := base64.RawURLEncoding.EncodeToString(raw)
	err := s.inTx(ctx, func(t *tx) error {
		hashes, err := t.lockSetup(ctx)
		if err != nil {
			return err
		}
		owned, err := hasOwner(ctx, t)
		if err != nil {
			return err
		}
		if owned {
			token = ""
			return t.closeSetup(ctx)
		}
		hashes = append(hashes, setupHash(token))
		if err := t.keepSetting(ctx, setupSetting, hashes[max(0, len(hashes)-setupLinks):]); err != nil {
			return fmt.Errorf("keep setup link: %w", err)
		}
		return nil
	})
	return token, err
}

// SetupPending tells whether there is no owner yet.
func (s *Store) SetupPending(ctx context.Context) (bool, error) {
	owned, err := hasOwner(ctx, s.db)
	return !owned, err
}

// SetupOpen tells whether the token's link still works. NotFound when it does not.
func (s *Store) SetupOpen(ctx context.Context, token string) error {
	return s.inTx(ctx, func(t *tx) error { return t.checkSetup(ctx, token) })
}

// CreateFirstOwner makes the first owner. NotFound when the token is not good or there is an owner already: of several
// at the same time one succeeds.
func (s *Store) CreateFirstOwner(ctx context.Context, token string, d tenancy.UserDraft, passwordHash string) (tenancy.User, error) {
	var made tenancy.User
	err := s.inTx(ctx, func(t *tx) (err error) {
		if err := t.checkSetup(ctx, token); err != nil {
			return err
		}
		d.Role, d.TenantID = tenancy.Owner, 0
		if made, err = t.createUser(ctx, d, passwordHash); err != nil {
			return err
		}
		return t.closeSetup(ctx)
	})
	return made, err
}

// checkSetup holds the setup's lock until the transaction ends.
func (t *tx) checkSetup(ctx context.Context, token string) error {
	hashes, err := t.lockSetup(ctx)
	if err != nil {
		return err
	}
	owned, err := hasOwner(ctx, t)
	if err != nil {
		return err
	}
	if owned || !slices.Contains(hashes, setupHash(token)) {
		return fault.New(fault.NotFound, "setup.error.link_over")
	}
	return nil
}

// lockSetup makes whoever sets up the installation wait their turn, and reads the hashes of the links that are good.
func (t *tx) lockSetup(ctx context.Context) (hashes []string, err error) {
	if _, err := t.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtext($1))`, setupSetting); err != nil {
		return nil, fmt.Errorf("lock setup: %w", err)
	}
	if err := readSetting(ctx, t, setupSetting, &hashes); err != nil {
		return nil, fmt.Errorf("read setup links: %w", err)
	}
	return hashes, nil
}

// closeSetup ends all links.
func (t *tx) closeSetup(ctx context.Context) error {
	if _, err := t.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtext($1))`, setupSetting); err != nil {
		return fmt.Errorf("lock setup: %w", err)
	}
	if _, err := t.ExecContext(ctx, `DELETE FROM settings WHERE name = $1`, setupSetting); err != nil {
		return fmt.Errorf("close setup: %w", err)
	}
	return nil
}

func hasOwner(ctx context.Context, db sqlx.QueryerContext) (owned bool, err error) {
	if err := sqlx.GetContext(ctx, db, &owned, `SELECT EXISTS (SELECT 1 FROM users WHERE role = 'owner')`); err != nil {
		return false, fmt.Errorf("look for an owner: %w", err)
	}
	return owned, nil
}

func setupHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}
