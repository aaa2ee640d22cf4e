package handlers

import (
	"errors"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/money"
)

// form reads a posted form the way Brazilians type. What cannot be read is noted beside its field, and everything
// typed is still there to show it again.
type form struct {
	fault.Form
	c *fiber.Ctx
}

func readForm(c *fiber.Ctx) *form { return &form{c: c} }

// Text is what was typed, without spaces at its ends.
func (f *form) Text(name string) string { return strings.TrimSpace(f.Secret(name)) }

// Secret is what was typed, untouched: a password may begin or end with a space.
func (f *form) Secret(name string) string { return posted(f.c, name) }

// posted is a field of the body. Fiber's FormValue would look into the address first, where anyone can plant a value.
func posted(c *fiber.Ctx, name string) string { return string(c.Context().PostArgs().Peek(name)) }

// Checked tells whether a box was ticked.
func (f *form) Checked(name string) bool { return f.Secret(name) != "" }

// All gives every value of a field that may come more than once.
func (f *form) All(name string) []string {
	var values []string
	for _, v := range f.c.Context().PostArgs().PeekMulti(name) {
		values = append(values, string(v))
	}
	return values
}

// Int reads a whole number such as 1.000.000; an empty field is rejected.
func (f *form) Int(name string) int64 {
	if f.Text(name) == "" {
		f.Reject(name, "error.required")
		return 0
	}
	return f.IntOr(name, 0)
}

// IntOr reads a whole number that may be left empty.
func (f *form) IntOr(name string, empty int64) int64 {
	text := f.Text(name)
	if text == "" {
		return empty
	}
	n, err := at(f.c).Say.ParseInt(text)
	if err != nil {
		f.Reject(name, "error.integer", "value", short(text, 40))
	}
	return n
}

// As many decimals as an amount may have: a price per token has six, and what is charged has cents.
const (
	priceDecimals = 6
	centDecimals  = 2
)

// Money reads a price such as 1.234,56 or 0,0001; an empty field is rejected.
func (f *form) Money(name string) money.Micros {
	if f.Text(name) == "" {
		f.Reject(name, "error.required")
		return 0
	}
	return f.MoneyOr(name, 0)
}

// MoneyOr reads a price that may be left empty. 1.234 alone is asked about: it may be copied from a list of prices in dollars.
func (f *form) MoneyOr(name string, empty money.Micros) money.Micros {
	text := f.Text(name)
	if text == "" {
		return empty
	}
	if say := at(f.c).Say; say.ThousandAlone(withoutCurrency(text)) {
		whole, _ := say.ParseInt(withoutCurrency(text))
		f.Reject(name, "error.money_two_ways", "value", short(text, 40), "whole", strconv.FormatInt(whole, 10))
		return 0
	}
	return f.amount(name, text, priceDecimals)
}

// Cents reads an amount that has no more than cents, so that 1.234 is a thousand; an empty field is rejected.
func (f *form) Cents(name string) money.Micros {
	text := f.Text(name)
	if text == "" {
		f.Reject(name, "error.required")
		return 0
	}
	return f.amount(name, text, centDecimals)
}

func (f *form) amount(name, text string, decimals int) money.Micros {
	m, err := readMoney(at(f.c).Say, text, decimals)
	switch {
	case errors.Is(err, i18n.ErrTooFine):
		f.Reject(name, "numbers.too_fine", "value", short(text, 40), "n", decimals)
	case err != nil:
		f.Reject(name, "error.money", "value", short(text, 40))
	}
	return m
}

// readMoney reads an amount with at most so many decimals, in the language of the person who typed it.
func readMoney(say i18n.Printer, text string, decimals int) (money.Micros, error) {
	text = withoutCurrency(text)
	if _, err := say.ParseDecimal(text, decimals); err != nil {
		return 0, err
	}
	n, err := say.ParseDecimal(text, priceDecimals) // micros
	return money.Micros(n), err
}

func withoutCurrency(text string) string {
	return strings.TrimSpace(strings.NewReplacer("US$", "", "R$", "").Replace(text))
}

// Join adds what a draft's Validate says to what could not be read. Fields that could not be read keep that first
// error: what Validate says of their zero value would mislead.
func (f *form) Join(err error) error {
	mine := f.Err()
	if mine == nil {
		return err
	}
	var theirs *fault.Error
	if err != nil && (!errors.As(err, &theirs) || theirs.Kind != fault.Invalid) {
		return err
	}
	if theirs != nil {
		read := problemsOf(mine)
		for _, field := range theirs.Fields {
			if _, known := read[field.Name]; !known {
				f.Reject(field.Name, field.Key, field.Args...)
			}
		}
	}
	return f.Err()
}

// problems are the rejected fields of a form by name.
type problems map[string]fault.Field

func problemsOf(err error) problems {
	found := problems{}
	var f *fault.Error
	if errors.As(err, &f) {
		for _, field := range f.Fields {
			if _, earlier := found[field.Name]; !earlier {
				found[field.Name] = field
			}
		}
	}
	return found
}

// rejected tells whether err is the person's to correct in the form, rather than a failure of its own page.
func rejected(err error) bool {
	return fault.Is(err, fault.Invalid) || fault.Is(err, fault.Conflict)
}

// fieldErrors translates the errors beside the fields; ofForm is the one above them.
func fieldErrors(say i18n.Printer, err error) (fields map[string]string, ofForm string) {
	fields = map[string]string{}
	for name, field := range problemsOf(err) {
		fields[name] = say.T(field.Key, field.Args...)
	}
	var f *fault.Error
	if errors.As(err, &f) {
		ofForm = say.T(f.Key, f.Args...)
	}
	return fields, ofForm
}
