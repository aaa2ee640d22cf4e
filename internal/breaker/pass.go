package breaker

import "time"

// Pass is a call that was let go. It may be handed on, but only its last copy may be used, and by one goroutine at a time:
// it knows what it told. The zero Pass does nothing.
type Pass struct {
	g         *Guard
	c         *circuit
	epoch     uint64 // of the circuit when the call was let go
	since     int64  // Unix nanoseconds when it was let go; 0: there is no cap
	tick      int64  // slice of the window in which its result was counted
	round     uint32 // of probes
	probe     bool   // holds a probe's permit
	answered  bool
	succeeded bool // counted as a success
	failed    bool // counted as a failure
	left      bool
}

// Answered tells how the call stands as soon as its status is known, so that the end of a long stream need not be
// awaited. Only the first one counts. A success whose first byte came later than SlowAfter counts as a failure.
func (p *Pass) Answered(firstByte time.Duration, r Result) {
	if p.g == nil || p.answered || p.left {
		return
	}
	p.answered = true
	p.record(firstByte, r)
}

// Leave ends the call and frees its place. r is what it told where nothing was Answered; after that only a Failure
// counts, and takes the place of the success that it seemed to be. A second Leave does nothing.
func (p *Pass) Leave(r Result) {
	if p.g == nil || p.left {
		return
	}
	p.left = true
	if !p.answered || r == Failure && !p.failed {
		p.record(0, r)
	}
	if p.since > 0 {
		p.g.line.held(time.Now().UnixNano() - p.since)
	}
	p.g.line.leave()
}

func (p *Pass) record(firstByte time.Duration, r Result) {
	if r == Neutral && !p.probe {
		return
	}
	s := p.g.settings.Load()
	slow := r == Success && s.SlowAfter > 0 && firstByte > s.SlowAfter
	if slow {
		r = Failure
	}
	p.c.record(p, r, slow, s)
	p.g.changes.flush()
}
