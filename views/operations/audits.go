package operations

import (
	"strconv"
	"time"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/views/ui"
)

// Audit is what one look at the books found.
type Audit struct {
	At          time.Time // zero: there was none yet
	Took        time.Duration
	By          string // who asked; "": it is made every hour
	Periods     int
	Checks      []Check
	Differences int
	Details     []Difference // not all, where there are many
	Notes       []Note
}

// Check is one comparison of an audit: rows compared, and figures that differ.
type Check struct {
	Name        string
	Rows        int64
	Differences int
}

// Difference is one figure that is not what it should be. What does not apply is zero.
type Difference struct {
	Check string
	Subject
	Hour            time.Time
	KeyID           int64
	Model           string
	Replica         string
	Table           string
	Figure          string
	Expected, Found int64
}

// Subject is whose figures differ; zero where it is not known.
type Subject struct {
	TenantID   int64
	Tenant     string
	PeriodID   int64
	Start, End time.Time
}

// Note is something worth knowing that is no difference.
type Note struct {
	Kind string
	Subject
	Replica       string
	SeenAt        time.Time
	Input, Output int64
	Month         time.Time
}

// auditStale is how old the newest audit may be: one is made every hour.
const auditStale = 3 * time.Hour

func (a Audit) stale(now time.Time) bool { return !a.At.IsZero() && now.Sub(a.At) > auditStale }

func (a Audit) rows() int64 {
	var n int64
	for _, c := range a.Checks {
		n += c.Rows
	}
	return n
}

func (a Audit) tone() ui.Tone {
	if a.Differences > 0 {
		return ui.Bad
	}
	return ui.OK
}

func (a Audit) word(p i18n.Printer) string {
	if a.Differences > 0 {
		return p.T("operations.audit.differences", "n", a.Differences)
	}
	return p.T("operations.audit.agree")
}

func (a Audit) by(p i18n.Printer) string {
	if a.By == "" {
		return p.T("operations.audit.hourly")
	}
	return a.By
}

func (a Audit) asked(p i18n.Printer) string {
	if a.By == "" {
		return p.T("operations.audit.hourly")
	}
	return p.T("operations.audit.asked_by", "who", a.By)
}

func (m PageModel) auditFigure(p i18n.Printer) ui.StatModel {
	figure := ui.StatModel{Label: p.T("operations.figure.audit"), Value: "–", Note: p.T("operations.figure.audit_none"), Href: "/operations/books"}
	if a := m.Audit; !a.At.IsZero() {
		figure.Value, figure.Note, figure.Exact = a.word(p), p.T("operations.figure.audit_note", "when", p.Relative(a.At, m.Now)), p.DateTime(a.At)
	}
	return figure
}

func (c Check) tone() ui.Tone {
	switch {
	case c.Differences > 0:
		return ui.Bad
	case c.Rows == 0:
		return ui.Neutral
	}
	return ui.OK
}

func (c Check) word(p i18n.Printer) string {
	switch {
	case c.Differences > 0:
		return p.T("operations.audit.differences", "n", c.Differences)
	case c.Rows == 0:
		return p.T("operations.audit.nothing")
	}
	return p.T("operations.audit.agrees")
}

// compares says what was compared with what; a check that is not known is shown as it is.
func (c Check) compares(p i18n.Printer) string {
	key := "operations.check." + c.Name
	if text := p.T(key); text != key {
		return text
	}
	return c.Name
}

// startFigure is the figure of a period that does not begin where the one before it ended, in Unix microseconds.
const startFigure = "starts_at"

// words tells the difference with its numbers.
func (d Difference) words(p i18n.Printer) string {
	switch d.Figure {
	case startFigure:
		return p.T("operations.difference.start", "expected", p.DateTime(time.UnixMicro(d.Expected)), "found", p.DateTime(time.UnixMicro(d.Found)))
	case "buckets":
		return p.T("operations.difference.bucket")
	}
	key := "operations.difference." + d.Check
	if text := p.T(key, "expected", amount(p, d.Figure, d.Expected), "found", amount(p, d.Figure, d.Found)); text != key {
		return text
	}
	return p.T("operations.difference.other", "expected", amount(p, d.Figure, d.Expected), "found", amount(p, d.Figure, d.Found))
}

// gap is by how much it differs.
func (d Difference) gap(p i18n.Printer) string {
	n := d.Found - d.Expected
	sign := ""
	if n > 0 {
		sign = "+"
	}
	switch d.Figure {
	case startFigure:
		return sign + p.Duration(time.Duration(n)*time.Microsecond)
	case "buckets":
		return "–"
	}
	if currency := currencyOf(d.Figure); currency != "" {
		return sign + p.Price(n, currency)
	}
	return sign + p.Int(n)
}

// where tells which hour, model, key, table or server a difference is about; "" where it is the whole period.
func (d Difference) where(p i18n.Printer) string {
	var parts []string
	if !d.Hour.IsZero() {
		parts = append(parts, p.DateTime(d.Hour))
	}
	if d.Model != "" {
		parts = append(parts, d.Model)
	}
	if d.KeyID != 0 {
		parts = append(parts, p.T("operations.difference.key", "id", strconv.FormatInt(d.KeyID, 10)))
	}
	if d.Table != "" {
		parts = append(parts, known(p, "operations.table.", d.Table))
	}
	if d.Replica != "" {
		parts = append(parts, p.T("operations.difference.server", "name", shortName(d.Replica)))
	}
	return join(parts)
}

func join(parts []string) string {
	text := ""
	for i, part := range parts {
		if i > 0 {
			text += " · "
		}
		text += part
	}
	return text
}

func (s Subject) name(p i18n.Printer) string {
	switch {
	case s.Tenant != "":
		return s.Tenant
	case s.TenantID != 0:
		return p.T("operations.difference.tenant", "id", strconv.FormatInt(s.TenantID, 10))
	}
	return p.T("operations.difference.all")
}

func (s Subject) href() string {
	if s.Tenant == "" {
		return ""
	}
	return "/tenants/" + strconv.FormatInt(s.TenantID, 10)
}

func (s Subject) span(p i18n.Printer) string {
	if s.Start.IsZero() {
		return ""
	}
	return p.T("operations.difference.period", "start", p.Date(s.Start), "end", p.Date(s.End))
}

// known is the text of a key, or the word itself where there is none.
func known(p i18n.Printer, family, word string) string {
	if text := p.T(family + word); text != family+word {
		return text
	}
	return word
}

func currencyOf(figure string) string {
	switch figure {
	case "cost_usd_micros", "saved_usd_micros":
		return "USD"
	case "charge_brl_micros":
		return "BRL"
	}
	return ""
}

// amount writes a number with what it counts: 1.234 tokens de entrada.
func amount(p i18n.Printer, figure string, n int64) string {
	key := "operations.amount." + figure
	if currency := currencyOf(figure); currency != "" {
		return p.T(key, "money", p.Price(n, currency))
	}
	if text := p.T(key, "n", n); text != key {
		return text
	}
	return p.Int(n) + " " + figure
}

// The kinds of notes.
const (
	noteAbandoned = "abandoned_lease"
	noteDetached  = "detached_month"
)

// notes are the audit's notes in words; months that were put aside are one line.
func (a Audit) notes(p i18n.Printer, now time.Time) []string {
	var texts []string
	var first, last time.Time
	for _, n := range a.Notes {
		switch n.Kind {
		case noteDetached:
			if first.IsZero() || n.Month.Before(first) {
				first = n.Month
			}
			if n.Month.After(last) {
				last = n.Month
			}
		case noteAbandoned:
			texts = append(texts, n.abandoned(p, now))
		}
	}
	switch {
	case first.IsZero():
	case first.Equal(last):
		texts = append(texts, p.T("operations.note.detached", "month", monthName(p, first)))
	default:
		texts = append(texts, p.T("operations.note.detached_span", "first", monthName(p, first), "last", monthName(p, last)))
	}
	return texts
}

func (n Note) abandoned(p i18n.Printer, now time.Time) string {
	args := []any{"server", shortName(n.Replica), "tenant", n.name(p), "input", p.Int(n.Input), "output", p.Int(n.Output)}
	if n.SeenAt.IsZero() {
		return p.T("operations.note.abandoned_unknown", args...)
	}
	return p.T("operations.note.abandoned", append(args, "since", moment(p, n.SeenAt, now))...)
}

// monthName names a month that is told by its first instant in UTC, whatever the Printer's zone.
func monthName(p i18n.Printer, month time.Time) string {
	year, m, _ := month.UTC().Date()
	return p.Month(time.Date(year, m, 1, 12, 0, 0, 0, p.Zone()))
}
