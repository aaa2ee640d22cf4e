package quota

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// pulse is what this replica knows of its own liveness. Others take leases back only after they have seen no heartbeat
// for the whole grace; a heartbeat that began less than four fifths of it ago therefore proves that the leases stand.
type pulse struct {
	lessor   Lessor
	now      func() time.Time
	resync   func(context.Context) error // learns how the leases stand after they were taken back
	asks     *sync.WaitGroup
	patience time.Duration
	every    time.Duration // between heartbeats

	at   atomic.Pointer[time.Time] // when the newest heartbeat that was answered had begun
	lost atomic.Bool               // another process has this replica's name, and its leases

	mu      sync.Mutex
	beating *beat     // under way
	failure error     // of the newest heartbeat; nil when it was answered
	failed  time.Time // when that was
	reaped  int64     // as last told
	known   bool      // whether it was told
}

// beat is one heartbeat, for all who wait for it.
type beat struct {
	done chan struct{}
	err  error
}

const slowestBeat = 10 * time.Second

func newPulse(lessor Lessor, grace time.Duration, now func() time.Time, resync func(context.Context) error, asks *sync.WaitGroup) *pulse {
	return &pulse{lessor: lessor, now: now, resync: resync, asks: asks, patience: grace * 4 / 5, every: min(slowestBeat, grace/10)}
}

// fresh tells whether the leases are known to stand. Both clocks must say so: the steady one does not run while a
// machine sleeps, and the other may be set.
func (p *pulse) fresh(now time.Time) bool {
	at := p.at.Load()
	return at != nil && now.Sub(*at) < p.patience && now.Round(0).Sub(at.Round(0)) < p.patience
}

// confirm sends a heartbeat and waits for its answer, unless one has been answered meanwhile, or has just failed.
func (p *pulse) confirm(ctx context.Context) error {
	now := p.now()
	if p.fresh(now) {
		return nil
	}
	p.mu.Lock()
	failure, failed := p.failure, p.failed
	p.mu.Unlock()
	if failure != nil && now.Sub(failed) < awayRetry {
		return failure
	}
	return p.beat(ctx)
}

// beat sends a heartbeat, or joins the one under way, and waits for its answer: leaseTimeout at most, whatever the
// driver does.
func (p *pulse) beat(ctx context.Context) error {
	p.mu.Lock()
	b := p.beating
	if b == nil {
		b = &beat{done: make(chan struct{})}
		p.beating = b
		p.asks.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), leaseTimeout)
			defer cancel()
			b.err = p.send(ctx)
			p.mu.Lock()
			p.beating, p.failure, p.failed = nil, b.err, p.now()
			p.mu.Unlock()
			close(b.done)
		})
	}
	p.mu.Unlock()
	timer := time.NewTimer(leaseTimeout)
	defer timer.Stop()
	select {
	case <-b.done:
		return b.err
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return errNoAnswer
	}
}

// send is one heartbeat. What it proves, it proves of the instant before it was sent.
func (p *pulse) send(ctx context.Context) error {
	began := p.now()
	reaped, err := p.lessor.Heartbeat(ctx)
	if errors.Is(err, ErrSuperseded) {
		p.lost.Store(true)
		p.at.Store(nil)
	}
	if err != nil {
		return err
	}
	if p.known && reaped != p.reaped {
		if err := p.resync(ctx); err != nil {
			return err
		}
	}
	p.reaped, p.known = reaped, true
	p.at.Store(&began)
	return nil
}
