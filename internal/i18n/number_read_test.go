package i18n

import (
	"errors"
	"testing"

	"pgregory.net/rapid"
)

func TestADecimalMarkIsAlwaysOneInItsLanguage(t *testing.T) {
	for _, c := range []struct {
		lang   Lang
		text   string
		places int
		want   int64
		err    error
	}{
		{PtBR, "50,55", 2, 5055, nil},
		{PtBR, "50,555", 2, 0, ErrTooFine},
		{PtBR, "1,500", 2, 0, ErrTooFine},
		{PtBR, "1,500", 3, 1500, nil},
		{PtBR, "1,500", 0, 0, ErrTooFine},
		{PtBR, "1.500", 2, 150_000, nil},
		{PtBR, "1.500", 0, 1500, nil},
		{PtBR, "1.234.567,8", 2, 123_456_780, nil},
		{PtBR, "99.90", 2, 9990, nil},
		{PtBR, "0.125", 3, 125, nil},
		{PtBR, "0.0001", 6, 100, nil},
		{PtBR, "-0,01", 2, -1, nil},
		{PtBR, "1 234,5", 1, 12_345, nil},
		{PtBR, "1\u00a0000\u202f000", 0, 1_000_000, nil},
		{PtBR, "1,234.56", 6, 0, ErrNotNumber},
		{PtBR, "1,000,000", 0, 0, ErrNotNumber},
		{En, "50.555", 2, 0, ErrTooFine},
		{En, "1.500", 2, 0, ErrTooFine},
		{En, "1.500", 3, 1500, nil},
		{En, "1,500", 2, 150_000, nil},
		{En, "1,234,567.8", 2, 123_456_780, nil},
		{En, "99,90", 2, 9990, nil},
		{En, "1.234,56", 6, 0, ErrNotNumber},
		{En, "1.000.000", 0, 0, ErrNotNumber},
	} {
		got, err := NewPrinter(c.lang, nil).ParseDecimal(c.text, c.places)
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %q with %d decimals is %d, %v; want %d, %v", c.lang, c.text, c.places, got, err, c.want, c.err)
		}
	}
}

func TestWhatIsNoNumberIsRefused(t *testing.T) {
	for _, lang := range Langs() {
		p := NewPrinter(lang, nil)
		for _, text := range []string{"", " ", "-", "abc", ",", ".", ",5", ".5", "5,", "5.", "1,2,3", "1.2.3", "12.34.567", "12,34,567", "1..000", "1,,000", "1 00", "1 000.000,", "1234.567,8.",
			"+5", "--5", "1e3", "0x1", "1_000", "٣", "99999999999999999999"} {
			if n, err := p.ParseDecimal(text, 6); err == nil {
				t.Errorf("%s: %q is %d", lang, text, n)
			}
			if n, err := p.ParseInt(text); err == nil {
				t.Errorf("%s: %q is the whole number %d", lang, text, n)
			}
		}
		for _, text := range []string{"1,5", "1.5", "1.00", "1,00", "1234.567", "1234,567"} {
			if n, err := p.ParseInt(text); !errors.Is(err, ErrNotInteger) {
				t.Errorf("%s: %q is the whole number %d, %v", lang, text, n, err)
			}
		}
	}
}

func TestThousandAloneIsWhatTheOtherHalfOfTheWorldReadsAsOneAndABit(t *testing.T) {
	for text, want := range map[string]Lang{"1.234": PtBR, "12.000": PtBR, "1,234": En, "1.234.567": "", "1.234,5": "", "1234": "", "12.34": "", "0.125": "", "mil": ""} {
		for _, lang := range Langs() {
			if got := NewPrinter(lang, nil).ThousandAlone(text); got != (lang == want) {
				t.Errorf("%s: %q: %v", lang, text, got)
			}
		}
	}
}

func TestWholeNumbersAreReadAsTheyAreWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64().Draw(t, "n")
		for _, lang := range Langs() {
			p := NewPrinter(lang, nil)
			if got, err := p.ParseInt(p.Int(n)); err != nil || got != n {
				t.Fatalf("%s: %d is written %q and read as %d, %v", lang, n, p.Int(n), got, err)
			}
		}
	})
}

func TestAmountsAreReadAsTheyAreWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(-1e15, 1e15).Draw(t, "micros")
		for _, lang := range Langs() {
			p := NewPrinter(lang, nil)
			if got, err := p.ParseDecimal(p.MoneyInput(n), 6); err != nil || got != n {
				t.Fatalf("%s: %d is written %q and read as %d, %v", lang, n, p.MoneyInput(n), got, err)
			}
		}
	})
}

// Whatever is typed, nothing behind a decimal mark is ever taken for more than a fraction.
func TestNothingBehindADecimalMarkCountsAsAWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole, frac := rapid.StringMatching(`[1-9][0-9]{0,5}`).Draw(t, "whole"), rapid.StringMatching(`[0-9]{1,6}`).Draw(t, "frac")
		for _, lang := range Langs() {
			p := NewPrinter(lang, nil)
			_, decimal := p.marks()
			least, err := p.ParseInt(whole)
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.ParseDecimal(whole+decimal+frac, 6)
			if err != nil || got < least*1_000_000 || got >= (least+1)*1_000_000 {
				t.Fatalf("%s: %s%s%s is %d millionths, %v", lang, whole, decimal, frac, got, err)
			}
			if _, err := p.ParseDecimal(whole+decimal+frac, len(frac)-1); !errors.Is(err, ErrTooFine) {
				t.Fatalf("%s: %s%s%s with one decimal less: %v", lang, whole, decimal, frac, err)
			}
		}
	})
}
