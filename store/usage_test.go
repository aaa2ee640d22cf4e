package store

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/demo"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
	"github.com/fila-ia/filaia/store/storetest"
)

// commit writes events as the ledger does.
func (s *shop) commit(t testing.TB, events ...usage.Event) {
	t.Helper()
	if err := s.UsageCommitter("test", func(Committed) {}).CommitUsage(context.Background(), events); err != nil {
		t.Fatal(err)
	}
}

// earlier moves an event back in time, its id with it.
func earlier(e usage.Event, by time.Duration) usage.Event {
	at := e.CreatedAt.Add(-by).Truncate(time.Millisecond)
	ms := at.UnixMilli()
	for i := range 6 {
		e.ID[i] = byte(ms >> (40 - 8*i))
	}
	e.CreatedAt = at
	return e
}

// secondShop is another customer in the same database.
func secondShop(t testing.TB, first *shop, name string) *shop {
	t.Helper()
	ctx := context.Background()
	s := &shop{Store: first.Store}
	var err error
	if s.tenant, err = s.CreateTenant(ctx, tenancy.TenantDraft{Name: name, TimeZone: "America/Sao_Paulo", BillingDay: 1, PlanID: first.tenant.PlanID}); err != nil {
		t.Fatal(err)
	}
	var secret tenancy.Secret
	if s.key, secret, err = s.CreateKey(ctx, tenancy.KeyDraft{TenantID: s.tenant.ID, Name: "chave de " + name}); err != nil {
		t.Fatal(err)
	}
	if s.caller, err = s.CallerByHash(ctx, secret.Hash()); err != nil {
		t.Fatal(err)
	}
	return s
}

func around(now time.Time) usage.Period {
	return usage.Period{Start: now.Add(-48 * time.Hour), End: now.Add(time.Hour)}
}

func sum(points []usage.Point) usage.Totals { return usage.Series{Points: points}.Sum() }

func TestUsageReadsAgreeWithTheEvents(t *testing.T) {
	a := openShop(t, charging(1000, 1000))
	b := secondShop(t, a, "Oficina")
	ctx, now := context.Background(), time.Now()
	failed := earlier(a.call(0, 0), time.Hour)
	failed.Status, failed.HTTPStatus = usage.Failed, 500
	mini := earlier(a.call(10, 1), 26*time.Hour)
	mini.Model = "gpt-4.1-mini"
	a.commit(t, a.call(100, 20), earlier(a.call(200, 30), 5*time.Minute), failed, mini)
	b.commit(t, b.call(7, 3))

	for name, c := range map[string]struct {
		tenant int64
		want   usage.Totals
	}{
		"all": {0, usage.Totals{Requests: 5, Failures: 1, Tokens: usage.Tokens{Input: 317, Output: 54}, CostUSD: 35}},
		"one": {a.tenant.ID, usage.Totals{Requests: 4, Failures: 1, Tokens: usage.Tokens{Input: 310, Output: 51}, CostUSD: 28}},
	} {
		t.Run(name, func(t *testing.T) {
			hours, err := a.UsageHours(ctx, c.tenant, around(now))
			if err != nil || sum(hours) != c.want {
				t.Errorf("hours %+v, want %+v (%v)", sum(hours), c.want, err)
			}
			models, err := a.UsageByModel(ctx, c.tenant, around(now))
			if err != nil || len(models) != 2 || models[0].Name != "gpt-4.1-nano" || models[1].Tokens.Input != 10 {
				t.Errorf("models %+v (%v)", models, err)
			}
		})
	}
	minutes, err := a.UsageMinutes(ctx, 0, usage.LastMinutes(now.Add(time.Minute), 61))
	if err != nil || sum(minutes).Requests != 3+1 && sum(minutes).Requests != 3 { // the failed call lies on the hour's edge
		t.Errorf("minutes %+v (%v)", minutes, err)
	}
	top, active, err := a.UsageByTenant(ctx, around(now), 1)
	if err != nil || active != 2 || len(top) != 1 || top[0].ID != a.tenant.ID || top[0].Name != "Padaria" || top[0].Requests != 4 {
		t.Errorf("top %+v of %d (%v)", top, active, err)
	}
	keys, err := a.UsageByKey(ctx, 0, around(now))
	if err != nil || len(keys) != 2 || keys[0].Name != "loja" || keys[1].Name != "chave de Oficina" {
		t.Errorf("keys %+v (%v)", keys, err)
	}
}

func TestUsageTellsTheCachesShareByTenantKeyAndModel(t *testing.T) {
	a := openShop(t, charging(1000, 1000))
	b := secondShop(t, a, "Oficina")
	ctx, now := context.Background(), time.Now()
	miss, hit := a.call(100, 40), a.call(25, 10)
	miss.Cache, miss.Served, miss.Provider = usage.CacheMiss, miss.Tokens, "openai"
	hit.Cache, hit.Served, hit.SavedUSD, hit.CostUSD = usage.CacheCoalesced, usage.Tokens{Input: 100, Output: 40}, 36, 0
	other := b.call(9, 1)
	other.Served = other.Tokens
	a.commit(t, miss, hit)
	b.commit(t, other)
	want := usage.Totals{Requests: 2, Tokens: usage.Tokens{Input: 125, Output: 50}, CostUSD: 7, CacheLookups: 2, CacheHits: 1,
		ServedInput: 200, ServedOutput: 80, SavedUSD: 36}
	customers := want
	customers.CostUSD, customers.SavedUSD = 0, 0

	top, _, err := a.UsageByTenant(ctx, around(now), 9)
	if err != nil || len(top) != 2 || top[0].Totals != want || top[1].CacheLookups != 0 || top[1].ServedInput != 9 {
		t.Errorf("tenants %+v (%v)", top, err)
	}
	type read struct {
		shares []usage.Share
		err    error
	}
	p, all := a.Portal(), func(s []usage.Share, err error) read { return read{s, err} }
	for name, r := range map[string]struct {
		got  read
		want usage.Totals
	}{
		"team's keys": {all(a.UsageByKey(ctx, a.tenant.ID, around(now))), want}, "team's models": {all(a.UsageByModel(ctx, a.tenant.ID, around(now))), want},
		"customer's keys":   {all(p.UsageByKey(ctx, a.tenant.ID, around(now))), customers},
		"customer's models": {all(p.UsageByModel(ctx, a.tenant.ID, around(now))), customers},
	} {
		if r.got.err != nil || len(r.got.shares) != 1 || r.got.shares[0].Totals != r.want {
			t.Errorf("%s: %+v (%v)", name, r.got.shares, r.got.err)
		}
	}
	if hours, err := p.UsageHours(ctx, a.tenant.ID, around(now)); err != nil || sum(hours) != customers {
		t.Errorf("customer's hours: %+v (%v)", sum(hours), err)
	}
	if current, err := a.CurrentUsage(ctx, a.tenant.ID); err != nil || current.Totals != want {
		t.Errorf("current period: %+v (%v)", current.Totals, err)
	}
	calls, err := a.Calls(ctx, a.tenant.ID, uuid.Nil, 9)
	if err != nil || len(calls) != 2 || calls[0].Cache != usage.CacheCoalesced || calls[0].Served != hit.Served || calls[0].SavedUSD != 36 ||
		calls[1].Cache != usage.CacheMiss || calls[1].Provider != "openai" {
		t.Errorf("calls: %+v (%v)", calls, err)
	}
	calls, err = p.Calls(ctx, a.tenant.ID, uuid.Nil, 9)
	if err != nil || len(calls) != 2 || calls[0].Cache != usage.CacheCoalesced || calls[0].SavedUSD != 0 || calls[1].Provider != "" {
		t.Errorf("customer's calls: %+v (%v)", calls, err)
	}
}

func TestUsageHoursKeepToTheirSpan(t *testing.T) {
	s := openShop(t, charging(1000, 1000))
	hour := time.Now().UTC().Truncate(time.Hour)
	inside := s.call(1, 0)
	inside = earlier(inside, inside.CreatedAt.Sub(hour.Add(-2*time.Hour)))
	before := earlier(inside, time.Millisecond)
	after := earlier(inside, -time.Hour)
	before.ID[15], after.ID[15] = before.ID[15]+1, after.ID[15]+2
	s.commit(t, before, inside, after)
	points, err := s.UsageHours(context.Background(), 0, usage.Period{Start: hour.Add(-2 * time.Hour), End: hour.Add(-time.Hour)})
	if err != nil || len(points) != 1 || !points[0].Start.Equal(hour.Add(-2*time.Hour)) || points[0].Requests != 1 {
		t.Errorf("%+v (%v), want the one hour", points, err)
	}
}

func TestCallsGoOnWhereThePageBeforeEnded(t *testing.T) {
	s := openShop(t, charging(1000, 1000))
	ctx := context.Background()
	const n = 25
	var events []usage.Event
	for i := range n {
		events = append(events, earlier(s.call(int64(i), 0), time.Duration(i)*40*time.Hour)) // over several months
	}
	s.commit(t, events...)
	var seen []usage.Call
	for before := uuid.Nil; ; {
		page, err := s.Calls(ctx, s.tenant.ID, before, 10)
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, page...)
		if len(page) < 10 {
			break
		}
		before = page[len(page)-1].ID
		s.commit(t, s.call(1_000_000, 0)) // a newer call moves nothing
	}
	if len(seen) != n {
		t.Fatalf("%d calls over all pages, want %d", len(seen), n)
	}
	for i, c := range seen {
		if c.Tokens.Input != int64(i) || c.TenantName != "Padaria" || c.KeyName != "loja" || c.CostUSD != 7 {
			t.Errorf("call %d: %+v", i, c)
		}
	}
}

func TestLatencyIsThatOfAnsweredCalls(t *testing.T) {
	s := openShop(t, charging(1000, 1000))
	ctx := context.Background()
	if l, err := s.Latency(ctx, 0); err != nil || l != (usage.Latency{}) {
		t.Errorf("of nothing: %+v (%v)", l, err)
	}
	var events []usage.Event
	for i := range 100 {
		e := s.call(1, 1)
		e.LatencyMS = int64(i + 1)
		events = append(events, e)
	}
	for range 50 {
		e := s.call(0, 0)
		e.Status, e.LatencyMS = usage.Failed, 60_000
		events = append(events, e)
	}
	s.commit(t, events...)
	want := usage.Latency{P50: 50 * time.Millisecond, P95: 95 * time.Millisecond, Calls: 100}
	for _, tenant := range []int64{0, s.tenant.ID} {
		if l, err := s.Latency(ctx, tenant); err != nil || l != want {
			t.Errorf("tenant %d: %+v (%v), want %+v", tenant, l, err, want)
		}
	}
}

func TestReadsOfUsageNeverScanTheEvents(t *testing.T) {
	db := storetest.Open(t)
	db.SetMaxOpenConns(1) // one connection, whose statistics we can ask it to publish
	now := time.Now()
	at := time.Date(now.Year(), now.Month(), 20, 15, 0, 0, 0, time.UTC) // a month that has just begun is rightly read from end to end
	if at.After(now) {
		at = at.AddDate(0, -1, 0)
	}
	s := New(db.DB, func() time.Time { return at })
	zone, err := time.LoadLocation("America/Sao_Paulo")
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if _, err := demo.Seed(ctx, s, plainHasher{}, at, zone); err != nil {
		t.Fatal(err)
	}
	rowsScanned := func() (n int64) {
		t.Helper()
		if _, err := db.Exec(`SELECT pg_stat_force_next_flush()`); err != nil {
			t.Fatal(err)
		}
		const query = `SELECT coalesce(sum(seq_tup_read), 0) FROM pg_stat_user_tables WHERE relname LIKE 'usage_events%'`
		if err := db.Get(&n, query); err != nil {
			t.Fatal(err)
		}
		return n
	}
	var tenants []int64
	if err := db.Select(&tenants, `SELECT id FROM tenants`); err != nil {
		t.Fatal(err)
	}
	was := rowsScanned()
	for _, read := range everyRead(s, tenants, at) {
		if err := read.run(ctx); err != nil {
			t.Fatalf("%s: %v", read.name, err)
		}
		if now := rowsScanned(); now != was {
			t.Errorf("%s read %d events one after the other", read.name, now-was)
			was = now
		}
	}
}

type namedRead struct {
	name string
	run  func(context.Context) error
}

// everyRead is each read of usage that a page makes, for all tenants, for each one, and as each one.
func everyRead(s *Store, tenants []int64, at time.Time) []namedRead {
	span := around(at)
	var list []namedRead
	for _, id := range append([]int64{0}, tenants...) {
		list = append(list,
			namedRead{fmt.Sprintf("calls of %d", id), func(ctx context.Context) error { _, err := s.Calls(ctx, id, uuid.Nil, 51); return err }},
			namedRead{fmt.Sprintf("latency of %d", id), func(ctx context.Context) error { _, err := s.Latency(ctx, id); return err }},
			namedRead{fmt.Sprintf("hours of %d", id), func(ctx context.Context) error { _, err := s.UsageHours(ctx, id, span); return err }},
			namedRead{fmt.Sprintf("allowances of %d", id), func(ctx context.Context) error { _, err := s.Allowances(ctx, id, 10); return err }})
		if id != 0 {
			own := s.ForTenant(id)
			list = append(list,
				namedRead{fmt.Sprintf("own calls of %d", id), func(ctx context.Context) error { _, err := own.Calls(ctx, uuid.Nil, 51); return err }},
				namedRead{fmt.Sprintf("own latency of %d", id), func(ctx context.Context) error { _, err := own.Latency(ctx); return err }})
		}
	}
	return append(list, namedRead{"first steps", func(ctx context.Context) error { _, err := s.FirstSteps(ctx); return err }},
		namedRead{"growth", func(ctx context.Context) error { _, err := s.Growth(ctx); return err }})
}

// plainHasher stands in for the real one where passwords are not what is tested: it would cost seconds.
type plainHasher struct{}

func (plainHasher) Hash(_ context.Context, password string) (string, error) {
	return "plain " + password, nil
}
