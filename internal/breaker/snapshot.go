package breaker

import (
	"cmp"
	"slices"
	"time"
)

// Snapshot is how a provider stands.
type Snapshot struct {
	Models         []ModelSnapshot // by name
	Parallel       int             // calls on their way
	MaxParallel    int             // 0: no cap
	Waiting        int
	MaxWaiting     int
	ThrottledUntil time.Time // the last of the models'; zero: none is throttled
}

// ModelSnapshot is how the breaker of one model stands.
type ModelSnapshot struct {
	Model          string // "*": all models beyond the number that is kept apart
	State          State
	Since          time.Time
	FailurePercent int           // of the calls in the window
	Calls          int           // in the window
	RetryIn        time.Duration // until the first probe may go; 0 in other states than Open
	ThrottledUntil time.Time     // zero: not throttled
}

// Snapshot tells how the provider stands.
func (g *Guard) Snapshot() Snapshot {
	s := g.settings.Load()
	out := Snapshot{
		Parallel: int(g.line.taken.Load()), MaxParallel: s.MaxParallel,
		Waiting: int(g.line.waiting.Load()), MaxWaiting: s.MaxWaiting,
	}
	now := time.Now()
	for _, c := range *g.circuits.Load() {
		m := c.snapshot(now)
		if out.Models = append(out.Models, m); m.ThrottledUntil.After(out.ThrottledUntil) {
			out.ThrottledUntil = m.ThrottledUntil
		}
	}
	slices.SortFunc(out.Models, func(a, b ModelSnapshot) int { return cmp.Compare(a.Model, b.Model) })
	return out
}

func (c *circuit) snapshot(now time.Time) ModelSnapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.window.tally(now)
	out := ModelSnapshot{
		Model: c.model, State: c.mode().state(), Since: c.since, FailurePercent: t.percent(), Calls: int(t.calls),
	}
	if c.mode() == open {
		out.RetryIn = c.policy.RemainingDelay()
	}
	if d := c.pause.left(); d > 0 {
		out.ThrottledUntil = now.Add(d)
	}
	return out
}
