package tenancy

import (
	"time"

	"github.com/fila-ia/filaia/internal/money"
)

// Caller is all that the path of a call needs to know of a key: who pays, under which terms, in which period.
// It is read-only once made, so that calls share it.
type Caller struct {
	KeyID          int64
	TenantID       int64
	SubscriptionID int64
	PeriodID       int64
	PeriodEndsAt   time.Time
	TenantStatus   TenantStatus
	ExpiresAt      time.Time // zero: never
	Terms          Terms
	SpendCap       *money.Micros // BRL that the period may be charged above what the plan includes; nil: without an end
	KeyModels      []string      // further narrows Terms.AllowedModels; empty: no narrowing
	TenantRates    Rates         // of all the tenant's keys together
	KeyRates       Rates         // of this key alone
	Cache          CachePolicy
}

// Hard tells whether calls are refused at some number of tokens, so that theirs must be held: the included ones are a limit, or
// what is charged above them is.
func (c *Caller) Hard() bool { return c.Terms.Overage == Block || c.SpendCap != nil }

// Cached tells whether calls may be answered from the cache.
func (c *Caller) Cached() bool { return c.Cache.Mode == CacheExact || c.Cache.Mode == CacheSmart }

// TokenRates tells whether tokens a minute are limited by key, tenant or plan.
func (c *Caller) TokenRates() bool {
	return c.KeyRates.TokensPerMinute|c.TenantRates.TokensPerMinute|c.Terms.TokensPerMinute != 0
}

// Allows tells whether plan and key allow the model.
func (c *Caller) Allows(model string) bool {
	return allows(c.Terms.AllowedModels, model) && allows(c.KeyModels, model)
}

func allows(list []string, model string) bool {
	for _, m := range list {
		if m == model {
			return true
		}
	}
	return len(list) == 0
}
