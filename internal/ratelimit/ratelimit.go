// Package ratelimit enforces requests per minute, tokens per minute and parallel calls, in process.
//
// Rates follow the generic cell rate algorithm (ITU-T I.371): one timestamp a rate, the theoretical arrival time of
// the next request, stands for a bucket that holds one minute's allowance and refills evenly.
package ratelimit

import (
	"math"
	"sync"
	"time"
)

// Unlimited is what a limit that is not set is told as: clients read these headers as plain integers.
const Unlimited = math.MaxInt32

// Limits of one subscription; zero means no limit.
type Limits struct {
	Requests int // per minute
	Tokens   int // per minute
	Parallel int // calls at once
}

// Kind names a limit.
type Kind string

// The limits that can refuse a call.
const (
	Requests Kind = "requests"
	Tokens   Kind = "tokens"
	Parallel Kind = "parallel"
)

// Refused says which limit stood in the way and when trying again makes sense.
type Refused struct {
	Kind       Kind
	Limit      int
	RetryAfter time.Duration
}

// Error names the limit.
func (r *Refused) Error() string { return "rate limit: " + string(r.Kind) }

// Status is how a subscription stands: what the x-ratelimit headers tell.
type Status struct {
	RequestLimit, RequestsLeft, TokenLimit, TokensLeft int
	RequestReset, TokenReset                           time.Duration // until the allowance is whole again
}

// Limiter keeps the state of every subscription that called lately. It is safe for concurrent use.
type Limiter struct {
	now func() time.Time

	mu      sync.Mutex
	meters  map[int64]*meter
	sweepAt int
}

// New makes a limiter.
func New(now func() time.Time) *Limiter {
	return &Limiter{now: now, meters: map[int64]*meter{}, sweepAt: sweepSize}
}

// sweepSize is how many subscriptions are kept before the idle ones are forgotten.
const sweepSize = 10_000

type meter struct {
	mu       sync.Mutex
	requests time.Time // theoretical arrival times
	tokens   time.Time
	parallel int
	gone     bool // forgotten by a sweep
}

// Ticket is one admitted call. Exactly one Done ends it.
type Ticket struct {
	l        *Limiter
	m        *meter
	limits   Limits
	reserved int64
}

// Acquire admits a call that is expected to take so many tokens, or refuses it with *Refused; a refused call takes
// nothing from any limit.
func (l *Limiter) Acquire(subscription int64, limits Limits, tokens int64) (Ticket, Status, error) {
	if limits == (Limits{}) {
		return Ticket{}, unlimited, nil
	}
	now := l.now()
	m := l.lockMeter(subscription, now)
	defer m.mu.Unlock()
	// A call larger than a whole minute's allowance may go when the allowance is whole.
	tokens = min(tokens, int64(limits.Tokens))
	if err := m.refusal(now, limits, tokens); err != nil {
		return Ticket{}, m.status(now, limits), err
	}
	m.requests = advance(m.requests, now, limits.Requests, 1)
	m.tokens = advance(m.tokens, now, limits.Tokens, tokens)
	m.parallel++
	return Ticket{l, m, limits, tokens}, m.status(now, limits), nil
}

// unlimited is how a subscription without limits stands.
var unlimited = Status{Unlimited, Unlimited, Unlimited, Unlimited, 0, 0}

// Status tells how a subscription stands without taking anything.
func (l *Limiter) Status(subscription int64, limits Limits) Status {
	if limits == (Limits{}) {
		return unlimited
	}
	now := l.now()
	m := l.lockMeter(subscription, now)
	defer m.mu.Unlock()
	return m.status(now, limits)
}

func (m *meter) refusal(now time.Time, limits Limits, tokens int64) error {
	if limits.Parallel > 0 && m.parallel >= limits.Parallel {
		return &Refused{Parallel, limits.Parallel, time.Second}
	}
	if wait := waitFor(m.requests, now, limits.Requests, 1); wait > 0 {
		return &Refused{Requests, limits.Requests, wait}
	}
	if wait := waitFor(m.tokens, now, limits.Tokens, tokens); wait > 0 {
		return &Refused{Tokens, limits.Tokens, wait}
	}
	return nil
}

// Done ends the call: its place is free, and the tokens reserved are corrected to those used.
func (t Ticket) Done(tokens int64) {
	if t.m == nil {
		return
	}
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	t.m.parallel--
	if t.limits.Tokens > 0 {
		t.m.tokens = advance(t.m.tokens, t.l.now(), t.limits.Tokens, tokens-t.reserved)
	}
}

// lockMeter gives the subscription's meter, locked, and not one that a sweep forgot meanwhile.
func (l *Limiter) lockMeter(subscription int64, now time.Time) *meter {
	for {
		m := l.meter(subscription, now)
		m.mu.Lock()
		if !m.gone {
			return m
		}
		m.mu.Unlock()
	}
}

func (l *Limiter) meter(subscription int64, now time.Time) *meter {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.meters[subscription]
	if m == nil {
		if len(l.meters) >= l.sweepAt {
			l.sweep(now)
		}
		m = &meter{}
		l.meters[subscription] = m
	}
	return m
}

// sweep forgets subscriptions whose allowances are whole: a new meter says the same.
func (l *Limiter) sweep(now time.Time) {
	for id, m := range l.meters {
		m.mu.Lock()
		if m.parallel == 0 && !m.requests.After(now) && !m.tokens.After(now) {
			m.gone = true
			delete(l.meters, id)
		}
		m.mu.Unlock()
	}
	l.sweepAt = max(sweepSize, 2*len(l.meters))
}

// interval is the time in which one unit of a per-minute limit grows back.
func interval(limit int) time.Duration { return time.Minute / time.Duration(limit) }

func advance(arrival, now time.Time, limit int, n int64) time.Time {
	if limit == 0 {
		return arrival
	}
	if arrival.Before(now) {
		arrival = now
	}
	return arrival.Add(time.Duration(n) * interval(limit))
}

// waitFor is how long n more units must wait; zero or less: they may go now.
func waitFor(arrival, now time.Time, limit int, n int64) time.Duration {
	if limit == 0 {
		return 0
	}
	allowance := interval(limit) * time.Duration(limit)
	return advance(arrival, now, limit, n).Sub(now) - allowance
}

func (m *meter) status(now time.Time, limits Limits) (s Status) {
	s.RequestLimit, s.RequestsLeft, s.RequestReset = stand(m.requests, now, limits.Requests)
	s.TokenLimit, s.TokensLeft, s.TokenReset = stand(m.tokens, now, limits.Tokens)
	return s
}

func stand(arrival, now time.Time, limit int) (of, left int, reset time.Duration) {
	if limit == 0 {
		return Unlimited, Unlimited, 0
	}
	reset = max(arrival.Sub(now), 0)
	spent := int((reset + interval(limit) - 1) / interval(limit))
	return limit, max(limit-spent, 0), reset
}
