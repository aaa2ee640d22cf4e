package main

import (
	"strings"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/openaitest"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// change moves a tenant to another plan and wants it to take effect at a time.
func (f *fleet) change(tenant int64, to tenancy.Plan, want tenancy.ChangeTiming) {
	f.t.Helper()
	change, err := f.books.ChangePlan(f.ctx, tenant, to.ID)
	f.must(err)
	if change.Timing != want {
		f.t.Fatalf("a change of plan: %+v, want %v", change, want)
	}
}

// everywhere waits until a call is judged so on every replica, and tells how long that took.
func (f *fleet) everywhere(what, key string, want verdict) {
	f.t.Helper()
	start := time.Now()
	for _, s := range f.replicas {
		within(f.t, 20*time.Second, what, func() bool { return judge(s.chat(key, question)) == want })
	}
	f.t.Logf("%s on every replica after %s", what, time.Since(start).Round(time.Millisecond))
}

func TestAnUpgradeInThePeriodCarriesOverWhatWasUsed(t *testing.T) {
	t.Parallel()
	p := provider(t, openaitest.Options{})
	f := newFleet(t, 2, p.URL())
	in, out := f.cost()
	const small, large = 80, 200
	tenant, key := f.tenantOn("pequeno", blocking(small*in, small*out))
	c := f.gather(key, 16, 0, 1)
	c.done()
	f.committed(tenant, small)
	f.full(tenant)

	bigger := f.plan("grande", blocking(large*in, large*out))
	f.change(tenant, bigger, tenancy.ChangeNow)
	start := time.Now()
	tried := int64(0)
	for _, s := range f.replicas {
		within(t, 20*time.Second, "calls are answered under the larger plan", func() bool {
			v := judge(s.chat(key, question))
			if v == served {
				tried++
			}
			return v == served
		})
	}
	t.Logf("the larger plan held on every replica after %s", time.Since(start).Round(time.Millisecond))
	d := f.gather(key, 16, 0, 1)
	d.more(20)
	// To the smaller plan while calls are in flight: at the period's end.
	smaller := f.plan("menor", blocking(in, out))
	f.change(tenant, smaller, tenancy.ChangeScheduled)
	d.done()
	if n := c.n(served) + tried + d.n(served); n != large || c.n(served) != small {
		t.Errorf("%d calls were answered, %d of them before the change; want %d and %d", n, c.n(served), large, small)
	}
	f.committed(tenant, large)
	f.full(tenant)
	if b := f.bucket(tenant); b.LimitIn != large*in {
		t.Errorf("%+v", b)
	}
	f.agree()
}

func TestAPlanThatBeginsToChargeOrBlockUnderCallsLosesNone(t *testing.T) {
	t.Parallel()
	p := provider(t, openaitest.Options{Latency: 40 * time.Millisecond}) // slow, so that the limit is far when the plan changes
	f := newFleet(t, 2, p.URL())
	in, out := f.cost()
	const limit = 1200
	tenant, key := f.tenantOn("bloqueia", blocking(limit*in, limit*out))
	charges := f.plan("cobra", charging(limit*in, limit*out))
	blocks := f.plan("bloqueia-de-novo", blocking(limit*in, limit*out))
	c := f.gather(key, 16, 0, 1)
	c.more(40)
	f.change(tenant, charges, tenancy.ChangeNow)
	c.more(40)
	f.change(tenant, blocks, tenancy.ChangeNow)
	c.done()
	f.committed(tenant, c.n(served))
	if beside := c.recorded(tenant); beside != 0 || c.n(broken)+c.n(away) != 0 {
		t.Errorf("%d calls are recorded beside those answered; %d broke, %d heard that the database is away", beside, c.n(broken), c.n(away))
	}
	b := f.bucket(tenant)
	// Calls that nobody held may have taken a part of what the last one would have needed.
	if left := b.LimitIn - (b.UsedIn - b.OverrunIn); left < 0 || left >= in && b.LimitOut-(b.UsedOut-b.OverrunOut) >= out || b.UsedIn != c.n(served)*in {
		t.Errorf("%+v after %d calls of %d tokens", b, c.n(served), in)
	}
	const why = `SELECT coalesce(sum(tokens_in), 0) FROM quota_overruns WHERE tenant_id = $1 AND cause = 'unheld'`
	if n := f.number(why, tenant); n != b.OverrunIn {
		t.Errorf("%d input tokens are put down to calls that held none, %d are overrun", n, b.OverrunIn)
	}
	t.Logf("%d calls that nobody held came after the plan began to block", b.OverrunIn/in)

	f.change(tenant, f.plan("cobra-mais", charging(2*limit*in, 2*limit*out)), tenancy.ChangeNow)
	f.everywhere("calls are answered again", key, served)
}

func TestAKeysOwnPlanIsItsOwnAndSurvivesRotation(t *testing.T) {
	t.Parallel()
	p := provider(t, openaitest.Options{})
	f := newFleet(t, 2, p.URL())
	in, out := f.cost()
	const tenants, own = 60, 40
	tenant, shared := f.tenantOn("casa", blocking(tenants*in, tenants*out))
	plan := f.plan("chave", blocking(own*in, own*out))
	id, secret := f.key(tenancy.KeyDraft{TenantID: tenant, Name: "app", PlanID: plan.ID})
	c := f.gather(secret, 8, 0, 1)
	c.more(10)
	_, rotated, err := f.books.RotateKey(f.ctx, id, time.Hour)
	f.must(err)
	d := f.gather(rotated.Reveal(), 8, 0, 1)
	c.done()
	d.done()
	if n := c.n(served) + d.n(served); n != own {
		t.Errorf("a key and its heir were answered %d calls, their plan has %d", n, own)
	}
	s := f.gather(shared, 8, 0, 1)
	s.done()
	if s.n(served) != tenants {
		t.Errorf("the customer's other key was answered %d calls, the plan has %d", s.n(served), tenants)
	}
	f.committed(tenant, tenants+own)
	f.full(tenant)
	f.agree()
}

func TestASuspendedCustomerIsRefusedEverywhereAndItsCallsUnderWayAreRecorded(t *testing.T) {
	t.Parallel()
	p := provider(t, openaitest.Options{TokensPerSecond: 8})
	f := newFleet(t, 2, p.URL())
	tenant, key := f.tenantOn("suspenso", blocking(1_000_000, 1_000_000))
	revoked, gone := f.key(tenancy.KeyDraft{TenantID: tenant, Name: "velha"})
	const streams = 4
	body := strings.NewReplacer("{\"model", `{"stream":true,"stream_options":{"include_usage":true},"model`, `:7`, `:16`).Replace(question)
	begun, replies := make(chan struct{}, 2*streams), make(chan reply, 2*streams)
	for n := range streams {
		go func() { replies <- f.replicas[n%2].chatNoting(key, body, begun) }()
		go func() { replies <- f.replicas[n%2].chatNoting(gone, body, begun) }()
	}
	for range 2 * streams {
		<-begun
	}
	f.must(f.books.RevokeKey(f.ctx, revoked))
	f.everywhere("a revoked key is refused", gone, odd) // 401
	f.must(f.books.SuspendTenant(f.ctx, tenant))
	f.everywhere("a suspended customer is refused", key, odd)
	for _, s := range f.replicas {
		if r := s.chat(key, question); r.status != 401 {
			t.Errorf("%d %s", r.status, r.body)
		}
	}
	for range 2 * streams {
		if r := <-replies; judge(r) != served {
			t.Errorf("a call that was under way ended with %d %s %v", r.status, r.body, r.err)
		}
	}
	f.must(f.books.ReactivateTenant(f.ctx, tenant))
	for _, s := range f.replicas {
		within(t, 20*time.Second, "the customer is answered again", func() bool { return judge(s.chat(key, question)) == served })
	}
	if n := f.number(`SELECT count(*) FROM api_keys WHERE id = $1 AND revoked_at IS NULL`, revoked); n != 0 {
		t.Error("a revoked key came back with its customer")
	}
	eventually(t, "all are recorded", func() bool {
		return f.number(`SELECT count(*) FROM usage_events WHERE tenant_id = $1 AND status = 'ok'`, tenant) >= 2*streams+2
	})
	if n := f.number(`SELECT count(*) FROM usage_events WHERE tenant_id = $1 AND status <> 'ok'`, tenant); n != 0 {
		t.Errorf("%d calls are recorded as failed", n)
	}
	f.agree()
}
