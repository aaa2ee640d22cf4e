package breaker

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestForcedOpenRefusesUntilGivenBack(t *testing.T) {
	in(t, DefaultSettings(), func(t *testing.T, d *desk) {
		d.call(5, Success)
		d.Force(model, ForcedOpen)
		d.Force(model, ForcedOpen)
		time.Sleep(time.Hour)
		if r := d.refused(); r.Reason != CircuitOpen || r.RetryAfter <= 0 {
			t.Fatalf("%+v", r)
		}
		d.Force(model, Open) // no such order
		d.refused()
		d.Force(model, Closed)
		d.call(5, Success)
		d.wants("closed>forced_open:manual", "forced_open>closed:manual")
	})
}

func TestForcedClosedLetsPassAndCounts(t *testing.T) {
	in(t, DefaultSettings(), func(t *testing.T, d *desk) {
		d.call(20, Failure)
		d.Force(model, ForcedClosed)
		d.call(100, Failure)
		if m := d.Snapshot().Models[0]; m.State != ForcedClosed || m.Calls != 100 || m.FailurePercent != 100 {
			t.Fatalf("%+v", m)
		}
		d.wants("closed>open:failures", "open>forced_closed:manual")
		time.Sleep(20 * time.Second)
		d.Force(model, Closed)
		d.call(1, Failure) // the automatic knows what happened meanwhile
		if r := d.refused(); r.RetryAfter != 15*time.Second {
			t.Fatalf("the delay of the first opening went on: %+v", r)
		}
		d.Force(model, Closed) // nothing to give back: it opened by itself
		d.refused()
	})
}

func TestForceOfAllModelsHoldsThoseToCome(t *testing.T) {
	in(t, DefaultSettings(), func(t *testing.T, d *desk) {
		d.Force("", ForcedOpen)
		d.refused()
		if _, err := d.Enter(context.Background(), 1, "another"); err == nil {
			t.Fatal("a new model was let go")
		}
		d.Force("", Closed)
		if ok, _ := d.Ready("another"); !ok {
			t.Fatal("not given back")
		}
		if ok, _ := d.Ready("a third"); !ok {
			t.Fatal("models to come not given back")
		}
	})
}

func TestAModelsOwnOrderBeatsThatForAllInAnyOrder(t *testing.T) {
	all := func(d *desk) { d.Force("", ForcedOpen) }
	one := func(d *desk) { d.Force(model, ForcedClosed) }
	for name, orders := range map[string][]func(*desk){
		"all first": {all, one}, "one first": {one, all}, "again and again": {one, all, one, all, all, one},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, DefaultSettings(), func(t *testing.T, d *desk) {
				d.call(1, Success)
				for _, order := range orders {
					order(d)
				}
				d.is(ForcedClosed)
				told := len(d.told)
				all(d)
				one(d)
				if len(d.told) != told {
					t.Fatalf("told of nothing: %q", d.reasons())
				}
				d.Force(model, Closed)
				d.is(ForcedOpen)
				one(d)
				d.Force("", Closed)
				d.is(ForcedClosed)
				d.Force(model, Closed)
				d.is(Closed)
			})
		})
	}
}

func TestThrottleLetsNobodyGoWithTheModel(t *testing.T) {
	in(t, DefaultSettings(), func(t *testing.T, d *desk) {
		start := time.Now()
		d.Throttle(model, start.Add(-time.Second))
		d.call(1, Success)
		d.Throttle(model, start.Add(10*time.Second))
		d.Throttle(model, start.Add(5*time.Second)) // the longer one wins
		if r := d.refused(); r.Reason != Throttled || r.RetryAfter != 10*time.Second {
			t.Fatalf("%+v", r)
		}
		if until := d.Snapshot().ThrottledUntil; !until.Equal(start.Add(10 * time.Second)) {
			t.Fatal(until)
		}
		time.Sleep(10*time.Second - 1)
		d.refused()
		time.Sleep(time.Nanosecond)
		d.call(1, Success)
		if until := d.Snapshot().ThrottledUntil; !until.IsZero() {
			t.Fatal(until)
		}
		d.Throttle(model, time.Now().Add(24*time.Hour))
		if r := d.refused(); r.RetryAfter != 2*time.Minute {
			t.Fatalf("not bounded: %+v", r)
		}
	})
}

func TestThrottleStopsNoOtherModel(t *testing.T) {
	in(t, DefaultSettings(), func(t *testing.T, d *desk) {
		until := time.Now().Add(20 * time.Second)
		d.Throttle("another", until)
		d.Throttle("a third", until.Add(-time.Second))
		d.call(1, Success)
		if ok, wait := d.Ready(model); !ok {
			t.Errorf("not ready for %s", wait)
		}
		if ok, wait := d.Ready("another"); ok || wait != 20*time.Second {
			t.Errorf("ready: %v, in %s", ok, wait)
		}
		s := d.Snapshot()
		for _, m := range s.Models {
			want := map[string]time.Time{"another": until, "a third": until.Add(-time.Second)}[m.Model]
			if !m.ThrottledUntil.Equal(want) {
				t.Errorf("%s is throttled until %s, not %s", m.Model, m.ThrottledUntil, want)
			}
		}
		if len(s.Models) != 3 || !s.ThrottledUntil.Equal(until) {
			t.Errorf("%+v", s)
		}
	})
}

func TestUpdateKeepsStatesAndTakesNewSettings(t *testing.T) {
	in(t, DefaultSettings(), func(t *testing.T, d *desk) {
		d.call(19, Failure)
		s := DefaultSettings()
		s.MaxParallel = 100
		d.Update(s)
		d.call(1, Failure) // the window is kept
		s.Window = time.Minute
		d.Update(s)
		d.is(Open)
		s.OpenFor, s.Probes = 5*time.Second, 1
		d.Update(s)
		if r := d.refused(); r.RetryAfter != 5*time.Second {
			t.Fatalf("%+v", r)
		}
		time.Sleep(5 * time.Second)
		p := d.enter()
		d.refused()
		s.Probes = 2
		d.Update(s)
		d.is(HalfOpen)
		p.Leave(Success)
		d.is(HalfOpen)
		d.call(1, Success)
		d.is(Closed)
		d.Update(Settings{}) // defaults, not zeros
		d.call(19, Failure)
		d.is(Closed)
		d.call(1, Failure)
		if r := d.refused(); r.RetryAfter != 15*time.Second {
			t.Fatalf("%+v", r)
		}
	})
}

func TestModelsAreBounded(t *testing.T) {
	in(t, DefaultSettings(), func(t *testing.T, d *desk) {
		for i := range 10 * maxModels {
			p, err := d.Enter(context.Background(), 1, fmt.Sprint("model ", i))
			if err != nil {
				t.Fatal(err)
			}
			p.Leave(Success)
		}
		m := d.Snapshot().Models
		if len(m) != maxModels+1 || m[0].Model != "*" || m[0].Calls != 9*maxModels {
			t.Fatalf("%d models, the first %+v", len(m), m[0])
		}
	})
}

func TestChangesAreToldOutsideLocksAndInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g *Guard
		var told []string
		g = New(1, DefaultSettings(), func(c Change) {
			told = append(told, string(c.To))
			g.Snapshot()
			if c.To == ForcedOpen { // a change while one is told comes after it
				g.Force(model, ForcedClosed)
				g.Force(model, Closed)
				told = append(told, "told")
			}
		})
		g.Ready(model)
		g.Force(model, ForcedOpen)
		if got := fmt.Sprint(told); got != "[forced_open told forced_closed closed]" {
			t.Fatal(got)
		}
	})
}

func TestAPanicInTellingDoesNotSilenceWhatFollows(t *testing.T) {
	told := 0
	g := New(1, DefaultSettings(), func(Change) {
		if told++; told == 1 {
			panic("told")
		}
	})
	g.Ready(model)
	func() {
		defer func() { recover() }()
		g.Force(model, ForcedOpen)
	}()
	g.Force(model, Closed)
	if told != 2 {
		t.Fatalf("%d told", told)
	}
}

// chain checks that changes follow one another, model by model.
type chain struct {
	mu    sync.Mutex
	state map[string]State
	count int
	err   error
	busy  atomic.Bool
}

func (c *chain) tell(ch Change) {
	if !c.busy.CompareAndSwap(false, true) {
		c.fail("two are told at once")
	}
	defer c.busy.Store(false)
	c.mu.Lock()
	was := c.state[ch.Model]
	c.state[ch.Model] = ch.To
	c.count++
	c.mu.Unlock()
	if was == "" {
		was = Closed
	}
	if ch.From != was || ch.From == ch.To {
		c.fail(fmt.Sprintf("%s was %s: %+v", ch.Model, was, ch))
	}
}

func (c *chain) fail(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = fmt.Errorf("%s", what)
}

// TestManyCallsAtOnce lets calls of many tenants race with each other and with a person who forces and changes settings.
func TestManyCallsAtOnce(t *testing.T) {
	c := &chain{state: map[string]State{}}
	s := DefaultSettings()
	s.MinCalls, s.Window, s.OpenFor, s.MaxParallel, s.MaxWaiting = 5, 10*time.Millisecond, time.Millisecond, 6, 20
	g := New(1, s, c.tell)
	var at, highest, let atomic.Int64
	var wg sync.WaitGroup
	for n := range 32 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(n)))
			for range 2000 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(random.IntN(300))*time.Microsecond)
				p, err := g.Enter(ctx, int64(n%5), fmt.Sprint("model ", n%3))
				if err == nil {
					let.Add(1)
					now := at.Add(1)
					for h := highest.Load(); now > h && !highest.CompareAndSwap(h, now); h = highest.Load() {
					}
					if random.IntN(2) == 0 {
						p.Answered(0, Result(random.IntN(3)))
					}
					at.Add(-1)
					p.Leave(Result(random.IntN(3)))
				}
				cancel()
			}
		})
	}
	for i := range 50 {
		g.Force(fmt.Sprint("model ", i%3), []State{ForcedOpen, ForcedClosed, Closed}[i/3%3])
		s.Probes = 1 + i%3
		g.Update(s)
		g.Snapshot()
	}
	g.Force("", Closed)
	wg.Wait()
	if c.err != nil {
		t.Fatal(c.err)
	}
	if highest.Load() > 6 || let.Load() == 0 || c.count == 0 {
		t.Fatalf("%d at once, %d let go, %d changes", highest.Load(), let.Load(), c.count)
	}
	end := g.Snapshot()
	if end.Parallel != 0 || end.Waiting != 0 {
		t.Fatalf("left behind: %+v", end)
	}
	for _, m := range end.Models {
		if told := c.state[m.Model]; told != m.State {
			t.Errorf("%s is %s, told was %s", m.Model, m.State, told)
		}
	}
}

func TestProbesAtOnceNeverExceedTheirNumber(t *testing.T) {
	s := DefaultSettings()
	s.Probes = 4
	in(t, s, func(t *testing.T, d *desk) {
		d.call(20, Failure)
		time.Sleep(15 * time.Second)
		var at, highest, let atomic.Int64
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				p, err := d.Enter(context.Background(), 1, model)
				if err != nil {
					return
				}
				let.Add(1)
				highest.Store(max(highest.Load(), at.Add(1)))
				time.Sleep(time.Second)
				at.Add(-1)
				p.Leave(Neutral)
			})
		}
		wg.Wait()
		if let.Load() != 4 || highest.Load() != 4 {
			t.Fatalf("%d let go, %d at once", let.Load(), highest.Load())
		}
	})
}
