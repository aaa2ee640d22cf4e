package ratelimit

import (
	"errors"
	"sync"
	"testing"
	"time"
)

// clock is moved by hand.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Unix(1_800_000_000, 0)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func newLimiter() (*Limiter, *clock) {
	c := newClock()
	return New(Options{Now: c.now}), c
}

// ofPlan is a claim that only a plan limits.
func ofPlan(id int64, limits Limits, tokens int64) Claim {
	return Claim{Tenant: id, Scopes: [3]Scope{{}, {}, {Plan, id, limits}}, Tokens: tokens}
}

func refusedBy(t testing.TB, err error) Refused {
	t.Helper()
	var r *Refused
	if !errors.As(err, &r) {
		t.Fatalf("not refused: %v", err)
	}
	return *r
}

// admit admits a claim that fits.
func admit(t testing.TB, l *Limiter, c Claim) (Ticket, Status) {
	t.Helper()
	ticket, status, err := l.Acquire(t.Context(), c)
	if err != nil {
		t.Fatalf("%+v: %+v", c, err)
	}
	return ticket, status
}

func TestRequestsAreRefusedAboveTheLimitAndGrowBackEvenly(t *testing.T) {
	l, c := newLimiter()
	claim := ofPlan(1, Limits{Requests: 6}, 0)
	for i := range 6 {
		if _, s := admit(t, l, claim); s.RequestsLeft != 5-i || s.RequestLimit != 6 || s.TokenLimit != Unlimited {
			t.Fatalf("request %d: %+v", i+1, s)
		}
	}
	_, _, err := l.Acquire(t.Context(), claim)
	if r := refusedBy(t, err); r != (Refused{Requests, Plan, 6, 1, 10 * time.Second}) {
		t.Fatalf("%+v", r)
	}
	c.advance(10 * time.Second)
	admit(t, l, claim)
	if _, _, err = l.Acquire(t.Context(), claim); err == nil {
		t.Fatal("one grew back, two were given")
	}
	admit(t, l, ofPlan(2, Limits{Requests: 6}, 0))
}

func TestTokensAreReservedBeforeAndCorrectedAfter(t *testing.T) {
	l, _ := newLimiter()
	limits := Limits{Tokens: 600}
	ticket, _ := admit(t, l, ofPlan(1, limits, 500))
	_, _, err := l.Acquire(t.Context(), ofPlan(1, limits, 200))
	if r := refusedBy(t, err); r != (Refused{Tokens, Plan, 600, 200, 10 * time.Second}) {
		t.Fatalf("%+v", r)
	}
	ticket.Done(100)
	if _, s := admit(t, l, ofPlan(1, limits, 200)); s.TokensLeft != 300 || s.TokenReset != 30*time.Second {
		t.Fatalf("after the correction: %+v", s)
	}
}

func TestWhatGrewBackByItselfIsNotGivenBackAgain(t *testing.T) {
	l, c := newLimiter()
	limits := Limits{Tokens: 600}
	slow, _ := admit(t, l, ofPlan(1, limits, 600))
	c.advance(time.Minute)
	admit(t, l, ofPlan(1, limits, 600))
	slow.Done(0)
	if s := l.Status(t.Context(), ofPlan(1, limits, 0)); s.TokensLeft != 0 {
		t.Fatalf("%d tokens were given a second time", s.TokensLeft)
	}
}

func TestTokensUsedBeyondTheReservationArePaidForLater(t *testing.T) {
	l, c := newLimiter()
	limits := Limits{Tokens: 600}
	ticket, _ := admit(t, l, ofPlan(1, limits, 10))
	ticket.Done(1200)
	_, s, err := l.Acquire(t.Context(), ofPlan(1, limits, 1))
	if r := refusedBy(t, err); s.TokensLeft != 0 || r.RetryAfter != time.Minute+100*time.Millisecond {
		t.Fatalf("%+v, %+v", s, r)
	}
	c.advance(time.Minute + 100*time.Millisecond)
	admit(t, l, ofPlan(1, limits, 1))
}

func TestACallLargerThanAMinuteGoesWhenTheAllowanceIsWhole(t *testing.T) {
	l, _ := newLimiter()
	admit(t, l, ofPlan(1, Limits{Tokens: 600}, 10_000))
	_, _, err := l.Acquire(t.Context(), ofPlan(1, Limits{Tokens: 600}, 10_000))
	if r := refusedBy(t, err); r.Asked != 10_000 || r.RetryAfter != time.Minute {
		t.Fatalf("%+v", r)
	}
}

func TestARefusedCallTakesNothingFromAnyScope(t *testing.T) {
	l, _ := newLimiter()
	ticket, _ := admit(t, l, threeScopes(0))
	whole := New(Options{Now: l.now})
	for range 20 {
		_, _, err := l.Acquire(t.Context(), threeScopes(100))
		if r := refusedBy(t, err); r != (Refused{Parallel, Plan, 1, 1, time.Second}) {
			t.Fatalf("%+v", r)
		}
	}
	ticket.Done(0)
	admit(t, whole, threeScopes(0))
	for i := range 3 {
		alone := threeScopes(0)
		alone.Scopes = [3]Scope{alone.Scopes[i]}
		if got, want := l.Status(t.Context(), alone), whole.Status(t.Context(), alone); got != want {
			t.Errorf("%v: %+v, want %+v", alone.Scopes[0].Kind, got, want)
		}
	}
}

// threeScopes is a claim whose plan allows one call at a time.
func threeScopes(tokens int64) Claim {
	return Claim{Tenant: 7, Tokens: tokens, Scopes: [3]Scope{
		{Key, 1, Limits{Requests: 600, Tokens: 1000}},
		{Tenant, 7, Limits{Requests: 60, Tokens: 3000, Parallel: 9}},
		{Plan, 3, Limits{Requests: 90, Parallel: 1}},
	}}
}

func TestTheStatusIsOfTheScopeWithTheLeastLeft(t *testing.T) {
	l, _ := newLimiter()
	_, s := admit(t, l, threeScopes(300))
	if want := (Status{60, 59, 1000, 700, time.Second, 18 * time.Second}); s != want {
		t.Fatalf("%+v, want %+v", s, want)
	}
	if _, s, _ = l.Acquire(t.Context(), threeScopes(300)); s.RequestsLeft != 59 {
		t.Fatalf("refused: %+v", s)
	}
}

func TestARefusalTellsWhatWillStandInTheWayLongest(t *testing.T) {
	l, _ := newLimiter()
	claim := Claim{Tenant: 1, Tokens: 60, Scopes: [3]Scope{
		{Key, 1, Limits{Requests: 1}}, {Tenant, 1, Limits{Tokens: 60, Parallel: 1}}, {Plan, 1, Limits{Tokens: 70}},
	}}
	first, _ := admit(t, l, claim)
	_, _, err := l.Acquire(t.Context(), claim)
	if r := refusedBy(t, err); r != (Refused{Requests, Key, 1, 1, time.Minute}) {
		t.Fatalf("%+v", r)
	}
	first.Done(60)
	claim.Scopes[0].Limits.Requests = 600
	_, _, err = l.Acquire(t.Context(), claim)
	if r := refusedBy(t, err); r.Kind != Tokens || r.Scope != Tenant {
		t.Fatalf("%+v", r)
	}
}

func TestAnotherLimitCountsAtOnceAndMakesNobodyWaitLongerThanAMinute(t *testing.T) {
	l, _ := newLimiter()
	for range 600 {
		admit(t, l, ofPlan(1, Limits{Requests: 600}, 0))
	}
	_, s, err := l.Acquire(t.Context(), ofPlan(1, Limits{Requests: 6}, 0))
	if r := refusedBy(t, err); r.RetryAfter != 10*time.Second || s.RequestReset != time.Minute {
		t.Fatalf("%+v, %+v", r, s)
	}
	if _, s = admit(t, l, ofPlan(1, Limits{Requests: 100}, 0)); s.RequestsLeft != 93 {
		t.Fatalf("%+v", s)
	}
}

func TestWithoutLimitsNothingIsCounted(t *testing.T) {
	l, _ := newLimiter()
	for range 1000 {
		ticket, s := admit(t, l, Claim{Tenant: 1, Scopes: [3]Scope{{Key, 1, Limits{}}}, Tokens: 1 << 50})
		ticket.Done(1 << 50)
		if s != unlimited || l.Status(t.Context(), Claim{Tenant: 1}) != unlimited {
			t.Fatalf("%+v", s)
		}
	}
	if n := l.memory.size(); n != 0 {
		t.Fatalf("%d meters", n)
	}
}

func TestEnormousFiguresDoNotOverflow(t *testing.T) {
	l, c := newLimiter()
	limits := Limits{Requests: 1 << 62, Tokens: 1 << 62, Parallel: 1 << 62}
	ticket, _ := admit(t, l, ofPlan(1, limits, 1<<62))
	ticket.Done(1 << 62)
	if s := l.Status(t.Context(), ofPlan(1, limits, 0)); s.TokensLeft != 0 || s.TokenReset <= 0 {
		t.Fatalf("%+v", s)
	}
	c.advance(200 * 365 * 24 * time.Hour)
	if _, s := admit(t, l, ofPlan(1, limits, 0)); s.TokensLeft != int(most) {
		t.Fatalf("%+v", s)
	}
	c.advance(-100 * 365 * 24 * time.Hour)
	admit(t, l, ofPlan(1, Limits{Requests: 2}, 0))
	c.advance(30 * time.Second)
	admit(t, l, ofPlan(1, Limits{Requests: 2}, 0))
}

func TestIdleScopesAreForgotten(t *testing.T) {
	l, c := newLimiter()
	busy, _ := admit(t, l, ofPlan(-1, Limits{Parallel: 1}, 0))
	for id := range int64(20 * shardCount * sweepSize) {
		ticket, _ := admit(t, l, ofPlan(id, Limits{Requests: 60, Tokens: 60}, 1))
		ticket.Done(1)
		c.advance(100 * time.Millisecond)
	}
	if n := l.memory.size(); n > 2*shardCount*sweepSize {
		t.Fatalf("%d scopes are kept", n)
	}
	if _, _, err := l.Acquire(t.Context(), ofPlan(-1, Limits{Parallel: 1}, 0)); err == nil {
		t.Fatal("a scope with a call under way was forgotten")
	}
	busy.Done(0)
	admit(t, l, ofPlan(-1, Limits{Parallel: 1}, 0))
}

func (m *memory) size() (n int) {
	for i := range m.shards {
		m.shards[i].mu.Lock()
		n += len(m.shards[i].meters)
		m.shards[i].mu.Unlock()
	}
	return n
}
