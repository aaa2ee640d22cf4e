package breaker

import "time"

// parts is how finely the window slides.
const parts = 10

// tally counts results.
type tally struct{ calls, failures, slow int32 }

func (t *tally) add(o tally) { t.calls += o.calls; t.failures += o.failures; t.slow += o.slow }
func (t *tally) sub(o tally) { t.calls -= o.calls; t.failures -= o.failures; t.slow -= o.slow }

// percent of the calls that failed, rounded down.
func (t tally) percent() int {
	if t.calls == 0 {
		return 0
	}
	return int(int64(t.failures) * 100 / int64(t.calls))
}

// window counts the results of the last while, in slices that are forgotten one by one. It is not safe for concurrent use.
//
// The library's own window is not used: it tells old figures while no call comes, rounds the share to whole percents
// (49.5 % opens at 50), and cannot take back a success whose stream broke later, so that a provider which breaks every
// stream would fail half of its calls at most.
type window struct {
	width int64 // of a slice, nanoseconds
	head  int64 // number of the newest slice
	slice [parts]tally
	sum   tally
}

func newWindow(d time.Duration) window { return window{width: max(int64(d)/parts, 1)} }

// at slides the window to now, and gives the number of now's slice.
func (w *window) at(now time.Time) int64 {
	tick := now.UnixNano() / w.width
	for n := min(tick-w.head, parts); n > 0; n-- {
		s := &w.slice[(tick-n+1)%parts]
		w.sum.sub(*s)
		*s = tally{}
	}
	w.head = max(w.head, tick) // a clock that was set back counts into the newest slice
	return w.head
}

// add counts into now's slice and gives its number.
func (w *window) add(now time.Time, t tally) int64 {
	tick := w.at(now)
	w.slice[tick%parts].add(t)
	w.sum.add(t)
	return tick
}

// takeBack forgets a success counted in slice tick, unless that has slid out already.
func (w *window) takeBack(tick int64) {
	s := &w.slice[tick%parts]
	if tick > w.head-parts && tick <= w.head && s.calls > s.failures {
		s.calls--
		w.sum.calls--
	}
}

// tally is what the window holds now.
func (w *window) tally(now time.Time) tally {
	w.at(now)
	return w.sum
}
