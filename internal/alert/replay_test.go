package alert

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var replayNoon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// fired are firings in the order of time, in words.
func fired(list []Firing) []string {
	words := []string{}
	for _, f := range slices.Backward(Newest(list, time.Time{}).Fired) {
		words = append(words, fmt.Sprintf("%s %s %d=%d", f.At.Format("15:04:05"), f.Subject.Key, f.Threshold, f.Value))
	}
	slices.Sort(words)
	return words
}

// watched are the events that the watch raised, likewise.
func watched(events []Event) []string {
	words := []string{}
	for _, e := range events {
		words = append(words, fmt.Sprintf("%s %s %d=%d", e.RaisedAt.Format("15:04:05"), e.Subject.Key, e.Threshold, e.Value))
	}
	slices.Sort(words)
	return words
}

func agree(t *rapid.T, replayed []Firing, raised []Event) {
	t.Helper()
	if len(raised) > MaxReplayed {
		t.Fatalf("%d raised, which no replay shows", len(raised))
	}
	if got, want := fired(replayed), watched(raised); !slices.Equal(got, want) {
		t.Fatalf("the replay raises\n  %q\nthe watch raised\n  %q", got, want)
	}
}

// Whatever a metric was, a replay raises what a watch that looked every minute would have raised: at the same moment, of the same
// thresholds, with the same values; where samples hold for a time, too.
func TestAReplayRaisesWhatTheWatchWouldHaveRaised(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		metric := rapid.SampledFrom([]Metric{SuddenChange, QueueAge, ProviderCost, Forecast}).Draw(t, "metric")
		rule := Rule{ID: 1, Audience: Operator, Scope: All, Metric: metric, Unit: Percent, Thresholds: []int64{15_000, 30_000, 60_000}, Enabled: true,
			Rearm: rapid.IntRange(0, 40).Draw(t, "rearm")}
		kind, _ := metric.Kind()
		if kind.Both {
			rule.Direction = rapid.SampledFrom([]Direction{Up, Down, Both}).Draw(t, "direction")
		}
		step := time.Duration(rapid.SampledFrom([]int{0, 5, 12}).Draw(t, "step")) * time.Minute
		minutes := rapid.IntRange(1, 200).Draw(t, "minutes")
		var samples []Past
		values := rapid.SampledFrom([]int64{0, 1, 1666, 3333, 6667, 14_999, 15_000, 29_999, 30_000, 59_999, 60_000, 99_999})
		for _, name := range []string{"a", "b"} {
			for n, period := 0, 1; n < minutes; n += rapid.IntRange(1, 20).Draw(t, "gap") {
				period += rapid.IntRange(0, 9).Draw(t, "next") / 9
				reading := Reading{Metric: metric, Subject: Subject{Key: name}, Value: values.Draw(t, "value")}
				if kind.Repeats != PerEpisode {
					reading.Period = time.Unix(int64(period), 0)
				}
				samples = append(samples, Past{At: replayNoon.Add(time.Duration(n) * time.Minute), Reading: reading})
			}
		}
		from, until := replayNoon.Add(time.Duration(rapid.IntRange(0, 60).Draw(t, "from"))*time.Minute), replayNoon.Add(time.Duration(minutes)*time.Minute)

		b, book := &booth{kind: kind}, NewBook([]Rule{rule})
		var raised []Event
		for now := replayNoon; now.Before(until); now = now.Add(time.Minute) {
			held := map[string]Past{}
			for _, s := range samples {
				if !s.At.After(now) {
					held[s.Subject.Key] = s
				}
			}
			var readings []Reading
			for _, name := range []string{"a", "b"} {
				if s, ok := held[name]; ok && (step == 0 || now.Before(s.At.Add(step))) {
					readings = append(readings, s.Reading)
				}
			}
			for _, e := range b.look(t, book, readings, now) {
				if !now.Before(from) {
					raised = append(raised, e)
				}
			}
		}
		agree(t, rule.Replay(slices.Values(samples), step, from, until), raised)
	})
}

// asRead is what the watch would read of the calls that are known at a moment, counted one by one.
func asRead(rule *Rule, calls []Called, now time.Time) (r Reading, ok bool) {
	r = Reading{Metric: rule.Metric, Subject: Subject{Key: "installation"}, Window: rule.LooksBack()}
	since := now.Add(-time.Duration(r.Window) * time.Minute)
	var judged, failures int64
	var took []int64
	for _, c := range calls {
		at := time.UnixMilli(c.At)
		if time.UnixMilli(c.known()).After(now) {
			continue
		}
		if at.Truncate(time.Minute).After(since) && c.Ending != EndedSpoiled {
			judged++
			if c.Ending == EndedInFailure {
				failures++
			}
		}
		if !at.Before(since) && c.Ending == EndedWell {
			took = append(took, int64(c.Took))
		}
	}
	if rule.Metric == ErrorRate {
		r.Value = Share(failures, judged)
		return r, judged >= FewestCalls
	}
	if len(took) < FewestCalls {
		return r, false
	}
	slices.Sort(took)
	r.Value = took[int(math.Ceil(0.95*float64(len(took))))-1]
	return r, true
}

// A window that slides over single calls says the same as one that is counted anew at every look.
func TestCallsAreReplayedAsTheyWouldHaveBeenWatched(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rule := Rule{ID: 1, Audience: Operator, Scope: All, Metric: ErrorRate, Unit: Percent, Thresholds: []int64{1000, 3000}, Enabled: true,
			Window: rapid.IntRange(1, 6).Draw(t, "window"), Rearm: rapid.IntRange(0, 10).Draw(t, "rearm")}
		every := 5 * time.Second
		if rapid.Bool().Draw(t, "latency") {
			rule.Metric, rule.Unit, rule.Thresholds, every = LatencyP95, Millis, []int64{2000, 30_000}, time.Minute
		}
		var calls []Called
		for len(calls) < 400 {
			start := replayNoon.UnixMilli() + rapid.Int64Range(0, 20*60_000).Draw(t, "start")
			ends := rapid.SliceOfN(rapid.SampledFrom([]Ending{EndedWell, EndedWell, EndedWell, EndedInFailure, EndedByCaller, EndedSpoiled}), 1, 60).Draw(t, "burst")
			slow := rapid.SampledFrom([]int32{10, 2000, 90_000}).Draw(t, "slow")
			for n, e := range ends {
				calls = append(calls, Called{At: start + int64(n)*137, Took: slow + int32(n)*7, Ending: e})
			}
		}
		kind, _ := rule.Metric.Kind()
		b, book := &booth{kind: kind}, NewBook([]Rule{rule})
		until := replayNoon.Add(30 * time.Minute)
		for now := replayNoon; !now.After(until); now = now.Add(every) {
			var readings []Reading
			if r, ok := asRead(&rule, calls, now); ok {
				readings = []Reading{r}
			}
			b.look(t, book, readings, now)
		}
		shuffled := rapid.Permutation(calls).Draw(t, "order")
		past := rule.PastCalls(Reading{Metric: rule.Metric, Subject: Subject{Key: "installation"}}, shuffled, until)
		agree(t, rule.Replay(past, 0, replayNoon, until.Add(time.Second)), b.events)
	})
}

func TestAnAgeThatIsKnownLateIsToldOfWhenItIsKnown(t *testing.T) {
	rule := Rule{Metric: RateStale, Unit: Days, Thresholds: []int64{2, 7}}
	day := func(n int) time.Time { return replayNoon.AddDate(0, 0, n) }
	courses := []Course{
		{Subject: Subject{Key: "a"}, Since: day(0), Known: day(0), Until: day(3)},
		{Subject: Subject{Key: "b"}, Since: day(1), Known: day(4), Until: day(9)},
		{Subject: Subject{Key: "c"}, Since: day(8), Known: day(9)},
	}
	got := rule.ReplayAges(courses, 24*time.Hour, day(0), day(11))
	var words []string
	for _, f := range got {
		words = append(words, fmt.Sprintf("%s %s %d=%d", f.At.Format("02"), f.Subject.Key, f.Threshold, f.Value))
	}
	if want := []string{"24 a 2=2", "26 b 2=3", "30 b 7=7", "02 c 2=2"}; !slices.Equal(words, want) {
		t.Errorf("%q, want %q", words, want)
	}
}
