package alert

import (
	"cmp"
	"iter"
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

// Course is something whose age is watched: what began, from when on that was known, and when something newer took its place.
type Course struct {
	Subject             Subject
	Details             Details
	Since, Known, Until time.Time // a zero Until: it goes on
}

// replay keeps what a rule told of a subject. What is news is decided as the watch decides it (Kind.old).
type replay struct {
	rule *Rule
	kind Kind
	held Past      // the newest sample
	told []Earlier // the newest of each threshold of the rule; without an id there is none
}

func newReplay(rule *Rule, kind Kind) *replay {
	return &replay{rule: rule, kind: kind, told: make([]Earlier, len(rule.Thresholds))}
}

// Replay gives what the rule would have raised for samples from a moment on, until another; each subject's are in the order of
// time. A sample holds until the subject's next one, or for step where step is not zero.
func (r *Rule) Replay(samples iter.Seq[Past], step time.Duration, from, until time.Time) []Firing {
	kind, _ := r.Metric.Kind()
	bySubject := map[string]*replay{}
	var fired []Firing
	raise := func(p *replay) {
		for _, threshold := range p.look() {
			if s := &p.held; !s.At.Before(from) {
				fired = append(fired, Firing{At: s.At, Subject: s.Subject, Details: s.Details, Metric: r.Metric, Unit: r.Unit, Threshold: threshold, Value: s.Value})
			}
		}
	}
	// What no sample speaks for is over.
	pass := func(p *replay, next time.Time) {
		if end := p.held.At.Add(step); step > 0 && end.Before(next) {
			p.over(end, func(int64) bool { return true })
		}
	}
	for s := range samples {
		p := bySubject[s.Subject.Key]
		if p == nil {
			p = newReplay(r, kind)
			bySubject[s.Subject.Key] = p
		} else {
			pass(p, s.At)
		}
		p.held = s
		raise(p)
	}
	for _, p := range bySubject {
		pass(p, until)
	}
	return fired
}

// look notes the sample that is held, and gives the thresholds that the rule tells of.
func (p *replay) look() (news []int64) {
	s := &p.held
	p.over(s.At, func(threshold int64) bool { return !p.rule.Reaches(s.Value, threshold) })
	var fresh []int
	for i, threshold := range p.rule.Thresholds {
		if t := &p.told[i]; p.rule.Reaches(s.Value, threshold) && t.ID != 0 && p.kind.returns(p.alarm(threshold), *t, s.At) {
			t.ResolvedAt = time.Time{}
		}
	}
	for i, threshold := range p.rule.Thresholds {
		if p.rule.Reaches(s.Value, threshold) && !p.isOld(threshold, s.At) {
			fresh = append(fresh, i)
		}
	}
	for _, i := range fresh {
		p.told[i] = Earlier{ID: 1, Period: s.Period, Threshold: p.rule.Thresholds[i]}
		news = append(news, p.rule.Thresholds[i])
	}
	return news
}

func (p *replay) alarm(threshold int64) *Alarm {
	return &Alarm{&p.held.Reading, Due{p.rule, threshold, p.held.Value}}
}

func (p *replay) isOld(threshold int64, at time.Time) bool {
	alarm := p.alarm(threshold)
	return slices.ContainsFunc(p.told, func(t Earlier) bool { return t.ID != 0 && p.kind.old(alarm, t, at) })
}

// over ends those episodes that go on and are gone.
func (p *replay) over(at time.Time, gone func(threshold int64) bool) {
	for i := range p.told {
		if t := &p.told[i]; t.ID != 0 && t.ResolvedAt.IsZero() && gone(t.Threshold) {
			t.ResolvedAt = at
		}
	}
}

// ReplayAges gives what the rule, which tells once of each cause, would have raised for courses within a span. The age is
// counted in whole units.
func (r *Rule) ReplayAges(courses []Course, unit time.Duration, from, until time.Time) []Firing {
	var fired []Firing
	for _, c := range courses {
		for _, threshold := range r.Thresholds {
			at := later(c.Since.Add(time.Duration(threshold)*unit), c.Known)
			if !c.Until.IsZero() && !at.Before(c.Until) || at.Before(from) || at.After(until) {
				continue
			}
			fired = append(fired, Firing{At: at, Subject: c.Subject, Details: c.Details, Metric: r.Metric, Unit: r.Unit, Threshold: threshold,
				Value: int64(at.Sub(c.Since) / unit)})
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
	slices.SortStableFunc(fired, func(a, b Firing) int {
		return cmp.Or(b.At.Compare(a.At), cmp.Compare(a.Subject.Key, b.Subject.Key), cmp.Compare(b.Threshold, a.Threshold))
	})
	n := min(len(fired), MaxReplayed)
	return Replayed{Fired: fired[:n:n], Known: true, Since: since, Truncated: len(fired) > n}
}
