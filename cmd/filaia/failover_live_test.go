package main

import (
	"syscall"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/openaitest"
)

// TestAStandbyTakesOverUnderCalls kills a primary for good while two replicas spend a quota, and promotes its standby.
func TestAStandbyTakesOverUnderCalls(t *testing.T) {
	t.Parallel()
	p := provider(t, openaitest.Options{Latency: 10 * time.Millisecond})
	primary := newPostgres(t)
	standby := primary.standby()
	f := fleetOn(t, urlOf(primary, standby), 2, p.URL())
	in, out := f.cost()
	const calls = 1000
	tenant, key := f.tenantOn("troca", blocking(calls*in, calls*out))
	c := f.gather(key, 16, 0, 1)
	c.more(200)

	primary.end(syscall.SIGKILL)
	c.more(50) // out of the leases
	if r := f.replicas[0].chat("fia_live_0123456789unknown", question); judge(r) != away {
		t.Errorf("a key that nobody can look up was answered with %d %s %v", r.status, r.body, r.err)
	}
	before := time.Now()
	standby.exec(`SELECT pg_promote()`)
	eventually(t, "both replicas write to the new primary", func() bool { return f.replicas[0].ready() && f.replicas[1].ready() })
	t.Logf("the replicas were ready %s after the promotion", time.Since(before))
	c.done()
	f.committed(tenant, calls)
	if beside := c.recorded(tenant); c.n(served) != calls || beside != 0 || c.n(broken) != 0 {
		t.Errorf("%d calls were answered, %d recorded beside, %d broke; want exactly %d, none and none", c.n(served), beside, c.n(broken), calls)
	}
	f.full(tenant)
	f.agree()
	// The news of changes come from the new primary.
	f.must(f.books.SuspendTenant(f.ctx, tenant))
	for _, s := range f.replicas {
		within(t, 10*time.Second, "a suspended customer is refused", func() bool { return s.chat(key, question).status == 401 })
	}
	t.Logf("told to try again: %d; that the database is away: %d", c.n(tryAgain), c.n(away))
}
