package alert

import (
	"cmp"
	"iter"
	"math"
	"slices"
	"time"
)

// FewestCalls is how many a window must have: of three calls one that fails says nothing.
const FewestCalls = 20

// Ending is how a call ended, as far as it tells of the service.
type Ending uint8

// The endings. What its caller spoiled says nothing of the service; what its caller broke off did not fail.
const (
	EndedWell Ending = iota
	EndedInFailure
	EndedByCaller
	EndedSpoiled
)

// Called is a call of the past.
type Called struct {
	At   int64 // when it began, in Unix milliseconds
	Took int32 // milliseconds, after which it was known
	Ending
}

func (c *Called) known() int64 { return c.At + int64(c.Took) }

// The watch looks this often; a replay looks at the same moments, in milliseconds.
const (
	errorsLook  = 5_000
	latencyLook = 60_000
	minute      = 60_000
)

// PastCalls are the readings of one subject that its calls made, as the watch would have read them: those that come to the rule's
// lowest threshold, and those that no longer do. of names the subject; the calls are put in the order in which they began.
func (r *Rule) PastCalls(of Reading, calls []Called, until time.Time) iter.Seq[Past] {
	slices.SortFunc(calls, func(a, b Called) int { return cmp.Compare(a.At, b.At) })
	if r.Metric == LatencyP95 {
		w := &answers{calls: calls}
		w.rank()
		return r.past(of, w, calls, latencyLook, until)
	}
	return r.past(of, &shares{calls: calls}, calls, errorsLook, until)
}

// pane is the calls of a window.
type pane interface {
	add(i, n int)                         // call i comes (1) or goes (-1)
	leaves(c *Called, window int64) int64 // from when on the window has the call no more
	value() (v, calls, failures int64)    // v is 0 where there are too few calls
}

// past slides a window over the calls. It looks only when something has changed.
func (r *Rule) past(of Reading, w pane, calls []Called, every int64, until time.Time) iter.Seq[Past] {
	window, least, end := int64(r.LooksBack())*minute, slices.Min(r.Thresholds), until.UnixMilli()
	known := make([]int32, len(calls)) // the calls in the order in which they were known
	for i := range known {
		known[i] = int32(i)
	}
	slices.SortFunc(known, func(a, b int32) int { return cmp.Compare(calls[a].known(), calls[b].known()) })
	return func(yield func(Past) bool) {
		inside, high := make([]bool, len(calls)), false
		for in, out := 0, 0; out < len(calls); {
			next := w.leaves(&calls[out], window)
			if in < len(known) {
				next = min(next, calls[known[in]].known())
			}
			at := (next + every - 1) / every * every
			if at > end {
				return
			}
			for ; in < len(known) && calls[known[in]].known() <= at; in++ {
				if i := int(known[in]); w.leaves(&calls[i], window) > at {
					w.add(i, 1)
					inside[i] = true
				}
			}
			for ; out < len(calls) && w.leaves(&calls[out], window) <= at; out++ {
				if inside[out] {
					w.add(out, -1)
				}
			}
			value, n, failures := w.value()
			if was := high; value >= least || was {
				high = value >= least
				s := Past{At: time.UnixMilli(at).UTC(), Reading: of}
				s.Value, s.Details.Window, s.Details.Calls, s.Details.Failures = value, r.LooksBack(), n, failures
				if !yield(s) {
					return
				}
			}
		}
	}
}

// shares counts the calls that tell of the service, and those that failed. Its window is of whole minutes.
type shares struct {
	calls            []Called
	judged, failures int64
}

func (s *shares) add(i, n int) {
	switch s.calls[i].Ending {
	case EndedSpoiled:
		return
	case EndedInFailure:
		s.failures += int64(n)
	}
	s.judged += int64(n)
}

func (s *shares) leaves(c *Called, window int64) int64 { return c.At/minute*minute + window }

func (s *shares) value() (int64, int64, int64) {
	if s.judged < FewestCalls {
		return 0, s.judged, s.failures
	}
	return Share(s.failures, s.judged), s.judged, s.failures
}

// answers knows how long the answered calls took: how many there are of each length, in a Fenwick tree over their ranks.
type answers struct {
	calls  []Called
	lasted []int32 // every length there is, ascending
	tree   []int32
	n      int
}

func (a *answers) rank() {
	for i := range a.calls {
		if a.calls[i].Ending == EndedWell {
			a.lasted = append(a.lasted, a.calls[i].Took)
		}
	}
	slices.Sort(a.lasted)
	a.lasted = slices.Compact(a.lasted)
	a.tree = make([]int32, len(a.lasted)+1)
}

func (a *answers) add(i, n int) {
	if a.calls[i].Ending != EndedWell {
		return
	}
	a.n += n
	rank, _ := slices.BinarySearch(a.lasted, a.calls[i].Took)
	for at := rank + 1; at < len(a.tree); at += at & -at {
		a.tree[at] += int32(n)
	}
}

func (a *answers) leaves(c *Called, window int64) int64 { return c.At + window + 1 }

// value is what PostgreSQL's percentile_disc(0.95) gives: the least length within which so many are.
func (a *answers) value() (int64, int64, int64) {
	if a.n < FewestCalls {
		return 0, int64(a.n), 0
	}
	left, at := int32(math.Ceil(0.95*float64(a.n))), 0
	step := 1
	for step*2 < len(a.tree) {
		step *= 2
	}
	for ; step > 0; step /= 2 {
		if next := at + step; next < len(a.tree) && a.tree[next] < left {
			at, left = next, left-a.tree[next]
		}
	}
	return int64(a.lasted[at]), int64(a.n), 0
}
