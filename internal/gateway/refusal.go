package gateway

import (
	"fmt"
	"time"

	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/quota"
	"github.com/fila-ia/filaia/internal/ratelimit"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// Reason says why a call was refused before it reached the provider.
type Reason string

// The reasons. Each protocol has its own words for them.
const (
	NoKey           Reason = "no_key"
	UnknownKey      Reason = "unknown_key" // or revoked
	ExpiredKey      Reason = "expired_key"
	TenantInactive  Reason = "tenant_inactive"
	UnknownModel    Reason = "unknown_model"    // or not in the plan
	UnknownResponse Reason = "unknown_response" // or another tenant's
	KeptElsewhere   Reason = "kept_elsewhere"   // the response to continue, by a provider that does not serve the model
	RateLimited     Reason = "rate_limited"
	QuotaExhausted  Reason = "quota_exhausted"
	QuotaBusy       Reason = "quota_busy" // calls in flight hold what is missing
	NotRecordable   Reason = "not_recordable"
	DatabaseAway    Reason = "database_away"
	ProviderAway    Reason = "provider_away"
	ProviderTimeout Reason = "provider_timeout"
	ProviderBusy    Reason = "provider_busy" // its waiting line is full
)

// Refusal is a call that was not answered. Cause is for the log only.
type Refusal struct {
	Reason  Reason
	Subject string             // the model, or the tenant's state
	Rate    *ratelimit.Refused // with RateLimited
	Quota   *quota.Exhausted   // with QuotaExhausted and QuotaBusy
	Resets  time.Time          // with QuotaExhausted: when the period ends
	Cap     *SpendCap          // with QuotaExhausted and QuotaBusy, where the included tokens are used up and the cap is the limit
	// RetryAfter is when trying again makes sense, with ProviderAway and ProviderBusy; 0: not known.
	RetryAfter time.Duration
	Cause      error
	// Caller is whose key does not work any more, with ExpiredKey and TenantInactive.
	Caller *tenancy.Caller
}

// SpendCap is a cap that leaves too little for a call.
type SpendCap struct {
	Amount, Left, Asked money.Micros // BRL: of the period, not charged yet of it, that the call could be charged at most
}

// Error describes the refusal for the log.
func (r *Refusal) Error() string {
	if r.Cause != nil {
		return fmt.Sprintf("%s: %v", r.Reason, r.Cause)
	}
	return string(r.Reason)
}

// Unwrap gives the cause.
func (r *Refusal) Unwrap() error { return r.Cause }
