package alert

import (
	"cmp"
	"slices"
	"time"
)

// Firing is what a rule would have raised.
type Firing struct {
	At        time.Time // by the hour where only hours are kept
	Subject   Subject
	Details   Details // names of the tenant, key, provider and model; figures as far as they are known
	Metric    Metric
	Unit      Unit
	Threshold int64
	Value     int64
}

// Replayed is what a rule would have raised in a span of the past.
type Replayed struct {
	Fired     []Firing  // the newest first
	Known     bool      // false: nothing is kept that would tell
	Since     time.Time // from when on what is kept tells; not before the span
	Truncated bool      // there would have been more
}

// MaxReplayed bounds a replay.
const MaxReplayed = 200

// CapShare is what was charged as a part of what the spend cap pays for, in hundredths of a percent.
func (s *Standing) CapShare() int64 { return Share(int64(s.Charged), s.mostCharged()) }

// Past is what a metric was for a subject from a moment on.
type Past struct {
	At time.Time
	Reading
}

// Course is something whose age is watched: what began, and when it was over.
type Course struct {
	Subject      Subject
	Details      Details
	Since, Until time.Time // a zero Until: it goes on
}

// replay keeps what a rule told of a subject.
type replay struct {
	rule  *Rule
	kind  Kind
	last  time.Time // of the subject's samples
	told  map[same]bool
	open  map[int64]bool      // thresholds of an episode that goes on
	ended map[int64]time.Time // and when that was over
}

func newReplay(rule *Rule, kind Kind) *replay {
	return &replay{rule: rule, kind: kind, told: map[same]bool{}, open: map[int64]bool{}, ended: map[int64]time.Time{}}
}

// Replay gives what the rule would have raised for samples from a moment on; each subject's are in the order of time. A sample
// holds until the subject's next one, or for step where step is not zero.
func (r *Rule) Replay(samples []Past, step time.Duration, from time.Time) []Firing {
	kind, _ := r.Metric.Kind()
	bySubject := map[string]*replay{}
	var fired []Firing
	for i := range samples {
		s := &samples[i]
		p := bySubject[s.Subject.Key]
		if p == nil {
			p = newReplay(r, kind)
			bySubject[s.Subject.Key] = p
		}
		if step > 0 && !p.last.IsZero() && s.At.After(p.last.Add(step)) {
			for threshold := range p.open {
				p.end(threshold, p.last.Add(step))
			}
		}
		p.last = s.At
		for _, threshold := range r.Thresholds {
			if p.tells(s, threshold) && !s.At.Before(from) {
				fired = append(fired, Firing{At: s.At, Subject: s.Subject, Details: s.Details, Metric: r.Metric, Unit: r.Unit, Threshold: threshold, Value: s.Value})
			}
		}
	}
	return fired
}

func (p *replay) end(threshold int64, at time.Time) {
	delete(p.open, threshold)
	p.ended[threshold] = at
}

// tells notes a sample, and whether the rule tells of it.
func (p *replay) tells(s *Past, threshold int64) bool {
	reached := p.rule.Reaches(s.Value, threshold)
	if p.kind.Repeats != PerEpisode {
		key := p.kind.same(0, "", s.Period, threshold)
		news := reached && !p.told[key]
		if news {
			p.told[key] = true
		}
		return news
	}
	switch {
	case !reached && p.open[threshold]:
		p.end(threshold, s.At)
	case reached && !p.open[threshold] && p.rested(threshold, s.At):
		p.open[threshold] = true
		return true
	}
	return false
}

// rested tells whether an episode may be told of again.
func (p *replay) rested(threshold int64, at time.Time) bool {
	ended, was := p.ended[threshold]
	return !was || !at.Before(ended.Add(time.Duration(p.rule.Rearm)*time.Minute))
}

// ReplayAges gives what the rule would have raised for courses within a span; each subject's are in the order of time. The age
// is counted in whole units.
func (r *Rule) ReplayAges(courses []Course, unit time.Duration, from, until time.Time) []Firing {
	kind, _ := r.Metric.Kind()
	bySubject := map[string]*replay{}
	var fired []Firing
	for _, c := range courses {
		p := bySubject[c.Subject.Key]
		if p == nil {
			p = newReplay(r, kind)
			bySubject[c.Subject.Key] = p
		}
		for _, threshold := range r.Thresholds {
			at := c.Since.Add(time.Duration(threshold) * unit)
			if ended, was := p.ended[threshold]; was {
				at = later(at, ended.Add(time.Duration(r.Rearm)*time.Minute))
			}
			if !c.Until.IsZero() && !at.Before(c.Until) || at.After(until) {
				continue
			}
			if kind.Repeats == PerEpisode && !c.Until.IsZero() {
				p.ended[threshold] = c.Until
			}
			if !at.Before(from) {
				fired = append(fired, Firing{At: at, Subject: c.Subject, Details: c.Details, Metric: r.Metric, Unit: r.Unit, Threshold: threshold,
					Value: int64(at.Sub(c.Since) / unit)})
			}
		}
	}
	return fired
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Newest puts what would have been raised in order, and keeps as much as is shown.
func Newest(fired []Firing, since time.Time) Replayed {
	slices.SortStableFunc(fired, func(a, b Firing) int { return cmp.Or(b.At.Compare(a.At), cmp.Compare(b.Threshold, a.Threshold)) })
	n := min(len(fired), MaxReplayed)
	return Replayed{Fired: fired[:n:n], Known: true, Since: since, Truncated: len(fired) > n}
}
