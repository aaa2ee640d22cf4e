package usage

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func TestPeriodAtFollowsTheTenantsCalendar(t *testing.T) {
	saoPaulo := zone(t, "America/Sao_Paulo")
	for name, c := range map[string]struct {
		at, start, end string
		day            int
	}{
		"last local evening of February belongs to February": {"2026-03-01T02:30:00Z", "2026-02-01T03:00:00Z", "2026-03-01T03:00:00Z", 1},
		"anchor 31 uses a short month's last day":            {"2026-02-28T12:00:00Z", "2026-02-28T03:00:00Z", "2026-03-31T03:00:00Z", 31},
		"anchor 31 before February's edge":                   {"2026-02-10T12:00:00Z", "2026-01-31T03:00:00Z", "2026-02-28T03:00:00Z", 31},
		"anchor 31 is not chained over February":             {"2026-03-31T12:00:00Z", "2026-03-31T03:00:00Z", "2026-04-30T03:00:00Z", 31},
		"over the year's end":                                {"2027-01-05T12:00:00Z", "2026-12-10T03:00:00Z", "2027-01-10T03:00:00Z", 10},
		"a midnight that does not exist":                     {"2018-11-04T03:00:00Z", "2018-11-04T03:00:00Z", "2018-12-04T02:00:00Z", 4},
		"the instant before it":                              {"2018-11-04T02:59:59Z", "2018-10-04T03:00:00Z", "2018-11-04T03:00:00Z", 4},
	} {
		t.Run(name, func(t *testing.T) {
			at, _ := time.Parse(time.RFC3339, c.at)
			p := PeriodAt(at, c.day, saoPaulo)
			if got := p.Start.Format(time.RFC3339); got != c.start {
				t.Errorf("start %s, want %s", got, c.start)
			}
			if got := p.End.Format(time.RFC3339); got != c.end {
				t.Errorf("end %s, want %s", got, c.end)
			}
		})
	}
}

func TestPeriodsTileTime(t *testing.T) {
	zones := []*time.Location{zone(t, "America/Sao_Paulo"), zone(t, "Asia/Kathmandu"), zone(t, "Africa/Cairo"), zone(t, "America/Havana"), time.UTC}
	rapid.Check(t, func(t *rapid.T) {
		z := rapid.SampledFrom(zones).Draw(t, "zone")
		day := rapid.IntRange(1, 31).Draw(t, "anchor")
		at := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "at"), 0).UTC()
		p := PeriodAt(at, day, z)
		if !p.Contains(at) {
			t.Fatalf("%v is not in its own period %v", at, p)
		}
		if next := PeriodAt(p.End, day, z); !next.Start.Equal(p.End) {
			t.Fatalf("gap or overlap after %v: next is %v", p, next)
		}
		if before := PeriodAt(p.Start.Add(-time.Nanosecond), day, z); !before.End.Equal(p.Start) {
			t.Fatalf("gap or overlap before %v: earlier is %v", p, before)
		}
	})
}
