package store

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/quota"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
	"github.com/fila-ia/filaia/store/storetest"
)

// shop is a store with one customer that has one key.
type shop struct {
	*Store
	tenant tenancy.Tenant
	key    tenancy.Key
	caller *tenancy.Caller
}

func openShop(t testing.TB, terms tenancy.Terms) *shop {
	t.Helper()
	return stockShop(t, New(storetest.Open(t).DB, time.Now), terms)
}

func stockShop(t testing.TB, base *Store, terms tenancy.Terms) *shop {
	t.Helper()
	s := &shop{Store: base}
	ctx := context.Background()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	plan, err := s.CreatePlan(ctx, tenancy.PlanDraft{Slug: "test", Name: "Test", Terms: terms}, true)
	must(err)
	s.tenant, err = s.CreateTenant(ctx, tenancy.TenantDraft{Name: "Padaria", TimeZone: "America/Sao_Paulo", BillingDay: 1, PlanID: plan.ID})
	must(err)
	var secret tenancy.Secret
	s.key, secret, err = s.CreateKey(ctx, tenancy.KeyDraft{TenantID: s.tenant.ID, Name: "loja"})
	must(err)
	s.caller, err = s.CallerByHash(ctx, secret.Hash())
	must(err)
	return s
}

func blocking(in, out int64) tenancy.Terms {
	return tenancy.Terms{Price: money.Unit, InputTokens: in, OutputTokens: out, Overage: tenancy.Block}
}

func charging(in, out int64) tenancy.Terms {
	return tenancy.Terms{Price: money.Unit, InputTokens: in, OutputTokens: out, Overage: tenancy.Charge, OveragePrice: 100}
}

// call makes an event of the shop's key.
func (s *shop) call(in, out int64) usage.Event {
	id := uuid.Must(uuid.NewV7())
	sec, nsec := id.Time().UnixTime()
	return usage.Event{
		ID: id, CreatedAt: time.Unix(sec, nsec).UTC(), TenantID: s.tenant.ID, KeyID: s.key.ID, PeriodID: s.caller.PeriodID, Held: s.caller.Hard(),
		Model: "gpt-4.1-nano", Endpoint: "chat.completions", HTTPStatus: 200, Tokens: usage.Tokens{Input: in, Output: out}, CostUSD: 7,
	}
}

// bucket reads the caller's bucket.
func (s *shop) bucket(t testing.TB) (b account) {
	t.Helper()
	const query = `SELECT period_id, hard, limit_in, used_in, leased_in, overrun_in, limit_out, used_out, leased_out, overrun_out
		FROM quota_buckets WHERE period_id = $1`
	if err := s.db.Get(&b, query, s.caller.PeriodID); err != nil {
		t.Fatal(err)
	}
	return b
}

// audit checks Σ events = Σ hours = used, and that leases add up.
func (s *shop) audit(t testing.TB) {
	t.Helper()
	var r struct {
		Events, Hours, Used, Minutes, EventCharge, HourCharge, Leased, Leases int64
	}
	const query = `SELECT
		(SELECT coalesce(sum(input_tokens + output_tokens), 0) FROM usage_events) AS events,
		(SELECT coalesce(sum(input_tokens + output_tokens), 0) FROM usage_hourly) AS hours,
		(SELECT coalesce(sum(input_tokens + output_tokens), 0) FROM usage_minutes) AS minutes,
		(SELECT coalesce(sum(used_in + used_out), 0) FROM quota_buckets) AS used,
		(SELECT coalesce(sum(charge_brl_micros), 0) FROM usage_events) AS eventcharge,
		(SELECT coalesce(sum(charge_brl_micros), 0) FROM usage_hourly) AS hourcharge,
		(SELECT coalesce(sum(leased_in + leased_out), 0) FROM quota_buckets) AS leased,
		(SELECT coalesce(sum(leased_in + leased_out), 0) FROM quota_leases) AS leases`
	if err := s.db.Get(&r, query); err != nil {
		t.Fatal(err)
	}
	if r.Events != r.Hours || r.Events != r.Used || r.Events != r.Minutes || r.EventCharge != r.HourCharge || r.Leased != r.Leases {
		t.Fatalf("the books do not agree: %+v", r)
	}
}

// testGrace is longer than any test.
const testGrace = time.Hour

// telling tells a manager of commits.
func telling(m *quota.Manager) func(Committed) {
	return func(c Committed) { m.Committed(c.PeriodID, c.Lease) }
}

func (s *shop) committer() *UsageCommitter {
	return s.UsageCommitter("replica", func(Committed) {})
}

func TestCommitCountsEveryEventOnceHoweverOftenItComes(t *testing.T) {
	s := openShop(t, charging(1000, 1000))
	ctx, c := context.Background(), s.committer()
	a, b, d := s.call(10, 1), s.call(20, 2), s.call(40, 4)
	for _, batch := range [][]usage.Event{{a, b}, {a, b}, {b, d, d}, {a}, nil} {
		if err := c.CommitUsage(ctx, batch); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.bucket(t); got.UsedIn != 70 || got.UsedOut != 7 {
		t.Fatalf("used %d and %d, want 70 and 7", got.UsedIn, got.UsedOut)
	}
	s.audit(t)
}

func TestCommitDrawsFromTheLeaseThatTheCallsWereHeldOn(t *testing.T) {
	s := openShop(t, blocking(1000, 1000))
	ctx := context.Background()
	if _, err := s.Leases("replica", testGrace, nil).Lease(ctx, s.caller.PeriodID, quota.Pair{In: 100, Out: 100}); err != nil {
		t.Fatal(err)
	}
	if err := s.committer().CommitUsage(ctx, []usage.Event{s.call(60, 40)}); err != nil {
		t.Fatal(err)
	}
	b := s.bucket(t)
	if b.UsedIn != 60 || b.LeasedIn != 250-60 || b.UsedOut != 40 || b.LeasedOut != 250-40 || b.OverrunIn != 0 {
		t.Fatalf("%+v", b)
	}
	s.audit(t)
}

func TestTokensBeyondTheLimitAreOverrunNeverLostAndNeverNegative(t *testing.T) {
	s := openShop(t, blocking(100, 100))
	ctx := context.Background()
	if _, err := s.Leases("replica", testGrace, nil).Lease(ctx, s.caller.PeriodID, quota.Pair{In: 100, Out: 100}); err != nil {
		t.Fatal(err)
	}
	var told Committed
	c := s.UsageCommitter("replica", func(c Committed) { told = c })
	if err := c.CommitUsage(ctx, []usage.Event{s.call(130, 90)}); err != nil {
		t.Fatal(err)
	}
	b := s.bucket(t)
	if b.UsedIn != 130 || b.OverrunIn != 30 || b.LeasedIn != 0 || b.OverrunOut != 0 || b.LeasedOut != 10 {
		t.Fatalf("%+v", b)
	}
	want := Committed{PeriodID: s.caller.PeriodID, Overrun: quota.Pair{In: 30},
		Lease: quota.Stand{Leased: quota.Pair{Out: 10}, Committed: quota.Pair{In: 130, Out: 90}, Version: 2}}
	if told != want {
		t.Fatalf("told %+v, want %+v", told, want)
	}
	over, err := s.Overruns(ctx, 10)
	if err != nil || len(over) != 1 || over[0].Cause != usage.OverrunReported || over[0].Input != 30 || over[0].Output != 0 || over[0].TenantID != s.tenant.ID {
		t.Fatalf("%+v %v", over, err)
	}
	s.audit(t)
}

// TestAPlanThatTurnsHardUnderCallsPassesNoLimit: a call that held nothing is committed when the period has become hard.
func TestAPlanThatTurnsHardUnderCallsPassesNoLimit(t *testing.T) {
	s := openShop(t, blocking(1000, 1000))
	ctx := context.Background()
	manager := quota.NewManager(s.Leases("replica", testGrace, nil), testGrace, discard(), time.Now)
	hold, err := manager.Reserve(ctx, s.caller.PeriodID, quota.Want{In: 10, Out: 10})
	if err != nil {
		t.Fatal(err)
	}
	hold.Settle(quota.Pair{})
	e := s.call(400, 400)
	e.Held = false
	if err := s.UsageCommitter("replica", telling(manager)).CommitUsage(ctx, []usage.Event{e}); err != nil {
		t.Fatal(err)
	}
	var admitted int64
	for {
		hold, err := manager.Reserve(ctx, s.caller.PeriodID, quota.Want{In: 10, Out: 10})
		if err != nil {
			break
		}
		hold.Settle(hold.Held)
		admitted += 10
	}
	if admitted != 600 {
		t.Fatalf("%d tokens admitted beside 400 that were used, of 1000", admitted)
	}
}

func TestAHandBackThatComesAgainChangesNothing(t *testing.T) {
	s := openShop(t, blocking(1000, 1000))
	ctx, leases, id := context.Background(), s.Leases("replica", testGrace, nil), uuid.New()
	if _, err := leases.Lease(ctx, s.caller.PeriodID, quota.Pair{In: 300, Out: 300}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		stand, err := leases.Return(ctx, s.caller.PeriodID, quota.Pair{In: 100, Out: 100}, id)
		if err != nil || stand != (quota.Stand{Leased: quota.Pair{In: 200, Out: 200}, Version: 2}) {
			t.Fatal(stand, err)
		}
	}
	if b := s.bucket(t); b.LeasedIn != 200 || b.LeasedOut != 200 {
		t.Fatalf("%+v", b)
	}
	s.audit(t)
}

func TestANeedThatIsNotFreeGetsNothing(t *testing.T) {
	s := openShop(t, blocking(1000, 1000))
	g, err := s.Leases("a", testGrace, nil).Lease(context.Background(), s.caller.PeriodID, quota.Pair{In: 10, Out: 5000})
	if err != nil || g.Granted != (quota.Pair{}) || g.Free != (quota.Pair{In: 1000, Out: 1000}) {
		t.Fatalf("%+v %v", g, err)
	}
	if _, err := s.Leases("a", testGrace, nil).Lease(context.Background(), s.caller.PeriodID, quota.Pair{In: 400, Out: 400}); err != nil {
		t.Fatal(err)
	}
	g, err = s.Leases("b", testGrace, nil).Lease(context.Background(), s.caller.PeriodID, quota.Pair{In: 700, Out: 1})
	if err != nil || g.Granted != (quota.Pair{}) || g.Others != (quota.Pair{In: 400, Out: 400}) {
		t.Fatalf("%+v %v", g, err)
	}
}

func TestChargeCountsExactlyTheTokensAboveThePlan(t *testing.T) {
	s := openShop(t, charging(100, 50))
	ctx, c := context.Background(), s.committer()
	// 90 of 100 in; then 20 more: 10 above. 40 of 50 out; then 30 more: 20 above. Then all of 5 and 5.
	for _, batch := range [][]usage.Event{{s.call(90, 40), s.call(20, 30)}, {s.call(5, 5)}} {
		if err := c.CommitUsage(ctx, batch); err != nil {
			t.Fatal(err)
		}
	}
	var charges []int64
	if err := s.db.Select(&charges, `SELECT charge_brl_micros FROM usage_events ORDER BY id`); err != nil {
		t.Fatal(err)
	}
	if len(charges) != 3 || charges[0] != 0 || charges[1] != 3000 || charges[2] != 1000 {
		t.Fatalf("charged %v micros, want 0, 30 and 10 tokens at 100", charges)
	}
	s.audit(t)
}

func TestNoTextOfAProviderKeepsAnEventFromBeingCounted(t *testing.T) {
	s := openShop(t, charging(1000, 1000))
	e := s.call(1, 1)
	e.ProviderID = "a\"b\\c{},\x00\xff\xfe é NULL"
	if err := s.committer().CommitUsage(context.Background(), []usage.Event{e}); err != nil {
		t.Fatal(err)
	}
	var got string
	if err := s.db.Get(&got, `SELECT provider_id FROM usage_events`); err != nil || got != "a\"b\\c{}, é NULL" {
		t.Fatalf("%q, %v", got, err)
	}
}

func TestTheDatabaseItselfRefusesToPassAHardLimit(t *testing.T) {
	s := openShop(t, blocking(100, 100))
	for _, sql := range []string{
		`UPDATE quota_buckets SET used_in = 101`,
		`UPDATE quota_buckets SET used_in = 60, leased_in = 41`,
		`UPDATE quota_buckets SET leased_out = 101`,
		`UPDATE quota_buckets SET leased_out = -1`,
	} {
		if _, err := s.db.Exec(sql); err == nil {
			t.Errorf("accepted: %s", sql)
		}
	}
}

// TestLimitsHoldOverReplicasCommitsAndDeaths drives the real manager, leases and commits of several replicas over one
// bucket, with calls whose real usage differs from what was held, and with replicas that die and come back.
func TestLimitsHoldOverReplicasCommitsAndDeaths(t *testing.T) {
	s := openShop(t, blocking(3000, 2000))
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for _, replica := range []string{"a", "b", "c"} {
		wg.Go(func() {
			for range 3 { // lives
				s.live(ctx, t, replica)
			}
		})
	}
	wg.Wait()
	b := s.bucket(t)
	if b.UsedIn-b.OverrunIn > b.LimitIn || b.UsedOut-b.OverrunOut > b.LimitOut || b.OverrunIn != 0 || b.OverrunOut != 0 {
		t.Fatalf("limit passed: %+v", b)
	}
	if b.LeasedIn != 0 || b.LeasedOut != 0 {
		t.Fatalf("leases are left: %+v", b)
	}
	s.audit(t)
}

// live is one life of a replica: it calls, commits some of it, dies, and at its next start commits the rest.
func (s *shop) live(ctx context.Context, t *testing.T, replica string) {
	leases := s.Leases(replica, testGrace, nil)
	var manager = quota.NewManager(leases, testGrace, discard(), time.Now)
	c := s.UsageCommitter(replica, telling(manager))
	var spool []usage.Event
	for i := range 25 {
		want := quota.Want{In: int64(20 + i%7), Out: int64(10 + i%5)}
		hold, err := manager.Reserve(ctx, s.caller.PeriodID, want)
		if err != nil {
			break
		}
		e := s.call(want.In-int64(i%5), want.Out-int64(i%3))
		spool = append(spool, e)
		hold.Settle(quota.Pair{In: e.Tokens.Input, Out: e.Tokens.Output})
		if i%10 == 9 {
			if err := c.CommitUsage(ctx, spool); err != nil {
				t.Error(err)
			}
			spool = spool[:0]
		}
	}
	// Dead: the manager's memory is gone. What follows is the start of the next life.
	manager.Close(canceled())
	if err := c.CommitUsage(ctx, spool); err != nil {
		t.Error(err)
	}
	if err := leases.ReleaseAll(ctx); err != nil {
		t.Error(err)
	}
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func TestDrawNeverPassesTheLimitAndLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.Int64Range(0, 1000).Draw(t, "limit")
		used := rapid.Int64Range(0, limit).Draw(t, "used")
		leased := rapid.Int64Range(0, limit-used).Draw(t, "leased")
		own := rapid.Int64Range(0, leased).Draw(t, "own")
		past := rapid.Int64Range(0, 100).Draw(t, "overrun")
		tokens := rapid.Int64Range(0, 3000).Draw(t, "tokens")
		held := rapid.Int64Range(0, tokens).Draw(t, "held")
		l, o := leased, own
		over := past + (&account{Hard: true}).draw(tokens, held, limit, used+past, past, &l, &o)
		if o < 0 || l < 0 || l < o || leased-l != own-o || over < past {
			t.Fatalf("lease %d of %d, overrun %d", o, l, over)
		}
		if used+past+tokens-over+l > limit {
			t.Fatalf("used %d - overrun %d + leased %d > limit %d", used+past+tokens, over, l, limit)
		}
		if tokens-(own-o) <= limit-used-leased && over != past {
			t.Fatalf("overrun although it fits")
		}
	})
}

func TestServedTokensAndTheCachesShareAreKeptBesideWhatIsBilled(t *testing.T) {
	s := openShop(t, charging(1000, 1000))
	miss, hit, shared, past := s.call(100, 40), s.call(25, 10), s.call(0, 0), s.call(7, 3)
	miss.Cache, miss.Served, miss.Provider = usage.CacheMiss, miss.Tokens, "openai"
	hit.Cache, hit.Served, hit.SavedUSD, hit.CostUSD = usage.CacheHit, usage.Tokens{Input: 100, Output: 40}, 36, 0
	shared.Cache, shared.Served, shared.SavedUSD, shared.CostUSD = usage.CacheCoalesced, usage.Tokens{Input: 100, Output: 40}, 36, 0
	past.Served = past.Tokens
	s.commit(t, miss, hit)
	s.commit(t, shared, past, hit) // one hour, in two batches, with a replay
	var hour struct {
		Lookups, Hits, Input, Output, ServedInput, ServedOutput, Saved int64
	}
	const hourly = `SELECT sum(cache_lookups) AS lookups, sum(cache_hits) AS hits, sum(input_tokens) AS input, sum(output_tokens) AS output,
		sum(served_input) AS servedinput, sum(served_output) AS servedoutput, sum(saved_usd_micros) AS saved FROM usage_hourly`
	if err := s.db.Get(&hour, hourly); err != nil {
		t.Fatal(err)
	}
	hour.Input -= 132 // what is billed
	hour.Output -= 53
	if hour.Lookups != 3 || hour.Hits != 2 || hour.Input != 0 || hour.Output != 0 || hour.ServedInput != 307 || hour.ServedOutput != 123 || hour.Saved != 72 {
		t.Errorf("%+v", hour)
	}
	if b := s.bucket(t); b.UsedIn != 132 || b.UsedOut != 53 {
		t.Errorf("the quota holds %d and %d: served tokens that are not billed do not count", b.UsedIn, b.UsedOut)
	}
	var rows []struct {
		Cache, Provider string
		Served, Saved   int64
	}
	const events = `SELECT cache, provider, served_input + served_output AS served, saved_usd_micros AS saved FROM usage_events ORDER BY id`
	if err := s.db.Select(&rows, events); err != nil {
		t.Fatal(err)
	}
	if len(rows) != 4 || rows[0].Cache != "miss" || rows[0].Provider != "openai" || rows[1].Cache != "hit" || rows[1].Served != 140 || rows[1].Saved != 36 ||
		rows[2].Cache != "coalesced" || rows[3].Cache != "bypass" || rows[3].Served != 10 {
		t.Errorf("%+v", rows)
	}
	s.audit(t)
}
