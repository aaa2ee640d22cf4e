// Package ratelimit enforces requests per minute, tokens per minute and parallel calls, for a key, a tenant and a plan at
// once: in process, or in a Redis that all replicas share.
//
// Rates follow the generic cell rate algorithm (ITU-T I.371), written as a debt: what was taken and has not grown back
// yet. An allowance holds one minute's worth and grows back evenly.
package ratelimit

import (
	"math"
	"time"
)

// Unlimited is what a limit that is not set is told as: clients read these headers as plain integers.
const Unlimited = math.MaxInt32

// Limits of one scope; zero means no limit.
type Limits struct {
	Requests int // per minute
	Tokens   int // per minute
	Parallel int // calls at once
}

// ScopeKind says whose limits they are.
type ScopeKind uint8

// The scopes of a call.
const (
	Key ScopeKind = iota + 1
	Tenant
	Plan
)

// String is the scope's name: key, tenant or plan.
func (k ScopeKind) String() string {
	switch k {
	case Key:
		return "key"
	case Tenant:
		return "tenant"
	case Plan:
		return "plan"
	default:
		return "probe"
	}
}

// Scope is who a limit belongs to.
type Scope struct {
	Kind   ScopeKind
	ID     int64 // a plan's limits are kept per subscription
	Limits Limits
}

// Claim is one call that wants to be admitted. All its scopes belong to its tenant, and no two are the same. Those
// without limits do not count: they may be left out.
type Claim struct {
	Tenant int64
	Scopes [3]Scope
	Tokens int64 // as many as are expected
}

// limited tells whether anything limits the call.
func (c *Claim) limited() bool {
	for i := range c.Scopes {
		if c.Scopes[i].Limits != (Limits{}) {
			return true
		}
	}
	return false
}

// Kind names a limit.
type Kind string

// The limits that can refuse a call.
const (
	Requests Kind = "requests"
	Tokens   Kind = "tokens"
	Parallel Kind = "parallel"
)

// Refused says which limit stood in the way and when trying again makes sense. Where several did, it is the one that
// will do so longest.
type Refused struct {
	Kind       Kind
	Scope      ScopeKind
	Limit      int
	Asked      int64 // tokens; 1 for the others
	RetryAfter time.Duration
}

// Error names the limit and whose it is.
func (r *Refused) Error() string {
	return "rate limit: " + string(r.Kind) + " of the " + r.Scope.String()
}

// Status is how a caller stands: what the x-ratelimit headers tell. Requests and tokens are each of the scope that has
// the least left of them.
type Status struct {
	RequestLimit, RequestsLeft, TokenLimit, TokensLeft int
	RequestReset, TokenReset                           time.Duration // until the allowance is whole again
}

// unlimited is how a caller without limits stands.
var unlimited = Status{Unlimited, Unlimited, Unlimited, Unlimited, 0, 0}

// Mode says where the limits are counted.
type Mode string

// The modes. In Fallback each replica counts on its own, because Redis is away.
const (
	Memory   Mode = "memory"
	Redis    Mode = "redis"
	Fallback Mode = "fallback"
)

// Health is how the limiter works, for metrics and people.
type Health struct {
	Mode       Mode
	Since      time.Time
	Failures   int64 // questions that Redis failed to answer
	RoundTrips int64 // questions to Redis that callers waited for
}
