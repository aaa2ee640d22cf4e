package handlers

import (
	"context"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
	"github.com/fila-ia/filaia/views/tenants"
	"github.com/fila-ia/filaia/views/ui"
)

// TenantStore is what these pages need of the store.
type TenantStore interface {
	tenantReader
	tenantWriter
}

type tenantReader interface {
	Tenant(ctx context.Context, id int64) (tenancy.Tenant, error)
	ListTenants(ctx context.Context, q tenancy.ListQuery) (tenancy.Page[tenancy.Tenant], error)
	Allowances(ctx context.Context, tenantID int64, limit int) ([]usage.Allowance, error)
	UsageByModel(ctx context.Context, tenantID int64, span usage.Period) ([]usage.Share, error)
	PreviewPlanChange(ctx context.Context, tenantID, planID int64) (tenancy.PlanChange, error)
}

type tenantWriter interface {
	CreateTenant(ctx context.Context, d tenancy.TenantDraft) (tenancy.Tenant, error)
	UpdateTenant(ctx context.Context, id int64, d tenancy.TenantDraft) (tenancy.PlanChange, error)
	SuspendTenant(ctx context.Context, id int64) error
	ReactivateTenant(ctx context.Context, id int64) error
	CloseTenant(ctx context.Context, id int64) error
	ChangePlan(ctx context.Context, tenantID, planID int64) (tenancy.PlanChange, error)
	CancelPlanChange(ctx context.Context, tenantID int64) error
}

// tenants serves customers. The page of a customer's usage is the dashboard's.
func (p *Panel) tenants(r fiber.Router) {
	r.Get("/tenants", p.listTenants)
	r.Post("/tenants", p.createTenant)
	r.Get("/tenants/new", p.needEditor, p.newTenant)
	r.Post("/tenants/tax-id", p.checkTaxID)
	r.Get("/tenants/:id", p.showTenant)
	r.Post("/tenants/:id", p.updateTenant)
	r.Get("/tenants/:id/edit", p.needEditor, p.editTenant)
	r.Get("/tenants/:id/keys", p.showTenantKeys)
	r.Get("/tenants/:id/details", p.showTenantDetails)
	r.Get("/tenants/:id/plan", p.needEditor, p.choosePlan)
	r.Get("/tenants/:id/plan/preview", p.needEditor, p.previewPlanChange)
	r.Post("/tenants/:id/plan", p.changePlan)
	r.Post("/tenants/:id/plan/cancel", p.cancelPlanChange)
	r.Post("/tenants/:id/suspend", p.suspendTenant)
	r.Post("/tenants/:id/reactivate", p.reactivateTenant)
	r.Post("/tenants/:id/close", p.closeTenant)
}

func tenantPath(id int64) string { return "/tenants/" + strconv.FormatInt(id, 10) }

// openTenants is what the list shows unless asked for more: who left is seldom looked for.
const openTenants, everyTenant = "open", "all"

func (p *Panel) listTenants(c *fiber.Ctx) error {
	v, q := at(c), listQuery(c)
	if q.Status == "" {
		q.Status = openTenants
	}
	q.PlanID = int64(c.QueryInt("plan"))
	page, err := p.Tenants.ListTenants(c.UserContext(), q)
	if err != nil {
		return err
	}
	say := v.Say
	m := tenants.ListModel{Frame: p.frame(c, say.T("nav.tenants"), "tenants"), MayEdit: v.User.Role.MayEdit(), Now: p.Now()}
	for _, t := range page.Items {
		m.Rows = append(m.Rows, tenantModel(t))
	}
	m.Table = ui.TableModel{
		ID: "tenants-table", Path: "/tenants", Query: queryValues(c), Label: say.T("nav.tenants"), Search: say.T("tenants.search"),
		CountKey: "tenants.count", Total: int64(page.Total),
		Columns: []ui.Column{
			{Label: say.T("tenants.field.name"), Sort: "name"}, {Label: say.T("tenants.col.state")}, {Label: say.T("tenants.plan")},
			{Label: say.T("tenants.col.use"), Sort: "use", Numeric: true}, {Label: say.T("tenants.col.keys"), Numeric: true},
			{Label: say.T("tenants.col.last_call"), Sort: "last_call"}, {Label: say.T("tenants.since"), Sort: "created"},
			{Label: say.T("plans.col.actions"), Hidden: true},
		},
		Filters: []ui.Filter{{Name: "status", Label: say.T("tenants.col.state"), Options: []ui.Option{
			{Label: say.T("tenants.filter.open")}, {Value: "active", Label: say.T("tenants.filter.active")},
			{Value: "suspended", Label: say.T("tenants.filter.suspended")}, {Value: "closed", Label: say.T("tenants.filter.closed")},
			{Value: everyTenant, Label: say.T("tenants.filter.all")},
		}}},
		Empty: ui.EmptyModel{Icon: "building", Title: say.T("tenants.empty_title"), Text: say.T("tenants.empty_text")},
	}
	if q.PlanID != 0 {
		plan, err := p.Plans.Plan(c.UserContext(), q.PlanID)
		if err != nil {
			return err
		}
		m.Table.Filters = append(m.Table.Filters, ui.Filter{Name: "plan", Label: say.T("tenants.plan"), Options: []ui.Option{
			{Label: say.T("tenants.filter.any_plan")}, {Value: strconv.FormatInt(plan.ID, 10), Label: plan.Name},
		}})
	}
	if m.MayEdit {
		m.Table.Empty.Action = ui.LinkButton(ui.ButtonModel{Label: say.T("tenants.new"), Icon: "plus", Kind: ui.Primary, Href: "/tenants/new"})
	}
	return p.render(c, tenants.ListPage(m), tenants.Table(m))
}

func tenantModel(t tenancy.Tenant) tenants.Tenant {
	m := tenants.Tenant{
		ID: strconv.FormatInt(t.ID, 10), Name: t.Name, Email: t.Email, TaxID: tenancy.FormatTaxID(t.TaxID), TimeZone: t.TimeZone, Language: string(t.Language),
		BillingDay: t.BillingDay, State: tenants.State(t.Status), CreatedAt: t.CreatedAt, LastCallAt: orZero(t.LastCallAt),
		PlanID: strconv.FormatInt(t.PlanID, 10), PlanName: t.PlanName, PlanVersion: t.PlanVersion, Newest: t.NewestVersion,
		NextPlan: t.NextPlanName, NextVersion: t.NextPlanVersion, Keys: t.Keys, Rates: rateModel(t.Rates), Allowance: allowanceModel(t.Allowance),
	}
	return m
}

func allowanceModel(a usage.Allowance) tenants.Allowance {
	m := tenants.Allowance{
		Name: a.KeyName, Plan: a.PlanName, UsedIn: a.Input.Used, LimitIn: a.Input.Limit, UsedOut: a.Output.Used, LimitOut: a.Output.Limit,
		Start: a.Period.Start, End: a.Period.End, Blocks: a.Hard, Price: a.Price, Charge: a.Charge(), Overage: a.OveragePrice,
		Capped: a.Capped(), CapReached: a.CapReached(),
	}
	if a.Capped() {
		m.Cap = *a.SpendCap
	}
	return m
}

func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

// tenantPage is what every tab of a customer shows.
func (p *Panel) tenantPage(c *fiber.Ctx, tab tenants.Tab) (tenants.ShowModel, tenancy.Tenant, error) {
	id, err := idParam(c, "id")
	if err != nil {
		return tenants.ShowModel{}, tenancy.Tenant{}, err
	}
	t, err := p.Tenants.Tenant(c.UserContext(), id)
	if err != nil {
		return tenants.ShowModel{}, tenancy.Tenant{}, err
	}
	v := at(c)
	m := tenants.ShowModel{
		Frame: p.frame(c, t.Name, "tenants"), Tenant: tenantModel(t), MayEdit: v.User.Role.MayEdit(), Now: p.Now(), Tab: tab,
	}
	m.Tenant.TimeZone = zoneLabel(v.Say, t.TimeZone)
	return m, t, nil
}

func (p *Panel) showTenant(c *fiber.Ctx) error {
	if c.Query("tab") == string(tenants.Usage) {
		return p.showTenantUsage(c)
	}
	show, t, err := p.tenantPage(c, tenants.Overview)
	if err != nil {
		return err
	}
	m := tenants.OverviewModel{ShowModel: show}
	const most = 20
	all, err := p.Tenants.Allowances(c.UserContext(), t.ID, most)
	if err != nil {
		return err
	}
	for _, a := range all {
		if a.KeyName != "" {
			m.Own = append(m.Own, allowanceModel(a))
		}
	}
	return p.render(c, tenants.OverviewPage(m), nil)
}

func (p *Panel) showTenantUsage(c *fiber.Ctx) error {
	show, t, err := p.tenantPage(c, tenants.Usage)
	if err != nil {
		return err
	}
	m := tenants.UsageModel{ShowModel: show, Days: knownView(c.Query("view")) == thirty}
	shares, err := p.Tenants.UsageByModel(c.UserContext(), t.ID, t.Allowance.Period)
	if err != nil {
		return err
	}
	for _, s := range shares {
		m.Requests, m.Failures, m.CallerErrors = m.Requests+s.Requests, m.Failures+s.Failures, m.CallerErrors+s.CallerErrors
	}
	return p.render(c, tenants.UsagePage(m), nil)
}

func (p *Panel) showTenantDetails(c *fiber.Ctx) error {
	m, _, err := p.tenantPage(c, tenants.Details)
	if err != nil {
		return err
	}
	return p.render(c, tenants.DetailsPage(m), nil)
}

func (p *Panel) showTenantKeys(c *fiber.Ctx) error {
	show, t, err := p.tenantPage(c, tenants.Keys)
	if err != nil {
		return err
	}
	q := listQuery(c)
	q.TenantID = t.ID
	list, err := p.keyList(c, q, tenantPath(t.ID)+"/keys")
	if err != nil {
		return err
	}
	m := tenants.KeysModel{ShowModel: show, List: list}
	return p.render(c, tenants.KeysPage(m), tenants.KeysTable(m))
}

func (p *Panel) suspendTenant(c *fiber.Ctx) error {
	return p.actOnTenant(c, p.Tenants.SuspendTenant, "tenants.suspended")
}

func (p *Panel) reactivateTenant(c *fiber.Ctx) error {
	return p.actOnTenant(c, p.Tenants.ReactivateTenant, "tenants.reactivated")
}

// closeTenant wants the name typed: it cannot be undone, and the browser's own check can be passed by.
func (p *Panel) closeTenant(c *fiber.Ctx) error {
	id, err := idParam(c, "id")
	if err != nil {
		return err
	}
	t, err := p.Tenants.Tenant(c.UserContext(), id)
	if err != nil {
		return err
	}
	if readForm(c).Text("confirm") != t.Name {
		return notConfirmed()
	}
	return p.actOnTenant(c, p.Tenants.CloseTenant, "tenants.closed")
}

func (p *Panel) actOnTenant(c *fiber.Ctx, act func(context.Context, int64) error, told string) error {
	id, err := idParam(c, "id")
	if err != nil {
		return err
	}
	if err := act(c.UserContext(), id); err != nil {
		return err
	}
	return p.done(c, tenantPath(id), told)
}
