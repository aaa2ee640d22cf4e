package main

import (
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/openaitest"
)

// TestAReplicaKilledUnderCallsLosesNothing kills one of two replicas that spend one quota, and then both, and uses the
// quota up to the token.
func TestAReplicaKilledUnderCallsLosesNothing(t *testing.T) {
	t.Parallel()
	p := provider(t, openaitest.Options{Latency: 10 * time.Millisecond})
	f := newFleet(t, 2, p.URL())
	in, out := f.cost()
	const calls = 900
	tenant, key := f.tenantOn("queda", blocking(calls*in, calls*out))
	c := f.gather(key, 32, 0, 1)
	c.more(150)
	f.replicas[0].kill()
	c.more(100) // by the other
	f.restart(0)
	c.more(100)
	f.replicas[0].kill()
	f.replicas[1].kill()
	f.restart(1)
	f.restart(0)
	c.done()
	for _, s := range f.replicas {
		if r := s.chat(key, question); judge(r) != usedUp {
			t.Errorf("one call too many: %d %s %v", r.status, r.body, r.err)
		}
	}
	for _, s := range f.replicas {
		s.stop()
	}
	beside := c.recorded(tenant)
	f.full(tenant)
	f.agree()
	if b := f.bucket(tenant); b.LeasedIn+b.LeasedOut != 0 {
		t.Errorf("tokens are still leased after a clean stop: %+v", b)
	}
	interrupted := f.number(`SELECT count(*) FROM usage_events WHERE tenant_id = $1 AND status = 'interrupted'`, tenant)
	if billed := c.n(served) + int64(beside) - interrupted; billed != calls {
		t.Errorf("%d calls are billed, the quota has %d", billed, calls)
	}
	t.Logf("%d calls answered, %d recorded beside, of these %d interrupted; %d broke, %d were told to try again, %d that the database is away",
		c.n(served), beside, interrupted, c.n(broken), c.n(tryAgain), c.n(away))
}
