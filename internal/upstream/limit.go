package upstream

import (
	"cmp"
	"context"
	"sync"
	"sync/atomic"
	"time"
)

type limits struct{ connect, firstByte, idle, total time.Duration }

func (o *Options) limits() limits {
	l := limits{
		connect:   cmp.Or(o.Connect, 10*time.Second),
		firstByte: cmp.Or(o.FirstByte, 5*time.Minute),
		idle:      cmp.Or(o.Idle, 2*time.Minute),
		total:     cmp.Or(o.Total, 10*time.Minute), // OpenAI's SDKs wait as long
	}
	l.connect = min(l.connect, l.total)
	return l
}

// passed is a time limit that the provider did not keep.
type passed struct {
	limit string
	after time.Duration
}

func (p *passed) Error() string { return p.limit + " after " + p.after.String() }

// Timeout makes it a timeout for whoever asks as net.Error does.
func (p *passed) Timeout() bool { return true }

// guard breaks a streamed call off when it has taken too long in total, or when the next piece does not come. Only the
// time in which a piece is waited for counts: a client that reads slowly is no silent provider. One timer that is set
// rarely serves both limits; a piece costs two stores.
type guard struct {
	start   time.Time
	limits  limits
	cancel  context.CancelCauseFunc
	waiting atomic.Int64 // since when, in nanoseconds after start, plus 1; 0: nobody waits
	mu      sync.Mutex
	timer   *time.Timer
	ended   bool
}

func newGuard(l limits, cancel context.CancelCauseFunc) *guard {
	g := &guard{start: time.Now(), limits: l, cancel: cancel}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.timer = time.AfterFunc(min(l.idle, l.total), g.look)
	return g
}

// wait tells that a piece is waited for; come, that it has come.
func (g *guard) wait() { g.waiting.Store(int64(time.Since(g.start)) + 1) }
func (g *guard) come() { g.waiting.Store(0) }

func (g *guard) look() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended {
		return
	}
	now := time.Since(g.start)
	if now >= g.limits.total {
		g.cancel(&passed{"total", g.limits.total})
		return
	}
	next := g.limits.idle
	if since := g.waiting.Load(); since != 0 {
		next -= now - time.Duration(since-1)
	}
	if next <= 0 {
		g.cancel(&passed{"idle", g.limits.idle})
		return
	}
	g.timer.Reset(min(next, g.limits.total-now))
}

func (g *guard) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ended = true
	g.timer.Stop()
}
