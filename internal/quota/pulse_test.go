package quota

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

func TestAReplicaThatWasSilentTooLongSpendsNothingUnasked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &table{limit: Pair{1000, 1000}}
		m := newManager(d)
		under, err := m.Reserve(t.Context(), 1, Want{In: 100, Out: 100})
		if err != nil {
			t.Fatal(err)
		}
		idle, _ := m.Reserve(t.Context(), 1, Want{In: 50, Out: 50})
		idle.Settle(Pair{})
		synctest.Wait()
		time.Sleep(10 * time.Minute) // as a process that was stopped
		d.reap()
		d.mu.Lock()
		d.used = d.limit // others spent all of it
		d.mu.Unlock()
		var refused *Exhausted
		if _, err := m.Reserve(t.Context(), 1, Want{In: 10, Out: 10}); !errors.As(err, &refused) {
			t.Fatalf("a call was admitted on a lease that others have: %v", err)
		}
		under.Settle(Pair{100, 100})
		d.commit(m, Pair{100, 100})
		if got := m.Stats(); got != (Stats{}) {
			t.Fatalf("%+v is left", got)
		}
		if d.leased != (Pair{}) {
			t.Fatalf("%v are still leased", d.leased)
		}
	})
}

func TestACallThatWaitsWhileTheProcessIsStoppedIsNotAdmittedOnOldLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &table{limit: Pair{100, 100}}
		m := newManager(d)
		first, err := m.Reserve(t.Context(), 1, Want{In: 100, Out: 100})
		if err != nil {
			t.Fatal(err)
		}
		waiting := make(chan error, 1)
		go func() {
			_, err := m.Reserve(t.Context(), 1, Want{In: 60, Out: 60})
			waiting <- err
		}()
		synctest.Wait() // it waits for the first
		long := time.Now().Add(-time.Hour)
		m.pulse.at.Store(&long) // stopped meanwhile
		d.reap()
		d.mu.Lock()
		d.used = d.limit
		d.mu.Unlock()
		first.Settle(Pair{})
		var refused *Exhausted
		if err := <-waiting; !errors.As(err, &refused) {
			t.Fatalf("admitted on a lease that others have: %v", err)
		}
	})
}

func TestASilentReplicaThatCannotAskSaysSoAndGoesOnWhenItCan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &table{limit: Pair{1000, 1000}}
		m := newManager(d)
		h, _ := m.Reserve(t.Context(), 1, Want{In: 100, Out: 100})
		h.Settle(Pair{})
		synctest.Wait()
		d.mu.Lock()
		d.silent = errors.New("away")
		d.mu.Unlock()
		time.Sleep(3 * time.Minute) // within four fifths of the grace
		if h, err := m.Reserve(t.Context(), 1, Want{In: 10, Out: 10}); err != nil {
			t.Fatalf("refused although nobody can have taken the lease: %v", err)
		} else {
			h.Settle(Pair{})
		}
		time.Sleep(2 * time.Minute)
		var refused *Exhausted
		if _, err := m.Reserve(t.Context(), 1, Want{In: 10, Out: 10}); err == nil || errors.As(err, &refused) {
			t.Fatalf("the error must not claim that the quota is used up: %v", err)
		}
		d.mu.Lock()
		d.silent = nil
		d.mu.Unlock()
		time.Sleep(awayRetry)
		if _, err := m.Reserve(t.Context(), 1, Want{In: 10, Out: 10}); err != nil {
			t.Fatalf("the lease stands, and the database says so: %v", err)
		}
	})
}

func TestAStepOfTheClockCostsOneHeartbeat(t *testing.T) {
	for name, step := range map[string]time.Duration{"forward": time.Hour, "back": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			var offset time.Duration
			d := &table{limit: Pair{1000, 1000}}
			m := NewManager(d, 5*time.Minute, slog.New(slog.DiscardHandler), func() time.Time { return time.Now().Round(0).Add(offset) })
			call := func() {
				h, err := m.Reserve(brief(t), 1, Want{In: 10, Out: 10})
				if err != nil {
					t.Fatal(err)
				}
				h.Settle(Pair{})
				m.asks.Wait()
			}
			call()
			offset = step
			for range 10 {
				call()
			}
			if d.beats > 2 {
				t.Fatalf("%d heartbeats", d.beats)
			}
		})
	}
}

func TestASupersededReplicaSpendsAndReturnsNothing(t *testing.T) {
	d := &table{limit: Pair{1000, 1000}}
	m := newManager(d)
	h, err := m.Reserve(brief(t), 1, Want{In: 100, Out: 100})
	if err != nil {
		t.Fatal(err)
	}
	h.Settle(Pair{})
	m.asks.Wait()
	d.silent = ErrSuperseded
	if err := m.Beat(brief(t)); !errors.Is(err, ErrSuperseded) {
		t.Fatal(err)
	}
	if _, err := m.Reserve(brief(t), 1, Want{In: 1, Out: 1}); !errors.Is(err, ErrSuperseded) {
		t.Fatal(err)
	}
	before := d.leased
	m.Close(brief(t))
	if d.leased != before {
		t.Fatal("the lease belongs to the other process now, and was handed back")
	}
}

func TestALeaseWhoseAnswerWasLostIsFoundAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(&forgetful{table: &table{limit: Pair{100, 100}}, lose: 1})
		if _, err := m.Reserve(t.Context(), 1, Want{In: 40, Out: 40}); err == nil {
			t.Fatal("the answer was lost")
		}
		time.Sleep(awayRetry) // the database that failed is left alone for so long
		if _, err := m.Reserve(t.Context(), 1, Want{In: 100, Out: 100}); err != nil {
			t.Fatalf("what was leased unheard is missing: %v", err)
		}
	})
}

func TestALeaseWhoseAnswerWasLostGoesBackToWhoNeedsIt(t *testing.T) {
	for name, handBack := range map[string]func(*Manager){
		"on demand": func(m *Manager) { m.HandBack(context.Background(), 1) },
		"at rest":   func(m *Manager) { m.sweep(context.Background(), 0) },
		"at a stop": func(m *Manager) { m.Close(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			d := &table{limit: Pair{100, 100}}
			m := newManager(&forgetful{table: d, lose: 1})
			if _, err := m.Reserve(brief(t), 1, Want{In: 40, Out: 40}); err == nil {
				t.Fatal("the answer was lost")
			}
			m.asks.Wait()
			handBack(m)
			if d.leased != (Pair{}) {
				t.Fatalf("%v stay leased by a replica that does not know it", d.leased)
			}
		})
	}
}

func TestALeaseThatThisProcessNeverAskedForGoesBack(t *testing.T) {
	d := &table{limit: Pair{100, 100}, leased: Pair{40, 40}, changes: 3} // of an earlier life, whose question came late
	m := newManager(d)
	m.sweep(brief(t), 0)
	if d.leased != (Pair{}) {
		t.Fatalf("%v stay leased", d.leased)
	}
}

func TestHandBacksThatHangStarveNoHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &slowReturn{table: &table{limit: Pair{1000, 1000}}, arrive: make(chan struct{})}
		m := newManager(d)
		h, err := m.Reserve(t.Context(), 1, Want{In: 10, Out: 10})
		if err != nil {
			t.Fatal(err)
		}
		h.Settle(Pair{})
		ctx, stop := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- m.Run(ctx) }()
		time.Sleep(returnAfter + time.Minute) // by now it hands back, and waits
		before := d.beatsSoFar()
		time.Sleep(5 * time.Minute)
		if n := d.beatsSoFar() - before; n < 25 {
			t.Fatalf("%d heartbeats in five minutes", n)
		}
		close(d.arrive)
		stop()
		if err := <-ran; err != nil {
			t.Fatal(err)
		}
	})
}

func (d *table) beatsSoFar() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.beats
}

// forgetful loses the answers to its first leases, which were granted.
type forgetful struct {
	*table
	lose int
}

func (f *forgetful) Lease(ctx context.Context, id int64, need Pair) (Grant, error) {
	g, err := f.table.Lease(ctx, id, need)
	if f.lose > 0 {
		f.lose--
		return Grant{}, errors.New("connection reset")
	}
	return g, err
}

// TestTheLimitHoldsWhateverHappensToLeases is a state machine: calls are admitted and settled, commits come late and in
// any order, leases are handed back, taken by others and taken back while the replica is silent. At every instant the
// lease in the database covers all that was admitted, except calls that were under way when it was taken back.
func TestTheLimitHoldsWhateverHappensToLeases(t *testing.T) {
	// In a bubble, where waiting takes no time.
	synctest.Test(t, func(t *testing.T) { rapid.Check(struct{ rapid.TB }{t}, leasesAreBattered) })
}

// tokens are those of calls, and of these what was under way, or not committed yet, when the lease was taken back.
type battered struct {
	holds       []Hold
	late        []bool // beside holds
	settled     int64  // and not committed
	settledLate int64
}

func leasesAreBattered(rt *rapid.T) {
	limit := rapid.Int64Range(1, 2000).Draw(rt, "limit")
	d := &table{limit: Pair{limit, limit}}
	m := newManager(d)
	var b battered
	call := func(rt *rapid.T) {
		for _, n := range rapid.SliceOfN(rapid.Int64Range(1, 200), 1, 8).Draw(rt, "tokens") {
			if h, err := m.Reserve(context.Background(), 1, Want{In: n, Out: n}); err == nil {
				b.holds, b.late = append(b.holds, h), append(b.late, false)
			}
			m.asks.Wait()
		}
	}
	settle := func(rt *rapid.T) {
		for len(b.holds) > rapid.IntRange(0, 4).Draw(rt, "left") {
			n := rapid.Int64Range(0, b.holds[0].Held.In).Draw(rt, "used")
			b.holds[0].Settle(Pair{n, n})
			if b.late[0] {
				b.settledLate += n
			} else {
				b.settled += n
			}
			b.holds, b.late = b.holds[1:], b.late[1:]
		}
	}
	commit := func(pool *int64) func(*rapid.T) {
		return func(rt *rapid.T) {
			n := rapid.Int64Range(0, *pool).Draw(rt, "tokens")
			d.commit(m, Pair{n, n})
			*pool -= n
		}
	}
	rt.Repeat(map[string]func(*rapid.T){
		"call": call, "call again": call, "settle": settle, "settle again": settle,
		"commit": commit(&b.settled), "commit late ones": commit(&b.settledLate),
		"hand back":                func(*rapid.T) { m.HandBack(context.Background(), 1) },
		"others take what is free": func(rt *rapid.T) { d.lend(rapid.Int64Range(0, 1000).Draw(rt, "at most")) },
		"others use what they took": func(*rapid.T) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.used, d.leased, d.others = d.used.plus(d.others), d.leased.minus(d.others), Pair{}
		},
		"silence": func(rt *rapid.T) {
			if rapid.IntRange(0, 2).Draw(rt, "how long") > 0 {
				return
			}
			d.reap()
			for i := range b.late {
				b.late[i] = true
			}
			b.settled, b.settledLate = 0, b.settledLate+b.settled
			long := time.Now().Add(-time.Hour)
			m.pulse.at.Store(&long)
		},
		"": func(rt *rapid.T) {
			admitted := b.settled
			for i, h := range b.holds {
				if !b.late[i] {
					admitted += h.Held.In
				}
			}
			d.mu.Lock()
			defer d.mu.Unlock()
			if own := d.stand().Leased.In; admitted > own {
				rt.Fatalf("calls were admitted for %d tokens on a lease of %d", admitted, own)
			}
		},
	})
}

// lend gives others free tokens.
func (d *table) lend(atMost int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	free := d.limit.minus(d.used).minus(d.leased).atLeastZero()
	n := min(free.In, free.Out, atMost)
	d.leased, d.others = d.leased.plus(Pair{n, n}), d.others.plus(Pair{n, n})
}

func TestTokensOnTheirWayBackAreNotSpent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &slowReturn{table: &table{limit: Pair{100, 100}}, arrive: make(chan struct{})}
		m := newManager(slow)
		h, err := m.Reserve(t.Context(), 1, Want{In: 100, Out: 100})
		if err != nil {
			t.Fatal(err)
		}
		h.Settle(Pair{})
		go m.HandBack(t.Context(), 1)
		synctest.Wait() // it is on its way
		if got := m.bucket(1).avail(); got != (Pair{}) {
			t.Fatalf("%v could be spent twice", got)
		}
		close(slow.arrive)
		synctest.Wait()
		if _, err := m.Reserve(t.Context(), 1, Want{In: 100, Out: 100}); err != nil {
			t.Fatal(err)
		}
	})
}

type slowReturn struct {
	*table
	arrive chan struct{}
}

func (s *slowReturn) Return(ctx context.Context, id int64, idle Pair, once uuid.UUID) (Stand, error) {
	<-s.arrive
	return s.table.Return(ctx, id, idle, once)
}

func TestAnAnswerThatWasOvertakenIsNotBelieved(t *testing.T) {
	d := &table{limit: Pair{400, 400}}
	m := newManager(d)
	h, err := m.Reserve(brief(t), 1, Want{In: 100, Out: 100})
	if err != nil {
		t.Fatal(err)
	}
	h.Settle(Pair{100, 100})
	m.asks.Wait()
	overtaken := Grant{Stand: d.stand(), Free: d.limit.minus(d.leased)}
	d.commit(m, Pair{100, 100})
	b := m.bucket(1)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.granted(overtaken, nil)
	if b.lease != d.stand() {
		t.Fatalf("the replica spends a lease of %v, and has one of %v", b.lease, d.stand())
	}
}
