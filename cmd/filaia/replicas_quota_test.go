package main

import (
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/openaitest"
)

func TestThreeReplicasAnswerExactlyTheQuotasCalls(t *testing.T) {
	t.Parallel()
	p := provider(t, openaitest.Options{})
	f := newFleet(t, 3, p.URL())
	in, out := f.cost()
	const calls = 601
	tenant, key := f.tenantOn("exato", blocking(calls*in, calls*out))
	c := f.gather(key, 64, 0, 1, 2)
	c.done()
	if c.n(served) != calls || c.n(usedUp) != 64 || c.n(broken) != 0 {
		t.Errorf("%d calls were answered, %d refused, %d broke; want exactly %d, 64 and none", c.n(served), c.n(usedUp), c.n(broken), calls)
	}
	f.committed(tenant, calls)
	c.recorded(tenant)
	f.full(tenant)
	if got := p.Stats().Answered; got != calls+1 {
		t.Errorf("the provider answered %d calls, want %d and the one that measured", got, calls)
	}
	f.agree()
	t.Logf("told to try again: %d; that the database is away: %d", c.n(tryAgain), c.n(away))
}

// TestAnIdleLeaseGoesWhereItIsNeeded leaves a quarter of a quota with one replica and asks the other for all of it.
func TestAnIdleLeaseGoesWhereItIsNeeded(t *testing.T) {
	t.Parallel()
	p := provider(t, openaitest.Options{})
	f := newFleet(t, 2, p.URL())
	in, out := f.cost()
	const calls = 100
	tenant, key := f.tenantOn("parado", blocking(calls*in, calls*out))
	idle, busy := f.replicas[0], f.replicas[1]
	if r := idle.chat(key, question); judge(r) != served {
		t.Fatalf("%d %s %v", r.status, r.body, r.err)
	}
	f.committed(tenant, 1)
	if b := f.bucket(tenant); b.LeasedIn == 0 {
		t.Fatalf("nothing is leased: %+v", b)
	}
	slowest := time.Duration(0)
	for n := 1; n < calls; n++ {
		start := time.Now()
		if r := busy.chat(key, question); judge(r) != served {
			t.Fatalf("call %d of %d: %d %s %v", n+1, calls, r.status, r.body, r.err)
		}
		slowest = max(slowest, time.Since(start))
	}
	for _, s := range f.replicas {
		if r := s.chat(key, question); judge(r) != usedUp {
			t.Errorf("one call too many: %d %s %v", r.status, r.body, r.err)
		}
	}
	f.committed(tenant, calls)
	f.full(tenant)
	f.agree()
	t.Logf("the slowest call took %s", slowest)
}
