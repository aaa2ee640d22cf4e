package store

import (
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/tenancy"
)

// openEarly lets a replica whose clock is ahead open the period that follows the caller's.
func (o *office) openEarly(secret tenancy.Secret) (early *tenancy.Caller) {
	o.t.Helper()
	now, err := o.CallerByHash(o.ctx, secret.Hash())
	o.must(err)
	ahead := New(o.DB(), func() time.Time { return now.PeriodEndsAt.Add(time.Hour) })
	early, err = ahead.CallerByHash(o.ctx, secret.Hash())
	o.must(err)
	if early.PeriodID == now.PeriodID {
		o.t.Fatal("the period is the same")
	}
	return early
}

// sold wants the caller of an instant to have the plan's terms, and its bucket to enforce them.
func (o *office) sold(secret tenancy.Secret, at time.Time, plan tenancy.Plan) (caller *tenancy.Caller) {
	o.t.Helper()
	o.at = at
	caller, err := o.CallerByHash(o.ctx, secret.Hash())
	o.must(err)
	var limit int64
	var hard bool
	o.must(o.db.QueryRow(`SELECT limit_in, hard FROM quota_buckets WHERE period_id = $1`, caller.PeriodID).Scan(&limit, &hard))
	want := plan.Published.Terms
	if caller.Terms.InputTokens != want.InputTokens || caller.Terms.Overage != want.Overage || limit != want.InputTokens || hard != (want.Overage == tenancy.Block) {
		o.t.Errorf("%s: terms %d (hard %v), bucket %d (hard %v), want %s", at, caller.Terms.InputTokens, caller.Hard(), limit, hard, plan.Slug)
	}
	return caller
}

func TestABlockingPeriodStaysSoWhileAClockAheadOpensAChargingOne(t *testing.T) {
	o := openOffice(t)
	hard, soft := o.plan("hard", blocking(1000, 1000)), o.plan("soft", charging(500, 500))
	tenant := o.customer("Padaria", hard.ID)
	_, secret := o.newKey(tenancy.KeyDraft{TenantID: tenant.ID, Name: "site"})
	change, err := o.ChangePlan(o.ctx, tenant.ID, soft.ID)
	o.must(err)
	if change.Timing != tenancy.ChangeScheduled {
		t.Fatalf("%+v", change)
	}
	early := o.openEarly(secret)
	if early.Hard() || early.Terms.InputTokens != 500 {
		t.Errorf("in the next period: %+v", early.Terms)
	}
	o.sold(secret, o.at, hard)
	if next := o.sold(secret, change.At, soft); next.PeriodID != early.PeriodID {
		t.Errorf("period %d, want that which is open, %d", next.PeriodID, early.PeriodID)
	}
}

func TestAnUpgradeHoldsInAPeriodThatWasOpenedEarly(t *testing.T) {
	o := openOffice(t)
	small, big := o.plan("small", blocking(1000, 1000)), o.plan("big", charging(9000, 9000))
	tenant := o.customer("Padaria", small.ID)
	_, secret := o.newKey(tenancy.KeyDraft{TenantID: tenant.ID, Name: "site"})
	early := o.openEarly(secret)
	change, err := o.ChangePlan(o.ctx, tenant.ID, big.ID)
	o.must(err)
	if change.Timing != tenancy.ChangeNow {
		t.Fatalf("%+v", change)
	}
	o.sold(secret, o.at, big)
	o.sold(secret, early.PeriodEndsAt.Add(-time.Hour), big)
	o.sold(secret, early.PeriodEndsAt, big)
}

func TestASmallerPlanHoldsInAPeriodThatWasOpenedEarlyUnlessItIsTakenBack(t *testing.T) {
	for _, back := range []bool{false, true} {
		o := openOffice(t)
		big, small := o.plan("big", blocking(9000, 9000)), o.plan("small", charging(1000, 1000))
		tenant := o.customer("Padaria", big.ID)
		_, secret := o.newKey(tenancy.KeyDraft{TenantID: tenant.ID, Name: "site"})
		early := o.openEarly(secret)
		change, err := o.ChangePlan(o.ctx, tenant.ID, small.ID)
		o.must(err)
		want := small
		if back {
			_, err := o.ChangePlan(o.ctx, tenant.ID, big.ID)
			o.must(err)
			want = big
		}
		o.sold(secret, o.at, big)
		o.sold(secret, change.At, want)
		o.sold(secret, early.PeriodEndsAt, want)
	}
}

func TestAPeriodOpenedEarlyKeepsItsPlanWhereMoreIsUsedThanAnotherIncludes(t *testing.T) {
	o := openOffice(t)
	big, small := o.plan("big", charging(9000, 9000)), o.plan("small", blocking(1000, 1000))
	tenant := o.customer("Padaria", big.ID)
	_, secret := o.newKey(tenancy.KeyDraft{TenantID: tenant.ID, Name: "site"})
	early := o.openEarly(secret)
	_, err := o.db.Exec(`UPDATE quota_buckets SET used_in = 1001 WHERE period_id = $1`, early.PeriodID)
	o.must(err)
	change, err := o.ChangePlan(o.ctx, tenant.ID, small.ID)
	o.must(err)
	o.sold(secret, change.At, big)
	o.sold(secret, early.PeriodEndsAt, small)
}
