package i18n

import (
	"strconv"
	"time"
)

// Date writes the day in the Printer's zone: 22/11/2026 (en: 22 Nov 2026).
func (p Printer) Date(t time.Time) string {
	if p.Lang() == En {
		return t.In(p.Zone()).Format("2 Jan 2006")
	}
	return t.In(p.Zone()).Format("02/01/2006")
}

// Clock writes the time of day in the Printer's zone: 14:05.
func (p Printer) Clock(t time.Time) string { return t.In(p.Zone()).Format("15:04") }

// DateTime writes day and time in the Printer's zone: 22/11/2026 14:05 (en: 22 Nov 2026 14:05).
func (p Printer) DateTime(t time.Time) string { return p.Date(t) + " " + p.Clock(t) }

// Month names the month in the Printer's zone: novembro de 2026 (en: November 2026).
func (p Printer) Month(t time.Time) string {
	local := t.In(p.Zone())
	name := p.T("format.month." + strconv.Itoa(int(local.Month())))
	return p.T("format.month_year", "month", name, "year", strconv.Itoa(local.Year()))
}

// Relative writes how far t is from now where that is fresh, else the date: agora, há 3 min, há 2 h, ontem às 14:05,
// em 5 dias; beyond a week 22/11/2026.
func (p Printer) Relative(t, now time.Time) string {
	ahead := t.After(now)
	gap := now.Sub(t).Abs()
	key := "format.ago."
	if ahead {
		key = "format.in."
	}
	switch {
	case gap < time.Minute:
		return p.T("format.now")
	case gap < time.Hour:
		return p.T(key+"minutes", "n", int(gap/time.Minute))
	case gap < 24*time.Hour:
		return p.T(key+"hours", "n", int(gap/time.Hour))
	}
	switch days := p.daysBetween(t, now); {
	case days == 1 && !ahead:
		return p.T("format.yesterday", "time", p.Clock(t))
	case days == 1:
		return p.T("format.tomorrow", "time", p.Clock(t))
	case days <= 7:
		return p.T(key+"days", "n", days)
	}
	return p.Date(t)
}

// daysBetween counts calendar days in the zone, so that a change of the clock makes no day of its own.
func (p Printer) daysBetween(a, b time.Time) int {
	day := func(t time.Time) time.Time {
		y, m, d := t.In(p.Zone()).Date()
		return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	}
	return int(day(a).Sub(day(b)).Abs() / (24 * time.Hour))
}

// Duration writes a length of time with two units at most: 350 ms, 1,4 s, 2 min 5 s, 3 h 20 min, 4 d 2 h. A number
// stays with its unit.
func (p Printer) Duration(d time.Duration) string {
	if d < 0 {
		return "-" + p.Duration(-d)
	}
	switch {
	case d < time.Second:
		return p.Int(int64(d.Round(time.Millisecond)/time.Millisecond)) + nbsp + "ms"
	case d < time.Minute:
		return p.short(d.Truncate(100*time.Millisecond).Seconds(), 1) + nbsp + "s"
	case d < time.Hour:
		return p.twoUnits(int64(d/time.Minute), "min", int64(d%time.Minute/time.Second), "s")
	case d < 48*time.Hour:
		return p.twoUnits(int64(d/time.Hour), "h", int64(d%time.Hour/time.Minute), "min")
	}
	const day = 24 * time.Hour
	return p.twoUnits(int64(d/day), "d", int64(d%day/time.Hour), "h")
}

func (p Printer) twoUnits(big int64, bigUnit string, small int64, smallUnit string) string {
	text := p.Int(big) + nbsp + bigUnit
	if small > 0 {
		text += " " + p.Int(small) + nbsp + smallUnit
	}
	return text
}
