package usage

import (
	"time"

	"github.com/fila-ia/filaia/internal/fault"
)

// Retention says for how long single calls are kept. Hourly figures stay for ever. The JSON is what the settings keep.
type Retention struct {
	Months int `json:"months"` // after the month of the calls has ended; 0: for ever
}

// A month must be over, and its invoices settled, before its calls go.
const (
	minRetention = 2
	maxRetention = 1200
)

// Validate checks what was entered.
func (r Retention) Validate() error {
	var f fault.Form
	f.Check(r.Months == 0 || r.Months >= minRetention && r.Months <= maxRetention, "months", "retention.error.months",
		"min", minRetention, "max", maxRetention)
	return f.Err()
}

// Newest is the newest month (its first instant, UTC) whose single calls go at an instant; for ever it is zero.
func (r Retention) Newest(now time.Time) time.Time {
	if r.Months == 0 {
		return time.Time{}
	}
	year, month, _ := now.UTC().Date()
	return time.Date(year, month-time.Month(r.Months)-1, 1, 0, 0, 0, 0, time.UTC) // it ended as many months ago, at the least
}

// DueMonth is a month whose single calls are to be put aside.
type DueMonth struct {
	Name  string // of its table
	Month time.Time
	Waits DueWait // why that has to wait
	For   string  // the replica that is waited for
}

// DueWait is what a month waits for before its single calls are put aside.
type DueWait string

// What is waited for.
const (
	WaitNothing DueWait = ""
	WaitPeriod  DueWait = "open_period" // a billing period that is open began in the month
	WaitSpool   DueWait = "spool"       // a replica has calls of the month that are not in the database
)

// ArchivedMonth is a month whose single calls were put aside.
type ArchivedMonth struct {
	Name       string
	Month      time.Time
	DetachedAt time.Time
	Rows       int64 // -1: not counted yet
	Bytes      int64 // on disk; 0 once dropped
	DroppedAt  time.Time
}
