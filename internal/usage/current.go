package usage

import "time"

// Current is what a subscription used in its current period.
type Current struct {
	PlanName    string
	Hard        bool // a limit; otherwise the excess is charged
	Zone        *time.Location
	Period      Period
	LimitInput  int64
	LimitOutput int64
	Totals
}
