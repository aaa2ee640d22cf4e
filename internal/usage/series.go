package usage

import (
	"sort"
	"time"

	"github.com/fila-ia/filaia/internal/money"
)

// Step is the width of a point.
type Step uint8

// The widths. Minutes and hours are UTC's; days are local ones, 23 to 25 hours long.
const (
	Minute Step = iota
	Hour
	Day
)

// Point is what was used from Start on, for one step.
type Point struct {
	Start time.Time
	Totals
}

// Series is one point a step, in order and without gaps.
type Series struct {
	Step   Step
	Points []Point
}

// Sum adds up all points.
func (s Series) Sum() Totals {
	var sum Totals
	for _, p := range s.Points {
		sum = sum.Add(p.Totals)
	}
	return sum
}

// LastMinutes is the span of the n minutes up to and with the one that holds now.
func LastMinutes(now time.Time, n int) Period {
	end := now.UTC().Truncate(time.Minute).Add(time.Minute)
	return Period{Start: end.Add(-time.Duration(n) * time.Minute), End: end}
}

// LastDays is the span of the n local days up to and with today.
func LastDays(now time.Time, n int, zone *time.Location) Period {
	year, month, day := now.In(zone).Date()
	return Period{Start: dayStart(year, month, day-n+1, zone), End: dayStart(year, month, day+1, zone)}
}

// Fill lays points, in any order and width not above the step's, over a span: one point a step that begins in it,
// zeros where nothing was used. Points outside are left out. zone matters for days only; an hour belongs to the day
// that it begins in.
func Fill(span Period, step Step, zone *time.Location, points []Point) Series {
	starts := starts(span, step, zone)
	filled := make([]Point, len(starts))
	for i, s := range starts {
		filled[i].Start = s
	}
	for _, p := range points {
		if !span.Contains(p.Start) {
			continue
		}
		i := sort.Search(len(starts), func(i int) bool { return starts[i].After(p.Start) }) - 1
		if i >= 0 {
			filled[i].Totals = filled[i].Add(p.Totals)
		}
	}
	return Series{Step: step, Points: filled}
}

// starts lists the first instants of the span's steps; the first one is the span's own start.
func starts(span Period, step Step, zone *time.Location) []time.Time {
	var list []time.Time
	if step != Day {
		width := time.Minute
		if step == Hour {
			width = time.Hour
		}
		for at := span.Start.UTC(); at.Before(span.End); at = at.Truncate(width).Add(width) {
			list = append(list, at)
		}
		return list
	}
	for at := span.Start.UTC(); at.Before(span.End); {
		list = append(list, at)
		year, month, day := at.In(zone).Date()
		at = dayStart(year, month, day+1, zone)
	}
	return list
}

// dayStart is firstInstant for a day that may lie outside its month, such as 0 or 32.
func dayStart(year int, month time.Month, day int, zone *time.Location) time.Time {
	year, month, day = time.Date(year, month, day, 12, 0, 0, 0, time.UTC).Date()
	return firstInstant(year, month, day, zone)
}

// SumUntil adds up hours from one instant up to another; of the hour that the latter falls into it takes the part that
// had gone by, so that two days can be compared at the same time of day.
func SumUntil(hours []Point, from, until time.Time) Totals {
	var sum Totals
	for _, p := range hours {
		switch gone := until.Sub(p.Start); {
		case p.Start.Before(from) || gone <= 0:
		case gone >= time.Hour:
			sum = sum.Add(p.Totals)
		default:
			sum = sum.Add(p.part(int64(gone), int64(time.Hour)))
		}
	}
	return sum
}

// part is n of the whole d of the totals, each figure rounded down.
func (t Totals) part(n, d int64) Totals {
	of := func(v int64) int64 { return int64(float64(v) * float64(n) / float64(d)) }
	return Totals{
		Requests: of(t.Requests), Failures: of(t.Failures), CallerErrors: of(t.CallerErrors),
		Tokens:  Tokens{of(t.Tokens.Input), of(t.Tokens.Cached), of(t.Tokens.Output), of(t.Tokens.Reasoning)},
		CostUSD: money.Micros(of(int64(t.CostUSD))), ChargeBRL: money.Micros(of(int64(t.ChargeBRL))),
		CacheLookups: of(t.CacheLookups), CacheHits: of(t.CacheHits), ServedInput: of(t.ServedInput), ServedOutput: of(t.ServedOutput),
		SavedUSD: money.Micros(of(int64(t.SavedUSD))),
	}
}
