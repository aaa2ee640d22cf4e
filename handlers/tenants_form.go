package handlers

import (
	"strconv"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/views/tenants"
	"github.com/fila-ia/filaia/views/ui"
)

func notConfirmed() error { return fault.New(fault.Invalid, "tenants.error.not_confirmed") }

func (p *Panel) newTenant(c *fiber.Ctx) error {
	m, err := p.tenantForm(c, tenancy.Tenant{TimeZone: p.Zone.String()})
	if err != nil {
		return err
	}
	m.Values = map[string]string{"time_zone": p.Zone.String(), "language": string(i18n.PtBR), "billing_day": "1", "plan": c.Query("plan")}
	return p.render(c, tenants.FormPage(m), nil)
}

func (p *Panel) editTenant(c *fiber.Ctx) error {
	t, err := p.tenantParam(c)
	if err != nil {
		return err
	}
	if t.Status == tenancy.TenantClosed {
		return fault.New(fault.Conflict, "tenants.error.closed")
	}
	m, err := p.tenantForm(c, t)
	if err != nil {
		return err
	}
	m.Values = map[string]string{
		"name": t.Name, "email": t.Email, "tax_id": tenancy.FormatTaxID(t.TaxID), "time_zone": t.TimeZone,
		"language":    string(t.Language),
		"billing_day": strconv.Itoa(t.BillingDay), "plan": strconv.FormatInt(t.PlanID, 10),
	}
	fillRates(at(c).Say, m.Values, t.Rates)
	return p.render(c, tenants.FormPage(m), nil)
}

func (p *Panel) tenantParam(c *fiber.Ctx) (tenancy.Tenant, error) {
	id, err := idParam(c, "id")
	if err != nil {
		return tenancy.Tenant{}, err
	}
	return p.Tenants.Tenant(c.UserContext(), id)
}

// tenantForm is the form's page without its values; a tenant without id is a new one.
func (p *Panel) tenantForm(c *fiber.Ctx, t tenancy.Tenant) (tenants.FormModel, error) {
	say := at(c).Say
	m := tenants.FormModel{Name: t.Name, Zones: zoneOptions(say, t.TimeZone)}
	title := say.T("tenants.new")
	if t.ID != 0 {
		m.ID, title = strconv.FormatInt(t.ID, 10), say.T("tenants.edit_title", "name", t.Name)
	}
	m.Frame = p.frame(c, title, "tenants")
	plans, err := p.Plans.PlansOnSale(c.UserContext())
	if err != nil {
		return m, err
	}
	m.Plans = planOptions(say, plans)
	m.Plans = keepOption(m.Plans, t.PlanID, t.PlanName)
	return m, nil
}

// keepOption keeps what is chosen among the choices although it is not on offer any more.
func keepOption(options []ui.Option, id int64, name string) []ui.Option {
	value := strconv.FormatInt(id, 10)
	for _, o := range options {
		if o.Value == value {
			return options
		}
	}
	if id == 0 {
		return options
	}
	return append([]ui.Option{{Value: value, Label: name}}, options...)
}

// planOptions offers plans with their price.
func planOptions(say i18n.Printer, plans []tenancy.Plan) []ui.Option {
	options := make([]ui.Option, len(plans))
	for i, plan := range plans {
		price := say.Money(int64(plan.Published.Terms.Price), string(money.BRL))
		options[i] = ui.Option{
			Value: strconv.FormatInt(plan.ID, 10), Label: say.T("tenants.plan_option", "plan", plan.Name, "price", price),
		}
	}
	return options
}

// planCards offers plans with what they include; the current one says so.
func planCards(say i18n.Printer, plans []tenancy.Plan, current int64) []ui.Option {
	options := make([]ui.Option, len(plans))
	for i, plan := range plans {
		t, label := plan.Published.Terms, plan.Name
		if plan.ID == current {
			label = say.T("tenants.plan_current", "plan", plan.Name)
		}
		price := say.Money(int64(t.Price), string(money.BRL))
		options[i] = ui.Option{
			Value: strconv.FormatInt(plan.ID, 10), Label: label,
			Text: say.T("tenants.plan_includes", "price", price, "input", t.InputTokens, "output", t.OutputTokens),
		}
	}
	return options
}

func readTenant(f *form) tenancy.TenantDraft {
	return tenancy.TenantDraft{
		Name: f.Text("name"), Email: f.Text("email"), TaxID: f.Text("tax_id"), TimeZone: f.Text("time_zone"), Language: i18n.Lang(f.Text("language")),
		BillingDay: int(min(f.Int("billing_day"), 99)), PlanID: f.IntOr("plan", 0), Rates: readRates(f),
	}
}

func (p *Panel) createTenant(c *fiber.Ctx) error {
	f := readForm(c)
	d := readTenant(f)
	err := f.Join(d.Validate())
	if err == nil {
		var t tenancy.Tenant
		if t, err = p.Tenants.CreateTenant(c.UserContext(), d); err == nil {
			return p.done(c, tenantPath(t.ID), "tenants.created", "name", t.Name)
		}
	}
	return p.refuseTenant(c, f, tenancy.Tenant{}, err)
}

func (p *Panel) updateTenant(c *fiber.Ctx) error {
	t, err := p.tenantParam(c)
	if err != nil {
		return err
	}
	f := readForm(c)
	d := readTenant(f)
	if err = f.Join(d.Validate()); err == nil {
		var change tenancy.PlanChange
		if change, err = p.Tenants.UpdateTenant(c.UserContext(), t.ID, d); err == nil {
			return p.toldOfTenant(c, t.ID, change)
		}
	}
	return p.refuseTenant(c, f, t, err)
}

func (p *Panel) toldOfTenant(c *fiber.Ctx, id int64, change tenancy.PlanChange) error {
	say := at(c).Say
	switch change.Timing {
	case tenancy.ChangeNow:
		return p.done(c, tenantPath(id), "tenants.changed_now", "plan", change.PlanName)
	case tenancy.ChangeScheduled:
		return p.done(c, tenantPath(id), "tenants.changed_later", "plan", change.PlanName, "date", say.Date(change.At))
	}
	return p.done(c, tenantPath(id)+"/details", "tenants.saved")
}

// refuseTenant shows the form again with what was typed.
func (p *Panel) refuseTenant(c *fiber.Ctx, f *form, t tenancy.Tenant, cause error) error {
	if !rejected(cause) {
		return cause
	}
	m, err := p.tenantForm(c, t)
	if err != nil {
		return err
	}
	m.Values = map[string]string{}
	for _, name := range []string{"name", "email", "tax_id", "time_zone", "language", "billing_day", "plan", "rpm", "tpm", "parallel"} {
		m.Values[name] = f.Text(name)
	}
	m.Errors, m.Error = fieldErrors(at(c).Say, cause)
	return p.invalid(c, tenants.FormPage(m), nil)
}

// checkTaxID answers as the field is left: with punctuation and a word when it is right, with what is wrong when not.
func (p *Panel) checkTaxID(c *fiber.Ctx) error {
	typed := readForm(c).Text("tax_id")
	m := tenants.TaxID{Value: typed}
	id, ok := tenancy.NormaliseTaxID(typed)
	switch {
	case !ok:
		m.Error = at(c).Say.T("error.tax_id", "value", short(typed, 40))
	case len(id) == 14:
		m.Value, m.Kind = tenancy.FormatTaxID(id), "cnpj"
	case len(id) == 11:
		m.Value, m.Kind = tenancy.FormatTaxID(id), "cpf"
	}
	field := tenants.TaxIDField(at(c).Say, m)
	return p.render(c, field, field)
}

func (p *Panel) choosePlan(c *fiber.Ctx) error {
	t, err := p.tenantParam(c)
	if err != nil {
		return err
	}
	m, err := p.changeForm(c, t, c.Query("plan"))
	if err != nil {
		return err
	}
	return p.render(c, tenants.ChangePage(m), nil)
}

// changeForm is the page to change a plan with one chosen; "" is the current one.
func (p *Panel) changeForm(c *fiber.Ctx, t tenancy.Tenant, chosen string) (tenants.ChangeModel, error) {
	if t.Status == tenancy.TenantClosed {
		return tenants.ChangeModel{}, fault.New(fault.Conflict, "tenants.error.closed")
	}
	plans, err := p.Plans.PlansOnSale(c.UserContext())
	if err != nil {
		return tenants.ChangeModel{}, err
	}
	say := at(c).Say
	m := tenants.ChangeModel{
		Frame: p.frame(c, say.T("tenants.change_plan"), "tenants"), Tenant: tenantModel(t), Plans: planCards(say, plans, t.PlanID), Chosen: chosen,
	}
	if m.Chosen == "" {
		m.Chosen = m.Tenant.PlanID
		return m, nil
	}
	planID, err := strconv.ParseInt(chosen, 10, 64)
	if err != nil {
		return m, nil
	}
	m.Preview, err = p.planChange(c, t.ID, planID)
	if rejected(err) {
		return m, nil // not on sale: nothing to preview, and nothing to choose
	}
	return m, err
}

// planChange tells what choosing a plan would come to.
func (p *Panel) planChange(c *fiber.Ctx, tenantID, planID int64) (tenants.Change, error) {
	change, err := p.Tenants.PreviewPlanChange(c.UserContext(), tenantID, planID)
	if err != nil {
		return tenants.Change{}, err
	}
	return tenants.Change{
		Known: true, Same: change.Timing == tenancy.ChangeNone, Waits: change.Timing == tenancy.ChangeScheduled,
		UsedMore: change.Reason == tenancy.ChangeUsedMore, At: change.At, Plan: change.PlanName, Version: change.Version,
		Price: change.To.Price, LimitIn: change.To.InputTokens, LimitOut: change.To.OutputTokens,
	}, nil
}

func (p *Panel) previewPlanChange(c *fiber.Ctx) error {
	id, err := idParam(c, "id")
	if err != nil {
		return err
	}
	m, err := p.planChange(c, id, int64(c.QueryInt("plan")))
	if err != nil {
		return err
	}
	part := tenants.ChangePreview(at(c).Say, m)
	return p.render(c, part, part)
}

func (p *Panel) changePlan(c *fiber.Ctx) error {
	t, err := p.tenantParam(c)
	if err != nil {
		return err
	}
	f := readForm(c)
	change, err := p.Tenants.ChangePlan(c.UserContext(), t.ID, f.IntOr("plan", 0))
	if rejected(err) {
		m, formErr := p.changeForm(c, t, f.Text("plan"))
		if formErr != nil {
			return formErr
		}
		fields, ofForm := fieldErrors(at(c).Say, err)
		if m.Error = fields["plan"]; m.Error == "" {
			m.Error = ofForm
		}
		return p.invalid(c, tenants.ChangePage(m), nil)
	}
	if err != nil {
		return err
	}
	if change.Timing == tenancy.ChangeNone {
		return p.done(c, tenantPath(t.ID), "tenants.changed_none", "plan", change.PlanName)
	}
	return p.toldOfTenant(c, t.ID, change)
}

func (p *Panel) cancelPlanChange(c *fiber.Ctx) error {
	return p.actOnTenant(c, p.Tenants.CancelPlanChange, "tenants.change_cancelled")
}
