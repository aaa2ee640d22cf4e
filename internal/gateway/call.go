package gateway

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/quota"
	"github.com/fila-ia/filaia/internal/ratelimit"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
)

// Request is what the policy needs to know of a call.
type Request struct {
	Endpoint string // such as "chat.completions"
	Model    string
	Stream   bool
	// InputBound is an upper bound of the input tokens; ExactInput counts them, slowly.
	InputBound int64
	ExactInput func() int64
	MaxOutput  int64 // per choice; 0 where the caller set no limit
	Choices    int64 // at least 1
}

// Call is an admitted call: its tokens are held and it is in the ledger. Exactly one Finish ends it.
type Call struct {
	g      *Gateway
	event  usage.Event
	model  *tenancy.Model
	hold   quota.Hold
	ticket ratelimit.Ticket
	start  time.Time

	finished bool

	// MaxOutput, where not 0, is the output per choice that the provider must be limited to.
	MaxOutput int64
	// Standing is how the caller's rates and quota stand, for the answer's headers.
	Standing Standing
}

// Standing is what the headers of an answer tell.
type Standing struct {
	Rates      ratelimit.Status
	QuotaLeft  quota.Pair
	QuotaReset time.Time
}

// ID names calls: a UUIDv7, in the form of OpenAI's request ids.
type ID struct{ uuid.UUID }

// NewID draws an id.
func NewID() ID { return ID{uuid.Must(uuid.NewV7())} }

// String is the id as x-request-id tells it.
func (id ID) String() string {
	b := make([]byte, 4, 36)
	copy(b, "req_")
	return string(hex.AppendEncode(b, id.UUID[:]))
}

// bytesPerToken turns the bound into the estimate that rates reserve; they are corrected after the call.
const bytesPerToken = 4

// Admit checks model, rates and quota, holds the tokens and opens the call in the ledger. Rates are returned also
// with a refusal. After a refusal nothing is held.
func (g *Gateway) Admit(ctx context.Context, id ID, caller *tenancy.Caller, r Request) (*Call, Standing, error) {
	standing := Standing{QuotaReset: caller.PeriodEndsAt}
	model, err := g.Models.Find(caller, r.Model)
	if err != nil {
		return nil, standing, err
	}
	ticket, rates, err := g.Rates.Acquire(caller.SubscriptionID, limitsOf(caller), r.InputBound/bytesPerToken+r.MaxOutput*r.Choices)
	standing.Rates = rates
	if err != nil {
		refusal := &Refusal{Reason: RateLimited}
		errors.As(err, &refusal.Rate)
		return nil, standing, refusal
	}
	hold, maxOutput, err := g.hold(ctx, caller, model, r)
	if err != nil {
		ticket.Done(0)
		return nil, standing, err
	}
	standing.QuotaLeft = hold.Remaining()
	sec, nsec := id.Time().UnixTime()
	c := &Call{
		g: g, model: model, hold: hold, ticket: ticket, start: g.Now(), MaxOutput: maxOutput, Standing: standing,
		event: usage.Event{
			ID: id.UUID, CreatedAt: time.Unix(sec, nsec).UTC(), TenantID: caller.TenantID, KeyID: caller.KeyID,
			PeriodID: caller.PeriodID, Model: model.Name, Endpoint: r.Endpoint, Streamed: r.Stream, Held: caller.Hard(), RequestID: id.String(),
		},
	}
	if err := g.Ledger.Begin(&c.event); err != nil {
		c.release()
		return nil, standing, &Refusal{Reason: NotRecordable, Cause: err}
	}
	g.inFlight.Add(1)
	return c, standing, nil
}

// hold reserves the call's tokens. maxOutput is what each choice must be cut at where the model alone would not stop
// before the hold is spent.
func (g *Gateway) hold(ctx context.Context, caller *tenancy.Caller, model *tenancy.Model, r Request) (h quota.Hold, maxOutput int64, err error) {
	if !caller.Hard() {
		return g.Quota.Count(ctx, caller.PeriodID), 0, nil
	}
	want := quota.Want{In: r.InputBound, ExactIn: r.ExactInput, Out: r.MaxOutput * r.Choices}
	if r.MaxOutput == 0 {
		want.Out, want.Elastic = model.MaxOutputTokens*r.Choices, true
	}
	h, err = g.Quota.Reserve(ctx, caller.PeriodID, want)
	if err == nil && want.Elastic && h.Held.Out < r.Choices {
		h.Settle(quota.Pair{})
		err = &quota.Exhausted{Asked: quota.Pair{In: want.In, Out: r.Choices}, Remaining: h.Remaining()}
	}
	if err == nil {
		if want.Elastic && h.Held.Out < want.Out {
			maxOutput = h.Held.Out / r.Choices
		}
		return h, maxOutput, nil
	}
	refusal := &Refusal{Reason: DatabaseAway, Resets: caller.PeriodEndsAt, Cause: err}
	if errors.As(err, &refusal.Quota) {
		refusal.Reason, refusal.Cause = QuotaExhausted, nil
		if refusal.Quota.Busy {
			refusal.Reason = QuotaBusy
		}
	}
	return quota.Hold{}, 0, refusal
}

// Outcome is how a call ended.
type Outcome struct {
	Status     usage.Status
	HTTPStatus int
	Tokens     usage.Tokens
	Estimated  bool
	ProviderID string
	FirstByte  time.Duration // 0: with the rest
}

// maxTokens is more than any call can use: what a broken provider reports must not break the sums.
const maxTokens = 1 << 40

// Finish records the call and settles its hold. Only after it returned nil may the last byte be sent. After the first
// time it does nothing.
func (c *Call) Finish(o Outcome) error {
	if c.finished {
		return nil
	}
	c.finished = true
	defer c.g.inFlight.Done()
	e := &c.event
	t := o.Tokens
	// Providers that break the rule that cached and reasoning tokens are subsets must not break the ledger.
	t.Input, t.Output = min(max(t.Input, 0), maxTokens), min(max(t.Output, 0), maxTokens)
	t.Cached, t.Reasoning = min(max(t.Cached, 0), t.Input), min(max(t.Reasoning, 0), t.Output)
	e.Status, e.HTTPStatus, e.Tokens, e.Estimated, e.ProviderID = o.Status, o.HTTPStatus, t, o.Estimated, o.ProviderID
	e.CostUSD = c.model.Cost(t.Input, t.Cached, t.Output)
	elapsed := c.g.Now().Sub(c.start)
	e.LatencyMS, e.FirstByteMS = elapsed.Milliseconds(), elapsed.Milliseconds()
	if o.FirstByte > 0 {
		e.FirstByteMS = o.FirstByte.Milliseconds()
	}
	err := c.g.Ledger.Finish(e)
	// Settled even when the record failed: the provider has counted the tokens whether or not we could.
	c.hold.Settle(quota.Pair{In: t.Input, Out: t.Output})
	c.ticket.Done(t.Input + t.Output)
	if err != nil {
		c.g.late.add(*e)
		return fmt.Errorf("record call %s: %w", e.RequestID, err)
	}
	return nil
}

// release ends a call that was never opened.
func (c *Call) release() {
	c.hold.Settle(quota.Pair{})
	c.ticket.Done(0)
}

// QuotaLeft is what is left of the period's included tokens now.
func (c *Call) QuotaLeft() quota.Pair { return c.hold.Remaining() }

// Elapsed is the time since the call was admitted.
func (c *Call) Elapsed() time.Duration { return c.g.Now().Sub(c.start) }

// Event is the call's record, for the log line. It must not be changed.
func (c *Call) Event() *usage.Event { return &c.event }
