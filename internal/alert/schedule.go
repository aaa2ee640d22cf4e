package alert

import "time"

// LongestWait is the longest between two attempts at a message, and so the longest that the other side may have us wait.
const LongestWait = 4 * time.Hour

// holds tells whether nothing is to be sent at an instant, by the clock on the reader's wall.
func (q *Quiet) holds(at time.Time, zone *time.Location) bool {
	if q == nil {
		return false
	}
	m := minuteOf(at, zone)
	if q.From <= q.Until {
		return m >= q.From && m < q.Until
	}
	return m >= q.From || m < q.Until
}

// after is the first moment from at on in which something may be sent. It goes by minutes and reads the wall's clock at each, so
// that days of 23 and 25 hours need no thought; a day has few minutes.
func (q *Quiet) after(at time.Time, zone *time.Location) time.Time {
	if !q.holds(at, zone) {
		return at
	}
	for at = at.Truncate(time.Minute); q.holds(at, zone); {
		at = at.Add(time.Minute)
	}
	return at
}

func minuteOf(at time.Time, zone *time.Location) Minute {
	hour, minute, _ := at.In(zone).Clock()
	return Minute(hour*60 + minute)
}

// nextDaily is the first time from at on that the wall's clock shows the minute, once a day: where the clock skips it, the moment
// of the skip, and where it shows it twice, the first.
func nextDaily(m Minute, at time.Time, zone *time.Location) time.Time {
	year, month, day := at.In(zone).Date()
	for ahead := -1; ; ahead++ {
		if t := firstOf(time.Date(year, month, day+ahead, int(m)/60, int(m)%60, 0, 0, zone), m); !t.Before(at) {
			return t.UTC()
		}
	}
}

// firstOf mends what time.Date leaves open at changes of the clock: which of two instants, or which beside a gap.
func firstOf(t time.Time, m Minute) time.Time {
	begin, end := t.ZoneBounds()
	if shown := minuteOf(t, t.Location()); shown != m { // in a gap: t is as far before or after it as time.Date liked
		if day := Minute(24 * 60); (shown-m+day)%day < day/2 {
			return begin
		}
		return end
	}
	if begin.IsZero() {
		return t
	}
	_, offset := t.Zone()
	_, before := begin.Add(-time.Second).Zone()
	if earlier := t.Add(time.Duration(offset-before) * time.Second); earlier.Before(begin) && earlier.Before(t) {
		return earlier
	}
	return t
}

// due is when a rule's event may be told from a moment on: at once, after quiet hours, or in the day's digest. The highest threshold
// waits for neither, where the rule says so.
func (r *Rule) due(e *Event, from time.Time, zone *time.Location) time.Time {
	if r.LastAtOnce && e.Threshold >= r.last() {
		return from
	}
	if r.DailyAt != nil {
		from = nextDaily(*r.DailyAt, from, zone)
	}
	return r.Quiet.after(from, zone)
}

// last is the highest threshold.
func (r *Rule) last() int64 {
	if len(r.Thresholds) == 0 {
		return 0
	}
	return r.Thresholds[len(r.Thresholds)-1]
}
