package gateway

import (
	"context"

	"github.com/fila-ia/filaia/internal/ratelimit"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// claimOf asks for one call within the limits of the key, of the tenant and of the plan.
func claimOf(caller *tenancy.Caller, tokens int64) ratelimit.Claim {
	return ratelimit.Claim{Tenant: caller.TenantID, Tokens: tokens, Scopes: [3]ratelimit.Scope{
		{Kind: ratelimit.Key, ID: caller.KeyID, Limits: limits(caller.KeyRates)},
		{Kind: ratelimit.Tenant, ID: caller.TenantID, Limits: limits(caller.TenantRates)},
		{Kind: ratelimit.Plan, ID: caller.SubscriptionID, Limits: limits(caller.Terms.Rates())},
	}}
}

func limits(r tenancy.Rates) ratelimit.Limits {
	return ratelimit.Limits{Requests: r.RequestsPerMinute, Tokens: r.TokensPerMinute, Parallel: r.ParallelCalls}
}

// Standing tells how a caller stands without taking anything, for answers that make no call.
func (g *Gateway) Standing(ctx context.Context, caller *tenancy.Caller) Standing {
	return Standing{
		Rates:      g.Rates.Status(ctx, claimOf(caller, 0)),
		QuotaLeft:  g.Quota.Count(ctx, caller.PeriodID).Remaining(),
		QuotaReset: caller.PeriodEndsAt,
	}
}
