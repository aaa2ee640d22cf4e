// Package usage holds what was used: one Event a call, billing periods, totals and series.
package usage

import (
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/money"
)

// Status says how a call ended.
type Status uint8

// The ends of a call. Interrupted calls were opened and never closed: the process died.
const (
	OK Status = iota
	Failed
	Aborted
	Interrupted
)

// String is the word the database keeps.
func (s Status) String() string {
	return [...]string{"ok", "error", "aborted", "interrupted"}[s]
}

// Cache says what the response cache had to do with a call.
type Cache uint8

// A call bypasses the cache, misses it, is answered from it, or shares the answer of an identical call under way.
const (
	CacheBypass Cache = iota
	CacheMiss
	CacheHit
	CacheCoalesced
)

// String is the word of the database and of x-fila-cache.
func (c Cache) String() string { return [...]string{"bypass", "miss", "hit", "coalesced"}[c] }

// Saved tells whether the provider was not asked.
func (c Cache) Saved() bool { return c == CacheHit || c == CacheCoalesced }

// Tokens is what a provider reports. Cached are part of Input, Reasoning part of Output.
type Tokens struct {
	Input, Cached, Output, Reasoning int64
}

// MostTokens is far above what any call can use, and so far below an overflow that no sum of calls, or price of their tokens,
// reaches one. A call is settled and recorded with no more, whatever its provider reports: both must say the same.
const MostTokens = 1 << 30

// Event is one call that reached the provider. Tokens are what is billed.
type Event struct {
	ID          uuid.UUID // version 7, its time is CreatedAt to the millisecond
	CreatedAt   time.Time
	TenantID    int64
	KeyID       int64
	PeriodID    int64
	Model       string
	Endpoint    string // such as "chat.completions"
	Status      Status
	HTTPStatus  int
	Streamed    bool
	Held        bool   // its tokens were held on a lease; false under a plan that charges
	Estimated   bool   // tokens were counted by us because the provider's figure never came
	Tokens      Tokens // billed
	Served      Tokens // of the answer; differs from Tokens where the provider was not asked. Only input and output are kept
	Cache       Cache
	CostUSD     money.Micros // what the provider charges the operator
	SavedUSD    money.Micros // what it would have charged besides, had the cache not answered
	LatencyMS   int64
	FirstByteMS int64
	RequestID   string // ours, as in x-request-id
	ProviderID  string // the provider's own request id
	Provider    string // the provider's slug; empty: none was asked
	Object      string // the id of a response that the provider has stored; empty: none
}

// CallersFault tells whether the call failed through what its caller sent, which no service can help: the provider refused it as
// malformed, too large, or as asking for what does not exist. What 4xx say of the operator's credit, of rates and of time is not
// the caller's. (A provider's 401 and 403 are the operator's, too: callers are answered 503.) The database has the same as
// usage_callers_fault.
func (e *Event) CallersFault() bool {
	if e.Status != Failed || e.HTTPStatus < 400 || e.HTTPStatus > 499 {
		return false
	}
	switch e.HTTPStatus {
	case http.StatusPaymentRequired, http.StatusProxyAuthRequired, http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return true
}
