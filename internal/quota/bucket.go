package quota

import (
	"context"
	"errors"
	"sync"
	"time"
)

// recheckAfter is how long a bucket found empty is believed to be empty. It bounds the database calls that refused
// callers can cause, and how late a raised limit is noticed.
const recheckAfter = 250 * time.Millisecond

// softRefresh is how old the figures of a soft period may be, where other replicas use it too.
const softRefresh = 30 * time.Second

// leaseTimeout bounds one database call for a lease.
const leaseTimeout = 3 * time.Second

// reserveTimeout bounds how long a call waits for its tokens before it is told to try again.
const reserveTimeout = 10 * time.Second

// bucket is one period's tokens in this replica.
type bucket struct {
	periodID int64
	lessor   Lessor
	now      func() time.Time

	mu       sync.Mutex
	known    bool
	avail    Pair // leased, neither spent nor held; negative where a provider reported more than was held
	held     Pair // by calls in flight
	holds    int
	free     Pair // unleased in the database when last heard of
	limit    Pair
	used     Pair // by everyone when last heard of, plus what this replica settled since
	chunk    Pair // size of the last grant, to lease again before it is spent
	heardAt  time.Time
	activeAt time.Time
	leasing  chan struct{} // closed when the lease under way ends
	settled  chan struct{} // closed at the next settlement; nil while nobody waits
	gone     bool          // forgotten by the manager: whoever still has it must ask for another
}

// errGone tells that a bucket was forgotten between being found and being used.
var errGone = errors.New("bucket forgotten")

// reserve holds want, leasing and waiting as needed; see Manager.Reserve. Most calls do neither, and need no timer.
func (b *bucket) reserve(ctx context.Context, want Want) (Pair, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gone {
		return Pair{}, errGone
	}
	b.activeAt = b.now()
	if need := (Pair{want.In, b.outNeed(want)}); b.avail.covers(need) {
		b.take(need)
		return need, nil
	}
	ctx, cancel := context.WithTimeout(ctx, reserveTimeout)
	defer cancel()
	for {
		need := Pair{want.In, b.outNeed(want)}
		if b.avail.covers(need) {
			b.take(need)
			return need, nil
		}
		if b.mayLease(need) {
			if err := b.lease(ctx, b.missing(need)); err != nil {
				return Pair{}, err
			}
			continue
		}
		if want.ExactIn != nil && b.avail.In < want.In {
			want = b.counted(want)
			continue
		}
		if b.holds == 0 || !b.avail.plus(b.held).covers(need) {
			return Pair{}, &Exhausted{Asked: need, Remaining: b.remaining()}
		}
		if !b.waitSettled(ctx) {
			return Pair{}, &Exhausted{Asked: need, Remaining: b.remaining(), Busy: true}
		}
	}
}

// outNeed is the output to hold. An elastic call takes a share of what is left and at the end all of it.
func (b *bucket) outNeed(want Want) int64 {
	if !want.Elastic {
		return want.Out
	}
	rest := max(b.avail.Out+b.free.Out, 0)
	share := min(want.Out, max(elasticFloor, rest/elasticShare))
	floor := max(1, min(elasticFloor, want.Out, rest+b.held.Out))
	return min(max(rest, floor), share)
}

// take moves tokens into a hold.
func (b *bucket) take(need Pair) {
	b.avail = b.avail.minus(need)
	b.held = b.held.plus(need)
	b.holds++
}

// mayLease tells whether asking the database could help.
func (b *bucket) mayLease(need Pair) bool {
	if !b.known || b.now().Sub(b.heardAt) >= recheckAfter {
		return true
	}
	lacks := b.missing(need)
	return lacks.In > 0 && b.free.In > 0 || lacks.Out > 0 && b.free.Out > 0
}

func (b *bucket) missing(need Pair) Pair { return need.minus(b.avail).atLeastZero() }

// lease asks the database once for all who wait. The lock is released meanwhile.
func (b *bucket) lease(ctx context.Context, need Pair) error {
	if b.leasing != nil {
		return b.awaitLease(ctx)
	}
	b.leasing = make(chan struct{})
	b.mu.Unlock()
	// The lease outlives this caller: others wait for it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseTimeout)
	grant, err := b.lessor.Lease(ctx, b.periodID, need)
	cancel()
	b.mu.Lock()
	if err == nil {
		b.learn(grant)
		b.avail = b.avail.plus(grant.Granted)
		if grant.Granted.In > 0 {
			b.chunk.In = grant.Granted.In
		}
		if grant.Granted.Out > 0 {
			b.chunk.Out = grant.Granted.Out
		}
	}
	close(b.leasing)
	b.leasing = nil
	return err
}

func (b *bucket) awaitLease(ctx context.Context) error {
	done := b.leasing
	b.mu.Unlock()
	defer b.mu.Lock()
	select {
	case <-done:
		return nil // whether it helped shows in the bucket; a failed one is tried again by the next in turn
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *bucket) learn(g Grant) {
	b.known, b.heardAt = true, b.now()
	b.free, b.limit, b.used = g.Free, g.Limit, g.Used
}

// counted replaces the cheap bound by the exact count, which is slow: the lock is released meanwhile.
func (b *bucket) counted(want Want) Want {
	b.mu.Unlock()
	defer b.mu.Lock()
	want.In = min(want.In, want.ExactIn())
	want.ExactIn = nil
	return want
}

// waitSettled waits for a hold to be settled, or until the bucket is worth asking for again; false when ctx ended.
func (b *bucket) waitSettled(ctx context.Context) bool {
	if b.settled == nil {
		b.settled = make(chan struct{})
	}
	settled := b.settled
	recheck := time.NewTimer(recheckAfter)
	defer recheck.Stop()
	b.mu.Unlock()
	defer b.mu.Lock()
	select {
	case <-settled:
	case <-recheck.C:
	case <-ctx.Done():
		return false
	}
	return true
}

// settle ends a hold with what was really used; the rest is free again.
func (b *bucket) settle(held, actual Pair) {
	b.mu.Lock()
	b.held = b.held.minus(held)
	b.holds--
	b.avail = b.avail.plus(held).minus(actual)
	b.used = b.used.plus(actual)
	b.activeAt = b.now()
	b.wake()
	b.mu.Unlock()
}

// count ends a call of a soft period: nothing was held.
func (b *bucket) count(actual Pair) {
	b.mu.Lock()
	b.used = b.used.plus(actual)
	b.activeAt = b.now()
	b.mu.Unlock()
}

// refresh hears how a soft period stands when that was never heard, or long ago.
func (b *bucket) refresh(ctx context.Context) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.activeAt = b.now()
	if b.leasing == nil && (!b.known || b.now().Sub(b.heardAt) > softRefresh) {
		_ = b.lease(ctx, Pair{}) // a soft period refuses nothing: the figure only informs
	}
}

// uncovered takes back a debt that the database covered from outside this replica's lease.
func (b *bucket) uncovered(tokens Pair) {
	b.mu.Lock()
	b.avail = b.avail.plus(tokens)
	b.wake()
	b.mu.Unlock()
}

func (b *bucket) wake() {
	if b.settled != nil {
		close(b.settled)
		b.settled = nil
	}
}

// remaining is what has not been used; what calls in flight hold is part of it.
func (b *bucket) remaining() Pair { return b.avail.plus(b.held).plus(b.free).atLeastZero() }

// runsLow tells which kinds should be leased ahead, before a call has to wait for them.
func (b *bucket) runsLow() (Pair, bool) {
	var need Pair
	if b.free.In > 0 && b.avail.In < b.chunk.In/4 {
		need.In = 1
	}
	if b.free.Out > 0 && b.avail.Out < b.chunk.Out/4 {
		need.Out = 1
	}
	return need, need != Pair{} && b.leasing == nil
}
