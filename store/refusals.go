package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/fila-ia/filaia/internal/tenancy"
)

const (
	refusalMissing = "problem.no_page"
	refusalsKept   = 90 * 24 * time.Hour
)

// InsertRefusals notes why calls were refused. One that is there already, or whose tenant has vanished, is left out.
func (s *Store) InsertRefusals(ctx context.Context, refusals []tenancy.Refusal) error {
	if len(refusals) == 0 {
		return nil
	}
	const insert = `INSERT INTO refusals (id, at, tenant_id, key_id, endpoint, model, http_status, reason, scope, limit_name,
			limit_value, asked, remaining, resets_at)
		SELECT r.id, timestamptz 'epoch' + r.at * interval '1 microsecond', t.id, r.key, r.endpoint, r.model, r.status, r.reason,
			r.scope, r.limit_name, r.limit_value, r.asked, r.remaining,
			CASE WHEN r.resets <> 0 THEN timestamptz 'epoch' + r.resets * interval '1 microsecond' END
		FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::smallint[], $8::text[],
			$9::text[], $10::text[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[])
		AS r (id, at, tenant, key, endpoint, model, status, reason, scope, limit_name, limit_value, asked, remaining, resets)
		JOIN tenants t ON t.id = r.tenant
		ON CONFLICT DO NOTHING`
	type refusal = tenancy.Refusal
	number := func(get func(*refusal) int64) string { return ints(refusals, get) }
	word := func(get func(*refusal) string) string { return texts(refusals, get) }
	_, err := s.db.ExecContext(ctx, insert,
		column(refusals, func(b []byte, r *refusal) []byte { return append(b, r.ID.String()...) }),
		number(func(r *refusal) int64 { return r.At.UnixMicro() }),
		number(func(r *refusal) int64 { return r.TenantID }), number(func(r *refusal) int64 { return r.KeyID }),
		word(func(r *refusal) string { return r.Endpoint }), word(func(r *refusal) string { return r.Model }),
		number(func(r *refusal) int64 { return within(int64(r.HTTPStatus), 999) }),
		word(func(r *refusal) string { return r.Reason }),
		word(func(r *refusal) string { return r.Scope }), word(func(r *refusal) string { return r.Limit }),
		number(func(r *refusal) int64 { return r.LimitValue }), number(func(r *refusal) int64 { return r.Asked }),
		number(func(r *refusal) int64 { return r.Remaining }),
		number(func(r *refusal) int64 {
			if r.ResetsAt.IsZero() {
				return 0
			}
			return r.ResetsAt.UnixMicro()
		}))
	if err != nil {
		return fmt.Errorf("insert %d refusals: %w", len(refusals), err)
	}
	return nil
}

// Refusal tells why the call with this request id was refused. NotFound when that is not known, or no longer.
func (s *Store) Refusal(ctx context.Context, id uuid.UUID) (tenancy.Refusal, error) {
	return oneRefusal(ctx, s.db, 0, id)
}

// Refusals gives the newest refusals, newest first, of one tenant or of all (0). before is the id that the page before
// ended with, uuid.Nil for the first page.
func (s *Store) Refusals(ctx context.Context, tenantID int64, before uuid.UUID, limit int) ([]tenancy.Refusal, error) {
	return refusals(ctx, s.db, tenantID, before, limit)
}

// Refusal is Store.Refusal of the tenant's own; another's is NotFound.
func (t *Tenant) Refusal(ctx context.Context, id uuid.UUID) (tenancy.Refusal, error) {
	var r tenancy.Refusal
	err := t.read(ctx, func(tx *tx) (err error) {
		r, err = oneRefusal(ctx, tx, t.id, id)
		return err
	})
	return r, err
}

// Refusals is Store.Refusals of the tenant's own.
func (t *Tenant) Refusals(ctx context.Context, before uuid.UUID, limit int) ([]tenancy.Refusal, error) {
	var list []tenancy.Refusal
	err := t.read(ctx, func(tx *tx) (err error) {
		list, err = refusals(ctx, tx, t.id, before, limit)
		return err
	})
	return list, err
}

// OwnRefusal is Tenant.Refusal.
func (p Portal) OwnRefusal(ctx context.Context, tenantID int64, id uuid.UUID) (tenancy.Refusal, error) {
	return p.s.ForTenant(tenantID).Refusal(ctx, id)
}

// OwnRefusals is Tenant.Refusals.
func (p Portal) OwnRefusals(ctx context.Context, tenantID int64, before uuid.UUID, limit int) ([]tenancy.Refusal, error) {
	return p.s.ForTenant(tenantID).Refusals(ctx, before, limit)
}

type refusalRow struct {
	ID         uuid.UUID  `db:"id"`
	At         time.Time  `db:"at"`
	TenantID   int64      `db:"tenant_id"`
	TenantName string     `db:"tenant_name"`
	KeyID      int64      `db:"key_id"`
	KeyName    string     `db:"key_name"`
	Endpoint   string     `db:"endpoint"`
	Model      string     `db:"model"`
	HTTPStatus int        `db:"http_status"`
	Reason     string     `db:"reason"`
	Scope      string     `db:"scope"`
	Limit      string     `db:"limit_name"`
	LimitValue int64      `db:"limit_value"`
	Asked      int64      `db:"asked"`
	Remaining  int64      `db:"remaining"`
	ResetsAt   *time.Time `db:"resets_at"`
}

func (r refusalRow) refusal() tenancy.Refusal {
	refusal := tenancy.Refusal{
		ID: r.ID, At: r.At.UTC(), TenantID: r.TenantID, TenantName: r.TenantName, KeyID: r.KeyID, KeyName: r.KeyName,
		Endpoint: r.Endpoint, Model: r.Model, HTTPStatus: r.HTTPStatus, Reason: r.Reason, Scope: r.Scope, Limit: r.Limit,
		LimitValue: r.LimitValue, Asked: r.Asked, Remaining: r.Remaining,
	}
	if r.ResetsAt != nil {
		refusal.ResetsAt = r.ResetsAt.UTC()
	}
	return refusal
}

const refusalQuery = `SELECT r.id, r.at, r.tenant_id, COALESCE(t.name, '') AS tenant_name, r.key_id, COALESCE(k.name, '') AS key_name,
		r.endpoint, r.model, r.http_status, r.reason, r.scope, r.limit_name, r.limit_value, r.asked, r.remaining, r.resets_at
	FROM refusals r LEFT JOIN tenants t ON t.id = r.tenant_id LEFT JOIN api_keys k ON k.id = r.key_id AND k.tenant_id = r.tenant_id
	WHERE ($1::bigint = 0 OR r.tenant_id = $1) AND `

func oneRefusal(ctx context.Context, q sqlx.QueryerContext, tenantID int64, id uuid.UUID) (tenancy.Refusal, error) {
	var row refusalRow
	if err := sqlx.GetContext(ctx, q, &row, refusalQuery+`r.id = $2`, tenantID, id); err != nil {
		return tenancy.Refusal{}, fmt.Errorf("refusal %s: %w", id, known(err, refusalMissing))
	}
	return row.refusal(), nil
}

func refusals(ctx context.Context, q sqlx.QueryerContext, tenantID int64, before uuid.UUID, limit int) ([]tenancy.Refusal, error) {
	if before == uuid.Nil {
		before = uuid.Max
	}
	var rows []refusalRow
	if err := sqlx.SelectContext(ctx, q, &rows, refusalQuery+`r.id < $2 ORDER BY r.id DESC LIMIT $3`, tenantID, before, limit); err != nil {
		return nil, fmt.Errorf("read refusals of tenant %d: %w", tenantID, err)
	}
	list := make([]tenancy.Refusal, len(rows))
	for i, row := range rows {
		list[i] = row.refusal()
	}
	return list, nil
}

// SweepRefusals removes what is older than ninety days and tells how much it was.
func (s *Store) SweepRefusals(ctx context.Context) (int64, error) {
	result, err := s.db.ExecContext(ctx, `DELETE FROM refusals WHERE at < $1`, s.now().Add(-refusalsKept))
	if err != nil {
		return 0, fmt.Errorf("sweep refusals: %w", err)
	}
	return result.RowsAffected()
}
