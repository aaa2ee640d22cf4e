package i18n

import (
	"math"
	"strconv"
	"strings"
)

// nbsp keeps a number on the line of its unit.
const nbsp = "\u00a0"

// marks are the thousands and decimal marks of a language.
func (p Printer) marks() (thousands, decimal string) {
	if p.Lang() == En {
		return ",", "."
	}
	return ".", ","
}

// Int writes a whole number: 1.234.567 (en: 1,234,567).
func (p Printer) Int(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	thousands, _ := p.marks()
	return sign + group(digits, thousands)
}

func group(digits, mark string) string {
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteString(mark)
		}
		b.WriteRune(d)
	}
	return b.String()
}

// Decimal writes a number with exactly the given decimals: 1.234,50 (en: 1,234.50).
func (p Printer) Decimal(f float64, places int) string {
	text := strconv.FormatFloat(math.Abs(f), 'f', places, 64)
	whole, frac, _ := strings.Cut(text, ".")
	thousands, decimal := p.marks()
	out := group(whole, thousands)
	if frac != "" {
		out += decimal + frac
	}
	if f < 0 && strings.Trim(text, "0.") != "" {
		out = "-" + out
	}
	return out
}

// short is Decimal without decimals that say nothing: 1,2 but 1 for 1,0.
func (p Printer) short(f float64, places int) string {
	_, decimal := p.marks()
	text := p.Decimal(f, places)
	if strings.Contains(text, decimal) {
		text = strings.TrimRight(strings.TrimRight(text, "0"), decimal)
	}
	return text
}

// Compact writes a number as people say it: 999, 1,2 mil, 1,2 mi, 3 bi (en: 1.2K, 1.2M, 3B). One decimal below a
// hundred of its unit, none above. Show the exact figure beside it or on hover.
func (p Printer) Compact(n int64) string {
	units := []string{"", nbsp + "mil", nbsp + "mi", nbsp + "bi", nbsp + "tri"}
	if p.Lang() == En {
		units = []string{"", "K", "M", "B", "T"}
	}
	f, unit := float64(n), 0
	for unit+1 < len(units) && math.Abs(roundShort(f, unit)) >= 1000 {
		f /= 1000
		unit++
	}
	return p.short(roundShort(f, unit), 1) + units[unit]
}

func roundShort(f float64, unit int) float64 {
	if unit == 0 || math.Abs(f) >= 99.95 {
		return math.Round(f)
	}
	return math.Round(f*10) / 10
}

// Percent writes a ratio with at most one decimal, cut and never rounded up: 0.873 is 87,3%, and what is not yet whole or has not come
// to a limit never reads as if it had. What is above zero never reads as 0%.
func (p Printer) Percent(ratio float64) string {
	percent := math.Floor(ratio*1000+1e-6) / 10 // 0.29 * 1000 is a little less than 290
	if ratio > 0 && percent == 0 {
		return "< " + p.short(0.1, 1) + "%"
	}
	return p.short(percent, 1) + "%"
}

// Money writes an amount of micros (1 R$ = 1,000,000) in currency "BRL" or "USD": R$ 1.234.567,50 with a no-break
// space, a negative one as -R$ 0,01. It is rounded to cents, half away from zero; an amount below one cent, such as
// the price of a token, keeps up to six decimals.
func (p Printer) Money(micros int64, currency string) string {
	const cent = 10_000
	n := magnitude(micros)
	if n >= cent {
		n = (n + cent/2) / cent * cent
	}
	return p.amount(micros < 0, n, currency)
}

// Price writes an amount as Money does, but never rounds: R$ 0,0001, R$ 99,90, US$ 0,125.
func (p Printer) Price(micros int64, currency string) string {
	return p.amount(micros < 0, magnitude(micros), currency)
}

func magnitude(n int64) uint64 {
	if n < 0 {
		return uint64(-(n + 1)) + 1 // the least int64 has no positive twin
	}
	return uint64(n)
}

func (p Printer) amount(negative bool, micros uint64, currency string) string {
	symbol := currency
	switch currency {
	case "BRL":
		symbol = "R$"
	case "USD":
		symbol = "US$"
	}
	sign := ""
	if negative && micros != 0 {
		sign = "-"
	}
	thousands, decimal := p.marks()
	whole := group(strconv.FormatUint(micros/1_000_000, 10), thousands)
	return sign + symbol + nbsp + whole + decimal + decimals(micros, 2)
}

// decimals are the digits after the mark, at least least of them, without further trailing zeros.
func decimals(micros uint64, least int) string {
	frac := strconv.FormatUint(1_000_000+micros%1_000_000, 10)[1:]
	for len(frac) > least && frac[len(frac)-1] == '0' {
		frac = frac[:len(frac)-1]
	}
	return frac
}

// MoneyInput writes an amount as the value of a form field, exact and readable by ParseDecimal and by money.Parse, which knows no
// language: 1.234,56 (en: 1234.56).
func (p Printer) MoneyInput(micros int64) string {
	n, sign := magnitude(micros), ""
	if micros < 0 {
		sign = "-"
	}
	whole, frac := strconv.FormatUint(n/1_000_000, 10), decimals(n, 2)
	if len(frac) == 3 { // "1,234" and "1.234" would read as a thousand
		frac += "0"
	}
	if p.Lang() != En {
		return sign + group(whole, ".") + "," + frac
	}
	return sign + whole + "." + frac
}
