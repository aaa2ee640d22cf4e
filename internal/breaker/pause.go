package breaker

import (
	"sync/atomic"
	"time"
)

// maxPause bounds what a provider may ask for: a wrong header must not take a model out of service for a day.
const maxPause = 2 * time.Minute

// Throttle lets nobody go with a model before until, two minutes from now at most. Of several the longest counts.
// Providers limit each model on its own: a limit that one tenant's calls have met stops no other model.
func (g *Guard) Throttle(model string, until time.Time) {
	now := time.Now()
	if longest := now.Add(maxPause); until.After(longest) {
		until = longest
	}
	if until.After(now) {
		g.circuit(model).pause.extend(until)
	}
}

// pause is what a provider asked for. The zero pause is none.
type pause struct {
	until atomic.Int64 // Unix nanoseconds; 0: none
}

func (p *pause) extend(until time.Time) {
	for at := until.UnixNano(); ; {
		was := p.until.Load()
		if was >= at || p.until.CompareAndSwap(was, at) {
			return
		}
	}
}

// left is what is left of it.
func (p *pause) left() time.Duration {
	until := p.until.Load()
	if until == 0 {
		return 0
	}
	if left := time.Duration(until - time.Now().UnixNano()); left > 0 {
		return left
	}
	p.until.CompareAndSwap(until, 0) // so that the next call need not ask for the time
	return 0
}
