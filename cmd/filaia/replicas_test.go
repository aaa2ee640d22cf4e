package main

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/store"
	"github.com/fila-ia/filaia/store/storetest"
)

// fleet is replicas on one PostgreSQL, each a process with a data folder of its own.
type fleet struct {
	t        *testing.T
	ctx      context.Context
	books    *store.Store // the database beside the replicas
	replicas []*server
}

// newFleet starts replicas on a fresh database of the test's server.
func newFleet(t *testing.T, replicas int, providerURL string, env ...string) *fleet {
	t.Helper()
	return fleetOn(t, storetest.DB(t), replicas, providerURL, env...)
}

// fleetOn starts replicas on the database at an address.
func fleetOn(t *testing.T, databaseURL string, replicas int, providerURL string, env ...string) *fleet {
	t.Helper()
	f := &fleet{t: t, ctx: tenancy.WithActor(context.Background(), tenancy.Actor{Label: "gestora@empresa.com.br"})}
	var err error
	if f.books, err = store.Open(f.ctx, databaseURL); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.books.Close() })
	for range replicas {
		i := newInstall(t, providerURL)
		i.env = append(i.env, "FILAIA_SECRET_KEY="+strings.Repeat("5a", 32), "DATABASE_URL="+databaseURL)
		i.env = append(i.env, env...)
		f.replicas = append(f.replicas, i.serve())
	}
	t.Cleanup(client.CloseIdleConnections) // a server that stops waits for connections on which nothing was asked yet
	return f
}

// restart serves again from the data folder of a replica that has ended.
func (f *fleet) restart(n int) { f.replicas[n] = f.replicas[n].serve() }

func (f *fleet) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func blocking(in, out int64) tenancy.Terms {
	return tenancy.Terms{Price: 10_000_000, InputTokens: in, OutputTokens: out, Overage: tenancy.Block}
}

func charging(in, out int64) tenancy.Terms {
	return tenancy.Terms{Price: 10_000_000, InputTokens: in, OutputTokens: out, Overage: tenancy.Charge, OveragePrice: 100}
}

// plan publishes a plan.
func (f *fleet) plan(slug string, terms tenancy.Terms) tenancy.Plan {
	f.t.Helper()
	plan, err := f.books.CreatePlan(f.ctx, tenancy.PlanDraft{Slug: slug, Name: slug, Terms: terms}, true)
	f.must(err)
	return plan
}

// tenantOn makes a tenant on a plan of its own, and a key.
func (f *fleet) tenantOn(slug string, terms tenancy.Terms) (tenant int64, key string) {
	f.t.Helper()
	made, err := f.books.CreateTenant(f.ctx, tenancy.TenantDraft{Name: "Cliente " + slug, TimeZone: "America/Sao_Paulo", BillingDay: 1,
		PlanID: f.plan(slug, terms).ID})
	f.must(err)
	_, key = f.key(tenancy.KeyDraft{TenantID: made.ID, Name: "API"})
	return made.ID, key
}

func (f *fleet) key(d tenancy.KeyDraft) (id int64, secret string) {
	f.t.Helper()
	key, s, err := f.books.CreateKey(f.ctx, d)
	f.must(err)
	return key.ID, s.Reveal()
}

// cost is what the question costs: input and output tokens.
func (f *fleet) cost() (in, out int64) {
	f.t.Helper()
	_, key := f.tenantOn("medir", blocking(100_000, 100_000))
	return measure(f.t, f.replicas[0], key, question)
}

// number runs a query that gives one number.
func (f *fleet) number(query string, args ...any) (n int64) {
	f.t.Helper()
	f.must(f.books.DB().QueryRow(query, args...).Scan(&n))
	return n
}

// bucket is how a tenant's own period stands.
type bucketState struct{ LimitIn, UsedIn, LeasedIn, OverrunIn, LimitOut, UsedOut, LeasedOut, OverrunOut int64 }

func (f *fleet) bucket(tenant int64) (b bucketState) {
	f.t.Helper()
	const query = `SELECT limit_in, used_in, leased_in, overrun_in, limit_out, used_out, leased_out, overrun_out FROM quota_buckets b
		JOIN billing_periods p ON p.id = b.period_id JOIN subscriptions s ON s.id = p.subscription_id
		WHERE b.tenant_id = $1 AND s.scope = 'tenant' ORDER BY p.starts_at DESC LIMIT 1`
	f.must(f.books.DB().QueryRow(query, tenant).Scan(&b.LimitIn, &b.UsedIn, &b.LeasedIn, &b.OverrunIn, &b.LimitOut, &b.UsedOut, &b.LeasedOut, &b.OverrunOut))
	return b
}

// full fails the test unless the quota is used up to the token and not passed.
func (f *fleet) full(tenant int64) {
	f.t.Helper()
	if b := f.bucket(tenant); b.UsedIn != b.LimitIn || b.UsedOut != b.LimitOut || b.OverrunIn+b.OverrunOut != 0 {
		f.t.Errorf("the quota is not used to the token: %+v", b)
	}
}

// agree checks the books: events, rollups, buckets and leases.
func (f *fleet) agree() {
	f.t.Helper()
	var ok bool
	f.must(f.books.DB().QueryRow(booksAgree).Scan(&ok))
	if !ok {
		f.t.Error("the books do not agree")
	}
}

// committed waits until so many events of a tenant are recorded, and no more.
func (f *fleet) committed(tenant, calls int64) {
	f.t.Helper()
	const query = `SELECT count(*) FROM usage_events WHERE tenant_id = $1`
	eventually(f.t, "all calls are committed", func() bool { return f.number(query, tenant) >= calls || f.t.Failed() })
	if n := f.number(query, tenant); n != calls {
		f.t.Errorf("%d calls are recorded, want %d", n, calls)
	}
}

// verdict is what became of a call.
type verdict int

const (
	served   verdict = iota
	usedUp           // refused for good: the quota is used up
	tryAgain         // refused for now: others hold what is missing
	away             // refused for now: the database cannot be asked
	broken           // no answer, or not to its end
	odd              // anything else
)

func judge(r reply) verdict {
	code := gjson.Get(r.body, "error.code").Str
	switch {
	case r.err != nil, r.status == 0:
		return broken
	case r.status == http.StatusOK && strings.HasPrefix(r.body, "data: ") && !strings.HasSuffix(r.body, "[DONE]\n\n"):
		return broken
	case r.status == http.StatusOK:
		return served
	case r.status == http.StatusTooManyRequests && code == "insufficient_quota" && r.header.Get("X-Should-Retry") == "false":
		return usedUp
	case r.status == http.StatusTooManyRequests && code == "rate_limit_exceeded" && r.header.Get("Retry-After") != "":
		return tryAgain
	case r.status == http.StatusServiceUnavailable && code == "server_is_overloaded" && r.header.Get("Retry-After") != "":
		return away
	}
	return odd
}

// crowd is callers of one key who call without a pause until they are told that the quota is used up. Calls that break
// or are to be tried again are made again.
type crowd struct {
	f       *fleet
	key     string
	counts  [odd + 1]atomic.Int64
	over    atomic.Bool
	callers sync.WaitGroup

	mu       sync.Mutex
	answered map[string]int64 // request id → tokens
}

// gather starts callers, spread over some replicas; every other one streams.
func (f *fleet) gather(key string, callers int, replicas ...int) *crowd {
	c := &crowd{f: f, key: key, answered: map[string]int64{}}
	for n := range callers {
		i := f.replicas[replicas[n%len(replicas)]].install
		body := question
		if n/len(replicas)%2 == 0 {
			body = strings.Replace(body, "{", `{"stream":true,"stream_options":{"include_usage":true},`, 1)
		}
		c.callers.Go(func() {
			for !c.over.Load() && c.call(i, body) != usedUp {
				continue
			}
		})
	}
	f.t.Cleanup(c.stop)
	return c
}

func (c *crowd) call(i *install, body string) verdict {
	r := i.chat(c.key, body)
	v := judge(r)
	c.counts[v].Add(1)
	switch v {
	case served:
		c.mu.Lock()
		c.answered[r.header.Get("X-Request-Id")] = totalTokens(r.body)
		c.mu.Unlock()
	case broken, tryAgain, away:
		time.Sleep(20 * time.Millisecond) // as a client would, only sooner
	case odd:
		c.f.t.Errorf("%d %s %v", r.status, r.body, r.err)
		return usedUp
	}
	return v
}

func (c *crowd) n(v verdict) int64 { return c.counts[v].Load() }

// more waits until so many more calls are answered.
func (c *crowd) more(n int64) {
	c.f.t.Helper()
	goal := c.n(served) + n
	eventually(c.f.t, "calls are answered", func() bool { return c.n(served) >= goal || c.f.t.Failed() })
}

// done waits until everybody was told that the quota is used up.
func (c *crowd) done() {
	c.f.t.Helper()
	c.doneWithin(4 * time.Minute)
}

func (c *crowd) doneWithin(limit time.Duration) {
	c.f.t.Helper()
	ended := make(chan struct{})
	go func() { c.callers.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(limit):
		c.f.t.Fatalf("the quota is never used up: %d answered, %d broken, %d to be tried again, %d while the database is away", c.n(served), c.n(broken), c.n(tryAgain), c.n(away))
	}
}

func (c *crowd) stop() {
	c.over.Store(true)
	c.callers.Wait()
}

// recorded checks that every answered call is recorded once, with its tokens, and gives how many events there are beside:
// of calls whose answers were on their way when something broke.
func (c *crowd) recorded(tenant int64) (beside int) {
	t := c.f.t
	t.Helper()
	rows, err := c.f.books.DB().Query(`SELECT request_id, input_tokens + output_tokens FROM usage_events WHERE tenant_id = $1`, tenant)
	c.f.must(err)
	defer rows.Close()
	found := map[string]int64{}
	for rows.Next() {
		var id string
		var tokens int64
		c.f.must(rows.Scan(&id, &tokens))
		if _, twice := found[id]; twice {
			t.Errorf("call %s is recorded twice", id)
		}
		found[id] = tokens
	}
	c.f.must(rows.Err())
	for id, tokens := range c.answered {
		if got, ok := found[id]; !ok || got != tokens {
			t.Errorf("call %s was answered with %d tokens; recorded: %v with %d", id, tokens, ok, got)
		}
	}
	return len(found) - len(c.answered)
}

// ready tells whether a replica reaches its database.
func (s *server) ready() bool {
	res, err := http.Get(s.url() + "/readyz")
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode == http.StatusOK
}
