package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/lib/pq"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
)

func keySubject(id int64) string { return fmt.Sprintf("key:%d", id) }

// CreateKey makes a key and its secret, of which only hash and hint are kept: show it now or never. A plan of its own
// gives the key a subscription to itself from now on.
func (s *Store) CreateKey(ctx context.Context, d tenancy.KeyDraft) (key tenancy.Key, secret tenancy.Secret, err error) {
	if err := d.Validate(s.now()); err != nil {
		return key, "", err
	}
	secret = tenancy.NewSecret()
	err = s.inTx(ctx, func(tx *tx) error {
		var tenant struct {
			Status     tenancy.TenantStatus `db:"status"`
			BillingDay int                  `db:"billing_day"`
		}
		const lock = `SELECT status, billing_day FROM tenants WHERE id = $1 FOR SHARE`
		if err := tx.GetContext(ctx, &tenant, lock, d.TenantID); err != nil {
			return known(err, tenantMissing)
		}
		if tenant.Status == tenancy.TenantClosed {
			return fault.New(fault.Conflict, "tenants.error.closed")
		}
		row := keyRow{TenantID: d.TenantID, Name: d.Name, AllowedModels: d.AllowedModels, ExpiresAt: d.ExpiresAt,
			RPM: d.Rates.RequestsPerMinute, TPM: d.Rates.TokensPerMinute, Parallel: d.Rates.ParallelCalls, Cache: string(d.Cache)}
		if d.PlanID != 0 {
			version, err := tx.versionOnSale(ctx, d.PlanID)
			if err != nil {
				return err
			}
			if row.SubscriptionID, err = tx.subscribe(ctx, d.TenantID, "key", version.ID, tenant.BillingDay); err != nil {
				return err
			}
		}
		if row, err = tx.insertKey(ctx, row, secret, 0); err != nil {
			return err
		}
		key = row.key()
		details := map[string]any{"name": key.Name, "hint": key.Hint, "plan_id": d.PlanID, "models": d.AllowedModels}
		if rates := detailsOfRates(d.Rates); rates != nil {
			details["limits"] = rates
		}
		if d.Cache != "" {
			details["cache"] = d.Cache
		}
		return tx.audit(ctx, "key.create", keySubject(key.ID), key.TenantID, details)
	})
	if err != nil {
		return tenancy.Key{}, "", fmt.Errorf("create key for tenant %d: %w", d.TenantID, err)
	}
	return key, secret, nil
}

// insertKey writes a new key; rotatedFrom is the key that it replaces, or 0.
func (t *tx) insertKey(ctx context.Context, k keyRow, secret tenancy.Secret, rotatedFrom int64) (keyRow, error) {
	const insert = `INSERT INTO api_keys (tenant_id, subscription_id, name, hash, hint, allowed_models, expires_at, rotated_from, created_at,
			requests_per_minute, tokens_per_minute, parallel_calls, cache_mode)
		VALUES ($1, NULLIF($2, 0), $3, $4, $5, $6, $7, NULLIF($8, 0), $9, NULLIF($10, 0), NULLIF($11, 0), NULLIF($12, 0), NULLIF($13, ''))
		RETURNING id`
	hash := secret.Hash()
	models := k.AllowedModels
	if models == nil {
		models = pq.StringArray{}
	}
	var id int64
	if err := t.GetContext(ctx, &id, insert, k.TenantID, k.SubscriptionID, k.Name, hash[:], secret.Hint(), models,
		k.ExpiresAt, rotatedFrom, t.now, k.RPM, k.TPM, k.Parallel, k.Cache); err != nil {
		return keyRow{}, known(err, keyMissing)
	}
	return oneKey(ctx, t, id)
}

// lockKey reads a key and makes other changes of it wait.
func (t *tx) lockKey(ctx context.Context, id int64) (keyRow, error) {
	var found int64
	if err := t.GetContext(ctx, &found, `SELECT id FROM api_keys WHERE id = $1 FOR NO KEY UPDATE`, id); err != nil {
		return keyRow{}, known(err, keyMissing)
	}
	return oneKey(ctx, t, id)
}

// RotateKey makes a key that takes over name, plan, models, limits, cache and expiry of the old one, which works for overlap longer
// and no longer than it would have. The quota is the same: it belongs to the subscription. Conflict when the old key
// no longer works or has been rotated already, so that a double click makes one key.
func (s *Store) RotateKey(ctx context.Context, id int64, overlap time.Duration) (key tenancy.Key, secret tenancy.Secret, err error) {
	secret = tenancy.NewSecret()
	err = s.inTx(ctx, func(tx *tx) error {
		if err := tx.lockAlertsOfKey(ctx, id); err != nil {
			return err
		}
		old, err := tx.lockKey(ctx, id)
		if err != nil {
			return err
		}
		if old.RotatedTo != 0 {
			return fault.New(fault.Conflict, "keys.error.already_rotated")
		}
		if old.key().State(tx.now) != tenancy.KeyActive {
			return fault.New(fault.Conflict, "keys.error.not_active")
		}
		row, err := tx.insertKey(ctx, old, secret, old.ID)
		if err != nil {
			return err
		}
		key = row.key()
		until := tx.now.Add(max(overlap, 0))
		const shorten = `UPDATE api_keys SET expires_at = least(coalesce(expires_at, $2), $2) WHERE id = $1`
		if _, err := tx.ExecContext(ctx, shorten, id, until); err != nil {
			return err
		}
		// Its alerts are those of the new one: what they have told stays told.
		if _, err := tx.ExecContext(ctx, `UPDATE alert_rules SET key_id = $2 WHERE key_id = $1 AND deleted_at IS NULL`, id, key.ID); err != nil {
			return fmt.Errorf("move its alerts: %w", err)
		}
		details := map[string]any{"name": old.Name, "old_hint": old.Hint, "new_key": key.ID, "new_hint": key.Hint, "old_works_until": until}
		return tx.audit(ctx, "key.rotate", keySubject(id), old.TenantID, details)
	})
	if err != nil {
		return tenancy.Key{}, "", fmt.Errorf("rotate key %d: %w", id, err)
	}
	return key, secret, nil
}

// lockAlertsOfKey locks what changes when a key's alerts become another's, in the order of everybody: rules, as their forms do, then the
// periods that are looked at again, then, as commits do, keys.
func (t *tx) lockAlertsOfKey(ctx context.Context, id int64) error {
	for _, lock := range []string{
		`SELECT FROM alert_rules WHERE key_id = $1 AND deleted_at IS NULL ORDER BY id FOR NO KEY UPDATE`,
		`SELECT FROM quota_buckets b JOIN billing_periods p ON p.id = b.period_id WHERE p.subscription_id = (SELECT subscription_id FROM api_keys WHERE id = $1)
			AND p.ends_at > now() ORDER BY b.period_id FOR UPDATE OF b`,
	} {
		if _, err := t.ExecContext(ctx, lock, id); err != nil {
			return fmt.Errorf("lock its alerts: %w", err)
		}
	}
	return nil
}

// RevokeKey ends a key at once and for good. A plan of its own ends with the last key that uses it. Doing it twice
// does nothing.
func (s *Store) RevokeKey(ctx context.Context, id int64) error {
	err := s.inTx(ctx, func(tx *tx) error {
		old, err := tx.lockKey(ctx, id)
		if err != nil || old.RevokedAt != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE api_keys SET revoked_at = $2 WHERE id = $1`, id, tx.now); err != nil {
			return err
		}
		if old.SubscriptionID != 0 {
			const end = `UPDATE subscriptions SET ended_at = greatest(started_at, $2), next_plan_version_id = NULL
				WHERE id = $1 AND ended_at IS NULL AND NOT EXISTS (SELECT 1 FROM api_keys
					WHERE subscription_id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2))`
			if _, err := tx.ExecContext(ctx, end, old.SubscriptionID, tx.now); err != nil {
				return fmt.Errorf("end plan: %w", err)
			}
		}
		return tx.audit(ctx, "key.revoke", keySubject(id), old.TenantID, map[string]any{"name": old.Name, "hint": old.Hint})
	})
	if err != nil {
		return fmt.Errorf("revoke key %d: %w", id, err)
	}
	return nil
}

// RenameKey changes what people call a key; programs that use it notice nothing.
func (s *Store) RenameKey(ctx context.Context, id int64, name string) error {
	name = strings.TrimSpace(name)
	var f fault.Form
	f.Check(name != "", "name", "error.required")
	f.Check(len([]rune(name)) <= 80, "name", "error.too_long", "max", 80)
	if err := f.Err(); err != nil {
		return err
	}
	err := s.inTx(ctx, func(tx *tx) error {
		old, err := tx.lockKey(ctx, id)
		if err != nil || old.Name == name {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE api_keys SET name = $2 WHERE id = $1`, id, name); err != nil {
			return err
		}
		return tx.audit(ctx, "key.rename", keySubject(id), old.TenantID, map[string]any{"name": name, "old_name": old.Name})
	})
	if err != nil {
		return fmt.Errorf("rename key %d: %w", id, err)
	}
	return nil
}

// UpdateKeyLimits sets what a key may do a minute and at once beside its plan, and how it uses the cache: an empty mode
// is the plan's. All replicas follow at once; what is the same already changes nothing.
func (s *Store) UpdateKeyLimits(ctx context.Context, id int64, rates tenancy.Rates, cache tenancy.CacheMode) error {
	if err := tenancy.ValidateKeyLimits(rates, cache); err != nil {
		return err
	}
	err := s.inTx(ctx, func(tx *tx) error {
		old, err := tx.lockKey(ctx, id)
		if err != nil || old.rates() == rates && old.Cache == string(cache) {
			return err
		}
		const update = `UPDATE api_keys SET requests_per_minute = NULLIF($2, 0), tokens_per_minute = NULLIF($3, 0),
			parallel_calls = NULLIF($4, 0), cache_mode = NULLIF($5, '') WHERE id = $1`
		if _, err := tx.ExecContext(ctx, update, id, rates.RequestsPerMinute, rates.TokensPerMinute, rates.ParallelCalls, string(cache)); err != nil {
			return err
		}
		details := map[string]any{"name": old.Name, "hint": old.Hint, "limits": detailsOfRates(rates), "old_limits": detailsOfRates(old.rates()),
			"cache": cache, "old_cache": old.Cache}
		return tx.audit(ctx, "key.limits", keySubject(id), old.TenantID, details)
	})
	if err != nil {
		return fmt.Errorf("limit key %d: %w", id, err)
	}
	return nil
}
