package handlers

import (
	"context"
	"errors"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
	"github.com/fila-ia/filaia/views/spend"
	"github.com/fila-ia/filaia/views/ui"
)

// SpendCapStore keeps how much a customer may be charged above its plan.
type SpendCapStore interface {
	// SetSpendCap is a Conflict where the plan charges nothing; nil takes the cap away.
	SetSpendCap(ctx context.Context, tenantID int64, limit *money.Micros) error
}

// portalSpendCapPath is the customer's own page.
const portalSpendCapPath = "/portal/spend-cap"

// spendCap serves the team's form of a customer's cap.
func (p *Panel) spendCap(r fiber.Router) {
	r.Get("/tenants/:id/spend-cap", p.needEditor, p.showSpendCap)
	r.Post("/tenants/:id/spend-cap", p.saveSpendCap)
}

// portalSpendCap serves the customer's own form.
func (p *Panel) portalSpendCap(r fiber.Router) {
	r.Get("/spend-cap", p.showOwnSpendCap)
	r.Post("/spend-cap", p.saveOwnSpendCap)
}

func (p *Panel) showSpendCap(c *fiber.Ctx) error {
	t, err := p.openTenantParam(c)
	if err != nil {
		return err
	}
	return p.render(c, spend.Page(p.spendCapPage(c, t)), nil)
}

func (p *Panel) saveSpendCap(c *fiber.Ctx) error {
	t, err := p.openTenantParam(c)
	if err != nil {
		return err
	}
	f, err := p.capFromForm(c, t.ID, t.Allowance)
	if err == nil {
		return p.done(c, tenantPath(t.ID), "spend.saved")
	}
	if !rejected(err) {
		return err
	}
	return p.invalid(c, spend.Page(refusedCap(c, p.spendCapPage(c, t), f, err)), nil)
}

// openTenantParam is the customer that the address names, unless it is closed.
func (p *Panel) openTenantParam(c *fiber.Ctx) (tenancy.Tenant, error) {
	t, err := p.tenantParam(c)
	if err == nil && t.Status == tenancy.TenantClosed {
		err = fault.New(fault.Conflict, "tenants.error.closed")
	}
	return t, err
}

func (p *Panel) showOwnSpendCap(c *fiber.Ctx) error {
	m, err := p.ownSpendCapPage(c)
	if err != nil {
		return err
	}
	return p.render(c, spend.PortalPage(m), nil)
}

func (p *Panel) saveOwnSpendCap(c *fiber.Ctx) error {
	own, err := p.ownAllowance(c)
	if err != nil {
		return err
	}
	f, err := p.capFromForm(c, at(c).User.TenantID, own)
	if err == nil {
		return p.done(c, portalSpendCapPath, "spend.saved")
	}
	if !rejected(err) {
		return err
	}
	m, pageErr := p.ownSpendCapPage(c)
	if pageErr != nil {
		return pageErr
	}
	return p.invalid(c, spend.PortalPage(refusedCap(c, m, f, err)), nil)
}

// capFromForm sets what was typed; an empty field takes the cap away. One that stops the customer's calls at once must be confirmed: it may
// be a slip of the hand.
func (p *Panel) capFromForm(c *fiber.Ctx, tenantID int64, now usage.Allowance) (*form, error) {
	f := readForm(c)
	var limit *money.Micros
	if f.Text("cap") != "" {
		typed := f.Cents("cap")
		limit = &typed
	}
	if err := f.Join(tenancy.CheckSpendCap(limit)); err != nil {
		return f, err
	}
	if limit != nil && stops(now, *limit) && f.Text("confirm") != capMark(*limit) {
		return f, fault.New(fault.Invalid, "spend_stop.ask").Because(stopsCalls(*limit))
	}
	return f, p.SpendCaps.SetSpendCap(c.UserContext(), tenantID, limit)
}

// stops tells whether calls that are taken now would be refused under the cap.
func stops(now usage.Allowance, limit money.Micros) bool {
	then := now
	then.SpendCap = &limit
	return !now.Hard && then.CapReached() && !now.CapReached()
}

// stopsCalls is the cause of a question: whether a cap of so much is meant.
type stopsCalls money.Micros

func (s stopsCalls) Error() string {
	return "a cap of " + money.Micros(s).Plain() + " stops calls at once"
}

// capMark is what confirms a cap of that much, and no other.
func capMark(limit money.Micros) string { return limit.Plain() }

// refusedCap is the page with what was typed and what is wrong with it.
func refusedCap(c *fiber.Ctx, m spend.Model, f *form, err error) spend.Model {
	fields, ofForm := fieldErrors(at(c).Say, err)
	m.Value = f.Text("cap")
	if stop := stopsCalls(0); errors.As(err, &stop) {
		m.Stops, m.NewCap, m.Problem = capMark(money.Micros(stop)), money.Micros(stop), ""
		return m
	}
	if m.Error = fields["cap"]; m.Error == "" {
		m.Problem = ofForm
	}
	return m
}

func (p *Panel) spendCapPage(c *fiber.Ctx, t tenancy.Tenant) spend.Model {
	v := at(c)
	m := spend.Model{
		Frame: p.frame(c, v.Say.T("spend.title"), "tenants"), Action: tenantPath(t.ID) + "/spend-cap", Cancel: tenantPath(t.ID),
		Crumbs:  []ui.Link{{Label: v.Say.T("nav.tenants"), Href: "/tenants"}, {Label: t.Name, Href: tenantPath(t.ID)}},
		MayEdit: v.User.Role.MayEdit(), State: capState(t.Allowance),
	}
	m.Value = typedCap(c, t.Allowance)
	return m
}

func (p *Panel) ownSpendCapPage(c *fiber.Ctx) (spend.Model, error) {
	if _, err := p.ownZone(c); err != nil {
		return spend.Model{}, err
	}
	v := at(c)
	m := spend.Model{
		Frame: p.frame(c, v.Say.T("spend.title"), "overview"), Action: portalSpendCapPath, Cancel: "/portal", Own: true,
		Crumbs:  []ui.Link{{Label: v.Say.T("portal.title"), Href: "/portal"}},
		MayEdit: v.User.Role == tenancy.TenantAdmin,
	}
	a, err := p.ownAllowance(c)
	if err != nil {
		return m, err
	}
	m.State, m.Value = capState(a), typedCap(c, a)
	return m, nil
}

// ownAllowance is what the plan of the customer, not of a key, allows.
func (p *Panel) ownAllowance(c *fiber.Ctx) (usage.Allowance, error) {
	list, err := p.Portal.Allowances(c.UserContext(), at(c).User.TenantID, fullestPlans)
	if err != nil {
		return usage.Allowance{}, err
	}
	for _, a := range list {
		if a.KeyName == "" {
			return a, nil
		}
	}
	return usage.Allowance{}, fault.New(fault.NotFound, "problem.no_page")
}

// typedCap is the cap as the form shows it; empty: there is none.
func typedCap(c *fiber.Ctx, a usage.Allowance) string {
	if a.SpendCap == nil {
		return ""
	}
	return at(c).Say.MoneyInput(int64(*a.SpendCap))
}

func capState(a usage.Allowance) spend.State {
	s := spend.State{
		Plan: a.PlanName, Blocks: a.Hard, Capped: a.Capped(), Reached: a.CapReached(), Charged: a.Charged, Left: a.CapLeft(),
		Price: a.OveragePrice, Ends: a.Period.End,
	}
	if s.Capped {
		s.Cap = *a.SpendCap
	}
	if a.OveragePrice > 0 {
		s.Tokens = int64(s.Left / a.OveragePrice)
	}
	return s
}
