package handlers

import (
	"errors"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
	"github.com/fila-ia/filaia/views/models"
	"github.com/fila-ia/filaia/views/ui"
)

// priceFields are the amounts of a price in its form.
var priceFields = []string{"input_price", "cached_input_price", "output_price", "reasoning_price", "request_price"}

// readPrice reads a price: cached tokens cost as much as others and reasoning as much as answers unless typed otherwise.
func readPrice(f *form) tenancy.Price {
	price := tenancy.Price{Input: f.Money("input_price"), Output: f.Money("output_price"), Request: f.MoneyOr("request_price", 0)}
	price.CachedInput = f.MoneyOr("cached_input_price", price.Input)
	price.Reasoning = f.MoneyOr("reasoning_price", price.Output)
	return price
}

// together is two refused forms as one. What is no refused form goes first.
func together(a, b error) error {
	if a == nil || b == nil {
		return errors.Join(a, b)
	}
	if !fault.Is(a, fault.Invalid) {
		return a
	}
	var all fault.Form
	for _, err := range []error{a, b} {
		for name, field := range problemsOf(err) {
			all.Reject(name, field.Key, field.Args...)
		}
	}
	return all.Err()
}

// typedPrice is a price's fields as typed, and what calls would cost.
func (p *Panel) typedPrice(c *fiber.Ctx, f *form) (models.PriceFields, error) {
	m := models.PriceFields{Values: map[string]string{}}
	for _, name := range append([]string{"from", "since", "provider"}, priceFields...) {
		m.Values[name] = f.Text(name)
	}
	rate, err := p.rateNow(c)
	m.Preview = pricePreview(readForm(c), rate) // with errors of its own: none is told for a preview
	return m, err
}

// The preview is of so many calls of a usual size.
const previewCalls, previewInput, previewOutput = 1000, 1000, 300

// pricePreview is empty until the price can be read.
func pricePreview(f *form, rate models.Rate) models.Preview {
	price := readPrice(f)
	if f.Err() != nil || price.Validate() != nil {
		return models.Preview{}
	}
	return models.Preview{OK: true, USD: previewCost(price), Rate: rate}
}

// previewCost is rounded once, not at every call.
func previewCost(price tenancy.Price) money.Micros {
	perCall := price.Request
	price.Request = 0
	return price.Cost(usage.Tokens{Input: previewCalls * previewInput, Output: previewCalls * previewOutput}) + previewCalls*perCall
}

// previewPrice answers a form while one types. Nothing is wrong yet with a form that is half filled in.
func (p *Panel) previewPrice(c *fiber.Ctx) error {
	rate, err := p.rateNow(c)
	if err != nil {
		return err
	}
	text := models.PreviewText(at(c).Say, pricePreview(readForm(c), rate))
	return p.render(c, text, text)
}

func (p *Panel) newPrice(c *fiber.Ctx) error {
	one, err := p.modelParam(c)
	if err != nil {
		return err
	}
	m, err := p.priceForm(c, one)
	if err != nil {
		return err
	}
	m.Fields.Values = map[string]string{"from": "now"}
	if one.Price.Since.IsZero() {
		return p.render(c, models.PricePage(m), nil)
	}
	fillPrice(at(c).Say, m.Fields.Values, one.Price)
	rate, err := p.rateNow(c)
	if err != nil {
		return err
	}
	m.Fields.Preview = models.Preview{OK: true, USD: previewCost(one.Price), Rate: rate}
	return p.render(c, models.PricePage(m), nil)
}

// fillPrice begins the form with the price that holds; what follows from others stays empty.
func fillPrice(say i18n.Printer, values map[string]string, price tenancy.Price) {
	put := func(name string, m money.Micros, given bool) {
		if given {
			values[name] = say.MoneyInput(int64(m))
		}
	}
	put("input_price", price.Input, true)
	put("output_price", price.Output, true)
	put("cached_input_price", price.CachedInput, price.CachedInput != price.Input)
	put("reasoning_price", price.Reasoning, price.Reasoning != price.Output)
	put("request_price", price.Request, price.Request != 0)
}

func (p *Panel) priceForm(c *fiber.Ctx, one tenancy.Model) (models.PriceModel, error) {
	say := at(c).Say
	m := models.PriceModel{Name: one.Name, Offer: !one.Active, OfferOn: !one.Active}
	m.Frame = p.frame(c, say.T("models.new_price_title", "name", one.Name), "models")
	houses, err := p.Providers.Providers(c.UserContext())
	if err != nil {
		return m, err
	}
	for _, house := range houses {
		for _, r := range one.Routes {
			if id := strconv.FormatInt(house.ID, 10); r.ProviderID == house.ID && (len(m.Options) == 0 || m.Options[len(m.Options)-1].Value != id) {
				m.Options = append(m.Options, ui.Option{Value: id, Label: house.Name})
			}
		}
	}
	return m, nil
}

// setPrice appends a price, and puts the model on offer where that was ticked.
func (p *Panel) setPrice(c *fiber.Ctx) error {
	one, err := p.modelParam(c)
	if err != nil {
		return err
	}
	f := readForm(c)
	price := readPrice(f)
	price.ProviderID = f.IntOr("provider", 0)
	p.readSince(c, f, &price)
	err = f.Join(price.Validate())
	if err == nil {
		if err = p.Models.SetPrice(c.UserContext(), one.Name, price); err == nil {
			return p.offer(c, one, f.Checked("offer"))
		}
	}
	if !rejected(err) {
		return err
	}
	m, failed := p.priceForm(c, one)
	if failed != nil {
		return failed
	}
	if m.Fields, failed = p.typedPrice(c, f); failed != nil {
		return failed
	}
	m.OfferOn = f.Checked("offer")
	m.Fields.Errors, m.Error = fieldErrors(at(c).Say, err)
	return p.invalid(c, models.PricePage(m), nil)
}

// readSince reads from when a price holds; now is the zero time.
func (p *Panel) readSince(c *fiber.Ctx, f *form, price *tenancy.Price) {
	if f.Text("from") != "date" {
		return
	}
	text := f.Text("since")
	since, err := time.ParseInLocation(localMinute, text, at(c).Say.Zone())
	switch {
	case text == "":
		f.Reject("since", "error.required")
	case err != nil:
		f.Reject("since", "keys.error.date", "value", short(text, 40))
	default:
		price.Since = since
	}
}

// offer tells of a new price, and puts the model on offer where a person wants it and it can be.
func (p *Panel) offer(c *fiber.Ctx, one tenancy.Model, wanted bool) error {
	if one.Active || !wanted {
		return p.done(c, models.Path(one.Name), "models.price_saved")
	}
	d := tenancy.ModelDraft{Name: one.Name, OwnedBy: one.OwnedBy, MaxOutputTokens: one.MaxOutputTokens, Active: true, Default: one.Default, Routes: one.Routes}
	err := p.Models.UpdateModel(c.UserContext(), one.Name, d)
	if rejected(err) { // such as a price that begins later
		return p.done(c, models.Path(one.Name), "models.price_saved_only")
	}
	if err != nil {
		return err
	}
	return p.done(c, models.Path(one.Name), "models.price_offered", "name", one.Name)
}
