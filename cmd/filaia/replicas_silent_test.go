package main

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/openaitest"
)

// shortGrace lets the others take a silent replica's leases after two seconds.
const shortGrace = "FILAIA_LEASE_GRACE=2s"

func TestTheLeasesOfAReplicaThatNeverReturnsGoToTheOthers(t *testing.T) {
	t.Parallel()
	p := provider(t, openaitest.Options{})
	f := newFleet(t, 2, p.URL(), shortGrace)
	in, out := f.cost()
	const calls = 120
	tenant, key := f.tenantOn("defunto", blocking(calls*in, calls*out))
	if r := f.replicas[0].chat(key, question); judge(r) != served {
		t.Fatalf("%d %s %v", r.status, r.body, r.err)
	}
	f.committed(tenant, 1)
	if b := f.bucket(tenant); b.LeasedIn == 0 {
		t.Fatalf("nothing is leased: %+v", b)
	}
	f.replicas[0].kill()
	start := time.Now()
	c := f.gather(key, 8, 1)
	c.done()
	t.Logf("used up %s after the kill; told to try again: %d", time.Since(start), c.n(tryAgain))
	if c.n(served) != calls-1 || c.n(away)+c.n(broken) != 0 {
		t.Errorf("%d calls were answered by the one that is left, want %d; %d were told that the database is away", c.n(served), calls-1, c.n(away))
	}
	f.committed(tenant, calls)
	f.full(tenant)
	f.agree()
}

// TestAReplicaThatWakesSpendsNothingOfALeaseThatWasTakenBack stops a replica with a lease and a call under way for longer
// than its lease lives, lets the other one use up the quota, and wakes it.
func TestAReplicaThatWakesSpendsNothingOfALeaseThatWasTakenBack(t *testing.T) {
	t.Parallel()
	p := provider(t, openaitest.Options{})
	f := newFleet(t, 2, p.URL(), shortGrace)
	in, out := f.cost()
	const calls = 60
	tenant, key := f.tenantOn("sono", blocking(calls*in, calls*out))
	_, otherKey := f.tenantOn("vizinho", blocking(1_000_000, 1_000_000))
	sleeper := f.replicas[0]

	p.Next(openaitest.Behaviour{Pause: time.Second})
	begun, late := make(chan struct{}, 1), make(chan reply, 1)
	go func() {
		late <- sleeper.chatNoting(key, strings.Replace(question, "{", `{"stream":true,"stream_options":{"include_usage":true},`, 1), begun)
	}()
	<-begun
	f.must(sleeper.cmd.Process.Signal(syscall.SIGSTOP))
	defer sleeper.cmd.Process.Signal(syscall.SIGCONT) //nolint:errcheck // it may have ended
	c := f.gather(key, 8, 1)
	c.done()
	if c.n(served) != calls {
		t.Errorf("%d calls were answered by the other replica, want %d", c.n(served), calls)
	}
	f.committed(tenant, calls)
	f.full(tenant)

	f.must(sleeper.cmd.Process.Signal(syscall.SIGCONT))
	if r := sleeper.chat(key, question); judge(r) != usedUp {
		t.Errorf("the one that woke says %d %s %v", r.status, r.body, r.err)
	}
	r := <-late
	if judge(r) != served {
		t.Fatalf("the call that was under way ended with %d %s %v", r.status, r.body, r.err)
	}
	f.committed(tenant, calls+1)
	b := f.bucket(tenant)
	if b.OverrunIn != in || b.OverrunOut != out || b.UsedIn != b.LimitIn+in || b.UsedOut != b.LimitOut+out || b.LeasedIn+b.LeasedOut != 0 {
		t.Errorf("%+v; the call that came late had %d and %d tokens", b, in, out)
	}
	const rows = `SELECT coalesce(sum(tokens_in), 0) FROM quota_overruns WHERE tenant_id = $1 AND cause = 'late'`
	if n := f.number(rows, tenant); n != in {
		t.Errorf("%d input tokens are put down as late, want %d", n, in)
	}
	for _, s := range f.replicas {
		if r := s.chat(otherKey, question); judge(r) != served {
			t.Errorf("another customer is answered %d %s %v", r.status, r.body, r.err)
		}
		if r := s.chat(key, question); judge(r) != usedUp {
			t.Errorf("a call above the limit is answered %d %s %v", r.status, r.body, r.err)
		}
	}
}

// TestAProviderThatReportsMoreThanWasHeldLeavesNothingNegative has a provider tell thrice what a call may use.
func TestAProviderThatReportsMoreThanWasHeldLeavesNothingNegative(t *testing.T) {
	t.Parallel()
	p := provider(t, openaitest.Options{})
	f := newFleet(t, 1, p.URL())
	s := f.replicas[0]
	in, out := f.cost()
	tenant, key := f.tenantOn("excesso", blocking(2*in, 2*out))
	p.Next(openaitest.Behaviour{Usage: &openaitest.Usage{PromptTokens: int(5 * in), CompletionTokens: int(4 * out)}})
	r := s.chat(key, question)
	if judge(r) != served || gjson.Get(r.body, "usage.prompt_tokens").Int() != 5*in {
		t.Fatalf("%d %s %v", r.status, r.body, r.err)
	}
	wantNothingLeft := func(r reply) {
		t.Helper()
		for _, name := range []string{"X-Fila-Quota-Remaining-Input", "X-Fila-Quota-Remaining-Output"} {
			if left := r.header.Get(name); strings.HasPrefix(left, "-") {
				t.Errorf("%s: %s", name, left)
			}
		}
	}
	wantNothingLeft(r)
	f.committed(tenant, 1)
	if b := f.bucket(tenant); b.UsedIn != 5*in || b.UsedOut != 4*out || b.OverrunIn != 3*in || b.OverrunOut != 2*out {
		t.Errorf("%+v, of %d and %d a call", b, in, out)
	}
	for range 3 {
		r = s.chat(key, question)
		wantNothingLeft(r)
		if judge(r) != usedUp || strings.Contains(r.body, " -") {
			t.Errorf("the next call is answered %d %s %v", r.status, r.body, r.err)
		}
	}
	const rows = `SELECT coalesce(sum(tokens_in + tokens_out), 0) FROM quota_overruns WHERE tenant_id = $1 AND cause = 'reported'`
	if n := f.number(rows, tenant); n != 3*in+2*out {
		t.Errorf("%d tokens are put down as reported, want %d", n, 3*in+2*out)
	}
	eventually(t, "a metric tells of them", func() bool {
		return strings.Contains(s.metrics(http.Header{}), fmt.Sprintf("filaia_overrun_tokens_total %d\n", 3*in+2*out))
	})
	eventually(t, "the log tells of them", func() bool { return strings.Contains(s.output.String(), "tokens beyond a limit") })
	if u := s.usage(tenant); u.InputTokens != 5*in || u.LimitInput != 2*in {
		t.Errorf("%+v", u)
	}
}
