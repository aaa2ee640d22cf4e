package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/lib/pq"

	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/tenancy"
)

type callerRow struct {
	KeyID             int64          `db:"key_id"`
	TenantID          int64          `db:"tenant_id"`
	SubscriptionID    int64          `db:"subscription_id"`
	Status            string         `db:"status"`
	ExpiresAt         sql.NullTime   `db:"expires_at"`
	KeyModels         pq.StringArray `db:"key_models"`
	PriceMicros       int64          `db:"price_micros"`
	InputTokens       int64          `db:"input_tokens"`
	OutputTokens      int64          `db:"output_tokens"`
	Overage           string         `db:"overage"`
	OveragePrice      int64          `db:"overage_price_micros"`
	RequestsPerMinute int            `db:"requests_per_minute"`
	TokensPerMinute   int            `db:"tokens_per_minute"`
	ParallelCalls     int            `db:"parallel_calls"`
	PlanModels        pq.StringArray `db:"plan_models"`
	PlanCache         string         `db:"plan_cache"`
	CacheMinutes      int            `db:"cache_minutes"`
	CacheBilled       int            `db:"cache_billed_percent"`
	KeyRPM            int            `db:"key_rpm"`
	KeyTPM            int            `db:"key_tpm"`
	KeyParallel       int            `db:"key_parallel"`
	KeyCache          string         `db:"key_cache"` // empty: as the plan says
	CachePurges       int64          `db:"cache_purges"`
	TenantRPM         int            `db:"tenant_rpm"`
	TenantTPM         int            `db:"tenant_tpm"`
	TenantParallel    int            `db:"tenant_parallel"`
	SpendCap          *money.Micros  `db:"spend_cap_micros"`
}

// CallerByHash finds who calls with a key of this SHA-256, with the terms and the period that hold now. A key that
// does not exist, is revoked or has no subscription gives fault.NotFound; expiry and the tenant's status are told
// in the caller.
func (s *Store) CallerByHash(ctx context.Context, hash [32]byte) (*tenancy.Caller, error) {
	var caller *tenancy.Caller
	err := s.inTx(ctx, func(t *tx) error {
		var r callerRow
		if err := t.GetContext(ctx, &r, callerQuery, hash[:], 0); err != nil {
			return known(err, "keys.error.not_found")
		}
		period, err := t.ensurePeriod(ctx, r.SubscriptionID)
		if err != nil {
			return err
		}
		// The period may just have brought a scheduled plan, or lie before one that a clock ahead of ours has opened: the terms
		// are those that it is sold at.
		if err := t.GetContext(ctx, &r, callerQuery, hash[:], period.ID); err != nil {
			return known(err, "keys.error.not_found")
		}
		caller = r.caller(period)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("find caller: %w", err)
	}
	return caller, nil
}

const callerQuery = `SELECT k.id AS key_id, k.tenant_id, s.id AS subscription_id, t.status, k.expires_at,
		k.allowed_models AS key_models, v.price_micros, v.input_tokens, v.output_tokens, v.overage, v.overage_price_micros,
		coalesce(v.requests_per_minute, 0) AS requests_per_minute, coalesce(v.tokens_per_minute, 0) AS tokens_per_minute,
		coalesce(v.parallel_calls, 0) AS parallel_calls, v.allowed_models AS plan_models,
		v.cache_mode AS plan_cache, v.cache_minutes, v.cache_billed_percent,
		coalesce(k.requests_per_minute, 0) AS key_rpm, coalesce(k.tokens_per_minute, 0) AS key_tpm,
		coalesce(k.parallel_calls, 0) AS key_parallel, coalesce(k.cache_mode, '') AS key_cache, t.cache_purges,
		coalesce(t.requests_per_minute, 0) AS tenant_rpm, coalesce(t.tokens_per_minute, 0) AS tenant_tpm,
		coalesce(t.parallel_calls, 0) AS tenant_parallel,
		(SELECT spend_cap_micros FROM quota_buckets WHERE period_id = $2) AS spend_cap_micros
	FROM api_keys k
	JOIN tenants t ON t.id = k.tenant_id
	JOIN subscriptions s ON s.ended_at IS NULL AND CASE WHEN k.subscription_id IS NULL
		THEN s.tenant_id = k.tenant_id AND s.scope = 'tenant' ELSE s.id = k.subscription_id END
	JOIN plan_versions v ON v.id = coalesce((SELECT plan_version_id FROM billing_periods WHERE id = $2), s.plan_version_id)
	WHERE k.hash = $1 AND k.revoked_at IS NULL`

func (r callerRow) caller(period periodRow) *tenancy.Caller {
	c := &tenancy.Caller{
		KeyID: r.KeyID, TenantID: r.TenantID, SubscriptionID: r.SubscriptionID,
		PeriodID: period.ID, PeriodEndsAt: period.EndsAt.UTC(),
		SpendCap: r.SpendCap, TenantStatus: tenancy.TenantStatus(r.Status), ExpiresAt: r.ExpiresAt.Time, KeyModels: r.KeyModels,
		Terms: tenancy.Terms{
			Price: money.Micros(r.PriceMicros), InputTokens: r.InputTokens, OutputTokens: r.OutputTokens,
			Overage: tenancy.Overage(r.Overage), OveragePrice: money.Micros(r.OveragePrice),
			RequestsPerMinute: r.RequestsPerMinute, TokensPerMinute: r.TokensPerMinute,
			ParallelCalls: r.ParallelCalls, AllowedModels: r.PlanModels,
			Cache: tenancy.CacheMode(r.PlanCache), CacheMinutes: r.CacheMinutes, CacheBilled: r.CacheBilled,
		},
		KeyRates:    tenancy.Rates{RequestsPerMinute: r.KeyRPM, TokensPerMinute: r.KeyTPM, ParallelCalls: r.KeyParallel},
		TenantRates: tenancy.Rates{RequestsPerMinute: r.TenantRPM, TokensPerMinute: r.TenantTPM, ParallelCalls: r.TenantParallel},
	}
	c.Cache = c.Terms.Policy()
	c.Cache.Purges = r.CachePurges
	if r.KeyCache != "" {
		c.Cache.Mode = tenancy.CacheMode(r.KeyCache)
	}
	return c
}
