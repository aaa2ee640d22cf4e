package operations

import (
	"time"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/views/layout"
	"github.com/fila-ia/filaia/views/ui"
)

// BooksModel is the page that tells whether the figures agree, at one moment.
type BooksModel struct {
	Frame    layout.Model
	MayEdit  bool // may have the books audited
	MayKeep  bool // may change for how long single calls are kept
	Now      time.Time
	Audits   []Audit   // the newest first
	Auditing time.Time // since when one is under way that a person asked for; zero: none is
	Failed   time.Time // when the newest of those failed; zero: it did not
	Overruns []Overrun // the newest first
	Kept     Kept
}

// Overrun is tokens that no limit could stop.
type Overrun struct {
	At               time.Time
	TenantID, Tenant string
	Replica          string
	Cause            string // reported, late, unheld, earlier
	Input, Output    int64
}

func (o Overrun) why(p i18n.Printer) string { return known(p, "operations.overrun.", o.Cause) }

// Kept is for how long single calls are kept, and what was put aside.
type Kept struct {
	Months   int    // 0: for ever
	Typed    string // in the form
	Error    string // of what was typed
	Fate     Fate   // of calls under what was typed
	Due      []DueMonth
	Archived []ArchivedMonth // the newest first
}

// Fate is what becomes of single calls under a number of months.
type Fate struct {
	Known  bool // what was typed can be read
	Months int
	Newest time.Time // month that would go now
}

func (f Fate) words(p i18n.Printer) []string {
	switch {
	case !f.Known:
		return []string{p.T("operations.kept.fate_unknown")}
	case f.Months == 0:
		return []string{p.T("operations.kept.fate_never"), p.T("operations.kept.fate_back")}
	}
	return []string{p.T("operations.kept.fate_goes", "month", monthName(p, f.Newest)), p.T("operations.kept.fate_month", "n", f.Months), p.T("operations.kept.fate_stays")}
}

// DueMonth is a month that goes next.
type DueMonth struct {
	Month time.Time
	Waits string // open_period, spool; "": it goes at the next turn
	For   string // the server that is waited for
}

func (d DueMonth) words(p i18n.Printer) string {
	month := monthName(p, d.Month)
	switch d.Waits {
	case "open_period":
		return p.T("operations.kept.waits_period", "month", month)
	case "spool":
		return p.T("operations.kept.waits_spool", "month", month, "server", shortName(d.For))
	}
	return p.T("operations.kept.goes", "month", month)
}

// ArchivedMonth is a month whose single calls were put aside.
type ArchivedMonth struct {
	Name      string
	Month, At time.Time
	Calls     int64 // -1: not counted yet
	Bytes     int64
	DroppedAt time.Time // zero: they are still there
}

func (k Kept) words(p i18n.Printer) string {
	if k.Months == 0 {
		return p.T("operations.kept.for_ever")
	}
	return p.T("operations.kept.for_months", "n", k.Months)
}

// tabs are the two pages of operations.
func tabs(p i18n.Printer, books bool) []ui.Tab {
	return []ui.Tab{
		{Label: p.T("operations.tab.now"), Href: "/operations", Active: !books},
		{Label: p.T("operations.tab.books"), Href: "/operations/books", Active: books},
	}
}
