package alert

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Whatever is planned together: everybody is told of the same as without gathering, once each; nobody gets more than ten messages at
// once but of what can't wait, nothing waits for more than a minute, and what is few stays as it is.
func TestWhatIsManyForOneReaderIsOneDigest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC).Add(time.Duration(rapid.Int64Range(0, int64(2*time.Minute)).Draw(t, "now")))
		rules := map[int64]Rule{
			1: {ID: 1, Audience: Operator, Thresholds: []int64{1, 2}, LastAtOnce: true},
			2: {ID: 2, Audience: Customer, Thresholds: []int64{1, 2}, LastAtOnce: true},
			3: {ID: 3, Audience: Customer, Thresholds: []int64{1, 2}},
		}
		var around []Situation
		var all []Delivery
		for id := range int64(rapid.IntRange(1, 50).Draw(t, "groups")) {
			rule := rules[rapid.Int64Range(1, 3).Draw(t, "rule")]
			tenant := rapid.Int64Range(1, 2).Draw(t, "tenant")
			s := Situation{Now: now, Rules: rules}
			for n, threshold := range rapid.SampledFrom([][]int64{{1}, {2}, {1, 2}}).Draw(t, "thresholds") {
				s.Events = append(s.Events, Event{ID: 10*id + int64(n), RuleID: rule.ID, Audience: rule.Audience, Threshold: threshold})
			}
			around = append(around, s)
			for _, who := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a@x.com", "b@x.com", "channel:1"}), 1, 3, rapid.ID).Draw(t, "readers") {
				d := Delivery{Kind: OneAlert, Batch: fmt.Sprint("group:", id), Recipient: who, Audience: Operator, DueAt: now}
				if rule.Audience == Customer && rapid.Bool().Draw(t, "theirs") {
					d.Audience, d.TenantID = Customer, tenant
				}
				for _, e := range s.Events {
					d.EventIDs = append(d.EventIDs, e.ID)
				}
				if rapid.IntRange(0, 5).Draw(t, "held") == 0 {
					d.Kind, d.DueAt, d.Batch = Digest, now.Add(time.Hour), "held:"
				}
				all = append(all, d)
			}
		}
		before := slices.Clone(all)
		Gather(all, around)

		reader := func(d Delivery) string { return fmt.Sprint(d.Recipient, d.Audience, d.TenantID) }
		cannotWait := func(d Delivery) bool {
			return d.Audience == Customer && slices.ContainsFunc(d.EventIDs, func(id int64) bool {
				e := around[id/10].Events[id%10]
				return e.Threshold == 2 && rules[e.RuleID].LastAtOnce
			})
		}
		atFirst, since, batches := map[string]int{}, map[string]int{}, map[string]string{}
		for _, d := range before {
			if d.Kind == OneAlert && !cannotWait(d) {
				atFirst[reader(d)]++
			}
		}
		for i, d := range all {
			was := before[i]
			same := d.Kind == was.Kind && d.Batch == was.Batch && d.DueAt.Equal(was.DueAt)
			switch {
			case was.Kind == Digest || cannotWait(was) || atFirst[reader(was)] <= 10:
				if !same {
					t.Fatalf("%+v became %+v", was, d)
				}
			case d.Kind != Digest || !strings.HasPrefix(d.Batch, "many:") || !d.DueAt.After(now) || d.DueAt.Sub(now) > time.Minute || d.DueAt.Second() != 0:
				t.Fatalf("one of %d was not gathered: %+v", atFirst[reader(was)], d)
			default:
				key := d.Batch + " " + d.Recipient
				if who, taken := batches[key]; taken && who != reader(d) {
					t.Fatalf("%s is told what is for %s: %+v", who, reader(d), d)
				}
				batches[key] = reader(d)
			}
			if d.Kind == OneAlert && !cannotWait(d) {
				since[reader(d)]++
			}
			d.Kind, d.Batch, d.DueAt = was.Kind, was.Batch, was.DueAt
			if fmt.Sprint(d) != fmt.Sprint(was) {
				t.Fatalf("%+v became %+v", was, d)
			}
		}
		for who := range maps.Keys(since) {
			if since[who] > 10 {
				t.Fatalf("%s gets %d messages at once", who, since[who])
			}
		}
	})
}

// Held by nothing but its number, a digest is told though all of it is over.
func TestWhatWasGatheredIsToldThoughItIsOver(t *testing.T) {
	over := []Event{{Metric: BreakerOpen, Audience: Operator, ResolvedAt: time.Unix(1, 0)}}
	if Overtaken(Delivery{Kind: Digest, Batch: "many:team:2026-11-23T08:01:00Z"}, over, false) {
		t.Error("what was gathered is not told")
	}
	if !Overtaken(Delivery{Kind: Digest, Batch: "held:team:2026-11-23T08:01:00Z"}, over, false) {
		t.Error("what was held is told though it is over")
	}
}
