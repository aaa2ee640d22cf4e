package store

import (
	"context"
	"fmt"

	"github.com/fila-ia/filaia/internal/usage"
)

// goalsSetting is where the operator's goals lie; without it the defaults hold.
const goalsSetting = "growth_goals"

// Growth gives the operator's goals and where the business stands.
func (s *Store) Growth(ctx context.Context) (usage.Growth, error) {
	growth := usage.Growth{Goals: usage.DefaultGoals()}
	if err := readSetting(ctx, s.db, goalsSetting, &growth.Goals); err != nil {
		return growth, fmt.Errorf("read goals: %w", err)
	}
	const count = `SELECT count(DISTINCT t.id), COALESCE(sum(v.price_micros), 0)::bigint
		FROM subscriptions s JOIN tenants t ON t.id = s.tenant_id JOIN plan_versions v ON v.id = s.plan_version_id
		WHERE t.status = 'active' AND (s.ended_at IS NULL OR s.ended_at > $1)`
	if err := s.db.QueryRowContext(ctx, count, s.now()).Scan(&growth.Customers, &growth.Fees); err != nil {
		return growth, fmt.Errorf("read growth: %w", err)
	}
	return growth, nil
}

// SetGoals keeps the operator's goals.
func (s *Store) SetGoals(ctx context.Context, goals usage.Goals) error {
	return s.inTx(ctx, func(tx *tx) error {
		if err := tx.keepSetting(ctx, goalsSetting, goals); err != nil {
			return fmt.Errorf("keep goals: %w", err)
		}
		return tx.audit(ctx, "goals.change", "settings:"+goalsSetting, 0, goals)
	})
}

// FirstSteps tells how far a new installation has come.
func (s *Store) FirstSteps(ctx context.Context) (usage.FirstSteps, error) {
	var steps usage.FirstSteps
	const query = `SELECT
		(SELECT count(DISTINCT plan_id) FROM plan_versions WHERE published_at IS NOT NULL),
		(SELECT count(*) FROM tenants),
		(SELECT count(*) FROM api_keys),
		EXISTS (SELECT FROM usage_hourly)`
	if err := s.db.QueryRowContext(ctx, query).Scan(&steps.Plans, &steps.Tenants, &steps.Keys, &steps.Called); err != nil {
		return steps, fmt.Errorf("read first steps: %w", err)
	}
	return steps, nil
}

// TenantName gives the name of a tenant, closed or not.
func (s *Store) TenantName(ctx context.Context, id int64) (string, error) {
	var name string
	if err := s.db.GetContext(ctx, &name, `SELECT name FROM tenants WHERE id = $1`, id); err != nil {
		return "", fmt.Errorf("name of tenant %d: %w", id, known(err, tenantMissing))
	}
	return name, nil
}
