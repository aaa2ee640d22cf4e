package store

import (
	"context"
	"fmt"
	"time"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// seenEvery is how often a session in use is written: not at every page.
const seenEvery = time.Minute

type sessionRow struct {
	userRow
	Hash      []byte    `db:"token_hash"`
	Data      []byte    `db:"data"`
	Address   string    `db:"address"`
	Agent     string    `db:"agent"`
	CreatedAt time.Time `db:"created_at"`
	SeenAt    time.Time `db:"seen_at"`
	ExpiresAt time.Time `db:"expires_at"`
}

const sessionColumns = `s.token_hash, s.data, s.address, s.agent, s.created_at, s.seen_at, s.expires_at, ` + userColumns

func (r sessionRow) session() tenancy.Session {
	return tenancy.Session{
		ID: tenancy.SessionID(r.Hash), User: r.user(), Data: r.Data, Address: r.Address, Agent: r.Agent,
		CreatedAt: r.CreatedAt, SeenAt: r.SeenAt, ExpiresAt: r.ExpiresAt,
	}
}

// expiry is when a session that is used now ends.
func expiry(created, now time.Time) time.Time {
	idle, life := now.Add(tenancy.SessionIdle), created.Add(tenancy.SessionLife)
	if life.Before(idle) {
		return life
	}
	return idle
}

// Session reads a session with its user and notes, once a minute, that it is in use. NotFound when it has expired or
// was ended, or when the user is disabled.
func (s *Store) Session(ctx context.Context, id tenancy.SessionID) (tenancy.Session, error) {
	now := s.now().UTC()
	var row sessionRow
	const query = `SELECT ` + sessionColumns + ` FROM sessions s JOIN ` + userTables + ` ON u.id = s.user_id
		WHERE s.token_hash = $1 AND s.expires_at > $2 AND u.disabled_at IS NULL`
	if err := s.db.GetContext(ctx, &row, query, id[:], now); err != nil {
		return tenancy.Session{}, fmt.Errorf("session: %w", known(err, "signin.error.session_over"))
	}
	if now.Sub(row.SeenAt) >= seenEvery {
		const touch = `UPDATE sessions SET seen_at = $2, expires_at = $3 WHERE token_hash = $1 AND seen_at < $2`
		if _, err := s.db.ExecContext(ctx, touch, id[:], now, expiry(row.CreatedAt, now)); err != nil {
			return tenancy.Session{}, fmt.Errorf("touch session: %w", err)
		}
	}
	return row.session(), nil
}

// OpenSession signs a user in. Unauthenticated where the user was disabled or the password changed since it was checked.
func (s *Store) OpenSession(ctx context.Context, d tenancy.SessionDraft) error {
	return s.inTx(ctx, func(t *tx) error {
		// The row's lock orders this against a change of password and against disabling, which end sessions.
		const sign = `UPDATE users SET last_login_at = $3 WHERE id = $1 AND password_hash = $2 AND disabled_at IS NULL
			RETURNING email, coalesce(tenant_id, 0) AS tenant_id`
		var user struct {
			Email    string `db:"email"`
			TenantID int64  `db:"tenant_id"`
		}
		if err := t.GetContext(ctx, &user, sign, d.UserID, d.PasswordHash, t.now); err != nil {
			err = known(err, "signin.error.wrong")
			if fault.Is(err, fault.NotFound) {
				err = fault.New(fault.Unauthenticated, "signin.error.wrong")
			}
			return fmt.Errorf("open session of user %d: %w", d.UserID, err)
		}
		const insert = `INSERT INTO sessions (token_hash, user_id, address, agent, created_at, seen_at, expires_at)
			VALUES ($1, $2, $3, $4, $5, $5, $6)`
		if _, err := t.ExecContext(ctx, insert, d.ID[:], d.UserID, d.Address, d.Agent, t.now, expiry(t.now, t.now)); err != nil {
			return fmt.Errorf("open session of user %d: %w", d.UserID, err)
		}
		ctx := tenancy.WithActor(ctx, tenancy.Actor{UserID: d.UserID, Label: user.Email})
		return t.audit(ctx, "user.sign_in", userSubject(d.UserID), user.TenantID, map[string]any{"address": d.Address})
	})
}

// KeepSessionData replaces what the browser side keeps in a session.
func (s *Store) KeepSessionData(ctx context.Context, id tenancy.SessionID, data []byte) error {
	if data == nil {
		data = []byte{}
	}
	if _, err := s.db.ExecContext(ctx, `UPDATE sessions SET data = $2 WHERE token_hash = $1`, id[:], data); err != nil {
		return fmt.Errorf("keep session data: %w", err)
	}
	return nil
}

// CloseSession ends a session; ending one that is over is no error.
func (s *Store) CloseSession(ctx context.Context, id tenancy.SessionID) error {
	if _, err := s.db.ExecContext(ctx, `DELETE FROM sessions WHERE token_hash = $1`, id[:]); err != nil {
		return fmt.Errorf("close session: %w", err)
	}
	return nil
}

// UserSessions lists a user's open sessions, the one last used first.
func (s *Store) UserSessions(ctx context.Context, userID int64) ([]tenancy.Session, error) {
	var rows []sessionRow
	const query = `SELECT ` + sessionColumns + ` FROM sessions s JOIN ` + userTables + ` ON u.id = s.user_id
		WHERE s.user_id = $1 AND s.expires_at > $2 ORDER BY s.seen_at DESC, s.created_at DESC`
	if err := s.db.SelectContext(ctx, &rows, query, userID, s.now().UTC()); err != nil {
		return nil, fmt.Errorf("sessions of user %d: %w", userID, err)
	}
	sessions := make([]tenancy.Session, len(rows))
	for i, r := range rows {
		sessions[i] = r.session()
	}
	return sessions, nil
}

// RevokeSession ends one of the user's own sessions from another. NotFound where it is over or not theirs.
func (s *Store) RevokeSession(ctx context.Context, userID int64, id tenancy.SessionID) error {
	return s.inTx(ctx, func(t *tx) error {
		const end = `DELETE FROM sessions s USING users u WHERE u.id = s.user_id AND s.user_id = $1 AND s.token_hash = $2
			RETURNING coalesce(u.tenant_id, 0)`
		var tenantID int64
		if err := t.GetContext(ctx, &tenantID, end, userID, id[:]); err != nil {
			return fmt.Errorf("revoke session of user %d: %w", userID, known(err, "signin.error.session_over"))
		}
		return t.audit(ctx, "session.revoke", userSubject(userID), tenantID, nil)
	})
}

// RevokeSessions ends all of a user's sessions save the one given.
func (s *Store) RevokeSessions(ctx context.Context, userID int64, keep tenancy.SessionID) error {
	return s.inTx(ctx, func(t *tx) error {
		result, err := t.ExecContext(ctx, `DELETE FROM sessions WHERE user_id = $1 AND token_hash <> $2`, userID, keep[:])
		if err != nil {
			return fmt.Errorf("revoke sessions of user %d: %w", userID, err)
		}
		ended, _ := result.RowsAffected() // lib/pq always knows
		return t.audit(ctx, "session.revoke_all", userSubject(userID), 0, map[string]any{"ended": ended})
	})
}

// SweepSessions removes sessions that are over and failed sign-ins that no longer count; it returns how many rows. It
// passes over rows in use, which the next sweep finds.
func (s *Store) SweepSessions(ctx context.Context) (int64, error) {
	now := s.now().UTC()
	var swept int64
	for _, step := range []struct {
		query string
		until time.Time
	}{
		{`DELETE FROM sessions WHERE token_hash IN
			(SELECT token_hash FROM sessions WHERE expires_at <= $1 FOR UPDATE SKIP LOCKED)`, now},
		{`DELETE FROM sign_in_failures WHERE subject IN
			(SELECT subject FROM sign_in_failures WHERE updated_at < $1 FOR UPDATE SKIP LOCKED)`, now.Add(-forgetFailures)},
	} {
		result, err := s.db.ExecContext(ctx, step.query, step.until)
		if err != nil {
			return swept, fmt.Errorf("sweep sessions: %w", err)
		}
		n, _ := result.RowsAffected() // lib/pq always knows
		swept += n
	}
	return swept, nil
}
