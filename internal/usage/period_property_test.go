package usage

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestPeriodsBeginAtTheFirstInstantOfTheAnchorsDay says what an edge is, in zones whose midnight is skipped, comes twice or
// lies at a quarter of an hour.
func TestPeriodsBeginAtTheFirstInstantOfTheAnchorsDay(t *testing.T) {
	zones := []*time.Location{zone(t, "America/Sao_Paulo"), zone(t, "Asia/Kathmandu"), zone(t, "Africa/Cairo"), zone(t, "America/Havana"),
		zone(t, "Australia/Lord_Howe"), zone(t, "Asia/Beirut"), time.UTC}
	rapid.Check(t, func(t *rapid.T) {
		z := rapid.SampledFrom(zones).Draw(t, "zone")
		anchor := rapid.IntRange(1, 31).Draw(t, "anchor")
		at := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "at"), 0).UTC()
		p := PeriodAt(at, anchor, z)
		for _, edge := range []time.Time{p.Start, p.End} {
			year, month, day := edge.In(z).Date()
			last := time.Date(year, month+1, 0, 12, 0, 0, 0, time.UTC).Day()
			if day != min(anchor, last) {
				t.Fatalf("anchor %d: an edge on day %d of a month with %d: %s", anchor, day, last, edge.In(z))
			}
			for before := time.Nanosecond; before < 3*time.Hour; before += 10 * time.Minute {
				if edge.Add(-before).In(z).Day() == day {
					t.Fatalf("%s is not the first instant of its day", edge.In(z))
				}
			}
		}
		// Never chained: the period of any instant in it is the same, and the next begins one month on.
		inside := p.Start.Add(time.Duration(rapid.Int64Range(0, int64(p.End.Sub(p.Start))-1).Draw(t, "inside")))
		if again := PeriodAt(inside, anchor, z); again != p {
			t.Fatalf("%s lies in %v and in %v", inside, p, again)
		}
		start, end := p.Start.In(z), p.End.In(z)
		if months := 12*(end.Year()-start.Year()) + int(end.Month()-start.Month()); months != 1 {
			t.Fatalf("a period of %d months: %s to %s", months, start, end)
		}
	})
}
