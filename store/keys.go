package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/fila-ia/filaia/internal/tenancy"
)

const keyMissing = "keys.error.not_found"

type keyRow struct {
	ID             int64          `db:"id"`
	TenantID       int64          `db:"tenant_id"`
	TenantName     string         `db:"tenant_name"`
	SubscriptionID int64          `db:"subscription_id"` // 0: the tenant's
	Name           string         `db:"name"`
	Hint           string         `db:"hint"`
	PlanID         int64          `db:"plan_id"`
	PlanName       string         `db:"plan_name"`
	AllowedModels  pq.StringArray `db:"allowed_models"`
	ExpiresAt      *time.Time     `db:"expires_at"`
	RevokedAt      *time.Time     `db:"revoked_at"`
	LastUsedAt     *time.Time     `db:"last_used_at"`
	RotatedTo      int64          `db:"rotated_to"`
	RPM            int            `db:"requests_per_minute"`
	TPM            int            `db:"tokens_per_minute"`
	Parallel       int            `db:"parallel_calls"`
	Cache          string         `db:"cache_mode"` // empty: as the plan says
	CreatedAt      time.Time      `db:"created_at"`
}

const keyColumns = `k.id, k.tenant_id, t.name AS tenant_name, coalesce(k.subscription_id, 0) AS subscription_id, k.name, k.hint,
	CASE WHEN k.subscription_id IS NULL THEN 0 ELSE v.plan_id END AS plan_id, coalesce(p.name, '') AS plan_name,
	k.allowed_models, k.expires_at, k.revoked_at, k.last_used_at, coalesce(heir.id, 0) AS rotated_to, k.created_at, ` + keyLimits

// keyLimits are the columns of a key's own limits and cache.
const keyLimits = `coalesce(k.requests_per_minute, 0) AS requests_per_minute, coalesce(k.tokens_per_minute, 0) AS tokens_per_minute,
	coalesce(k.parallel_calls, 0) AS parallel_calls, coalesce(k.cache_mode, '') AS cache_mode`

// The plan in force is the key's own, or else the tenant's; a closed tenant has none.
const keyFrom = `FROM api_keys k JOIN tenants t ON t.id = k.tenant_id
	LEFT JOIN api_keys heir ON heir.rotated_from = k.id
	LEFT JOIN subscriptions own ON own.id = k.subscription_id
	LEFT JOIN subscriptions shared ON shared.tenant_id = k.tenant_id AND shared.scope = 'tenant' AND shared.ended_at IS NULL
	LEFT JOIN plan_versions v ON v.id = coalesce(own.plan_version_id, shared.plan_version_id)
	LEFT JOIN plans p ON p.id = v.plan_id`

func (r keyRow) key() tenancy.Key {
	return tenancy.Key{
		ID: r.ID, TenantID: r.TenantID, TenantName: r.TenantName, Name: r.Name, Hint: r.Hint, PlanID: r.PlanID, PlanName: r.PlanName,
		AllowedModels: r.AllowedModels, ExpiresAt: r.ExpiresAt, RevokedAt: r.RevokedAt, LastUsedAt: r.LastUsedAt,
		RotatedTo: r.RotatedTo, CreatedAt: r.CreatedAt, Rates: r.rates(), Cache: tenancy.CacheMode(r.Cache),
	}
}

func (r keyRow) rates() tenancy.Rates {
	return tenancy.Rates{RequestsPerMinute: r.RPM, TokensPerMinute: r.TPM, ParallelCalls: r.Parallel}
}

// Key reads an API key. NotFound when there is none.
func (s *Store) Key(ctx context.Context, id int64) (tenancy.Key, error) {
	row, err := oneKey(ctx, s.db, id)
	return row.key(), err
}

func oneKey(ctx context.Context, db sqlx.QueryerContext, id int64) (row keyRow, err error) {
	if err := sqlx.GetContext(ctx, db, &row, `SELECT `+keyColumns+` `+keyFrom+` WHERE k.id = $1`, id); err != nil {
		return keyRow{}, fmt.Errorf("key %d: %w", id, known(err, keyMissing))
	}
	return row, nil
}

// ListKeys gives a page of keys of one tenant or of all; the search finds names, hints and tenants. Status: active,
// expired or revoked. Sort: created (the default, newest first), name, tenant, last_used, expires.
func (s *Store) ListKeys(ctx context.Context, q tenancy.ListQuery) (tenancy.Page[tenancy.Key], error) {
	list := listing{
		columns: keyColumns,
		from: keyFrom + ` WHERE ($1::bigint = 0 OR k.tenant_id = $1) AND ` + matches("$2::text", "k.name", "k.hint", "t.name") + `
			AND CASE $3::text WHEN 'revoked' THEN k.revoked_at IS NOT NULL
				WHEN 'expired' THEN k.revoked_at IS NULL AND k.expires_at <= $4
				WHEN 'active' THEN k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > $4)
				ELSE $4::timestamptz IS NOT NULL END`,
		sorts: map[string]string{
			"created":   "k.created_at",
			"name":      folded("k.name"),
			"tenant":    folded("t.name"),
			"last_used": "k.last_used_at",
			"expires":   "k.expires_at",
		},
		initial: "created",
		newest:  true,
		tie:     "k.id",
	}
	rows, total, err := selectPage[keyRow](ctx, s.db, list, q, q.TenantID, q.Search, q.Status, s.now().UTC())
	if err != nil {
		return tenancy.Page[tenancy.Key]{}, fmt.Errorf("list keys: %w", err)
	}
	page := tenancy.Page[tenancy.Key]{Items: make([]tenancy.Key, len(rows)), Total: total}
	for i, r := range rows {
		page.Items[i] = r.key()
	}
	return page, nil
}
