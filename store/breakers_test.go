package store

import (
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
)

func TestAForcedBreakerStaysUntilItIsGivenBack(t *testing.T) {
	o := openOffice(t)
	a := o.provider("a")
	o.must(o.ForceBreaker(o.ctx, a.ID, "", "forced_open"))
	o.must(o.ForceBreaker(o.ctx, a.ID, "llama", "forced_open"))
	o.at = o.at.Add(time.Minute)
	o.must(o.ForceBreaker(o.ctx, a.ID, "llama", "forced_closed"))
	forces, err := o.BreakerForces(o.ctx)
	o.must(err)
	if len(forces) != 2 || forces[0].Model != "" || forces[0].State != "forced_open" ||
		forces[1].ProviderID != a.ID || forces[1].Model != "llama" || forces[1].State != "forced_closed" ||
		forces[1].Actor != "gestora@empresa.com.br" || !forces[1].At.Equal(o.at) {
		t.Fatalf("%+v", forces)
	}
	o.must(o.ForceBreaker(o.ctx, a.ID, "llama", ""))
	o.must(o.ForceBreaker(o.ctx, a.ID, "", "closed"))
	if forces, err = o.BreakerForces(o.ctx); err != nil || len(forces) != 0 {
		t.Fatal(forces, err)
	}
	if n := o.audited("breaker.force", providerSubject(a.ID)); n != 5 {
		t.Fatalf("%d entries in the audit log, want 5", n)
	}
	o.refused(o.ForceBreaker(o.ctx, a.ID, "", "half_open"), fault.Invalid, "error.choice")
	o.refused(o.ForceBreaker(o.ctx, 999, "", "forced_open"), fault.NotFound, providerMissing)
}

func TestTheHistoryOfBreakersIsKeptFor90Days(t *testing.T) {
	o := openOffice(t)
	a, b := o.provider("a"), o.provider("b")
	change := func(p tenancy.Provider, ago time.Duration, to string) tenancy.BreakerChange {
		return tenancy.BreakerChange{At: o.at.Add(-ago), Replica: "r1", ProviderID: p.ID, Provider: p.Name, Model: `lla"ma`, From: "closed", To: to,
			Reason: "failures", FailurePercent: 60, Calls: 25}
	}
	old, first := change(a, 91*24*time.Hour, "open"), change(a, time.Hour, "open")
	same, other := change(a, time.Hour, "half_open"), change(b, 2*time.Hour, "open")
	gone := change(tenancy.Provider{ID: 999}, 0, "open")
	o.must(o.RecordBreakerChanges(o.ctx, []tenancy.BreakerChange{old, gone, other, first, same}))
	o.must(o.RecordBreakerChanges(o.ctx, nil))
	read := func(providerID int64, limit int) []tenancy.BreakerChange {
		changes, err := o.BreakerChanges(o.ctx, providerID, limit)
		o.must(err)
		for i := range changes {
			changes[i].At = changes[i].At.UTC()
		}
		return changes
	}
	if all := read(0, 10); len(all) != 4 || all[0] != same || all[1] != first || all[2] != other || all[3] != old {
		t.Fatalf("%+v", all)
	}
	if mine := read(a.ID, 2); len(mine) != 2 || mine[0] != same || mine[1] != first {
		t.Fatalf("%+v", mine)
	}
	n, err := o.SweepBreakerChanges(o.ctx)
	o.must(err)
	if left := read(0, 10); n != 1 || len(left) != 3 {
		t.Fatalf("swept %d, left %+v", n, left)
	}
}
