package alert

import (
	"cmp"
	"slices"
	"time"
)

// Arrange puts events in the order in which one message tells them, and marks what leads in it: of the same thing in the same
// period the highest threshold, also where what was raised at other times, or by rules that others read, leads elsewhere.
func Arrange(events []Event) {
	type thing struct {
		metric  Metric
		subject string
		period  time.Time
	}
	highest := map[thing]int{}
	of := func(e Event) thing { return thing{e.Metric, e.Subject.Key, e.Period.UTC()} }
	for i, e := range events {
		events[i].Lead = false
		if best, known := highest[of(e)]; !known || e.Threshold > events[best].Threshold {
			highest[of(e)] = i
		}
	}
	for _, i := range highest {
		events[i].Lead = true
	}
	slices.SortFunc(events, func(a, b Event) int {
		if a.Lead != b.Lead {
			if a.Lead {
				return -1
			}
			return 1
		}
		if a.Lead {
			return cmp.Compare(a.ID, b.ID)
		}
		return cmp.Or(cmp.Compare(b.Threshold, a.Threshold), cmp.Compare(a.ID, b.ID))
	})
}
