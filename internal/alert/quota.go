package alert

import (
	"math"
	"math/bits"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/money"
)

// Standing is how a billing period stands.
type Standing struct {
	Subject           Subject
	Covered           Covered
	Start             time.Time
	LimitIn, UsedIn   int64
	LimitOut, UsedOut int64
	Charged           money.Micros // BRL
	Cap               money.Micros // BRL, on what is charged
	Capped            bool         // there is a cap: one that pays for no token has the plan refuse at its limits
	Details           Details      // names and terms; Look fills the figures in
}

// Never is a use that nothing reaches.
const Never int64 = math.MaxInt64

// Next is the use from which on a period must be looked at again; Never where nothing is left to raise.
type Next struct{ Input, Output, Charge int64 }

// measure gives what a metric counts in the period and what it is a share of; false where there is nothing to take a share of.
func (s *Standing) measure(m Metric) (used, base int64, ok bool) {
	switch m {
	case InputQuota:
		return s.UsedIn, s.LimitIn, s.LimitIn > 0
	case OutputQuota:
		return s.UsedOut, s.LimitOut, s.LimitOut > 0
	case Overage:
		return int64(s.Charged), 0, true
	case SpendCap:
		most := s.mostCharged()
		return int64(s.Charged), most, most > 0
	}
	return 0, 0, false
}

// mostCharged is what the cap comes to in whole tokens: it is reached when the next one would pass it.
func (s *Standing) mostCharged() int64 {
	limit, price := int64(s.Cap), int64(s.Details.OveragePrice)
	if price <= 0 || s.Charged >= s.Cap {
		return limit
	}
	return limit - (limit-int64(s.Charged))%price
}

// watches is where the next look at a metric is kept.
func (n *Next) watches(m Metric) *int64 {
	switch m {
	case InputQuota:
		return &n.Input
	case OutputQuota:
		return &n.Output
	}
	return &n.Charge
}

// reach is the least use that comes to the threshold: exactly a hundred percent of 3 tokens are 3, a half are 2.
func reach(unit Unit, threshold, base int64) int64 {
	if unit != Percent {
		return threshold
	}
	high, low := bits.Mul64(uint64(threshold), uint64(base))
	if high >= Whole {
		return Never
	}
	whole, rest := bits.Div64(high, low, Whole)
	if rest > 0 {
		whole++
	}
	return int64(min(whole, uint64(Never)))
}

// Share is used as a part of base in hundredths of a percent, cut and never rounded up: what is not reached is not shown as
// reached.
func Share(used, base int64) int64 {
	if used <= 0 || base <= 0 {
		return 0
	}
	high, low := bits.Mul64(uint64(used), Whole)
	if high >= uint64(base) {
		return Never
	}
	share, _ := bits.Div64(high, low, uint64(base))
	return int64(min(share, uint64(Never)))
}

// Due is a threshold that is reached.
type Due struct {
	Rule      *Rule
	Threshold int64
	Value     int64
}

// Look tells which thresholds of the rules that hold for the period are reached (>=), and from what use on the next one will be.
func (s *Standing) Look(holding []Rule) (due []Due, next Next) {
	next = Next{Never, Never, Never}
	for i := range holding {
		r := &holding[i]
		used, base, ok := s.measure(r.Metric)
		if !ok {
			continue
		}
		value := used
		if r.Unit == Percent {
			value = Share(used, base)
		}
		for _, threshold := range r.Thresholds {
			if at := reach(r.Unit, threshold, base); used >= at {
				due = append(due, Due{r, threshold, value})
			} else {
				watched := next.watches(r.Metric)
				*watched = min(*watched, at)
			}
		}
	}
	return due, next
}

// Raised is a threshold that was told of before in the period.
type Raised struct {
	RuleID    int64
	Audience  Audience
	Metric    Metric
	Unit      Unit
	Threshold int64
}

// Fresh makes the events of what is due and was not told before. A threshold is old news when the rule has told of it or of a
// higher one in this period, or a rule has that held before and does not any more: a plan that changes, a rule that is
// edited, a limit that is raised tell nobody again what they know.
func (s *Standing) Fresh(due []Due, holding []Rule, told []Raised, group uuid.UUID, now time.Time) []Event {
	holds := func(id int64) bool { return slices.ContainsFunc(holding, func(r Rule) bool { return r.ID == id }) }
	var events []Event
	for _, d := range due {
		old := slices.ContainsFunc(told, func(t Raised) bool {
			return t.Audience == d.Rule.Audience && t.Metric == d.Rule.Metric && t.Unit == d.Rule.Unit && t.Threshold >= d.Threshold &&
				(t.RuleID == d.Rule.ID || !holds(t.RuleID))
		})
		if !old {
			events = append(events, Event{
				Group: group, RuleID: d.Rule.ID, RuleName: d.Rule.Name, Audience: d.Rule.Audience, Metric: d.Rule.Metric, Unit: d.Rule.Unit,
				Subject: s.Subject, Period: s.Start, Threshold: d.Threshold, Value: d.Value, Details: s.details(), RaisedAt: now,
			})
		}
	}
	Lead(events)
	return events
}

func (s *Standing) details() Details {
	d := s.Details
	d.LimitIn, d.UsedIn, d.LimitOut, d.UsedOut, d.Charged, d.Cap, d.Capped = s.LimitIn, s.UsedIn, s.LimitOut, s.UsedOut, s.Charged, s.Cap, s.Capped
	return d
}

// Lead marks, of events that are raised together, the highest of each audience and metric: the one that is told and counted.
func Lead(events []Event) {
	type family struct {
		Group uuid.UUID
		Audience
		Metric
	}
	highest := map[family]int{}
	for i := range events {
		e := &events[i]
		e.Lead = false
		f := family{e.Group, e.Audience, e.Metric}
		if at, met := highest[f]; !met || e.Threshold > events[at].Threshold {
			highest[f] = i
		}
	}
	for _, i := range highest {
		events[i].Lead = true
	}
}
