package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// versionOnSale gives the newest published version of a plan that takes subscriptions. The plan's row stays locked
// against archiving until the transaction ends.
func (t *tx) versionOnSale(ctx context.Context, planID int64) (tenancy.PlanVersion, error) {
	var onSale bool
	if err := t.GetContext(ctx, &onSale, `SELECT archived_at IS NULL FROM plans WHERE id = $1 FOR SHARE`, planID); err != nil {
		if fault.Is(known(err, planMissing), fault.NotFound) {
			return tenancy.PlanVersion{}, notOnSale()
		}
		return tenancy.PlanVersion{}, fmt.Errorf("lock plan %d: %w", planID, err)
	}
	plan, err := onePlan(ctx, t, `p.id = $1`, planID)
	if err != nil {
		return tenancy.PlanVersion{}, err
	}
	if !onSale || plan.Published == nil {
		return tenancy.PlanVersion{}, notOnSale()
	}
	return *plan.Published, nil
}

// subscribe starts a subscription now; scope is "tenant" or "key".
func (t *tx) subscribe(ctx context.Context, tenantID int64, scope string, versionID int64, anchorDay int) (id int64, err error) {
	const insert = `INSERT INTO subscriptions (tenant_id, scope, plan_version_id, anchor_day, started_at)
		VALUES ($1, $2, $3, $4, $5) RETURNING id`
	if err := t.GetContext(ctx, &id, insert, tenantID, scope, versionID, anchorDay, t.now); err != nil {
		return 0, fmt.Errorf("subscribe tenant %d: %w", tenantID, err)
	}
	return id, nil
}

// ChangePlan moves the tenant's own subscription to the plan's newest published version: now when that includes no
// fewer tokens than the current one and no fewer than this period has used and leased; else when the period ends.
// What was used stays used. A change scheduled before is replaced; the current version again just cancels it.
func (s *Store) ChangePlan(ctx context.Context, tenantID, planID int64) (change tenancy.PlanChange, err error) {
	err = s.inTx(ctx, func(tx *tx) error {
		tenant, err := tx.lockOpenTenant(ctx, tenantID)
		if err != nil {
			return err
		}
		change, err = tx.changePlan(ctx, tenant.SubscriptionID, tenantID, planID)
		return err
	})
	if err != nil {
		return tenancy.PlanChange{}, fmt.Errorf("change plan of tenant %d: %w", tenantID, err)
	}
	return change, nil
}

var errPreview = errors.New("preview: nothing is kept")

// PreviewPlanChange tells what ChangePlan would do, and does nothing.
func (s *Store) PreviewPlanChange(ctx context.Context, tenantID, planID int64) (change tenancy.PlanChange, err error) {
	err = s.inTx(ctx, func(tx *tx) error {
		tenant, err := tx.lockOpenTenant(ctx, tenantID)
		if err != nil {
			return err
		}
		if change, err = tx.changePlan(ctx, tenant.SubscriptionID, tenantID, planID); err != nil {
			return err
		}
		return errPreview
	})
	if !errors.Is(err, errPreview) {
		return tenancy.PlanChange{}, fmt.Errorf("preview plan of tenant %d: %w", tenantID, err)
	}
	return change, nil
}

// CancelPlanChange keeps the current plan after all. Conflict when no change is scheduled.
func (s *Store) CancelPlanChange(ctx context.Context, tenantID int64) error {
	err := s.inTx(ctx, func(tx *tx) error {
		tenant, err := tx.lockOpenTenant(ctx, tenantID)
		if err != nil {
			return err
		}
		if tenant.NextPlanName == "" {
			return fault.New(fault.Conflict, "tenants.error.no_scheduled_change")
		}
		return tx.scheduleVersion(ctx, tenant.SubscriptionID, tenantID, nil)
	})
	if err != nil {
		return fmt.Errorf("cancel plan change of tenant %d: %w", tenantID, err)
	}
	return nil
}

// periodTerms is the current period under lock: the version it is sold at and what was used and leased of it.
type periodTerms struct {
	planVersionRow
	Scheduled bool  `db:"scheduled"`
	TakenIn   int64 `db:"taken_in"`
	TakenOut  int64 `db:"taken_out"`
}

func (t *tx) changePlan(ctx context.Context, subscriptionID, tenantID, planID int64) (tenancy.PlanChange, error) {
	var none tenancy.PlanChange
	to, err := t.versionOnSale(ctx, planID)
	if err != nil {
		return none, err
	}
	plan, err := onePlan(ctx, t, `p.id = $1`, planID)
	if err != nil {
		return none, err
	}
	// Locked in the order of a period's opening and of a lease: subscription, then bucket.
	if _, err := t.ExecContext(ctx, `SELECT 1 FROM subscriptions WHERE id = $1 FOR UPDATE`, subscriptionID); err != nil {
		return none, fmt.Errorf("lock subscription %d: %w", subscriptionID, err)
	}
	period, err := t.ensurePeriod(ctx, subscriptionID)
	if err != nil {
		return none, err
	}
	var now periodTerms
	const query = `SELECT ` + planVersionColumns + `,
			s.next_plan_version_id IS NOT NULL OR s.plan_version_id <> bp.plan_version_id AS scheduled,
			b.used_in + b.leased_in AS taken_in, b.used_out + b.leased_out AS taken_out
		FROM quota_buckets b JOIN billing_periods bp ON bp.id = b.period_id
		JOIN subscriptions s ON s.id = bp.subscription_id JOIN plan_versions v ON v.id = bp.plan_version_id
		WHERE b.period_id = $1 FOR UPDATE OF b`
	if err := t.GetContext(ctx, &now, query, period.ID); err != nil {
		return none, fmt.Errorf("lock period %d: %w", period.ID, err)
	}
	change := tenancy.PlanChange{Timing: tenancy.ChangeNow, At: t.now, PlanName: plan.Name, Version: to.Number,
		From: now.version().Terms, To: to.Terms}
	switch {
	case now.ID == to.ID:
		change.Timing = tenancy.ChangeNone
	case to.Terms.Smaller(change.From):
		change.Timing, change.Reason = tenancy.ChangeScheduled, tenancy.ChangeSmaller
	case now.TakenIn > to.Terms.InputTokens || now.TakenOut > to.Terms.OutputTokens:
		change.Timing, change.Reason = tenancy.ChangeScheduled, tenancy.ChangeUsedMore
	}
	switch change.Timing {
	case tenancy.ChangeNow:
		return change, t.moveNow(ctx, subscriptionID, tenantID, period.ID, to)
	case tenancy.ChangeScheduled:
		change.At = period.EndsAt.UTC()
		opened, err := t.moveOpened(ctx, subscriptionID, period.ID, to)
		if err != nil {
			return none, err
		}
		if opened {
			return change, t.auditChange(ctx, "tenant.plan_change_schedule", tenantID, &to)
		}
		return change, t.scheduleVersion(ctx, subscriptionID, tenantID, &to)
	}
	if !now.Scheduled {
		return change, nil
	}
	if _, err := t.moveOpened(ctx, subscriptionID, period.ID, to); err != nil {
		return none, err
	}
	return change, t.scheduleVersion(ctx, subscriptionID, tenantID, nil)
}

// moveOpened sells at another version the periods after this one that a replica whose clock was ahead has opened already,
// and whatever follows them; false: there are none. One of which more is used than the version includes stays as it is.
func (t *tx) moveOpened(ctx context.Context, subscriptionID, periodID int64, to tenancy.PlanVersion) (bool, error) {
	const lock = `SELECT b.period_id, b.used_in + b.leased_in <= $3 AND b.used_out + b.leased_out <= $4 AS fits
		FROM quota_buckets b JOIN billing_periods p ON p.id = b.period_id
		WHERE p.subscription_id = $1 AND p.starts_at > (SELECT starts_at FROM billing_periods WHERE id = $2)
		ORDER BY b.period_id FOR UPDATE OF b`
	var opened []struct {
		ID   int64 `db:"period_id"`
		Fits bool  `db:"fits"`
	}
	if err := t.SelectContext(ctx, &opened, lock, subscriptionID, periodID, to.Terms.InputTokens, to.Terms.OutputTokens); err != nil {
		return false, fmt.Errorf("lock periods after %d: %w", periodID, err)
	}
	if len(opened) == 0 {
		return false, nil
	}
	for _, p := range opened {
		if p.Fits {
			if err := t.movePeriod(ctx, p.ID, to); err != nil {
				return false, err
			}
		}
	}
	return true, t.moveSubscription(ctx, subscriptionID, to)
}

// moveNow sells the current period at another version; what was used and leased of it stays.
func (t *tx) moveNow(ctx context.Context, subscriptionID, tenantID, periodID int64, to tenancy.PlanVersion) error {
	if err := t.moveSubscription(ctx, subscriptionID, to); err != nil {
		return err
	}
	if err := t.movePeriod(ctx, periodID, to); err != nil {
		return err
	}
	if _, err := t.moveOpened(ctx, subscriptionID, periodID, to); err != nil {
		return err
	}
	return t.auditChange(ctx, "tenant.plan_change", tenantID, &to)
}

func (t *tx) moveSubscription(ctx context.Context, subscriptionID int64, to tenancy.PlanVersion) error {
	const update = `UPDATE subscriptions SET plan_version_id = $2, next_plan_version_id = NULL WHERE id = $1`
	if _, err := t.ExecContext(ctx, update, subscriptionID, to.ID); err != nil {
		return fmt.Errorf("move subscription %d: %w", subscriptionID, err)
	}
	return nil
}

func (t *tx) movePeriod(ctx context.Context, periodID int64, to tenancy.PlanVersion) error {
	if _, err := t.ExecContext(ctx, `UPDATE billing_periods SET plan_version_id = $2 WHERE id = $1`, periodID, to.ID); err != nil {
		return fmt.Errorf("move period %d: %w", periodID, err)
	}
	if err := t.limitPeriod(ctx, periodID); err != nil {
		return err
	}
	// Also where the limits stay the same: another plan has other alerts.
	if _, err := t.ExecContext(ctx, `UPDATE quota_buckets SET alert_version = 0 WHERE period_id = $1`, periodID); err != nil {
		return fmt.Errorf("look at period %d again: %w", periodID, err)
	}
	return nil
}

// scheduleVersion notes the version of the next period; nil: it stays.
func (t *tx) scheduleVersion(ctx context.Context, subscriptionID, tenantID int64, to *tenancy.PlanVersion) error {
	action, version := "tenant.plan_change_cancel", int64(0)
	if to != nil {
		action, version = "tenant.plan_change_schedule", to.ID
	}
	const update = `UPDATE subscriptions SET next_plan_version_id = NULLIF($2::bigint, 0) WHERE id = $1`
	if _, err := t.ExecContext(ctx, update, subscriptionID, version); err != nil {
		return fmt.Errorf("schedule plan of subscription %d: %w", subscriptionID, err)
	}
	return t.auditChange(ctx, action, tenantID, to)
}

func (t *tx) auditChange(ctx context.Context, action string, tenantID int64, to *tenancy.PlanVersion) error {
	details := map[string]any{}
	if to != nil {
		details["plan_id"], details["version"] = to.PlanID, to.Number
	}
	return t.audit(ctx, action, tenantSubject(tenantID), tenantID, details)
}
