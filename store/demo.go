package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/lib/pq"

	"github.com/fila-ia/filaia/internal/demo"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
)

// demoBatch is how many events go into one statement.
const demoBatch = 4000

// DemoBasis tells what an empty installation brings; it is fault.Conflict where there are tenants already.
func (s *Store) DemoBasis(ctx context.Context) (demo.Basis, error) {
	basis := demo.Basis{Plans: map[string]tenancy.Terms{}, Models: map[string]tenancy.Model{}}
	err := s.inTx(ctx, func(t *tx) error {
		if err := t.refuseUnlessEmpty(ctx); err != nil {
			return err
		}
		if err := t.GetContext(ctx, &basis.HasUsers, `SELECT EXISTS (SELECT FROM users)`); err != nil {
			return err
		}
		return t.demoPlans(ctx, basis.Plans)
	})
	if err != nil {
		return basis, fmt.Errorf("read what the demonstration stands on: %w", err)
	}
	models, err := s.Models(ctx)
	for _, m := range models {
		basis.Models[m.Name] = m
	}
	return basis, err
}

func (t *tx) refuseUnlessEmpty(ctx context.Context) error {
	var taken bool
	if err := t.GetContext(ctx, &taken, `SELECT EXISTS (SELECT FROM tenants)`); err != nil {
		return err
	}
	if taken {
		return fault.New(fault.Conflict, "demo.error.not_empty")
	}
	return nil
}

func (t *tx) demoPlans(ctx context.Context, plans map[string]tenancy.Terms) error {
	const query = `SELECT DISTINCT ON (p.id) p.slug, v.input_tokens, v.output_tokens, v.overage, v.cache_mode, v.cache_minutes, v.cache_billed_percent
		FROM plans p JOIN plan_versions v ON v.plan_id = p.id
		WHERE v.published_at IS NOT NULL AND p.archived_at IS NULL ORDER BY p.id, v.number DESC`
	rows, err := t.QueryxContext(ctx, query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var slug string
		var terms tenancy.Terms
		if err := rows.Scan(&slug, &terms.InputTokens, &terms.OutputTokens, &terms.Overage, &terms.Cache, &terms.CacheMinutes,
			&terms.CacheBilled); err != nil {
			return err
		}
		plans[slug] = terms
	}
	return rows.Err()
}

// LoadDemo writes the demonstration in one transaction: whole or not at all. It is fault.Conflict where there are
// tenants already.
func (s *Store) LoadDemo(ctx context.Context, world *demo.World) error {
	now := s.now()
	if err := s.EnsurePartitions(ctx, now.AddDate(0, 0, -demo.Days-1), now.AddDate(0, 1, 0)); err != nil {
		return err
	}
	err := s.inCommit(ctx, newPrepared(s.commits), func(t *tx) error { // events are copied in there
		if _, err := t.ExecContext(ctx, `LOCK TABLE tenants IN SHARE ROW EXCLUSIVE MODE`); err != nil {
			return err
		}
		if err := t.refuseUnlessEmpty(ctx); err != nil {
			return err
		}
		if err := t.insertDemoPlan(ctx, world.Plan); err != nil {
			return err
		}
		for _, u := range world.Team {
			if err := t.insertDemoUser(ctx, u, 0); err != nil {
				return err
			}
		}
		for i := range world.Customers {
			if err := t.insertDemoCustomer(ctx, s, &world.Customers[i]); err != nil {
				return fmt.Errorf("customer %q: %w", world.Customers[i].Draft.Name, err)
			}
		}
		if _, err := t.ExecContext(ctx, `DELETE FROM usage_minutes WHERE minute < $1`, t.now.Add(-minutesKept)); err != nil {
			return err
		}
		return t.audit(ctx, "demo.seed", "installation", 0, nil)
	})
	if err != nil {
		return err
	}
	// Fresh tables have no statistics; without them the first pages are planned badly.
	if _, err := s.db.ExecContext(ctx, `ANALYZE usage_events, usage_hourly, usage_minutes, billing_periods, quota_buckets`); err != nil {
		return fmt.Errorf("analyze: %w", err)
	}
	return nil
}

func (t *tx) insertDemoPlan(ctx context.Context, d tenancy.PlanDraft) error {
	const insert = `WITH p AS (INSERT INTO plans (slug, name, description, created_at) VALUES ($1, $2, $3, $4) RETURNING id)
		INSERT INTO plan_versions (plan_id, number, price_micros, input_tokens, output_tokens, overage, overage_price_micros,
			requests_per_minute, tokens_per_minute, parallel_calls, allowed_models, published_at, created_at,
			cache_mode, cache_minutes, cache_billed_percent)
		SELECT id, 1, $5, $6, $7, $8, $9, NULLIF($10, 0), NULLIF($11, 0), NULLIF($12, 0), $13, $4, $4, $14, $15, $16 FROM p`
	_, err := t.ExecContext(ctx, insert, d.Slug, d.Name, d.Description, t.now, d.Terms.Price, d.Terms.InputTokens,
		d.Terms.OutputTokens, d.Terms.Overage, d.Terms.OveragePrice, d.Terms.RequestsPerMinute, d.Terms.TokensPerMinute,
		d.Terms.ParallelCalls, pq.Array(d.Terms.AllowedModels), d.Terms.Cache, d.Terms.CacheMinutes, d.Terms.CacheBilled)
	if err != nil {
		return fmt.Errorf("insert plan: %w", known(err, "demo.error.not_empty"))
	}
	return nil
}

func (t *tx) insertDemoUser(ctx context.Context, u demo.User, tenantID int64) error {
	const insert = `INSERT INTO users (email, name, role, tenant_id, password_hash, created_at)
		VALUES ($1, $2, $3, NULLIF($4, 0), $5, $6)`
	if _, err := t.ExecContext(ctx, insert, u.Email, u.Name, u.Role, tenantID, u.PasswordHash, t.now); err != nil {
		return fmt.Errorf("insert user: %w", known(err, "demo.error.not_empty"))
	}
	return nil
}

func (t *tx) insertDemoCustomer(ctx context.Context, s *Store, c *demo.Customer) error {
	const tenant = `INSERT INTO tenants (name, email, tax_id, time_zone, billing_day, status, created_at, updated_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $7) RETURNING id`
	var tenantID int64
	d := c.Draft
	if err := t.GetContext(ctx, &tenantID, tenant, d.Name, d.Email, d.TaxID, d.TimeZone, d.BillingDay, c.Status, c.Since); err != nil {
		return fmt.Errorf("insert tenant: %w", err)
	}
	const subscription = `INSERT INTO subscriptions (tenant_id, scope, plan_version_id, anchor_day, started_at)
		SELECT $1, 'tenant', v.id, $3, $4 FROM plans p JOIN plan_versions v ON v.plan_id = p.id
		WHERE p.slug = $2 AND v.published_at IS NOT NULL ORDER BY v.number DESC LIMIT 1 RETURNING id, plan_version_id`
	var sub struct {
		ID        int64 `db:"id"`
		VersionID int64 `db:"plan_version_id"`
	}
	if err := t.GetContext(ctx, &sub, subscription, tenantID, c.PlanSlug, d.BillingDay, c.Since); err != nil {
		return fmt.Errorf("insert subscription: %w", err)
	}
	for _, u := range c.Users {
		if err := t.insertDemoUser(ctx, u, tenantID); err != nil {
			return err
		}
	}
	keys, err := t.insertDemoKeys(ctx, tenantID, c)
	if err != nil {
		return err
	}
	periods := make([]int64, len(c.Periods))
	for i, p := range c.Periods {
		row, err := t.insertPeriod(ctx, sub.ID, tenantID, sub.VersionID, p)
		if err != nil {
			return err
		}
		periods[i] = row.ID
	}
	for i := range c.Events {
		e := &c.Events[i]
		e.TenantID, e.KeyID, e.PeriodID = tenantID, keys[e.KeyID], periods[e.PeriodID]
	}
	return t.insertDemoEvents(ctx, s, c.Events)
}

func (t *tx) insertDemoKeys(ctx context.Context, tenantID int64, c *demo.Customer) ([]int64, error) {
	last := make([]*time.Time, len(c.Keys))
	for i := range c.Events {
		last[c.Events[i].KeyID] = &c.Events[i].CreatedAt
	}
	ids := make([]int64, len(c.Keys))
	for i, k := range c.Keys {
		const insert = `INSERT INTO api_keys (tenant_id, name, hash, hint, created_at, revoked_at, last_used_at, cache_mode)
			VALUES ($1, $2, $3, $4, $5, $6, $7, NULLIF($8, '')) RETURNING id`
		hash := k.Secret.Hash()
		if err := t.GetContext(ctx, &ids[i], insert, tenantID, k.Name, hash[:], k.Secret.Hint(), k.CreatedAt, k.RevokedAt, last[i],
			string(k.Cache)); err != nil {
			return nil, fmt.Errorf("insert key: %w", err)
		}
	}
	return ids, nil
}

// insertDemoEvents goes the way of real calls, so that events, rollups, buckets and charges agree as theirs do.
func (t *tx) insertDemoEvents(ctx context.Context, s *Store, events []usage.Event) error {
	committer := s.UsageCommitter("demo", func(Committed) {})
	for batch := range slices.Chunk(events, demoBatch) {
		accounts, err := committer.lockAccounts(ctx, t, batch)
		if err != nil {
			return err
		}
		charges := charge(batch, accounts)
		if err := t.insertEvents(ctx, batch, charges); err != nil {
			return err
		}
		if err := t.addRollups(ctx, batch, charges); err != nil {
			return err
		}
		if err := committer.saveAccounts(ctx, t, accounts); err != nil {
			return err
		}
	}
	return nil
}
