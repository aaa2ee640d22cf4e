package ratelimit

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// clock is moved by hand.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newLimiter() (*Limiter, *clock) {
	c := &clock{time.Unix(1_800_000_000, 0)}
	return New(c.now), c
}

func refusedBy(t *testing.T, err error) Refused {
	t.Helper()
	var r *Refused
	if !errors.As(err, &r) {
		t.Fatalf("not refused: %v", err)
	}
	return *r
}

func TestRequestsAreRefusedAboveTheLimitAndGrowBackEvenly(t *testing.T) {
	l, c := newLimiter()
	limits := Limits{Requests: 6}
	for i := range 6 {
		_, s, err := l.Acquire(1, limits, 0)
		if err != nil || s.RequestsLeft != 5-i || s.RequestLimit != 6 {
			t.Fatalf("request %d: %v, %+v", i+1, err, s)
		}
	}
	_, _, err := l.Acquire(1, limits, 0)
	if r := refusedBy(t, err); r.Kind != Requests || r.RetryAfter != 10*time.Second {
		t.Fatalf("%+v", r)
	}
	c.at = c.at.Add(10 * time.Second)
	if _, _, err = l.Acquire(1, limits, 0); err != nil {
		t.Fatalf("after the wait it was told: %v", err)
	}
	if _, _, err = l.Acquire(1, limits, 0); err == nil {
		t.Fatal("one grew back, two were given")
	}
	if _, _, err = l.Acquire(2, limits, 0); err != nil {
		t.Fatalf("another subscription: %v", err)
	}
}

func TestTokensAreReservedBeforeAndCorrectedAfter(t *testing.T) {
	l, _ := newLimiter()
	limits := Limits{Tokens: 600}
	ticket, _, err := l.Acquire(1, limits, 500)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = l.Acquire(1, limits, 200)
	if r := refusedBy(t, err); r.Kind != Tokens || r.RetryAfter != 10*time.Second {
		t.Fatalf("%+v", r)
	}
	ticket.Done(100)
	_, s, err := l.Acquire(1, limits, 200)
	if err != nil || s.TokensLeft != 300 {
		t.Fatalf("after the correction: %v, %+v", err, s)
	}
}

func TestACallLargerThanAMinuteGoesWhenTheAllowanceIsWhole(t *testing.T) {
	l, _ := newLimiter()
	if _, _, err := l.Acquire(1, Limits{Tokens: 600}, 10_000); err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.Acquire(1, Limits{Tokens: 600}, 1); err == nil {
		t.Fatal("its tokens were not taken")
	}
}

func TestARefusedCallTakesNothing(t *testing.T) {
	l, _ := newLimiter()
	limits := Limits{Requests: 10, Parallel: 1}
	ticket, _, _ := l.Acquire(1, limits, 0)
	for range 20 {
		_, _, err := l.Acquire(1, limits, 0)
		if r := refusedBy(t, err); r.Kind != Parallel {
			t.Fatalf("%+v", r)
		}
	}
	ticket.Done(0)
	if _, s, err := l.Acquire(1, limits, 0); err != nil || s.RequestsLeft != 8 {
		t.Fatalf("%v, %+v", err, s)
	}
}

func TestParallelCallsNeverExceedTheLimit(t *testing.T) {
	l := New(time.Now)
	var now, highest, admitted atomic.Int64
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for range 200 {
				ticket, _, err := l.Acquire(1, Limits{Parallel: 5}, 0)
				if err != nil {
					continue
				}
				admitted.Add(1)
				n := now.Add(1)
				for h := highest.Load(); n > h && !highest.CompareAndSwap(h, n); h = highest.Load() {
				}
				now.Add(-1)
				ticket.Done(0)
			}
		})
	}
	wg.Wait()
	if highest.Load() > 5 || admitted.Load() == 0 {
		t.Fatalf("%d at once, %d admitted", highest.Load(), admitted.Load())
	}
}

func TestIdleSubscriptionsAreForgotten(t *testing.T) {
	l, c := newLimiter()
	for id := range int64(10 * sweepSize) {
		ticket, _, _ := l.Acquire(id, Limits{Requests: 60, Tokens: 60}, 1)
		ticket.Done(1)
		c.at = c.at.Add(time.Second)
	}
	if len(l.meters) > sweepSize {
		t.Fatalf("%d subscriptions are kept", len(l.meters))
	}
}
