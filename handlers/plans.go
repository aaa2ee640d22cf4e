package handlers

import (
	"context"
	"strconv"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/views/plans"
	"github.com/fila-ia/filaia/views/ui"
)

// PlanStore is what these pages need of the store.
type PlanStore interface {
	planReader
	planWriter
}

type planReader interface {
	Plan(ctx context.Context, id int64) (tenancy.Plan, error)
	PlanVersions(ctx context.Context, planID int64) ([]tenancy.PlanVersion, error)
	ListPlans(ctx context.Context, q tenancy.ListQuery) (tenancy.Page[tenancy.Plan], error)
	PlansOnSale(ctx context.Context) ([]tenancy.Plan, error)
	Models(ctx context.Context) ([]tenancy.Model, error)
}

type planWriter interface {
	CreatePlan(ctx context.Context, d tenancy.PlanDraft, publish bool) (tenancy.Plan, error)
	UpdatePlanDraft(ctx context.Context, id int64, d tenancy.PlanDraft, publish bool) (tenancy.Plan, error)
	PublishPlan(ctx context.Context, id int64) (tenancy.Plan, error)
	DiscardPlanDraft(ctx context.Context, id int64) error
	ArchivePlan(ctx context.Context, id int64) error
	UnarchivePlan(ctx context.Context, id int64) error
}

// plans serves plans, their versions and prices.
func (p *Panel) plans(r fiber.Router) {
	r.Get("/plans", p.listPlans)
	r.Post("/plans", p.createPlan)
	r.Get("/plans/new", p.needEditor, p.newPlan)
	r.Post("/plans/preview", p.previewPlan)
	r.Get("/plans/:id", p.showPlan)
	r.Post("/plans/:id", p.updatePlan)
	r.Get("/plans/:id/edit", p.needEditor, p.editPlan)
	r.Post("/plans/:id/publish", p.publishPlan)
	r.Post("/plans/:id/discard", p.discardPlanDraft)
	r.Post("/plans/:id/archive", p.archivePlan)
	r.Post("/plans/:id/unarchive", p.unarchivePlan)
}

// needEditor guards the pages whose only use is to change something.
func (p *Panel) needEditor(c *fiber.Ctx) error {
	if u := at(c).User; u == nil || !u.Role.MayEdit() {
		return fault.New(fault.Forbidden, "problem.forbidden_edit")
	}
	return c.Next()
}

func (p *Panel) listPlans(c *fiber.Ctx) error {
	v := at(c)
	page, err := p.Plans.ListPlans(c.UserContext(), listQuery(c))
	if err != nil {
		return err
	}
	m := plans.ListModel{Frame: p.frame(c, v.Say.T("nav.plans"), "plans"), MayEdit: v.User.Role.MayEdit()}
	for _, plan := range page.Items {
		m.Rows = append(m.Rows, planRow(plan))
	}
	say := v.Say
	m.Table = ui.TableModel{
		ID: "plans-table", Path: "/plans", Query: queryValues(c), Label: say.T("nav.plans"), Search: say.T("plans.search"),
		CountKey: "plans.count", Total: int64(page.Total),
		Columns: []ui.Column{
			{Label: say.T("plans.field.name"), Sort: "name"}, {Label: say.T("plans.col.state")},
			{Label: say.T("plans.price_month"), Sort: "price", Numeric: true},
			{Label: say.T("plans.col.input"), Numeric: true}, {Label: say.T("plans.col.output"), Numeric: true},
			{Label: say.T("plans.col.above")}, {Label: say.T("plans.subscribers"), Sort: "subscribers", Numeric: true},
			{Label: say.T("plans.col.actions"), Hidden: true},
		},
		Filters: []ui.Filter{{Name: "status", Label: say.T("plans.col.state"), Options: []ui.Option{
			{Label: say.T("plans.filter.all")}, {Value: "active", Label: say.T("plans.state.active")},
			{Value: "draft", Label: say.T("plans.state.draft")}, {Value: "archived", Label: say.T("plans.filter.archived")},
		}}},
		Empty: ui.EmptyModel{Icon: "stack-2", Title: say.T("plans.empty_title"), Text: say.T("plans.empty_text")},
	}
	if m.MayEdit {
		m.Table.Empty.Action = ui.LinkButton(ui.ButtonModel{Label: say.T("plans.new"), Icon: "plus", Kind: ui.Primary, Href: "/plans/new"})
	}
	return p.render(c, plans.ListPage(m), plans.Table(m))
}

func planPath(id int64) string { return "/plans/" + strconv.FormatInt(id, 10) }

func planRow(plan tenancy.Plan) plans.Row {
	r := plans.Row{ID: strconv.FormatInt(plan.ID, 10), Name: plan.Name, Slug: plan.Slug, Subscribers: plan.Subscribers, State: plans.OnSale}
	switch {
	case plan.ArchivedAt != nil:
		r.State = plans.Archived
	case plan.Published == nil:
		r.State = plans.Unsold
	}
	if plan.Published != nil {
		r.Terms, r.HasDraft = planTerms(plan.Published.Terms), plan.Draft != nil
	} else if plan.Draft != nil {
		r.Terms = planTerms(plan.Draft.Terms)
	}
	return r
}

func planTerms(t tenancy.Terms) plans.Terms {
	return plans.Terms{
		Price: t.Price, OveragePrice: t.OveragePrice, InputTokens: t.InputTokens, OutputTokens: t.OutputTokens,
		Blocks: t.Overage == tenancy.Block, Rates: rateModel(t.Rates()), Models: t.AllowedModels,
		Cache: plans.Cache{Mode: string(t.Cache), Minutes: t.CacheMinutes, Billed: t.CacheBilled},
	}
}

func rateModel(r tenancy.Rates) plans.Rates {
	return plans.Rates{RPM: r.RequestsPerMinute, TPM: r.TokensPerMinute, Parallel: r.ParallelCalls}
}

func (p *Panel) showPlan(c *fiber.Ctx) error {
	id, err := idParam(c, "id")
	if err != nil {
		return err
	}
	plan, err := p.Plans.Plan(c.UserContext(), id)
	if err != nil {
		return err
	}
	versions, err := p.Plans.PlanVersions(c.UserContext(), id)
	if err != nil {
		return err
	}
	v := at(c)
	m := plans.ShowModel{
		Frame: p.frame(c, plan.Name, "plans"), MayEdit: v.User.Role.MayEdit(), Row: planRow(plan), Description: plan.Description,
		HasPublished: plan.Published != nil, CreatedAt: plan.CreatedAt,
	}
	terms := tenancy.Terms{}
	if plan.Draft != nil {
		m.Draft, terms = &plans.Draft{Number: plan.Draft.Number, Terms: planTerms(plan.Draft.Terms)}, plan.Draft.Terms
	}
	if plan.Published != nil {
		m.PublishedVersion, terms = plan.Published.Number, plan.Published.Terms
	}
	if terms.Cache == tenancy.CacheSmart {
		if m.NoLikeness, err = p.noLikeness(c.UserContext()); err != nil {
			return err
		}
	}
	for _, one := range versions {
		row := plans.Version{Number: one.Number, Terms: planTerms(one.Terms), Subscribers: one.Subscribers}
		if one.PublishedAt != nil {
			row.PublishedAt = *one.PublishedAt
			row.Current = plan.Published != nil && one.ID == plan.Published.ID
		}
		m.Versions = append(m.Versions, row)
		m.Revenue += one.Terms.Price * money.Micros(one.Subscribers)
	}
	m.Examples = planExamples(terms)
	return p.render(c, plans.ShowPage(m), nil)
}

func (p *Panel) publishPlan(c *fiber.Ctx) error {
	id, err := idParam(c, "id")
	if err != nil {
		return err
	}
	plan, err := p.Plans.PublishPlan(c.UserContext(), id)
	if err != nil {
		return err
	}
	return p.done(c, planPath(id), "plans.published", "version", plan.Published.Number)
}

func (p *Panel) discardPlanDraft(c *fiber.Ctx) error {
	id, err := idParam(c, "id")
	if err != nil {
		return err
	}
	if err := p.Plans.DiscardPlanDraft(c.UserContext(), id); err != nil {
		return err
	}
	back := planPath(id)
	if _, err := p.Plans.Plan(c.UserContext(), id); fault.Is(err, fault.NotFound) {
		back = "/plans" // it was never published and went with its draft
	}
	return p.done(c, back, "plans.discarded")
}

func (p *Panel) archivePlan(c *fiber.Ctx) error {
	return p.actOnPlan(c, p.Plans.ArchivePlan, "plans.archived")
}

func (p *Panel) unarchivePlan(c *fiber.Ctx) error {
	return p.actOnPlan(c, p.Plans.UnarchivePlan, "plans.unarchived")
}

func (p *Panel) actOnPlan(c *fiber.Ctx, act func(context.Context, int64) error, told string) error {
	id, err := idParam(c, "id")
	if err != nil {
		return err
	}
	if err := act(c.UserContext(), id); err != nil {
		return err
	}
	return p.done(c, planPath(id), told)
}

// done leads on and says there, once, that it worked.
func (p *Panel) done(c *fiber.Ctx, path, key string, args ...any) error {
	if err := p.flash(c, at(c).Say.T(key, args...)); err != nil {
		return err
	}
	return p.redirect(c, path)
}
