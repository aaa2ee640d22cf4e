package ratelimit

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// drawLimits draws limits; whether calls at once are limited is a matter of the scope.
func drawLimits(t *rapid.T, kind ScopeKind) Limits {
	limits := Limits{
		Requests: rapid.SampledFrom([]int{0, 1, 3, 7, 600}).Draw(t, "requests"),
		Tokens:   rapid.SampledFrom([]int{0, 1, 100, 777, 150_000_000}).Draw(t, "tokens"),
	}
	if kind != Key {
		limits.Parallel = rapid.IntRange(1, 4).Draw(t, "parallel")
	}
	return limits
}

func drawTokens(t *rapid.T) int64 {
	return rapid.SampledFrom([]int64{0, 1, 50, 99, 100, 101, 1000, 1e9}).Draw(t, "tokens")
}

func drawPause(t *rapid.T) time.Duration {
	return time.Duration(rapid.SampledFrom([]int64{1, 10, 999, 8571, 60_000, 300_000}).Draw(t, "ms")) * time.Millisecond
}

// TestRedisAndMemoryDecideAlike makes the same calls in both, on one clock, and compares every word they say.
func TestRedisAndMemoryDecideAlike(t *testing.T) {
	st := newStage(t)
	rapid.Check(t, func(r *rapid.T) {
		st.reset(t)
		here, there := New(Options{Now: st.clock.now}), st.limiter(t)
		ctx := context.Background()
		var scopes [2][3]Scope
		change := func(r *rapid.T) {
			tenant := rapid.IntRange(0, 1).Draw(r, "tenant")
			i := rapid.IntRange(0, 2).Draw(r, "scope")
			kind := []ScopeKind{Key, Tenant, Plan}[i]
			scopes[tenant][i] = Scope{kind, int64(tenant), drawLimits(r, kind)}
		}
		for range 6 {
			change(r)
		}
		type pair struct{ here, there Ticket }
		var open []pair
		claim := func(r *rapid.T) Claim {
			tenant := rapid.IntRange(0, 1).Draw(r, "tenant")
			c := Claim{Tenant: int64(tenant), Scopes: scopes[tenant], Tokens: drawTokens(r)}
			if rapid.Bool().Draw(r, "without key") {
				c.Scopes[0] = Scope{}
			}
			return c
		}
		r.Repeat(map[string]func(*rapid.T){
			"acquire": func(r *rapid.T) {
				c := claim(r)
				t1, s1, err1 := here.Acquire(ctx, c)
				t2, s2, err2 := there.Acquire(ctx, c)
				if s1 != s2 || !reflect.DeepEqual(err1, err2) {
					r.Fatalf("%+v:\nmemory %+v, %#v\nRedis  %+v, %#v", c, s1, err1, s2, err2)
				}
				if err1 == nil {
					open = append(open, pair{t1, t2})
				}
			},
			"done": func(r *rapid.T) {
				if len(open) == 0 {
					return
				}
				i, tokens := rapid.IntRange(0, len(open)-1).Draw(r, "call"), drawTokens(r)
				open[i].here.Done(tokens)
				open[i].there.Done(tokens)
				there.flush(ctx)
				open[i] = open[len(open)-1]
				open = open[:len(open)-1]
			},
			"look": func(r *rapid.T) {
				c := claim(r)
				if s1, s2 := here.Status(ctx, c), there.Status(ctx, c); s1 != s2 {
					r.Fatalf("%+v:\nmemory %+v\nRedis  %+v", c, s1, s2)
				}
			},
			"wait": func(r *rapid.T) { st.advance(t, drawPause(r)) },
			"change": func(r *rapid.T) {
				if len(open) == 0 { // a call's correction is by the limits it was admitted with
					change(r)
				}
			},
		})
		if h := there.Health(); h.Mode != Redis || h.Failures != 0 {
			r.Fatalf("%+v", h)
		}
	})
}

// admission is a call that went through.
type admission struct {
	at     time.Time
	key    int64
	tokens int64 // reserved; once it ended, no more than were used
	ticket Ticket
	ended  bool
}

// TestNoWindowLetsMoreThroughThanItsLimits holds every window between two calls against each limit: one allowance, and
// what grows back in that time.
func TestNoWindowLetsMoreThroughThanItsLimits(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		l, c := newLimiter()
		limits := [3]Limits{drawLimits(r, Key), drawLimits(r, Tenant), drawLimits(r, Plan)}
		var calls []*admission
		r.Repeat(map[string]func(*rapid.T){
			"acquire": func(r *rapid.T) {
				key, tokens := rapid.Int64Range(1, 2).Draw(r, "key"), drawTokens(r)
				claim := Claim{Tenant: 1, Tokens: tokens, Scopes: [3]Scope{{Key, key, limits[0]}, {Tenant, 1, limits[1]}, {Plan, 1, limits[2]}}}
				before := l.Status(context.Background(), claim)
				ticket, _, err := l.Acquire(context.Background(), claim)
				if err == nil {
					calls = append(calls, &admission{at: c.now(), key: key, tokens: tokens, ticket: ticket})
					return
				}
				var refused *Refused
				if !errors.As(err, &refused) || refused.RetryAfter <= 0 {
					r.Fatalf("%v", err)
				}
				if after := l.Status(context.Background(), claim); before != after {
					r.Fatalf("a refused call took something: %+v became %+v", before, after)
				}
			},
			"done": func(r *rapid.T) {
				if len(calls) == 0 {
					return
				}
				call := calls[rapid.IntRange(0, len(calls)-1).Draw(r, "call")]
				if !call.ended {
					used := drawTokens(r)
					call.ticket.Done(used)
					call.tokens, call.ended = min(used, call.tokens), true
				}
			},
			"wait": func(r *rapid.T) { c.advance(drawPause(r)) },
			"": func(r *rapid.T) {
				checkWindows(r, calls, limits[0], func(a *admission) bool { return a.key == 1 })
				checkWindows(r, calls, limits[1], func(a *admission) bool { return true })
				checkWindows(r, calls, limits[2], func(a *admission) bool { return true })
			},
		})
	})
}

func checkWindows(r *rapid.T, calls []*admission, limits Limits, of func(*admission) bool) {
	for i, first := range calls {
		var requests, tokens, open int64
		for _, last := range calls[i:] {
			if !of(first) || !of(last) {
				continue
			}
			requests++
			tokens += min(last.tokens, int64(limits.Tokens))
			if !last.ended {
				open++
			}
			window := last.at.Sub(first.at).Milliseconds()
			for _, rate := range [][2]int64{{requests, int64(limits.Requests)}, {tokens, int64(limits.Tokens)}} {
				if n, limit := rate[0], rate[1]; limit > 0 && n*unit > limit*unit+limit*window {
					r.Fatalf("%d in %d ms with a limit of %d a minute", n, window, limit)
				}
			}
		}
		if limits.Parallel > 0 && open > int64(limits.Parallel) {
			r.Fatalf("%d calls at once with a limit of %d", open, limits.Parallel)
		}
	}
}

// TestARefusedCallFitsOnceItWaitedAsTold holds where nobody else takes anything meanwhile.
func TestARefusedCallFitsOnceItWaitedAsTold(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		l, c := newLimiter()
		limits := [3]Limits{drawLimits(r, Key), drawLimits(r, Key), drawLimits(r, Key)}
		for range 20 {
			claim := Claim{Tenant: 1, Tokens: drawTokens(r), Scopes: [3]Scope{{Key, 1, limits[0]}, {Tenant, 1, limits[1]}, {Plan, 1, limits[2]}}}
			ticket, _, err := l.Acquire(context.Background(), claim)
			if err != nil {
				var refused *Refused
				errors.As(err, &refused)
				c.advance(refused.RetryAfter - time.Millisecond)
				if _, _, err = l.Acquire(context.Background(), claim); err == nil {
					r.Fatalf("it fitted earlier than told: %+v", refused)
				}
				c.advance(time.Millisecond)
				if ticket, _, err = l.Acquire(context.Background(), claim); err != nil {
					r.Fatalf("%+v, then %+v", refused, err)
				}
			}
			ticket.Done(drawTokens(r))
		}
	})
}
