package tenancy

import (
	"time"

	"github.com/google/uuid"
)

// LimitSpendCap is the limit of a refusal because of the customer's cap on what is charged.
const LimitSpendCap = "spend_cap"

// Refusal is why one call was refused: which limit stood in the way, its value, what was asked, when it resets.
type Refusal struct {
	ID         uuid.UUID // of the request
	At         time.Time
	TenantID   int64
	TenantName string // where it was read from the database for the team
	KeyID      int64
	KeyName    string // where it was read from the database
	Endpoint   string
	Model      string
	HTTPStatus int
	Reason     string // the gateway's: rate_limited, quota_exhausted, provider_away, …
	Scope      string // key, tenant or plan, where a limit stood in the way
	Limit      string // requests_per_minute, tokens_per_minute, parallel_calls, input_tokens, output_tokens, spend_cap
	LimitValue int64  // of spend_cap, and what was asked and remained of it: BRL micros
	Asked      int64
	Remaining  int64
	ResetsAt   time.Time // zero: it does not by itself
}
