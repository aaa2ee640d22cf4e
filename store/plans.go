package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/tenancy"
)

const planMissing = "plans.error.not_found"

type planRow struct {
	ID          int64      `db:"id"`
	Slug        string     `db:"slug"`
	Name        string     `db:"name"`
	Description string     `db:"description"`
	ArchivedAt  *time.Time `db:"archived_at"`
	CreatedAt   time.Time  `db:"created_at"`
	Subscribers int        `db:"subscribers"`
}

const planColumns = `p.id, p.slug, p.name, p.description, p.archived_at, p.created_at,
	(SELECT count(*) FROM subscriptions s JOIN plan_versions v ON v.id = s.plan_version_id
	 WHERE v.plan_id = p.id AND s.ended_at IS NULL) AS subscribers`

// planVersionRow is a version with its terms. Rates are 0 where there is no limit.
type planVersionRow struct {
	ID                 int64          `db:"id"`
	PlanID             int64          `db:"plan_id"`
	Number             int            `db:"number"`
	PriceMicros        int64          `db:"price_micros"`
	InputTokens        int64          `db:"input_tokens"`
	OutputTokens       int64          `db:"output_tokens"`
	Overage            string         `db:"overage"`
	OveragePriceMicros int64          `db:"overage_price_micros"`
	RequestsPerMinute  int            `db:"requests_per_minute"`
	TokensPerMinute    int            `db:"tokens_per_minute"`
	ParallelCalls      int            `db:"parallel_calls"`
	AllowedModels      pq.StringArray `db:"allowed_models"`
	Cache              string         `db:"cache_mode"`
	CacheMinutes       int            `db:"cache_minutes"`
	CacheBilled        int            `db:"cache_billed_percent"`
	PublishedAt        *time.Time     `db:"published_at"`
	CreatedAt          time.Time      `db:"created_at"`
	Subscribers        int            `db:"subscribers"`
}

const planVersionColumns = `v.id, v.plan_id, v.number, v.price_micros, v.input_tokens, v.output_tokens, v.overage,
	v.overage_price_micros, coalesce(v.requests_per_minute, 0) AS requests_per_minute,
	coalesce(v.tokens_per_minute, 0) AS tokens_per_minute, coalesce(v.parallel_calls, 0) AS parallel_calls,
	v.allowed_models, v.cache_mode, v.cache_minutes, v.cache_billed_percent, v.published_at, v.created_at,
	(SELECT count(*) FROM subscriptions s WHERE s.plan_version_id = v.id AND s.ended_at IS NULL) AS subscribers`

func (r planVersionRow) version() tenancy.PlanVersion {
	return tenancy.PlanVersion{
		ID: r.ID, PlanID: r.PlanID, Number: r.Number, PublishedAt: r.PublishedAt, CreatedAt: r.CreatedAt, Subscribers: r.Subscribers,
		Terms: tenancy.Terms{
			Price: money.Micros(r.PriceMicros), InputTokens: r.InputTokens, OutputTokens: r.OutputTokens,
			Overage: tenancy.Overage(r.Overage), OveragePrice: money.Micros(r.OveragePriceMicros),
			RequestsPerMinute: r.RequestsPerMinute, TokensPerMinute: r.TokensPerMinute, ParallelCalls: r.ParallelCalls,
			AllowedModels: []string(r.AllowedModels),
			Cache:         tenancy.CacheMode(r.Cache), CacheMinutes: r.CacheMinutes, CacheBilled: r.CacheBilled,
		},
	}
}

// Plan reads a plan with its newest published version and its draft. NotFound when there is none.
func (s *Store) Plan(ctx context.Context, id int64) (tenancy.Plan, error) {
	return onePlan(ctx, s.db, `p.id = $1`, id)
}

// PlanBySlug is Plan by slug.
func (s *Store) PlanBySlug(ctx context.Context, slug string) (tenancy.Plan, error) {
	return onePlan(ctx, s.db, `p.slug = $1`, slug)
}

func onePlan(ctx context.Context, db sqlx.QueryerContext, where string, arg any) (tenancy.Plan, error) {
	var row planRow
	if err := sqlx.GetContext(ctx, db, &row, `SELECT `+planColumns+` FROM plans p WHERE `+where, arg); err != nil {
		return tenancy.Plan{}, fmt.Errorf("plan %v: %w", arg, known(err, planMissing))
	}
	plans, err := withVersions(ctx, db, []planRow{row})
	if err != nil {
		return tenancy.Plan{}, fmt.Errorf("plan %v: %w", arg, err)
	}
	return plans[0], nil
}

// ListPlans gives a page of plans. Status: active (on sale), draft (never published) or archived. Sort: name, price,
// subscribers; the default is price.
func (s *Store) ListPlans(ctx context.Context, q tenancy.ListQuery) (tenancy.Page[tenancy.Plan], error) {
	const published = `EXISTS (SELECT 1 FROM plan_versions v WHERE v.plan_id = p.id AND v.published_at IS NOT NULL)`
	list := listing{
		columns: planColumns,
		from: `FROM plans p WHERE ` + matches("$1::text", "p.name", "p.slug", "p.description") + ` AND CASE $2::text
			WHEN 'active' THEN p.archived_at IS NULL AND ` + published + `
			WHEN 'draft' THEN p.archived_at IS NULL AND NOT ` + published + `
			WHEN 'archived' THEN p.archived_at IS NOT NULL ELSE true END`,
		sorts: map[string]string{
			"name":        folded("p.name"),
			"subscribers": "subscribers",
			"price": `(SELECT v.price_micros FROM plan_versions v WHERE v.plan_id = p.id
				ORDER BY v.published_at IS NULL, v.number DESC LIMIT 1)`,
		},
		initial: "price",
		tie:     "p.id",
	}
	rows, total, err := selectPage[planRow](ctx, s.db, list, q, q.Search, q.Status)
	if err != nil {
		return tenancy.Page[tenancy.Plan]{}, fmt.Errorf("list plans: %w", err)
	}
	plans, err := withVersions(ctx, s.db, rows)
	if err != nil {
		return tenancy.Page[tenancy.Plan]{}, fmt.Errorf("list plans: %w", err)
	}
	return tenancy.Page[tenancy.Plan]{Items: plans, Total: total}, nil
}

// PlansOnSale gives every plan that can be subscribed to, the cheapest first: what a choice offers.
func (s *Store) PlansOnSale(ctx context.Context) ([]tenancy.Plan, error) {
	var rows []planRow
	const query = `SELECT ` + planColumns + ` FROM plans p
		JOIN LATERAL (SELECT v.price_micros FROM plan_versions v WHERE v.plan_id = p.id AND v.published_at IS NOT NULL
			ORDER BY v.number DESC LIMIT 1) newest ON true
		WHERE p.archived_at IS NULL ORDER BY newest.price_micros, p.id`
	if err := s.db.SelectContext(ctx, &rows, query); err != nil {
		return nil, fmt.Errorf("plans on sale: %w", err)
	}
	return withVersions(ctx, s.db, rows)
}

// withVersions gives each plan its newest published version and its draft.
func withVersions(ctx context.Context, db sqlx.QueryerContext, rows []planRow) ([]tenancy.Plan, error) {
	plans := make([]tenancy.Plan, len(rows))
	at := make(map[int64]*tenancy.Plan, len(rows))
	ids := make([]int64, len(rows))
	for i, r := range rows {
		plans[i] = tenancy.Plan{ID: r.ID, Slug: r.Slug, Name: r.Name, Description: r.Description,
			ArchivedAt: r.ArchivedAt, CreatedAt: r.CreatedAt, Subscribers: r.Subscribers}
		at[r.ID], ids[i] = &plans[i], r.ID
	}
	const query = `SELECT DISTINCT ON (v.plan_id, v.published_at IS NULL) ` + planVersionColumns + ` FROM plan_versions v
		WHERE v.plan_id = ANY($1) ORDER BY v.plan_id, v.published_at IS NULL, v.number DESC`
	var versions []planVersionRow
	if err := sqlx.SelectContext(ctx, db, &versions, query, pq.Int64Array(ids)); err != nil {
		return nil, fmt.Errorf("plan versions: %w", err)
	}
	for _, r := range versions {
		v := r.version()
		if v.PublishedAt == nil {
			at[r.PlanID].Draft = &v
		} else {
			at[r.PlanID].Published = &v
		}
	}
	return plans, nil
}

// PlanVersions gives a plan's history, the newest first, a draft included.
func (s *Store) PlanVersions(ctx context.Context, planID int64) ([]tenancy.PlanVersion, error) {
	var rows []planVersionRow
	const query = `SELECT ` + planVersionColumns + ` FROM plan_versions v WHERE v.plan_id = $1 ORDER BY v.number DESC`
	if err := s.db.SelectContext(ctx, &rows, query, planID); err != nil {
		return nil, fmt.Errorf("versions of plan %d: %w", planID, err)
	}
	versions := make([]tenancy.PlanVersion, len(rows))
	for i, r := range rows {
		versions[i] = r.version()
	}
	return versions, nil
}

// notOnSale is what a form's field "plan" says of a plan that takes no subscriptions.
func notOnSale() error {
	var f fault.Form
	f.Reject("plan", "plans.error.not_on_sale")
	return f.Err()
}
