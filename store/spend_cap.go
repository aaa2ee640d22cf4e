package store

import (
	"context"
	"fmt"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// capInForce is the cap of a subscription s at a plan version v: there is nothing to cap where nothing is charged.
const capInForce = `CASE WHEN v.overage = 'charge' AND v.overage_price_micros > 0 THEN s.spend_cap_micros END`

// SetSpendCap bounds what the tenant's own subscription is charged in a period above what its plan includes; nil: nothing does.
// It holds at once, also for the period that runs: more is granted from now on, or nothing where as much is charged already. What
// calls in flight hold when a cap is lowered they may still use. Conflict where the plan blocks: there is nothing to cap.
func (s *Store) SetSpendCap(ctx context.Context, tenantID int64, limit *money.Micros) error {
	if err := tenancy.CheckSpendCap(limit); err != nil {
		return err
	}
	err := s.inTx(ctx, func(t *tx) error {
		tenant, err := t.lockOpenTenant(ctx, tenantID)
		if err != nil {
			return err
		}
		return t.setSpendCap(ctx, tenant.SubscriptionID, tenantID, limit)
	})
	if err != nil {
		return fmt.Errorf("spend cap of tenant %d: %w", tenantID, err)
	}
	return nil
}

func (t *tx) setSpendCap(ctx context.Context, subscriptionID, tenantID int64, limit *money.Micros) error {
	// Locked in the order of a period's opening and of a lease: subscription, then buckets.
	var before *money.Micros
	if err := t.GetContext(ctx, &before, `SELECT spend_cap_micros FROM subscriptions WHERE id = $1 FOR UPDATE`, subscriptionID); err != nil {
		return fmt.Errorf("lock subscription %d: %w", subscriptionID, err)
	}
	period, err := t.ensurePeriod(ctx, subscriptionID)
	if err != nil {
		return err
	}
	var charges bool
	const terms = `SELECT v.overage = 'charge' FROM billing_periods p JOIN plan_versions v ON v.id = p.plan_version_id WHERE p.id = $1`
	if err := t.GetContext(ctx, &charges, terms, period.ID); err != nil {
		return fmt.Errorf("read terms of period %d: %w", period.ID, err)
	}
	if limit != nil && !charges {
		return fault.New(fault.Conflict, "spend.error.plan_blocks")
	}
	if _, err := t.ExecContext(ctx, `UPDATE subscriptions SET spend_cap_micros = $2 WHERE id = $1`, subscriptionID, limit); err != nil {
		return fmt.Errorf("cap subscription %d: %w", subscriptionID, err)
	}
	if err := t.limitOpenPeriods(ctx, subscriptionID, period.ID); err != nil {
		return err
	}
	return t.audit(ctx, "tenant.spend_cap", tenantSubject(tenantID), tenantID, map[string]any{"spend_cap": plainCap(limit), "old_spend_cap": plainCap(before)})
}

// plainCap is a cap as the audit log keeps it.
func plainCap(limit *money.Micros) any {
	if limit == nil {
		return nil
	}
	return limit.Plain()
}

// limitOpenPeriods makes a cap hold in the current period, and in those that a replica whose clock was ahead has opened after it.
// Replicas are asked to hand back what they do not hold: it may be more than the cap allows.
func (t *tx) limitOpenPeriods(ctx context.Context, subscriptionID, currentID int64) error {
	const lock = `SELECT b.period_id FROM quota_buckets b JOIN billing_periods p ON p.id = b.period_id
		WHERE p.subscription_id = $1 AND (p.id = $2 OR p.ends_at > $3) ORDER BY b.period_id FOR UPDATE OF b`
	var ids []int64
	if err := t.SelectContext(ctx, &ids, lock, subscriptionID, currentID, t.now); err != nil {
		return fmt.Errorf("lock periods of subscription %d: %w", subscriptionID, err)
	}
	for _, id := range ids {
		if err := t.limitPeriod(ctx, id); err != nil {
			return err
		}
		if _, err := t.ExecContext(ctx, `SELECT pg_notify('filaia_leases', $1)`, fmt.Sprintf("%d ", id)); err != nil {
			return fmt.Errorf("recall leases of period %d: %w", id, err)
		}
	}
	return nil
}

// limitPeriod writes the limits of a period's plan and of its subscription's cap into its bucket, which must be locked. Beside what
// is used above the limits, the cap allows as many tokens as what is left of it pays for.
func (t *tx) limitPeriod(ctx context.Context, periodID int64) error {
	const limit = `UPDATE quota_buckets b SET hard = v.overage = 'block' OR c.cap IS NOT NULL,
			limit_in = v.input_tokens, limit_out = v.output_tokens, spend_cap_micros = c.cap,
			extra_tokens = CASE WHEN c.cap IS NULL THEN 0 ELSE greatest(b.used_in - v.input_tokens, 0)
				+ greatest(b.used_out - v.output_tokens, 0) + greatest(c.cap - b.charge_brl_micros, 0) / v.overage_price_micros END,
			extra_taken = CASE WHEN c.cap IS NULL THEN 0 ELSE greatest(b.used_in - b.overrun_in + b.leased_in - v.input_tokens, 0)
				+ greatest(b.used_out - b.overrun_out + b.leased_out - v.output_tokens, 0) END
		FROM billing_periods p JOIN plan_versions v ON v.id = p.plan_version_id JOIN subscriptions s ON s.id = p.subscription_id
		CROSS JOIN LATERAL (SELECT ` + capInForce + ` AS cap) c
		WHERE p.id = b.period_id AND b.period_id = $1`
	if _, err := t.ExecContext(ctx, limit, periodID); err != nil {
		return fmt.Errorf("limit bucket %d: %w", periodID, err)
	}
	return nil
}
