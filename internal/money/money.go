// Package money holds amounts as whole micros (1 R$ = 1,000,000), never as floats.
package money

import (
	"errors"
	"fmt"
	"math/bits"
	"strings"
)

// Micros is an amount in millionths of its currency's unit.
type Micros int64

// Unit is one whole unit of a currency: R$ 1 or US$ 1.
const Unit Micros = 1_000_000

// Currency is an ISO 4217 code.
type Currency string

// The currencies in use: customers are charged in BRL, providers charge in USD.
const (
	BRL Currency = "BRL"
	USD Currency = "USD"
)

// ErrNotAnAmount is what Parse says of a text that it cannot read, or not in one way only.
var ErrNotAnAmount = errors.New("not an amount")

// Parse reads an amount typed in the Brazilian way ("1.234,56", "R$ 99,90") or plainly with a dot
// ("99.90", "1234"). A dot is a thousands mark only where a comma follows it or where it groups three digits
// more than once; "1.234" and "1,234" alone are refused: one half of the world reads the one as the other. At most six
// decimals.
func Parse(text string) (Micros, error) {
	s := strings.TrimSpace(strings.NewReplacer("R$", "", "US$", "", "\u00a0", "", " ", "").Replace(text))
	negative := strings.HasPrefix(s, "-")
	whole, frac, ok := split(strings.TrimPrefix(s, "-"))
	if !ok {
		return 0, ErrNotAnAmount
	}
	amount, ok := compose(whole, frac)
	if !ok {
		return 0, ErrNotAnAmount
	}
	if negative {
		amount = -amount
	}
	return amount, nil
}

func split(s string) (whole, frac string, ok bool) {
	if before, after, comma := strings.Cut(s, ","); comma {
		ambiguous := len(after) == 3 && before != "0" && !strings.Contains(before, ".")
		ok = !strings.ContainsAny(after, ".,") && after != "" && grouped(before) && !ambiguous
		return strings.ReplaceAll(before, ".", ""), after, ok
	}
	if strings.Count(s, ".") == 1 {
		before, after, _ := strings.Cut(s, ".")
		return before, after, after != "" && (len(after) != 3 || before == "0")
	}
	return strings.ReplaceAll(s, ".", ""), "", grouped(s)
}

// grouped tells whether dots, if any, part the digits into threes.
func grouped(s string) bool {
	groups := strings.Split(s, ".")
	for i, g := range groups {
		if i > 0 && len(g) != 3 || len(groups) > 1 && i == 0 && (len(g) == 0 || len(g) > 3) {
			return false
		}
	}
	return true
}

func compose(whole, frac string) (amount Micros, ok bool) {
	if whole == "" || len(whole) > 12 || len(frac) > 6 {
		return 0, false
	}
	frac += strings.Repeat("0", 6-len(frac))
	for _, c := range whole + frac {
		if c < '0' || c > '9' {
			return 0, false
		}
		amount = amount*10 + Micros(c-'0')
	}
	return amount, true
}

// Cost is tokens × a price per million tokens, rounded half to even, without overflow in between.
func Cost(terms ...Term) Micros {
	var hi, lo uint64
	for _, t := range terms {
		h, l := bits.Mul64(uint64(max(t.Tokens, 0)), uint64(max(t.PerMillion, 0)))
		var carry uint64
		lo, carry = bits.Add64(lo, l, 0)
		hi, _ = bits.Add64(hi, h, carry)
	}
	if hi >= uint64(Unit) {
		return Micros(1<<63 - 1)
	}
	q, r := bits.Div64(hi, lo, uint64(Unit))
	if half := uint64(Unit) / 2; r > half || r == half && q%2 == 1 {
		q++
	}
	return Micros(q)
}

// Term is a number of tokens and what a million of them cost.
type Term struct {
	Tokens     int64
	PerMillion Micros
}

// Plain writes the amount with a dot and at least two decimals ("99.90"), for machines and form values in English.
func (m Micros) Plain() string {
	sign := ""
	n := int64(m)
	if n < 0 {
		sign, n = "-", -n
	}
	frac := strings.TrimRight(fmt.Sprintf("%06d", n%int64(Unit)), "0")
	for len(frac) < 2 {
		frac += "0"
	}
	return fmt.Sprintf("%s%d.%s", sign, n/int64(Unit), frac)
}
