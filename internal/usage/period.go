package usage

import "time"

// Period is one billing month: [Start, End), in UTC.
type Period struct {
	Start, End time.Time
}

// PeriodAt gives the period that holds at: months that begin on anchorDay (1..31; a shorter month's last day stands
// in) at the first instant of that day in zone. Each edge is computed from the anchor, never from the edge before:
// chaining from 31 January would give 3 March.
func PeriodAt(at time.Time, anchorDay int, zone *time.Location) Period {
	local := at.In(zone)
	year, month := local.Year(), local.Month()
	start := edge(year, month, anchorDay, zone)
	if at.Before(start) {
		month--
		start = edge(year, month, anchorDay, zone)
	}
	return Period{Start: start, End: edge(year, month+1, anchorDay, zone)}
}

// Contains tells whether the instant lies in the period.
func (p Period) Contains(at time.Time) bool { return !at.Before(p.Start) && at.Before(p.End) }

func edge(year int, month time.Month, anchorDay int, zone *time.Location) time.Time {
	lastDay := time.Date(year, month+1, 0, 12, 0, 0, 0, time.UTC).Day()
	return firstInstant(year, month, min(anchorDay, lastDay), zone)
}

// firstInstant is the earliest instant of a local day. Local midnight may not exist (São Paulo, 4 November 2018) or
// exist twice, and time.Date does not say which instant it then picks.
func firstInstant(year int, month time.Month, day int, zone *time.Location) time.Time {
	midnight := time.Date(year, month, day, 0, 0, 0, 0, zone)
	noon := time.Date(year, month, day, 12, 0, 0, 0, zone)
	if midnight.Day() != noon.Day() || midnight.Hour() != 0 {
		transition, _ := noon.ZoneBounds()
		return transition.UTC()
	}
	if earlier := midnight.Add(-time.Hour); earlier.Day() == noon.Day() {
		return earlier.UTC()
	}
	return midnight.UTC()
}
