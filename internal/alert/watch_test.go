package alert

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"
)

// booth is the database of a property: what was raised, and what is over.
type booth struct {
	kind   Kind
	events []Event
}

// look is one round of the watch.
func (b *booth) look(t *rapid.T, book *Book, readings []Reading, now time.Time) []Event {
	alarms := book.Look(readings)
	earlier := make([]Earlier, len(b.events))
	for i, e := range b.events {
		earlier[i] = Earlier{ID: e.ID, RuleID: e.RuleID, Audience: e.Audience, Subject: e.Subject.Key, Period: e.Period, Threshold: e.Threshold, ResolvedAt: e.ResolvedAt}
	}
	for _, id := range b.kind.Over(book, alarms, earlier) {
		b.events[id-1].ResolvedAt = now
		earlier[id-1].ResolvedAt = now
	}
	for _, id := range b.kind.Back(book, alarms, earlier, now) {
		b.events[id-1].ResolvedAt = time.Time{}
		earlier[id-1].ResolvedAt = time.Time{}
	}
	fresh := b.kind.Fresh(book, alarms, earlier, uuid.New, now)
	for i := range fresh {
		fresh[i].ID = int64(len(b.events) + 1)
		b.events = append(b.events, fresh[i])
	}
	type same struct {
		rule      int64
		of        matter
		threshold int64
	}
	open := map[same]bool{}
	for _, e := range b.events {
		key := same{e.RuleID, b.kind.matter(e.Audience, e.Subject.Key, e.Period), e.Threshold}
		if b.kind.Repeats == PerEpisode && !e.ResolvedAt.IsZero() {
			continue
		}
		if open[key] {
			t.Fatalf("%+v goes on twice", key)
		}
		open[key] = true
	}
	return fresh
}

// However a value moves: an episode is raised when it comes to the threshold, once while it lasts, and ends below it. When it comes
// back within the rule's time it goes on, and is raised again when it was gone for that time.
func TestAnEpisodeIsRaisedOnceAndAgainOnlyAfterItsTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		direction := rapid.SampledFrom([]Direction{Up, Down, Both}).Draw(t, "direction")
		low, high := int64(15_000), int64(30_000)
		rule := Rule{ID: 1, Audience: Operator, Scope: All, Metric: SuddenChange, Unit: Percent, Thresholds: []int64{low, high}, Direction: direction,
			Rearm: rapid.IntRange(0, 90).Draw(t, "rearm"), Enabled: true}
		kind, _ := rule.Metric.Kind()
		b, book := &booth{kind: kind}, NewBook([]Rule{rule})
		now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
		is := func(value, threshold int64) bool {
			up, down := value >= threshold, value <= Whole*Whole/threshold
			return direction != Down && up || direction != Up && down
		}
		going, ends := map[int64]int{}, map[int64][]time.Time{} // of each threshold: which of its episodes goes on, from 1 on; when each ended
		for range rapid.IntRange(1, 40).Draw(t, "looks") {
			now = now.Add(time.Duration(rapid.IntRange(-20, 45).Draw(t, "minutes")) * time.Minute)
			value := rapid.SampledFrom([]int64{0, 1, 1999, 2000, 2001, 3333, 3334, 4999, 5000, 5001, 6666, 6667, 10_000, 14_999, 15_000, 15_001, 29_999, 30_000, 1 << 50}).Draw(t, "value")
			var readings []Reading
			if rapid.IntRange(0, 9).Draw(t, "read") > 0 {
				readings = []Reading{{Metric: SuddenChange, Subject: Subject{Key: "installation"}, Value: value}}
			}
			var told []int64
			for _, e := range b.look(t, book, readings, now) {
				told = append(told, e.Threshold)
				if !e.Period.Equal(now) || e.Value != value {
					t.Fatalf("%+v", e)
				}
			}
			worse := false // a worse threshold that goes on says it already
			for _, threshold := range []int64{high, low} {
				reached := len(readings) > 0 && is(value, threshold)
				if going[threshold] > 0 && !reached {
					ends[threshold][going[threshold]-1], going[threshold] = now, 0
				}
				if reached && going[threshold] == 0 {
					for i, end := range slices.Backward(ends[threshold]) {
						if now.Before(end.Add(time.Duration(rule.Rearm) * time.Minute)) {
							going[threshold] = i + 1
							break
						}
					}
				}
				want := reached && going[threshold] == 0 && !worse
				if slices.Contains(told, threshold) != want {
					t.Fatalf("at %s value %d: told %v; want threshold %d told: %v (going %v, ended %v)", now.Format("15:04"), value, told, threshold, want, going, ends)
				}
				worse = worse || going[threshold] > 0
				if want {
					ends[threshold] = append(ends[threshold], time.Time{})
					going[threshold] = len(ends[threshold])
				}
			}
			var open int
			for _, e := range b.events {
				if e.ResolvedAt.IsZero() {
					open++
				}
			}
			if want := min(going[low], 1) + min(going[high], 1); open != want {
				t.Fatalf("at %s value %d: %d go on, want %d", now.Format("15:04"), value, open, want)
			}
		}
	})
}

// What is told per period, day or cause is told once in it, however the value and the clock move.
func TestAPeriodIsToldOfAThresholdOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		metric := rapid.SampledFrom([]Metric{Forecast, ProviderCost, RateStale}).Draw(t, "metric")
		kind, _ := metric.Kind()
		rule := Rule{ID: 1, Audience: Operator, Scope: All, Metric: metric, Unit: kind.Units[0], Thresholds: []int64{10, 20, 30}, Enabled: true}
		b, book := &booth{kind: kind}, NewBook([]Rule{rule})
		now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
		worst := map[int64]int64{} // of each period
		for range rapid.IntRange(1, 40).Draw(t, "looks") {
			now = now.Add(time.Duration(rapid.IntRange(-60, 60).Draw(t, "minutes")) * time.Minute)
			value, period := rapid.Int64Range(0, 40).Draw(t, "value"), rapid.Int64Range(1, 3).Draw(t, "period")
			var told []int64
			for _, e := range b.look(t, book, []Reading{{Metric: metric, Subject: Subject{Key: "x"}, Value: value, Period: time.Unix(period, 0)}}, now) {
				told = append(told, e.Threshold)
				if e.Lead != (e.Threshold == value/10*10 || value >= 30 && e.Threshold == 30) {
					t.Fatalf("value %d: lead %+v", value, e)
				}
			}
			var want []int64
			for _, threshold := range rule.Thresholds {
				if value >= threshold && threshold > worst[period] {
					want = append(want, threshold)
				}
			}
			if !slices.Equal(told, want) {
				t.Fatalf("value %d of period %d: told %v, want %v", value, period, told, want)
			}
			worst[period] = max(worst[period], min(value/10*10, 30))
		}
	})
}

// The book finds what Effective would find among all rules.
func TestABookHoldsWhatHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var rules []Rule
		for i := range rapid.IntRange(0, 12).Draw(t, "rules") {
			r := Rule{ID: int64(i + 1), Metric: KeyUnused, Audience: rapid.SampledFrom(everyone).Draw(t, "audience"),
				Scope: rapid.SampledFrom(anyScope).Draw(t, "scope"), Enabled: rapid.Bool().Draw(t, "enabled")}
			id := rapid.Int64Range(1, 3).Draw(t, "id")
			switch r.Scope {
			case Plan:
				r.PlanID = id
			case Tenant:
				r.TenantID = id
			case Key:
				r.TenantID, r.KeyID = id, id
			}
			rules = append(rules, r)
		}
		c := Covered{rapid.Int64Range(0, 3).Draw(t, "plan"), rapid.Int64Range(0, 3).Draw(t, "tenant"), rapid.Int64Range(0, 3).Draw(t, "key")}
		got, want := NewBook(rules).Holding(c), Effective(rules, c)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("of %+v hold %v, want %v", c, got, want)
		}
	})
}

// What all customers together do is told to the team alone, and what one does not as the installation's.
func TestTheInstallationIsTheTeamsBusiness(t *testing.T) {
	rules := []Rule{
		{ID: 1, Audience: Operator, Scope: All}, {ID: 2, Audience: Customer, Scope: All}, {ID: 3, Audience: Operator, Scope: Tenant, TenantID: 7},
	}
	for i := range rules {
		rules[i].Metric, rules[i].Unit, rules[i].Thresholds, rules[i].Window, rules[i].Enabled = ErrorRate, Percent, []int64{500}, 10, true
	}
	alarms := NewBook(rules).Look([]Reading{
		{Metric: ErrorRate, Subject: Subject{Key: "installation"}, Window: 10, Value: 500},
		{Metric: ErrorRate, Subject: Subject{Key: "tenant:7", TenantID: 7}, Covered: Covered{TenantID: 7}, Window: 10, Value: 500},
		{Metric: ErrorRate, Subject: Subject{Key: "tenant:8", TenantID: 8}, Covered: Covered{TenantID: 8}, Window: 10, Value: 500},
		{Metric: ErrorRate, Subject: Subject{Key: "tenant:8", TenantID: 8}, Covered: Covered{TenantID: 8}, Window: 30, Value: 9000},
	})
	var got []string
	for _, a := range alarms {
		got = append(got, fmt.Sprint(a.Rule.ID, " ", a.Subject.Key))
	}
	if want := []string{"1 installation", "2 tenant:7", "3 tenant:7", "2 tenant:8"}; !slices.Equal(got, want) {
		t.Fatalf("%q, want %q", got, want)
	}
}

func TestForecast(t *testing.T) {
	start := time.Date(2026, 11, 1, 3, 0, 0, 0, time.UTC)
	end := start.AddDate(0, 0, 30)
	day := 24 * time.Hour
	for name, c := range map[string]struct {
		pace    Pace
		after   time.Duration
		share   int64
		runsOut time.Duration // from now; 0: not before the end
		ok      bool
	}{
		"at the pace of all since the begin":  {Pace{Limit: 1000, Used: 100}, 3 * day, 10_000, 0, true},
		"at the pace of the last days":        {Pace{Limit: 1000, Used: 400, Recent: 140, Span: 7 * day}, 15 * day, 7_000, 0, true},
		"faster than before":                  {Pace{Limit: 1000, Used: 400, Recent: 350, Span: 7 * day}, 15 * day, 11_500, 12 * day, true},
		"nobody calls any more":               {Pace{Limit: 1000, Used: 400, Span: 7 * day}, 15 * day, 4_000, 0, true},
		"too early":                           {Pace{Limit: 1000, Used: 400}, 35 * time.Hour, 0, 0, false},
		"early enough":                        {Pace{Limit: 1000, Used: 500}, 36 * time.Hour, 100_000, 36 * time.Hour, true},
		"used up":                             {Pace{Limit: 1000, Used: 1000}, 15 * day, 0, 0, false},
		"no limit":                            {Pace{Used: 1000}, 15 * day, 0, 0, false},
		"before the period: a clock set back": {Pace{Limit: 1000, Used: 10}, -day, 0, 0, false},
		"the end":                             {Pace{Limit: 1000, Used: 10}, 30 * day, 0, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			now := start.Add(c.after)
			share, runsOut, ok := c.pace.Forecast(start, end, now)
			if share != c.share || ok != c.ok || c.runsOut == 0 != runsOut.IsZero() || c.runsOut != 0 && !runsOut.Equal(now.Add(c.runsOut)) {
				t.Errorf("%d %s %v", share, runsOut, ok)
			}
		})
	}
}
