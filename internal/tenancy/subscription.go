package tenancy

import "time"

// ChangeTiming says when a change of plan takes effect.
type ChangeTiming string

// A change takes effect now, at the period's end, or there is nothing to change.
const (
	ChangeNow       ChangeTiming = "now"
	ChangeScheduled ChangeTiming = "scheduled"
	ChangeNone      ChangeTiming = "none"
)

// ChangeReason says why a change waits for the period's end.
type ChangeReason string

// A plan that includes less than the current one never shortens a period that is already sold; nor does one whose
// tokens are fewer than what this period has used and leased.
const (
	ChangeSmaller  ChangeReason = "smaller"
	ChangeUsedMore ChangeReason = "used_more"
)

// PlanChange is the answer to a change of plan.
type PlanChange struct {
	Timing   ChangeTiming
	Reason   ChangeReason // only when scheduled
	At       time.Time    // when it takes effect
	PlanName string
	Version  int
	From, To Terms
}
