package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
)

func ruleSubject(id int64) string { return fmt.Sprintf("alert_rule:%d", id) }

// ruleDetails is what the audit log keeps of a rule.
type ruleDetails struct {
	Name       string   `json:"name,omitempty"`
	Audience   string   `json:"audience"`
	Scope      string   `json:"scope"`
	PlanID     int64    `json:"plan,omitempty"`
	KeyID      int64    `json:"key,omitempty"`
	Metric     string   `json:"metric"`
	Unit       string   `json:"unit"`
	Thresholds []int64  `json:"thresholds"`
	Enabled    bool     `json:"enabled"`
	Roles      []string `json:"roles,omitempty"`
	Contacts   bool     `json:"contacts,omitempty"`
	Addresses  []string `json:"addresses,omitempty"`
	Channels   []int64  `json:"channels,omitempty"`
}

func detailsOfRule(r alert.Rule) ruleDetails {
	return ruleDetails{Name: r.Name, Audience: string(r.Audience), Scope: string(r.Scope), PlanID: r.PlanID, KeyID: r.KeyID, Metric: string(r.Metric),
		Unit: string(r.Unit), Thresholds: r.Thresholds, Enabled: r.Enabled, Roles: namesOf(r.To.Roles), Contacts: r.To.Contacts,
		Addresses: r.To.Addresses, Channels: r.To.Channels}
}

func namesOf(roles []tenancy.Role) []string {
	names := make([]string, len(roles))
	for i, role := range roles {
		names[i] = string(role)
	}
	return names
}

// CreateAlertRule makes a rule. What it covers and its channels must be there and fit together, else it is Invalid beside the
// field; one that says the same as another is a Conflict, because of an alert.Twin.
func (s *Store) CreateAlertRule(ctx context.Context, r alert.Rule) (made alert.Rule, err error) {
	if err := r.Validate(); err != nil {
		return made, err
	}
	err = s.inTx(ctx, func(tx *tx) error {
		return tx.asking(ctx, r.TenantID, []alert.Rule{r}, func() error {
			if made, err = tx.createRule(ctx, r); err != nil {
				return err
			}
			return tx.refuseTwin(ctx, made.ID)
		})
	})
	if err != nil {
		return alert.Rule{}, fmt.Errorf("create rule of %s: %w", r.Metric, err)
	}
	return made, nil
}

// ruleValues are the columns that a form may change; those before it are what a rule covers and watches.
const ruleValues = `name, audience, scope, plan_id, tenant_id, key_id, metric, unit, thresholds, direction, window_minutes, rearm_minutes, enabled,
	roles, contacts, addresses, language, channel_ids, quiet_from, quiet_until, daily_at, last_at_once, escalate_minutes, escalate_roles, escalate_to, updated_at`

// rulePlaceholders stand for ruleValues, from $1 to $26.
const rulePlaceholders = `$1, $2, $3, NULLIF($4::bigint, 0), NULLIF($5::bigint, 0), NULLIF($6::bigint, 0), $7, $8, $9, $10, $11, $12, $13,
	$14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26`

func (t *tx) ruleArgs(r alert.Rule) []any {
	var quietFrom, quietUntil, dailyAt, escalate sql.NullInt64
	escalation := alert.Escalation{}
	if r.Quiet != nil {
		quietFrom, quietUntil = sql.NullInt64{Int64: int64(r.Quiet.From), Valid: true}, sql.NullInt64{Int64: int64(r.Quiet.Until), Valid: true}
	}
	if r.DailyAt != nil {
		dailyAt = sql.NullInt64{Int64: int64(*r.DailyAt), Valid: true}
	}
	if r.Escalation != nil {
		escalation, escalate = *r.Escalation, sql.NullInt64{Int64: int64(r.Escalation.After), Valid: true}
	}
	list := func(texts []string) pq.StringArray { return append(pq.StringArray{}, texts...) } // never NULL
	return []any{r.Name, string(r.Audience), string(r.Scope), r.PlanID, r.TenantID, r.KeyID, string(r.Metric), string(r.Unit), pq.Int64Array(r.Thresholds),
		string(r.Direction), r.Window, r.Rearm, r.Enabled, list(namesOf(r.To.Roles)), r.To.Contacts, list(r.To.Addresses), string(r.To.Language),
		append(pq.Int64Array{}, r.To.Channels...), quietFrom, quietUntil, dailyAt, r.LastAtOnce, escalate, list(namesOf(escalation.Roles)),
		list(escalation.Addresses), t.now}
}

// createRule adds a valid rule in this transaction.
func (t *tx) createRule(ctx context.Context, r alert.Rule) (alert.Rule, error) {
	if err := t.fitRule(ctx, r, nil); err != nil {
		return alert.Rule{}, err
	}
	var id int64
	if err := t.GetContext(ctx, &id, `INSERT INTO alert_rules (`+ruleValues+`, created_at) VALUES (`+rulePlaceholders+`, $26) RETURNING id`, t.ruleArgs(r)...); err != nil {
		return alert.Rule{}, ruleFault(err)
	}
	if err := t.audit(ctx, "alert_rule.create", ruleSubject(id), r.TenantID, detailsOfRule(r)); err != nil {
		return alert.Rule{}, err
	}
	return oneRule(ctx, t, id)
}

// UpdateAlertRule changes a rule. With an UpdatedAt it is a Conflict when somebody has changed the rule since then.
func (s *Store) UpdateAlertRule(ctx context.Context, r alert.Rule) (now alert.Rule, err error) {
	if err := r.Validate(); err != nil {
		return now, err
	}
	err = s.inTx(ctx, func(tx *tx) error {
		return tx.asking(ctx, r.TenantID, []alert.Rule{r}, func() error {
			if now, err = tx.updateRule(ctx, r); err != nil {
				return err
			}
			return tx.refuseTwin(ctx, r.ID)
		})
	})
	if err != nil {
		return alert.Rule{}, fmt.Errorf("edit rule %d: %w", r.ID, err)
	}
	return now, nil
}

func (t *tx) updateRule(ctx context.Context, r alert.Rule) (alert.Rule, error) {
	before, err := t.lockRule(ctx, r.ID)
	if err != nil {
		return alert.Rule{}, err
	}
	if !r.UpdatedAt.IsZero() && !r.UpdatedAt.Equal(before.UpdatedAt) {
		return alert.Rule{}, fault.New(fault.Conflict, "alerts.error.changed_meanwhile")
	}
	if err := t.fitRule(ctx, r, before.To.Channels); err != nil {
		return alert.Rule{}, err
	}
	update := `UPDATE alert_rules SET (` + ruleValues + `) = (` + rulePlaceholders + `) WHERE id = $27`
	if _, err := t.ExecContext(ctx, update, append(t.ruleArgs(r), r.ID)...); err != nil {
		return alert.Rule{}, ruleFault(err)
	}
	details := map[string]any{"before": detailsOfRule(before), "after": detailsOfRule(r)}
	if err := t.audit(ctx, "alert_rule.edit", ruleSubject(r.ID), r.TenantID, details); err != nil {
		return alert.Rule{}, err
	}
	return oneRule(ctx, t, r.ID)
}

// lockRule makes changes of one rule wait for each other, and not commits that raise its alerts: these share the row's key.
func (t *tx) lockRule(ctx context.Context, id int64) (alert.Rule, error) {
	var found int64
	if err := t.GetContext(ctx, &found, `SELECT id FROM alert_rules WHERE id = $1 AND deleted_at IS NULL FOR NO KEY UPDATE`, id); err != nil {
		return alert.Rule{}, known(err, ruleMissing)
	}
	return oneRule(ctx, t, id)
}

// fitRule rejects what a rule names and does not exist, or is not its own: a customer's rule tells through that customer's
// channels, the team's through the operator's. kept are channels that it had before, which may have been deleted meanwhile.
func (t *tx) fitRule(ctx context.Context, r alert.Rule, kept []int64) error {
	var f fault.Form
	there := func(field, key, query string, args ...any) error {
		var ok bool
		if err := t.GetContext(ctx, &ok, `SELECT EXISTS (`+query+`)`, args...); err != nil {
			return fmt.Errorf("look for the rule's %s: %w", field, err)
		}
		f.Check(ok, field, key)
		return nil
	}
	var err error
	switch r.Scope {
	case alert.Plan:
		err = there("plan", "alerts.error.plan", `SELECT FROM plans WHERE id = $1`, r.PlanID)
	case alert.Tenant:
		err = there("tenant", "alerts.error.tenant", `SELECT FROM tenants WHERE id = $1 AND status <> 'closed'`, r.TenantID)
	case alert.Key:
		err = t.fitKey(ctx, &f, r)
	}
	if err != nil {
		return err
	}
	if len(r.To.Channels) > 0 {
		owner := int64(0)
		if r.Audience == alert.Customer {
			owner = r.TenantID
		}
		err = there("channels", "alerts.error.channel_not_theirs", `SELECT WHERE NOT EXISTS (SELECT FROM unnest($1::bigint[]) AS n (id)
			WHERE NOT EXISTS (SELECT FROM alert_channels c WHERE c.id = n.id AND coalesce(c.tenant_id, 0) = $2 AND (c.deleted_at IS NULL OR c.id = ANY ($3))))`,
			pq.Int64Array(r.To.Channels), owner, append(pq.Int64Array{}, kept...))
		if err != nil {
			return err
		}
	}
	return f.Err()
}

// fitKey rejects a key that is none of the tenant's, and one without a plan of its own for what is counted by plan: nothing
// would ever be told.
func (t *tx) fitKey(ctx context.Context, f *fault.Form, r alert.Rule) error {
	var own bool
	const query = `SELECT subscription_id IS NOT NULL FROM api_keys WHERE id = $1 AND tenant_id = $2`
	err := t.GetContext(ctx, &own, query, r.KeyID, r.TenantID)
	if errors.Is(err, sql.ErrNoRows) {
		f.Reject("key", "alerts.error.key")
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for the rule's key: %w", err)
	}
	f.Check(own || !r.Metric.OfPlan(), "key", "alerts.error.key_without_plan")
	return nil
}

// ruleFault names the field of a reference that went away while the rule was saved.
func ruleFault(err error) error {
	var e *pq.Error
	if !errors.As(err, &e) || e.Code.Name() != "foreign_key_violation" {
		return err
	}
	for _, field := range []string{"plan", "tenant", "key"} {
		if strings.Contains(e.Constraint, field) {
			var f fault.Form
			f.Reject(field, "alerts.error."+field)
			return f.Err()
		}
	}
	return err
}

// EnableAlertRule switches a rule on or off. A rule that would tell nobody cannot be switched on.
func (s *Store) EnableAlertRule(ctx context.Context, id int64, on bool) (now alert.Rule, err error) {
	err = s.inTx(ctx, func(tx *tx) error {
		r, err := tx.lockRule(ctx, id)
		if err != nil {
			return err
		}
		now = r
		if r.Enabled == on {
			return nil
		}
		if r.Enabled = on; on {
			if err := r.Validate(); err != nil {
				return fault.New(fault.Conflict, "alerts.error.cannot_enable").Because(err)
			}
		}
		if _, err := tx.ExecContext(ctx, `UPDATE alert_rules SET enabled = $2, updated_at = $3 WHERE id = $1`, id, on, tx.now); err != nil {
			return err
		}
		action := map[bool]string{true: "alert_rule.enable", false: "alert_rule.disable"}[on]
		if err := tx.audit(ctx, action, ruleSubject(id), r.TenantID, detailsOfRule(r)); err != nil {
			return err
		}
		now, err = oneRule(ctx, tx, id)
		return err
	})
	if err != nil {
		return alert.Rule{}, fmt.Errorf("switch rule %d: %w", id, err)
	}
	return now, nil
}

// DeleteAlertRule takes a rule away. What it raised stays, and what waits to be told of it is the dispatcher's to judge.
func (s *Store) DeleteAlertRule(ctx context.Context, id int64) error {
	err := s.inTx(ctx, func(tx *tx) error {
		r, err := tx.lockRule(ctx, id)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE alert_rules SET deleted_at = $2, updated_at = $2 WHERE id = $1`, id, tx.now); err != nil {
			return err
		}
		return tx.audit(ctx, "alert_rule.delete", ruleSubject(id), r.TenantID, detailsOfRule(r))
	})
	if err != nil {
		return fmt.Errorf("delete rule %d: %w", id, err)
	}
	return nil
}

// RestoreAlertRules adds the rules of a new installation whose metric has no rule for all any more, and gives how many. What is
// there stays as it is.
func (s *Store) RestoreAlertRules(ctx context.Context) (n int, err error) {
	err = s.inTx(ctx, func(tx *tx) error {
		if _, err := tx.ExecContext(ctx, `SELECT FROM alert_version FOR UPDATE`); err != nil { // two at once would add them twice
			return err
		}
		missing, err := missingRules(ctx, tx)
		if err != nil {
			return err
		}
		n = len(missing)
		for _, r := range missing {
			if _, err := tx.createRule(ctx, r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("restore rules: %w", err)
	}
	return n, nil
}

// MissingAlertRules counts what RestoreAlertRules would add.
func (s *Store) MissingAlertRules(ctx context.Context) (int, error) {
	missing, err := missingRules(ctx, s.db)
	if err != nil {
		return 0, fmt.Errorf("missing rules: %w", err)
	}
	return len(missing), nil
}

func missingRules(ctx context.Context, db sqlx.QueryerContext) ([]alert.Rule, error) {
	type family struct {
		Audience alert.Audience `db:"audience"`
		Metric   alert.Metric   `db:"metric"`
	}
	var there []family
	if err := sqlx.SelectContext(ctx, db, &there, `SELECT DISTINCT audience, metric FROM alert_rules WHERE scope = 'all' AND deleted_at IS NULL`); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(alert.Defaults(), func(r alert.Rule) bool { return slices.Contains(there, family{r.Audience, r.Metric}) }), nil
}
