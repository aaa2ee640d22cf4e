package usage

import (
	"slices"
	"time"
)

// AuditScope says which periods an audit looks at.
type AuditScope struct {
	Since    time.Time     `json:"since,omitzero"`      // periods that end after it; zero: all
	PeriodID int64         `json:"period_id,omitempty"` // this one alone; 0: any
	Settled  bool          `json:"settled,omitempty"`   // no replica runs: a lease that is left is a difference
	Grace    time.Duration `json:"-"`                   // a replica silent for longer is taken for dead; zero: AuditGrace
}

// AuditGrace is how long a replica may be silent where nothing else is said.
const AuditGrace = 5 * time.Minute

// auditDays is how long ago a period may have ended for the usual audit to look at it.
const auditDays = 62

// RecentScope is what is audited unless somebody asks for more: periods that are open, or ended within 62 days.
func RecentScope(now time.Time) AuditScope {
	year, month, day := now.UTC().Date()
	return AuditScope{Since: time.Date(year, month, day-auditDays, 0, 0, 0, 0, time.UTC)}
}

// The checks of an audit, in the order in which they are told.
const (
	CheckEventsHours = "events_hours" // single calls = hourly figures, by hour, key and model
	CheckEventsUsed  = "events_used"  // Σ single calls = used, by period
	CheckHoursUsed   = "hours_used"   // Σ hourly figures = used, by period
	CheckLeases      = "leases"       // Σ leases = leased, by period
	CheckLimits      = "limits"       // used - overrun + leased <= limit, of plans that block
	CheckOverruns    = "overruns"     // Σ noted overruns = overrun, by period
	CheckOwners      = "owners"       // every call and every hourly figure has its period and customer
	CheckFolded      = "folded"       // hourly figures = the sums that pages read of long spans
	CheckPeriods     = "periods"      // a subscription's periods follow each other, each with a bucket
	CheckSettled     = "settled"      // no leases are left, where no replica runs
)

// AuditChecks are all checks in order; the last is made only of a settled scope.
func AuditChecks() []string {
	return []string{CheckEventsHours, CheckEventsUsed, CheckHoursUsed, CheckLeases, CheckLimits, CheckOverruns, CheckFolded,
		CheckOwners, CheckPeriods, CheckSettled}
}

// DetailLimit is how many differences of one check are listed; all are counted.
const DetailLimit = 100

// Audit is what one look at the books found, all of it at one instant.
type Audit struct {
	ID          int64         `json:"id,omitempty"` // 0: not kept
	StartedAt   time.Time     `json:"started_at"`
	Took        time.Duration `json:"-"`
	Scope       AuditScope    `json:"scope"`
	By          string        `json:"by,omitempty"` // who asked: an e-mail address, "system"
	Periods     int           `json:"periods"`      // that were looked at
	Checks      []AuditCheck  `json:"checks"`
	Differences int           `json:"differences"` // of all checks
	Details     []Difference  `json:"details"`     // at most DetailLimit a check
	Notes       []AuditNote   `json:"notes"`       // worth knowing, and no difference
}

// AuditCheck is one invariant: how many rows were compared, and how many figures differ.
type AuditCheck struct {
	Name        string `json:"name"`
	Rows        int64  `json:"rows"`
	Differences int    `json:"differences"`
}

// Difference is one figure that is not what it should be. What does not apply is zero.
type Difference struct {
	Check string `json:"check"`
	AuditSubject
	Hour     time.Time `json:"hour,omitzero"`
	KeyID    int64     `json:"key_id,omitempty"`
	Model    string    `json:"model,omitempty"`
	Replica  string    `json:"replica,omitempty"`
	Table    string    `json:"table,omitempty"` // of CheckFolded
	Figure   string    `json:"figure"`          // such as "input_tokens"; "starts_at" is in Unix microseconds
	Expected int64     `json:"expected"`        // a most for CheckLimits
	Found    int64     `json:"found"`
}

// FigureStart is the figure of a period that does not begin where the one before it ended.
const FigureStart = "starts_at"

// AuditSubject is whose figures differ. The name is empty, and the dates zero, where customer or period is unknown.
type AuditSubject struct {
	TenantID int64     `json:"tenant_id,omitempty"`
	Tenant   string    `json:"tenant,omitempty"`
	PeriodID int64     `json:"period_id,omitempty"`
	Start    time.Time `json:"period_start,omitzero"`
	End      time.Time `json:"period_end,omitzero"`
}

// The kinds of notes.
const (
	NoteAbandoned = "abandoned_lease" // of a replica that is unknown, stopped or silent; reaped sooner or later
	NoteDetached  = "detached_month"  // its single calls were put aside: its hourly figures are compared with what was used only
)

// AuditNote is something to know beside the differences.
type AuditNote struct {
	Kind string `json:"kind"`
	AuditSubject
	Replica string    `json:"replica,omitempty"` // of an abandoned lease
	SeenAt  time.Time `json:"seen_at,omitzero"`  // when that replica was last heard of; zero: never
	Input   int64     `json:"input_tokens,omitempty"`
	Output  int64     `json:"output_tokens,omitempty"`
	Month   time.Time `json:"month,omitzero"` // that was put aside
}

// NewAudit begins an audit in which nothing has been compared yet.
func NewAudit(scope AuditScope, at time.Time, by string) *Audit {
	a := &Audit{StartedAt: at, Scope: scope, By: by, Details: []Difference{}, Notes: []AuditNote{}}
	for _, name := range AuditChecks() {
		if name != CheckSettled || scope.Settled {
			a.Checks = append(a.Checks, AuditCheck{Name: name})
		}
	}
	return a
}

// Compared counts rows that a check looked at.
func (a *Audit) Compared(check string, rows int64) {
	for i := range a.Checks {
		if a.Checks[i].Name == check {
			a.Checks[i].Rows += rows
		}
	}
}

// Differ counts a difference, and lists it while its check has room.
func (a *Audit) Differ(d Difference) {
	i := slices.IndexFunc(a.Checks, func(c AuditCheck) bool { return c.Name == d.Check })
	a.Differences++
	a.Checks[i].Differences++
	if a.Checks[i].Differences <= DetailLimit {
		a.Details = append(a.Details, d)
	}
}

// Note notes something that is no difference; at most DetailLimit are kept.
func (a *Audit) Note(n AuditNote) {
	if len(a.Notes) < DetailLimit {
		a.Notes = append(a.Notes, n)
	}
}

// Sorted brings the details into the order of the checks.
func (a *Audit) Sorted() *Audit {
	order := AuditChecks()
	slices.SortStableFunc(a.Details, func(x, y Difference) int { return slices.Index(order, x.Check) - slices.Index(order, y.Check) })
	return a
}
