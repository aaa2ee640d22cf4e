package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/fila-ia/filaia/internal/cache"
	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/quota"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
)

// Question is what the cache is asked about a call.
type Question struct {
	cache.Question
	Wishes
	lifetime time.Duration
	forms    Forms
}

// Wishes are what the caller's cache-control says.
type Wishes struct {
	NoCache bool          // do not answer from the cache; the answer may be kept
	NoStore bool          // do not keep the answer
	MaxAge  time.Duration // older answers do not do; negative: as the plan says
}

// Forms turns a whole answer of an endpoint into its stream and back; false where it cannot.
type Forms interface {
	Whole(stream []byte) ([]byte, bool)
	Stream(whole []byte) ([]byte, bool)
}

// Ask makes the question of a request, or nil where plan, key or request keep it out of the cache.
func (g *Gateway) Ask(caller *tenancy.Caller, endpoint string, body []byte, w Wishes, forms Forms) *Question {
	mode := cache.Exact
	switch {
	case g.Cache == nil || w.NoCache && w.NoStore:
		return nil
	case caller.Cache.Mode == tenancy.CacheSmart:
		mode = cache.Smart
	case caller.Cache.Mode != tenancy.CacheExact:
		return nil
	}
	q, ok := g.Cache.Ask(caller.TenantID, endpoint, body, mode)
	if !ok {
		return nil
	}
	q.Since(caller.Cache.Purges)
	if w.MaxAge < 0 || w.MaxAge > caller.Cache.Lifetime {
		w.MaxAge = caller.Cache.Lifetime
	}
	return &Question{q, w, caller.Cache.Lifetime, forms}
}

// fromElsewhere is what the cache has to do with a call.
type fromElsewhere struct {
	question *Question
	entry    *cache.Entry // the answer, and in the form that was asked for
	answer   *replay
	flight   *cache.Flight // of identical calls under way
	leads    bool          // this call answers the flight
	looked   money.Micros  // what looking for likeness cost
	kept     []byte        // what a leading call was answered
	fed      bool          // the flight gets it as it comes
	stream   bool          // kept holds events
	kind     string        // its content type
}

// look asks the cache for an answer to the same question, which must be had in the form that is asked for.
func (c *Call) look(ctx context.Context) *cache.Entry {
	if c.question == nil || c.question.NoCache {
		return nil
	}
	c.event.Cache = usage.CacheMiss
	entry, _ := c.g.Cache.Find(ctx, &c.question.Question, c.question.MaxAge)
	return c.usable(entry)
}

// usable gives an entry whose answer can be had in the form that is asked for.
func (c *Call) usable(e *cache.Entry) *cache.Entry {
	if e == nil {
		return nil
	}
	if c.answer = c.question.replay(e.Body, e.ContentType, e.Stream, c.event.Streamed); c.answer == nil {
		return nil
	}
	return e
}

// alike looks for an answer to a question like this one, which costs the operator an embedding: only the call that
// would ask a provider for all who wait looks.
func (c *Call) alike(ctx context.Context) *cache.Entry {
	entry, _, tokens := c.g.Cache.FindAlike(ctx, &c.question.Question, c.question.MaxAge)
	c.looked += c.g.lookCost(tokens)
	return c.usable(entry)
}

func (g *Gateway) lookCost(tokens int64) money.Micros {
	if tokens == 0 || g.LookCost == nil {
		return 0
	}
	return g.LookCost(tokens)
}

// fromCache holds what an answer of the cache bills. Nothing is written to the ledger yet: the one record at its end
// says all.
func (c *Call) fromCache(ctx context.Context, caller *tenancy.Caller, entry *cache.Entry) (err error) {
	billed := share(entry.Tokens, c.policy.BilledPercent)
	want := quota.Want{In: billed.Input, Out: billed.Output}
	if want.In+want.Out == 0 || !caller.Hard() {
		c.hold = c.g.Quota.Count(ctx, caller.PeriodID)
	} else if c.hold, err = c.g.Quota.Reserve(ctx, caller.PeriodID, want); err != nil {
		return quotaRefusal(err, caller)
	}
	c.entry, c.event.Cache = entry, usage.CacheHit
	return nil
}

// join lets identical calls under way share one answer. The first of them makes it. A call that the quota of its caller
// cuts short shares with nobody: others are entitled to all of the answer, and it is not.
func (c *Call) join() {
	if q := c.question; q == nil || q.NoCache || q.NoStore || c.MaxOutput != 0 {
		return
	}
	c.flight, c.leads = c.g.Cache.Join(&c.question.Question)
}

// share is a percentage of tokens, rounded down: what is not whole is nobody's.
func share(t usage.Tokens, percent int) usage.Tokens {
	part := func(n int64) int64 { return n * int64(percent) / 100 }
	return usage.Tokens{Input: part(t.Input), Cached: part(t.Cached), Output: part(t.Output), Reasoning: part(t.Reasoning)}
}

// Cached tells what the cache had to do with the call, and how old its answer is.
func (c *Call) Cached() (usage.Cache, time.Duration) {
	if c.entry == nil {
		return c.event.Cache, 0
	}
	return c.event.Cache, max(c.g.Now().Sub(c.entry.StoredAt), 0)
}

// Shared tells whether other calls wait for this one's answer.
func (c *Call) Shared() bool { return c.leads && c.flight.Followers() > 0 }

// elsewhere gives the answer that another call has or is getting, or nil where this one must ask a provider.
func (c *Call) elsewhere(ctx context.Context) *replay {
	if c.leads {
		if c.entry = c.alike(ctx); c.entry != nil {
			c.event.Cache = usage.CacheHit
			c.flight.Serve(c.entry)
		}
	}
	if c.entry != nil {
		return c.answer
	}
	if c.flight == nil || c.leads {
		return nil
	}
	r := c.follow(ctx)
	if r == nil { // the other call failed before it had an answer: this one asks for itself
		c.flight.Leave()
		c.flight = nil
		return nil
	}
	c.event.Cache = usage.CacheCoalesced
	return r
}

// follow waits for the call that leads the flight. Streams are followed as they come.
func (c *Call) follow(ctx context.Context) *replay {
	head, err := c.flight.Wait(ctx)
	if err != nil || head.Status != http.StatusOK {
		return nil
	}
	reader := c.flight.Reader(ctx)
	if head.Stream && c.event.Streamed {
		return &replay{kind: head.ContentType, Reader: followed{reader}}
	}
	body, err := io.ReadAll(reader)
	if err != nil {
		return nil
	}
	return c.question.replay(body, head.ContentType, head.Stream, c.event.Streamed)
}

// replay gives a kept answer in the form that was asked for, or nil where it cannot be had.
func (q *Question) replay(body []byte, kind string, isStream, stream bool) *replay {
	ok := true
	switch {
	case isStream && !stream:
		body, ok = q.forms.Whole(body)
		kind = "application/json"
	case stream && !isStream:
		body, ok = q.forms.Stream(body)
		kind = "text/event-stream; charset=utf-8"
	}
	if !ok {
		return nil
	}
	return &replay{kind: kind, body: body, Reader: bytes.NewReader(body)}
}

// followed reads the answer of another call; where that breaks off, so does this one.
type followed struct{ io.Reader }

func (f followed) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = &Refusal{Reason: ProviderAway, Cause: err}
	}
	return n, err
}

// replay is an answer that no provider was asked for.
type replay struct {
	kind string
	body []byte
	io.Reader
}

func (r *replay) Status() int  { return http.StatusOK }
func (r *replay) Body() []byte { return r.body }
func (r *replay) Release()     {}
func (r *replay) Close() error { return nil }

// Header knows the content type alone.
func (r *replay) Header(name string) string {
	if strings.EqualFold(name, "Content-Type") {
		return r.kind
	}
	return ""
}

// storing tells whether the call's answer may be kept.
func (c *Call) storing() bool {
	return c.question != nil && c.entry == nil && !c.question.NoStore && (c.leads || c.question.NoCache)
}

// Keeps tells whether the call's answer may be kept for others, so that it must be sound in all its parts.
func (c *Call) Keeps() bool { return c.storing() }

// keepWhole notes a whole answer; it stays valid until the call has ended.
func (c *Call) keepWhole(a Answer) {
	if c.storing() && a.Status() == http.StatusOK {
		c.kept, c.kind = a.Body(), a.Header("Content-Type")
	}
}

// keepStream notes an answer as it comes, and passes it on to those who follow. Not every provider streams what it was
// asked to stream: what the answer is, its content type says.
func (c *Call) keepStream(a StreamAnswer) StreamAnswer {
	if !c.storing() || a.Status() != http.StatusOK {
		return a
	}
	c.kind, c.fed = a.Header("Content-Type"), c.leads
	c.stream = strings.HasPrefix(c.kind, "text/event-stream")
	if c.leads {
		c.flight.Head(a.Status(), c.kind, c.stream)
	}
	return &kept{a, c}
}

type kept struct {
	StreamAnswer
	call *Call
}

func (k *kept) Read(p []byte) (int, error) {
	n, err := k.StreamAnswer.Read(p)
	c := k.call
	if c.leads {
		_, _ = c.flight.Write(p[:n]) // a flight that is too large says so to those who follow
	}
	if len(c.kept)+n <= maxKept {
		c.kept = append(c.kept, p[:n]...)
	} else {
		c.kept, c.question = nil, nil
	}
	return n, err
}

// maxKept bounds a streamed answer that may be kept; the cache has its own bound.
const maxKept = 4 << 20

// conclude ends the call's part in a flight and keeps the answer for those who ask later. A failure is told to nobody
// as an answer; nor is one that the caller's quota cut short.
func (c *Call) conclude(o Outcome) {
	if c.flight != nil && !c.leads {
		c.flight.Leave()
	}
	ctx := context.Background()
	sound := o.Complete && (o.Status == usage.OK || o.Status == usage.Aborted) && !o.Estimated && o.HTTPStatus == http.StatusOK && c.MaxOutput == 0
	if sound && c.storing() && len(c.kept) > 0 {
		c.g.Cache.Store(ctx, &c.question.Question, &cache.Entry{
			Stream: c.stream, ContentType: c.kind, Body: c.kept, Model: c.event.Model, Tokens: c.event.Served, StoredAt: c.g.Now(),
		}, c.question.lifetime)
		if c.policy.Mode == tenancy.CacheSmart {
			go c.learn(*c.question)
		}
	}
	if !c.leads {
		return
	}
	if !sound {
		c.flight.End(cache.ErrLeaderGone)
		return
	}
	if !c.fed && c.entry == nil {
		c.flight.Head(http.StatusOK, c.kind, false)
		_, _ = c.flight.Write(c.kept)
	}
	c.flight.End(nil)
}

// learn makes the answer findable for questions like this one. What that costs is put on the tenant's next call.
func (c *Call) learn(q Question) {
	if cost := c.g.lookCost(c.g.Cache.Learn(context.Background(), &q.Question)); cost > 0 {
		c.g.owed.add(c.event.TenantID, cost)
	}
}

// owed is what looking after the call has cost, by tenant.
type owed struct {
	mu       sync.Mutex
	byTenant map[int64]money.Micros
}

func (o *owed) add(tenant int64, cost money.Micros) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.byTenant == nil {
		o.byTenant = map[int64]money.Micros{}
	}
	o.byTenant[tenant] += cost
}

func (o *owed) take(tenant int64) money.Micros {
	o.mu.Lock()
	defer o.mu.Unlock()
	cost := o.byTenant[tenant]
	delete(o.byTenant, tenant)
	return cost
}
