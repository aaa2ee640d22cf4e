package breaker

import (
	"container/list"
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// line hands out the provider's places. Those who wait are served in turn among tenants and in order within one. A
// place that comes free goes to the next who waits: a newcomer never takes it while somebody waits.
//
// Without a cap, and to leave while nobody waits, no lock is taken. Nobody is forgotten: who leaves frees the place and
// then looks for waiters, who waits is counted as a waiter and then looks for a place, so that one of them sees the other.
type line struct {
	limit   atomic.Int64 // places; 0: no cap. Changed under mu
	taken   atomic.Int64
	waiting atomic.Int64 // changed under mu
	hold    atomic.Int64 // nanoseconds that a place is taken, a moving mean; an update lost to another does no harm

	mu     sync.Mutex
	room   int64 // for waiters
	queues map[int64]*queue
	turns  list.List // of *queue: the front's turn is next
}

// queue is one tenant's waiters.
type queue struct {
	tenant int64
	calls  list.List // of *waiter, oldest first
	turn   *list.Element
}

type waiter struct {
	queue  *queue
	place  *list.Element // in the queue; nil once answered or gone
	answer chan *Refused // one, nil: a place is yours
}

// resize takes over the cap and the room behind it. Those who wait stay.
func (l *line) resize(s *Settings) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.limit.Store(int64(max(s.MaxParallel, 0)))
	l.room = int64(s.MaxWaiting)
	l.serve()
}

// enter takes a place, waiting for one as needed. Without an error, one leave must follow.
func (l *line) enter(ctx context.Context, tenant int64, longest time.Duration) (waited bool, err error) {
	if l.limit.Load() == 0 {
		l.taken.Add(1)
		return false, nil
	}
	w, err := l.join(tenant)
	if w == nil {
		return false, err
	}
	return true, l.wait(ctx, w, longest)
}

// join takes a place (nil, nil), or joins the line.
func (l *line) join(tenant int64) (*waiter, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.serve()                              // a place may be free whose leaver has not come to offer it yet: nobody need make room for us
	if l.waiting.Load() == 0 && l.free() { // one may have come free just now, and is theirs
		l.taken.Add(1)
		return nil, nil
	}
	if !l.makeRoom(tenant) {
		return nil, &Refused{LineFull, l.estimate()}
	}
	q := l.queues[tenant]
	if q == nil {
		q = &queue{tenant: tenant}
		if l.queues == nil {
			l.queues = map[int64]*queue{}
		}
		l.queues[tenant] = q
		q.turn = l.turns.PushBack(q)
	}
	w := &waiter{queue: q, answer: make(chan *Refused, 1)}
	w.place = q.calls.PushBack(w)
	l.waiting.Add(1)
	l.serve() // a place that came free after the look above was freed without looking at us
	return w, nil
}

func (l *line) free() bool {
	limit := l.limit.Load()
	return limit == 0 || l.taken.Load() < limit
}

// serve hands free places to those who wait, one tenant after the other. Requires mu.
func (l *line) serve() {
	for l.waiting.Load() > 0 && l.free() {
		q := l.turns.Front().Value.(*queue)
		l.turns.MoveToBack(q.turn)
		l.taken.Add(1)
		l.dismiss(q.calls.Front().Value.(*waiter)).answer <- nil
	}
}

// dismiss takes a waiter out of the line. Requires mu.
func (l *line) dismiss(w *waiter) *waiter {
	q := w.queue
	q.calls.Remove(w.place)
	w.place = nil
	l.waiting.Add(-1)
	if q.calls.Len() == 0 {
		l.turns.Remove(q.turn)
		delete(l.queues, q.tenant)
	}
	return w
}

// makeRoom tells whether a call of the tenant may join. In a full line the newest call of the tenant with the most
// makes room, if that tenant still has no fewer than the newcomer's afterwards: at a difference of one, the two would
// only change places, and who waited longer would have waited for nothing. Requires mu.
func (l *line) makeRoom(tenant int64) bool {
	if l.waiting.Load() < l.room {
		return true
	}
	mine := 0
	if q := l.queues[tenant]; q != nil {
		mine = q.calls.Len()
	}
	var most *queue
	for e := l.turns.Front(); e != nil; e = e.Next() {
		if q := e.Value.(*queue); most == nil || q.calls.Len() > most.calls.Len() {
			most = q
		}
	}
	if most == nil || most.calls.Len() < mine+2 {
		return false
	}
	l.dismiss(most.calls.Back().Value.(*waiter)).answer <- &Refused{LineFull, l.estimate()}
	return true
}

// wait waits for the answer, for no longer than ctx and longest allow.
func (l *line) wait(ctx context.Context, w *waiter, longest time.Duration) error {
	timer := time.NewTimer(longest)
	defer timer.Stop()
	var err error
	select {
	case r := <-w.answer:
		return placed(r)
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = &Refused{WaitedTooLong, l.estimate()}
	}
	if l.abandon(w) {
		return err
	}
	// The answer came at the same moment. A caller who is gone hands the place on, one who is late takes it.
	if r := <-w.answer; r != nil {
		return r
	}
	if ctx.Err() != nil {
		l.leave()
		return ctx.Err()
	}
	return nil
}

// placed keeps a nil *Refused from becoming an error.
func placed(r *Refused) error {
	if r == nil {
		return nil
	}
	return r
}

// abandon leaves the line, unless the waiter was answered already.
func (l *line) abandon(w *waiter) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.place == nil {
		return false
	}
	l.dismiss(w)
	return true
}

// leave frees a place.
func (l *line) leave() {
	l.taken.Add(-1)
	if l.waiting.Load() == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.serve()
}

// held learns how long a place was taken.
func (l *line) held(nanoseconds int64) {
	mean := l.hold.Load()
	if mean == 0 {
		mean = nanoseconds
	}
	l.hold.Store(mean + (nanoseconds-mean)/8)
}

// estimate is when a place should come free for one more: the time in which all who wait have been served.
func (l *line) estimate() time.Duration {
	perPlace := time.Duration(l.hold.Load() / max(l.limit.Load(), 1))
	return min(max(time.Duration(l.waiting.Load()+1)*perPlace, time.Second), maxPause)
}
