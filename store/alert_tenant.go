package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/i18n"
)

// TenantAlertRules gives the rules of the customers' audience that may cover a tenant or one of its keys, as the tenant may see
// them, and what of it they cover. alert.Deciding tells what they decide. Of what covers others too it tells neither the name nor
// whom else the operator has chosen: addresses, channels, and who is told when nobody acknowledges.
func (s *Store) TenantAlertRules(ctx context.Context, tenantID int64) (rules []alert.Rule, covered alert.Covered, err error) {
	err = s.ForTenant(tenantID).read(ctx, func(tx *tx) error {
		rules, covered, err = rulesCovering(ctx, tx, tenantID)
		return err
	})
	for i := range rules {
		if r := &rules[i]; r.TenantID == 0 {
			r.Name, r.To.Addresses, r.To.Channels, r.Escalation = "", nil, nil, nil
		}
	}
	return rules, covered, err
}

// SaveTenantAlerts makes or changes a tenant's own rules, all or none. Each has the scope of the tenant, or with a KeyID of that
// key, and decides alone about its topic: other rules of the same scope for it go. An UpdatedAt is when its own rule was changed
// last as the person saw it, zero where there was none; when that is not so any more, it is a Conflict.
func (s *Store) SaveTenantAlerts(ctx context.Context, tenantID int64, rules ...alert.Rule) error {
	for i := range rules {
		rules[i].TenantID, rules[i].PlanID, rules[i].Scope = tenantID, 0, alert.Tenant
		if rules[i].KeyID != 0 {
			rules[i].Scope = alert.Key
		}
		if err := rules[i].Validate(); err != nil {
			return err
		}
	}
	err := s.inTx(ctx, func(tx *tx) error {
		if _, err := tx.lockOpenTenant(ctx, tenantID); err != nil {
			return err
		}
		if err := tx.lockOwnRules(ctx, tenantID); err != nil {
			return err
		}
		return tx.asking(ctx, tenantID, rules, func() error {
			for _, r := range rules {
				if err := tx.saveTenantRule(ctx, r); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("save alerts of tenant %d: %w", tenantID, err)
	}
	return nil
}

func (t *tx) saveTenantRule(ctx context.Context, r alert.Rule) error {
	own, err := t.ownRules(ctx, r.TenantID, alert.Topic{Audience: r.Audience, Metric: r.Metric, KeyID: r.KeyID})
	if err != nil {
		return err
	}
	if len(own) == 0 {
		if !r.UpdatedAt.IsZero() {
			return fault.New(fault.Conflict, "tenant_alerts.error.changed_meanwhile")
		}
		_, err := t.createRule(ctx, r)
		return err
	}
	kept := own[0]
	for _, o := range own {
		if o.ID == r.ID {
			kept = o
		}
	}
	if !r.UpdatedAt.Equal(kept.UpdatedAt) {
		return fault.New(fault.Conflict, "tenant_alerts.error.changed_meanwhile")
	}
	r.ID = kept.ID
	if _, err := t.updateRule(ctx, r); err != nil {
		return err
	}
	for _, o := range own {
		if o.ID != kept.ID {
			if err := t.dropTenantRule(ctx, o); err != nil {
				return err
			}
		}
	}
	return nil
}

// lockOwnRules makes changes of a tenant's own rules wait for each other. All are locked at once, in one order: a form names several, in its
// own. Commits that raise their alerts share the rows' keys and do not wait.
func (t *tx) lockOwnRules(ctx context.Context, tenantID int64) error {
	const lock = `SELECT FROM alert_rules WHERE tenant_id = $1 AND deleted_at IS NULL ORDER BY id FOR NO KEY UPDATE`
	if _, err := t.ExecContext(ctx, lock, tenantID); err != nil {
		return fmt.Errorf("lock rules of tenant %d: %w", tenantID, err)
	}
	return nil
}

// ownRules are a tenant's own rules of a topic. They must be locked.
func (t *tx) ownRules(ctx context.Context, tenantID int64, topic alert.Topic) ([]alert.Rule, error) {
	var rows []alertRuleRow
	const query = `SELECT ` + alertRuleColumns + ` ` + alertRuleFrom + ` WHERE r.tenant_id = $1 AND r.audience = $2 AND r.metric = $3
		AND coalesce(r.key_id, 0) = $4 AND r.scope IN ('tenant', 'key') AND r.deleted_at IS NULL ORDER BY r.id`
	if err := t.SelectContext(ctx, &rows, query, tenantID, string(topic.Audience), string(topic.Metric), topic.KeyID); err != nil {
		return nil, fmt.Errorf("own rules about %s: %w", topic.Metric, err)
	}
	rules := make([]alert.Rule, len(rows))
	for i, r := range rows {
		rules[i] = r.rule()
	}
	return rules, nil
}

func (t *tx) dropTenantRule(ctx context.Context, r alert.Rule) error {
	const drop = `UPDATE alert_rules SET deleted_at = $3, updated_at = $3 WHERE id = $1 AND tenant_id = $2`
	if _, err := t.ExecContext(ctx, drop, r.ID, r.TenantID, t.now); err != nil {
		return fmt.Errorf("drop rule %d: %w", r.ID, err)
	}
	return t.audit(ctx, "alert_rule.delete", ruleSubject(r.ID), r.TenantID, detailsOfRule(r))
}

// DropTenantAlert takes a tenant's own rules of a topic away: what is decided more widely holds again. Without any it does
// nothing.
func (s *Store) DropTenantAlert(ctx context.Context, tenantID int64, topic alert.Topic) error {
	err := s.inTx(ctx, func(tx *tx) error {
		if err := tx.lockOwnRules(ctx, tenantID); err != nil {
			return err
		}
		own, err := tx.ownRules(ctx, tenantID, topic)
		if err != nil {
			return err
		}
		for _, r := range own {
			if err := tx.dropTenantRule(ctx, r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("drop alerts of tenant %d: %w", tenantID, err)
	}
	return nil
}

// TenantMailing tells how a tenant is written to, and who asked for no more, by address. The tenant itself may see all of it.
func (s *Store) TenantMailing(ctx context.Context, tenantID int64) (alert.Mailing, error) {
	var row struct {
		Name     string `db:"name"`
		Email    string `db:"email"`
		Language string `db:"language"`
	}
	var silent []struct {
		Address string    `db:"address"`
		Metric  string    `db:"metric"`
		At      time.Time `db:"at"`
	}
	err := s.ForTenant(tenantID).read(ctx, func(tx *tx) error {
		if err := tx.GetContext(ctx, &row, `SELECT name, email, language FROM tenants WHERE id = $1`, tenantID); err != nil {
			return known(err, tenantMissing)
		}
		return tx.SelectContext(ctx, &silent, `SELECT address, metric, at FROM alert_unsubscribes WHERE tenant_id = $1
			ORDER BY lower(address), metric LIMIT $2`, tenantID, maxShares)
	})
	if err != nil {
		return alert.Mailing{}, fmt.Errorf("mailing of tenant %d: %w", tenantID, err)
	}
	m := alert.Mailing{Company: row.Name, Email: row.Email, Language: i18n.Lang(row.Language)}
	for _, o := range silent {
		m.Silent = append(m.Silent, alert.Silenced{Address: o.Address, Metric: alert.Metric(o.Metric), At: o.At.UTC()})
	}
	return m, nil
}

// SetTenantLanguage chooses the language that a tenant's address is written to in.
func (s *Store) SetTenantLanguage(ctx context.Context, tenantID int64, lang i18n.Lang) error {
	if !slices.Contains(i18n.Langs(), lang) {
		var f fault.Form
		f.Reject("language", "error.required")
		return f.Err()
	}
	err := s.inTx(ctx, func(tx *tx) error {
		before, err := tx.lockOpenTenant(ctx, tenantID)
		if err != nil || before.Language == lang {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE tenants SET language = $2, updated_at = $3 WHERE id = $1`, tenantID, string(lang), tx.now); err != nil {
			return err
		}
		return tx.audit(ctx, "tenant.language", tenantSubject(tenantID), tenantID, map[string]any{"language": lang, "old_language": before.Language})
	})
	if err != nil {
		return fmt.Errorf("language of tenant %d: %w", tenantID, err)
	}
	return nil
}

// Subscribed tells what has ended already of what a link may end. NotFound when the tenant is gone.
func (s *Store) Subscribed(ctx context.Context, link alert.Subscription) (alert.Subscribed, error) {
	var row struct {
		Company string `db:"name"`
		Metric  bool   `db:"one"`
		Whole   bool   `db:"whole"`
	}
	const query = `SELECT t.name, coalesce(bool_or(o.metric = $3), false) AS one, coalesce(bool_or(o.metric = ''), false) AS whole
		FROM tenants t LEFT JOIN alert_unsubscribes o ON o.tenant_id = t.id AND lower(o.address) = lower($2) WHERE t.id = $1 GROUP BY t.id`
	if err := s.db.GetContext(ctx, &row, query, link.TenantID, link.Address, string(link.Metric)); err != nil {
		return alert.Subscribed{}, fmt.Errorf("mail of tenant %d: %w", link.TenantID, known(err, tenantMissing))
	}
	return alert.Subscribed(row), nil
}

// Unsubscribe ends the e-mails that the link names. Once more changes nothing.
func (s *Store) Unsubscribe(ctx context.Context, link alert.Subscription) error {
	return s.changeMail(ctx, "alert.unsubscribe", link, `INSERT INTO alert_unsubscribes (tenant_id, address, metric, at)
		SELECT id, lower($2), $3, $4 FROM tenants WHERE id = $1 ON CONFLICT DO NOTHING`)
}

// Resubscribe takes Unsubscribe back. Once more changes nothing.
func (s *Store) Resubscribe(ctx context.Context, link alert.Subscription) error {
	return s.changeMail(ctx, "alert.resubscribe", link, `DELETE FROM alert_unsubscribes
		WHERE tenant_id = $1 AND lower(address) = lower($2) AND metric = $3 AND $4::timestamptz IS NOT NULL`)
}

// changeMail leaves the address out of the audit log: it is a person's, who may not even sign in here.
func (s *Store) changeMail(ctx context.Context, action string, link alert.Subscription, change string) error {
	err := s.inTx(ctx, func(tx *tx) error {
		done, err := tx.ExecContext(ctx, change, link.TenantID, link.Address, string(link.Metric), tx.now)
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return err
		}
		return tx.audit(ctx, action, tenantSubject(link.TenantID), link.TenantID, map[string]any{"metric": link.Metric})
	})
	if err != nil {
		return fmt.Errorf("%s of tenant %d: %w", action, link.TenantID, err)
	}
	return nil
}
