package store

import (
	"context"
	"fmt"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
)

func tenantSubject(id int64) string { return fmt.Sprintf("tenant:%d", id) }

// CreateTenant makes a tenant and subscribes it from now on to the plan's newest published version. A tax id in use
// is a Conflict on the field tax_id, a plan that is not on sale an Invalid on the field plan.
func (s *Store) CreateTenant(ctx context.Context, d tenancy.TenantDraft) (tenant tenancy.Tenant, err error) {
	if err := d.Validate(); err != nil {
		return tenant, err
	}
	err = s.inTx(ctx, func(tx *tx) error {
		version, err := tx.versionOnSale(ctx, d.PlanID)
		if err != nil {
			return err
		}
		var id int64
		const insert = `INSERT INTO tenants (name, email, tax_id, time_zone, billing_day, created_at, updated_at,
				requests_per_minute, tokens_per_minute, parallel_calls, language)
			VALUES ($1, $2, $3, $4, $5, $6, $6, NULLIF($7, 0), NULLIF($8, 0), NULLIF($9, 0), COALESCE(NULLIF($10, ''), 'pt-BR')) RETURNING id`
		if err := tx.GetContext(ctx, &id, insert, d.Name, d.Email, d.TaxID, d.TimeZone, d.BillingDay, tx.now,
			d.Rates.RequestsPerMinute, d.Rates.TokensPerMinute, d.Rates.ParallelCalls, string(d.Language)); err != nil {
			return known(err, tenantMissing)
		}
		if _, err := tx.subscribe(ctx, id, "tenant", version.ID, d.BillingDay); err != nil {
			return err
		}
		details := map[string]any{"name": d.Name, "plan_id": d.PlanID, "version": version.Number}
		if rates := detailsOfRates(d.Rates); rates != nil {
			details["limits"] = rates
		}
		if err := tx.audit(ctx, "tenant.create", tenantSubject(id), id, details); err != nil {
			return err
		}
		tenant, err = oneTenant(ctx, tx, tx.now, id)
		return err
	})
	if err != nil {
		return tenancy.Tenant{}, fmt.Errorf("create tenant %q: %w", d.Name, err)
	}
	return tenant, nil
}

// UpdateTenant changes a tenant's details. A new billing day or time zone counts from the next period on; a plan other than the
// current one is a change of plan as in ChangePlan, whose answer it gives (ChangeNone when the plan stays).
func (s *Store) UpdateTenant(ctx context.Context, id int64, d tenancy.TenantDraft) (change tenancy.PlanChange, err error) {
	if err := d.Validate(); err != nil {
		return change, err
	}
	change.Timing = tenancy.ChangeNone
	err = s.inTx(ctx, func(tx *tx) error {
		before, err := tx.lockOpenTenant(ctx, id)
		if err != nil {
			return err
		}
		const update = `UPDATE tenants SET name = $2, email = $3, tax_id = $4, time_zone = $5, billing_day = $6, updated_at = $7,
				requests_per_minute = NULLIF($8, 0), tokens_per_minute = NULLIF($9, 0), parallel_calls = NULLIF($10, 0),
				language = COALESCE(NULLIF($11, ''), language)
			WHERE id = $1`
		if _, err := tx.ExecContext(ctx, update, id, d.Name, d.Email, d.TaxID, d.TimeZone, d.BillingDay, tx.now,
			d.Rates.RequestsPerMinute, d.Rates.TokensPerMinute, d.Rates.ParallelCalls, string(d.Language)); err != nil {
			return known(err, tenantMissing)
		}
		const anchor = `UPDATE subscriptions SET anchor_day = $2 WHERE tenant_id = $1 AND ended_at IS NULL AND anchor_day <> $2`
		if _, err := tx.ExecContext(ctx, anchor, id, d.BillingDay); err != nil {
			return fmt.Errorf("billing day: %w", err)
		}
		if err := tx.audit(ctx, "tenant.edit", tenantSubject(id), id, changedFields(before, d)); err != nil {
			return err
		}
		if d.PlanID != before.PlanID {
			change, err = tx.changePlan(ctx, before.SubscriptionID, id, d.PlanID)
		}
		return err
	})
	if err != nil {
		return tenancy.PlanChange{}, fmt.Errorf("edit tenant %d: %w", id, err)
	}
	return change, nil
}

// changedFields names what an edit changes and from what; the values of a person's data stay out of the log.
func changedFields(before tenancy.Tenant, d tenancy.TenantDraft) map[string]any {
	details := map[string]any{"name": d.Name}
	if d.Name != before.Name {
		details["old_name"] = before.Name
	}
	if d.Email != before.Email {
		details["email"] = "changed"
	}
	if d.TaxID != before.TaxID {
		details["tax_id"] = "changed"
	}
	if d.TimeZone != before.TimeZone {
		details["time_zone"] = d.TimeZone
	}
	if d.Language != "" && d.Language != before.Language {
		details["language"] = d.Language
	}
	if d.BillingDay != before.BillingDay {
		details["billing_day"] = d.BillingDay
	}
	if d.Rates != before.Rates {
		details["limits"], details["old_limits"] = detailsOfRates(d.Rates), detailsOfRates(before.Rates)
	}
	return details
}

// ratesDetails is what the audit log keeps of limits; nil where there is none.
type ratesDetails struct {
	RequestsPerMinute int `json:"requests_per_minute,omitempty"`
	TokensPerMinute   int `json:"tokens_per_minute,omitempty"`
	ParallelCalls     int `json:"parallel_calls,omitempty"`
}

func detailsOfRates(r tenancy.Rates) *ratesDetails {
	if r == (tenancy.Rates{}) {
		return nil
	}
	d := ratesDetails(r)
	return &d
}

// lockOpenTenant makes changes of one tenant wait for each other; a closed one is a Conflict.
func (t *tx) lockOpenTenant(ctx context.Context, id int64) (tenancy.Tenant, error) {
	var status tenancy.TenantStatus
	if err := t.GetContext(ctx, &status, `SELECT status FROM tenants WHERE id = $1 FOR NO KEY UPDATE`, id); err != nil {
		return tenancy.Tenant{}, known(err, tenantMissing)
	}
	if status == tenancy.TenantClosed {
		return tenancy.Tenant{}, fault.New(fault.Conflict, "tenants.error.closed")
	}
	return oneTenant(ctx, t, t.now, id)
}

// SuspendTenant lets every key of the tenant be refused until it is reactivated. Doing it twice does nothing.
func (s *Store) SuspendTenant(ctx context.Context, id int64) error {
	return s.setTenantStatus(ctx, id, tenancy.TenantSuspended, "tenant.suspend")
}

// ReactivateTenant lets a suspended tenant's keys work again. Doing it twice does nothing.
func (s *Store) ReactivateTenant(ctx context.Context, id int64) error {
	return s.setTenantStatus(ctx, id, tenancy.TenantActive, "tenant.reactivate")
}

// CloseTenant ends a tenant for good: its keys are revoked and its subscriptions end now. What it used stays on
// record. Doing it twice does nothing.
func (s *Store) CloseTenant(ctx context.Context, id int64) error {
	return s.setTenantStatus(ctx, id, tenancy.TenantClosed, "tenant.close")
}

func (s *Store) setTenantStatus(ctx context.Context, id int64, status tenancy.TenantStatus, action string) error {
	err := s.inTx(ctx, func(tx *tx) error {
		var before tenancy.TenantStatus
		if err := tx.GetContext(ctx, &before, `SELECT status FROM tenants WHERE id = $1 FOR NO KEY UPDATE`, id); err != nil {
			return known(err, tenantMissing)
		}
		if before == status {
			return nil
		}
		if before == tenancy.TenantClosed {
			return fault.New(fault.Conflict, "tenants.error.closed")
		}
		if _, err := tx.ExecContext(ctx, `UPDATE tenants SET status = $2, updated_at = $3 WHERE id = $1`, id, status, tx.now); err != nil {
			return err
		}
		details := map[string]any{"before": before}
		if status == tenancy.TenantClosed {
			keys, err := tx.endTenant(ctx, id)
			if err != nil {
				return err
			}
			details["keys_revoked"] = keys
		}
		return tx.audit(ctx, action, tenantSubject(id), id, details)
	})
	if err != nil {
		return fmt.Errorf("%s %d: %w", action, id, err)
	}
	return nil
}

// endTenant revokes a closing tenant's keys, ends its subscriptions and gives the number of keys.
func (t *tx) endTenant(ctx context.Context, id int64) (int64, error) {
	result, err := t.ExecContext(ctx, `UPDATE api_keys SET revoked_at = $2 WHERE tenant_id = $1 AND revoked_at IS NULL`, id, t.now)
	if err != nil {
		return 0, fmt.Errorf("revoke keys: %w", err)
	}
	const end = `UPDATE subscriptions SET ended_at = greatest(started_at, $2), next_plan_version_id = NULL
		WHERE tenant_id = $1 AND ended_at IS NULL`
	if _, err := t.ExecContext(ctx, end, id, t.now); err != nil {
		return 0, fmt.Errorf("end subscriptions: %w", err)
	}
	return result.RowsAffected()
}
