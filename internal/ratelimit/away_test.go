package ratelimit

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/redistest"
)

// mode waits for the limiter to be in a mode.
func mode(t *testing.T, l *Limiter, m Mode) {
	t.Helper()
	eventually(t, "mode "+string(m), func() bool { return l.Health().Mode == m })
}

func logged(t *testing.T, log *journal, levels ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("%q is logged", levels), func() bool { return len(log.levels()) >= len(levels) })
	if got := log.levels(); !slices.Equal(got, levels) {
		t.Fatalf("logged %q, want %q", got, levels)
	}
}

func TestWithoutRedisEachReplicaCountsOnItsOwnAndSaysSoOnce(t *testing.T) {
	s := redistest.Start(t)
	l, log := shared(t, s, patient)
	claim := ofPlan(1, Limits{Requests: 5, Parallel: 5}, 0)
	before, _ := admit(t, l, claim)
	since := l.Health().Since
	s.Stop()
	var during []Ticket
	for range 5 {
		ticket, _ := admit(t, l, claim)
		during = append(during, ticket)
	}
	_, _, err := l.Acquire(t.Context(), claim)
	refusedBy(t, err)
	if h := l.Health(); h.Mode != Fallback || h.Failures == 0 || h.Since.Before(since) {
		t.Fatalf("%+v", h)
	}
	logged(t, log, "WARN")
	s.Restart()
	mode(t, l, Redis)
	logged(t, log, "WARN", "INFO")
	// Each ticket ends where it was taken.
	before.Done(0)
	for _, ticket := range during {
		ticket.Done(0)
	}
	eventually(t, "all is told", func() bool { return len(l.queue.keys()) == 0 })
	if n := calls(t, connect(t, s), ":plan:1:calls"); n != 0 {
		t.Fatalf("%d places are still taken in Redis", n)
	}
	if n := l.memory.shard(1).meters[owner{Plan, 1}].parallel; n != 0 {
		t.Fatalf("%d places are still taken in process", n)
	}
	for range 5 {
		admit(t, l, claim)
	}
	if h := l.Health(); h.Mode != Redis {
		t.Fatalf("%+v", h)
	}
}

func TestARedisThatComesBackEmptyLearnsWhichCallsAreUnderWay(t *testing.T) {
	s := redistest.Start(t)
	l, _ := shared(t, s, patient, func(l *Limiter) { l.redis.renew = time.Millisecond })
	claim := ofPlan(1, Limits{Parallel: 1}, 0)
	ticket, _ := admit(t, l, claim)
	s.Restart()
	other := connect(t, s)
	eventually(t, "the place is taken again", func() bool { return calls(t, other, ":plan:1:calls") == 1 })
	mode(t, l, Redis)
	_, _, err := l.Acquire(t.Context(), claim)
	refusedBy(t, err)
	ticket.Done(0)
	eventually(t, "the place is free", func() bool { return calls(t, other, ":plan:1:calls") == 0 })
}

// useAllConnections uses each connection that the client keeps, with a chance of nearly 1.
func useAllConnections(t *testing.T, l *Limiter) {
	t.Helper()
	for range 100 {
		ticket, _ := admit(t, l, ofPlan(1, roomy, 1))
		ticket.Done(1)
	}
}

func TestARestartThatNobodyNoticedTurnsNobodyAwayFromRedis(t *testing.T) {
	s := redistest.Start(t)
	l := New(Options{Redis: connect(t, s)})
	patient(l)
	useAllConnections(t, l)
	s.Restart()
	useAllConnections(t, l)
	if h := l.Health(); h.Mode != Redis || h.Failures != 0 {
		t.Fatalf("%+v", h)
	}
}

func TestNewsOfAnOlderStateChangesNothing(t *testing.T) {
	s := redistest.Start(t)
	log := &journal{}
	l := New(Options{Redis: connect(t, s), Log: slog.New(log)})
	patient(l)
	seen := l.circuit.Load()
	l.trip(seen, 1, context.DeadlineExceeded)
	l.trip(seen, 2, context.DeadlineExceeded)
	logged(t, log, "WARN")
	if !l.probe(t.Context()) {
		t.Fatal("Redis is not back")
	}
	l.trip(seen, 3, context.DeadlineExceeded)
	if h := l.Health(); h.Mode != Redis || h.Failures != 3 {
		t.Fatalf("%+v", h)
	}
	logged(t, log, "WARN", "INFO")
}

func TestCallsGoOnWhileRedisDiesAndReturns(t *testing.T) {
	s := redistest.Start(t)
	l, _ := shared(t, s)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			for ctx.Err() == nil {
				ticket, _, err := l.Acquire(ctx, Claim{Tenant: 1, Tokens: 10, Scopes: [3]Scope{{Key, int64(i), roomy}, {Tenant, 1, roomy}}})
				if err != nil {
					t.Errorf("%+v", err)
				}
				ticket.Done(5)
			}
		})
	}
	for range 2 {
		mode(t, l, Redis)
		s.Stop()
		mode(t, l, Fallback)
		s.Restart()
	}
	mode(t, l, Redis)
	cancel()
	wg.Wait()
	eventually(t, "all is told", func() bool { return len(l.queue.keys()) == 0 })
	if n := calls(t, connect(t, s), ":tenant:1:calls"); n != 0 {
		t.Fatalf("%d places are still taken in Redis", n)
	}
	if m := l.memory.shard(1).meters[owner{Tenant, 1}]; m != nil && m.parallel != 0 {
		t.Fatalf("%d places are still taken in process", m.parallel)
	}
}

func TestASilentRedisIsWaitedForOnlyOnce(t *testing.T) {
	s := redistest.Start(t)
	l, log := shared(t, s, func(l *Limiter) { l.redis.patience = time.Second })
	claim := ofPlan(1, Limits{Parallel: 1}, 0)
	useAllConnections(t, l)
	s.Stall()
	ticket, _ := admit(t, l, claim)
	mode(t, l, Fallback)
	trips := l.Health().RoundTrips
	_, _, err := l.Acquire(t.Context(), claim)
	if r := refusedBy(t, err); r.Kind != Parallel || l.Health().RoundTrips != trips {
		t.Fatalf("%+v, %+v", r, l.Health())
	}
	ticket.Done(0)
	s.Resume()
	mode(t, l, Redis)
	logged(t, log, "WARN", "INFO")
	// Redis did what it was asked while it was silent, but that place is not lost.
	eventually(t, "all is told", func() bool { return len(l.queue.keys()) == 0 })
	other := connect(t, s)
	eventually(t, "the place is free", func() bool { return calls(t, other, ":plan:1:calls") == 0 })
}

func TestCorrectionsMadeWhileRedisIsSilentCountOnce(t *testing.T) {
	st := newStage(t)
	l := st.limiter(t)
	claim := ofPlan(1, Limits{Tokens: 1000}, 400)
	a, _ := admit(t, l, claim)
	b, _ := admit(t, l, claim)
	a.Done(300)
	st.server.Stall()
	l.redis.patience = 50 * time.Millisecond
	l.flush(t.Context()) // reaches Redis, but is not answered
	b.Done(100)
	if h := l.Health(); h.Mode != Fallback {
		t.Fatalf("%+v", h)
	}
	st.server.Resume()
	l.redis.patience = time.Minute
	eventually(t, "Redis is back", func() bool { return l.probe(t.Context()) })
	l.flush(t.Context())
	l.flush(t.Context())
	if s := l.Status(t.Context(), claim); s.TokensLeft != 600 || l.Health().Mode != Redis {
		t.Fatalf("%+v, %+v", s, l.Health())
	}
}

func TestARedisThatTakesNothingDownIsAway(t *testing.T) {
	s := redistest.Start(t)
	l, log := shared(t, s, patient)
	other := connect(t, s)
	claim := ofPlan(1, Limits{Requests: 1000}, 0)
	admit(t, l, claim)
	mustDo(t, other, "CONFIG", "SET", "maxmemory", "1")
	admit(t, l, claim)
	failures := l.Health().Failures
	eventually(t, "it was tried again, in vain", func() bool { return l.Health().Failures > failures+1 })
	if h := l.Health(); h.Mode != Fallback {
		t.Fatalf("%+v", h)
	}
	mustDo(t, other, "CONFIG", "SET", "maxmemory", "0")
	mode(t, l, Redis)
	logged(t, log, "WARN", "INFO")
}

func TestARedisThatKeepsGoingAwayIsLeftAloneLonger(t *testing.T) {
	l, c := newLimiter()
	var holds []time.Duration
	for range 9 {
		l.circuit.Store(&circuit{mode: Redis, since: c.now(), hold: l.circuit.Load().hold})
		l.trip(l.circuit.Load(), 1, context.DeadlineExceeded)
		holds = append(holds, l.circuit.Load().hold)
	}
	if holds[0] != probeEvery || holds[1] != 2*probeEvery || holds[8] != longestHold {
		t.Fatalf("%v", holds)
	}
	l.circuit.Store(&circuit{mode: Redis, since: c.now(), hold: longestHold})
	c.advance(2 * relapse)
	l.trip(l.circuit.Load(), 1, context.DeadlineExceeded)
	if hold := l.circuit.Load().hold; hold != probeEvery {
		t.Fatalf("%v after a long time without trouble", hold)
	}
}

func TestACallerThatLeavesSaysNothingAboutRedis(t *testing.T) {
	s := redistest.Start(t)
	l, log := shared(t, s, patient)
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	claim := ofPlan(1, Limits{Requests: 5, Parallel: 1}, 0)
	ticket, _, err := l.Acquire(gone, claim)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err = l.Acquire(t.Context(), claim); refusedBy(t, err).Kind != Parallel {
		t.Fatalf("it was not counted in Redis: %v", err)
	}
	ticket.Done(0)
	if h := l.Health(); h.Mode != Redis || h.Failures != 0 {
		t.Fatalf("%+v", h)
	}
	logged(t, log)
}

func TestAValueThatNobodyUnderstandsIsReplaced(t *testing.T) {
	s := redistest.Start(t)
	l, _ := shared(t, s, patient)
	mustDo(t, l.redis.client, "SET", "filaia:rates:{t1}:plan:1", "of another version")
	if _, s := admit(t, l, ofPlan(1, Limits{Requests: 5}, 0)); s.RequestsLeft != 4 || l.Health().Mode != Redis {
		t.Fatalf("%+v, %+v", s, l.Health())
	}
}
