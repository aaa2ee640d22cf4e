package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/usage"
)

// Allowances gives what the current period of each plan in force grants and what was used of it, the fullest first,
// at most limit, of one tenant or of all (0). A subscription that has not called yet in this period has used nothing.
func (s *Store) Allowances(ctx context.Context, tenantID int64, limit int) ([]usage.Allowance, error) {
	return s.usage(tenantID).allowances(ctx, limit)
}

// Allowances is Store.Allowances of the tenant's own.
func (t *Tenant) Allowances(ctx context.Context, limit int) ([]usage.Allowance, error) {
	return readOwn(ctx, t, func(r usageReader) ([]usage.Allowance, error) { return r.allowances(ctx, limit) })
}

// capColumns are whether a plan blocks, the cap on what it charges, and what it has charged. b may be missing.
const capColumns = `coalesce(b.hard AND b.spend_cap_micros IS NULL, v.overage = 'block') AS hard,
	CASE WHEN b.period_id IS NULL THEN ` + capInForce + ` ELSE b.spend_cap_micros END AS spend_cap_micros,
	coalesce(b.charge_brl_micros, 0) AS charge_brl_micros`

type allowanceRow struct {
	TenantID     int64         `db:"tenant_id"`
	TenantName   string        `db:"tenant_name"`
	TimeZone     string        `db:"time_zone"`
	AnchorDay    int           `db:"anchor_day"`
	KeyName      string        `db:"key_name"`
	PlanName     string        `db:"plan_name"`
	Price        money.Micros  `db:"price_micros"`
	OveragePrice money.Micros  `db:"overage_price_micros"`
	Hard         bool          `db:"hard"`
	SpendCap     *money.Micros `db:"spend_cap_micros"`
	Charged      money.Micros  `db:"charge_brl_micros"`
	StartsAt     *time.Time    `db:"starts_at"`
	EndsAt       *time.Time    `db:"ends_at"`
	LimitIn      int64         `db:"limit_in"`
	UsedIn       int64         `db:"used_in"`
	LeasedIn     int64         `db:"leased_in"`
	OverrunIn    int64         `db:"overrun_in"`
	LimitOut     int64         `db:"limit_out"`
	UsedOut      int64         `db:"used_out"`
	LeasedOut    int64         `db:"leased_out"`
	OverrunOut   int64         `db:"overrun_out"`
}

func (r usageReader) allowances(ctx context.Context, limit int) ([]usage.Allowance, error) {
	const query = `
		SELECT s.tenant_id, t.name AS tenant_name, t.time_zone, s.anchor_day, COALESCE(k.name, '') AS key_name,
			pl.name AS plan_name, v.price_micros, v.overage_price_micros, ` + capColumns + `,
			p.starts_at, p.ends_at,
			COALESCE(b.limit_in, v.input_tokens) AS limit_in, COALESCE(b.used_in, 0) AS used_in,
			COALESCE(b.leased_in, 0) AS leased_in, COALESCE(b.overrun_in, 0) AS overrun_in,
			COALESCE(b.limit_out, v.output_tokens) AS limit_out, COALESCE(b.used_out, 0) AS used_out,
			COALESCE(b.leased_out, 0) AS leased_out, COALESCE(b.overrun_out, 0) AS overrun_out
		FROM subscriptions s
		JOIN tenants t ON t.id = s.tenant_id AND t.status <> 'closed'
		LEFT JOIN LATERAL (SELECT id, plan_version_id, starts_at, ends_at FROM billing_periods
			WHERE subscription_id = s.id AND starts_at <= $2 AND ends_at > $2 ORDER BY starts_at DESC LIMIT 1) p ON true
		LEFT JOIN quota_buckets b ON b.period_id = p.id
		JOIN plan_versions v ON v.id = COALESCE(p.plan_version_id, s.next_plan_version_id, s.plan_version_id)
		JOIN plans pl ON pl.id = v.plan_id
		LEFT JOIN LATERAL (SELECT name FROM api_keys WHERE subscription_id = s.id AND tenant_id = s.tenant_id
			ORDER BY revoked_at IS NOT NULL, id DESC LIMIT 1) k ON s.scope = 'key'
		WHERE ($1::bigint = 0 OR s.tenant_id = $1) AND (s.ended_at IS NULL OR s.ended_at > $2)
		ORDER BY GREATEST(COALESCE(b.used_in, 0)::float8 / GREATEST(b.limit_in, 1),
			COALESCE(b.used_out, 0)::float8 / GREATEST(b.limit_out, 1)) DESC NULLS LAST, t.name, s.id
		LIMIT $3`
	var rows []allowanceRow
	if err := sqlx.SelectContext(ctx, r.q, &rows, query, r.tenantID, r.now, limit); err != nil {
		return nil, fmt.Errorf("read allowances of tenant %d: %w", r.tenantID, err)
	}
	list := make([]usage.Allowance, len(rows))
	for i, row := range rows {
		period, err := row.period(r.now)
		if err != nil {
			return nil, err
		}
		list[i] = row.allowance(period)
	}
	return list, nil
}

// period is the one that the database holds, or the calendar's where nothing was called in it yet.
func (r allowanceRow) period(now time.Time) (usage.Period, error) {
	if r.StartsAt != nil && r.EndsAt != nil {
		return usage.Period{Start: r.StartsAt.UTC(), End: r.EndsAt.UTC()}, nil
	}
	zone, err := time.LoadLocation(r.TimeZone)
	if err != nil {
		return usage.Period{}, fmt.Errorf("time zone of tenant %d: %w", r.TenantID, err)
	}
	return usage.PeriodAt(now, r.AnchorDay, zone), nil
}

func (r allowanceRow) allowance(period usage.Period) usage.Allowance {
	return usage.Allowance{
		TenantID: r.TenantID, TenantName: r.TenantName, KeyName: r.KeyName, PlanName: r.PlanName, Hard: r.Hard,
		Price: r.Price, OveragePrice: r.OveragePrice, SpendCap: r.SpendCap, Charged: r.Charged, Period: period,
		Input:  usage.Meter{Used: r.UsedIn, Limit: r.LimitIn, Leased: r.LeasedIn, Overrun: r.OverrunIn},
		Output: usage.Meter{Used: r.UsedOut, Limit: r.LimitOut, Leased: r.LeasedOut, Overrun: r.OverrunOut},
	}
}
