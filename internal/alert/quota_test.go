package alert

import (
	"math/big"
	"slices"
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

// However a period is used, its limit raised and its rule replaced: nobody hears twice of as many tokens, nor of a threshold again unless a
// limit was used up and raised since, and then of nothing that lay below the use of then. As long as nothing but use changes everything
// that is reached is told, and that a limit is used up is told of each.
func TestNobodyIsToldTwiceAndNothingReachedIsLeftOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		thresholds := slices.Sorted(slices.Values(rapid.SliceOfNDistinct(rapid.Int64Range(1, 12_000), 1, 5, rapid.ID).Draw(t, "thresholds")))
		s := Standing{Subject: OfSubscription(1, 1, 0), LimitIn: rapid.Int64Range(1, 10_000).Draw(t, "limit")}
		holding := []Rule{inputRule(1, thresholds...)}
		var told []Raised
		disturbed := false
		var limits []int64 // when each was told
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			switch rapid.IntRange(0, 6).Draw(t, "step") {
			case 0:
				if s.In.Mark = s.UsedIn; s.UsedIn >= s.LimitIn {
					s.In.N++
				}
				s.LimitIn, disturbed = s.LimitIn+rapid.Int64Range(1, 5000).Draw(t, "more"), true
			case 1:
				holding, disturbed = []Rule{inputRule(holding[0].ID+1, thresholds...)}, true
			default:
				s.UsedIn += rapid.Int64Range(0, 3000).Draw(t, "use")
			}
			due, _ := s.Look(holding)
			for _, e := range s.Fresh(due, holding, told, uuid.New(), time.Time{}) {
				at := reach(Percent, e.Threshold, s.LimitIn)
				for i, r := range told {
					if r.Round == e.Round && (r.Threshold == e.Threshold || r.Threshold > e.Threshold && r.RuleID != e.RuleID) {
						t.Fatalf("told %d after %d", e.Threshold, r.Threshold)
					}
					if r.Round < e.Round && at <= s.In.Mark || limits[i] < s.LimitIn && at < reach(Percent, r.Threshold, limits[i]) {
						t.Fatalf("told of %d tokens, %d of %d, after %d of %d; the limit was raised at %d", at, e.Threshold, s.LimitIn, r.Threshold, limits[i], s.In.Mark)
					}
				}
				told, limits = append(told, Raised{e.RuleID, e.Audience, e.Metric, e.Unit, e.Threshold, e.Round}), append(limits, s.LimitIn)
			}
			whole := slices.ContainsFunc(told, func(r Raised) bool { return r.Threshold >= Whole && r.Round == s.In.N })
			if slices.Contains(thresholds, Whole) && s.UsedIn >= s.LimitIn && s.LimitIn > s.In.Mark && !whole {
				t.Fatalf("all of %d is used, and nobody was told", s.LimitIn)
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

func TestOfALimitThatWasUsedUpTheNextOneIsTold(t *testing.T) {
	percent := inputRule(1, 5000, 8000, Whole)
	tokens, closer := percent, percent
	tokens.Unit, tokens.Thresholds = Tokens, []int64{500, 800, 1000}
	closer.ID = 2
	for name, c := range map[string]struct {
		rule       Rule
		used, mark int64
		round      int
		want       []int64
	}{
		"something was left of it":             {percent, 1700, 999, 0, nil},
		"what lies above its use":              {percent, 1700, 1000, 1, []int64{8000}},
		"what lies above its use, all of it":   {percent, 2000, 1000, 1, []int64{8000, Whole}},
		"what lies below":                      {percent, 1700, 1600, 1, nil},
		"as many tokens":                       {tokens, 1700, 1000, 1, nil},
		"another rule instead of that":         {closer, 1700, 1000, 1, []int64{8000}},
		"another rule, though nothing is left": {closer, 1700, 999, 0, nil},
	} {
		s := Standing{LimitIn: 2000, UsedIn: c.used, In: Round{c.round, c.mark}}
		var told []Raised
		for _, threshold := range []int64{c.rule.Thresholds[0], c.rule.Thresholds[1], c.rule.Thresholds[2]} {
			told = append(told, Raised{RuleID: 1, Audience: Operator, Metric: InputQuota, Unit: c.rule.Unit, Threshold: threshold})
		}
		due, _ := s.Look([]Rule{c.rule})
		var got []int64
		for _, e := range s.Fresh(due, []Rule{c.rule}, told, uuid.New(), time.Time{}) {
			if got = append(got, e.Threshold); e.Round != c.round {
				t.Errorf("%s: told in round %d", name, e.Round)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: told %v, want %v", name, got, c.want)
		}
	}
}

// Who has told of nothing yet knows nothing of what lies below either.
func TestANewRuleTellsWhatIsReachedInAnyRound(t *testing.T) {
	rule := inputRule(1, 5000, 8000, Whole)
	s := Standing{LimitIn: 2000, UsedIn: 1000, In: Round{1, 1000}}
	due, _ := s.Look([]Rule{rule})
	if events := s.Fresh(due, []Rule{rule}, nil, uuid.New(), time.Time{}); len(events) != 1 || events[0].Threshold != 5000 {
		t.Errorf("told %+v", events)
	}
}
