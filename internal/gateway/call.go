package gateway

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/money"
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
	// InputBound gives an upper bound of the input tokens; ExactInput counts them, slowly. An answer of the cache needs
	// neither.
	InputBound func() int64
	ExactInput func() int64
	MaxOutput  int64 // per choice; 0 where the caller set no limit
	Choices    int64 // at least 1
	// LeastOutput is the smallest limit of a choice that the provider accepts; 0: any.
	LeastOutput int64
	// OutputBound is the most that a choice can take where neither caller nor model set the limit; negative: there is no output.
	OutputBound int64
	// ByRequest: a model without a price for its tokens takes none.
	ByRequest bool
	// Question asks the cache; nil: the call bypasses it.
	Question *Question
	// Previous finds the response that the call continues, whose tokens InputBound has from then on; nil: there is none.
	Previous func(ctx context.Context) (StoredResponse, error)
}

// Call is an admitted call: its tokens are held and it is in the ledger. Exactly one Finish ends it.
type Call struct {
	g      *Gateway
	event  usage.Event
	offer  *offer
	route  *route // of the last attempt; nil: no provider was asked
	hold   quota.Hold
	ticket ratelimit.Ticket
	policy tenancy.CachePolicy
	start  time.Time
	keeper string // the provider that keeps what is continued; empty: any will do

	begun    bool // the ledger knows of it
	finished bool
	fromElsewhere

	// MaxOutput, where not 0, is the output per choice that the provider must be limited to.
	MaxOutput int64
}

// Standing is what the headers of an answer tell.
type Standing struct {
	Rates      ratelimit.Status
	QuotaLeft  quota.Pair
	QuotaReset time.Time
}

// ID names calls: a UUIDv7, in the form of OpenAI's request ids.
type ID struct {
	uuid.UUID
	text string // made once: it goes into headers, books and log
}

// NewID draws an id.
func NewID() ID {
	id := ID{UUID: uuid.Must(uuid.NewV7())}
	var b [4 + 2*len(id.UUID)]byte
	id.text = string(hex.AppendEncode(append(b[:0], "req_"...), id.UUID[:]))
	return id
}

// String is the id as x-request-id tells it.
func (id ID) String() string { return id.text }

// bytesPerToken turns the bound into the estimate that rates reserve; they are corrected after the call.
const bytesPerToken = 4

// Admit checks model, rates and quota, holds the tokens and opens the call in the ledger. Rates are returned also
// with a refusal. After a refusal nothing is held.
func (g *Gateway) Admit(ctx context.Context, id ID, caller *tenancy.Caller, r Request) (*Call, Standing, error) {
	standing := Standing{QuotaReset: caller.PeriodEndsAt}
	offer, err := g.Models.find(caller, r.Model)
	if err != nil {
		return nil, standing, err
	}
	ticket, rates, err := g.Rates.Acquire(ctx, claimOf(caller, r.expected(caller)))
	standing.Rates = rates
	if err != nil {
		return nil, standing, rateRefusal(err)
	}
	c := g.newCall(id, caller, offer, r)
	c.ticket = ticket
	admitted := false
	defer func() {
		if !admitted { // refused, or a panic
			c.giveBack()
		}
	}()
	if err := c.enter(ctx, caller, r); err != nil {
		return nil, standing, err
	}
	admitted = true
	standing.QuotaLeft = c.hold.Remaining()
	g.inFlight.Add(1)
	return c, standing, nil
}

// giveBack ends a call that is not admitted: nothing of it stays held. Only a panic comes after the call was begun, which
// is then recorded as failed.
func (c *Call) giveBack() {
	if c.begun {
		c.g.inFlight.Add(1)
		_ = c.Finish(Outcome{Status: usage.Failed, HTTPStatus: http.StatusInternalServerError}) // recorded late where it fails
		return
	}
	c.hold.Settle(quota.Pair{})
	c.ticket.Done(0)
}

// enter finds out who answers the call, and holds what that takes.
func (c *Call) enter(ctx context.Context, caller *tenancy.Caller, r Request) error {
	if r.Previous != nil {
		if err := c.continues(ctx, r.Previous); err != nil {
			return err
		}
	}
	if entry := c.look(ctx); entry != nil {
		return c.fromCache(ctx, caller, entry)
	}
	return c.open(ctx, caller, r)
}

// continues binds the call to the provider that keeps what it continues. It is looked for within the rates: whoever
// makes ids up must not keep the database busy.
func (c *Call) continues(ctx context.Context, find func(context.Context) (StoredResponse, error)) error {
	previous, err := find(ctx)
	if err != nil {
		return err
	}
	c.keeper = previous.Provider
	if !slices.ContainsFunc(c.offer.routes, func(r route) bool { return r.house.Provider.Slug == c.keeper }) {
		return &Refusal{Reason: KeptElsewhere, Subject: previous.ID}
	}
	return nil
}

// expected is how many tokens the rates reserve; where none limits tokens, nobody needs to know.
func (r *Request) expected(caller *tenancy.Caller) int64 {
	if caller.TokenRates() {
		return r.InputBound()/bytesPerToken + r.MaxOutput*r.Choices
	}
	return 0
}

func rateRefusal(err error) error {
	refusal := &Refusal{Reason: RateLimited}
	errors.As(err, &refusal.Rate)
	return refusal
}

func (g *Gateway) newCall(id ID, caller *tenancy.Caller, offer *offer, r Request) *Call {
	sec, nsec := id.Time().UnixTime()
	return &Call{
		g: g, offer: offer, policy: caller.Cache, start: g.Now(), fromElsewhere: fromElsewhere{question: r.Question},
		event: usage.Event{
			ID: id.UUID, CreatedAt: time.Unix(sec, nsec).UTC(), TenantID: caller.TenantID, KeyID: caller.KeyID,
			PeriodID: caller.PeriodID, Model: offer.Name, Endpoint: r.Endpoint, Streamed: r.Stream, Held: caller.Hard(), RequestID: id.String(),
		},
	}
}

// open holds the tokens of a call that a provider will answer, and writes it to the ledger.
func (c *Call) open(ctx context.Context, caller *tenancy.Caller, r Request) (err error) {
	if c.hold, c.MaxOutput, err = c.g.hold(ctx, caller, &c.offer.Model, r); err != nil {
		return err
	}
	if err := c.g.Ledger.Begin(&c.event); err != nil {
		return &Refusal{Reason: NotRecordable, Cause: err}
	}
	c.begun = true
	c.join()
	return nil
}

// hold reserves the call's tokens. maxOutput is what each choice must be cut at where the model alone would not stop
// before the hold is spent.
func (g *Gateway) hold(ctx context.Context, caller *tenancy.Caller, model *tenancy.Model, r Request) (h quota.Hold, maxOutput int64, err error) {
	if !caller.Hard() {
		return g.Quota.Count(ctx, caller.PeriodID), 0, nil
	}
	want := quota.Want{In: r.InputBound(), ExactIn: r.ExactInput, Out: r.MaxOutput * r.Choices}
	switch {
	case r.ByRequest && model.Price.Input == 0 && model.Price.Output == 0:
		want = quota.Want{}
	case r.OutputBound < 0:
		want.Out = 0
	case r.OutputBound > 0:
		want.Out = r.OutputBound * r.Choices
	case r.MaxOutput == 0:
		want.Out, want.Elastic = model.MaxOutputTokens*r.Choices, true
	}
	h, err = g.Quota.Reserve(ctx, caller.PeriodID, want)
	if least := max(r.LeastOutput, 1) * r.Choices; err == nil && want.Elastic && h.Held.Out < least {
		h.Settle(quota.Pair{})
		err = h.Refused(quota.Pair{In: want.In, Out: least})
	}
	if err == nil {
		if want.Elastic && h.Held.Out < want.Out {
			maxOutput = h.Held.Out / r.Choices
		}
		return h, maxOutput, nil
	}
	return quota.Hold{}, 0, quotaRefusal(err, caller)
}

// quotaRefusal tells a quota that is used up from one that cannot be asked for.
func quotaRefusal(err error, caller *tenancy.Caller) error {
	refusal := &Refusal{Reason: DatabaseAway, Resets: caller.PeriodEndsAt, Cause: err}
	if errors.As(err, &refusal.Quota) {
		refusal.Reason, refusal.Cause = QuotaExhausted, nil
		if refusal.Quota.Busy {
			refusal.Reason = QuotaBusy
		}
		refusal.Cap = capOf(refusal.Quota, caller)
	}
	return refusal
}

// capOf says what the caller's cap leaves for a call that does not fit; nil: it has none.
func capOf(q *quota.Exhausted, caller *tenancy.Caller) *SpendCap {
	if caller.SpendCap == nil {
		return nil
	}
	price := caller.Terms.OveragePrice
	above := max(q.Asked.In-q.Remaining.In, 0) + max(q.Asked.Out-q.Remaining.Out, 0)
	return &SpendCap{Amount: *caller.SpendCap, Left: min(money.Micros(q.Extra)*price, *caller.SpendCap),
		Asked: money.Cost(money.Term{Tokens: min(above, usage.MostTokens), PerMillion: price * money.Unit})}
}

// Outcome is how a call ended.
type Outcome struct {
	Status     usage.Status
	HTTPStatus int
	Tokens     usage.Tokens
	Estimated  bool
	ProviderID string
	Object     string        // the id of a response that the provider has stored
	FirstByte  time.Duration // 0: with the rest
	// Complete tells that the answer is whole and sound: only then may it be given again.
	Complete bool
}

// Finish records the call and settles its hold. Only after it returned nil may the last byte be sent. After the first
// time it does nothing.
func (c *Call) Finish(o Outcome) error {
	if c.finished {
		return nil
	}
	c.finished = true
	defer c.g.inFlight.Done()
	e := &c.event
	t := sound(o.Tokens)
	e.Status, e.HTTPStatus, e.Estimated, e.ProviderID, e.Object = o.Status, o.HTTPStatus, o.Estimated, o.ProviderID, o.Object
	c.settleCost(t)
	elapsed := c.g.Now().Sub(c.start)
	e.LatencyMS, e.FirstByteMS = elapsed.Milliseconds(), elapsed.Milliseconds()
	if o.FirstByte > 0 {
		e.FirstByteMS = o.FirstByte.Milliseconds()
	}
	record := c.g.Ledger.Finish
	if !c.begun {
		record = c.g.Ledger.Once
	}
	err := record(e)
	used := quota.Pair{In: e.Tokens.Input, Out: e.Tokens.Output}
	if err != nil && !c.begun {
		used = quota.Pair{} // an answer of the cache that is not given
	}
	// Settled even when the record failed: the provider has counted the tokens whether or not we could.
	c.hold.Settle(used)
	c.ticket.Done(t.Input + t.Output)
	if o.Object != "" {
		c.g.recent.add(StoredResponse{ID: o.Object, TenantID: e.TenantID, Provider: e.Provider, Model: e.Model, Tokens: t.Input + t.Output})
	}
	c.conclude(o)
	if err != nil {
		if c.begun {
			c.g.late.add(*e)
		}
		return fmt.Errorf("record call %s: %w", e.RequestID, err)
	}
	return nil
}

// sound makes a provider's figures fit for the books: those that break the rule that cached and reasoning tokens are
// subsets, or are absurd, must not break the ledger.
func sound(t usage.Tokens) usage.Tokens {
	t.Input, t.Output = min(max(t.Input, 0), usage.MostTokens), min(max(t.Output, 0), usage.MostTokens)
	t.Cached, t.Reasoning = min(max(t.Cached, 0), t.Input), min(max(t.Reasoning, 0), t.Output)
	return t
}

// settleCost tells served tokens from billed ones, and what was paid from what was saved.
func (c *Call) settleCost(served usage.Tokens) {
	e := &c.event
	e.Served, e.Tokens = served, served
	price := c.price()
	if e.Status == usage.Failed && served == (usage.Tokens{}) {
		price.Request = 0 // nobody charges for what failed
	}
	cost := price.Cost(served)
	if e.Cache.Saved() {
		e.Tokens = share(served, c.policy.BilledPercent)
		e.SavedUSD, cost = cost, 0
	}
	e.CostUSD = cost + c.looked
	if c.question != nil {
		e.CostUSD += c.g.owed.take(e.TenantID)
	}
}

// price is what the route that was taken costs; of an answer of the cache, what the first one would have.
func (c *Call) price() tenancy.Price {
	switch {
	case c.route != nil:
		return c.route.Price
	case len(c.offer.routes) > 0:
		return c.offer.routes[0].Price
	}
	return c.offer.Price
}

// TokenPriced tells whether the model's tokens have a price; else a call without a usage takes none.
func (c *Call) TokenPriced() bool { return c.offer.Price.Input != 0 || c.offer.Price.Output != 0 }

// Found gives the tokens of an answer of the cache, and whether it is one: its usage is known.
func (c *Call) Found() (t usage.Tokens, ok bool) {
	if c.entry == nil {
		return t, false
	}
	return c.entry.Tokens, true
}

// QuotaLeft is what is left of the period's included tokens now.
func (c *Call) QuotaLeft() quota.Pair { return c.hold.Remaining() }

// Elapsed is the time since the call was admitted.
func (c *Call) Elapsed() time.Duration { return c.g.Now().Sub(c.start) }

// Event is the call's record, for the log line. It must not be changed.
func (c *Call) Event() *usage.Event { return &c.event }
