package handlers

import (
	"strconv"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
	"github.com/fila-ia/filaia/views/plans"
	"github.com/fila-ia/filaia/views/ui"
)

// simulatedTokens is what the form's example customer uses until another figure is typed.
const simulatedTokens = 1_400_000

// newPlanTerms are a sensible start for a plan: the installation's usual price of excess, and charging over refusing.
var newPlanTerms = tenancy.Terms{Overage: tenancy.Charge, OveragePrice: 100, Cache: tenancy.CacheOff, CacheMinutes: usualLifetime}

func (p *Panel) newPlan(c *fiber.Ctx) error {
	m, err := p.planForm(c, tenancy.Plan{})
	if err != nil {
		return err
	}
	p.fillPlan(c, &m, tenancy.PlanDraft{Terms: newPlanTerms})
	m.Values["price"], m.Values["input_tokens"], m.Values["output_tokens"] = "", "", ""
	m.Preview = plans.Preview{CacheOK: true, Terms: m.Preview.Terms}
	return p.render(c, plans.FormPage(m), nil)
}

func (p *Panel) editPlan(c *fiber.Ctx) error {
	plan, err := p.planParam(c)
	if err != nil {
		return err
	}
	m, err := p.planForm(c, plan)
	if err != nil {
		return err
	}
	draft := tenancy.PlanDraft{Slug: plan.Slug, Name: plan.Name, Description: plan.Description}
	if plan.Draft != nil {
		draft.Terms = plan.Draft.Terms
	} else {
		draft.Terms = plan.Published.Terms
	}
	p.fillPlan(c, &m, draft)
	return p.render(c, plans.FormPage(m), nil)
}

func (p *Panel) planParam(c *fiber.Ctx) (tenancy.Plan, error) {
	id, err := idParam(c, "id")
	if err != nil {
		return tenancy.Plan{}, err
	}
	return p.Plans.Plan(c.UserContext(), id)
}

// planForm is the form's page without its values; a plan without id is a new one.
func (p *Panel) planForm(c *fiber.Ctx, plan tenancy.Plan) (plans.FormModel, error) {
	models, err := p.Plans.Models(c.UserContext())
	if err != nil {
		return plans.FormModel{}, err
	}
	say := at(c).Say
	m := plans.FormModel{Version: 1, Values: map[string]string{"simulate": say.Int(simulatedTokens)}}
	if m.NoLikeness, err = p.noLikeness(c.UserContext()); err != nil {
		return m, err
	}
	title := say.T("plans.new")
	if plan.ID != 0 {
		m.ID, m.Title, m.Subscribers = strconv.FormatInt(plan.ID, 10), plan.Name, plan.Subscribers
		title = say.T("plans.edit_title", "name", plan.Name)
		if plan.Published != nil {
			m.Version = plan.Published.Number + 1
		}
	}
	m.Frame = p.frame(c, title, "plans")
	for _, model := range models {
		m.Models = append(m.Models, ui.Option{Value: model.Name, Label: model.Name})
	}
	return m, nil
}

// fillPlan puts a draft into the form.
func (p *Panel) fillPlan(c *fiber.Ctx, m *plans.FormModel, d tenancy.PlanDraft) {
	say, t := at(c).Say, d.Terms
	values := map[string]string{
		"name": d.Name, "slug": d.Slug, "description": d.Description, "price": say.MoneyInput(int64(t.Price)),
		"input_tokens": say.Int(t.InputTokens), "output_tokens": say.Int(t.OutputTokens), "overage": string(t.Overage),
		"cache": string(t.Cache), "cache_billed": strconv.Itoa(t.CacheBilled),
	}
	fillRates(say, values, t.Rates())
	fillLifetime(say, values, t.CacheMinutes)
	if t.OveragePrice > 0 {
		values["overage_price"] = say.MoneyInput(int64(t.OveragePrice))
	}
	for name, value := range values {
		m.Values[name] = value
	}
	checkModels(m.Models, t.AllowedModels)
	m.Preview = planPreview(t, simulatedTokens)
}

// checkModels ticks the models in names.
func checkModels(options []ui.Option, names []string) {
	for i := range options {
		for _, name := range names {
			options[i].Checked = options[i].Checked || options[i].Value == name
		}
	}
}

// readPlan reads the form into a draft; f notes what could not be read.
func readPlan(f *form) tenancy.PlanDraft {
	d := tenancy.PlanDraft{
		Slug: f.Text("slug"), Name: f.Text("name"), Description: f.Text("description"),
		Terms: tenancy.Terms{
			Price: f.Money("price"), InputTokens: f.Int("input_tokens"), OutputTokens: f.Int("output_tokens"),
			Overage: tenancy.Overage(f.Text("overage")), AllowedModels: f.All("models"), Cache: tenancy.CacheMode(f.Text("cache")),
		},
	}
	rates := readRates(f)
	d.Terms.RequestsPerMinute, d.Terms.TokensPerMinute, d.Terms.ParallelCalls = rates.RequestsPerMinute, rates.TokensPerMinute, rates.ParallelCalls
	if d.Terms.Cache != tenancy.CacheOff { // its fields are hidden otherwise, too
		d.Terms.CacheMinutes, d.Terms.CacheBilled = readLifetime(f), int(min(f.IntOr("cache_billed", 0), beyondRange))
	}
	if d.Terms.Overage == tenancy.Charge { // the field is hidden otherwise: what stands in it means nothing
		d.Terms.OveragePrice = f.MoneyOr("overage_price", 0)
	}
	return d
}

func (p *Panel) createPlan(c *fiber.Ctx) error {
	f := readForm(c)
	d := readPlan(f)
	switch {
	case d.Slug == "" && d.Name == "":
		d.Slug = "plano" // the missing name is told; a code that was to come from it must not be told as well
	case d.Slug == "":
		d.Slug = tenancy.Slugify(d.Name)
	}
	publish := f.Checked("publish")
	err := f.Join(d.Validate())
	if err == nil {
		var plan tenancy.Plan
		if plan, err = p.Plans.CreatePlan(c.UserContext(), d, publish); err == nil {
			told := map[bool]string{true: "plans.created", false: "plans.created_draft"}[publish]
			return p.done(c, planPath(plan.ID), told, "name", plan.Name)
		}
	}
	return p.refusePlan(c, f, d, tenancy.Plan{}, err)
}

func (p *Panel) updatePlan(c *fiber.Ctx) error {
	plan, err := p.planParam(c)
	if err != nil {
		return err
	}
	f := readForm(c)
	d := readPlan(f)
	if err = f.Join(d.Validate()); err == nil {
		var now tenancy.Plan
		if now, err = p.Plans.UpdatePlanDraft(c.UserContext(), plan.ID, d, f.Checked("publish")); err == nil {
			return p.toldOfPlan(c, plan, now)
		}
	}
	return p.refusePlan(c, f, d, plan, err)
}

// toldOfPlan says what an edit came to: a new version, a draft, or other words for the same terms.
func (p *Panel) toldOfPlan(c *fiber.Ctx, before, now tenancy.Plan) error {
	switch {
	case now.Draft != nil:
		return p.done(c, planPath(now.ID), "plans.saved_draft", "version", now.Draft.Number)
	case before.Published == nil || before.Published.ID != now.Published.ID:
		return p.done(c, planPath(now.ID), "plans.published", "version", now.Published.Number)
	}
	return p.done(c, planPath(now.ID), "plans.saved_same")
}

// refusePlan shows the form again with what was typed.
func (p *Panel) refusePlan(c *fiber.Ctx, f *form, d tenancy.PlanDraft, plan tenancy.Plan, cause error) error {
	if !rejected(cause) {
		return cause
	}
	m, err := p.planForm(c, plan)
	if err != nil {
		return err
	}
	for _, name := range []string{"name", "slug", "description", "price", "input_tokens", "output_tokens", "overage", "overage_price",
		"rpm", "tpm", "parallel", "cache", "cache_minutes", "cache_unit", "cache_billed", "simulate"} {
		m.Values[name] = f.Text(name)
	}
	checkModels(m.Models, d.Terms.AllowedModels)
	m.Errors, m.Error = fieldErrors(at(c).Say, cause)
	m.Preview = typedPreview(f, d)
	return p.invalid(c, plans.FormPage(m), nil)
}

// previewPlan answers the form while one types. Nothing is wrong yet with a form that is half filled in.
func (p *Panel) previewPlan(c *fiber.Ctx) error {
	f := readForm(c)
	m := typedPreview(f, readPlan(f))
	text := plans.PreviewText(at(c).Say, m)
	return p.render(c, text, text)
}

// typedPreview tells nothing of what a customer pays until price and tokens can be read, and nothing of the cache until
// its fields can.
func typedPreview(f *form, d tenancy.PlanDraft) plans.Preview {
	tokens := f.IntOr("simulate", simulatedTokens)
	d.Slug = "x" // what the preview does not tell must not stop it
	wrong := problemsOf(f.Join(d.Validate()))
	readable := func(names ...string) bool {
		for _, name := range names {
			if _, bad := wrong[name]; bad {
				return false
			}
		}
		return true
	}
	m := plans.Preview{Terms: planTerms(d.Terms)}
	if readable("price", "input_tokens", "output_tokens", "overage", "overage_price", "simulate") && tokens >= 0 && tokens <= tenancy.MaxTokens {
		m = planPreview(d.Terms, tokens)
	}
	m.CacheOK = readable("cache", "cache_minutes", "cache_billed", "overage", "overage_price")
	return m
}

// planPreview tells what tokens cost under terms. They are split as the plan includes them, so that a plan's customer
// is its typical one; a plan without tokens splits two to one.
func planPreview(t tenancy.Terms, tokens int64) plans.Preview {
	in, of := t.InputTokens, t.InputTokens+t.OutputTokens
	if of == 0 {
		in, of = 2, 3
	}
	input := int64(float64(tokens) * (float64(in) / float64(of)))
	a := usage.Allowance{
		Hard: t.Overage == tenancy.Block, OveragePrice: t.OveragePrice,
		Input: usage.Meter{Used: input, Limit: t.InputTokens}, Output: usage.Meter{Used: tokens - input, Limit: t.OutputTokens},
	}
	m := plans.Preview{OK: true, CacheOK: true, Tokens: tokens, Input: input, Output: tokens - input, Terms: planTerms(t), Charge: a.Charge()}
	m.Excess, m.Total = a.Input.Excess()+a.Output.Excess(), t.Price+m.Charge
	return m
}

// planExamples shows customers at half, at once, at one and a half times and at three times what the plan includes.
func planExamples(t tenancy.Terms) []plans.Example {
	var list []plans.Example
	for _, tenths := range []int64{5, 10, 15, 30} {
		m := planPreview(t, (t.InputTokens+t.OutputTokens)/10*tenths)
		list = append(list, plans.Example{Tokens: m.Tokens, Excess: m.Excess, Total: m.Total, Unserved: m.Terms.Blocks && m.Excess > 0})
	}
	return list
}
