package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// report is what a run found.
type report struct {
	Seed     uint64   `json:"seed"`
	Seconds  float64  `json:"seconds"`
	Replicas int      `json:"replicas"`
	Tenants  int      `json:"tenants"`
	Race     bool     `json:"race"` // the product was built with the race detector
	Lines    []line   `json:"lines"`
	Memory   []curve  `json:"memory"`
	Diary    []string `json:"diary"`
}

// line is one of the table: a figure, or a check that holds or does not.
type line struct {
	Name   string   `json:"name"`
	Value  string   `json:"value"`
	Check  bool     `json:"check"`
	Wrong  bool     `json:"wrong"`
	Detail []string `json:"detail,omitempty"`
}

// figure adds a line that only tells.
func (r *report) figure(name, value string, detail ...string) {
	r.Lines = append(r.Lines, line{Name: name, Value: value, Detail: detail})
}

// expect adds a check.
func (r *report) expect(name string, holds bool, value string, detail ...string) {
	r.Lines = append(r.Lines, line{Name: name, Value: value, Check: true, Wrong: !holds, Detail: detail})
}

// none adds a check that there are no findings.
func (r *report) none(name, value string, findings []string) {
	if len(findings) > 0 {
		value += fmt.Sprintf(", but %d are not", len(findings))
	}
	r.expect(name, len(findings) == 0, value, findings...)
}

// wrong adds a check that does not hold.
func (r *report) wrong(name, value string) { r.expect(name, false, value) }

// err tells how many checks do not hold.
func (r *report) err() error {
	var names []string
	for _, l := range r.Lines {
		if l.Wrong {
			names = append(names, l.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("seed %d: %d checks do not hold: %s", r.Seed, len(names), strings.Join(names, "; "))
}

func (r *report) printJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// shown is how many details of one line are printed; all are in the JSON.
const shown = 6

func (r *report) print(w io.Writer) error {
	race := ""
	if r.Race {
		race = ", race detector on"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\nSoak of seed %d: %.0f s, %d replicas, %d customers%s\n\n", r.Seed, r.Seconds, r.Replicas, r.Tenants, race)
	width := 0
	for _, l := range r.Lines {
		width = max(width, utf8.RuneCountInString(l.Name))
	}
	for _, l := range r.Lines {
		mark := "     "
		switch {
		case l.Wrong:
			mark = "WRONG"
		case l.Check:
			mark = "ok   "
		}
		fmt.Fprintf(&b, "%s  %s%s  %s\n", mark, l.Name, strings.Repeat(" ", width-utf8.RuneCountInString(l.Name)), l.Value)
		for i, d := range l.Detail {
			if i == shown && !l.Wrong || i == 5*shown {
				fmt.Fprintf(&b, "         … and %d more\n", len(l.Detail)-i)
				break
			}
			fmt.Fprintf(&b, "         %s\n", d)
		}
	}
	b.WriteString("\n")
	for _, c := range r.Memory {
		fmt.Fprintf(&b, "memory of replica %d  %s  first third %.0f MB, last third %.0f MB, highest %.0f MB\n", c.Replica, c.spark(), c.FirstMB, c.LastMB, c.HighestMB)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// spark draws the curve, at most sixty points of it.
func (c curve) spark() string {
	bars := []rune("▁▂▃▄▅▆▇█")
	var b strings.Builder
	n := len(c.Points)
	step := max(1, (n+59)/60)
	for i := 0; i < n; i += step {
		at := int(c.Points[i].MB / max(c.HighestMB, 1) * float64(len(bars)-1))
		b.WriteRune(bars[min(max(at, 0), len(bars)-1)])
	}
	return b.String()
}
