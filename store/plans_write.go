package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/lib/pq"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
)

func planSubject(id int64) string { return fmt.Sprintf("plan:%d", id) }

// termsDetails is what the audit log keeps of terms.
type termsDetails struct {
	Version       int      `json:"version"`
	PriceMicros   int64    `json:"price_micros"`
	InputTokens   int64    `json:"input_tokens"`
	OutputTokens  int64    `json:"output_tokens"`
	Overage       string   `json:"overage"`
	OverageMicros int64    `json:"overage_price_micros,omitempty"`
	Models        []string `json:"models,omitempty"`
	*ratesDetails
	Cache        string `json:"cache"`
	CacheMinutes int    `json:"cache_minutes,omitempty"`
	CacheBilled  int    `json:"cache_billed_percent,omitempty"`
}

func detailsOf(version int, t tenancy.Terms) termsDetails {
	d := termsDetails{Version: version, PriceMicros: int64(t.Price), InputTokens: t.InputTokens, OutputTokens: t.OutputTokens,
		Overage: string(t.Overage), OverageMicros: int64(t.OveragePrice), Models: t.AllowedModels, ratesDetails: detailsOfRates(t.Rates()),
		Cache: string(t.Cache)}
	if t.Cache != tenancy.CacheOff {
		d.CacheMinutes, d.CacheBilled = t.CacheMinutes, t.CacheBilled
	}
	return d
}

// CreatePlan makes a plan whose first version is the draft, published at once when publish. A slug that is taken is
// a Conflict on the field slug.
func (s *Store) CreatePlan(ctx context.Context, d tenancy.PlanDraft, publish bool) (plan tenancy.Plan, err error) {
	if err := d.Validate(); err != nil {
		return plan, err
	}
	err = s.inTx(ctx, func(tx *tx) error {
		var id int64
		const insert = `INSERT INTO plans (slug, name, description, created_at) VALUES ($1, $2, $3, $4) RETURNING id`
		if err := tx.GetContext(ctx, &id, insert, d.Slug, d.Name, d.Description, tx.now); err != nil {
			return known(err, planMissing)
		}
		if err := tx.insertVersion(ctx, id, 1, d.Terms); err != nil {
			return err
		}
		details := map[string]any{"name": d.Name, "slug": d.Slug, "terms": detailsOf(1, d.Terms)}
		if err := tx.audit(ctx, "plan.create", planSubject(id), 0, details); err != nil {
			return err
		}
		if publish {
			if err := tx.publish(ctx, id); err != nil {
				return err
			}
		}
		plan, err = onePlan(ctx, tx, `p.id = $1`, id)
		return err
	})
	if err != nil {
		return tenancy.Plan{}, fmt.Errorf("create plan %q: %w", d.Slug, err)
	}
	return plan, nil
}

// UpdatePlanDraft changes the plan's name, slug and description at once, and its terms in the draft version, which
// is made where there is none; with publish the draft is published in the same transaction. Terms that equal the
// published ones leave no draft: nothing would change for anyone.
func (s *Store) UpdatePlanDraft(ctx context.Context, id int64, d tenancy.PlanDraft, publish bool) (plan tenancy.Plan, err error) {
	if err := d.Validate(); err != nil {
		return plan, err
	}
	err = s.inTx(ctx, func(tx *tx) error {
		if err := tx.lockPlan(ctx, id); err != nil {
			return err
		}
		const update = `UPDATE plans SET slug = $2, name = $3, description = $4 WHERE id = $1`
		if _, err := tx.ExecContext(ctx, update, id, d.Slug, d.Name, d.Description); err != nil {
			return known(err, planMissing)
		}
		number, err := tx.draftTerms(ctx, id, d.Terms)
		if err != nil {
			return err
		}
		details := map[string]any{"name": d.Name, "slug": d.Slug, "terms": detailsOf(number, d.Terms)}
		if err := tx.audit(ctx, "plan.edit", planSubject(id), 0, details); err != nil {
			return err
		}
		if plan, err = onePlan(ctx, tx, `p.id = $1`, id); err != nil || !publish || plan.Draft == nil {
			return err
		}
		if err := tx.publish(ctx, id); err != nil {
			return err
		}
		plan, err = onePlan(ctx, tx, `p.id = $1`, id)
		return err
	})
	if err != nil {
		return tenancy.Plan{}, fmt.Errorf("edit plan %d: %w", id, err)
	}
	return plan, nil
}

// lockPlan makes changes of one plan wait for each other.
func (t *tx) lockPlan(ctx context.Context, id int64) error {
	var found int64
	return known(t.GetContext(ctx, &found, `SELECT id FROM plans WHERE id = $1 FOR UPDATE`, id), planMissing)
}

// draftTerms lets the draft of a locked plan hold the terms and gives the number of the version that now does.
func (t *tx) draftTerms(ctx context.Context, planID int64, terms tenancy.Terms) (int, error) {
	plan, err := onePlan(ctx, t, `p.id = $1`, planID)
	if err != nil {
		return 0, err
	}
	if plan.Draft != nil {
		if _, err := t.ExecContext(ctx, `DELETE FROM plan_versions WHERE id = $1`, plan.Draft.ID); err != nil {
			return 0, known(err, planMissing)
		}
	}
	next := 1
	if plan.Published != nil {
		if plan.Published.Terms.Equal(terms) {
			return plan.Published.Number, nil
		}
		next = plan.Published.Number + 1
	}
	return next, t.insertVersion(ctx, planID, next, terms)
}

func (t *tx) insertVersion(ctx context.Context, planID int64, number int, terms tenancy.Terms) error {
	const insert = `INSERT INTO plan_versions (plan_id, number, price_micros, input_tokens, output_tokens, overage,
			overage_price_micros, requests_per_minute, tokens_per_minute, parallel_calls, allowed_models, created_at,
			cache_mode, cache_minutes, cache_billed_percent)
		VALUES ($1, $2, $3, $4, $5, $6, $7, NULLIF($8, 0), NULLIF($9, 0), NULLIF($10, 0), $11, $12, $13, $14, $15)`
	models := terms.AllowedModels
	if models == nil {
		models = []string{}
	}
	_, err := t.ExecContext(ctx, insert, planID, number, int64(terms.Price), terms.InputTokens, terms.OutputTokens,
		string(terms.Overage), int64(terms.OveragePrice), terms.RequestsPerMinute, terms.TokensPerMinute, terms.ParallelCalls,
		pq.StringArray(models), t.now, string(terms.Cache), terms.CacheMinutes, terms.CacheBilled)
	return known(err, planMissing)
}

// PublishPlan makes the draft the version that new subscriptions get; existing ones keep theirs. Conflict when there is
// no draft, as after somebody else has published it.
func (s *Store) PublishPlan(ctx context.Context, planID int64) (plan tenancy.Plan, err error) {
	err = s.inTx(ctx, func(tx *tx) error {
		if err := tx.lockPlan(ctx, planID); err != nil {
			return err
		}
		if err := tx.publish(ctx, planID); err != nil {
			return err
		}
		plan, err = onePlan(ctx, tx, `p.id = $1`, planID)
		return err
	})
	if err != nil {
		return tenancy.Plan{}, fmt.Errorf("publish plan %d: %w", planID, err)
	}
	return plan, nil
}

func (t *tx) publish(ctx context.Context, planID int64) error {
	var number int
	const update = `UPDATE plan_versions SET published_at = $2 WHERE plan_id = $1 AND published_at IS NULL RETURNING number`
	err := t.GetContext(ctx, &number, update, planID, t.now)
	if errors.Is(err, sql.ErrNoRows) {
		return fault.New(fault.Conflict, "plans.error.no_draft")
	}
	if err != nil {
		return known(err, planMissing)
	}
	return t.audit(ctx, "plan.publish", planSubject(planID), 0, map[string]any{"version": number})
}

// DiscardPlanDraft throws the draft version away. A plan that was never published loses its only version and goes with
// it. Conflict when there is no draft.
func (s *Store) DiscardPlanDraft(ctx context.Context, planID int64) error {
	err := s.inTx(ctx, func(tx *tx) error {
		if err := tx.lockPlan(ctx, planID); err != nil {
			return err
		}
		plan, err := onePlan(ctx, tx, `p.id = $1`, planID)
		if err != nil {
			return err
		}
		if plan.Draft == nil {
			return fault.New(fault.Conflict, "plans.error.no_draft")
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM plan_versions WHERE id = $1`, plan.Draft.ID); err != nil {
			return known(err, planMissing)
		}
		if plan.Published == nil {
			if _, err := tx.ExecContext(ctx, `DELETE FROM plans WHERE id = $1`, planID); err != nil {
				return err
			}
		}
		details := map[string]any{"name": plan.Name, "version": plan.Draft.Number, "plan_deleted": plan.Published == nil}
		return tx.audit(ctx, "plan.discard_draft", planSubject(planID), 0, details)
	})
	if err != nil {
		return fmt.Errorf("discard draft of plan %d: %w", planID, err)
	}
	return nil
}

// ArchivePlan takes a plan off sale: no new subscriptions; those there are go on. Archiving it again does nothing.
func (s *Store) ArchivePlan(ctx context.Context, planID int64) error {
	return s.setArchived(ctx, planID, true)
}

// UnarchivePlan puts a plan on sale again.
func (s *Store) UnarchivePlan(ctx context.Context, planID int64) error {
	return s.setArchived(ctx, planID, false)
}

func (s *Store) setArchived(ctx context.Context, planID int64, archived bool) error {
	action := map[bool]string{true: "plan.archive", false: "plan.unarchive"}[archived]
	err := s.inTx(ctx, func(tx *tx) error {
		if err := tx.lockPlan(ctx, planID); err != nil {
			return err
		}
		const update = `UPDATE plans SET archived_at = CASE WHEN $2 THEN $3::timestamptz END
			WHERE id = $1 AND (archived_at IS NOT NULL) <> $2`
		result, err := tx.ExecContext(ctx, update, planID, archived, tx.now)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return err
		}
		return tx.audit(ctx, action, planSubject(planID), 0, nil)
	})
	if err != nil {
		return fmt.Errorf("%s %d: %w", action, planID, err)
	}
	return nil
}
