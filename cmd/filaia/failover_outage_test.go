package main

import (
	"cmp"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/openaitest"
	"github.com/fila-ia/filaia/internal/redistest"
)

// outageTime is how long PostgreSQL is away; FILAIA_TEST_OUTAGE=60s makes it longer.
func outageTime(t *testing.T) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(cmp.Or(os.Getenv("FILAIA_TEST_OUTAGE"), "6s"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestPostgreSQLAwayUnderCallsOfTwoReplicas restarts, kills, freezes and stops PostgreSQL under two replicas that spend one
// quota, which is then used up to the token: no lease is lost with an answer that was lost.
func TestPostgreSQLAwayUnderCallsOfTwoReplicas(t *testing.T) {
	t.Parallel()
	p := provider(t, openaitest.Options{Latency: 10 * time.Millisecond})
	pg := newPostgres(t)
	f := fleetOn(t, urlOf(pg), 2, p.URL())
	in, out := f.cost()
	const calls = 1600
	tenant, key := f.tenantOn("ausente", blocking(calls*in, calls*out))
	c := f.gather(key, 8, 0, 1)
	c.more(100)
	back := func(how string) {
		t.Helper()
		start := time.Now()
		eventually(t, "both replicas are ready after PostgreSQL "+how, func() bool { return f.replicas[0].ready() && f.replicas[1].ready() })
		t.Logf("ready %s after PostgreSQL %s; %d answered, %d broken, %d told to try again, %d that the database is away",
			time.Since(start).Round(time.Millisecond), how, c.n(served), c.n(broken), c.n(tryAgain), c.n(away))
	}

	pg.end(syscall.SIGINT) // fast
	pg.start()
	back("was restarted")
	c.more(50)

	pg.end(syscall.SIGKILL)
	pg.start()
	back("was killed")
	c.more(50)

	thaw := pg.freeze()
	c.more(20) // out of the leases
	for _, s := range f.replicas {
		if r := s.chat("fia_live_0123456789unknown", question); judge(r) != away {
			t.Errorf("a key that nobody can look up was answered with %d %s %v", r.status, r.body, r.err)
		}
	}
	thaw()
	back("was frozen")
	c.more(50)

	pg.end(syscall.SIGKILL)
	over := time.After(outageTime(t))
	c.more(20) // out of the leases
	<-over
	if c.n(away) == 0 {
		t.Error("nobody was told that the database is away")
	}
	pg.start()
	back("was away")
	c.done()
	f.committed(tenant, calls)
	if beside := c.recorded(tenant); c.n(served) != calls || beside != 0 || c.n(broken) != 0 {
		t.Errorf("%d calls were answered, %d recorded beside, %d broke; want exactly %d, none and none", c.n(served), beside, c.n(broken), calls)
	}
	f.full(tenant)
	f.agree()
}

// TestRedisKilledAndFrozenUnderCallsOfTwoReplicas takes away what limits and answers are shared through.
func TestRedisKilledAndFrozenUnderCallsOfTwoReplicas(t *testing.T) {
	t.Parallel()
	p := provider(t, openaitest.Options{Latency: 5 * time.Millisecond})
	redis := redistest.Start(t)
	f := newFleet(t, 2, p.URL(), "REDIS_URL="+redis.URL())
	in, out := f.cost()
	const calls = 600
	terms := blocking(calls*in, calls*out)
	terms.RequestsPerMinute = 1_000_000
	tenant, key := f.tenantOn("sem-redis", terms)
	c := f.gather(key, 8, 0, 1)
	c.more(50)
	redis.Stall()
	c.more(80)
	redis.Resume()
	c.more(50)
	redis.Stop()
	c.more(80)
	redis.Restart()
	c.done()
	if c.n(served) != calls || c.n(broken)+c.n(away) != 0 {
		t.Errorf("%d calls were answered, %d broke, %d heard that the database is away; want %d and none", c.n(served), c.n(broken), c.n(away), calls)
	}
	f.committed(tenant, calls)
	c.recorded(tenant)
	f.full(tenant)
	f.agree()
	if text := f.replicas[0].output.String() + f.replicas[1].output.String(); !strings.Contains(strings.ToLower(text), "redis") {
		t.Error("nobody says that Redis was away")
	}
}
