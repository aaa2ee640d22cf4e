package ratelimit

import (
	"context"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/fila-ia/filaia/internal/redistest"
)

// crowd lets 64 goroutines, spread over the limiters, try calls that may be at most limit at once.
func crowd(t *testing.T, limit int, limiters ...*Limiter) {
	t.Helper()
	var atOnce, highest, admitted atomic.Int64
	var wg sync.WaitGroup
	for i := range 64 {
		l := limiters[i%len(limiters)]
		wg.Go(func() {
			for range 100 {
				claim := Claim{Tenant: 1, Tokens: 1, Scopes: [3]Scope{
					{Key, int64(i % 4), Limits{Parallel: limit + 1}}, {Tenant, 1, Limits{Parallel: limit}}, {Plan, 9, Limits{Requests: 1 << 20, Tokens: 1 << 20}},
				}}
				ticket, _, err := l.Acquire(context.Background(), claim)
				if err != nil {
					continue
				}
				admitted.Add(1)
				n := atOnce.Add(1)
				for h := highest.Load(); n > h && !highest.CompareAndSwap(h, n); h = highest.Load() {
				}
				atOnce.Add(-1)
				ticket.Done(1)
			}
		})
	}
	wg.Wait()
	if highest.Load() > int64(limit) || admitted.Load() < int64(limit) {
		t.Fatalf("%d at once with a limit of %d, %d admitted", highest.Load(), limit, admitted.Load())
	}
	for _, l := range limiters {
		if h := l.Health(); h.Failures != 0 {
			t.Fatalf("%+v", h)
		}
	}
}

func TestParallelCallsNeverExceedTheLimitInProcess(t *testing.T) {
	crowd(t, 5, New(Options{}))
}

func TestParallelCallsNeverExceedTheLimitOfTwoReplicas(t *testing.T) {
	s := redistest.Start(t)
	one, _ := shared(t, s, patient)
	two, _ := shared(t, s, patient)
	crowd(t, 5, one, two)
	// All places are given back: as many calls fit as ever.
	claim := Claim{Tenant: 1, Scopes: [3]Scope{{Tenant, 1, Limits{Parallel: 5}}}}
	eventually(t, "the places of calls that ended are free", func() bool { return calls(t, one.redis.client, ":tenant:1:calls") == 0 })
	for range 5 {
		admit(t, two, claim)
	}
	if _, _, err := one.Acquire(t.Context(), claim); refusedBy(t, err).Kind != Parallel {
		t.Fatal(err)
	}
}

// calls counts the places taken under tenant 1's key with this end.
func calls(t testing.TB, client rueidis.Client, end string) int64 {
	t.Helper()
	n, err := mustDo(t, client, "ZCARD", "filaia:rates:{t1}"+end).AsInt64()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestTwoReplicasShareOneAllowance(t *testing.T) {
	s := redistest.Start(t)
	one, _ := shared(t, s, patient)
	two, _ := shared(t, s, patient)
	const limit = 100
	var admitted atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	for i := range 64 {
		l := []*Limiter{one, two}[i%2]
		wg.Go(func() {
			for range 20 {
				ticket, _, err := l.Acquire(context.Background(), ofPlan(1, Limits{Requests: limit, Tokens: 10 * limit}, 10))
				if err == nil {
					admitted.Add(1)
					ticket.Done(10)
				}
			}
		})
	}
	wg.Wait()
	most := limit + int64(limit*time.Since(began)/time.Minute) + 1
	if n := admitted.Load(); n < limit || n > most {
		t.Fatalf("%d admitted; from %d to %d fit", n, limit, most)
	}
}

func TestACallMakesOneRoundTrip(t *testing.T) {
	s := redistest.Start(t)
	client := connect(t, s)
	l := New(Options{Redis: client})
	patient(l)
	claim := threeScopes(10)
	claim.Scopes[0].Limits, claim.Scopes[2].Limits.Requests = roomy, 1
	first, _ := admit(t, l, claim) // also teaches Redis the script
	first.Done(5)
	claim.Scopes[1].Limits, claim.Scopes[2].Limits = roomy, roomy
	mustDo(t, client, "CONFIG", "RESETSTAT")
	before := l.Health().RoundTrips
	for range 50 {
		ticket, _ := admit(t, l, claim)
		ticket.Done(5) // told with the next call
	}
	if n := l.Health().RoundTrips - before; n != 50 {
		t.Errorf("%d round trips for 50 calls", n)
	}
	stats, _ := mustDo(t, client, "INFO", "commandstats").ToString()
	if !strings.Contains(stats, "cmdstat_evalsha:calls=50,") || strings.Contains(stats, "cmdstat_eval:") {
		t.Errorf("50 calls were:\n%s", stats)
	}
	if s := l.Status(t.Context(), claim); s.TokensLeft < 1<<30-51*5 || l.Health().RoundTrips != before+51 {
		t.Errorf("%+v, %+v", s, l.Health())
	}
}

// TestACallThatEndedDoesNotStandInTheWayOfTheNext is about callers that make one call after another: what their last call
// left must not have to reach Redis first.
func TestACallThatEndedDoesNotStandInTheWayOfTheNext(t *testing.T) {
	st := newStage(t)
	l := st.limiter(t) // Run is not running
	claim := ofPlan(1, Limits{Tokens: 600, Parallel: 1}, 500)
	for i := range 5 {
		ticket, s := admit(t, l, claim)
		if want := 600 - 500 - 20*i; s.TokensLeft != want {
			t.Fatalf("call %d: %+v, want %d left", i, s, want)
		}
		ticket.Done(20)
	}
}

func TestAPlaceIsFreeAlsoWhileAnotherQuestionTellsOfTokens(t *testing.T) {
	st := newStage(t)
	l := st.limiter(t)
	claim := ofPlan(1, Limits{Tokens: 100, Parallel: 1}, 10)
	first, _ := admit(t, l, claim)
	first.Done(20)
	slow := l.queue.take(l.queue.keys()[0]) // by a question that is not answered yet
	l.queue.release(carried{correction: correction{ended: slow.ended}, member: slow.member}, false)
	second, _ := admit(t, l, claim)
	second.Done(20)
	third, _ := admit(t, l, claim)
	l.queue.release(slow, false) // nor ever will be
	third.Done(20)
	l.flush(t.Context())
	l.flush(t.Context())
	if _, s := admit(t, l, claim); s.TokensLeft != 30 {
		t.Fatalf("%+v", s)
	}
}

func TestACallThatEndedWhileItsPlaceIsRenewedGivesItBack(t *testing.T) {
	st := newStage(t)
	l := st.limiter(t)
	claim := ofPlan(1, Limits{Parallel: 1}, 0)
	ticket, _ := admit(t, l, claim)
	l.queue.renew(1<<60, 1<<61)
	renewal := l.queue.take(l.queue.keys()[0])
	ticket.Done(0)
	l.flush(t.Context()) // comes before the renewal, which is on another connection
	q := l.redis.newQuestion(toTell, "", 0)
	q.about(l.redis, renewal.member, renewal.correction)
	if _, _, err := l.redis.ask(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	l.queue.release(renewal, true)
	admit(t, l, claim)
}

func TestACorrectionLeavesTheLimitsAsTheyAreNow(t *testing.T) {
	st := newStage(t)
	l := st.limiter(t)
	before, _ := admit(t, l, ofPlan(1, Limits{Tokens: 100}, 100))
	admit(t, l, ofPlan(1, Limits{Tokens: 1000}, 800))
	before.Done(90)
	l.flush(t.Context())
	if s := l.Status(t.Context(), ofPlan(1, Limits{Tokens: 1000}, 0)); s.TokensLeft != 110 {
		t.Fatalf("%+v", s)
	}
}

func TestRunTellsRedisWhatCameOfCallsAndFlushesWhenItEnds(t *testing.T) {
	st := newStage(t)
	one, two := st.limiter(t), st.limiter(t)
	claim := ofPlan(1, Limits{Tokens: 600, Parallel: 2}, 500)
	ticket, _ := admit(t, one, claim)
	late, _ := admit(t, one, ofPlan(1, claim.Scopes[2].Limits, 50))
	stop := run(t, one)
	ticket.Done(100)
	eventually(t, "the other replica sees the correction", func() bool { return two.Status(t.Context(), claim).TokensLeft == 450 })
	late.Done(0)
	stop()
	if s := two.Status(t.Context(), claim); s.TokensLeft != 500 {
		t.Fatalf("after the last flush: %+v", s)
	}
	if n := len(one.queue.keys()); n != 0 {
		t.Fatalf("%d scopes are still waiting", n)
	}
}

func TestCorrectionsAreMergedWhileRedisIsNotTold(t *testing.T) {
	st := newStage(t)
	l := st.limiter(t)
	claim := ofPlan(1, Limits{Tokens: 1 << 30}, 100)
	tickets := make([]Ticket, 500)
	for i := range tickets {
		tickets[i], _ = admit(t, l, claim)
	}
	for _, ticket := range tickets {
		ticket.Done(30)
	}
	if n := len(l.queue.keys()); n != 1 {
		t.Fatalf("%d entries", n)
	}
	l.flush(t.Context())
	if s := st.limiter(t).Status(t.Context(), claim); s.TokensLeft != 1<<30-500*30 {
		t.Fatalf("%+v", s)
	}
}

func TestACorrectionThatArrivesTwiceCountsOnce(t *testing.T) {
	st := newStage(t)
	l := st.limiter(t)
	claim := ofPlan(1, Limits{Tokens: 600}, 500)
	ticket, _ := admit(t, l, claim)
	ticket.Done(300)
	for range 2 { // as when the answer to the first is lost
		c := l.queue.take(l.queue.keys()[0])
		q := l.redis.newQuestion(toTell, "", 0)
		q.about(l.redis, c.member, c.correction)
		if _, _, err := l.redis.ask(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		l.queue.release(c, false)
	}
	l.flush(t.Context())
	if s := l.Status(t.Context(), claim); s.TokensLeft != 300 {
		t.Fatalf("%+v", s)
	}
	again, _ := admit(t, l, ofPlan(1, Limits{Tokens: 600}, 300))
	again.Done(100)
	if s := l.Status(t.Context(), claim); s.TokensLeft != 200 {
		t.Fatalf("the next correction: %+v", s)
	}
}

func TestALongCallKeepsItsPlace(t *testing.T) {
	s := redistest.Start(t)
	l, _ := shared(t, s, patient, func(l *Limiter) { l.redis.renew = time.Millisecond })
	claim := ofPlan(1, Limits{Parallel: 1}, 0)
	ticket, _ := admit(t, l, claim)
	expires := func() float64 {
		members, err := mustDo(t, l.redis.client, "ZRANGE", "filaia:rates:{t1}:plan:1:calls", "0", "-1", "WITHSCORES").AsZScores()
		if err != nil || len(members) != 1 {
			t.Fatalf("%v, %v", members, err)
		}
		return members[0].Score
	}
	for range 3 {
		before := expires()
		eventually(t, "the place is renewed", func() bool { return expires() > before })
	}
	ticket.Done(0)
	eventually(t, "the place is free", func() bool { return calls(t, l.redis.client, ":plan:1:calls") == 0 })
	if ring := &l.queue.underWay; ring.after != ring {
		t.Fatal("a call that ended is still renewed")
	}
}

func TestThePlaceOfADeadReplicaBecomesFree(t *testing.T) {
	s := redistest.Start(t)
	dead := New(Options{Redis: connect(t, s)}) // nothing renews its places
	patient(dead)
	dead.redis.lease = 50 * time.Millisecond
	claim := ofPlan(1, Limits{Parallel: 2}, 0)
	admit(t, dead, claim)
	l, _ := shared(t, s, patient)
	admit(t, l, claim) // keeps its place
	eventually(t, "the place is free", func() bool {
		_, _, err := l.Acquire(t.Context(), claim)
		return err == nil
	})
}

func TestAllKeysOfATenantHaveOneHashTagAndExpire(t *testing.T) {
	s := redistest.Start(t)
	l, _ := shared(t, s, patient)
	ticket, _ := admit(t, l, threeScopes(900))
	short, _ := admit(t, l, Claim{Tenant: 7, Tokens: 90, Scopes: [3]Scope{{Key, 1, Limits{Tokens: 1000}}}})
	short.Done(10)
	eventually(t, "all is told", func() bool { return len(l.queue.keys()) == 0 })
	keys, err := mustDo(t, l.redis.client, "KEYS", "*").AsStrSlice()
	if err != nil || len(keys) < 6 {
		t.Fatalf("%v, %v", keys, err)
	}
	tagged := regexp.MustCompile(`^filaia:rates:\{t7\}:(key:1|tenant:7|plan:3)(:calls|:` + l.redis.replica + `)?$`)
	for _, key := range keys {
		ms, err := mustDo(t, l.redis.client, "PTTL", key).AsInt64()
		if err != nil || ms <= 0 && ms != -2 || ms > time.Hour.Milliseconds() || !tagged.MatchString(key) {
			t.Errorf("%s lives for %d ms, %v", key, ms, err)
		}
	}
	ticket.Done(0)
}

func TestAClusterTakesEveryQuestion(t *testing.T) {
	l, log := shared(t, redistest.StartCluster(t), patient, func(l *Limiter) { l.redis.renew = time.Millisecond })
	for tenant := range int64(20) {
		claim := threeScopes(100)
		claim.Tenant, claim.Scopes[1].ID = tenant, tenant
		ticket, _ := admit(t, l, claim)
		if _, _, err := l.Acquire(t.Context(), claim); refusedBy(t, err).Kind != Parallel {
			t.Fatal(err)
		}
		l.Status(t.Context(), claim)
		defer ticket.Done(30)
		short, _ := admit(t, l, Claim{Tenant: tenant, Tokens: 100, Scopes: [3]Scope{claim.Scopes[0]}})
		short.Done(10)
	}
	eventually(t, "all is told", func() bool { return len(l.queue.keys()) == 0 })
	if h := l.Health(); h.Mode != Redis || h.Failures != 0 {
		t.Fatalf("%+v, %v", h, log.lines)
	}
}

func TestInstallationsOnOneRedisShareNoLimit(t *testing.T) {
	s := redistest.Start(t)
	one, _ := shared(t, s, patient, func(l *Limiter) { l.redis.space = "filaia:one:" })
	other, _ := shared(t, s, patient, func(l *Limiter) { l.redis.space = "filaia:other:" })
	claim := Claim{Tenant: 1, Tokens: 10, Scopes: [3]Scope{{Tenant, 1, Limits{Requests: 1, Tokens: 10, Parallel: 1}}}}
	admit(t, one, claim)
	admit(t, other, claim)
	if _, _, err := one.Acquire(t.Context(), claim); err == nil {
		t.Error("its own limit is not kept")
	}
	if l := New(Options{Redis: connect(t, s), Space: "filaia:third:"}); l.redis.space != "filaia:third:" {
		t.Errorf("the space is %q", l.redis.space)
	}
}
