package quota

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/tokenizer"
)

// recheckAfter is how long a bucket found empty is believed to be empty. It bounds the database calls that refused
// callers can cause, and how late a raised limit is noticed.
const recheckAfter = 250 * time.Millisecond

// softRefresh is how old the figures of a soft period may be, where other replicas use it too.
const softRefresh = 30 * time.Second

// leaseTimeout bounds how long anybody waits for one database call; awayRetry is how long a database that failed is
// then left alone.
const (
	leaseTimeout = 3 * time.Second
	awayRetry    = time.Second
)

// reserveTimeout bounds how long a call waits for its tokens before it is told to try again.
const reserveTimeout = 10 * time.Second

// bucket is one period's tokens in this replica.
type bucket struct {
	periodID int64
	lessor   Lessor
	now      func() time.Time
	pulse    *pulse

	mu       sync.Mutex
	known    bool
	lease    Stand // the newest that was heard of this replica's lease
	held     Pair  // by calls in flight
	holds    int
	settled  Pair // in all; what of it is not committed yet is still part of the lease
	free     Pair // unleased in the database when last heard of; below zero by what is taken of extra
	extra    int64
	others   Pair // leased by other replicas when last heard of
	limit    Pair
	used     Pair // by everyone when last heard of, plus what this replica settled since
	chunk    Pair // size of the last grant, to lease again before it is spent
	heardAt  time.Time
	activeAt time.Time
	leasing  chan struct{} // closed when the lease under way ends
	asks     *sync.WaitGroup
	away     error         // what the last lease failed with; nil once one succeeded
	triedAt  time.Time     // when it failed
	recalled time.Time     // when other replicas were last asked to hand back
	owed     debt          // on its way back to the database
	freed    chan struct{} // closed at the next settlement; nil while nobody waits
	gone     bool          // forgotten by the manager: whoever still has it must ask for another
}

// debt is tokens taken out of a bucket to be handed back. The id lets a hand-back that may have arrived come again.
type debt struct {
	Pair
	id      uuid.UUID
	sending bool
}

// errGone tells that a bucket was forgotten between being found and being used.
var errGone = errors.New("bucket forgotten")

// avail is what calls may hold: leased, neither held nor spent nor on its way back. It is negative where a provider
// reported more than was held, or the lease was taken back under calls.
func (b *bucket) avail() Pair {
	return b.lease.Leased.minus(b.held).minus(b.pending()).minus(b.owed.Pair)
}

// pending is what is settled and not committed yet. It is negative for the moment between a call's commit and its
// settlement, when the call's tokens are held as well.
func (b *bucket) pending() Pair { return b.settled.minus(b.lease.Committed) }

// reserve holds want, leasing and waiting as needed; see Manager.Reserve. Most calls do neither, and need no timer.
func (b *bucket) reserve(ctx context.Context, want Want) (Pair, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gone {
		return Pair{}, errGone
	}
	b.activeAt = b.now()
	if need := (Pair{want.In, b.outNeed(want)}); b.avail().covers(need) && b.pulse.fresh(b.activeAt) {
		b.take(need)
		return need, nil
	}
	ctx, cancel := context.WithTimeout(ctx, reserveTimeout)
	defer cancel()
	for {
		// Looked at each time round: the process may have been stopped while the call waited.
		if !b.pulse.fresh(b.now()) {
			if err := b.confirm(ctx); err != nil {
				return Pair{}, err
			}
		}
		need := Pair{want.In, b.outNeed(want)}
		switch {
		case b.avail().covers(need):
			b.take(need)
			return need, nil
		case b.mayLease(need):
			if err := b.ask(ctx, b.missing(need)); err != nil && b.known && b.reachable().fits(need, b.extra) {
				return Pair{}, b.busy(need)
			} else if err != nil {
				return Pair{}, err
			}
		case want.ExactIn != nil && (b.avail().In < want.In || b.extra > 0) && want.In/tokenizer.LongestToken <= b.reachable().In+b.extra: // else no count can make it fit
			want = b.counted(want)
		case !b.reachable().fits(need, b.extra):
			return Pair{}, b.refusal(need)
		case b.avail().plus(b.free).fits(need, b.extra):
			b.exchange(need)
			if !b.waitSettled(ctx) {
				return Pair{}, b.busy(need)
			}
		default:
			b.recall(need)
			if !b.waitSettled(ctx) {
				return Pair{}, b.busy(need)
			}
		}
	}
}

// reachable is all that a call could get if every other call used nothing and every other replica handed back.
func (b *bucket) reachable() Pair {
	return b.avail().plus(b.held).plus(b.owed.Pair).plus(b.free).plus(b.others)
}

// refusal says why a call cannot be held: its tokens are used up, or nobody knows because the database is away.
func (b *bucket) refusal(need Pair) error {
	if b.away != nil {
		return b.away
	}
	return b.exhausted(need)
}

func (b *bucket) exhausted(need Pair) *Exhausted {
	return &Exhausted{Asked: need, Remaining: b.remaining(), Extra: b.room(b.reachable())}
}

// room is what is left of the extra tokens where p is free.
func (b *bucket) room(p Pair) int64 { return max(b.extra-Pair{}.minus(p).above(), 0) }

// busy is exhausted for now.
func (b *bucket) busy(need Pair) *Exhausted {
	e := b.exhausted(need)
	e.Busy = true
	return e
}

// exchange hands back what is leased of the kind that need does not miss: tokens above the limits may be of either kind, so that
// they can be leased again as the other. Whoever waits is woken when they have arrived.
func (b *bucket) exchange(need Pair) {
	owed, ok := b.owe(b.avail().minus(need).atLeastZero())
	if !ok {
		return
	}
	b.asks.Go(func() {
		_ = b.pay(context.Background(), owed) // sent again while somebody waits
		b.mu.Lock()
		b.wake()
		b.mu.Unlock()
	})
}

// recall asks other replicas to hand back what they do not hold, where that could help.
func (b *bucket) recall(need Pair) {
	now := b.now()
	if b.avail().plus(b.held).plus(b.free).fits(need, b.extra) || now.Sub(b.recalled) < recheckAfter {
		return
	}
	b.recalled = now
	b.asks.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), leaseTimeout)
		defer cancel()
		_ = b.lessor.Recall(ctx, b.periodID) // asked again while somebody waits
	})
}

// outNeed is the output to hold. An elastic call takes a share of what is left and at the end all of it.
func (b *bucket) outNeed(want Want) int64 {
	if !want.Elastic {
		return want.Out
	}
	mine := b.avail().plus(b.free)
	now := b.outBeside(want.In, mine)
	rest, back := max(now, 0), b.outBeside(want.In, mine.plus(b.held))-now
	share := min(want.Out, max(elasticFloor, rest/elasticShare))
	floor := max(1, min(elasticFloor, want.Out, rest+back))
	return min(max(rest, floor), share)
}

// outBeside is the output that fits into p beside an input.
func (b *bucket) outBeside(in int64, p Pair) int64 { return p.Out + max(b.extra-max(in-p.In, 0), 0) }

// take moves tokens into a hold.
func (b *bucket) take(need Pair) {
	b.held = b.held.plus(need)
	b.holds++
}

// mayLease tells whether asking the database could help.
func (b *bucket) mayLease(need Pair) bool {
	now := b.now()
	if b.away != nil {
		return b.leasing == nil && now.Sub(b.triedAt) >= awayRetry
	}
	return !b.known || now.Sub(b.heardAt) >= recheckAfter || b.free.fits(b.missing(need), b.extra)
}

func (b *bucket) missing(need Pair) Pair { return need.minus(b.avail()).atLeastZero() }

// confirm waits, with the lock released, until the database has said that this replica's leases stand, and how.
func (b *bucket) confirm(ctx context.Context) error {
	b.mu.Unlock()
	defer b.mu.Lock()
	return b.pulse.confirm(ctx)
}

// ask asks the database, once for all who wait, and waits for its answer with the lock released. Whether it helped
// shows in the bucket; an error means that ctx ended.
func (b *bucket) ask(ctx context.Context, need Pair) error {
	if b.leasing == nil {
		b.startLease(need)
	}
	return b.awaitLease(ctx, leaseTimeout)
}

// startLease asks the database in the background: it outlives the caller, whose context may be used again for another
// request, since others wait for it, too.
func (b *bucket) startLease(need Pair) {
	done := make(chan struct{})
	b.leasing = done
	b.asks.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), leaseTimeout)
		defer cancel()
		grant, err := b.lessor.Lease(ctx, b.periodID, need)
		b.mu.Lock()
		defer b.mu.Unlock()
		b.granted(grant, err)
		b.leasing = nil
		close(done)
	})
}

func (b *bucket) granted(g Grant, err error) {
	if err != nil {
		b.failed(err)
		return
	}
	b.away = nil
	b.learn(g)
	if g.Granted.In > 0 {
		b.chunk.In = g.Granted.In
	}
	if g.Granted.Out > 0 {
		b.chunk.Out = g.Granted.Out
	}
}

// failed notes that the database is away: until it is back, what is leased is all there is.
func (b *bucket) failed(err error) {
	b.away, b.triedAt = err, b.now()
	b.known, b.free, b.extra, b.others = false, Pair{}, 0, Pair{}
}

var errNoAnswer = errors.New("the database does not answer")

func (b *bucket) awaitLease(ctx context.Context, patience time.Duration) error {
	done := b.leasing
	b.mu.Unlock()
	defer b.mu.Lock()
	// Drivers wait for a database that was reached and says nothing, whatever the context says.
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-done:
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.leasing == done {
			b.failed(errNoAnswer)
		}
	}
	return nil
}

func (b *bucket) learn(g Grant) {
	b.stand(g.Stand)
	// Beside a newer word of the lease these figures may lack what it has given back.
	b.known, b.heardAt = g.Version == b.lease.Version, b.now()
	b.free, b.extra, b.others, b.limit, b.used = g.Free, g.Extra, g.Others, g.Limit, g.Used
}

// stand takes over what the database said of this replica's lease, unless something newer was heard. Before the first
// word nothing was held here, and all that was settled in earlier times is committed.
func (b *bucket) stand(s Stand) {
	if b.lease == (Stand{}) {
		b.settled = s.Committed
	}
	if s.Version >= b.lease.Version {
		b.lease = s
	}
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
	if b.freed == nil {
		b.freed = make(chan struct{})
	}
	freed := b.freed
	recheck := time.NewTimer(recheckAfter)
	defer recheck.Stop()
	b.mu.Unlock()
	defer b.mu.Lock()
	select {
	case <-freed:
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
	b.settled = b.settled.plus(actual)
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

// refresh hears how a soft period stands when that was never heard, or long ago. A soft period refuses nothing and
// the figure only informs: it is hardly waited for.
func (b *bucket) refresh(ctx context.Context) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.activeAt = b.now()
	due := !b.known || b.now().Sub(b.heardAt) > softRefresh
	if due && b.leasing == nil && (b.away == nil || b.now().Sub(b.triedAt) >= awayRetry) {
		b.startLease(Pair{})
		if b.limit == (Pair{}) {
			_ = b.awaitLease(ctx, recheckAfter)
		}
	}
}

// hear takes over how the lease stands, for those who wait as well.
func (b *bucket) hear(s Stand) {
	b.mu.Lock()
	b.stand(s)
	b.wake()
	b.mu.Unlock()
}

func (b *bucket) wake() {
	if b.freed != nil {
		close(b.freed)
		b.freed = nil
	}
}

// remaining is what has not been used; what calls in flight hold is part of it.
func (b *bucket) remaining() Pair { return b.avail().plus(b.held).plus(b.free).atLeastZero() }

// runsLow tells which kinds should be leased ahead, before a call has to wait for them.
func (b *bucket) runsLow() (Pair, bool) {
	var need Pair
	avail, room := b.avail(), b.room(b.free) > 0
	if (b.free.In > 0 || room) && avail.In < b.chunk.In/2 {
		need.In = 1
	}
	if (b.free.Out > 0 || room) && avail.Out < b.chunk.Out/2 {
		need.Out = 1
	}
	return need, need != Pair{} && b.leasing == nil && b.free.fits(need, b.extra)
}
