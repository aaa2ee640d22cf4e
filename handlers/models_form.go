package handlers

import (
	"strconv"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/views/models"
	"github.com/fila-ia/filaia/views/ui"
)

// newMaxOutput is what the form of a new model begins with.
const newMaxOutput = 32_768

func (p *Panel) newModel(c *fiber.Ctx) error {
	m, err := p.modelForm(c, tenancy.Model{})
	if err != nil {
		return err
	}
	m.Values = map[string]string{"active": "on", "max_output_tokens": at(c).Say.Int(newMaxOutput)}
	m.Routes = []models.RouteRow{{Priority: "1", Weight: "1", Active: true}}
	if len(m.Options) == 1 {
		m.Routes[0].Provider = m.Options[0].Value
	}
	return p.render(c, models.FormPage(m), nil)
}

func (p *Panel) editModel(c *fiber.Ctx) error {
	one, err := p.modelParam(c)
	if err != nil {
		return err
	}
	m, err := p.modelForm(c, one)
	if err != nil {
		return err
	}
	say := at(c).Say
	m.Values = map[string]string{
		"name": one.Name, "owned_by": one.OwnedBy, "max_output_tokens": say.Int(one.MaxOutputTokens), "active": ticked(one.Active), "default": ticked(one.Default),
	}
	for _, r := range one.Routes {
		row := models.RouteRow{
			Provider: strconv.FormatInt(r.ProviderID, 10), Upstream: r.UpstreamModel, Priority: strconv.Itoa(r.Priority),
			Weight: strconv.Itoa(r.Weight), Active: r.Active,
		}
		if row.Upstream == one.Name {
			row.Upstream = "" // the field says that it is the same
		}
		m.Routes = append(m.Routes, row)
	}
	return p.render(c, models.FormPage(m), nil)
}

func ticked(on bool) string {
	if on {
		return "on"
	}
	return ""
}

// modelForm is the form's page without its values; a model without a name is a new one.
func (p *Panel) modelForm(c *fiber.Ctx, one tenancy.Model) (models.FormModel, error) {
	say := at(c).Say
	m := models.FormModel{Name: one.Name, Price: models.PriceFields{Values: map[string]string{}}}
	houses, err := p.Providers.Providers(c.UserContext())
	if err != nil {
		return m, err
	}
	for _, house := range houses {
		label := house.Name
		if !house.Active {
			label = say.T("models.provider_off", "name", house.Name)
		}
		m.Options = append(m.Options, ui.Option{Value: strconv.FormatInt(house.ID, 10), Label: label})
	}
	title := say.T("models.new")
	if one.Name != "" {
		title = say.T("models.edit_title", "name", one.Name)
	}
	m.Frame = p.frame(c, title, "models")
	return m, nil
}

// routeRows are the rows of routes as typed. A row in which nothing was chosen or typed is none.
func routeRows(f *form) []models.RouteRow {
	providers, names, priorities, weights := f.All("route_provider"), f.All("route_model"), f.All("route_priority"), f.All("route_weight")
	active := map[string]bool{}
	for _, i := range f.All("route_active") {
		active[i] = true
	}
	const most = 50 // far above any model's; a form could ask for millions
	rows := make([]models.RouteRow, min(len(providers), most))
	at := func(values []string, i int) string {
		if i < len(values) {
			return short(values[i], 300)
		}
		return ""
	}
	for i := range rows {
		rows[i] = models.RouteRow{
			Provider: at(providers, i), Upstream: at(names, i), Priority: at(priorities, i), Weight: at(weights, i), Active: active[strconv.Itoa(i)],
		}
	}
	return rows
}

// changeRows adds or takes away a row where that is the button that was pressed.
func changeRows(f *form, rows []models.RouteRow) (changed []models.RouteRow, pressed bool) {
	if f.Checked("add_route") {
		next := models.RouteRow{Priority: "1", Weight: "1", Active: true}
		if len(rows) > 0 { // most second routes are there for when the first one fails
			if n, err := strconv.Atoi(rows[len(rows)-1].Priority); err == nil {
				next.Priority = strconv.Itoa(n + 1)
			}
		}
		return append(rows, next), true
	}
	if text := f.Text("remove_route"); text != "" {
		if i, err := strconv.Atoi(text); err == nil && i >= 0 && i < len(rows) {
			rows = append(rows[:i:i], rows[i+1:]...)
		}
		return rows, true
	}
	return rows, false
}

// readModel reads the form into a draft; f notes what could not be read.
func readModel(f *form, rows []models.RouteRow) tenancy.ModelDraft {
	d := tenancy.ModelDraft{
		Name: f.Text("name"), OwnedBy: f.Text("owned_by"), MaxOutputTokens: f.Int("max_output_tokens"), Active: f.Checked("active"), Default: f.Checked("default"),
	}
	number := func(text string) int {
		n, err := at(f.c).Say.ParseInt(text)
		if err != nil || n > 1<<30 || n < 0 {
			return -1 // Validate says what is accepted
		}
		return int(n)
	}
	for _, r := range rows {
		if r.Provider == "" && r.Upstream == "" {
			continue
		}
		id, _ := strconv.ParseInt(r.Provider, 10, 64) // 0 is refused: choose a provider
		d.Routes = append(d.Routes, tenancy.Route{
			ProviderID: id, UpstreamModel: r.Upstream, Priority: number(r.Priority), Weight: number(r.Weight), Active: r.Active,
		})
	}
	return d
}

func (p *Panel) createModel(c *fiber.Ctx) error {
	f := readForm(c)
	rows, pressed := changeRows(f, routeRows(f))
	if pressed {
		return p.showRows(c, f, tenancy.Model{}, rows)
	}
	d, price := readModel(f, rows), readPrice(f)
	err := together(f.Join(d.Validate()), price.Validate())
	if err == nil {
		if err = p.Models.CreateModel(c.UserContext(), d, price); err == nil {
			return p.done(c, models.Path(d.Name), "models.created", "name", d.Name)
		}
	}
	return p.refuseModel(c, f, tenancy.Model{}, rows, err)
}

func (p *Panel) updateModel(c *fiber.Ctx) error {
	one, err := p.modelParam(c)
	if err != nil {
		return err
	}
	f := readForm(c)
	rows, pressed := changeRows(f, routeRows(f))
	if pressed {
		return p.showRows(c, f, one, rows)
	}
	d := readModel(f, rows)
	if err = f.Join(d.Validate()); err == nil {
		if err = p.Models.UpdateModel(c.UserContext(), one.Name, d); err == nil {
			return p.done(c, models.Path(d.Name), "models.saved")
		}
	}
	return p.refuseModel(c, f, one, rows, err)
}

// showRows shows the form with a row more or less: all of it, or for htmx the rows alone.
func (p *Panel) showRows(c *fiber.Ctx, f *form, one tenancy.Model, rows []models.RouteRow) error {
	m, err := p.typedModel(c, f, one, rows)
	if err != nil {
		return err
	}
	return p.render(c, models.FormPage(m), models.Routes(at(c).Say, m))
}

// refuseModel shows the form again with what was typed.
func (p *Panel) refuseModel(c *fiber.Ctx, f *form, one tenancy.Model, rows []models.RouteRow, cause error) error {
	if !rejected(cause) {
		return cause
	}
	m, err := p.typedModel(c, f, one, rows)
	if err != nil {
		return err
	}
	m.Errors, m.Error = fieldErrors(at(c).Say, cause)
	m.Price.Errors = m.Errors
	return p.invalid(c, models.FormPage(m), nil)
}

func (p *Panel) typedModel(c *fiber.Ctx, f *form, one tenancy.Model, rows []models.RouteRow) (models.FormModel, error) {
	m, err := p.modelForm(c, one)
	if err != nil {
		return m, err
	}
	m.Routes, m.Values = rows, map[string]string{}
	for _, name := range []string{"name", "owned_by", "max_output_tokens", "active", "default"} {
		m.Values[name] = f.Text(name)
	}
	if one.Name == "" {
		m.Price, err = p.typedPrice(c, f)
	}
	return m, err
}
