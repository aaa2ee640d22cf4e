package alerts

import (
	"strconv"
	"time"

	"github.com/fila-ia/filaia/internal/i18n"
)

// Replay is what a rule would have raised in the last days.
type Replay struct {
	Mark   string // what the rule watched when it was asked
	Known  bool   // something is kept that tells
	Wrong  bool   // the form cannot be read
	Since  time.Time
	Whole  bool // Since is where the days begin, not where records do
	Total  int
	More   bool // there would have been more than Total
	PerDay float64
	Noisy  bool
	By     []ReplayCount // the most first
	Others int           // of whom By does not tell
	Last   []Fired       // the newest first
}

// ReplayCount is how often somebody would have been told of.
type ReplayCount struct {
	Name, Href string
	N          int
}

// Fired is one alert that would have been raised.
type Fired struct {
	At     time.Time
	About  string // a customer, key or provider; "" is the installation
	Amount string // the threshold, in words
}

func (r Replay) totalText(p i18n.Printer) string {
	if r.More {
		return p.T("alerts.replay_total_more", "n", r.Total)
	}
	return p.T("alerts.replay_total", "n", r.Total)
}

func (r Replay) perDay(p i18n.Printer) string {
	text := p.Decimal(r.PerDay, 1)
	if r.PerDay >= 10 {
		text = strconv.Itoa(int(r.PerDay + .5))
	}
	return text
}
