package webhook

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
)

// Later is an attempt that may be repeated. After is how long the other side asks to wait; 0: it says nothing.
type Later struct {
	After time.Duration
	words string
}

func (e *Later) Error() string { return e.words }

// RetryAfter is After.
func (e *Later) RetryAfter() time.Duration { return e.After }

// waitOf is for how long the other side asks to be let alone, in whole seconds, alert.LongestWait at most: in the header
// Retry-After (RFC 9110, 10.2.3), of which Discord sends fractions, or in the answers of Telegram and Discord. Of several the
// longest counts: Discord rounds its header.
func waitOf(h http.Header, kind alert.Channel, body []byte, now time.Time) time.Duration {
	seconds := headerWait(h, now)
	var told struct {
		RetryAfter float64 `json:"retry_after"` // Discord's
		Parameters struct {
			RetryAfter float64 `json:"retry_after"` // Telegram's
		} `json:"parameters"`
	}
	if (kind == alert.Telegram || kind == alert.Discord) && json.Unmarshal(body, &told) == nil {
		seconds = max(seconds, told.RetryAfter, told.Parameters.RetryAfter)
	}
	if !(seconds > 0) { // nor NaN
		return 0
	}
	if seconds >= alert.LongestWait.Seconds() {
		return alert.LongestWait
	}
	wait := time.Duration(seconds * float64(time.Second))
	return (wait + time.Second - 1).Truncate(time.Second)
}

// headerWait is that of the header, in seconds. A date is looked at beside the other side's own clock, where it tells that.
func headerWait(h http.Header, now time.Time) float64 {
	text := h.Get("Retry-After")
	if seconds, err := strconv.ParseFloat(text, 64); err == nil && seconds == seconds {
		return seconds
	}
	until, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	if theirs, err := http.ParseTime(h.Get("Date")); err == nil {
		now = theirs
	}
	return until.Sub(now).Seconds()
}
