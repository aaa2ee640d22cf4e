package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	_ "github.com/lib/pq"

	"github.com/fila-ia/filaia/internal/gateway"
	"github.com/fila-ia/filaia/internal/quota"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
	"github.com/fila-ia/filaia/store"
	"github.com/fila-ia/filaia/store/storetest"
)

// epoch is a database with replicas whose clock the test sets.
type epoch struct {
	t     *testing.T
	ctx   context.Context
	clock atomic.Int64 // Unix nanoseconds
	db    *sqlx.DB
	books *store.Store
	made  int
}

func newEpoch(t *testing.T, now string) *epoch {
	t.Helper()
	e := &epoch{t: t, ctx: tenancy.WithActor(t.Context(), tenancy.Actor{Label: "gestora@empresa.com.br"}), db: storetest.Open(t)}
	e.set(now)
	e.books = store.New(e.db.DB, e.now)
	return e
}

func (e *epoch) now() time.Time { return time.Unix(0, e.clock.Load()).UTC() }

func (e *epoch) set(now string) {
	e.t.Helper()
	at, err := time.Parse(time.RFC3339, now)
	e.must(err)
	e.clock.Store(at.UnixNano())
}

func (e *epoch) must(err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatal(err)
	}
}

func (e *epoch) plan(terms tenancy.Terms) int64 {
	e.t.Helper()
	e.made++
	slug := fmt.Sprint("plano-", e.made)
	plan, err := e.books.CreatePlan(e.ctx, tenancy.PlanDraft{Slug: slug, Name: slug, Terms: terms}, true)
	e.must(err)
	return plan.ID
}

func (e *epoch) customer(plan int64, zone string, day int) (tenant int64, key tenancy.Secret) {
	e.t.Helper()
	made, err := e.books.CreateTenant(e.ctx, tenancy.TenantDraft{Name: "Padaria", TimeZone: zone, BillingDay: day, PlanID: plan})
	e.must(err)
	_, key, err = e.books.CreateKey(e.ctx, tenancy.KeyDraft{TenantID: made.ID, Name: "site"})
	e.must(err)
	return made.ID, key
}

// number runs a query that gives one number.
func (e *epoch) number(query string, args ...any) (n int64) {
	e.t.Helper()
	e.must(e.db.Get(&n, query, args...))
	return n
}

// twin is what one replica knows: callers, leases and how it commits.
type twin struct {
	e       *epoch
	callers *gateway.Callers
	quota   *quota.Manager
	ledger  *store.UsageCommitter
}

func (e *epoch) twin(name string) *twin {
	const grace = time.Hour
	m := quota.NewManager(e.books.Leases(name, grace, nil), grace, discardLog(), time.Now)
	return &twin{e: e, callers: gateway.NewCallers(e.books, e.now), quota: m,
		ledger: e.books.UsageCommitter(name, func(c store.Committed) { m.Committed(c.PeriodID, c.Lease) })}
}

func (w *twin) caller(key tenancy.Secret) *tenancy.Caller {
	w.e.t.Helper()
	c, err := w.callers.Authenticate(w.e.ctx, key.Reveal())
	w.e.must(err)
	return c
}

// record commits a call of one tenth of the plans here.
func (w *twin) record(c *tenancy.Caller, h quota.Hold) {
	w.e.t.Helper()
	event := usage.Event{ID: uuid.Must(uuid.NewV7()), TenantID: c.TenantID, KeyID: c.KeyID, PeriodID: c.PeriodID, Model: "gpt-4.1-nano",
		Endpoint: "chat.completions", CreatedAt: w.e.now(), Held: true, Tokens: usage.Tokens{Input: 10, Output: 10}}
	h.Settle(quota.Pair{In: 10, Out: 10})
	w.e.must(w.ledger.CommitUsage(w.e.ctx, []usage.Event{event}))
}

// hold gives up soon what another replica would have to hand back: nobody passes the word on here.
func (w *twin) hold(c *tenancy.Caller) (quota.Hold, error) {
	ctx, cancel := context.WithTimeout(w.e.ctx, time.Second)
	defer cancel()
	return w.quota.Reserve(ctx, c.PeriodID, quota.Want{In: 10, Out: 10})
}

type periodState struct {
	ID       int64     `db:"id"`
	StartsAt time.Time `db:"starts_at"`
	EndsAt   time.Time `db:"ends_at"`
	Limit    int64     `db:"limit_in"`
	Used     int64     `db:"used_in"`
	Overrun  int64     `db:"overrun_in"`
	Hard     bool      `db:"hard"`
}

// periods are a tenant's, in order; they must follow each other without a gap.
func (e *epoch) periods(tenant int64) (list []periodState) {
	e.t.Helper()
	e.must(e.db.Select(&list, `SELECT p.id, p.starts_at, p.ends_at, b.limit_in, b.used_in, b.overrun_in, b.hard
		FROM billing_periods p JOIN quota_buckets b ON b.period_id = p.id WHERE p.tenant_id = $1 ORDER BY p.starts_at`, tenant))
	for n := 1; n < len(list); n++ {
		if !list[n].StartsAt.Equal(list[n-1].EndsAt) {
			e.t.Errorf("period %d ends at %s, the next begins at %s", list[n-1].ID, list[n-1].EndsAt, list[n].StartsAt)
		}
	}
	return list
}

func TestPeriodsBeginAndEndWithTheCustomersDay(t *testing.T) {
	for name, c := range map[string]struct {
		zone       string
		day        int
		now        string
		start, end string
	}{
		"28 February 23:30 in São Paulo is February": {"America/Sao_Paulo", 1, "2027-03-01T02:30:00Z", "2027-02-01T03:00:00Z", "2027-03-01T03:00:00Z"},
		"a midnight that does not exist":             {"America/Sao_Paulo", 4, "2018-11-04T03:00:00Z", "2018-11-04T03:00:00Z", "2018-12-04T02:00:00Z"},
		"the second before it":                       {"America/Sao_Paulo", 4, "2018-11-04T02:59:59Z", "2018-10-04T03:00:00Z", "2018-11-04T03:00:00Z"},
		"day 31 in February":                         {"America/Sao_Paulo", 31, "2028-02-29T12:00:00Z", "2028-02-29T03:00:00Z", "2028-03-31T03:00:00Z"},
		"a zone of five and three quarter hours":     {"Asia/Kathmandu", 1, "2026-11-30T18:15:00Z", "2026-11-30T18:15:00Z", "2026-12-31T18:15:00Z"},
		"the second before its midnight":             {"Asia/Kathmandu", 1, "2026-11-30T18:14:59Z", "2026-10-31T18:15:00Z", "2026-11-30T18:15:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEpoch(t, c.now)
			tenant, key := e.customer(e.plan(blocking(100, 100)), c.zone, c.day)
			w := e.twin("um")
			caller := w.caller(key)
			h, err := w.hold(caller)
			e.must(err)
			w.record(caller, h)
			list := e.periods(tenant)
			if len(list) != 1 || list[0].StartsAt.UTC().Format(time.RFC3339) != c.start || list[0].EndsAt.UTC().Format(time.RFC3339) != c.end || list[0].Used != 10 {
				t.Errorf("%+v, want %s to %s", list, c.start, c.end)
			}
		})
	}
}

// TestCallsUnderWayAtMidnightCountWhereTheyBegan has two replicas pass the tenant's midnight while calls hold tokens.
func TestCallsUnderWayAtMidnightCountWhereTheyBegan(t *testing.T) {
	e := newEpoch(t, "2026-12-01T02:59:59Z") // one second before December in São Paulo
	tenant, key := e.customer(e.plan(blocking(100, 100)), "America/Sao_Paulo", 1)
	twins := []*twin{e.twin("um"), e.twin("dois")}
	type held struct {
		w *twin
		c *tenancy.Caller
		h quota.Hold
	}
	var before []held
	for n := range 6 {
		w := twins[n%2]
		c := w.caller(key)
		h, err := w.hold(c)
		e.must(err)
		before = append(before, held{w, c, h})
	}
	e.set("2026-12-01T03:00:00Z")
	var mu sync.Mutex
	var after []held
	var all sync.WaitGroup
	var refused atomic.Int64
	for n := range 24 { // both open the new period at once
		w := twins[n%2]
		all.Go(func() {
			c := w.caller(key)
			h, err := w.hold(c)
			if err != nil {
				refused.Add(1)
				return
			}
			w.record(c, h)
			mu.Lock()
			after = append(after, held{w, c, h})
			mu.Unlock()
		})
	}
	all.Wait()
	for _, b := range before {
		b.w.record(b.c, b.h)
	}
	list := e.periods(tenant)
	if len(list) != 2 || list[0].Used != 60 || list[1].Used != int64(10*len(after)) || list[0].Overrun+list[1].Overrun != 0 {
		t.Fatalf("%d calls before midnight, %d after: %+v", len(before), len(after), list)
	}
	for _, a := range after {
		if a.c.PeriodID != list[1].ID {
			t.Errorf("a call after midnight counts in period %d", a.c.PeriodID)
		}
	}
	// What one replica still leases idly, the other may have refused for: ask the rest of whoever has it.
	for _, w := range twins {
		for {
			c := w.caller(key)
			h, err := w.hold(c)
			if err != nil {
				break
			}
			w.record(c, h)
		}
		w.quota.Close(e.ctx)
	}
	w := e.twin("três")
	for range 10 {
		c := w.caller(key)
		if h, err := w.hold(c); err == nil {
			w.record(c, h)
		}
	}
	if list = e.periods(tenant); len(list) != 2 || list[1].Used != 100 || list[1].Overrun != 0 {
		t.Errorf("the new period is not used to the token: %+v", list)
	}
}

// TestAClockThatIsSetBackOpensNoPeriod sets the clock back an hour, over the beginning of the tenant's first period.
func TestAClockThatIsSetBackOpensNoPeriod(t *testing.T) {
	e := newEpoch(t, "2026-12-01T03:10:00Z")
	tenant, key := e.customer(e.plan(blocking(100, 100)), "America/Sao_Paulo", 1)
	first := e.twin("um").caller(key)
	e.set("2026-12-01T02:10:00Z")
	for range 5 {
		w := e.twin("um") // what a replica remembers would hide what the database says
		c := w.caller(key)
		if c.PeriodID != first.PeriodID {
			t.Fatalf("a clock that was set back counts in period %d, not in %d", c.PeriodID, first.PeriodID)
		}
		h, err := w.hold(c)
		e.must(err)
		w.record(c, h)
	}
	e.set("2026-12-01T03:20:00Z")
	if c := e.twin("um").caller(key); c.PeriodID != first.PeriodID {
		t.Errorf("afterwards it is period %d", c.PeriodID)
	}
	if list := e.periods(tenant); len(list) != 1 || list[0].Used != 50 {
		t.Errorf("%+v", list)
	}
}

// TestAClockThatGoesBackOverAPeriodsEndKeepsEachPeriodsTerms has the clock of one replica be ahead of the other's where a
// scheduled plan takes effect.
func TestAClockThatGoesBackOverAPeriodsEndKeepsEachPeriodsTerms(t *testing.T) {
	e := newEpoch(t, "2026-11-15T12:00:00Z")
	hard, soft := e.plan(blocking(100, 100)), e.plan(charging(50, 50))
	tenant, key := e.customer(hard, "America/Sao_Paulo", 1)
	november := e.twin("um").caller(key)
	change, err := e.books.ChangePlan(e.ctx, tenant, soft)
	e.must(err)
	if change.Timing != tenancy.ChangeScheduled {
		t.Fatalf("%+v", change)
	}
	e.set("2026-12-01T03:10:00Z")
	december := e.twin("um").caller(key)
	if december.PeriodID == november.PeriodID || december.Terms.Overage != tenancy.Charge || december.Terms.InputTokens != 50 {
		t.Fatalf("%+v", december)
	}
	for range 3 {
		e.set("2026-12-01T02:10:00Z")
		if c := e.twin("dois").caller(key); c.PeriodID != november.PeriodID || c.Terms.Overage != tenancy.Block || c.Terms.InputTokens != 100 {
			t.Fatalf("before midnight a call is of period %d, which %ss above %d", c.PeriodID, c.Terms.Overage, c.Terms.InputTokens)
		}
		e.set("2026-12-01T03:10:00Z")
		if c := e.twin("dois").caller(key); c.PeriodID != december.PeriodID || c.Terms.Overage != tenancy.Charge {
			t.Fatalf("after midnight a call is of period %d, which %ss", c.PeriodID, c.Terms.Overage)
		}
	}
	if list := e.periods(tenant); len(list) != 2 || !list[0].Hard || list[1].Hard {
		t.Errorf("%+v", list)
	}
}
