package ratelimit

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// Options of a limiter.
type Options struct {
	Now   func() time.Time // nil: time.Now
	Redis rueidis.Client   // nil: everything is counted in process. It stays the caller's to close.
	Space string           // what all keys in Redis begin with: installations that share one differ in it; "filaia:"
	Log   *slog.Logger     // nil: nothing is logged
}

// Limiter admits calls. It is safe for concurrent use.
type Limiter struct {
	now   func() time.Time
	start time.Time
	log   *slog.Logger

	memory memory
	redis  *remote // nil without Redis
	queue  queue

	circuit    atomic.Pointer[circuit]
	failures   atomic.Int64
	roundTrips atomic.Int64
}

// circuit is where the limits are counted just now. A change is a new one, so that news of an older state changes nothing.
type circuit struct {
	mode   Mode
	since  time.Time
	tenant int64         // in Fallback: whose call found Redis away
	hold   time.Duration // in Fallback: how long Redis is left alone between two tries
}

// New makes a limiter. With Redis its Run must be running.
func New(o Options) *Limiter {
	l := &Limiter{now: o.Now, log: o.Log}
	if l.now == nil {
		l.now = time.Now
	}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	l.start = l.now()
	mode := Memory
	if o.Redis != nil {
		mode, l.redis = Redis, newRemote(o.Redis, o.Space)
	}
	l.circuit.Store(&circuit{mode: mode, since: l.start})
	return l
}

// clock is milliseconds since the limiter was made; as long as now is time.Now it does not jump.
func (l *Limiter) clock() int64 { return l.now().Sub(l.start).Milliseconds() }

// Ticket is one admitted call. Exactly one Done ends it.
type Ticket struct {
	l     *Limiter // nil: nothing limits the call
	at    int64    // of the clock, not after the call was counted
	shard *shard   // where it was counted in process
	call  *call    // where it was counted in Redis
	held  [3]held
}

// Acquire admits a call or refuses it with *Refused; it gives no other errors. A refused call takes nothing from any
// scope. The status is told also with a refusal.
func (l *Limiter) Acquire(ctx context.Context, claim Claim) (t Ticket, s Status, err error) {
	if !claim.limited() {
		return t, unlimited, nil
	}
	claim.Tokens = max(claim.Tokens, 0)
	var stands [3]standing
	var refused *Refused
	decided := false
	if seen := l.circuit.Load(); seen.mode == Redis {
		refused, decided = l.acquireShared(ctx, seen, &t, &stands, &claim)
	}
	if !decided {
		refused = l.memory.acquire(&t, &stands, &claim, l.clock())
	}
	s = claim.status(&stands)
	if refused != nil {
		return Ticket{}, s, refused
	}
	t.l = l
	return t, s, nil
}

// Done ends the call: its place is free, and the tokens reserved are corrected to those used. It never waits for Redis.
func (t Ticket) Done(tokens int64) {
	switch {
	case t.l == nil:
	case t.call != nil:
		t.l.queue.ended(&t, tokens, t.l.clock())
	default:
		t.done(tokens, t.l.clock())
	}
}

// Status tells how a caller stands without taking anything.
func (l *Limiter) Status(ctx context.Context, claim Claim) Status {
	if !claim.limited() {
		return unlimited
	}
	claim.Tokens = 0
	var stands [3]standing
	if seen := l.circuit.Load(); seen.mode == Redis {
		if _, ok := l.askShared(ctx, seen, toLook, "", &stands, &claim); ok {
			return claim.status(&stands)
		}
	}
	stands = l.memory.look(&claim, l.clock())
	return claim.status(&stands)
}

// Health tells how the limiter works.
func (l *Limiter) Health() Health {
	c := l.circuit.Load()
	return Health{Mode: c.mode, Since: c.since, Failures: l.failures.Load(), RoundTrips: l.roundTrips.Load()}
}

// trip is called when Redis failed to answer a question asked while the circuit was seen. From now on nobody asks,
// until Run finds that Redis is back.
func (l *Limiter) trip(seen *circuit, tenant int64, err error) {
	l.failures.Add(1)
	away := &circuit{mode: Fallback, since: l.now(), tenant: tenant, hold: probeEvery}
	if seen.hold > 0 && away.since.Sub(seen.since) < relapse {
		away.hold = min(2*seen.hold, longestHold)
	}
	if l.circuit.CompareAndSwap(seen, away) {
		l.log.Warn("rate limits: Redis is away, this replica counts on its own until it is back", "error", err)
	}
}
