package ui

import (
	"time"

	"github.com/a-h/templ"

	"github.com/fila-ia/filaia/internal/i18n"
)

// Unit is the length of time one label of a chart stands for.
type Unit string

// The units.
const (
	Minute Unit = "minute"
	Hour   Unit = "hour"
	Day    Unit = "day"
	Month  Unit = "month"
)

// Tokens are input and output tokens over time, one of each per label. It is the JSON that static/js/charts.js reads:
// {"labels":["2026-11-22T03:00:00Z"],"input":[1],"output":[2],"limit":null}.
type Tokens struct {
	Labels []time.Time `json:"labels"` // where each unit begins
	Input  []int64     `json:"input"`
	Output []int64     `json:"output"`
	Limit  *int64      `json:"limit"` // drawn as a line; nil for none
}

// ChartModel is a chart of tokens, titled with the one question it answers.
type ChartModel struct {
	ID     string // unique on the page
	Title  string
	Lead   string          // one sentence under the title, optional
	Unit   Unit            // how labels are written
	Area   bool            // areas instead of bars, for many short units
	Data   Tokens          // what is drawn at first
	Live   string          // address of an event stream with further Tokens, optional
	Event  string          // name of its events; "tokens" where empty
	Action templ.Component // such as chips for the period, optional
}

func (m ChartModel) event() string {
	if m.Event == "" {
		return "tokens"
	}
	return m.Event
}

func (m ChartModel) style() string {
	if m.Area {
		return "area"
	}
	return "bar"
}

func (m ChartModel) dataID() string { return m.ID + "-data" }

// data never carries null lists: the script reads lengths.
func (m ChartModel) data() Tokens {
	d := m.Data
	if d.Labels == nil {
		d.Labels = []time.Time{}
	}
	if d.Input == nil {
		d.Input = []int64{}
	}
	if d.Output == nil {
		d.Output = []int64{}
	}
	return d
}

// label writes when a unit begins, as short as it stays clear. charts.js does the same for what arrives later.
func (m ChartModel) label(p i18n.Printer, t time.Time) string {
	switch m.Unit {
	case Day:
		return p.Date(t)
	case Month:
		return p.Month(t)
	}
	return p.DateTime(t)
}

// zone is the IANA name for the script; "Local" means nothing to a browser.
func zone(p i18n.Printer) string {
	if name := p.Zone().String(); name != "Local" {
		return name
	}
	return "UTC"
}

func at(values []int64, i int) int64 {
	if i < len(values) {
		return values[i]
	}
	return 0
}
