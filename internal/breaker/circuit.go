package breaker

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
)

// mode is a State as the gate holds it.
type mode uint64

const (
	closed mode = iota
	halfOpen
	open
	forcedOpen
	forcedClosed
)

func (m mode) passes() bool { return m == closed || m == forcedClosed }
func (m mode) forced() bool { return m == forcedClosed || m == forcedOpen }

func (m mode) state() State {
	return [...]State{Closed, HalfOpen, Open, ForcedOpen, ForcedClosed}[m]
}

// circuit is the breaker of one model: the policy moves between the states, the window says when it must open.
type circuit struct {
	model string
	own   mode // what Force made of this model alone; closed: nothing. The guard's mu guards it

	// gate is epoch<<3 | mode, written under mu. A result counts only in the epoch in which its call was let through:
	// a call that began before the outage and times out after it must not open the breaker again.
	gate  atomic.Uint64
	pause pause

	mu     sync.Mutex
	policy circuitbreaker.CircuitBreaker[any]
	window window
	since  time.Time

	// The probes are counted here, since the policy cannot take one back that told nothing.
	probes    int       // on their way in this round
	round     uint32    // begins when half-open does, and when all probes of the last one are given up
	lastProbe time.Time // when the newest set out
}

func newCircuit(model string, s *Settings, m mode, now time.Time) *circuit {
	c := &circuit{model: model, policy: newPolicy(s), window: newWindow(s.Window), since: now}
	c.gate.Store(uint64(m))
	return c
}

func newPolicy(s *Settings) circuitbreaker.CircuitBreaker[any] {
	return circuitbreaker.NewBuilder[any]().WithDelay(s.OpenFor).WithSuccessThreshold(uint(s.Probes)).Build()
}

func (c *circuit) mode() mode    { return mode(c.gate.Load() & 7) }
func (c *circuit) epoch() uint64 { return c.gate.Load() >> 3 }

const (
	// probeRetry is told to calls that meet a half-open breaker whose probes are all on their way.
	probeRetry = time.Second
	// lostProbe is how long a probe without an answer keeps others out, at least: a provider that came back must not
	// be left alone until the last hanging connection times out.
	lostProbe = time.Minute
)

// blockedFor is how long no call may go, where that is known; 0: one may go now. Requires mu.
func (c *circuit) blockedFor(s *Settings, now time.Time) time.Duration {
	switch c.mode() {
	case forcedOpen:
		return s.OpenFor
	case open:
		return c.policy.RemainingDelay()
	case halfOpen:
		if c.probes >= s.Probes && now.Sub(c.lastProbe) < max(s.OpenFor, lostProbe) {
			return probeRetry
		}
	}
	return 0
}

// ready is blockedFor without the lock where nothing blocks.
func (c *circuit) ready(s *Settings) time.Duration {
	if c.mode().passes() {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.blockedFor(s, time.Now())
}

// admit writes into p under which conditions its call goes, or says how long it may not.
func (c *circuit) admit(p *Pass, s *Settings) time.Duration {
	if g := c.gate.Load(); mode(g & 7).passes() {
		p.epoch = g >> 3
		return 0
	}
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := c.blockedFor(s, now); d > 0 {
		return d
	}
	if c.mode() == open {
		c.policy.HalfOpen()
		p.g.changes.add(c.become(halfOpen, ByTime, now))
	}
	if c.mode() == halfOpen {
		if c.probes >= s.Probes {
			c.newRound()
		}
		c.probes++
		c.lastProbe = now
		p.probe, p.round = true, c.round
	}
	p.epoch = c.epoch()
	return 0
}

func (c *circuit) newRound() { c.probes, c.round = 0, c.round+1 }

// record counts what p's call told, and gives a probe's permit back.
func (c *circuit) record(p *Pass, r Result, slow bool, s *Settings) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epoch() != p.epoch {
		return
	}
	if p.probe && p.round == c.round {
		c.probes--
	}
	p.probe = false
	if r == Neutral {
		return
	}
	t := tally{calls: 1}
	if r == Failure {
		t.failures = 1
	}
	if slow {
		t.slow = 1
	}
	tick := c.window.add(now, t)
	if p.succeeded { // its stream broke after all
		c.window.takeBack(p.tick)
	}
	p.tick, p.succeeded, p.failed = tick, r == Success, r == Failure
	if to, why := c.next(r, s); to != c.mode() {
		p.g.changes.add(c.become(to, why, now))
	}
}

// next is where the result just counted leads. Requires mu.
func (c *circuit) next(r Result, s *Settings) (mode, string) {
	switch m := c.mode(); m {
	case closed:
		t := c.window.sum
		if int(t.calls) < s.MinCalls || int64(t.failures)*100 < int64(s.FailurePercent)*int64(t.calls) {
			return closed, ""
		}
		c.policy.Open()
		if 2*t.slow > t.failures {
			return open, BySlowness
		}
		return open, ByFailures
	case halfOpen:
		if r == Success {
			c.policy.RecordSuccess()
		} else {
			c.policy.RecordFailure()
		}
		switch c.policy.State() {
		case circuitbreaker.ClosedState:
			return closed, ByProbes
		case circuitbreaker.OpenState:
			return open, ByFailedProbe
		}
		return halfOpen, ""
	default: // forced: counted, nothing more
		return m, ""
	}
}

// become changes the state. Requires mu.
func (c *circuit) become(to mode, why string, now time.Time) Change {
	from, t := c.mode(), c.window.tally(now)
	epoch := c.epoch()
	if !from.passes() || !to.passes() {
		epoch++
	}
	if to.passes() && !from.passes() {
		c.window = window{width: c.window.width} // what opened it is over
	}
	c.newRound()
	c.since = now
	c.gate.Store(epoch<<3 | uint64(to))
	return Change{
		Model: c.model, From: from.state(), To: to.state(), Reason: why, At: now,
		FailurePercent: t.percent(), Calls: int(t.calls),
	}
}

// force sets a forced mode, or gives back to the automatic what was forced.
func (c *circuit) force(to mode, out *changes) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if to == c.mode() || to == closed && !c.mode().forced() {
		return
	}
	c.policy.Close() // where it will go on from when it is given back
	out.add(c.become(to, ByHand, time.Now()))
}

// apply takes new settings over. A delay under way begins again with its new length.
func (c *circuit) apply(was, s *Settings) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.Window != was.Window {
		c.window = newWindow(s.Window)
	}
	if s.OpenFor == was.OpenFor && s.Probes == was.Probes {
		return
	}
	c.policy = newPolicy(s)
	switch c.mode() {
	case open:
		c.policy.Open()
	case halfOpen:
		c.policy.HalfOpen()
	}
}
