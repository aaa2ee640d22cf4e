package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
)

const userMissing = "users.error.not_found"

type userRow struct {
	ID          int64      `db:"user_id"`
	Email       string     `db:"email"`
	Name        string     `db:"name"`
	Role        string     `db:"role"`
	TenantID    int64      `db:"tenant_id"`
	TenantName  string     `db:"tenant_name"`
	Language    string     `db:"language"`
	Theme       string     `db:"theme"`
	DisabledAt  *time.Time `db:"disabled_at"`
	LastLoginAt *time.Time `db:"last_login_at"`
	CreatedAt   time.Time  `db:"user_created_at"`
}

const (
	userColumns = `u.id AS user_id, u.email, u.name, u.role, coalesce(u.tenant_id, 0) AS tenant_id,
	coalesce(t.name, '') AS tenant_name, u.language, u.theme, u.disabled_at, u.last_login_at, u.created_at AS user_created_at`
	userTables = `users u LEFT JOIN tenants t ON t.id = u.tenant_id`
)

func (r userRow) user() tenancy.User {
	return tenancy.User{
		ID: r.ID, Email: r.Email, Name: r.Name, Role: tenancy.Role(r.Role), TenantID: r.TenantID, TenantName: r.TenantName,
		Language: r.Language, Theme: r.Theme, DisabledAt: r.DisabledAt, LastLoginAt: r.LastLoginAt, CreatedAt: r.CreatedAt,
	}
}

func userSubject(id int64) string { return "user:" + strconv.FormatInt(id, 10) }

// User reads one user, disabled or not. NotFound when there is none.
func (s *Store) User(ctx context.Context, id int64) (tenancy.User, error) {
	return oneUser(ctx, s.db, id)
}

func oneUser(ctx context.Context, db sqlx.QueryerContext, id int64) (tenancy.User, error) {
	var row userRow
	if err := sqlx.GetContext(ctx, db, &row, `SELECT `+userColumns+` FROM `+userTables+` WHERE u.id = $1`, id); err != nil {
		return tenancy.User{}, fmt.Errorf("user %d: %w", id, known(err, userMissing))
	}
	return row.user(), nil
}

// ListUsers gives a page of users. Status: active, disabled, team or customers. Sort: name, email, role, last_login_at;
// the default is name. TenantID narrows to one tenant's people.
func (s *Store) ListUsers(ctx context.Context, q tenancy.ListQuery) (tenancy.Page[tenancy.User], error) {
	list := listing{
		columns: userColumns,
		from: `FROM ` + userTables + ` WHERE ` + matches("$1::text", "u.name", "u.email", "coalesce(t.name, '')") + ` AND CASE $2::text
			WHEN 'active' THEN u.disabled_at IS NULL
			WHEN 'disabled' THEN u.disabled_at IS NOT NULL
			WHEN 'team' THEN u.tenant_id IS NULL
			WHEN 'customers' THEN u.tenant_id IS NOT NULL ELSE true END
			AND ($3::bigint = 0 OR u.tenant_id = $3)`,
		sorts: map[string]string{
			"name":          folded("u.name"),
			"email":         "u.email",
			"role":          "array_position(ARRAY['owner', 'manager', 'viewer', 'tenant_admin', 'tenant_viewer'], u.role)",
			"last_login_at": "u.last_login_at",
		},
		initial: "name",
		tie:     "u.id",
	}
	rows, total, err := selectPage[userRow](ctx, s.db, list, q, q.Search, q.Status, q.TenantID)
	if err != nil {
		return tenancy.Page[tenancy.User]{}, fmt.Errorf("list users: %w", err)
	}
	users := make([]tenancy.User, len(rows))
	for i, r := range rows {
		users[i] = r.user()
	}
	return tenancy.Page[tenancy.User]{Items: users, Total: total}, nil
}

// CreateUser adds a user whose password has that hash. Conflict where the e-mail address is taken.
func (s *Store) CreateUser(ctx context.Context, d tenancy.UserDraft, passwordHash string) (tenancy.User, error) {
	var made tenancy.User
	err := s.inTx(ctx, func(t *tx) (err error) {
		if d.Role == tenancy.Owner {
			if err := t.closeSetup(ctx); err != nil {
				return err
			}
		}
		made, err = t.createUser(ctx, d, passwordHash)
		return err
	})
	return made, err
}

func (t *tx) createUser(ctx context.Context, d tenancy.UserDraft, passwordHash string) (tenancy.User, error) {
	const insert = `INSERT INTO users (email, name, role, tenant_id, password_hash, created_at)
		VALUES ($1, $2, $3, NULLIF($4, 0), $5, $6) RETURNING id`
	var id int64
	err := t.GetContext(ctx, &id, insert, d.Email, d.Name, string(d.Role), d.TenantID, passwordHash, t.now)
	if err != nil {
		return tenancy.User{}, fmt.Errorf("create user: %w", known(err, userMissing))
	}
	details := map[string]any{"email": d.Email, "role": d.Role}
	if err := t.audit(ctx, "user.create", userSubject(id), d.TenantID, details); err != nil {
		return tenancy.User{}, err
	}
	return oneUser(ctx, t, id)
}

// UpdateUser changes name, e-mail address, role and tenant; the draft's password is not looked at. Conflict where the
// address is taken or nobody would be left who manages users.
func (s *Store) UpdateUser(ctx context.Context, id int64, d tenancy.UserDraft) error {
	return s.inTx(ctx, func(t *tx) error {
		if d.Role != tenancy.Owner {
			if err := t.keepAnOwner(ctx, id); err != nil {
				return err
			}
		}
		before, err := oneUser(ctx, t, id)
		if err != nil {
			return err
		}
		const update = `UPDATE users SET email = $2, name = $3, role = $4, tenant_id = NULLIF($5, 0) WHERE id = $1`
		if _, err := t.ExecContext(ctx, update, id, d.Email, d.Name, string(d.Role), d.TenantID); err != nil {
			return fmt.Errorf("update user %d: %w", id, known(err, userMissing))
		}
		details := map[string]any{
			"from": map[string]any{"email": before.Email, "name": before.Name, "role": before.Role, "tenant_id": before.TenantID},
			"to":   map[string]any{"email": d.Email, "name": d.Name, "role": d.Role, "tenant_id": d.TenantID},
		}
		return t.audit(ctx, "user.update", userSubject(id), d.TenantID, details)
	})
}

// DisableUser keeps a user from signing in and ends their sessions at once. Conflict for the last owner.
func (s *Store) DisableUser(ctx context.Context, id int64) error {
	return s.inTx(ctx, func(t *tx) error {
		if err := t.keepAnOwner(ctx, id); err != nil {
			return err
		}
		const update = `UPDATE users SET disabled_at = coalesce(disabled_at, $2) WHERE id = $1 RETURNING coalesce(tenant_id, 0)`
		tenantID, err := t.changeUser(ctx, update, id, t.now)
		if err != nil {
			return err
		}
		if _, err := t.ExecContext(ctx, `DELETE FROM sessions WHERE user_id = $1`, id); err != nil {
			return fmt.Errorf("end sessions of user %d: %w", id, err)
		}
		return t.audit(ctx, "user.disable", userSubject(id), tenantID, nil)
	})
}

// EnableUser lets a disabled user sign in again.
func (s *Store) EnableUser(ctx context.Context, id int64) error {
	return s.inTx(ctx, func(t *tx) error {
		const update = `UPDATE users SET disabled_at = NULL WHERE id = $1 RETURNING coalesce(tenant_id, 0)`
		tenantID, err := t.changeUser(ctx, update, id)
		if err != nil {
			return err
		}
		return t.audit(ctx, "user.enable", userSubject(id), tenantID, nil)
	})
}

// RenameUser changes a user's own name.
func (s *Store) RenameUser(ctx context.Context, id int64, name string) error {
	return s.inTx(ctx, func(t *tx) error {
		const update = `UPDATE users SET name = $2 WHERE id = $1 RETURNING coalesce(tenant_id, 0)`
		tenantID, err := t.changeUser(ctx, update, id, name)
		if err != nil {
			return err
		}
		return t.audit(ctx, "user.rename", userSubject(id), tenantID, map[string]any{"name": name})
	})
}

// SetPreferences keeps language and theme; an empty one stays as it is. Taste is no change worth an audit entry.
func (s *Store) SetPreferences(ctx context.Context, id int64, language, theme string) error {
	const update = `UPDATE users SET language = coalesce(NULLIF($2, ''), language), theme = coalesce(NULLIF($3, ''), theme) WHERE id = $1`
	if _, err := s.db.ExecContext(ctx, update, id, language, theme); err != nil {
		return fmt.Errorf("preferences of user %d: %w", id, err)
	}
	return nil
}

// SetPassword replaces a user's password and ends their sessions, save the one given.
func (s *Store) SetPassword(ctx context.Context, id int64, passwordHash string, keep tenancy.SessionID) error {
	return s.inTx(ctx, func(t *tx) error {
		// The row's lock makes a sign-in with the old password wait, and then fail.
		const update = `UPDATE users SET password_hash = $2 WHERE id = $1 RETURNING coalesce(tenant_id, 0)`
		tenantID, err := t.changeUser(ctx, update, id, passwordHash)
		if err != nil {
			return err
		}
		if _, err := t.ExecContext(ctx, `DELETE FROM sessions WHERE user_id = $1 AND token_hash <> $2`, id, keep[:]); err != nil {
			return fmt.Errorf("end sessions of user %d: %w", id, err)
		}
		return t.audit(ctx, "user.password", userSubject(id), tenantID, nil)
	})
}

// changeUser runs an UPDATE of one user that returns the tenant's id.
func (t *tx) changeUser(ctx context.Context, update string, id int64, args ...any) (tenantID int64, err error) {
	if err := t.GetContext(ctx, &tenantID, update, append([]any{id}, args...)...); err != nil {
		return 0, fmt.Errorf("change user %d: %w", id, known(err, userMissing))
	}
	return tenantID, nil
}

// keepAnOwner refuses when id is the only owner who can sign in. It locks the owners, so that two of them cannot
// shut each other out at the same time.
func (t *tx) keepAnOwner(ctx context.Context, id int64) error {
	var owners []int64
	const lock = `SELECT id FROM users WHERE role = 'owner' AND disabled_at IS NULL ORDER BY id FOR UPDATE`
	if err := t.SelectContext(ctx, &owners, lock); err != nil {
		return fmt.Errorf("lock owners: %w", err)
	}
	if len(owners) == 1 && owners[0] == id {
		return fault.New(fault.Conflict, "users.error.last_owner")
	}
	return nil
}

// SignInUser finds the user with that e-mail address, and the hash to check the password against. NotFound when there is none or
// they are disabled.
func (s *Store) SignInUser(ctx context.Context, email string) (u tenancy.User, passwordHash string, err error) {
	var row struct {
		userRow
		PasswordHash string `db:"password_hash"`
	}
	const query = `SELECT ` + userColumns + `, u.password_hash FROM ` + userTables + `
		WHERE lower(u.email) = $1 AND u.disabled_at IS NULL`
	if err := s.db.GetContext(ctx, &row, query, strings.ToLower(email)); err != nil {
		return tenancy.User{}, "", fmt.Errorf("user to sign in: %w", known(err, userMissing))
	}
	return row.user(), row.PasswordHash, nil
}

// RehashPassword replaces the hash of an unchanged password; where it has changed meanwhile, nothing happens.
func (s *Store) RehashPassword(ctx context.Context, id int64, from, to string) error {
	const update = `UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2`
	if _, err := s.db.ExecContext(ctx, update, id, from, to); err != nil {
		return fmt.Errorf("rehash password of user %d: %w", id, err)
	}
	return nil
}

// TenantNames lists the customers that people can belong to, by name.
func (s *Store) TenantNames(ctx context.Context) ([]tenancy.TenantName, error) {
	var rows []struct {
		ID   int64  `db:"id"`
		Name string `db:"name"`
	}
	query := `SELECT id, name FROM tenants WHERE status <> 'closed' ORDER BY ` + folded("name") + `, id`
	if err := s.db.SelectContext(ctx, &rows, query); err != nil {
		return nil, fmt.Errorf("tenant names: %w", err)
	}
	names := make([]tenancy.TenantName, len(rows))
	for i, r := range rows {
		names[i] = tenancy.TenantName{ID: r.ID, Name: r.Name}
	}
	return names, nil
}
