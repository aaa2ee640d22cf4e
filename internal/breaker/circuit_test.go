package breaker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

const model = "gpt-4.1-nano"

// desk is a guard under test and what it told.
type desk struct {
	*Guard
	t    *testing.T
	told []Change
}

// in runs a test on a guard inside a bubble, where time moves only when everybody sleeps.
func in(t *testing.T, s Settings, test func(t *testing.T, d *desk)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := &desk{t: t}
		d.Guard = New(7, s, func(c Change) { d.told = append(d.told, c) })
		test(t, d)
	})
}

func (d *desk) enter() *Pass {
	d.t.Helper()
	p, err := d.Enter(context.Background(), 1, model)
	if err != nil {
		d.t.Fatal(err)
	}
	return &p
}

// call makes n calls that all end so.
func (d *desk) call(n int, r Result) {
	d.t.Helper()
	for range n {
		p := d.enter()
		p.Answered(time.Millisecond, r)
		p.Leave(r)
	}
}

func (d *desk) refused() Refused {
	d.t.Helper()
	p, err := d.Enter(context.Background(), 1, model)
	var r *Refused
	if !errors.As(err, &r) {
		p.Leave(Neutral)
		d.t.Fatalf("not refused, but %v", err)
	}
	if ok, after := d.Ready(model); ok || after != r.RetryAfter {
		d.t.Fatalf("Ready says %v, %v; Enter says %v", ok, after, r.RetryAfter)
	}
	return *r
}

func (d *desk) is(want State) {
	d.t.Helper()
	if m := d.Snapshot().Models; len(m) != 1 || m[0].State != want {
		d.t.Fatalf("%+v, want %s", m, want)
	}
}

// reasons of the changes told, with where they led.
func (d *desk) reasons() (out []string) {
	for _, c := range d.told {
		out = append(out, fmt.Sprintf("%s>%s:%s", c.From, c.To, c.Reason))
	}
	return out
}

func (d *desk) wants(want ...string) {
	d.t.Helper()
	if got := d.reasons(); !slices.Equal(got, want) {
		d.t.Fatalf("told %q, want %q", got, want)
	}
}

func TestBreakerOpensAtItsShareOfFailures(t *testing.T) {
	s := DefaultSettings()
	s.MinCalls, s.FailurePercent = 200, 50
	for name, c := range map[string]struct {
		failures, successes int
		opens               bool
	}{
		"all fail, but too few calls": {199, 0, false},
		"all of enough calls":         {200, 0, true},
		"exactly the share":           {100, 100, true},
		"one below the share":         {99, 101, false}, // 49.5 %
		"none":                        {0, 300, false},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, s, func(t *testing.T, d *desk) {
				d.call(c.failures, Failure)
				d.call(c.successes, Success)
				if c.opens {
					d.wants("closed>open:failures")
				} else {
					d.call(1, Neutral)
					d.wants()
				}
			})
		})
	}
}

func TestBreakerTellsWhenItOpened(t *testing.T) {
	in(t, DefaultSettings(), func(t *testing.T, d *desk) {
		d.call(5, Success)
		d.call(15, Failure)
		d.wants("closed>open:failures")
		c := d.told[0]
		if c.Provider != 7 || c.Model != model || c.FailurePercent != 75 || c.Calls != 20 || !c.At.Equal(time.Now()) {
			t.Fatalf("%+v", c)
		}
	})
}

func TestOpenBreakerRefusesForExactlyItsTime(t *testing.T) {
	in(t, DefaultSettings(), func(t *testing.T, d *desk) {
		d.call(20, Failure)
		if r := d.refused(); r.Reason != CircuitOpen || r.RetryAfter != 15*time.Second {
			t.Fatalf("%+v", r)
		}
		time.Sleep(15*time.Second - 1)
		if r := d.refused(); r.RetryAfter != 1 || d.Snapshot().Models[0].RetryIn != 1 {
			t.Fatalf("%+v", r)
		}
		time.Sleep(time.Nanosecond)
		d.enter().Leave(Neutral)
		d.is(HalfOpen)
	})
}

func TestProbesCloseAndOneFailedProbeOpens(t *testing.T) {
	in(t, DefaultSettings(), func(t *testing.T, d *desk) {
		d.call(20, Failure)
		time.Sleep(15 * time.Second)
		d.call(2, Success)
		d.call(1, Failure)
		if r := d.refused(); r.RetryAfter != 15*time.Second {
			t.Fatalf("the delay did not begin again: %+v", r)
		}
		time.Sleep(15 * time.Second)
		d.call(3, Success)
		d.is(Closed)
		d.wants("closed>open:failures", "open>half_open:time", "half_open>open:probe_failed",
			"open>half_open:time", "half_open>closed:probes_ok")
		d.call(19, Failure) // the failures before the outage are forgotten
		d.is(Closed)
		d.call(1, Failure)
		d.is(Open)
	})
}

func TestHalfOpenLetsOnlyItsProbesThroughAtOnce(t *testing.T) {
	in(t, DefaultSettings(), func(t *testing.T, d *desk) {
		d.call(20, Failure)
		time.Sleep(15 * time.Second)
		probes := []*Pass{d.enter(), d.enter(), d.enter()}
		if r := d.refused(); r.Reason != CircuitOpen || r.RetryAfter <= 0 {
			t.Fatalf("%+v", r)
		}
		probes[0].Answered(time.Second, Success) // its stream goes on, its permit is free
		d.enter().Leave(Neutral)
		probes[1].Leave(Success)
		probes[2].Leave(Success)
		d.is(Closed)
	})
}

func TestProbesThatTellNothingGiveTheirPermitBack(t *testing.T) {
	for name, end := range map[string]func(*Pass){
		"cancelled before an answer": func(p *Pass) { p.Leave(Neutral) },
		"the caller's own error":     func(p *Pass) { p.Answered(time.Second, Neutral); p.Leave(Neutral) },
		"answered, then cancelled":   func(p *Pass) { p.Answered(time.Second, Neutral); p.Leave(Success) },
		"left twice":                 func(p *Pass) { p.Leave(Neutral); p.Leave(Neutral); p.Answered(0, Failure) },
	} {
		t.Run(name, func(t *testing.T) {
			in(t, DefaultSettings(), func(t *testing.T, d *desk) {
				d.call(20, Failure)
				time.Sleep(15 * time.Second)
				for range 10 {
					for _, p := range []*Pass{d.enter(), d.enter(), d.enter()} {
						end(p)
					}
				}
				if s := d.Snapshot(); s.Parallel != 0 {
					t.Fatalf("%+v", s)
				}
				d.is(HalfOpen)
				full := []*Pass{d.enter(), d.enter(), d.enter()}
				d.refused()
				for _, p := range full {
					p.Leave(Success)
				}
				d.is(Closed)
			})
		})
	}
}

func TestProbesThatHangDoNotKeepTheBreakerHalfOpen(t *testing.T) {
	in(t, DefaultSettings(), func(t *testing.T, d *desk) {
		d.call(20, Failure)
		time.Sleep(15 * time.Second)
		hanging := []*Pass{d.enter(), d.enter(), d.enter()}
		time.Sleep(time.Minute - 1)
		d.refused()
		time.Sleep(time.Nanosecond)
		again := []*Pass{d.enter(), d.enter(), d.enter()}
		d.refused()
		for _, p := range hanging { // gives back no permit of the second round
			p.Leave(Neutral)
		}
		d.refused()
		for _, p := range again {
			p.Leave(Success)
		}
		d.is(Closed)
	})
}

func TestCallsFromBeforeTheOutageDoNotCountAfterIt(t *testing.T) {
	in(t, DefaultSettings(), func(t *testing.T, d *desk) {
		var old []*Pass
		for range 60 {
			old = append(old, d.enter())
		}
		d.call(20, Failure)
		time.Sleep(15 * time.Second)
		probe := d.enter()
		for _, p := range old[:30] {
			p.Leave(Failure)
		}
		d.is(HalfOpen)
		probe.Leave(Success)
		d.call(2, Success)
		for _, p := range old[30:] {
			p.Leave(Failure)
		}
		d.is(Closed)
	})
}

func TestOldFailuresAreForgotten(t *testing.T) {
	in(t, DefaultSettings(), func(t *testing.T, d *desk) {
		d.call(19, Failure)
		if m := d.Snapshot().Models[0]; m.Calls != 19 || m.FailurePercent != 100 {
			t.Fatalf("%+v", m)
		}
		time.Sleep(45 * time.Second)
		if m := d.Snapshot().Models[0]; m.Calls != 0 || m.FailurePercent != 0 {
			t.Fatalf("still in the window: %+v", m)
		}
		d.call(19, Failure)
		d.is(Closed)
		time.Sleep(20 * time.Second) // still within the window
		d.call(1, Failure)
		d.is(Open)
	})
}

func TestAProviderThatBreaksEveryStreamFailsWhole(t *testing.T) {
	s := DefaultSettings()
	s.FailurePercent = 90
	for name, length := range map[string]time.Duration{"short streams": time.Second, "longer than the window": time.Minute} {
		t.Run(name, func(t *testing.T) {
			in(t, s, func(t *testing.T, d *desk) {
				var passes []*Pass
				for range 20 {
					p := d.enter()
					p.Answered(time.Millisecond, Success)
					passes = append(passes, p)
				}
				time.Sleep(length)
				for _, p := range passes {
					p.Leave(Failure)
				}
				d.wants("closed>open:failures")
				if c := d.told[0]; c.FailurePercent > 100 || c.Calls != 20 {
					t.Fatalf("%+v", c)
				}
			})
		})
	}
}

func TestAFailureIsCountedOnce(t *testing.T) {
	in(t, DefaultSettings(), func(t *testing.T, d *desk) {
		p := d.enter()
		p.Answered(time.Millisecond, Failure)
		p.Answered(time.Millisecond, Failure)
		p.Leave(Failure)
		p.Leave(Failure)
		if m := d.Snapshot().Models[0]; m.Calls != 1 {
			t.Fatalf("%+v", m)
		}
	})
}

func TestSlownessOpens(t *testing.T) {
	s := DefaultSettings()
	slow := func(d *desk, n int, firstByte time.Duration) {
		for range n {
			p := d.enter()
			p.Answered(firstByte, Success)
			p.Leave(Success)
		}
	}
	for name, c := range map[string]struct {
		slowAfter    time.Duration
		slow, failed int
		firstByte    time.Duration
		told         string
	}{
		"most were slow":         {time.Second, 11, 9, time.Second + 1, "closed>open:slow"},
		"most failed":            {time.Second, 9, 11, time.Second + 1, "closed>open:failures"},
		"just in time":           {time.Second, 20, 0, time.Second, ""},
		"slowness is no concern": {0, 20, 0, time.Hour, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s.SlowAfter = c.slowAfter
			in(t, s, func(t *testing.T, d *desk) {
				slow(d, c.slow, c.firstByte)
				d.call(c.failed, Failure)
				if c.told == "" {
					d.wants()
				} else {
					d.wants(c.told)
				}
			})
		})
	}
}

func TestModelsHaveTheirOwnBreakers(t *testing.T) {
	in(t, DefaultSettings(), func(t *testing.T, d *desk) {
		d.call(20, Failure)
		d.refused()
		p, err := d.Enter(context.Background(), 1, "another")
		if err != nil {
			t.Fatal(err)
		}
		p.Leave(Success)
	})
}
