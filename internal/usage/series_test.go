package usage

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func at(t testing.TB, text string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func requests(at time.Time, n int64) Point { return Point{Start: at, Totals: Totals{Requests: n}} }

func TestFillPutsZerosIntoGaps(t *testing.T) {
	span := LastMinutes(at(t, "2026-11-22T14:05:59Z"), 60)
	s := Fill(span, Minute, time.UTC, []Point{
		requests(at(t, "2026-11-22T14:05:00Z"), 3),
		requests(at(t, "2026-11-22T13:06:00Z"), 2),
		requests(at(t, "2026-11-22T13:05:00Z"), 100), // a minute too old
	})
	if len(s.Points) != 60 {
		t.Fatalf("%d points, want 60", len(s.Points))
	}
	if first, last := s.Points[0], s.Points[59]; first.Requests != 2 || last.Requests != 3 {
		t.Errorf("first %+v last %+v", first, last)
	}
	if sum := s.Sum(); sum.Requests != 5 {
		t.Errorf("sum %d, want 5", sum.Requests)
	}
}

func TestDaysFollowTheLocalCalendar(t *testing.T) {
	for name, c := range map[string]struct {
		zone, now string
		days      int
		first     string
		hours     []float64 // length of each day
	}{
		"an ordinary week":            {"America/Sao_Paulo", "2026-11-22T14:00:00Z", 2, "2026-11-21T03:00:00Z", []float64{24, 24}},
		"late evening is still today": {"America/Sao_Paulo", "2026-03-01T02:30:00Z", 1, "2026-02-28T03:00:00Z", []float64{24}},
		"the day without midnight":    {"America/Sao_Paulo", "2018-11-05T12:00:00Z", 3, "2018-11-03T03:00:00Z", []float64{24, 23, 24}},
		"the day of 25 hours":         {"America/Sao_Paulo", "2018-02-18T12:00:00Z", 3, "2018-02-16T02:00:00Z", []float64{24, 25, 24}},
		"over the year's end":         {"America/Sao_Paulo", "2027-01-01T12:00:00Z", 2, "2026-12-31T03:00:00Z", []float64{24, 24}},
	} {
		t.Run(name, func(t *testing.T) {
			z := zone(t, c.zone)
			span := LastDays(at(t, c.now), c.days, z)
			s := Fill(span, Day, z, nil)
			if len(s.Points) != c.days {
				t.Fatalf("%d days, want %d: %v", len(s.Points), c.days, s.Points)
			}
			if got := s.Points[0].Start.Format(time.RFC3339); got != c.first {
				t.Errorf("first day %s, want %s", got, c.first)
			}
			for i, p := range s.Points {
				end := span.End
				if i+1 < len(s.Points) {
					end = s.Points[i+1].Start
				}
				if got := end.Sub(p.Start).Hours(); got != c.hours[i] {
					t.Errorf("day %d has %v hours, want %v", i, got, c.hours[i])
				}
			}
		})
	}
}

func TestFillLosesAndInventsNothing(t *testing.T) {
	zones := []*time.Location{zone(t, "America/Sao_Paulo"), zone(t, "Asia/Kathmandu"), zone(t, "America/Havana"), time.UTC}
	rapid.Check(t, func(t *rapid.T) {
		z := rapid.SampledFrom(zones).Draw(t, "zone")
		step := rapid.SampledFrom([]Step{Minute, Hour, Day}).Draw(t, "step")
		span := LastDays(time.Unix(rapid.Int64Range(0, 2e9).Draw(t, "now"), 0), rapid.IntRange(1, 40).Draw(t, "days"), z)
		var want int64
		var points []Point
		for range rapid.IntRange(0, 20).Draw(t, "n") {
			offset := rapid.Int64Range(-90_000, int64(span.End.Sub(span.Start)/time.Second)+90_000).Draw(t, "offset")
			p := requests(span.Start.Add(time.Duration(offset)*time.Second), 1)
			points = append(points, p)
			if span.Contains(p.Start) {
				want++
			}
		}
		s := Fill(span, step, z, points)
		if got := s.Sum().Requests; got != want {
			t.Fatalf("sum %d, want %d", got, want)
		}
		for i := 1; i < len(s.Points); i++ {
			if !s.Points[i-1].Start.Before(s.Points[i].Start) {
				t.Fatalf("points out of order at %d: %v", i, s.Points)
			}
		}
	})
}

func TestSumUntilTakesThePartOfAnHourThatHadGoneBy(t *testing.T) {
	hours := []Point{
		requests(at(t, "2026-11-21T02:00:00Z"), 1000), // before from
		requests(at(t, "2026-11-21T03:00:00Z"), 10),
		requests(at(t, "2026-11-21T14:00:00Z"), 40),
		requests(at(t, "2026-11-21T15:00:00Z"), 1000), // not begun
	}
	got := SumUntil(hours, at(t, "2026-11-21T03:00:00Z"), at(t, "2026-11-21T14:15:00Z"))
	if got.Requests != 20 {
		t.Errorf("%d requests, want 10 and a quarter of 40", got.Requests)
	}
}
