package quota

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// capped is the database's row of a period with extra tokens, and its leases, for several replicas.
type capped struct {
	mu       sync.Mutex
	limit    Pair
	extra    int64
	used     Pair // committed
	leases   map[string]*line
	managers map[string]*Manager
	changes  int64
}

type line struct {
	Stand
	returned uuid.UUID
}

func newCapped(limit Pair, extra int64, replicas ...string) *capped {
	d := &capped{limit: limit, extra: extra, leases: map[string]*line{}, managers: map[string]*Manager{}}
	for _, name := range replicas {
		d.leases[name] = &line{}
		d.managers[name] = NewManager(cappedLessor{d, name}, 5*time.Minute, slog.New(slog.DiscardHandler), time.Now)
	}
	return d
}

// free is signed, as the statement tells it.
func (d *capped) free() Pair {
	free := d.limit.minus(d.used)
	for _, l := range d.leases {
		free = free.minus(l.Leased)
	}
	return free
}

func (d *capped) check() {
	if d.extra < (Pair{}).minus(d.free()).above() {
		panic("more is used and leased than limits and extra tokens allow")
	}
}

// changed is the replica's line after a change.
func (d *capped) changed(l *line) Stand {
	d.check()
	d.changes++
	l.Version = d.changes
	return l.Stand
}

// commit moves what a replica's call used from its lease into the books.
func (d *capped) commit(name string, used Pair) {
	d.mu.Lock()
	l := d.leases[name]
	if !l.Leased.covers(used) {
		panic("settled more than is leased")
	}
	l.Leased, l.Committed, d.used = l.Leased.minus(used), l.Committed.plus(used), d.used.plus(used)
	stand := d.changed(l)
	d.mu.Unlock()
	d.managers[name].Committed(1, stand)
}

// cappedLessor is one replica's side.
type cappedLessor struct {
	*capped
	name string
}

func (d cappedLessor) Lease(_ context.Context, _ int64, need Pair) (Grant, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	free := d.free()
	spare := max(d.extra, Pair{}.minus(free).above()) - need.minus(free).above()
	var grant Pair
	if spare >= 0 {
		part := func(free, need int64) int64 {
			if need == 0 {
				return 0
			}
			return max(need, (max(free, need)+spare/2)/4)
		}
		grant = Pair{part(free.In, need.In), part(free.Out, need.Out)}
	}
	l := d.leases[d.name]
	l.Leased = l.Leased.plus(grant)
	g := Grant{Stand: d.changed(l), Granted: grant, Free: free.minus(grant), Extra: d.extra, Limit: d.limit, Used: d.used}
	for name, l := range d.leases {
		if name != d.name {
			g.Others = g.Others.plus(l.Leased)
		}
	}
	return g, nil
}

func (d cappedLessor) Return(_ context.Context, _ int64, idle Pair, id uuid.UUID) (Stand, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.leases[d.name]
	if l.returned != id && l.Leased.covers(idle) {
		l.Leased, l.returned = l.Leased.minus(idle), id
		return d.changed(l), nil
	}
	return l.Stand, nil
}

func (d cappedLessor) Stands(context.Context, []int64) (map[int64]Stand, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return map[int64]Stand{1: d.leases[d.name].Stand}, nil
}

func (d cappedLessor) Recall(ctx context.Context, periodID int64) error {
	for name, m := range d.managers {
		if name != d.name {
			m.HandBack(ctx, periodID)
		}
	}
	return nil
}

func (d cappedLessor) Heartbeat(context.Context) (int64, error) { return 0, nil }

// TestACapIsNeverPassedAndNoCallIsRefusedThatFits drives callers of several replicas whose calls take input, output or both, over
// limits with extra tokens that either may use.
func TestACapIsNeverPassedAndNoCallIsRefusedThatFits(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		limit := Pair{rapid.Int64Range(0, 2000).Draw(rt, "limit in"), rapid.Int64Range(0, 2000).Draw(rt, "limit out")}
		d := newCapped(limit, rapid.Int64Range(0, 2000).Draw(rt, "extra"), "a", "b", "c")
		kinds := make([]Pair, rapid.IntRange(1, 3).Draw(rt, "kinds"))
		for i := range kinds {
			kinds[i] = Pair{rapid.Int64Range(0, 60).Draw(rt, "in"), rapid.Int64Range(1, 60).Draw(rt, "out")}
			if rapid.Bool().Draw(rt, "turned") {
				kinds[i] = Pair{kinds[i].Out, kinds[i].In}
			}
		}
		slack := rapid.Int64Range(0, 30).Draw(rt, "slack")
		workers := rapid.IntRange(1, 4).Draw(rt, "workers")
		synctest.Test(t, func(t *testing.T) { // what they wait takes no time
			var wg sync.WaitGroup
			for name, m := range d.managers {
				for w := range workers {
					wg.Go(func() { d.callUntilRefused(t, name, m, kinds, w, slack) })
				}
			}
			wg.Wait()
		})
		rest := d.limit.minus(d.used)
		for _, kind := range kinds {
			if rest.fits(kind, d.extra) {
				rt.Errorf("a call of %v was refused: used %v of %v and %d", kind, d.used, d.limit, d.extra)
			}
		}
	})
}

// callUntilRefused calls with one kind after the other until each is refused for good. A call holds more than it uses.
func (d *capped) callUntilRefused(t *testing.T, name string, m *Manager, kinds []Pair, first int, slack int64) {
	refused := map[int]bool{}
	for i := first; len(refused) < len(kinds); i++ {
		i := i % len(kinds)
		if refused[i] {
			continue
		}
		bound := kinds[i].plus(Pair{slack, 0})
		h, err := m.Reserve(context.Background(), 1, Want{In: bound.In, Out: bound.Out, ExactIn: func() int64 { return kinds[i].In }})
		var exhausted *Exhausted
		switch {
		case err == nil:
			h.Settle(kinds[i])
			d.commit(name, kinds[i])
		case errors.As(err, &exhausted) && !exhausted.Busy:
			refused[i] = true
		default:
			t.Errorf("refused for another reason: %v", err)
			return
		}
	}
}

func TestWhatIsLeasedAsInputAboveTheLimitIsLeasedAgainAsOutput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newCapped(Pair{}, 100, "a")
		m := d.managers["a"]
		h, err := m.Reserve(context.Background(), 1, Want{In: 100})
		if err != nil {
			t.Fatal(err)
		}
		h.Settle(Pair{10, 0})
		d.commit("a", Pair{10, 0})
		start := time.Now()
		if h, err = m.Reserve(context.Background(), 1, Want{Out: 90}); err != nil {
			t.Fatalf("90 of 100 extra tokens are idle: %v", err)
		}
		if time.Since(start) > 0 {
			t.Errorf("waited %v for an exchange", time.Since(start))
		}
		h.Settle(Pair{0, 90})
		d.commit("a", Pair{0, 90})
		var refused *Exhausted
		if _, err := m.Reserve(context.Background(), 1, Want{Out: 1}); !errors.As(err, &refused) || refused.Busy || refused.Extra != 0 {
			t.Errorf("%v: the cap is spent", err)
		}
	})
}

func TestAnElasticCallShrinksToWhatTheCapLeaves(t *testing.T) {
	d := newCapped(Pair{1000, 100}, 50, "a")
	m := d.managers["a"]
	h, err := m.Reserve(brief(t), 1, Want{In: 1010, Out: 32768, Elastic: true})
	if err != nil || h.Held != (Pair{1010, 140}) {
		t.Fatalf("held %v, %v; want 100 and what 10 extra tokens of input leave of 50", h.Held, err)
	}
	if left := h.Remaining(); left != (Pair{0, 0}) && left != (Pair{1000, 100}) {
		t.Errorf("%v of the included tokens remain", left)
	}
	h.Settle(Pair{1010, 120})
	d.commit("a", Pair{1010, 120})
	if h, err = m.Reserve(brief(t), 1, Want{In: 0, Out: 32768, Elastic: true}); err != nil || h.Held.Out != 20 {
		t.Fatalf("held %v, %v; want the 20 that are left", h.Held, err)
	}
}

func TestARaisedCapIsNoticedAndALoweredOneGrantsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newCapped(Pair{100, 100}, 10, "a")
		m := d.managers["a"]
		h, err := m.Reserve(context.Background(), 1, Want{In: 110})
		if err != nil {
			t.Fatal(err)
		}
		h.Settle(Pair{110, 0})
		d.commit("a", Pair{110, 0})
		if _, err := m.Reserve(context.Background(), 1, Want{In: 1}); err == nil {
			t.Fatal("one token above the cap")
		}
		d.mu.Lock()
		d.extra = 20
		d.mu.Unlock()
		time.Sleep(recheckAfter)
		if h, err = m.Reserve(context.Background(), 1, Want{In: 5}); err != nil {
			t.Fatalf("a raised cap was not noticed: %v", err)
		}
		h.Settle(Pair{})
		d.mu.Lock()
		d.extra = 15 // what is used and leased
		d.mu.Unlock()
		m.HandBack(context.Background(), 1) // as a lowered cap asks for
		d.mu.Lock()
		d.extra = 10
		d.mu.Unlock()
		var refused *Exhausted
		if _, err := m.Reserve(context.Background(), 1, Want{In: 1}); !errors.As(err, &refused) {
			t.Errorf("%v after the cap was lowered to what is used", err)
		}
	})
}
