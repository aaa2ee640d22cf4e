package gateway

import (
	"context"

	"github.com/fila-ia/filaia/internal/ratelimit"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// limitsOf gives the rates of a caller's plan.
func limitsOf(caller *tenancy.Caller) ratelimit.Limits {
	return ratelimit.Limits{
		Requests: caller.Terms.RequestsPerMinute, Tokens: caller.Terms.TokensPerMinute, Parallel: caller.Terms.ParallelCalls,
	}
}

// Standing tells how a caller stands without taking anything, for answers that make no call.
func (g *Gateway) Standing(ctx context.Context, caller *tenancy.Caller) Standing {
	return Standing{
		Rates:      g.Rates.Status(caller.SubscriptionID, limitsOf(caller)),
		QuotaLeft:  g.Quota.Count(ctx, caller.PeriodID).Remaining(),
		QuotaReset: caller.PeriodEndsAt,
	}
}
