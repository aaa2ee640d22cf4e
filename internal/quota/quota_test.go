package quota

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// table is a Lessor with the arithmetic of the database row, and its CHECK.
type table struct {
	mu        sync.Mutex
	limit     Pair
	used      Pair // committed, and no longer leased
	leased    Pair
	others    Pair // leased by other replicas, part of leased
	committed Pair
	changes   int64
	calls     int
	err       error

	reaped int64 // what heartbeats are told
	beats  int
	silent error // what they fail with

	returned     uuid.UUID
	returnErr    error // told for every return
	loseRequests bool  // returns do not arrive
	recalls      int
}

func (d *table) Lease(_ context.Context, _ int64, need Pair) (Grant, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls++
	if d.err != nil {
		return Grant{}, d.err
	}
	free := d.limit.minus(d.used).minus(d.leased)
	var grant Pair
	if free.covers(need) {
		grant = Pair{share(free.In, need.In), share(free.Out, need.Out)}
	}
	d.leased = d.leased.plus(grant)
	d.changes++
	if s := d.used.plus(d.leased); s.In > d.limit.In || s.Out > d.limit.Out {
		panic("leased past the limit")
	}
	return Grant{Stand: d.stand(), Granted: grant, Free: free.minus(grant), Others: d.others, Limit: d.limit, Used: d.used}, nil
}

func share(free, need int64) int64 {
	if need == 0 {
		return 0
	}
	return min(free, max(need, free/4))
}

// stand is the lease of the replica that is tested.
func (d *table) stand() Stand {
	return Stand{Leased: d.leased.minus(d.others), Committed: d.committed, Version: d.changes}
}

func (d *table) Return(_ context.Context, _ int64, idle Pair, id uuid.UUID) (Stand, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.returned != id && !d.loseRequests && d.stand().Leased.covers(idle) {
		d.leased = d.leased.minus(idle)
		d.returned = id
		d.changes++
	}
	return d.stand(), d.returnErr
}

func (d *table) Stands(_ context.Context, ids []int64) (map[int64]Stand, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	stands := map[int64]Stand{}
	if stand := d.stand(); stand.Leased != (Pair{}) {
		stands[1] = stand
	}
	for _, id := range ids {
		stands[id] = d.stand()
	}
	return stands, nil
}

// commit moves settled tokens into the books: drawn from the lease as far as it goes.
func (d *table) commit(m *Manager, settled Pair) {
	d.mu.Lock()
	own := d.stand().Leased
	d.leased = d.leased.minus(Pair{min(own.In, settled.In), min(own.Out, settled.Out)})
	free := d.limit.minus(d.used).minus(d.leased).atLeastZero()
	d.used = d.used.plus(Pair{min(settled.In, free.In), min(settled.Out, free.Out)})
	d.committed = d.committed.plus(settled)
	d.changes++
	stand := d.stand()
	d.mu.Unlock()
	m.Committed(1, stand)
}

// reap takes back what the replica leases.
func (d *table) reap() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.leased = d.others
	d.changes++
	d.reaped++
}

func (d *table) Recall(context.Context, int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.recalls++
	return nil
}

func (d *table) Heartbeat(context.Context) (int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.beats++
	return d.reaped, d.silent
}

func newManager(d Lessor) *Manager {
	return NewManager(d, 5*time.Minute, slog.New(slog.DiscardHandler), time.Now)
}

func brief(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestReserveGivesExactlyTheLimitAndRefusesOneTokenAbove(t *testing.T) {
	m := newManager(&table{limit: Pair{100, 50}})
	h, err := m.Reserve(brief(t), 1, Want{In: 100, Out: 50})
	if err != nil {
		t.Fatalf("the whole limit was refused: %v", err)
	}
	h.Settle(Pair{100, 50})
	var refused *Exhausted
	if _, err = m.Reserve(brief(t), 1, Want{In: 1, Out: 0}); !errors.As(err, &refused) || refused.Remaining != (Pair{}) || refused.Busy {
		t.Fatalf("one token above the limit: %v", err)
	}
}

func TestSettleGivesBackWhatWasNotUsed(t *testing.T) {
	m := newManager(&table{limit: Pair{100, 100}})
	h, _ := m.Reserve(brief(t), 1, Want{In: 100, Out: 100})
	h.Settle(Pair{10, 20})
	if got := h.Remaining(); got != (Pair{90, 80}) {
		t.Fatalf("remaining %v", got)
	}
	if _, err := m.Reserve(brief(t), 1, Want{In: 90, Out: 80}); err != nil {
		t.Fatal(err)
	}
}

func TestReserveWaitsForCallsInFlightInsteadOfRefusing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(&table{limit: Pair{100, 100}})
		first, _ := m.Reserve(context.Background(), 1, Want{In: 90, Out: 90})
		go func() {
			time.Sleep(2 * time.Second) // the call in flight
			first.Settle(Pair{10, 10})
		}()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		second, err := m.Reserve(ctx, 1, Want{In: 90, Out: 90})
		if err != nil {
			t.Fatalf("refused although the call in flight left room: %v", err)
		}
		second.Settle(Pair{})
	})
}

func TestReserveSaysBusyWhenTheWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager(&table{limit: Pair{100, 100}})
		first, _ := m.Reserve(context.Background(), 1, Want{In: 90, Out: 90})
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		var refused *Exhausted
		if _, err := m.Reserve(ctx, 1, Want{In: 90, Out: 90}); !errors.As(err, &refused) || !refused.Busy {
			t.Fatalf("got %v, want busy", err)
		}
		first.Settle(Pair{})
	})
}

func TestReserveCountsExactlyOnlyWhereTheBoundDoesNotFit(t *testing.T) {
	m := newManager(&table{limit: Pair{100, 100}})
	counts := 0
	exact := func() int64 { counts++; return 20 }
	h, err := m.Reserve(brief(t), 1, Want{In: 90, Out: 1, ExactIn: exact})
	if err != nil || counts != 0 {
		t.Fatalf("%v, counted %d times although the bound fits", err, counts)
	}
	h.Settle(Pair{80, 1})
	if _, err = m.Reserve(brief(t), 1, Want{In: 90, Out: 1, ExactIn: exact}); err != nil || counts != 1 {
		t.Fatalf("%v, counted %d times; exactly 20 tokens remain", err, counts)
	}
}

func TestElasticCallsShrinkToWhatRemains(t *testing.T) {
	m := newManager(&table{limit: Pair{1000, 5000}})
	h, err := m.Reserve(brief(t), 1, Want{In: 1, Out: 32768, Elastic: true})
	if err != nil || h.Held.Out != 1250 {
		t.Fatalf("held %v, %v; want a quarter of 5000", h.Held, err)
	}
	h.Settle(Pair{1, 1250})
	for _, want := range []int64{1024, 1024, 1024, 678} {
		if h, err = m.Reserve(brief(t), 1, Want{In: 1, Out: 32768, Elastic: true}); err != nil || h.Held.Out != want {
			t.Fatalf("held %v, %v; want %d", h.Held, err, want)
		}
		h.Settle(h.Held)
	}
	if _, err = m.Reserve(brief(t), 1, Want{In: 1, Out: 32768, Elastic: true}); err == nil {
		t.Fatal("an elastic call was let through with no output left")
	}
}

func TestRefusedCallersDoNotHammerTheDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &table{limit: Pair{10, 10}}
		m := newManager(d)
		for range 1000 {
			_, _ = m.Reserve(context.Background(), 1, Want{In: 11, Out: 1})
		}
		if d.calls > 2 {
			t.Fatalf("%d database calls for 1000 refusals", d.calls)
		}
		d.limit = Pair{20, 10}
		time.Sleep(recheckAfter)
		if _, err := m.Reserve(context.Background(), 1, Want{In: 11, Out: 1}); err != nil {
			t.Fatalf("a raised limit was not noticed: %v", err)
		}
	})
}

func TestHeldTokensKeepServingWhileTheDatabaseIsAway(t *testing.T) {
	d := &table{limit: Pair{1000, 1000}}
	m := newManager(d)
	h, err := m.Reserve(brief(t), 1, Want{In: 10, Out: 10})
	if err != nil {
		t.Fatal(err)
	}
	h.Settle(Pair{})
	m.asks.Wait()
	d.mu.Lock()
	d.err = errors.New("away")
	d.mu.Unlock()
	if h, err = m.Reserve(brief(t), 1, Want{In: 200, Out: 200}); err != nil {
		t.Fatalf("within the lease: %v", err)
	}
	h.Settle(Pair{200, 200})
	var refused *Exhausted
	if _, err := m.Reserve(brief(t), 1, Want{In: 200, Out: 200}); err == nil || errors.As(err, &refused) {
		t.Fatalf("outside the lease the error must not claim that the quota is used up: %v", err)
	}
}

func TestADebtIsPaidFromLaterHoldsUntilItIsCovered(t *testing.T) {
	d := &table{limit: Pair{200, 200}}
	m := newManager(d)
	a, _ := m.Reserve(brief(t), 1, Want{In: 100, Out: 100})
	b, _ := m.Reserve(brief(t), 1, Want{In: 100, Out: 100})
	a.Settle(Pair{130, 100}) // 30 more than held
	b.Settle(Pair{40, 100})
	if got := b.Remaining().In; got != 30 {
		t.Fatalf("remaining %d, want 200 - 130 - 40", got)
	}
	d.limit.In += 30 // what the lease does not cover comes from elsewhere
	d.commit(m, Pair{170, 200})
	if got := b.Remaining().In; got != 30 {
		t.Fatalf("remaining %d after all was committed", got)
	}
}

func TestCloseHandsEveryLeaseBack(t *testing.T) {
	d := &table{limit: Pair{1000, 1000}}
	m := newManager(d)
	h, _ := m.Reserve(brief(t), 1, Want{In: 10, Out: 10})
	h.Settle(Pair{3, 4})
	m.Close(brief(t))
	if d.leased != (Pair{3, 4}) { // what the ledger has still to commit
		t.Fatalf("leased %v", d.leased)
	}
}

func TestAHandBackThatFailedIsMadeUpForOnce(t *testing.T) {
	for name, lost := range map[string]bool{"it did not arrive": true, "its answer was lost": false} {
		t.Run(name, func(t *testing.T) {
			d := &table{limit: Pair{1000, 1000}}
			m := newManager(d)
			h, _ := m.Reserve(brief(t), 1, Want{In: 10, Out: 10})
			h.Settle(Pair{})
			d.returnErr, d.loseRequests = errors.New("connection refused"), lost
			m.returnIdle(brief(t), 0)
			m.returnIdle(brief(t), time.Hour) // a debt is paid whether or not the bucket rests
			d.returnErr, d.loseRequests = nil, false
			m.returnIdle(brief(t), time.Hour)
			if d.leased != (Pair{}) {
				t.Fatalf("%v are still leased", d.leased)
			}
			if _, err := m.Reserve(brief(t), 1, Want{In: 1000, Out: 1000}); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestACallThatNeverFitsLeasesNothing(t *testing.T) {
	d := &table{limit: Pair{1000, 1000}}
	m := newManager(d)
	if _, err := m.Reserve(brief(t), 1, Want{In: 10, Out: 5000}); err == nil {
		t.Fatal("admitted")
	}
	if d.leased != (Pair{}) {
		t.Fatalf("%v leased", d.leased)
	}
}

func TestWhatOtherReplicasHoldIsRecalledBeforeACallIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &table{limit: Pair{1000, 1000}, leased: Pair{900, 900}, others: Pair{900, 900}}
		m := newManager(d)
		go func() {
			time.Sleep(2 * recheckAfter)
			d.mu.Lock()
			d.leased, d.others = Pair{}, Pair{} // the other replica hands back
			d.mu.Unlock()
		}()
		h, err := m.Reserve(context.Background(), 1, Want{In: 500, Out: 500})
		if err != nil || d.recalls == 0 {
			t.Fatalf("%v after %d recalls", err, d.recalls)
		}
		h.Settle(Pair{500, 500})
		m.Close(context.Background())
		d.commit(m, Pair{500, 500})
		d.others, d.leased = Pair{500, 500}, Pair{500, 500}
		var refused *Exhausted
		if _, err := m.Reserve(context.Background(), 1, Want{In: 100, Out: 100}); !errors.As(err, &refused) || !refused.Busy {
			t.Fatalf("%v; what others hold may come back", err)
		}
	})
}

func TestCallsThatFitTheLeaseGoOnWhileTheDatabaseIsAway(t *testing.T) {
	d := &table{limit: Pair{4000, 40_000}}
	m := newManager(d)
	h, err := m.Reserve(brief(t), 1, Want{In: 10, Out: 10})
	if err != nil {
		t.Fatal(err)
	}
	h.Settle(Pair{})
	m.asks.Wait()
	d.mu.Lock()
	d.err = errors.New("away")
	d.mu.Unlock()
	// The bound does not fit the lease of 1,000, the exact count does; the elastic output shrinks to what is leased.
	for range 3 {
		h, err := m.Reserve(brief(t), 1, Want{In: 3000, ExactIn: func() int64 { return 300 }, Out: 32_768, Elastic: true})
		if err != nil || h.Held.In != 300 || h.Held.Out == 0 {
			t.Fatalf("%+v %v", h.Held, err)
		}
	}
}

func TestADatabaseThatSaysNothingIsWaitedForOnlySoLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := &silentLessor{table: &table{limit: Pair{1000, 1000}}, free: make(chan struct{})}
		m := newManager(silent)
		start := time.Now()
		if _, err := m.Reserve(context.Background(), 1, Want{In: 1, Out: 1}); !errors.Is(err, errNoAnswer) {
			t.Fatal(err)
		}
		if waited := time.Since(start); waited > leaseTimeout {
			t.Fatalf("waited %v", waited)
		}
		start = time.Now()
		m.Count(context.Background(), 2)
		if waited := time.Since(start); waited > recheckAfter {
			t.Fatalf("a period that refuses nothing waited %v", waited)
		}
		close(silent.free)
		m.asks.Wait()
		if _, err := m.Reserve(context.Background(), 1, Want{In: 1, Out: 1}); err != nil {
			t.Fatalf("after it spoke again: %v", err)
		}
	})
}

// silentLessor answers nothing until free, whatever the context says, as a driver before a frozen database.
type silentLessor struct {
	*table
	free chan struct{}
}

func (s *silentLessor) Lease(ctx context.Context, id int64, need Pair) (Grant, error) {
	<-s.free
	return s.table.Lease(ctx, id, need)
}

func TestAHugeTextIsRefusedWithoutBeingCounted(t *testing.T) {
	m := newManager(&table{limit: Pair{1000, 1000}})
	_, err := m.Reserve(brief(t), 1, Want{In: 31 << 20, Out: 1, ExactIn: func() int64 { t.Error("counted"); return 0 }})
	if err == nil {
		t.Fatal("admitted")
	}
}

func TestIdleBucketsAreForgottenAndFoundAgain(t *testing.T) {
	d := &table{limit: Pair{1000, 1000}}
	m := newManager(d)
	h, _ := m.Reserve(brief(t), 1, Want{In: 10, Out: 10})
	m.forgetIdle(0)
	if len(m.buckets) != 1 {
		t.Fatal("a bucket with a call in flight was forgotten")
	}
	old := m.bucket(1)
	h.Settle(Pair{10, 10})
	m.Close(brief(t))
	m.forgetIdle(0)
	if len(m.buckets) != 1 {
		t.Fatal("a bucket was forgotten whose tokens are not in the books")
	}
	d.commit(m, Pair{10, 10})
	m.forgetIdle(0)
	if len(m.buckets) != 0 {
		t.Fatal("an idle bucket is kept")
	}
	if _, err := old.reserve(brief(t), Want{In: 1, Out: 1}); !errors.Is(err, errGone) {
		t.Fatalf("a forgotten bucket was used: %v", err)
	}
	if _, err := m.Reserve(brief(t), 1, Want{In: 500, Out: 500}); err != nil {
		t.Fatal(err)
	}
}

// TestNeverAboveTheLimitAndNeverRefusedWhileACallFits drives concurrent callers whose real usage is below what they
// hold, over a limit of exactly n calls.
func TestNeverAboveTheLimitAndNeverRefusedWhileACallFits(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		calls := rapid.Int64Range(1, 300).Draw(rt, "calls")
		workers := rapid.IntRange(1, 32).Draw(rt, "workers")
		real := Pair{rapid.Int64Range(1, 50).Draw(rt, "in"), rapid.Int64Range(1, 50).Draw(rt, "out")}
		slack := rapid.Int64Range(0, 100*real.In).Draw(rt, "slack")
		d := &table{limit: Pair{real.In * calls, real.Out * calls}}
		m := newManager(d)
		var answered atomic.Int64
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				for {
					h, err := m.Reserve(brief(t), 1, Want{In: real.In + slack, Out: real.Out, ExactIn: func() int64 { return real.In }})
					if err != nil {
						var refused *Exhausted
						if !errors.As(err, &refused) || refused.Busy {
							t.Errorf("refused for another reason: %v", err)
						}
						return
					}
					answered.Add(1)
					h.Settle(real)
				}
			})
		}
		wg.Wait()
		if answered.Load() != calls {
			rt.Fatalf("answered %d calls of exactly %d", answered.Load(), calls)
		}
	})
}
