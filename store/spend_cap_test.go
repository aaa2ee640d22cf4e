package store

import (
	"context"
	"database/sql"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/quota"
	"github.com/fila-ia/filaia/internal/usage"
)

// tokensWorth is a cap that pays for n tokens above a plan of charging.
func tokensWorth(n int64) *money.Micros {
	limit := money.Micros(n * 100)
	return &limit
}

// capped sets the shop's cap, and reads its caller again as the gateway does when it hears of it.
func (s *shop) capped(t testing.TB, limit *money.Micros) {
	t.Helper()
	if err := s.SetSpendCap(context.Background(), s.tenant.ID, limit); err != nil {
		t.Fatal(err)
	}
	s.caller.SpendCap = limit
}

// used commits calls of the replica that leases in these tests.
func (s *shop) used(t testing.TB, events ...usage.Event) {
	t.Helper()
	if err := s.committer().CommitUsage(context.Background(), events); err != nil {
		t.Fatal(err)
	}
}

// charged is what all calls were charged, by the events and by the bucket.
func (s *shop) charged(t testing.TB) int {
	t.Helper()
	events := s.count(t, `SELECT coalesce(sum(charge_brl_micros), 0)::bigint FROM usage_events`)
	if bucket := s.count(t, `SELECT coalesce(sum(charge_brl_micros), 0)::bigint FROM quota_buckets`); bucket != events {
		t.Fatalf("the bucket says that %d was charged, the events say %d", bucket, events)
	}
	return events
}

func TestASpendCapGrantsExactlyTheTokensItPaysFor(t *testing.T) {
	s := openShop(t, charging(100, 50))
	ctx := context.Background()
	s.capped(t, tokensWorth(30))
	leases := s.Leases("replica", testGrace, nil)
	for _, step := range []struct{ need, free quota.Pair }{
		{quota.Pair{In: 131}, quota.Pair{In: 100, Out: 50}},          // 31 above
		{quota.Pair{In: 120, Out: 61}, quota.Pair{In: 100, Out: 50}}, // 20 and 11
		{quota.Pair{In: 120, Out: 60}, quota.Pair{In: -20, Out: -10}},
		{quota.Pair{Out: 1}, quota.Pair{In: -20, Out: -10}},
	} {
		g, err := leases.Lease(ctx, s.caller.PeriodID, step.need)
		granted := quota.Pair{}
		if step.free.In < 0 && step.need.In > 0 {
			granted = step.need
		}
		if err != nil || g.Free != step.free || g.Extra != 30 || g.Granted != granted {
			t.Fatalf("%v: %+v %v", step.need, g, err)
		}
	}
	s.used(t, s.call(120, 60))
	if got := s.charged(t); got != 3000 {
		t.Errorf("charged %d, and the cap is 3000", got)
	}
	s.used(t, s.call(3, 0)) // a provider that reports more
	if b := s.bucket(t); b.OverrunIn != 3 || b.OverrunOut != 0 {
		t.Errorf("%+v: 3 tokens passed the cap", b)
	}
	s.audit(t)
}

func TestACapHoldsAtOnceWhatIsChargedStaysAndWhatIsLeasedMayBeUsed(t *testing.T) {
	s := openShop(t, charging(100, 50))
	ctx := context.Background()
	s.used(t, s.call(140, 50)) // 40 above, without a cap
	if b := s.bucket(t); b.Hard {
		t.Fatal("a plan that charges blocks")
	}
	leases := s.Leases("replica", testGrace, nil)
	free := func(need quota.Pair) bool {
		t.Helper()
		g, err := leases.Lease(ctx, s.caller.PeriodID, need)
		if err != nil {
			t.Fatal(err)
		}
		return g.Granted.In >= need.In && g.Granted.Out >= need.Out
	}
	s.capped(t, tokensWorth(10)) // less than is charged
	if free(quota.Pair{In: 1}) {
		t.Fatal("granted below what is charged already")
	}
	s.capped(t, tokensWorth(60))
	if !free(quota.Pair{In: 15}) || free(quota.Pair{Out: 6}) {
		t.Fatal("40 of 60 are charged, and 20 are left")
	}
	s.capped(t, tokensWorth(45)) // 55 are charged or leased
	if free(quota.Pair{Out: 1}) {
		t.Fatal("granted although more is leased than is left")
	}
	s.used(t, s.call(15, 0))
	if b := s.bucket(t); b.OverrunIn != 0 || s.charged(t) != 5500 {
		t.Errorf("%+v, charged %d: what was held when the cap was lowered is used within limits", b, s.charged(t))
	}
	if free(quota.Pair{In: 1}) {
		t.Fatal("granted after more was charged than the cap allows")
	}
	s.capped(t, nil)
	if b := s.bucket(t); b.Hard {
		t.Error("hard without a cap")
	}
	s.used(t, s.call(1000, 1000))
	if got := s.charged(t); got != 5500+200_000 {
		t.Errorf("charged %d", got)
	}
	s.audit(t)
}

// TestCallsThatHeldNothingTakeWhatTheCapLeavesAndNoMore: they were under way when the cap was set.
func TestCallsThatHeldNothingTakeWhatTheCapLeavesAndNoMore(t *testing.T) {
	s := openShop(t, charging(100, 50))
	s.capped(t, tokensWorth(30))
	e := s.call(120, 55)
	e.Held = false
	s.used(t, e)
	if b := s.bucket(t); b.OverrunIn != 0 || b.OverrunOut != 0 {
		t.Errorf("%+v: 25 of 30 are no overrun", b)
	}
	e = s.call(4, 4)
	e.Held = false
	s.used(t, e)
	if b := s.bucket(t); b.OverrunIn+b.OverrunOut != 3 {
		t.Errorf("%+v: 8 beside the 5 that were left", b)
	}
	over, err := s.Overruns(context.Background(), 10)
	if err != nil || len(over) != 1 || over[0].Cause != usage.OverrunUnheld {
		t.Errorf("%+v %v", over, err)
	}
	s.audit(t)
}

func TestIdleTokensOfALoweredCapAreNotLeasedAgain(t *testing.T) {
	s := openShop(t, charging(0, 0))
	ctx := context.Background()
	s.capped(t, tokensWorth(1000))
	leases := s.Leases("replica", testGrace, nil)
	manager := quota.NewManager(leases, testGrace, discard(), time.Now)
	hold, err := manager.Reserve(ctx, s.caller.PeriodID, quota.Want{In: 100, Out: 100})
	if err != nil {
		t.Fatal(err)
	}
	hold.Settle(quota.Pair{In: 10, Out: 10})
	s.capped(t, tokensWorth(25))
	manager.HandBack(ctx, s.caller.PeriodID) // as the notification asks for
	if err := s.UsageCommitter("replica", telling(manager)).CommitUsage(ctx, []usage.Event{s.call(10, 10)}); err != nil {
		t.Fatal(err)
	}
	if _, err := manager.Reserve(ctx, s.caller.PeriodID, quota.Want{In: 6}); err == nil {
		t.Fatal("6 of the 5 tokens that are left")
	}
	if hold, err = manager.Reserve(ctx, s.caller.PeriodID, quota.Want{In: 3, Out: 2}); err != nil {
		t.Fatalf("the 5 that are left: %v", err)
	}
	hold.Settle(quota.Pair{})
}

// TestACapHoldsOverReplicasCommitsAndDeaths drives the real manager, leases and commits of several replicas over one bucket whose
// included tokens are used up early, while the cap is changed.
func TestACapHoldsOverReplicasCommitsAndDeaths(t *testing.T) {
	s := openShop(t, charging(300, 200))
	s.capped(t, tokensWorth(4000))
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
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	// The highest cap there was bounds what is charged.
	caps := []int64{3000, 3500, 1000, 4000, 2500}
	for i := 0; ; i++ {
		s.within(t)
		if i%5 == 0 {
			s.SetSpendCap(ctx, s.tenant.ID, tokensWorth(caps[i/5%len(caps)])) //nolint:errcheck // told by what follows
		}
		select {
		case <-done:
		default:
			continue
		}
		break
	}
	b := s.bucket(t)
	if b.OverrunIn != 0 || b.OverrunOut != 0 || b.LeasedIn != 0 || b.LeasedOut != 0 {
		t.Errorf("%+v", b)
	}
	if got := s.charged(t); got > 4000*100 {
		t.Errorf("charged %d", got)
	}
	if s.count(t, `SELECT count(*) FROM audit_log WHERE action = 'tenant.spend_cap'`) < 2 {
		t.Error("changes of the cap are not audited")
	}
	s.audit(t)
}

// within checks what the bucket promises, as its constraint does.
func (s *shop) within(t testing.TB) {
	t.Helper()
	const passed = `SELECT count(*) FROM quota_buckets WHERE hard AND greatest(used_in - overrun_in + leased_in - limit_in, 0)
		+ greatest(used_out - overrun_out + leased_out - limit_out, 0) > greatest(extra_tokens, extra_taken)`
	if s.count(t, passed) != 0 {
		t.Fatal("more is used and leased than limits and cap allow")
	}
}

// TestOverrunTakesFromTheCap: it is charged, and what another replica hands back must not be granted as if it were not.
func TestOverrunTakesFromTheCap(t *testing.T) {
	s := openShop(t, charging(20, 0))
	ctx := context.Background()
	s.capped(t, tokensWorth(100))
	a, b := s.Leases("replica", testGrace, nil), s.Leases("b", testGrace, nil)
	if g, err := b.Lease(ctx, s.caller.PeriodID, quota.Pair{In: 120}); err != nil || g.Granted.In != 120 {
		t.Fatalf("%+v %v", g, err)
	}
	s.used(t, s.call(70, 0)) // a provider that reports more than was held
	if got, o := s.charged(t), s.bucket(t).OverrunIn; got != 5000 || o != 70 {
		t.Fatalf("charged %d, and %d could not be stopped", got, o)
	}
	if _, err := b.Return(ctx, s.caller.PeriodID, quota.Pair{In: 120}, uuid.New()); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ need, granted int64 }{{51, 0}, {50, 50}, {1, 0}} {
		g, err := a.Lease(ctx, s.caller.PeriodID, quota.Pair{In: step.need})
		if err != nil || g.Granted.In != step.granted {
			t.Fatalf("%d needed beside 50 that are charged of 100: %+v %v", step.need, g, err)
		}
	}
	s.used(t, s.call(50, 0))
	e := s.call(1, 0)
	e.Held = false
	s.used(t, e)
	if got, o := s.charged(t), s.bucket(t).OverrunIn; got != 10_100 || o != 71 {
		t.Errorf("charged %d of 10000, and %d could not be stopped", got, o)
	}
	s.capped(t, tokensWorth(103)) // 2 more
	if g, err := a.Lease(ctx, s.caller.PeriodID, quota.Pair{In: 3}); err != nil || g.Granted.In != 0 {
		t.Fatalf("%+v %v", g, err)
	}
	if g, err := a.Lease(ctx, s.caller.PeriodID, quota.Pair{In: 2}); err != nil || g.Granted.In != 2 {
		t.Fatalf("%+v %v", g, err)
	}
	s.audit(t)
}

func TestIncludedTokensAreThereForWhoHasPassedTheCapWithTheOtherKind(t *testing.T) {
	s := openShop(t, charging(100, 10))
	ctx := context.Background()
	s.capped(t, tokensWorth(5))
	s.used(t, s.call(0, 10+5+3))
	leases := s.Leases("replica", testGrace, nil)
	manager := quota.NewManager(leases, testGrace, discard(), time.Now)
	if hold, err := manager.Reserve(ctx, s.caller.PeriodID, quota.Want{In: 99}); err != nil {
		t.Errorf("99 of the 100 that the plan includes: %v", err)
	} else {
		hold.Settle(quota.Pair{In: 99})
	}
	for _, want := range []quota.Want{{In: 2}, {Out: 1}, {In: 1, Out: 1}} {
		if _, err := manager.Reserve(ctx, s.caller.PeriodID, want); err == nil {
			t.Errorf("%+v was held above a cap that is passed", want)
		}
	}
}

// couldCost is what all calls were charged and will be once all that is leased is used, in tokens of charging.
func (s *shop) couldCost(t testing.TB) int64 {
	t.Helper()
	return int64(s.count(t, `SELECT charge_brl_micros / 100 + greatest(used_in + leased_in - limit_in, 0) - greatest(used_in - limit_in, 0)
		+ greatest(used_out + leased_out - limit_out, 0) - greatest(used_out - limit_out, 0) FROM quota_buckets`))
}

// TestLeasesAndCommitsUnderACapInAnyOrder holds after every step that nothing passes the cap but what no limit could stop, and
// that this is counted once: nothing is granted while it is above.
func TestLeasesAndCommitsUnderACapInAnyOrder(t *testing.T) {
	s := openShop(t, charging(20, 10))
	ctx := context.Background()
	rapid.Check(t, func(rt *rapid.T) {
		const fresh = `DELETE FROM quota_leases; DELETE FROM quota_overruns; DELETE FROM usage_events; DELETE FROM usage_hourly; DELETE FROM usage_minutes;
			UPDATE quota_buckets SET used_in = 0, used_out = 0, leased_in = 0, leased_out = 0, overrun_in = 0, overrun_out = 0, charge_brl_micros = 0`
		if _, err := s.db.Exec(fresh); err != nil {
			rt.Fatal(err)
		}
		number := rapid.Int64Range(0, 60)
		limit := number.Draw(rt, "cap")
		highest := limit
		s.capped(t, tokensWorth(limit))
		replicas := map[string]*Leases{"a": s.Leases("a", testGrace, nil), "b": s.Leases("b", testGrace, nil)}
		names := rapid.SampledFrom([]string{"a", "b"})
		rt.Repeat(map[string]func(*rapid.T){
			"lease": func(rt *rapid.T) {
				need := quota.Pair{In: number.Draw(rt, "in"), Out: number.Draw(rt, "out")}
				before, b := s.couldCost(t), s.bucket(t)
				added := excess(b.UsedIn+b.LeasedIn, need.In, b.LimitIn) + excess(b.UsedOut+b.LeasedOut, need.Out, b.LimitOut)
				g, err := replicas[names.Draw(rt, "replica")].Lease(ctx, s.caller.PeriodID, need)
				if err != nil {
					rt.Fatal(err)
				}
				all, fits := s.couldCost(t), added == 0 || before+added <= limit
				if granted := g.Granted != (quota.Pair{}); granted != fits && need != (quota.Pair{}) {
					rt.Fatalf("needed %v, of which %d are above, was granted %v; %d could be charged of a cap of %d", need, added, g.Granted, before, limit)
				}
				if fits && (g.Granted.In < need.In || g.Granted.Out < need.Out) {
					rt.Fatalf("needed %v, was granted %v", need, g.Granted)
				}
				if all > max(before, limit) {
					rt.Fatalf("%v was granted, and %d could be charged of a cap of %d", g.Granted, all, limit)
				}
			},
			"commit": func(rt *rapid.T) {
				before, old := s.couldCost(t), s.bucket(t)
				e := s.call(number.Draw(rt, "in"), number.Draw(rt, "out"))
				e.Held = rapid.Bool().Draw(rt, "held")
				if err := s.UsageCommitter(names.Draw(rt, "replica"), func(Committed) {}).CommitUsage(ctx, []usage.Event{e}); err != nil {
					rt.Fatal(err)
				}
				after, b := s.couldCost(t), s.bucket(t)
				over := b.OverrunIn + b.OverrunOut - old.OverrunIn - old.OverrunOut
				if after > max(before, limit)+over || over > 0 && after < limit {
					rt.Fatalf("%d could be charged, %d now, of a cap of %d; %d of them could not be stopped", before, after, limit, over)
				}
			},
			"cap": func(rt *rapid.T) {
				limit = number.Draw(rt, "cap")
				s.capped(t, tokensWorth(limit))
				highest = max(highest, limit)
			},
			"release": func(rt *rapid.T) {
				if err := replicas[names.Draw(rt, "replica")].ReleaseAll(ctx); err != nil {
					rt.Fatal(err)
				}
			},
			"": func(rt *rapid.T) {
				s.within(t)
				b := s.bucket(t)
				if over := int(b.OverrunIn + b.OverrunOut); s.charged(t) > (int(highest)+over)*100 {
					rt.Fatalf("charged %d of a cap of %d, and %d could not be stopped", s.charged(t), highest*100, over*100)
				}
			},
		})
	})
}

func TestACapGoesOnInTheNextPeriodAndNotUnderAPlanThatBlocks(t *testing.T) {
	o := openOffice(t)
	soft, hard := o.plan("ouro", charging(1000, 500)), o.plan("prata", blocking(3000, 3000))
	tenant := o.customer("Padaria", soft.ID)
	o.must(o.SetSpendCap(o.ctx, tenant.ID, tokensWorth(77)))
	bucket := func() (limit sql.NullInt64, extra int64, blocks bool) {
		t.Helper()
		const newest = `SELECT b.spend_cap_micros, b.extra_tokens, b.hard FROM quota_buckets b JOIN billing_periods p ON p.id = b.period_id
			WHERE b.tenant_id = $1 ORDER BY p.starts_at DESC LIMIT 1`
		o.must(o.db.QueryRow(newest, tenant.ID).Scan(&limit, &extra, &blocks))
		return limit, extra, blocks
	}
	if limit, extra, blocks := bucket(); limit.Int64 != 7700 || extra != 77 || !blocks {
		t.Fatal(limit, extra, blocks)
	}
	a, err := o.Tenant(o.ctx, tenant.ID)
	o.must(err)
	if a.Allowance.Hard || a.Allowance.SpendCap == nil || *a.Allowance.SpendCap != 7700 {
		t.Errorf("%+v: the plan charges, up to a cap", a.Allowance)
	}
	_, err = o.ChangePlan(o.ctx, tenant.ID, hard.ID)
	o.must(err)
	if limit, extra, blocks := bucket(); limit.Valid || extra != 0 || !blocks {
		t.Fatal(limit, extra, blocks)
	}
	if err := o.SetSpendCap(o.ctx, tenant.ID, tokensWorth(5)); !fault.Is(err, fault.Conflict) {
		t.Errorf("a plan that blocks was capped: %v", err)
	}
	_, err = o.ChangePlan(o.ctx, tenant.ID, soft.ID) // smaller: from the next period on
	o.must(err)
	o.at = o.at.AddDate(0, 2, 0)
	_, err = o.CurrentUsage(o.ctx, tenant.ID)
	o.must(err)
	if limit, extra, blocks := bucket(); limit.Int64 != 7700 || extra != 77 || !blocks {
		t.Fatal(limit, extra, blocks)
	}
	o.must(o.SetSpendCap(o.ctx, tenant.ID, nil))
	if limit, extra, blocks := bucket(); limit.Valid || extra != 0 || blocks {
		t.Fatal(limit, extra, blocks)
	}
	tooMuch := money.Micros(-1)
	if err := o.SetSpendCap(o.ctx, tenant.ID, &tooMuch); !fault.Is(err, fault.Invalid) {
		t.Errorf("a negative cap: %v", err)
	}
	if o.audited("tenant.spend_cap", tenantSubject(tenant.ID)) != 2 {
		t.Error("changes are not audited")
	}
}
