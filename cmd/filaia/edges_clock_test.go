package main

import (
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/ratelimit"
)

// TestACallersCacheOutlivesClockSteps steps the clock an hour on and back: callers are answered throughout, a key that is
// revoked meanwhile stops, and each call counts in the period of its moment or of the one that was open already.
func TestACallersCacheOutlivesClockSteps(t *testing.T) {
	e := newEpoch(t, "2026-12-15T12:00:00Z")
	tenant, key := e.customer(e.plan(blocking(1000, 1000)), "America/Sao_Paulo", 1)
	w := e.twin("um")
	for _, now := range []string{"2026-12-15T12:00:00Z", "2026-12-15T13:00:00Z", "2026-12-15T12:00:01Z", "2026-12-15T11:00:00Z", "2026-12-15T12:00:02Z"} {
		e.set(now)
		for range 3 {
			c := w.caller(key)
			h, err := w.hold(c)
			e.must(err)
			w.record(c, h)
		}
	}
	if list := e.periods(tenant); len(list) != 1 || list[0].Used != 150 || list[0].Overrun != 0 {
		t.Errorf("%+v", list)
	}
	if n := e.number(`SELECT count(DISTINCT id) FROM usage_events`); n != 15 {
		t.Errorf("%d events with ids of their own, want 15", n)
	}
	e.must(e.books.RevokeKey(e.ctx, w.caller(key).KeyID))
	w.callers.Forget(tenant) // as every replica hears
	if _, err := w.callers.Authenticate(e.ctx, key.Reveal()); err == nil {
		t.Error("a revoked key is answered")
	}
}

// TestAClockThatJumpsMonthsAheadStillRecords records a call in a month that nobody has made a partition for.
func TestAClockThatJumpsMonthsAheadStillRecords(t *testing.T) {
	e := newEpoch(t, "2026-12-15T12:00:00Z")
	tenant, key := e.customer(e.plan(blocking(1000, 1000)), "America/Sao_Paulo", 1)
	e.must(e.books.EnsurePartitions(e.ctx, e.now(), e.now()))
	for _, now := range []string{"2026-12-15T12:00:00Z", "2027-06-15T12:00:00Z", "2026-12-15T12:00:00Z"} {
		e.set(now)
		w := e.twin("um") // what a replica remembers of a caller ends by its steady clock
		c := w.caller(key)
		h, err := w.hold(c)
		e.must(err)
		w.record(c, h)
		w.quota.Close(e.ctx)
	}
	if n := e.number(`SELECT count(*) FROM usage_events WHERE tenant_id = $1`, tenant); n != 3 {
		t.Errorf("%d calls are recorded, want 3", n)
	}
	list := e.periods(tenant) // none is left out between
	if len(list) != 7 || list[0].Used != 20 || list[6].Used != 10 {
		t.Errorf("%+v", list)
	}
	e.set("2027-06-15T12:00:00Z")
	e.must(e.books.EnsurePartitions(e.ctx, e.now(), e.now())) // moves what lay in the default partition
	if n := e.number(`SELECT count(*) FROM usage_events WHERE tenant_id = $1`, tenant); n != 3 {
		t.Errorf("%d calls are left after their partition was made, want 3", n)
	}
}

// TestARateLimitRecoversFromClockSteps never refuses for longer than its minute, whichever way the clock went.
func TestARateLimitRecoversFromClockSteps(t *testing.T) {
	now := time.Date(2026, 12, 15, 12, 0, 0, 0, time.UTC)
	l := ratelimit.New(ratelimit.Options{Now: func() time.Time { return now }, Log: discardLog()})
	claim := ratelimit.Claim{Tenant: 1}
	claim.Scopes[0] = ratelimit.Scope{Kind: ratelimit.Key, ID: 1, Limits: ratelimit.Limits{Requests: 2}}
	spend := func() (n int) {
		for range 5 {
			if ticket, _, err := l.Acquire(t.Context(), claim); err == nil {
				ticket.Done(0)
				n++
			}
		}
		return n
	}
	for _, step := range []struct {
		by   time.Duration
		want int
	}{{0, 2}, {time.Minute, 2}, {time.Hour, 2}, {-time.Hour, 0}, {time.Minute, 2}, {-time.Hour, 0}, {30 * time.Second, 1}} {
		now = now.Add(step.by)
		if n := spend(); n != step.want {
			t.Errorf("%s later %d of 2 calls a minute are let through, want %d", step.by, n, step.want)
		}
	}
}
