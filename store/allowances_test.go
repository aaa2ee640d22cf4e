package store

import (
	"context"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
)

func TestAllowancesShowTheFullestFirst(t *testing.T) {
	a := openShop(t, blocking(1000, 1000))
	b := secondShop(t, a, "Oficina")
	ctx := context.Background()
	a.commit(t, a.call(100, 200))
	b.commit(t, b.call(300, 10))
	list, err := a.Allowances(ctx, 0, 10)
	if err != nil || len(list) != 2 {
		t.Fatalf("%+v (%v)", list, err)
	}
	first, second := list[0], list[1]
	if first.TenantName != "Oficina" || second.TenantName != "Padaria" {
		t.Errorf("first %s, then %s", first.TenantName, second.TenantName)
	}
	want := usage.Meter{Used: 300, Limit: 1000}
	if first.Input != want || first.PlanName != "Test" || !first.Hard || !first.Period.Contains(time.Now()) {
		t.Errorf("%+v", first)
	}
	if one, err := a.Allowances(ctx, a.tenant.ID, 10); err != nil || len(one) != 1 || one[0].TenantID != a.tenant.ID {
		t.Errorf("of one tenant: %+v (%v)", one, err)
	}
	if one, err := a.Allowances(ctx, 0, 1); err != nil || len(one) != 1 || one[0].TenantName != "Oficina" {
		t.Errorf("the fullest: %+v (%v)", one, err)
	}
}

func TestAllowancesKnowAPeriodInWhichNothingWasCalled(t *testing.T) {
	s := openShop(t, charging(1000, 500))
	later := New(s.db.DB, func() time.Time { return time.Now().AddDate(0, 3, 0) })
	list, err := later.Allowances(context.Background(), s.tenant.ID, 10)
	if err != nil || len(list) != 1 {
		t.Fatalf("%+v (%v)", list, err)
	}
	zone, _ := time.LoadLocation("America/Sao_Paulo")
	got, want := list[0], usage.PeriodAt(later.now(), 1, zone)
	if got.Period != want || got.Input != (usage.Meter{Limit: 1000}) || got.Output != (usage.Meter{Limit: 500}) || got.Hard || got.OveragePrice != 100 {
		t.Errorf("%+v, want an untouched plan in %v", got, want)
	}
}

func TestAllowancesNameAKeyWithItsOwnPlanAndForgetTheClosed(t *testing.T) {
	s := openShop(t, blocking(1000, 1000))
	ctx := context.Background()
	own, err := s.CreatePlan(ctx, tenancy.PlanDraft{Slug: "own", Name: "Próprio", Terms: blocking(10, 10)}, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.CreateKey(ctx, tenancy.KeyDraft{TenantID: s.tenant.ID, Name: "relatórios", PlanID: own.ID}); err != nil {
		t.Fatal(err)
	}
	list, err := s.Allowances(ctx, s.tenant.ID, 10)
	if err != nil || len(list) != 2 {
		t.Fatalf("%+v (%v)", list, err)
	}
	names := map[string]string{}
	for _, a := range list {
		names[a.KeyName] = a.PlanName
	}
	if names[""] != "Test" || names["relatórios"] != "Próprio" {
		t.Errorf("plans by key %v", names)
	}
	if err := s.CloseTenant(ctx, s.tenant.ID); err != nil {
		t.Fatal(err)
	}
	if list, err := s.Allowances(ctx, 0, 10); err != nil || len(list) != 0 {
		t.Errorf("of a closed tenant: %+v (%v)", list, err)
	}
}

func TestGrowthCountsActiveCustomersAndTheirFees(t *testing.T) {
	a := openShop(t, charging(1000, 1000)) // R$ 1 a month
	b := secondShop(t, a, "Oficina")
	ctx := context.Background()
	if g, err := a.Growth(ctx); err != nil || g.Customers != 2 || g.Fees != 2_000_000 || g.Goals != usage.DefaultGoals() {
		t.Errorf("%+v (%v)", g, err)
	}
	if err := a.SuspendTenant(ctx, b.tenant.ID); err != nil {
		t.Fatal(err)
	}
	goals := usage.Goals{Customers: usage.Goal{From: 1, To: 2}}
	if err := a.SetGoals(ctx, goals); err != nil {
		t.Fatal(err)
	}
	if g, err := a.Growth(ctx); err != nil || g.Customers != 1 || g.Fees != 1_000_000 || g.Goals != goals {
		t.Errorf("after a suspension and new goals: %+v (%v)", g, err)
	}
}

func TestFirstStepsFollowTheInstallation(t *testing.T) {
	s := openShop(t, charging(1000, 1000))
	ctx := context.Background()
	steps, err := s.FirstSteps(ctx)
	if err != nil || steps.Plans < 1 || steps.Tenants != 1 || steps.Keys != 1 || steps.Called {
		t.Errorf("before a call: %+v (%v)", steps, err)
	}
	s.commit(t, s.call(1, 1))
	if steps, err := s.FirstSteps(ctx); err != nil || !steps.Called {
		t.Errorf("after a call: %+v (%v)", steps, err)
	}
}
