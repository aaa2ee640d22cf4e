package quota

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

// Manager keeps the buckets of this replica. It is safe for concurrent use.
type Manager struct {
	lessor Lessor
	log    *slog.Logger
	now    func() time.Time
	pulse  *pulse

	mu      sync.RWMutex
	buckets map[int64]*bucket
	asks    sync.WaitGroup // of the database, under way
}

// NewManager starts nothing; call Run to keep the leases alive. grace is the silence after which others may take them
// back.
func NewManager(lessor Lessor, grace time.Duration, log *slog.Logger, now func() time.Time) *Manager {
	m := &Manager{lessor: lessor, log: log, now: now, buckets: map[int64]*bucket{}}
	m.pulse = newPulse(lessor, grace, now, m.resync, &m.asks)
	return m
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

// Refused says that a call cannot be held with what the hold got; the hold must be settled.
func (h Hold) Refused(asked Pair) *Exhausted {
	h.b.mu.Lock()
	defer h.b.mu.Unlock()
	return h.b.exhausted(asked)
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
	b := m.known(periodID)
	if b != nil {
		return b
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if b = m.buckets[periodID]; b == nil {
		b = &bucket{periodID: periodID, lessor: m.lessor, now: m.now, pulse: m.pulse, activeAt: m.now(), asks: &m.asks}
		m.buckets[periodID] = b
	}
	return b
}

// leaseAhead fetches the next chunk in the background when little is left of this one.
func (m *Manager) leaseAhead(b *bucket) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if need, low := b.runsLow(); low {
		b.startLease(need) // whoever needs it next asks again and reports
	}
}

// Committed tells how this replica's lease of a period stands after a commit.
func (m *Manager) Committed(periodID int64, s Stand) {
	if b := m.known(periodID); b != nil {
		b.hear(s)
	}
}

// How long a bucket rests before its tokens go back for others to use, how often that is looked at, and how long before
// a bucket is forgotten: periods end, and nobody asks for them again.
const (
	sweepEvery  = 10 * time.Second
	returnAfter = time.Minute
	forgetAfter = time.Hour
)

// Run keeps the leases alive and hands idle ones back until ctx ends. ErrSuperseded means that this process must stop.
func (m *Manager) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	var sweeping sync.WaitGroup
	defer sweeping.Wait()
	defer stop()
	sweeping.Go(func() { m.sweepLoop(ctx) }) // beside the heartbeats, which must not wait for it
	return m.Live(ctx)
}

// Live sends heartbeats until ctx ends, and no more: what an earlier life leased is not this one's to spend or return.
func (m *Manager) Live(ctx context.Context) error {
	beat := time.NewTicker(m.pulse.every)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-beat.C:
			if err := m.Beat(ctx); errors.Is(err, ErrSuperseded) {
				return err
			}
		}
	}
}

func (m *Manager) sweepLoop(ctx context.Context) {
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-sweep.C:
			m.sweep(ctx, returnAfter)
			m.forgetIdle(forgetAfter)
		}
	}
}

// sweep hands back what rests. It asks first how the leases stand: what was leased, and the answer lost, is known to the
// database alone.
func (m *Manager) sweep(ctx context.Context, idleFor time.Duration) {
	if err := m.sync(ctx, m.resting()); err != nil && ctx.Err() == nil {
		m.log.Warn("ask how leases stand", "error", err)
	}
	m.returnIdle(ctx, idleFor)
}

// resting are the periods of buckets that wait for nothing but the word that all is committed.
func (m *Manager) resting() (ids []int64) {
	for _, b := range m.all() {
		b.mu.Lock()
		if b.holds == 0 && b.pending() != (Pair{}) {
			ids = append(ids, b.periodID)
		}
		b.mu.Unlock()
	}
	return ids
}

// sync asks how leases stand, see Lessor.Stands.
func (m *Manager) sync(ctx context.Context, periodIDs []int64) error {
	ctx, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	stands, err := m.lessor.Stands(ctx, periodIDs)
	if err != nil {
		return fmt.Errorf("ask how leases stand: %w", err)
	}
	for id, s := range stands {
		if b := m.known(id); b != nil {
			b.hear(s)
		} else if s.Leased != (Pair{}) {
			m.bucket(id).hear(s)
		}
	}
	return nil
}

// known is a period's bucket, nil where nothing is known of it.
func (m *Manager) known(periodID int64) *bucket {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.buckets[periodID]
}

// Beat sends one heartbeat, at the start and then every so often.
func (m *Manager) Beat(ctx context.Context) error {
	err := m.pulse.beat(ctx)
	if err != nil && ctx.Err() == nil {
		m.log.Warn("lease heartbeat failed", "error", err)
	}
	return err
}

// resync asks how all leases stand: they were taken back while this replica was silent.
func (m *Manager) resync(ctx context.Context) error {
	m.log.Warn("this replica was silent for so long that its leases were taken back; calls that were under way may count beyond their limits")
	var ids []int64
	for _, b := range m.all() {
		ids = append(ids, b.periodID)
	}
	return m.sync(ctx, ids)
}

// Stats is what calls in flight hold.
type Stats struct {
	Holds   int
	Held    Pair
	Pending Pair // settled and not committed yet
}

// Stats sums up all buckets.
func (m *Manager) Stats() (s Stats) {
	for _, b := range m.all() {
		b.mu.Lock()
		s.Holds += b.holds
		s.Held, s.Pending = s.Held.plus(b.held), s.Pending.plus(b.pending())
		b.mu.Unlock()
	}
	return s
}

func (m *Manager) all() []*bucket {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return slices.Collect(maps.Values(m.buckets))
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
	b.gone = b.holds == 0 && b.leasing == nil && b.lease.Leased == Pair{} && b.pending() == Pair{} && b.owed.Pair == Pair{} && b.now().Sub(b.activeAt) >= idleFor
	return b.gone
}

// Close hands every lease back. Calls must have ended and the ledger must be committed.
func (m *Manager) Close(ctx context.Context) {
	m.asks.Wait()
	m.sweep(ctx, 0)
}
