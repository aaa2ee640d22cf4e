package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
)

// Self gives the tenant's own name, time zone, status, plan and limits.
func (t *Tenant) Self(ctx context.Context) (tenancy.Tenant, error) {
	var row struct {
		ID        int64     `db:"id"`
		Name      string    `db:"name"`
		Email     string    `db:"email"`
		TimeZone  string    `db:"time_zone"`
		Status    string    `db:"status"`
		PlanName  string    `db:"plan_name"`
		CreatedAt time.Time `db:"created_at"`
		RPM       int       `db:"requests_per_minute"`
		TPM       int       `db:"tokens_per_minute"`
		Parallel  int       `db:"parallel_calls"`
	}
	err := t.read(ctx, func(tx *tx) error {
		const query = `SELECT t.id, t.name, t.email, t.time_zone, t.status, t.created_at, COALESCE(p.name, '') AS plan_name,
				COALESCE(t.requests_per_minute, 0) AS requests_per_minute, COALESCE(t.tokens_per_minute, 0) AS tokens_per_minute,
				COALESCE(t.parallel_calls, 0) AS parallel_calls
			FROM tenants t
			LEFT JOIN subscriptions s ON s.tenant_id = t.id AND s.scope = 'tenant' AND s.ended_at IS NULL
			LEFT JOIN plan_versions v ON v.id = s.plan_version_id LEFT JOIN plans p ON p.id = v.plan_id
			WHERE t.id = $1`
		return tx.GetContext(ctx, &row, query, t.id)
	})
	if err != nil {
		return tenancy.Tenant{}, fmt.Errorf("read tenant %d of its own: %w", t.id, known(err, "tenants.error.not_found"))
	}
	return tenancy.Tenant{
		ID: row.ID, Name: row.Name, Email: row.Email, TimeZone: row.TimeZone, Status: tenancy.TenantStatus(row.Status),
		PlanName: row.PlanName, CreatedAt: row.CreatedAt.UTC(),
		Rates: tenancy.Rates{RequestsPerMinute: row.RPM, TokensPerMinute: row.TPM, ParallelCalls: row.Parallel},
	}, nil
}

// Keys lists the tenant's own keys: working ones first, the newest first.
func (t *Tenant) Keys(ctx context.Context) ([]tenancy.Key, error) {
	var rows []struct {
		ID         int64          `db:"id"`
		Name       string         `db:"name"`
		Hint       string         `db:"hint"`
		PlanName   string         `db:"plan_name"`
		Models     pq.StringArray `db:"allowed_models"`
		ExpiresAt  *time.Time     `db:"expires_at"`
		RevokedAt  *time.Time     `db:"revoked_at"`
		LastUsedAt *time.Time     `db:"last_used_at"`
		CreatedAt  time.Time      `db:"created_at"`
		RPM        int            `db:"requests_per_minute"`
		TPM        int            `db:"tokens_per_minute"`
		Parallel   int            `db:"parallel_calls"`
		Cache      string         `db:"cache_mode"`
	}
	err := t.read(ctx, func(tx *tx) error {
		const query = `SELECT k.id, k.name, k.hint, k.allowed_models, k.expires_at, k.revoked_at, k.last_used_at, k.created_at,
				COALESCE(p.name, '') AS plan_name, ` + keyLimits + `
			FROM api_keys k
			LEFT JOIN subscriptions s ON s.ended_at IS NULL AND CASE WHEN k.subscription_id IS NULL
				THEN s.tenant_id = k.tenant_id AND s.scope = 'tenant' ELSE s.id = k.subscription_id END
			LEFT JOIN plan_versions v ON v.id = s.plan_version_id LEFT JOIN plans p ON p.id = v.plan_id
			WHERE k.tenant_id = $1
			ORDER BY k.revoked_at IS NOT NULL, COALESCE(k.expires_at <= $2, false), k.id DESC LIMIT $3`
		return tx.SelectContext(ctx, &rows, query, t.id, tx.now, maxShares)
	})
	if err != nil {
		return nil, fmt.Errorf("read keys of tenant %d: %w", t.id, err)
	}
	keys := make([]tenancy.Key, len(rows))
	for i, r := range rows {
		keys[i] = tenancy.Key{
			ID: r.ID, TenantID: t.id, Name: r.Name, Hint: r.Hint, PlanName: r.PlanName, AllowedModels: r.Models,
			ExpiresAt: r.ExpiresAt, RevokedAt: r.RevokedAt, LastUsedAt: r.LastUsedAt, CreatedAt: r.CreatedAt.UTC(),
			Rates: tenancy.Rates{RequestsPerMinute: r.RPM, TokensPerMinute: r.TPM, ParallelCalls: r.Parallel}, Cache: tenancy.CacheMode(r.Cache),
		}
	}
	return keys, nil
}

// Portal serves customers' pages: each method is the Tenant's of that name, for the tenant of the person signed in.
// It is a type of its own so that a page of the portal can't be given the Store, which sees everyone and the costs.
type Portal struct{ s *Store }

// Portal gives the customers' side of the store.
func (s *Store) Portal() Portal { return Portal{s} }

// Self is Tenant.Self.
func (p Portal) Self(ctx context.Context, tenantID int64) (tenancy.Tenant, error) {
	return p.s.ForTenant(tenantID).Self(ctx)
}

// OwnKeys is Tenant.Keys.
func (p Portal) OwnKeys(ctx context.Context, tenantID int64) ([]tenancy.Key, error) {
	return p.s.ForTenant(tenantID).Keys(ctx)
}

// UsageMinutes is Tenant.UsageMinutes.
func (p Portal) UsageMinutes(ctx context.Context, tenantID int64, span usage.Period) ([]usage.Point, error) {
	return p.s.ForTenant(tenantID).UsageMinutes(ctx, span)
}

// UsageHours is Tenant.UsageHours.
func (p Portal) UsageHours(ctx context.Context, tenantID int64, span usage.Period) ([]usage.Point, error) {
	return p.s.ForTenant(tenantID).UsageHours(ctx, span)
}

// UsageByModel is Tenant.UsageByModel.
func (p Portal) UsageByModel(ctx context.Context, tenantID int64, span usage.Period) ([]usage.Share, error) {
	return p.s.ForTenant(tenantID).UsageByModel(ctx, span)
}

// UsageByKey is Tenant.UsageByKey.
func (p Portal) UsageByKey(ctx context.Context, tenantID int64, span usage.Period) ([]usage.Share, error) {
	return p.s.ForTenant(tenantID).UsageByKey(ctx, span)
}

// Calls is Tenant.Calls.
func (p Portal) Calls(ctx context.Context, tenantID int64, before uuid.UUID, limit int) ([]usage.Call, error) {
	return p.s.ForTenant(tenantID).Calls(ctx, before, limit)
}

// Latency is Tenant.Latency.
func (p Portal) Latency(ctx context.Context, tenantID int64) (usage.Latency, error) {
	return p.s.ForTenant(tenantID).Latency(ctx)
}

// Allowances is Tenant.Allowances; limit is the most that it gives.
func (p Portal) Allowances(ctx context.Context, tenantID int64, limit int) ([]usage.Allowance, error) {
	return p.s.ForTenant(tenantID).Allowances(ctx, limit)
}
