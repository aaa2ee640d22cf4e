package gateway

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fila-ia/filaia/internal/breaker"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// house gives a provider's house by its id.
func (s *stage) house(id int64) *House {
	for _, h := range s.g.Models.Houses() {
		if h.Provider.ID == id {
			return h
		}
	}
	return nil
}

func (s *stage) state(id int64, model string) breaker.State {
	for _, m := range s.house(id).Guard.Snapshot().Models {
		if m.Model == model {
			return m.State
		}
	}
	return ""
}

// moves changes a provider's address to that of another fake.
func (s *stage) moves(n int, address string, to *fake) {
	s.fakes[address] = to
	s.providers[n-1].BaseURL = address
	s.reload()
}

func TestRoutesAreTakenByPriorityAndWeight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, speaks(says{}), speaks(says{}), speaks(says{}))
		routes := s.models[0].Routes
		routes[1].Priority, routes[2].Priority = 1, 2
		routes[0].Weight, routes[1].Weight = 3, 1
		s.reload()
		for range 4000 {
			s.whole(7)
		}
		one, two, three := len(s.fake(1).asked), len(s.fake(2).asked), len(s.fake(3).asked)
		if one < 2800 || one > 3200 || one+two != 4000 || three != 0 {
			t.Errorf("weights 3 and 1 share %d and %d; the lower priority got %d", one, two, three)
		}
	})
}

func TestTheRouteThatAnsweredSetsThePrice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, speaks(says{status: 500}), speaks(says{}))
		c := s.call(7)
		if _, err := c.Send(context.Background(), message); err != nil || c.event.Provider != "p2" || c.price().Input != 2 {
			t.Errorf("%s answers at %v, %v", c.event.Provider, c.price(), err)
		}
	})
}

func TestAnOpenBreakerIsPassedBy(t *testing.T) {
	each(t, func(t *testing.T, call func(*stage) outcome) {
		s := newStage(t, speaks(says{status: 500}), speaks(says{}))
		s.limit(func(l *tenancy.ProviderLimits) { l.BreakerMinCalls = 5 })
		for range 10 {
			if o := call(s); o.provider != "p2" {
				t.Fatalf("%+v", o)
			}
		}
		if n := len(s.fake(1).asked); n != 5 || s.state(1, "m-p1") != breaker.Open {
			t.Errorf("%d calls went to a failing provider", n)
		}
		want := breaker.Change{Provider: 1, Model: "m-p1", From: breaker.Closed, To: breaker.Open, Reason: breaker.ByFailures, FailurePercent: 100, Calls: 5}
		if len(s.changes) != 1 || !s.changes[0].At.Equal(s.fake(1).asked[4]) {
			t.Fatalf("%+v", s.changes)
		}
		want.At = s.changes[0].At
		if s.changes[0] != want {
			t.Errorf("%+v", s.changes)
		}
	})
}

func TestSlownessOpensABreakerAndProbesCloseIt(t *testing.T) {
	each(t, func(t *testing.T, call func(*stage) outcome) {
		f := speaks(says{after: 2 * time.Second}, says{after: 2 * time.Second}, says{after: 2 * time.Second}, says{})
		s := newStage(t, f)
		s.limit(func(l *tenancy.ProviderLimits) { l.BreakerMinCalls, l.BreakerSlow = 3, time.Second })
		for range 3 {
			if o := call(s); o.status != 200 {
				t.Fatalf("%+v", o)
			}
		}
		o := call(s)
		if o.refusal == nil || o.refusal.Reason != ProviderAway || o.refusal.RetryAfter != 15*time.Second || len(f.asked) != 3 {
			t.Fatalf("%+v", o)
		}
		time.Sleep(15 * time.Second)
		for range 3 {
			if o := call(s); o.status != 200 {
				t.Errorf("%+v", o)
			}
		}
		var told []string
		for _, c := range s.changes {
			told = append(told, string(c.To)+" "+c.Reason)
		}
		if !slices.Equal(told, []string{"open slow", "half_open time", "closed probes_ok"}) {
			t.Errorf("%v", told)
		}
		s.clean()
	})
}

func TestAFailedProbeKeepsABreakerOpen(t *testing.T) {
	each(t, func(t *testing.T, call func(*stage) outcome) {
		f := speaks(says{status: 500})
		s := newStage(t, f)
		s.limit(func(l *tenancy.ProviderLimits) { l.BreakerMinCalls = 1 })
		if o := call(s); o.status != 500 || len(f.asked) != 1 { // its own retry meets the open breaker
			t.Errorf("%+v, asked %d times", o, len(f.asked))
		}
		time.Sleep(15 * time.Second)
		if o := call(s); o.status != 500 || len(f.asked) != 2 || s.state(1, "m-p1") != breaker.Open {
			t.Errorf("%+v, asked %d times", o, len(f.asked))
		}
	})
}

func TestAllBreakersOpenIsToldWithTheSoonest(t *testing.T) {
	each(t, func(t *testing.T, call func(*stage) outcome) {
		s := newStage(t, speaks(says{status: 500}), speaks(says{status: 500}))
		s.limit(func(l *tenancy.ProviderLimits) { l.BreakerMinCalls, l.Retries = 1, 1 })
		s.providers[0].Limits.BreakerOpen = time.Minute
		s.reload()
		call(s)
		time.Sleep(5 * time.Second)
		o := call(s)
		if o.refusal == nil || o.refusal.RetryAfter != 10*time.Second || o.provider != "" {
			t.Errorf("%+v", o)
		}
	})
}

func TestForcedBreakersHoldUntilGivenBack(t *testing.T) {
	each(t, func(t *testing.T, call func(*stage) outcome) {
		f := speaks(says{})
		s := newStage(t, f)
		force := func(states ...string) {
			s.forces = nil
			for _, state := range states {
				s.forces = append(s.forces, tenancy.BreakerForce{ProviderID: 1, Model: "m-p1", State: state})
			}
			s.reload()
		}
		force("forced_open")
		if o := call(s); o.refusal == nil || o.refusal.RetryAfter != 15*time.Second || len(f.asked) != 0 {
			t.Errorf("forced open: %+v", o)
		}
		s.moves(1, "p1b", f) // another address is no other order
		if o := call(s); o.refusal == nil {
			t.Errorf("forced open and moved: %+v", o)
		}
		force("forced_closed")
		f.script = []says{{status: 500}}
		s.limit(func(l *tenancy.ProviderLimits) { l.BreakerMinCalls, l.Retries = 1, 0 })
		for range 5 {
			if o := call(s); o.status != 500 {
				t.Errorf("forced closed: %+v", o)
			}
		}
		time.Sleep(time.Minute) // what it counted meanwhile is forgotten
		force()
		f.script = []says{{}}
		if o := call(s); o.status != 200 || s.state(1, "m-p1") != breaker.Closed {
			t.Errorf("given back: %+v", o)
		}
	})
}

func TestAnOrderGivenBackWhileTheProviderIsOffIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, speaks(says{}))
		s.forces = []tenancy.BreakerForce{{ProviderID: 1, State: "forced_open"}}
		s.reload()
		s.providers[0].Active, s.forces = false, nil
		s.reload()
		s.providers[0].Active = true
		s.reload()
		if o := s.whole(7); o.status != 200 {
			t.Errorf("%+v", o)
		}
	})
}

func TestAReloadKeepsWhatGuardsKnow(t *testing.T) {
	each(t, func(t *testing.T, call func(*stage) outcome) {
		s := newStage(t, speaks(says{status: 500}), speaks(says{status: 429, header: map[string]string{"retry-after": "60"}}))
		s.limit(func(l *tenancy.ProviderLimits) { l.BreakerMinCalls, l.Retries = 1, 1 })
		call(s)
		for name, change := range map[string]func(){
			"nothing":           func() {},
			"its address":       func() { s.moves(1, "elsewhere", speaks(says{})); s.moves(2, "nowhere", speaks(says{})) },
			"its name":          func() { s.providers[0].Name, s.providers[1].Name = "A", "B" },
			"switched off, on":  func() { s.off(true); s.off(false) },
			"cannot be reached": func() { s.providers[0].BaseURL = "?"; s.reload(); s.providers[0].BaseURL = "p1" },
		} {
			change()
			s.reload()
			if o := call(s); o.refusal == nil || o.provider != "" {
				t.Errorf("after a change of %s: %+v", name, o)
			}
		}
	})
}

func (s *stage) off(off bool) {
	for i := range s.providers {
		s.providers[i].Active = !off
	}
	s.reload()
}

func TestACapHoldsOverAChange(t *testing.T) {
	for name, change := range map[string]func(*stage){
		"another address":  func(s *stage) { s.moves(1, "p1b", speaks(says{})) },
		"switched off, on": func(s *stage) { s.off(true); s.off(false) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, speaks(says{after: time.Minute}))
				s.limit(func(l *tenancy.ProviderLimits) { l.MaxParallel, l.MaxWaiting = 1, 0 })
				go s.whole(7)
				synctest.Wait()
				change(s)
				if o := s.whole(8); o.refusal == nil || o.refusal.Reason != ProviderBusy {
					t.Errorf("%+v", o)
				}
				time.Sleep(2 * time.Minute)
				s.clean()
			})
		})
	}
}

func TestCallsUnderWayOutliveTheirProvider(t *testing.T) {
	for name, change := range map[string]func(*stage){
		"switched off":    func(s *stage) { s.off(true) },
		"removed":         func(s *stage) { s.providers, s.models[0].Routes = nil, nil; s.reload() },
		"another address": func(s *stage) { s.moves(1, "p1b", speaks(says{body: `{"new":1}`})) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				old := speaks(says{after: 5 * time.Second, body: `{"old":1}`})
				s := newStage(t, old)
				ended := make(chan outcome, 2)
				go func() { ended <- s.whole(7) }()
				go func() { ended <- s.stream(8) }()
				synctest.Wait()
				change(s)
				for range 2 {
					if o := <-ended; o.status != 200 || o.provider != "p1" || o.body != `{"old":1}` {
						t.Errorf("%+v", o)
					}
				}
				if old.aborted != 0 || old.closed != 1 {
					t.Errorf("the old way was aborted %d times, closed %d times", old.aborted, old.closed)
				}
				o := s.whole(7)
				switch h := s.house(1); {
				case h == nil && (o.refusal == nil || o.refusal.Reason != ProviderAway):
					t.Errorf("without a provider: %+v", o)
				case name == "another address" && o.body != `{"new":1}`:
					t.Errorf("a new call went the old way: %+v", o)
				}
				s.clean()
			})
		})
	}
}

func TestAReloadThatChangesNothingKeepsTheWay(t *testing.T) {
	s := newStage(t, speaks(says{}))
	before := s.house(1)
	s.reload()
	if s.house(1) != before || s.fake(1).closed != 0 {
		t.Error("an unchanged provider was connected again")
	}
}

func TestAProviderThatCannotBeConnectedHarmsNoOther(t *testing.T) {
	s := newStage(t, speaks(says{}), speaks(says{}))
	s.providers[0].BaseURL = "?"
	s.reload()
	if o := s.whole(7); o.status != 200 || o.provider != "p2" || !strings.Contains(s.logged(), "provider p1: no such address") {
		t.Errorf("%+v, log %q", o, s.logged())
	}
}

func TestAbortReachesTheWaysThatWereReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := speaks(says{})
		s := newStage(t, old)
		s.limit(retries(0))
		a, err := s.call(7).Stream(context.Background(), message)
		if err != nil {
			t.Fatal(err)
		}
		s.moves(1, "p1b", speaks(says{}))
		s.g.Models.Abort()
		if old.aborted != 1 || s.fakes["p1b"].aborted != 1 {
			t.Errorf("the replaced one was aborted %d times, the new one %d times", old.aborted, s.fakes["p1b"].aborted)
		}
		_, _ = io.ReadAll(a)
		a.Close()
	})
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, speaks(says{}))
		for range 100 {
			time.Sleep(time.Hour) // no call is as long
			s.moves(1, time.Now().String(), speaks(says{}))
		}
		if n := len(s.g.Models.houses.replaced); n != 1 {
			t.Errorf("%d ways are kept", n)
		}
	})
}

func TestWaitersAreServedInTurnAmongTenants(t *testing.T) {
	each(t, func(t *testing.T, call func(*stage) outcome) {
		f := speaks(says{after: time.Second})
		s := newStage(t, f)
		s.limit(func(l *tenancy.ProviderLimits) { l.MaxParallel, l.MaxWaiting, l.MaxWait = 2, 100, time.Hour })
		served := make(chan int64, 60)
		for range 40 {
			go func() { s.whole(1); served <- 1 }()
		}
		synctest.Wait()
		for range 10 {
			go func() { s.stream(2); served <- 2 }()
		}
		small := 0
		for n := range 50 {
			tenant := <-served
			if tenant == 2 {
				small++
			}
			if n == 23 && small < 10 {
				t.Errorf("of 24 calls served %d were of the tenant who came later", small)
			}
		}
		if f.most != 2 || s.house(1).Guard.Snapshot().Waiting != 0 {
			t.Errorf("%d calls at once", f.most)
		}
		s.clean()
	})
}
