package handlers

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/money"
)

// withForm runs read with a form that was sent to an address with a query.
func withForm(t *testing.T, values url.Values, read func(*form)) {
	t.Helper()
	app := fiber.New(fiber.Config{Immutable: true})
	app.Post("/", func(c *fiber.Ctx) error { read(readForm(c)); return nil })
	r := httptest.NewRequest(http.MethodPost, "/?name=planted", strings.NewReader(values.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	_, err := app.Test(r, -1)
	must(t, err)
}

func TestFormsReadNumbersAsBraziliansTypeThem(t *testing.T) {
	withForm(t, url.Values{"tokens": {" 1.000.000 "}, "price": {"R$ 1.234,56"}, "models": {"a", "b"}, "on": {"on"}, "secret": {" x "}}, func(f *form) {
		if f.Int("tokens") != 1_000_000 || f.Money("price") != 1_234_560_000 || f.IntOr("rpm", 7) != 7 || f.MoneyOr("other", 9) != 9 {
			t.Error("a number was read wrongly")
		}
		if !slices.Equal(f.All("models"), []string{"a", "b"}) || !f.Checked("on") || f.Checked("off") || f.Secret("secret") != " x " || f.Text("secret") != "x" {
			t.Error("a text was read wrongly")
		}
		if f.Text("name") != "" {
			t.Error("the address planted a value")
		}
		if err := f.Err(); err != nil {
			t.Error(err)
		}
	})
}

// speaking sets the language of whoever sends a form.
func speaking(f *form, lang i18n.Lang) { at(f.c).Say = i18n.NewPrinter(lang, nil) }

func TestAmountsOfCentsAreReadAsTheLanguageWritesThem(t *testing.T) {
	read := func(lang i18n.Lang, typed string) (got money.Micros, err error) {
		withForm(t, url.Values{"cap": {typed}}, func(f *form) {
			speaking(f, lang)
			got, err = f.Cents("cap"), f.Err()
		})
		return got, err
	}
	for lang, cases := range map[i18n.Lang]map[string]money.Micros{
		i18n.PtBR: {"1.234": 1234 * money.Unit, "R$ 1.000": 1000 * money.Unit, "1.234,5": 1_234_500_000, "12.5": 12_500_000, "99,90": 99_900_000, "-1.000": -1000 * money.Unit, "1,5": 1_500_000},
		i18n.En:   {"1,234": 1234 * money.Unit, "R$ 1,000": 1000 * money.Unit, "1,234.5": 1_234_500_000, "12.5": 12_500_000, "99,90": 99_900_000, "-1,000": -1000 * money.Unit},
	} {
		for typed, want := range cases {
			if got, err := read(lang, typed); got != want || err != nil {
				t.Errorf("%s: %q is %d (%v), want %d", lang, typed, got, err, want)
			}
		}
		for _, typed := range []string{"", "mil", "1.23.4", "1e3", "999.999.999.999.999.999", "999,999,999,999,999,999"} {
			if got, err := read(lang, typed); err == nil {
				t.Errorf("%s: %q is %d", lang, typed, got)
			}
		}
	}
	for typed, lang := range map[string]i18n.Lang{"1,500": i18n.PtBR, "50,555": i18n.PtBR, "1.234,567": i18n.PtBR, "1.500": i18n.En, "1,234.567": i18n.En} {
		got, err := read(lang, typed)
		if problemsOf(err)["cap"].Key != "numbers.too_fine" {
			t.Errorf("%s: %q is %d (%v)", lang, typed, got, err)
		}
	}
}

func TestPricesMayHaveThreeDecimals(t *testing.T) {
	for typed, lang := range map[string]i18n.Lang{"1,234": i18n.PtBR, "1.234": i18n.En} {
		withForm(t, url.Values{"price": {"US$ " + typed}}, func(f *form) {
			speaking(f, lang)
			if got := f.Money("price"); got != 1_234_000 || f.Err() != nil {
				t.Errorf("%s: %q is %d (%v)", lang, typed, got, f.Err())
			}
		})
	}
}

func TestFormsSayWhatTheyCannotRead(t *testing.T) {
	withForm(t, url.Values{"tokens": {"um milhão"}, "price": {"1.234"}, "rpm": {"1,5"}}, func(f *form) {
		f.Int("tokens")
		f.Int("missing")
		f.Money("price")
		f.IntOr("rpm", 0)
		fields, ofForm := fieldErrors(i18n.NewPrinter(i18n.PtBR, nil), f.Join(nil))
		for name, want := range map[string]string{
			"tokens": text("error.integer", "value", "um milhão"), "missing": text("error.required"),
			"price": text("error.money_two_ways", "value", "1.234", "whole", "1234"), "rpm": text("error.integer", "value", "1,5"),
		} {
			if fields[name] != want {
				t.Errorf("%s: %q, want %q", name, fields[name], want)
			}
		}
		if ofForm != text("error.form") {
			t.Errorf("above the form: %q", ofForm)
		}
	})
}

func TestJoinTellsOneErrorAFieldAndAllFields(t *testing.T) {
	withForm(t, url.Values{"price": {"x"}}, func(f *form) {
		f.Money("price")
		var theirs fault.Form
		theirs.Reject("price", "error.money_range")
		theirs.Reject("name", "error.required")
		found := problemsOf(f.Join(theirs.Err()))
		if len(found) != 2 || found["price"].Key != "error.money" || found["name"].Key != "error.required" {
			t.Errorf("%v", found)
		}
	})
	withForm(t, nil, func(f *form) {
		f.Int("tokens")
		broken := errors.New("the database is away")
		if err := f.Join(broken); err != broken {
			t.Errorf("a failure of another kind became %v", err)
		}
	})
}
