package alert

import (
	"math"
	"time"
)

// Pace is how fast a limit was used lately.
type Pace struct {
	Limit, Used int64
	Recent      int64         // of Used, in the span that tells the pace
	Span        time.Duration // of Recent; too short a one says nothing, and all since the period's begin does
}

const (
	paceSpan    = 24 * time.Hour // the shortest that tells a pace
	forecastAge = 48 * time.Hour // of a period before it is forecast, or a twentieth of it
)

// Forecast tells where the use of a limit will stand at the period's end if it goes on as lately, in hundredths of a percent
// of the limit, and when the limit will be reached; a zero time is not before the end. It is false where there is nothing to
// forecast: too early in the period, no limit, or the limit is reached.
func (p Pace) Forecast(start, end, now time.Time) (share int64, runsOut time.Time, ok bool) {
	age := now.Sub(start)
	if p.Limit <= 0 || p.Used >= p.Limit || !now.Before(end) || age < min(forecastAge, end.Sub(start)/20) || age <= 0 {
		return 0, runsOut, false
	}
	perSecond := float64(p.Used) / age.Seconds()
	if p.Span >= paceSpan {
		perSecond = float64(p.Recent) / p.Span.Seconds()
	}
	at := float64(p.Used) + perSecond*end.Sub(now).Seconds()
	if perSecond > 0 {
		if left := float64(p.Limit-p.Used) / perSecond; left < end.Sub(now).Seconds() {
			runsOut = now.Add(time.Duration(left * float64(time.Second))).Truncate(time.Second)
		}
	}
	const rounding = 1e-6 // of the figures above, so that what comes to a threshold exactly is not below it
	return int64(min(at/float64(p.Limit)*Whole+rounding, math.MaxInt32)), runsOut, true
}
