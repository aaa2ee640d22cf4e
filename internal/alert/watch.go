package alert

import (
	"math/bits"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Reading is what the watch has read of a metric for a subject.
type Reading struct {
	Metric  Metric
	Subject Subject
	Covered Covered // zero: the whole installation
	Window  int     // minutes that it looks back; 0: the metric has no window
	Value   int64   // in the metric's unit; of a sudden change what there is as a share of what is usual
	Period  time.Time
	Silent  bool // what was told goes on, and nothing new is told
	Details Details
}

// Book finds the rules of one metric that hold for a subject, however many there are. It is read-only once made.
type Book struct {
	whole                []Rule // of everything, those that are switched off too
	holding              []Rule // of the whole installation
	plans, tenants, keys map[int64][]Rule
}

// NewBook makes a book of one metric's rules. Deleted ones must not be among them.
func NewBook(rules []Rule) *Book {
	b := &Book{plans: map[int64][]Rule{}, tenants: map[int64][]Rule{}, keys: map[int64][]Rule{}}
	for _, r := range rules {
		switch r.Scope {
		case All:
			b.whole = append(b.whole, r)
		case Plan:
			b.plans[r.PlanID] = append(b.plans[r.PlanID], r)
		case Tenant:
			b.tenants[r.TenantID] = append(b.tenants[r.TenantID], r)
		case Key:
			b.keys[r.KeyID] = append(b.keys[r.KeyID], r)
		}
	}
	b.holding = Effective(b.whole, Covered{})
	return b
}

// Holding are the rules that hold for a subject. They must not be changed.
func (b *Book) Holding(c Covered) []Rule {
	plan, tenant, key := b.plans[c.PlanID], b.tenants[c.TenantID], b.keys[c.KeyID]
	if len(plan)+len(tenant)+len(key) == 0 {
		return b.holding
	}
	return Effective(slices.Concat(b.whole, plan, tenant, key), c)
}

// LooksBack is the window of the rule: its own, or its metric's usual one.
func (r *Rule) LooksBack() int {
	kind, _ := r.Metric.Kind()
	if kind.Window > 0 && r.Window > 0 {
		return r.Window
	}
	return kind.Window
}

// ofCalls tells whether a metric is read of the installation as a whole and of each customer.
func (m Metric) ofCalls() bool { return m == ErrorRate || m == LatencyP95 || m == SuddenChange }

// OfWhole tells whether the rule looks at the installation as a whole rather than at each customer: the team's rule for all
// does, so that an outage is one alert and not one a customer.
func (r *Rule) OfWhole() bool { return r.Audience == Operator && r.Scope == All && r.Metric.ofCalls() }

// concerns tells whether the rule, which holds for the reading's subject, is about readings like this. What all customers
// together do is for the team alone.
func (r *Reading) concerns(rule *Rule) bool {
	return rule.LooksBack() == r.Window && (!r.Metric.ofCalls() || rule.OfWhole() == (r.Subject.TenantID == 0))
}

// Reaches tells whether a value comes to a threshold of the rule. Less than usual is told by the factor that more is: where the
// value is a share of what is usual, three times as much and a third of it both come to 300 %.
func (r *Rule) Reaches(value, threshold int64) bool {
	up := value >= threshold
	if r.Direction != Down && r.Direction != Both {
		return up
	}
	high, low := bits.Mul64(uint64(max(value, 0)), uint64(max(threshold, 0))) // value/Whole <= Whole/threshold
	down := high == 0 && low <= Whole*Whole
	return down || r.Direction == Both && up
}

// Alarm is a threshold that a reading comes to.
type Alarm struct {
	*Reading
	Due
}

// Look tells which thresholds the readings come to.
func (b *Book) Look(readings []Reading) []Alarm {
	var alarms []Alarm
	for i := range readings {
		reading := &readings[i]
		holding := b.Holding(reading.Covered)
		for j := range holding {
			rule := &holding[j]
			if !reading.concerns(rule) {
				continue
			}
			for _, threshold := range rule.Thresholds {
				if rule.Reaches(reading.Value, threshold) {
					alarms = append(alarms, Alarm{reading, Due{rule, threshold, reading.Value}})
				}
			}
		}
	}
	return alarms
}

// Earlier is an alert that was raised before.
type Earlier struct {
	ID         int64
	RuleID     int64
	Audience   Audience
	Subject    string
	Period     time.Time
	Threshold  int64
	ResolvedAt time.Time // zero: it goes on
}

// matter is what alerts of one metric are about. Of episodes one at a time goes on, whenever it began.
type matter struct {
	audience Audience
	subject  string
	period   int64 // 0: of an episode
}

func (k Kind) matter(audience Audience, subject string, period time.Time) matter {
	if k.Repeats == PerEpisode {
		return matter{audience, subject, 0}
	}
	return matter{audience, subject, period.UnixMicro()}
}

// about tells what an alarm is about.
func (k Kind) about(a *Alarm) matter { return k.matter(a.Rule.Audience, a.Subject.Key, a.Period) }

// heard sorts what was told by what it is about.
func (k Kind) heard(told []Earlier) map[matter][]Earlier {
	all := make(map[matter][]Earlier, len(told))
	for _, t := range told {
		m := k.matter(t.Audience, t.Subject, t.Period)
		all[m] = append(all[m], t)
	}
	return all
}

// follows tells whether what was told was told by the alarm's rule, or by one that held before and does not any more: a plan that
// changes, or a rule that takes another's place, begins nothing anew.
func (b *Book) follows(a *Alarm, t Earlier) bool {
	return t.RuleID == a.Rule.ID || !slices.ContainsFunc(b.Holding(a.Covered), func(r Rule) bool { return r.ID == t.RuleID })
}

// Over gives the ids of those of the alerts that go on which nothing speaks for any more, in their order.
func (k Kind) Over(b *Book, alarms []Alarm, open []Earlier) []int64 {
	going := make(map[matter][]*Alarm, len(alarms))
	for i := range alarms {
		m := k.about(&alarms[i])
		going[m] = append(going[m], &alarms[i])
	}
	var over []int64
	for _, t := range open {
		if t.ResolvedAt.IsZero() && !slices.ContainsFunc(going[k.matter(t.Audience, t.Subject, t.Period)], func(a *Alarm) bool {
			return a.Rule.Reaches(a.Due.Value, t.Threshold) && b.follows(a, t) && (t.RuleID != a.Rule.ID || slices.Contains(a.Rule.Thresholds, t.Threshold))
		}) {
			over = append(over, t.ID)
		}
	}
	return over
}

// Back gives the ids of alerts that were over and go on: what returns before it was gone for the rule's time, or within the same
// period, never was. Nobody is told again, and whoever was to take care of it still is.
func (k Kind) Back(b *Book, alarms []Alarm, told []Earlier, now time.Time) []int64 {
	heard := k.heard(told)
	var back []int64
	for i := range alarms {
		a := &alarms[i]
		var newest int64
		for _, t := range heard[k.about(a)] {
			if t.Threshold != a.Threshold || !b.follows(a, t) {
				continue
			}
			if t.ResolvedAt.IsZero() {
				newest = 0
				break
			}
			if k.returns(a, t, now) {
				newest = max(newest, t.ID)
			}
		}
		if newest != 0 && !slices.Contains(back, newest) {
			back = append(back, newest)
		}
	}
	return back
}

// Fresh makes the events of the alarms that nothing was told of yet. An alarm is old news when its rule, or its predecessor, has told
// of the threshold, or of a higher one, for the subject in the period; of an episode when it goes on, or was over for less than the
// rule's time. group draws the name of what is raised together for a subject.
func (k Kind) Fresh(b *Book, alarms []Alarm, told []Earlier, group func() uuid.UUID, now time.Time) []Event {
	heard := k.heard(told)
	groups := map[string]uuid.UUID{}
	var events []Event
	for i := range alarms {
		a := &alarms[i]
		if a.Silent || slices.ContainsFunc(heard[k.about(a)], func(t Earlier) bool { return k.old(a, t, now) && b.follows(a, t) }) {
			continue
		}
		if _, met := groups[a.Subject.Key]; !met {
			groups[a.Subject.Key] = group()
		}
		period := a.Period
		if k.Repeats == PerEpisode {
			period = now
		}
		events = append(events, Event{
			Group: groups[a.Subject.Key], RuleID: a.Rule.ID, RuleName: a.Rule.Name, Audience: a.Rule.Audience, Metric: a.Metric, Unit: a.Rule.Unit,
			Subject: a.Subject, Period: period, Threshold: a.Threshold, Value: a.Due.Value, Details: a.Details, RaisedAt: now,
		})
	}
	Lead(events)
	return events
}

// old tells whether an alarm is no news after what was told of the same.
func (k Kind) old(a *Alarm, t Earlier, now time.Time) bool {
	if k.Repeats != PerEpisode {
		return t.Period.Equal(a.Period) && t.Threshold >= a.Threshold
	}
	return t.ResolvedAt.IsZero() && t.Threshold >= a.Threshold || k.returns(a, t, now)
}

// returns tells whether an alert that was over goes on with an alarm of the same threshold.
func (k Kind) returns(a *Alarm, t Earlier, now time.Time) bool {
	if t.ResolvedAt.IsZero() || t.Threshold != a.Threshold {
		return false
	}
	if k.Repeats != PerEpisode {
		return t.Period.Equal(a.Period)
	}
	// A clock that was set back makes what is over lie ahead: that is no news either.
	return now.Before(t.ResolvedAt.Add(time.Duration(a.Rule.Rearm) * time.Minute))
}
