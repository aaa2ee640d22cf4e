package alert

import (
	"testing"
	"time"
)

func TestSavingARuleTellsOnlyWhatIsHigherThanWhatItTold(t *testing.T) {
	s := Standing{Subject: OfSubscription(1, 1, 0), LimitIn: 1000, UsedIn: 680}
	told := []Raised{{RuleID: 1, Audience: Operator, Metric: InputQuota, Unit: Percent, Threshold: 5000}}
	other := inputRule(2, 8000)
	for name, c := range map[string]struct {
		rule          Rule
		news, reached bool
		told          int64
	}{
		"one above the highest that was told": {inputRule(1, 5000, 6000), true, true, 6000},
		"one below it":                        {inputRule(1, 4000, 5000), false, true, 0},
		"one that is not reached":             {inputRule(1, 5000, 7000), false, true, 0},
		"none that is reached":                {inputRule(1, 7000), false, false, 0},
		"a rule that is new":                  {inputRule(0, 1000, 5000), true, true, 5000},
	} {
		t.Run(name, func(t *testing.T) {
			lead, news, reached := s.Saved(c.rule, []Rule{inputRule(1, 5000, 8000), other}, told, time.Time{})
			if news != c.news || reached != c.reached || lead.Threshold != c.told {
				t.Errorf("told %d (%v, reached %v), want %d (%v, %v)", lead.Threshold, news, reached, c.told, c.news, c.reached)
			}
		})
	}
	off := inputRule(1, 6000)
	off.Enabled = false
	if _, news, reached := s.Saved(off, nil, nil, time.Time{}); news || reached {
		t.Error("a rule that is switched off tells something")
	}
	closer := Rule{ID: 3, Audience: Operator, Scope: Tenant, TenantID: 7, Metric: InputQuota, Enabled: true}
	s.Covered.TenantID = 7
	if _, news, _ := s.Saved(inputRule(1, 6000), []Rule{closer}, nil, time.Time{}); news {
		t.Error("a closer rule holds, and the wider one tells")
	}
}
