package emails

import (
	"time"

	"github.com/fila-ia/filaia/internal/i18n"
)

// The chart shows so many days, so many pixels high.
const (
	chartDays   = 14
	chartHeight = 96
)

// chart is the tokens of the last days as bars.
type chart struct {
	title         string
	highest       string
	inputLabel    string // with the sum
	outputLabel   string
	input, output string
	bars          []bar
}

// bar is one day. The heights are pixels.
type bar struct {
	day           string // of the month
	date          string // with the month
	input, output int
	total         string // of both
	today         bool
}

// newChart draws the last days; nil where there is nothing to see.
func newChart(p i18n.Printer, days []Day) *chart {
	days = days[max(len(days)-chartDays, 0):]
	var highest, input, output int64
	for _, d := range days {
		highest = max(highest, d.Input+d.Output)
		input, output = input+d.Input, output+d.Output
	}
	if highest <= 0 || len(days) < 2 {
		return nil
	}
	c := &chart{
		title:       p.T("emails.chart.title", "from", dayMonth(p, days[0].Day), "until", dayMonth(p, days[len(days)-1].Day)),
		highest:     p.T("emails.chart.highest", "tokens", p.Compact(highest)),
		inputLabel:  p.T("emails.chart.input", "tokens", p.Compact(input)),
		outputLabel: p.T("emails.chart.output", "tokens", p.Compact(output)),
		input:       p.T("emails.chart.input_sum", "tokens", p.Int(input)),
		output:      p.T("emails.chart.output_sum", "tokens", p.Int(output)),
	}
	for i, d := range days {
		b := bar{day: d.Day.Format("2"), date: dayMonth(p, d.Day), total: p.Int(d.Input + d.Output), today: i == len(days)-1}
		b.input, b.output = pixels(d.Input, highest), pixels(d.Output, highest)
		c.bars = append(c.bars, b)
	}
	return c
}

// pixels is the height of tokens, of which highest fill the chart; what is there is seen.
func pixels(tokens, highest int64) int {
	if tokens <= 0 {
		return 0
	}
	return max(int(float64(tokens)/float64(highest)*chartHeight), 1)
}

func dayMonth(p i18n.Printer, t time.Time) string {
	if p.Lang() == i18n.En {
		return t.Format("2 Jan")
	}
	return t.Format("02/01")
}
