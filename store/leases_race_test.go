package store

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/quota"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// PostgreSQL checks a row's constraints before it notices that somebody has changed the row meanwhile: what is added to the
// row as it was must not be what is free in the row as it is.
func TestALeaseThatWaitedForAHandBackIsGranted(t *testing.T) {
	o := openOffice(t)
	plan := o.plan("ouro", blocking(1000, 1000))
	tenant := o.customer("Padaria", plan.ID)
	_, secret := o.newKey(tenancy.KeyDraft{TenantID: tenant.ID, Name: "site"})
	caller, err := o.CallerByHash(o.ctx, secret.Hash())
	o.must(err)
	_, err = o.Leases("replica-1", testGrace, nil).Lease(o.ctx, caller.PeriodID, quota.Pair{In: 900, Out: 900})
	o.must(err)

	handBack, err := o.db.Begin()
	o.must(err)
	defer handBack.Rollback() //nolint:errcheck // after a commit it does nothing
	_, err = handBack.Exec(`UPDATE quota_buckets SET leased_in = 0, leased_out = 0, changes = changes + 1 WHERE period_id = $1`, caller.PeriodID)
	o.must(err)
	_, err = handBack.Exec(`UPDATE quota_leases SET leased_in = 0, leased_out = 0 WHERE period_id = $1`, caller.PeriodID)
	o.must(err)
	type answer struct {
		quota.Grant
		err error
	}
	answers := make(chan answer, 1)
	go func() {
		g, err := o.Leases("replica-2", testGrace, nil).Lease(o.ctx, caller.PeriodID, quota.Pair{In: 500, Out: 500})
		answers <- answer{g, err}
	}()
	o.awaitLock(t)
	o.must(handBack.Commit())
	if got := <-answers; got.err != nil || got.Granted != (quota.Pair{In: 500, Out: 500}) {
		t.Fatalf("%+v %v", got.Grant, got.err)
	}
}

func TestAHandBackThatWaitedForALeaseArrives(t *testing.T) {
	s := openShop(t, blocking(1000, 1000))
	l := s.Leases("replica", testGrace, nil)
	if _, err := l.Lease(t.Context(), s.caller.PeriodID, quota.Pair{In: 10, Out: 10}); err != nil { // 250
		t.Fatal(err)
	}
	other, err := s.db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer other.Rollback() //nolint:errcheck // after a commit it does nothing
	const grow = `UPDATE quota_buckets SET leased_in = leased_in + 200, leased_out = leased_out + 200, changes = changes + 1 WHERE period_id = $1`
	if _, err := other.Exec(grow, s.caller.PeriodID); err != nil {
		t.Fatal(err)
	}
	const own = `UPDATE quota_leases SET leased_in = leased_in + 200, leased_out = leased_out + 200 WHERE period_id = $1`
	if _, err := other.Exec(own, s.caller.PeriodID); err != nil {
		t.Fatal(err)
	}
	answers := make(chan quota.Stand, 1)
	go func() {
		stand, err := l.Return(t.Context(), s.caller.PeriodID, quota.Pair{In: 400, Out: 400}, uuid.New())
		if err != nil {
			t.Error(err)
		}
		answers <- stand
	}()
	s.awaitLock(t)
	if err := other.Commit(); err != nil {
		t.Fatal(err)
	}
	if got := <-answers; got.Leased != (quota.Pair{In: 50, Out: 50}) {
		t.Fatalf("%+v", got)
	}
	if b := s.bucket(t); b.LeasedIn != 50 || b.LeasedOut != 50 {
		t.Fatalf("%+v", b)
	}
}

// awaitLock waits until somebody waits for a lock.
func (s *Store) awaitLock(t *testing.T) {
	t.Helper()
	const waiting = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`
	for deadline := time.Now().Add(time.Minute); ; {
		var n int
		if err := s.db.Get(&n, waiting); err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("nobody waits")
		}
	}
}
