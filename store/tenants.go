package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/tenancy"
)

const tenantMissing = "tenants.error.not_found"

// tenantRow is a tenant with its own plan's allowance; a closed one has none that counts.
type tenantRow struct {
	allowanceRow
	Email           string     `db:"email"`
	TaxID           string     `db:"tax_id"`
	BillingDay      int        `db:"billing_day"`
	RPM             int        `db:"requests_per_minute"`
	TPM             int        `db:"tokens_per_minute"`
	Parallel        int        `db:"parallel_calls"`
	Status          string     `db:"status"`
	Language        string     `db:"language"`
	CreatedAt       time.Time  `db:"created_at"`
	SubscriptionID  int64      `db:"subscription_id"`
	PlanID          int64      `db:"plan_id"`
	PlanVersion     int        `db:"plan_version"`
	NewestVersion   int        `db:"newest_version"`
	NextPlanName    string     `db:"next_plan_name"`
	NextPlanVersion int        `db:"next_plan_version"`
	Keys            int        `db:"keys"`
	LastCallAt      *time.Time `db:"last_call_at"`
}

const tenantColumns = `t.id AS tenant_id, t.name AS tenant_name, t.email, t.tax_id, t.time_zone, t.language, t.billing_day, t.status, t.created_at,
	coalesce(t.requests_per_minute, 0) AS requests_per_minute, coalesce(t.tokens_per_minute, 0) AS tokens_per_minute,
	coalesce(t.parallel_calls, 0) AS parallel_calls,
	s.id AS subscription_id, s.anchor_day, p.id AS plan_id, p.name AS plan_name, v.number AS plan_version,
	(SELECT max(n.number) FROM plan_versions n WHERE n.plan_id = p.id AND n.published_at IS NOT NULL) AS newest_version,
	coalesce(np.name, '') AS next_plan_name, coalesce(nv.number, 0) AS next_plan_version,
	coalesce(k.keys, 0) AS keys, k.last_call_at, v.price_micros, v.overage_price_micros,
	` + capColumns + `, bp.starts_at, bp.ends_at,
	coalesce(b.limit_in, v.input_tokens) AS limit_in, coalesce(b.used_in, 0) AS used_in,
	coalesce(b.leased_in, 0) AS leased_in, coalesce(b.overrun_in, 0) AS overrun_in,
	coalesce(b.limit_out, v.output_tokens) AS limit_out, coalesce(b.used_out, 0) AS used_out,
	coalesce(b.leased_out, 0) AS leased_out, coalesce(b.overrun_out, 0) AS overrun_out`

// A closed tenant keeps the plan it had last. $1 is the time.
const tenantFrom = `FROM tenants t
	JOIN (SELECT DISTINCT ON (tenant_id) id, tenant_id, anchor_day, plan_version_id, next_plan_version_id, spend_cap_micros
		FROM subscriptions WHERE scope = 'tenant' ORDER BY tenant_id, id DESC) s ON s.tenant_id = t.id
	LEFT JOIN billing_periods bp ON bp.subscription_id = s.id AND bp.starts_at <= $1 AND bp.ends_at > $1
	LEFT JOIN quota_buckets b ON b.period_id = bp.id
	JOIN plan_versions v ON v.id = s.plan_version_id
	JOIN plans p ON p.id = v.plan_id
	LEFT JOIN plan_versions nv ON nv.id = s.next_plan_version_id
	LEFT JOIN plans np ON np.id = nv.plan_id
	LEFT JOIN (SELECT tenant_id, max(last_used_at) AS last_call_at,
			count(*) FILTER (WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $1)) AS keys
		FROM api_keys GROUP BY tenant_id) k ON k.tenant_id = t.id`

func (r tenantRow) tenant(now time.Time) (tenancy.Tenant, error) {
	t := tenancy.Tenant{
		ID: r.TenantID, Name: r.TenantName, Email: r.Email, TaxID: r.TaxID, TimeZone: r.TimeZone, Language: i18n.Lang(r.Language), BillingDay: r.BillingDay,
		Status: tenancy.TenantStatus(r.Status), CreatedAt: r.CreatedAt, SubscriptionID: r.SubscriptionID,
		PlanID: r.PlanID, PlanName: r.PlanName, PlanVersion: r.PlanVersion, NewestVersion: r.NewestVersion,
		NextPlanName: r.NextPlanName, NextPlanVersion: r.NextPlanVersion, Keys: r.Keys, LastCallAt: r.LastCallAt,
		Rates: tenancy.Rates{RequestsPerMinute: r.RPM, TokensPerMinute: r.TPM, ParallelCalls: r.Parallel},
	}
	if t.Status == tenancy.TenantClosed {
		return t, nil
	}
	period, err := r.period(now)
	if err != nil {
		return t, err
	}
	t.Allowance = r.allowance(period)
	return t, nil
}

// Tenant reads a tenant with its plan and what it used of it. NotFound when there is none.
func (s *Store) Tenant(ctx context.Context, id int64) (tenancy.Tenant, error) {
	return oneTenant(ctx, s.db, s.now().UTC(), id)
}

func oneTenant(ctx context.Context, db sqlx.QueryerContext, now time.Time, id int64) (tenancy.Tenant, error) {
	var row tenantRow
	if err := sqlx.GetContext(ctx, db, &row, `SELECT `+tenantColumns+` `+tenantFrom+` WHERE t.id = $2`, now, id); err != nil {
		return tenancy.Tenant{}, fmt.Errorf("tenant %d: %w", id, known(err, tenantMissing))
	}
	return row.tenant(now)
}

// ListTenants gives a page of tenants; the search finds names, e-mail addresses and tax ids with or without their
// punctuation. Status: active, suspended, closed, or open for all but the closed. Sort: name (the default), created,
// last_call, use.
func (s *Store) ListTenants(ctx context.Context, q tenancy.ListQuery) (tenancy.Page[tenancy.Tenant], error) {
	list := listing{
		columns: tenantColumns,
		from: tenantFrom + ` WHERE (` + matches("$2::text", "t.name", "t.email", "t.tax_id") + `
			OR regexp_replace($2, '[./ -]', '', 'g') <> '' AND strpos(t.tax_id, upper(regexp_replace($2, '[./ -]', '', 'g'))) > 0)
			AND CASE WHEN $3::text IN ('active', 'suspended', 'closed') THEN t.status = $3
				WHEN $3 = 'open' THEN t.status <> 'closed' ELSE true END
			AND ($4::bigint = 0 OR p.id = $4)`,
		sorts: map[string]string{
			"name":      folded("t.name"),
			"created":   "t.created_at",
			"last_call": "k.last_call_at",
			"use": `greatest(coalesce(b.used_in, 0)::float8 / greatest(b.limit_in, 1),
				coalesce(b.used_out, 0)::float8 / greatest(b.limit_out, 1))`,
		},
		initial: "name",
		tie:     "t.id",
	}
	now := s.now().UTC()
	rows, total, err := selectPage[tenantRow](ctx, s.db, list, q, now, q.Search, q.Status, q.PlanID)
	if err != nil {
		return tenancy.Page[tenancy.Tenant]{}, fmt.Errorf("list tenants: %w", err)
	}
	page := tenancy.Page[tenancy.Tenant]{Items: make([]tenancy.Tenant, len(rows)), Total: total}
	for i, r := range rows {
		if page.Items[i], err = r.tenant(now); err != nil {
			return tenancy.Page[tenancy.Tenant]{}, fmt.Errorf("list tenants: %w", err)
		}
	}
	return page, nil
}
