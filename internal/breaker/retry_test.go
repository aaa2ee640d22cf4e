package breaker

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestRetryAfterOfReadsWhatProvidersSend(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	type headers map[string]string
	for name, c := range map[string]struct {
		headers headers
		want    time.Duration
	}{
		"nothing":              {headers{}, 0},
		"seconds":              {headers{"retry-after": "20"}, 20 * time.Second},
		"seconds with spaces":  {headers{"retry-after": " 20 "}, 20 * time.Second},
		"parts of a second":    {headers{"retry-after": "0.5"}, time.Second / 2},
		"a date":               {headers{"retry-after": "Sun, 01 Mar 2026 12:01:30 GMT"}, 90 * time.Second},
		"an RFC 850 date":      {headers{"retry-after": "Sunday, 01-Mar-26 12:01:30 GMT"}, 90 * time.Second},
		"an asctime date":      {headers{"retry-after": "Sun Mar  1 12:01:30 2026"}, 90 * time.Second},
		"a date that is past":  {headers{"retry-after": "Sun, 01 Mar 2026 11:00:00 GMT"}, 0},
		"milliseconds":         {headers{"retry-after-ms": "120"}, 120 * time.Millisecond},
		"milliseconds first":   {headers{"retry-after-ms": "120", "retry-after": "1"}, 120 * time.Millisecond},
		"bad milliseconds":     {headers{"retry-after-ms": "soon", "retry-after": "1"}, time.Second},
		"negative":             {headers{"retry-after": "-3"}, 0},
		"not a number":         {headers{"retry-after": "NaN"}, 0},
		"infinite":             {headers{"retry-after": "Inf"}, 24 * time.Hour},
		"longer than believed": {headers{"retry-after": "1e300"}, 24 * time.Hour},
		"requests used up": {headers{
			"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s",
			"x-ratelimit-remaining-tokens": "149984", "x-ratelimit-reset-tokens": "9m0s"}, 6 * time.Minute},
		"both used up": {headers{
			"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1s",
			"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1m3.5s"}, 63*time.Second + 500*time.Millisecond},
		"tokens in milliseconds": {headers{"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "120ms"}, 120 * time.Millisecond},
		"reset as a number":      {headers{"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "7"}, 7 * time.Second},
		"reset that is nonsense": {headers{"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "tomorrow"}, 0},
		"reset below zero":       {headers{"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "-5s"}, 0},
		"nothing used up":        {headers{"x-ratelimit-remaining-tokens": "1", "x-ratelimit-reset-tokens": "6m0s"}, 0},
		"remaining unknown":      {headers{"x-ratelimit-remaining-tokens": "-1", "x-ratelimit-reset-tokens": "0"}, 0},
		"retry-after beats reset": {headers{
			"retry-after": "2", "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			if got := RetryAfterOf(func(name string) string { return c.headers[name] }, now); got != c.want {
				t.Fatalf("%v, want %v", got, c.want)
			}
		})
	}
}

func TestBackoffDoublesWithinItsBoundAndKeepsRetryAfter(t *testing.T) {
	for n, bound := range []time.Duration{200, 400, 800, 1600, 3200, 5000, 5000, 5000} {
		if got := Backoff(n, 0, func() float64 { return 0.5 }); got != bound*time.Millisecond/2 {
			t.Errorf("retry %d: %v", n, got)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		after := time.Duration(rapid.Int64Range(-int64(time.Hour), int64(time.Hour)).Draw(t, "after"))
		got := Backoff(rapid.IntRange(-5, 1000).Draw(t, "n"), after, func() float64 { return rapid.Float64Range(0, 0.999).Draw(t, "random") })
		if got < after || got < 0 || got > max(after, 0)+5*time.Second {
			t.Fatalf("%v after %v", got, after)
		}
	})
}
