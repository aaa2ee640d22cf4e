package store

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/quota"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
)

func TestALargerPlanHoldsAtOnceAndWhatWasUsedStays(t *testing.T) {
	o := openOffice(t)
	small, large := o.plan("ouro", blocking(1000, 500)), o.plan("prata", charging(9000, 500))
	tenant := o.customer("Padaria", small.ID)
	o.use(tenant, 800, 100)
	change, err := o.ChangePlan(o.ctx, tenant.ID, large.ID)
	o.must(err)
	if change.Timing != tenancy.ChangeNow || change.PlanName != "Plano prata" || change.Version != 1 || !change.At.Equal(o.at) {
		t.Fatalf("%+v", change)
	}
	now, err := o.Tenant(o.ctx, tenant.ID)
	o.must(err)
	a := now.Allowance
	if now.PlanID != large.ID || a.Input != (usage.Meter{Used: 800, Limit: 9000}) || a.Output != (usage.Meter{Used: 100, Limit: 500}) || a.Hard {
		t.Fatalf("%+v", now)
	}
	if n := o.count(`SELECT count(*) FROM billing_periods WHERE plan_version_id = $1`, large.Published.ID); n != 1 {
		t.Fatal("the period is not sold at the new version")
	}
	if o.audited("tenant.plan_change", tenantSubject(tenant.ID)) != 1 {
		t.Fatal("not in the audit log")
	}
}

func TestASmallerPlanWaitsForThePeriodsEnd(t *testing.T) {
	o := openOffice(t)
	large, small := o.plan("ouro", blocking(9000, 500)), o.plan("prata", blocking(1000, 500))
	tenant := o.customer("Padaria", large.ID)
	_, secret := o.newKey(tenancy.KeyDraft{TenantID: tenant.ID, Name: "site"})
	change, err := o.ChangePlan(o.ctx, tenant.ID, small.ID)
	o.must(err)
	end := time.Date(2026, 12, 1, 3, 0, 0, 0, time.UTC)
	if change.Timing != tenancy.ChangeScheduled || change.Reason != tenancy.ChangeSmaller || !change.At.Equal(end) {
		t.Fatalf("%+v", change)
	}
	now, err := o.Tenant(o.ctx, tenant.ID)
	o.must(err)
	if now.PlanID != large.ID || now.NextPlanName != "Plano prata" || now.NextPlanVersion != 1 || now.Allowance.Input.Limit != 9000 {
		t.Fatalf("%+v", now)
	}
	o.at = end
	caller, err := o.CallerByHash(o.ctx, secret.Hash())
	o.must(err)
	now, err = o.Tenant(o.ctx, tenant.ID)
	o.must(err)
	if caller.Terms.InputTokens != 1000 || now.PlanID != small.ID || now.NextPlanName != "" || now.Allowance.Input.Limit != 1000 {
		t.Fatalf("in the next period: %+v %+v", caller, now)
	}
}

func TestAPlanThatIncludesLessThanWasUsedWaits(t *testing.T) {
	o := openOffice(t)
	soft, hard := o.plan("ouro", charging(1000, 500)), o.plan("prata", blocking(2000, 500))
	tenant := o.customer("Padaria", soft.ID)
	o.use(tenant, 2001, 0)
	change, err := o.ChangePlan(o.ctx, tenant.ID, hard.ID)
	o.must(err)
	if change.Timing != tenancy.ChangeScheduled || change.Reason != tenancy.ChangeUsedMore {
		t.Fatalf("%+v", change)
	}
}

func TestTokensUnderLeaseCountAsUsedWhenAPlanChanges(t *testing.T) {
	o := openOffice(t)
	soft, hard := o.plan("ouro", charging(1000, 500)), o.plan("prata", blocking(1000, 500))
	tenant := o.customer("Padaria", soft.ID)
	_, secret := o.newKey(tenancy.KeyDraft{TenantID: tenant.ID, Name: "site"})
	caller, err := o.CallerByHash(o.ctx, secret.Hash())
	o.must(err)
	_, err = o.Leases("replica-1", testGrace, nil).Lease(o.ctx, caller.PeriodID, quota.Pair{In: 900})
	o.must(err)
	o.use(tenant, 200, 0)
	change, err := o.PreviewPlanChange(o.ctx, tenant.ID, hard.ID)
	o.must(err)
	if change.Reason != tenancy.ChangeUsedMore {
		t.Fatalf("900 leased and 200 used fit a hard limit of 1000? %+v", change)
	}
}

// What a commit of usage is about to add must count: the change of plan waits for it instead of judging by what it
// saw before.
func TestAPlanChangeWaitsForUsageUnderWay(t *testing.T) {
	o := openOffice(t)
	soft, hard := o.plan("ouro", charging(1000, 500)), o.plan("prata", blocking(1000, 500))
	tenant := o.customer("Padaria", soft.ID)
	o.use(tenant, 1, 0)
	commit, err := o.db.Begin()
	o.must(err)
	defer commit.Rollback() //nolint:errcheck // after a commit it does nothing
	_, err = commit.Exec(`UPDATE quota_buckets SET used_in = used_in + 1000 WHERE tenant_id = $1`, tenant.ID)
	o.must(err)
	type answer struct {
		change tenancy.PlanChange
		err    error
	}
	answers := make(chan answer, 1)
	go func() {
		change, err := o.ChangePlan(o.ctx, tenant.ID, hard.ID)
		answers <- answer{change, err}
	}()
	o.awaitLock(t)
	o.must(commit.Commit())
	got := <-answers
	o.must(got.err)
	if got.change.Timing != tenancy.ChangeScheduled || got.change.Reason != tenancy.ChangeUsedMore {
		t.Fatalf("%+v", got.change)
	}
}

// A lease and a change of plan race for the same bucket.
func TestAPlanChangeUnderLeasesNeverBreaksTheLimit(t *testing.T) {
	o := openOffice(t)
	soft, hard := o.plan("ouro", charging(3000, 3000)), o.plan("prata", blocking(3000, 3000))
	leases := o.Leases("replica-1", testGrace, nil)
	for range 5 {
		tenant := o.customer("Padaria", soft.ID)
		_, secret := o.newKey(tenancy.KeyDraft{TenantID: tenant.ID, Name: "site"})
		caller, err := o.CallerByHash(o.ctx, secret.Hash())
		o.must(err)
		for _, err := range together(4, func() error {
			if _, err := o.ChangePlan(o.ctx, tenant.ID, hard.ID); err != nil {
				return err
			}
			for range 10 {
				if _, err := leases.Lease(o.ctx, caller.PeriodID, quota.Pair{In: 500, Out: 500}); err != nil {
					return err
				}
			}
			return nil
		}) {
			o.must(err)
		}
	}
	const broken = `SELECT count(*) FROM quota_buckets b WHERE NOT hard OR used_in - overrun_in + leased_in > limit_in
		OR leased_in <> (SELECT coalesce(sum(leased_in), 0) FROM quota_leases l WHERE l.period_id = b.period_id)`
	if n := o.count(broken); n != 0 {
		t.Fatalf("%d buckets are broken", n)
	}
}

func TestMovingToANewVersionAndStayingOnIt(t *testing.T) {
	o := openOffice(t)
	plan := o.plan("ouro", blocking(1000, 500))
	tenant := o.customer("Padaria", plan.ID)
	_, err := o.UpdatePlanDraft(o.ctx, plan.ID, tenancy.PlanDraft{Slug: "ouro", Name: "Ouro", Terms: blocking(4000, 500)}, true)
	o.must(err)
	change, err := o.ChangePlan(o.ctx, tenant.ID, plan.ID)
	o.must(err)
	if change.Timing != tenancy.ChangeNow || change.Version != 2 {
		t.Fatalf("%+v", change)
	}
	change, err = o.ChangePlan(o.ctx, tenant.ID, plan.ID)
	o.must(err)
	if change.Timing != tenancy.ChangeNone {
		t.Fatalf("the same version again: %+v", change)
	}
	if now, err := o.Tenant(o.ctx, tenant.ID); err != nil || now.PlanVersion != 2 || now.Allowance.Input.Limit != 4000 {
		t.Fatal(now, err)
	}
}

func TestAScheduledChangeCanBeCancelled(t *testing.T) {
	o := openOffice(t)
	large, small := o.plan("ouro", blocking(9000, 500)), o.plan("prata", blocking(1000, 500))
	tenant := o.customer("Padaria", large.ID)
	o.refused(o.CancelPlanChange(o.ctx, tenant.ID), fault.Conflict, "tenants.error.no_scheduled_change")
	for name, cancel := range map[string]func() error{
		"by cancelling":                func() error { return o.CancelPlanChange(o.ctx, tenant.ID) },
		"by choosing the current plan": func() error { _, err := o.ChangePlan(o.ctx, tenant.ID, large.ID); return err },
		"by choosing a larger one later": func() error {
			_, err := o.ChangePlan(o.ctx, tenant.ID, o.plan("x", blocking(9001, 500)).ID)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := o.ChangePlan(o.ctx, tenant.ID, small.ID)
			o.must(err)
			o.must(cancel())
			now, err := o.Tenant(o.ctx, tenant.ID)
			o.must(err)
			if now.NextPlanName != "" {
				t.Fatalf("still scheduled: %+v", now)
			}
			_, err = o.db.Exec(`UPDATE subscriptions SET plan_version_id = $1 WHERE id = $2`, large.Published.ID, tenant.SubscriptionID)
			o.must(err)
			_, err = o.db.Exec(`UPDATE billing_periods SET plan_version_id = $1`, large.Published.ID)
			o.must(err)
		})
	}
}

func TestPreviewingAPlanChangeDoesNothing(t *testing.T) {
	o := openOffice(t)
	small, large := o.plan("ouro", blocking(1000, 500)), o.plan("prata", blocking(9000, 500))
	tenant := o.customer("Padaria", small.ID)
	change, err := o.PreviewPlanChange(o.ctx, tenant.ID, large.ID)
	o.must(err)
	if change.Timing != tenancy.ChangeNow || change.To.InputTokens != 9000 || change.From.InputTokens != 1000 {
		t.Fatalf("%+v", change)
	}
	if now, err := o.Tenant(o.ctx, tenant.ID); err != nil || now.PlanID != small.ID || o.audited("tenant.plan_change", tenantSubject(tenant.ID)) != 0 {
		t.Fatal("the preview changed something", now, err)
	}
}

// Whatever billing days are chosen and however long nobody calls, periods follow each other without gap or overlap.
func TestPeriodsTileOverChangesOfBillingDay(t *testing.T) {
	o := openOffice(t)
	plan := o.plan("ouro", blocking(1000, 500))
	for name, c := range map[string]struct {
		day  int
		zone string
		idle time.Duration
		want []string // where each period from the second on ends
	}{
		"a later day":            {15, "America/Sao_Paulo", 10 * day, []string{"2026-12-15T03:00:00Z"}},
		"the same day":           {1, "America/Sao_Paulo", 10 * day, []string{"2027-01-01T03:00:00Z"}},
		"another zone":           {1, "Asia/Tokyo", 10 * day, []string{"2026-12-31T15:00:00Z"}},
		"idle over the new edge": {15, "America/Sao_Paulo", 30 * day, []string{"2026-12-15T03:00:00Z", "2027-01-15T03:00:00Z"}},
		"idle for months":        {31, "America/Sao_Paulo", 100 * day, []string{"2026-12-31T03:00:00Z", "2027-01-31T03:00:00Z", "2027-02-28T03:00:00Z", "2027-03-31T03:00:00Z"}},
	} {
		o.at = time.Date(2026, 11, 22, 15, 0, 0, 0, time.UTC)
		tenant := o.customer(name, plan.ID)
		_, secret := o.newKey(tenancy.KeyDraft{TenantID: tenant.ID, Name: "site"})
		before, err := o.CallerByHash(o.ctx, secret.Hash())
		o.must(err)
		d := customerDraft(name, plan.ID)
		d.BillingDay, d.TimeZone = c.day, c.zone
		_, err = o.UpdateTenant(o.ctx, tenant.ID, d)
		o.must(err)
		same, err := o.CallerByHash(o.ctx, secret.Hash())
		o.must(err)
		if same.PeriodID != before.PeriodID || !same.PeriodEndsAt.Equal(before.PeriodEndsAt) {
			t.Errorf("%s: the change touched the period under way", name)
		}
		o.at = o.at.Add(c.idle)
		_, err = o.CallerByHash(o.ctx, secret.Hash())
		o.must(err)
		var edges []struct {
			Start time.Time `db:"starts_at"`
			End   time.Time `db:"ends_at"`
		}
		o.must(o.db.Select(&edges, `SELECT starts_at, ends_at FROM billing_periods WHERE tenant_id = $1 ORDER BY starts_at`, tenant.ID))
		var got []string
		for i := 1; i < len(edges); i++ {
			if !edges[i].Start.Equal(edges[i-1].End) {
				t.Errorf("%s: gap or overlap between %v and %v", name, edges[i-1], edges[i])
			}
			got = append(got, edges[i].End.UTC().Format(time.RFC3339))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: periods end at %v, want %v", name, got, c.want)
		}
	}
}

func TestThePeriodThatFollowsBeginsWhereTheLastOneEndedAndIsAMonthAtMost(t *testing.T) {
	zones := []*time.Location{time.UTC}
	for _, name := range []string{"America/Sao_Paulo", "America/Havana", "Asia/Kathmandu"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		zones = append(zones, zone)
	}
	rapid.Check(t, func(t *rapid.T) {
		end := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "end"), 0).UTC()
		for range 12 { // the billing day and the zone change every month
			next := following(end, rapid.IntRange(1, 31).Draw(t, "day"), rapid.SampledFrom(zones).Draw(t, "zone"))
			if !next.Start.Equal(end) || !next.End.After(next.Start) || next.End.Sub(next.Start) > 31*day+2*time.Hour {
				t.Fatalf("%v follows %v", next, end)
			}
			end = next.End
		}
	})
}

const day = 24 * time.Hour
