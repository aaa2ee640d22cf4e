package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// report is what was measured.
type report struct {
	Date  time.Time `json:"date"`
	CPUs  int       `json:"cpus"`
	Busy  bool      `json:"busy"` // others used the machine meanwhile
	Rows  []*row    `json:"rows"`
	Notes []string  `json:"notes,omitempty"`
	Books books     `json:"books"`
}

// row is one figure of both sides and how they compare.
type row struct {
	Name     string  `json:"name"`
	Unit     string  `json:"unit,omitempty"`
	Baseline float64 `json:"baseline"`
	Gateway  float64 `json:"gateway"`
	Compared float64 `json:"compared"` // what the target is for: a ratio, a difference, or the gateway's figure
	Kind     string  `json:"kind"`     // which of them
	Rounds   int     `json:"rounds"`   // whose median the figures are
	Target   string  `json:"target,omitempty"`
	Missed   bool    `json:"missed"`
}

const (
	kindRatio = "ratio"
	kindAdded = "added"
	kindPlain = "figure"
)

func (r *report) add(one row) *row {
	r.Rows = append(r.Rows, &one)
	return &one
}

// ratio adds a figure of which the gateway's multiple of the baseline counts; medians of the rounds.
func (r *report) ratio(name, unit string, both pair, of func(sample) float64) *row {
	baseline, gateway := both.proxy.median(of), both.gateway.median(of)
	return r.add(row{Name: name, Unit: unit, Baseline: baseline, Gateway: gateway, Compared: gateway / baseline, Kind: kindRatio, Rounds: len(both.proxy)})
}

// added adds a figure of which the difference counts; medians of the rounds.
func (r *report) added(name, unit string, both pair, of func(sample) float64) *row {
	baseline, gateway := both.proxy.median(of), both.gateway.median(of)
	return r.add(row{Name: name, Unit: unit, Baseline: baseline, Gateway: gateway, Compared: gateway - baseline, Kind: kindAdded, Rounds: len(both.proxy)})
}

// ratios adds a ratio of which the multiple of what it once was counts.
func (r *report) ratios(name string, once, now float64) *row {
	return r.add(row{Name: name, Unit: "×", Baseline: once, Gateway: now, Compared: now / once, Kind: kindRatio, Rounds: 1})
}

// plain adds a figure that counts as it is.
func (r *report) plain(name, unit string, baseline, gateway float64) *row {
	return r.add(row{Name: name, Unit: unit, Baseline: baseline, Gateway: gateway, Compared: gateway, Kind: kindPlain, Rounds: 1})
}

func (one *row) atMost(limit float64) {
	one.Target, one.Missed = "≤ "+one.told(limit), one.Compared > limit
}

func (one *row) below(limit float64) {
	one.Target, one.Missed = "< "+one.told(limit), one.Compared >= limit
}

func (one *row) atLeast(limit float64) {
	one.Target, one.Missed = "≥ "+one.told(limit), one.Compared < limit
}

// told writes a figure that is compared.
func (one *row) told(n float64) string {
	switch one.Kind {
	case kindRatio:
		return strconv.FormatFloat(n, 'f', 2, 64) + "×"
	case kindAdded:
		return fmt.Sprintf("%+.2f %s", n, one.Unit)
	}
	return strings.TrimSpace(strconv.FormatFloat(n, 'f', -1, 64) + " " + one.Unit)
}

// figure writes three digits, or all that stand before the point.
func figure(n float64, unit string) string {
	if n == 0 {
		return "–" // there is no such thing
	}
	digits := 0
	for limit := 100.0; n < limit && digits < 4; limit /= 10 {
		digits++
	}
	text := strconv.FormatFloat(n, 'f', digits, 64)
	if unit != "" {
		text += " " + unit
	}
	return text
}

// tally is calls and their tokens, input and output.
type tally struct {
	Calls  int64 `json:"calls"`
	Tokens int64 `json:"tokens"`
}

func (t tally) plus(o tally) tally { return tally{t.Calls + o.Calls, t.Tokens + o.Tokens} }

// books are the same calls as three parties counted them. What was saved reached no provider, and is free here.
type books struct {
	Answered tally `json:"answered"` // to the callers
	Recorded tally `json:"recorded"` // by the product, as served
	Provider tally `json:"provider"` // by the provider
	Billed   tally `json:"billed"`   // by the product: calls that a provider was asked for, and billed tokens
	Saved    int64 `json:"saved"`    // calls that the callers were told to come from the cache
	Failures int64 `json:"failures"`
}

func (b books) plus(o books) books {
	return books{
		b.Answered.plus(o.Answered), b.Recorded.plus(o.Recorded), b.Provider.plus(o.Provider), b.Billed.plus(o.Billed),
		b.Saved + o.Saved, b.Failures + o.Failures,
	}
}

func (b books) err() error {
	if b.Answered != b.Recorded || b.Provider != b.Billed || b.Saved != b.Answered.Calls-b.Provider.Calls || b.Failures != 0 {
		return fmt.Errorf("the books do not balance: %+v", b)
	}
	return nil
}

func (r *report) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\t%s\t%s\t%s\t%s\t\n", "bare proxy", "gateway", "compared", "target")
	for _, one := range r.Rows {
		verdict := ""
		switch {
		case one.Missed:
			verdict = "MISSED"
		case one.Target != "":
			verdict = "ok"
		}
		compared := one.told(one.Compared)
		if one.Kind == kindPlain {
			compared = ""
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", one.Name, figure(one.Baseline, one.Unit), figure(one.Gateway, one.Unit), compared, one.Target, verdict)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	verdict := "ok"
	if r.Books.err() != nil {
		verdict = "MISSED"
	}
	b := r.Books
	_, err := fmt.Fprintf(w, "\n%d calls answered with %d tokens, %d with %d recorded; %d with %d by the provider, %d with %d billed; %d saved by the cache: %s\n"+
		"%d CPUs, medians of alternating rounds, %s\n",
		b.Answered.Calls, b.Answered.Tokens, b.Recorded.Calls, b.Recorded.Tokens, b.Provider.Calls, b.Provider.Tokens, b.Billed.Calls, b.Billed.Tokens,
		b.Saved, verdict, r.CPUs, r.Date.Format(time.DateOnly))
	for _, note := range r.Notes {
		fmt.Fprintln(w, note)
	}
	if err == nil && r.Busy {
		_, err = fmt.Fprintln(w, "The machine was busy with other things: even the bare proxy's p99 is far above the provider's time. Times say little.")
	}
	return err
}

func (r *report) printJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}
