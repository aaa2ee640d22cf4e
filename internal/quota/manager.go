package quota

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Manager keeps the buckets of this replica. It is safe for concurrent use.
type Manager struct {
	lessor Lessor
	log    *slog.Logger
	now    func() time.Time

	mu      sync.RWMutex
	buckets map[int64]*bucket
	asks    sync.WaitGroup // of the database, under way
}

// NewManager starts nothing; call Run to keep the leases alive.
func NewManager(lessor Lessor, log *slog.Logger, now func() time.Time) *Manager {
	return &Manager{lessor: lessor, log: log, now: now, buckets: map[int64]*bucket{}}
}

// Hold is tokens set aside for one call. Exactly one Settle ends it. The zero Hold holds nothing.
type Hold struct {
	b    *bucket
	soft bool
	Held Pair
}

// Settle ends the hold with the tokens that were really used; zero usage gives all of it back.
func (h Hold) Settle(actual Pair) {
	switch {
	case h.b == nil:
	case h.soft:
		h.b.count(actual)
	default:
		h.b.settle(h.Held, actual)
	}
}

// Remaining is what is left of the period's included tokens, as this replica knows it; what calls in flight hold is
// still left.
func (h Hold) Remaining() Pair {
	if h.b == nil {
		return Pair{}
	}
	h.b.mu.Lock()
	defer h.b.mu.Unlock()
	if h.soft {
		return h.b.limit.minus(h.b.used).atLeastZero()
	}
	return h.b.remaining()
}

// Count opens a call of a soft period, which is counted but never refused.
func (m *Manager) Count(ctx context.Context, periodID int64) Hold {
	b := m.bucket(periodID)
	b.refresh(ctx)
	return Hold{b: b, soft: true}
}

// Reserve holds tokens of a hard period for one call. It waits, as long as ctx allows and at most reserveTimeout, while
// calls in flight hold what may come back, and refuses with *Exhausted when the call cannot fit any more. Any other error means that
// the database could not be asked.
func (m *Manager) Reserve(ctx context.Context, periodID int64, want Want) (Hold, error) {
	for {
		b := m.bucket(periodID)
		held, err := b.reserve(ctx, want)
		if errors.Is(err, errGone) {
			continue
		}
		if err != nil {
			return Hold{}, err
		}
		m.leaseAhead(b)
		return Hold{b: b, Held: held}, nil
	}
}

func (m *Manager) bucket(periodID int64) *bucket {
	m.mu.RLock()
	b := m.buckets[periodID]
	m.mu.RUnlock()
	if b != nil {
		return b
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if b = m.buckets[periodID]; b == nil {
		b = &bucket{periodID: periodID, lessor: m.lessor, now: m.now, activeAt: m.now(), asks: &m.asks}
		m.buckets[periodID] = b
	}
	return b
}

// leaseAhead fetches the next chunk in the background when little is left of this one.
func (m *Manager) leaseAhead(b *bucket) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if need, low := b.runsLow(); low {
		b.startLease(context.Background(), need) // whoever needs it next asks again and reports
	}
}

// Uncovered tells that the ledger's commit charged tokens of this replica's calls to no lease of it: the provider had
// reported more than was held.
func (m *Manager) Uncovered(periodID int64, tokens Pair) { m.bucket(periodID).uncovered(tokens) }

// How often leases are kept alive, how long a bucket rests before its tokens go back for others to use, and how long
// before it is forgotten: periods end, and nobody asks for them again.
const (
	sweepEvery  = 10 * time.Second
	returnAfter = time.Minute
	forgetAfter = time.Hour
)

// Run keeps the leases alive and hands idle ones back until ctx ends.
func (m *Manager) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := m.lessor.Heartbeat(ctx); err != nil && ctx.Err() == nil {
			m.log.Warn("lease heartbeat failed", "error", err)
		}
		m.returnIdle(ctx, returnAfter)
		m.forgetIdle(forgetAfter)
	}
}

// forgetIdle drops buckets that hold nothing and owe nothing.
func (m *Manager) forgetIdle(idleFor time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, b := range m.buckets {
		if b.forget(idleFor) {
			delete(m.buckets, id)
		}
	}
}

func (b *bucket) forget(idleFor time.Duration) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gone = b.holds == 0 && b.leasing == nil && b.avail == Pair{} && b.owed.Pair == Pair{} && b.now().Sub(b.activeAt) >= idleFor
	return b.gone
}

// Close hands every lease back. Calls must have ended and the ledger must be committed.
func (m *Manager) Close(ctx context.Context) {
	m.asks.Wait()
	m.returnIdle(ctx, 0)
}

// HandBack returns what nobody holds of a period: another replica has asked for it.
func (m *Manager) HandBack(ctx context.Context, periodID int64) {
	m.mu.RLock()
	b := m.buckets[periodID]
	m.mu.RUnlock()
	if b != nil {
		m.giveBack(ctx, b)
	}
}

func (m *Manager) returnIdle(ctx context.Context, idleFor time.Duration) {
	m.mu.RLock()
	all := make([]*bucket, 0, len(m.buckets))
	for _, b := range m.buckets {
		all = append(all, b)
	}
	m.mu.RUnlock()
	for _, b := range all {
		if b.idle(idleFor) {
			m.giveBack(ctx, b)
		}
	}
}

// idle tells whether there is something to hand back: the tokens of a bucket at rest, or a debt that did not arrive.
func (b *bucket) idle(since time.Duration) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.owed.Pair != Pair{} || b.holds == 0 && b.leasing == nil && b.now().Sub(b.activeAt) >= since
}

func (m *Manager) giveBack(ctx context.Context, b *bucket) {
	if err := b.giveBack(ctx); err != nil && ctx.Err() == nil {
		m.log.Warn("lease could not be handed back; trying again", "period", b.periodID, "error", err)
	}
}

// giveBack returns what nobody holds. Tokens are taken out first, so that no call spends them meanwhile; what did not
// arrive, or whose arrival was not heard of, is sent again under the same id.
func (b *bucket) giveBack(ctx context.Context) error {
	b.mu.Lock()
	if b.owed.sending {
		b.mu.Unlock()
		return nil
	}
	if b.owed.Pair == (Pair{}) {
		b.owed = debt{Pair: b.avail.atLeastZero(), id: uuid.New()}
		b.avail = b.avail.minus(b.owed.Pair)
		b.known, b.chunk = false, Pair{}
	}
	owed := b.owed
	b.owed.sending = owed.Pair != Pair{}
	b.mu.Unlock()
	if owed.Pair == (Pair{}) {
		return nil
	}
	err := b.lessor.Return(ctx, b.periodID, owed.Pair, owed.id)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.owed.sending = false
	if err == nil {
		b.owed = debt{}
	}
	return err
}
