package breaker

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestWindowHoldsWhatIsYoungEnough compares the window with a list of all that was counted.
func TestWindowHoldsWhatIsYoungEnough(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWindow(30 * time.Second) // slices of 3 s
		now := time.Unix(rapid.Int64Range(1_700_000_000, 1_700_000_100).Draw(t, "start"), 0)
		type counted struct {
			tick int64
			tally
		}
		var all []counted
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.SampledFrom([]int{0, 0, 1, 2, 3, 7, 29, 30, 31, 45}).Draw(t, "later")) * time.Second)
			switch n := len(all); {
			case n > 0 && rapid.IntRange(0, 3).Draw(t, "take back") == 0:
				i := rapid.IntRange(0, n-1).Draw(t, "which")
				if all[i].failures > 0 {
					continue
				}
				w.at(now)
				w.takeBack(all[i].tick)
				all = append(all[:i], all[i+1:]...)
			default:
				c := tally{calls: 1, failures: rapid.Int32Range(0, 1).Draw(t, "failed")}
				all = append(all, counted{w.add(now, c), c})
			}
			var want tally
			for _, c := range all {
				if c.tick > now.Unix()/3-10 {
					want.add(c.tally)
				}
			}
			if got := w.tally(now); got != want {
				t.Fatalf("%+v, want %+v", got, want)
			}
		}
	})
}

func TestWindowBearsAClockSetBack(t *testing.T) {
	w := newWindow(time.Second)
	now := time.Unix(1_700_000_000, 0)
	w.add(now, tally{calls: 1})
	w.add(now.Add(-time.Hour), tally{calls: 1})
	w.takeBack(now.Unix() * 100) // a slice of the future
	if got := w.tally(now); got.calls != 2 {
		t.Fatalf("%+v", got)
	}
	if got := w.tally(now.Add(2 * time.Second)); got.calls != 0 {
		t.Fatalf("%+v", got)
	}
}
