package alert

import (
	"math/big"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

func inputRule(id int64, thresholds ...int64) Rule {
	return Rule{ID: id, Audience: Operator, Scope: All, Metric: InputQuota, Unit: Percent, Thresholds: thresholds, Enabled: true}
}

func TestAThresholdIsReachedAtExactlyItsShareAndNotOneTokenBefore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.Int64Range(1, Never).Draw(t, "limit")
		threshold := rapid.Int64Range(1, 10*Whole).Draw(t, "threshold")
		at := reach(Percent, threshold, limit)
		want := new(big.Int).Mul(big.NewInt(limit), big.NewInt(threshold))
		want.Add(want, big.NewInt(Whole-1)).Div(want, big.NewInt(Whole))
		if want.IsInt64() && want.Int64() != at || !want.IsInt64() && at != Never {
			t.Fatalf("%d of %d: reached at %d, want %s", threshold, limit, at, want)
		}
		if at == Never {
			return
		}
		if Share(at, limit) < threshold {
			t.Fatalf("%d of %d is shown as %d", at, limit, Share(at, limit))
		}
		if Share(at-1, limit) >= threshold {
			t.Fatalf("%d of %d is shown as %d, which is not reached", at-1, limit, Share(at-1, limit))
		}
	})
}

func TestLookTellsWhatIsReachedAndWhereTheNextIs(t *testing.T) {
	s := Standing{LimitIn: 1000, UsedIn: 800, LimitOut: 10}
	due, next := s.Look([]Rule{inputRule(1, 5000, 8000, 9000, Whole)})
	if len(due) != 2 || due[0].Threshold != 5000 || due[1].Threshold != 8000 || due[1].Value != 8000 {
		t.Errorf("due: %+v", due)
	}
	if next != (Next{900, Never, Never}) {
		t.Errorf("next: %+v", next)
	}
}

func TestAPlanWithoutTokensOfAKindHasNoShareOfThem(t *testing.T) {
	s := Standing{UsedIn: 5}
	due, next := s.Look([]Rule{inputRule(1, 5000)})
	if len(due) > 0 || next != (Next{Never, Never, Never}) {
		t.Errorf("due %+v, next %+v", due, next)
	}
}

// However a period is used, its limit raised and its rule replaced, nobody hears a threshold twice or one below what they know; and as long as
// nothing but use changes, everything that is reached is told.
func TestNobodyIsToldTwiceAndNothingReachedIsLeftOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		thresholds := rapid.SliceOfNDistinct(rapid.Int64Range(1, 12_000), 1, 5, rapid.ID).Draw(t, "thresholds")
		s := Standing{Subject: OfSubscription(1, 1, 0), LimitIn: rapid.Int64Range(1, 10_000).Draw(t, "limit")}
		holding := []Rule{inputRule(1, thresholds...)}
		var told []Raised
		disturbed := false
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			switch rapid.IntRange(0, 6).Draw(t, "step") {
			case 0:
				s.LimitIn, disturbed = s.LimitIn+rapid.Int64Range(1, 5000).Draw(t, "more"), true
			case 1:
				holding, disturbed = []Rule{inputRule(holding[0].ID+1, thresholds...)}, true
			default:
				s.UsedIn += rapid.Int64Range(0, 3000).Draw(t, "use")
			}
			due, _ := s.Look(holding)
			for _, e := range s.Fresh(due, holding, told, uuid.New(), time.Time{}) {
				for _, r := range told {
					if r.Threshold >= e.Threshold && r.RuleID != e.RuleID {
						t.Fatalf("told %d after %d", e.Threshold, r.Threshold)
					}
					if r.Threshold == e.Threshold {
						t.Fatalf("told %d twice", e.Threshold)
					}
				}
				told = append(told, Raised{e.RuleID, e.Audience, e.Metric, e.Unit, e.Threshold})
			}
			if disturbed {
				continue
			}
			if len(told) != len(due) {
				t.Fatalf("%d are reached, %d were told", len(due), len(told))
			}
		}
	})
}

func TestOneOfAGroupLeadsForEachAudienceAndMetric(t *testing.T) {
	g := uuid.New()
	events := []Event{
		{Group: g, Audience: Operator, Metric: InputQuota, Threshold: 5000}, {Group: g, Audience: Operator, Metric: InputQuota, Threshold: 8000},
		{Group: g, Audience: Customer, Metric: InputQuota, Threshold: 5000}, {Group: g, Audience: Operator, Metric: OutputQuota, Threshold: 5000},
	}
	Lead(events)
	for i, want := range []bool{false, true, true, true} {
		if events[i].Lead != want {
			t.Errorf("event %d leads: %v", i, events[i].Lead)
		}
	}
}

func TestTheClosestScopeDecidesForEachAudience(t *testing.T) {
	rules := []Rule{
		inputRule(1, 5000), {ID: 2, Audience: Operator, Scope: Tenant, TenantID: 7, Metric: InputQuota, Enabled: false},
		{ID: 3, Audience: Customer, Scope: All, Metric: InputQuota, Enabled: true}, {ID: 4, Audience: Operator, Scope: Plan, PlanID: 3, Metric: OutputQuota, Enabled: true},
	}
	ids := func(c Covered) (ids []int64) {
		for _, r := range Effective(rules, c) {
			ids = append(ids, r.ID)
		}
		return ids
	}
	if got := ids(Covered{PlanID: 3, TenantID: 7}); len(got) != 2 || got[0] != 3 || got[1] != 4 {
		t.Errorf("a tenant's silence is overheard: %v", got)
	}
	if got := ids(Covered{PlanID: 1, TenantID: 8}); len(got) != 2 || got[0] != 1 || got[1] != 3 {
		t.Errorf("the general rules do not hold: %v", got)
	}
}

func TestACapIsReachedWithTheLastTokenThatFitsIt(t *testing.T) {
	rule := Rule{ID: 1, Audience: Operator, Scope: All, Metric: SpendCap, Unit: Percent, Thresholds: []int64{Whole}, Enabled: true}
	s := Standing{Cap: 1050, Charged: 900, Details: Details{OveragePrice: 100}}
	if due, next := s.Look([]Rule{rule}); len(due) > 0 || next.Charge != 1000 {
		t.Errorf("at 900 of 1050 with tokens of 100: due %+v, next %+v", due, next)
	}
	s.Charged = 1000
	if due, _ := s.Look([]Rule{rule}); len(due) != 1 || due[0].Value != Whole {
		t.Errorf("at 1000, where the next token would pass: %+v", due)
	}
}
