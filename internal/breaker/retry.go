package breaker

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// longestWait bounds what is believed of a header.
const longestWait = 24 * time.Hour

// RetryAfterOf reads how long a provider that answered 429 or 503 wants to be left alone; 0: it does not say. get gives
// a header's value, or "". Most exact first: retry-after-ms, retry-after (seconds or an HTTP date, RFC 9110 §10.2.3), then
// the longer of x-ratelimit-reset-requests and -tokens of whichever x-ratelimit-remaining-* is 0. Those are durations as
// Go writes them ("6m0s", "120ms"), or seconds.
func RetryAfterOf(get func(name string) string, now time.Time) time.Duration {
	if d, ok := number(get("retry-after-ms"), time.Millisecond); ok {
		return d
	}
	after := get("retry-after")
	if d, ok := number(after, time.Second); ok {
		return d
	}
	if at, ok := httpDate(after); ok {
		return bounded(at.Sub(now))
	}
	return max(reset(get, "requests"), reset(get, "tokens"))
}

// reset is when the allowance of a kind grows back, if it is used up.
func reset(get func(string) string, kind string) time.Duration {
	if strings.TrimSpace(get("x-ratelimit-remaining-"+kind)) != "0" {
		return 0
	}
	value := strings.TrimSpace(get("x-ratelimit-reset-" + kind))
	if d, ok := number(value, time.Second); ok {
		return d
	}
	d, err := time.ParseDuration(value)
	if err != nil {
		return 0
	}
	return bounded(d)
}

// number reads so many units.
func number(s string, unit time.Duration) (time.Duration, bool) {
	n, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || math.IsNaN(n) {
		return 0, false
	}
	n = min(max(n*float64(unit), 0), float64(longestWait)) // before the conversion, which would overflow
	return time.Duration(n), true
}

// httpDate reads the three forms of RFC 9110 §5.6.7.
func httpDate(s string) (time.Time, bool) {
	for _, form := range []string{"Mon, 02 Jan 2006 15:04:05 GMT", time.RFC850, time.ANSIC} {
		if at, err := time.Parse(form, strings.TrimSpace(s)); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}

func bounded(d time.Duration) time.Duration { return min(max(d, 0), longestWait) }

// The pause before the first retry is random up to firstBackoff; it doubles, up to maxBackoff.
const (
	firstBackoff = 200 * time.Millisecond
	maxBackoff   = 5 * time.Second
)

// Backoff is the pause before retry n, the first being 0: random within a bound that doubles ("full jitter"), and that on
// top of what the provider asked for, so that those who were told the same moment do not come back as one crowd. random
// gives numbers in [0, 1).
func Backoff(n int, retryAfter time.Duration, random func() float64) time.Duration {
	bound := maxBackoff
	if n < 5 { // beyond, the doubling has passed the bound
		bound = min(firstBackoff<<max(n, 0), maxBackoff)
	}
	return max(retryAfter, 0) + time.Duration(random()*float64(bound))
}
