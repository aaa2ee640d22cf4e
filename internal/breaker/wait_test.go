package breaker

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func capped(parallel, waiting int) Settings {
	s := DefaultSettings()
	s.MaxParallel, s.MaxWaiting, s.MaxWait = parallel, waiting, time.Hour
	return s
}

func reason(err error) Reason {
	var r *Refused
	if errors.As(err, &r) {
		return r.Reason
	}
	return ""
}

// roll notes whose calls began, in their order.
type roll struct {
	mu    sync.Mutex
	began []int64
}

func (r *roll) add(tenant int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.began = append(r.began, tenant)
}

// crew starts calls of one tenant, each taking a second.
func (d *desk) crew(r *roll, tenant int64, n int) {
	for range n {
		go func() {
			p, err := d.Enter(context.Background(), tenant, model)
			if err != nil {
				return
			}
			r.add(tenant)
			time.Sleep(time.Second)
			p.Leave(Success)
		}()
		synctest.Wait()
	}
}

func TestATenantWithManyCallsDelaysAnotherByOneTurn(t *testing.T) {
	in(t, capped(1, 2000), func(t *testing.T, d *desk) {
		var r roll
		d.crew(&r, 1, 1000)
		time.Sleep(time.Second / 2)
		d.crew(&r, 2, 1)
		d.crew(&r, 3, 2)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		want := []int64{1, 1, 2, 3, 1, 3}
		for i, w := range want {
			if r.began[i] != w {
				t.Fatalf("began %v, want %v", r.began, want)
			}
		}
		if s := d.Snapshot(); s.Parallel != 1 || s.MaxParallel != 1 || s.Waiting != 1003-len(r.began) || s.MaxWaiting != 2000 {
			t.Fatalf("%+v", s)
		}
		s := capped(0, 0)
		d.Update(s) // without a cap nobody waits
		synctest.Wait()
		if len(r.began) != 1003 {
			t.Fatalf("%d began", len(r.began))
		}
		time.Sleep(time.Hour)
	})
}

func TestWaitingEndsWithItsContextOrItsTime(t *testing.T) {
	s := capped(1, 5)
	s.MaxWait = 10 * time.Second
	in(t, s, func(t *testing.T, d *desk) {
		p := d.enter()
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		start := time.Now()
		if _, err := d.Enter(ctx, 1, model); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 3*time.Second {
			t.Fatalf("%v after %v", err, time.Since(start))
		}
		_, err := d.Enter(context.Background(), 1, model)
		if reason(err) != WaitedTooLong || time.Since(start) != 13*time.Second {
			t.Fatalf("%v after %v", err, time.Since(start))
		}
		if s := d.Snapshot(); s.Waiting != 0 {
			t.Fatalf("%+v", s)
		}
		p.Leave(Success)
		d.call(1, Success)
		if s := d.Snapshot(); s.Parallel != 0 {
			t.Fatalf("%+v", s)
		}
	})
}

func TestAFullLineTellsAnHonestTime(t *testing.T) {
	in(t, capped(2, 9), func(t *testing.T, d *desk) {
		var r roll
		p := d.enter()
		time.Sleep(40 * time.Second)
		p.Leave(Success)
		for range 100 { // since then, calls take 8 s here
			p := d.enter()
			time.Sleep(8 * time.Second)
			p.Leave(Success)
		}
		d.crew(&r, 1, 11)
		_, err := d.Enter(context.Background(), 1, model)
		var full *Refused
		// Nine wait for two places of 8 s each: a tenth would get in after 40 s.
		if !errors.As(err, &full) || full.Reason != LineFull || full.RetryAfter.Round(time.Second) != 40*time.Second {
			t.Fatalf("%+v", err)
		}
		time.Sleep(time.Minute)
	})
	in(t, capped(1, 0), func(t *testing.T, d *desk) {
		p := d.enter()
		_, err := d.Enter(context.Background(), 1, model)
		var r *Refused
		if !errors.As(err, &r) || r.Reason != LineFull || r.RetryAfter != time.Second {
			t.Fatalf("%+v", err)
		}
		p.Leave(Neutral)
	})
}

func TestAFullLineMakesRoomForAnotherTenant(t *testing.T) {
	in(t, capped(1, 10), func(t *testing.T, d *desk) {
		p := d.enter()
		results := make(chan error, 20)
		wait := func(tenant int64) {
			go func() {
				p, err := d.Enter(context.Background(), tenant, model)
				results <- err
				p.Leave(Neutral) // of the zero Pass too
			}()
			synctest.Wait()
		}
		for range 10 {
			wait(1)
		}
		wait(2)
		if err := <-results; reason(err) != LineFull {
			t.Fatal(err)
		}
		if _, err := d.Enter(context.Background(), 1, model); reason(err) != LineFull {
			t.Fatalf("the greedy tenant came back: %v", err)
		}
		p.Leave(Success)
		for range 10 {
			if err := <-results; err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestWhoWaitedHearsThatTheDoorClosedMeanwhile(t *testing.T) {
	for name, c := range map[string]struct {
		close func(d *desk)
		want  Reason
	}{
		"throttled": {func(d *desk) { d.Throttle(model, time.Now().Add(time.Minute)) }, Throttled},
		"opened":    {func(d *desk) { d.Force(model, ForcedOpen) }, CircuitOpen},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, capped(1, 10), func(t *testing.T, d *desk) {
				p := d.enter()
				results := make(chan error, 3)
				for range 3 {
					go func() {
						_, err := d.Enter(context.Background(), 1, model)
						results <- err
					}()
				}
				synctest.Wait()
				c.close(d)
				p.Leave(Success)
				for range 3 {
					if err := <-results; reason(err) != c.want {
						t.Fatal(err)
					}
				}
				if s := d.Snapshot(); s.Parallel != 0 || s.Waiting != 0 {
					t.Fatalf("%+v", s)
				}
			})
		})
	}
}

// TestAPlaceGivenToACallerWhoLeftIsHandedOn lets contexts end in the very moments in which places come free.
func TestAPlaceGivenToACallerWhoLeftIsHandedOn(t *testing.T) {
	g := New(1, capped(2, 50), nil)
	var wg sync.WaitGroup
	var let, at, highest atomic.Int64
	for n := range 16 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(2, uint64(n)))
			for range 3000 {
				ctx, cancel := context.WithCancel(context.Background())
				if random.IntN(2) == 0 {
					go cancel()
				}
				p, err := g.Enter(ctx, int64(n%4), model)
				if err == nil {
					let.Add(1)
					now := at.Add(1)
					for h := highest.Load(); now > h && !highest.CompareAndSwap(h, now); h = highest.Load() {
					}
					at.Add(-1)
					p.Leave(Success)
				} else if !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				cancel()
			}
		})
	}
	wg.Wait() // would hang if a waiter without an end to its context were forgotten
	if s := g.Snapshot(); s.Parallel != 0 || s.Waiting != 0 || highest.Load() > 2 || let.Load() < 1000 {
		t.Fatalf("%+v, %d at once, %d let go", s, highest.Load(), let.Load())
	}
}

// TestWhoJoinsWhileAPlaceComesFreeIsSeen lets the last call leave while another joins: one must see the other.
func TestWhoJoinsWhileAPlaceComesFreeIsSeen(t *testing.T) {
	s := capped(1, 1)
	s.MaxWait = 5 * time.Second
	g := New(1, s, nil)
	p, err := g.Enter(context.Background(), 1, model)
	for round := range 50_000 {
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		last := p
		left := make(chan struct{})
		go func() { last.Leave(Neutral); close(left) }()
		p, err = g.Enter(context.Background(), 1, model)
		<-left
	}
}

// TestACallerWhoLeftAsItWasServedLeavesNoPlaceTaken lets the answer and the end of the context be there at once.
func TestACallerWhoLeftAsItWasServedLeavesNoPlaceTaken(t *testing.T) {
	var l line
	s := capped(1, 1)
	l.resize(&s)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	gone := 0
	for range 200 { // which of the two it sees is left to chance
		if w, err := l.join(1); w != nil || err != nil {
			t.Fatalf("the place is taken: %v", err)
		}
		w, err := l.join(2)
		if err != nil {
			t.Fatal(err)
		}
		l.leave()
		if err := l.wait(ctx, w, time.Hour); err == nil {
			l.leave()
		} else if gone++; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	if gone == 0 || l.taken.Load() != 0 {
		t.Fatalf("%d gone, %d places taken", gone, l.taken.Load())
	}
}
