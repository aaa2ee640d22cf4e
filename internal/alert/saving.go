package alert

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Twin is the cause of a refusal: a rule that tells the same people of the same is there already.
type Twin struct{ ID int64 }

// Error names the other rule.
func (t *Twin) Error() string { return fmt.Sprintf("it is a twin of rule %d", t.ID) }

// AtOnce is what a rule tells as soon as it is saved.
type AtOnce struct {
	News []Event // that are told, one a subject: the highest
	Old  int     // subjects that have reached a threshold and know it
	More bool    // there are more periods than were looked at
}

// MayTellAtOnce says whether saving a rule of the metric tells what was reached before: what a billing period has used is looked at again
// under new rules. Everything else is told as it is watched.
func (m Metric) MayTellAtOnce() bool {
	kind, _ := m.Kind()
	return kind.Committed
}

// Saved gives what the rule would tell of the period if it were saved now beside the others, and whether it has come to a threshold
// at all. A rule that is new has no ID.
func (s *Standing) Saved(r Rule, others []Rule, told []Raised, now time.Time) (lead Event, news, reached bool) {
	rules := append(slices.DeleteFunc(slices.Clone(others), func(o Rule) bool { return o.ID == r.ID }), r)
	holding := Effective(rules, s.Covered)
	due, _ := s.Look(holding)
	due = slices.DeleteFunc(due, func(d Due) bool { return d.Rule.ID != r.ID })
	for _, e := range s.Fresh(due, holding, told, uuid.UUID{}, now) {
		if e.Lead {
			lead, news = e, true
		}
	}
	return lead, news, len(due) > 0
}
