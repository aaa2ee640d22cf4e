package alert

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fila-ia/filaia/internal/tenancy"
)

// drawHolding is drawSituation with one rule for everything of each audience and metric.
func drawHolding(t *rapid.T) Situation {
	s := drawSituation(t)
	type family struct {
		Audience
		Metric
	}
	known := map[family]bool{}
	for _, id := range slices.Sorted(maps.Keys(s.Rules)) {
		r := s.Rules[id]
		if f := (family{r.Audience, r.Metric}); known[f] {
			delete(s.Rules, id)
			s.Events = slices.DeleteFunc(s.Events, func(e Event) bool { return e.RuleID == id })
		} else {
			known[f] = true
			r.Scope, r.Enabled = All, true
			s.Rules[id] = r
		}
	}
	return s
}

// only is the situation with what a message tells.
func (s Situation) only(d Delivery) []Situation {
	s.Events = slices.DeleteFunc(slices.Clone(s.Events), func(e Event) bool { return !slices.Contains(d.EventIDs, e.ID) })
	return []Situation{s}
}

// withoutTwins are the events that tell one of the team nothing that they hear of twice: held until the same moment for different reasons, both
// are in the message, and told apart from it once nothing is held.
func (s Situation) withoutTwins() (ids []int64) {
	for _, e := range s.Events {
		if e.Audience == Operator || !slices.ContainsFunc(s.Events, func(o Event) bool {
			return o.Audience == Operator && o.Metric == e.Metric && o.Subject.Key == e.Subject.Key && o.Threshold == e.Threshold
		}) {
			ids = append(ids, e.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

func TestWhoIsAskedAgainWhileNothingHasChangedIsToldTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawHolding(t)
		for _, d := range Decide(s).Deliveries {
			around := s.only(d)
			around[0].Now = d.DueAt.Add(time.Second)
			still, _ := AskAgain(d, around, nil)
			team := slices.ContainsFunc(around[0].Events, func(e Event) bool { return e.Audience == Operator })
			if !slices.Equal(still.EventIDs, around[0].withoutTwins()) || team && (still.Audience != d.Audience || still.TenantID != d.TenantID) {
				t.Errorf("asked again of %+v there is %+v", d, still)
			}
		}
	})
}

func TestWhoIsAskedAgainIsToldWhatTheyAreStillEntitledTo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawHolding(t)
		planned := Decide(s).Deliveries
		now := s
		now.Team = slices.DeleteFunc(slices.Clone(s.Team), func(Person) bool { return rapid.Bool().Draw(t, "leaves") })
		party := *s.Customer
		party.Users = slices.DeleteFunc(slices.Clone(party.Users), func(Person) bool { return rapid.Bool().Draw(t, "leaves") })
		now.Customer = &party
		now.Lines = slices.DeleteFunc(slices.Clone(s.Lines), func(Line) bool { return rapid.Bool().Draw(t, "closes") })
		now.Rules = maps.Clone(s.Rules)
		for _, id := range slices.Sorted(maps.Keys(now.Rules)) {
			r := now.Rules[id]
			if r.To.Contacts = r.To.Contacts && rapid.Bool().Draw(t, "contacts"); rapid.Bool().Draw(t, "forgets") {
				r.To.Addresses = nil
			}
			now.Rules[id] = r
		}
		if rapid.Bool().Draw(t, "somebody has enough") {
			now.Optouts = append(slices.Clone(s.Optouts), Optout{7, "ANA@x.com", ""})
		}
		for _, d := range planned {
			around := now.only(d)
			still, _ := AskAgain(d, around, nil)
			for _, e := range around[0].Events {
				told := slices.Contains(still.EventIDs, e.ID)
				should := slices.ContainsFunc(entitled(now, e), func(a string) bool { return strings.EqualFold(a, d.Recipient) })
				if told && !should {
					t.Errorf("%s hears of event %d and should not: %+v", d.Recipient, e.ID, d)
				}
				twin := e.Audience == Customer && slices.ContainsFunc(around[0].Events, func(o Event) bool {
					return o.Audience == Operator && o.Threshold == e.Threshold && o.Metric == e.Metric
				})
				if should && !told && !twin {
					t.Errorf("%s does not hear of event %d and should: %+v", d.Recipient, e.ID, d)
				}
				if told && still.Audience == Customer && (e.Audience != Customer || still.TenantID != 7) {
					t.Errorf("a customer hears of the team's event %d: %+v", e.ID, still)
				}
			}
		}
	})
}

func TestADigestOfManyCustomersThatATeamsOwnPersonWouldGetIsNotGivenToOneCustomersContact(t *testing.T) {
	rule := Rule{ID: 1, Audience: Customer, Metric: InputQuota, Scope: All, Enabled: true, To: Recipients{Contacts: true}}
	d := Delivery{Kind: Digest, Audience: Operator, Channel: Email, Recipient: "caixa@x.com", EventIDs: []int64{1, 2}}
	var around []Situation
	for _, tenant := range []int64{7, 8} {
		around = append(around, Situation{Rules: map[int64]Rule{1: rule}, Customer: &Party{ID: tenant, Email: "caixa@x.com"},
			Events: []Event{{ID: tenant - 6, RuleID: 1, Audience: Customer, Metric: InputQuota, Subject: Subject{Key: "tenant:x", TenantID: tenant}}}})
	}
	still, _ := AskAgain(d, around, nil)
	if still.Audience != Customer || still.TenantID != 7 || !slices.Equal(still.EventIDs, []int64{1}) {
		t.Errorf("%+v", still)
	}
}

func TestARuleOfThePlanDecidesBeforeOneForAll(t *testing.T) {
	raised := Rule{ID: 1, Audience: Operator, Metric: InputQuota, Scope: All, Enabled: true, To: Recipients{Roles: []tenancy.Role{tenancy.Owner}}}
	plan := Rule{ID: 2, Audience: Operator, Metric: InputQuota, Scope: Plan, PlanID: 3, Enabled: true, To: Recipients{Addresses: []string{"plano@x.com"}}}
	s := Situation{Rules: map[int64]Rule{1: raised, 2: plan}, Team: []Person{{Address: "dono@x.com", Role: tenancy.Owner}},
		Events: []Event{{ID: 1, RuleID: 1, Audience: Operator, Metric: InputQuota, Subject: Subject{Key: "subscription:5", TenantID: 7}}}}
	d := Delivery{Kind: Digest, Audience: Operator, Channel: Email, Recipient: "dono@x.com", EventIDs: []int64{1}}
	for of, want := range map[int64]int{3: 0, 4: 1, 0: 1} {
		if still, _ := AskAgain(d, []Situation{s}, map[int64]int64{1: of}); len(still.EventIDs) != want {
			t.Errorf("of plan %d: told of %v, want %d", of, still.EventIDs, want)
		}
	}
}
