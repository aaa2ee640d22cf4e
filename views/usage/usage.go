// Package usage draws what was used: figures, what remains of plans, calls, shares by tenant, model or key. The
// panel's overview, a tenant's usage and the customers' portal are made of these parts.
//
// A part with data-part is replaced in place by static/js/live.js when the page's stream sends a newer one.
package usage

import (
	"strconv"
	"time"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/views/ui"
)

// Figure is one number that matters, with how it went over time.
type Figure struct {
	Label string
	Value string
	Exact string // on hover
	Note  string
	Trend string // the change against before
	Up    bool
	Tone  ui.Tone // of the trend, and of the note where there is no trend
	Spark []int64 // drawn as a small line; optional
	More  ui.Link // where the figure is explained; optional
}

// Meter is one kind of token of a plan.
type Meter struct {
	Label       string
	Used, Limit int64
	Hard        bool // calls are refused at the limit; otherwise the excess is charged
}

// Quota is what a plan grants in this period and what was used of it.
type Quota struct {
	Name          string // of the tenant, or of the key with a plan of its own
	Href          string
	Plan          string
	Note          string // when it starts anew
	Input, Output Meter
	Tone          ui.Tone // with Word: how it stands
	Word          string
}

// Quotas are the plans, the fullest first.
type Quotas struct {
	Items []Quota
}

// Call is one row of the calls.
type Call struct {
	At        time.Time
	Tenant    string
	TenantRef string
	Key       string
	Model     string
	Detail    string // on hover: endpoint, whether it was streamed, the request's id
	Tone      ui.Tone
	Word      string
	Input     int64
	Output    int64
	Cached    int64
	Estimated bool
	Latency   time.Duration
	Cost      int64   // US$ micros
	Cache     string  // how the cache answered; empty where it did not
	CacheTone ui.Tone // with Cache
	Served    int64   // tokens of an answer of the cache; the others' are those billed
	Provider  string  // who was asked; empty: nobody
}

// Calls is a page of calls, newest first.
type Calls struct {
	Rows   []Call
	Now    time.Time
	Tenant bool   // with the tenant's column
	Cost   bool   // with the columns of cost and provider
	More   string // address of the rows after these, empty at the end
	Empty  ui.EmptyModel
}

// Share is one row of a breakdown.
type Share struct {
	Name     string
	Href     string
	Requests int64
	Input    int64
	Output   int64
	Ratio    float64 // of all tokens in the breakdown
	Cost     int64   // US$ micros
	ServedIn int64
	Served   int64  // input and output, billed or not
	HitRate  string // "–" where nothing was looked up
	HitNote  string // on hover
}

// Shares is a breakdown by tenant, model or key.
type Shares struct {
	Head string // what the rows are
	Rows []Share
	Cost bool // with what it cost instead of the number of calls
	Hits bool // with what was served and how often the cache answered
}

// CacheModel is how far the cache answered instead of the providers.
type CacheModel struct {
	Lead  string // the time that it covers
	Rate  string // "–" where nothing was looked up
	Ratio float64
	Note  string
	Goal  string  // what is aimed at, in words; empty where nobody aims
	Aim   float64 // the same as a share
	Tone  ui.Tone // of the bar
	Items []CacheItem
}

// CacheItem is one figure beside the rate.
type CacheItem struct {
	Label, Value, Exact, Note string
}

// bar is how long a row's bar is, 0..1: the largest one's is whole, so that small shares can still be told apart.
func (m Shares) bar(s Share) float64 {
	largest := 0.0
	for _, row := range m.Rows {
		largest = max(largest, row.Ratio)
	}
	if largest == 0 {
		return 0
	}
	return s.Ratio / largest
}

// named is a row's name, with its share where no column tells it.
func (m Shares) named(p i18n.Printer, s Share) string {
	if !m.Hits {
		return s.Name
	}
	return s.Name + " · " + p.Percent(s.Ratio)
}

// Choice is one position of a switch.
type Choice struct {
	Label, Href string
	Active      bool
}

// fill is where the bar of a meter ends, in percent, and where the limit stands when more was used.
func (m Meter) fill() (used, limit float64) {
	switch {
	case m.Limit <= 0:
		return 0, 100
	case m.Used > m.Limit:
		return 100, 100 * float64(m.Limit) / float64(m.Used)
	}
	return 100 * float64(m.Used) / float64(m.Limit), 100
}

func (m Meter) tone() ui.Tone {
	switch {
	case m.Limit <= 0:
		return ui.Neutral
	case m.Used >= m.Limit && m.Hard:
		return ui.Bad
	case m.Used >= m.Limit:
		return ui.Info
	case m.Used*10 >= m.Limit*8:
		return ui.Warn
	}
	return ui.Neutral
}

func (m Meter) exact(p i18n.Printer) string {
	return p.T("usage.quota.exact", "label", m.Label, "used", m.Used, "limit", m.Limit)
}

func (m Meter) ratio(p i18n.Printer) string {
	if m.Limit <= 0 {
		return "–"
	}
	return p.Percent(float64(m.Used) / float64(m.Limit))
}

func percent(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) + "%" }

// sparkPoints lays values on a line of 100 × 28; fewer than two make none.
func sparkPoints(values []int64) (line, area string) {
	if len(values) < 2 {
		return "", ""
	}
	highest := int64(1)
	for _, v := range values {
		highest = max(highest, v)
	}
	for i, v := range values {
		x := 100 * float64(i) / float64(len(values)-1)
		y := 26 - 24*float64(v)/float64(highest)
		line += strconv.FormatFloat(x, 'f', 1, 64) + "," + strconv.FormatFloat(y, 'f', 1, 64) + " "
	}
	return line, "0,28 " + line + "100,28"
}

// when is the time of day to the second, with the date where it was not today.
func (m Calls) when(p i18n.Printer, t time.Time) string {
	clock := t.In(p.Zone()).Format("15:04:05")
	if p.Date(t) != p.Date(m.Now) {
		return p.Date(t) + " " + clock
	}
	return clock
}

// dollars writes US$ micros with so many decimals, so that a column of small amounts reads evenly; what is less than
// the last one shows is not written as nothing.
func dollars(p i18n.Printer, micros int64, places int) string {
	least := int64(1_000_000)
	for range places {
		least /= 10
	}
	if micros > 0 && micros < least {
		return "< US$\u00a0" + p.Decimal(float64(least)/1e6, places)
	}
	return "US$\u00a0" + p.Decimal(float64(micros)/1e6, places)
}
