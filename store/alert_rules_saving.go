package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/fault"
)

// refuseTwin is a Conflict, because of an alert.Twin, where the rule that was just written says the same as another one: everybody would
// be told everything twice. Writers wait for each other here, so that the second of two that come at once sees the first: nothing else takes
// that lock, and what they hold of rules is of their own.
func (t *tx) refuseTwin(ctx context.Context, id int64) error {
	const theirs = `ARRAY['id', 'name', 'enabled', 'created_at', 'updated_at']`
	const query = `SELECT o.id FROM alert_rules r JOIN alert_rules o ON o.id <> r.id AND o.audience = r.audience AND o.scope = r.scope AND o.metric = r.metric
		AND o.deleted_at IS NULL AND to_jsonb(o) - ` + theirs + ` = to_jsonb(r) - ` + theirs + ` WHERE r.id = $1 ORDER BY o.id LIMIT 1`
	if _, err := t.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtext('filaia_alert_rule_twins'))`); err != nil {
		return fmt.Errorf("wait for others who save a rule: %w", err)
	}
	var twin int64
	err := t.GetContext(ctx, &twin, query, id)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("look for rules that say the same: %w", err)
	}
	return fault.New(fault.Conflict, "alert_saving.error.twin").Because(&alert.Twin{ID: twin})
}

// RuleAlike gives another rule that is switched on and watches the same for the same, in whatever way it tells of it; 0: there is none.
// What is given needs not be kept.
func (s *Store) RuleAlike(ctx context.Context, r alert.Rule) (int64, error) {
	const query = `SELECT id FROM alert_rules WHERE deleted_at IS NULL AND enabled AND id <> $1 AND audience = $2 AND scope = $3 AND metric = $4
		AND coalesce(plan_id, 0) = $5 AND coalesce(tenant_id, 0) = $6 AND coalesce(key_id, 0) = $7 AND direction = $8 AND window_minutes = $9 ORDER BY id LIMIT 1`
	var id int64
	err := s.db.GetContext(ctx, &id, query, r.ID, string(r.Audience), string(r.Scope), string(r.Metric), r.PlanID, r.TenantID, r.KeyID, string(r.Direction), r.Window)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("look for a rule like one: %w", err)
	}
	return id, nil
}

// ToldAtOnce gives what the rule would tell if it were saved now, of at most dueBatch periods: as RaiseDue would, and raising nothing.
// Of a metric that MayTellAtOnce does not name it is nothing.
func (s *Store) ToldAtOnce(ctx context.Context, r alert.Rule) (alert.AtOnce, error) {
	var told alert.AtOnce
	if !r.Enabled || !r.Metric.MayTellAtOnce() {
		return told, nil
	}
	err := s.inTx(ctx, func(t *tx) error {
		const query = `SELECT p.id FROM billing_periods p JOIN subscriptions s ON s.id = p.subscription_id AND s.ended_at IS NULL
			JOIN quota_buckets b ON b.period_id = p.id JOIN plan_versions v ON v.id = p.plan_version_id
			WHERE p.starts_at <= now() AND p.ends_at > now() AND b.used_in + b.used_out + b.charge_brl_micros > 0
				AND ($1 = 0 OR v.plan_id = $1) AND ($2 = 0 OR p.tenant_id = $2) ORDER BY p.id LIMIT $3`
		var ids []int64
		if err := t.SelectContext(ctx, &ids, query, r.PlanID, r.TenantID, dueBatch+1); err != nil {
			return fmt.Errorf("find open periods: %w", err)
		}
		if told.More = len(ids) > dueBatch; told.More {
			ids = ids[:dueBatch]
		}
		rows, err := t.standings(ctx, ids)
		if err != nil {
			return err
		}
		rules, err := t.rulesFor(ctx, rows)
		if err != nil {
			return err
		}
		before, err := t.toldOf(ctx, rows)
		if err != nil {
			return err
		}
		for i := range rows {
			if rows[i].Over {
				continue
			}
			stand := rows[i].standing()
			lead, news, reached := stand.Saved(r, rules.of(stand.Covered), before[stand.Subject.Key], t.now)
			if news {
				told.News = append(told.News, lead)
			} else if reached {
				told.Old++
			}
		}
		return nil
	})
	if err != nil {
		return alert.AtOnce{}, fmt.Errorf("foresee what a rule of %s tells: %w", r.Metric, err)
	}
	return told, nil
}
