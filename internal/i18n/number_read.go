package i18n

import (
	"errors"
	"strconv"
	"strings"
)

// What reading a number may end in.
var (
	ErrNotNumber  = errors.New("not a number")
	ErrTooFine    = errors.New("more decimals than are taken")
	ErrNotInteger = errors.New("not a whole number")
)

// ParseDecimal reads a number as people type it in the printer's language, in whole 10^-places of one (places: 0 to 6). The language's
// decimal mark is always one: 1,500 is one and a half in Portuguese, and never one and a half thousand. Its other mark, or spaces, part
// groups of three digits: 1.234,56 (en: 1,234.56). Where that mark stands once and parts none, as in 99.90, there is one way only to read
// it, and it is taken for the decimal one. It is ErrTooFine where there are more decimals than places, though they be zeros: who types
// 1,500 where cents are asked for may mean a thousand.
func (p Printer) ParseDecimal(text string, places int) (int64, error) {
	sign, whole, frac, ok := p.parts(text)
	if !ok {
		return 0, ErrNotNumber
	}
	if len(frac) > places {
		return 0, ErrTooFine
	}
	n, err := strconv.ParseInt(sign+whole+frac+strings.Repeat("0", places-len(frac)), 10, 64)
	if err != nil {
		return 0, ErrNotNumber
	}
	return n, nil
}

// ParseInt reads a whole number as typed: 1000000, 1 000 000 or 1.000.000 (en: 1,000,000).
func (p Printer) ParseInt(text string) (int64, error) {
	n, err := p.ParseDecimal(text, 0)
	if err != nil {
		return 0, ErrNotInteger
	}
	return n, nil
}

// ThousandAlone tells of a number such as 1.234 (en: 1,234), which half of the world reads as one and a bit. Where decimals of such length
// are usual it is better asked than guessed.
func (p Printer) ThousandAlone(text string) bool {
	thousands, decimal := p.marks()
	_, _, frac, ok := p.parts(text)
	return ok && frac == "" && strings.Count(text, thousands) == 1 && !strings.Contains(text, decimal)
}

// parts are the digits of a number before and after its decimal mark.
func (p Printer) parts(text string) (sign, whole, frac string, ok bool) {
	thousands, decimal := p.marks()
	s := strings.TrimSpace(strings.NewReplacer(nbsp, " ", "\u202f", " ").Replace(text))
	if rest, negative := strings.CutPrefix(s, "-"); negative {
		s, sign = rest, "-"
	}
	whole, frac, marked := strings.Cut(s, decimal)
	if before, after, one := strings.Cut(whole, thousands); one && !marked && !strings.Contains(after, thousands) && (len(after) != 3 || before == "0") {
		whole, frac, marked = before, after, true
	}
	mark := thousands
	if strings.Contains(whole, " ") {
		mark = " "
	}
	if groups := strings.Split(whole, mark); len(groups) > 1 {
		for i, g := range groups {
			if i == 0 && len(g) > 3 || i > 0 && len(g) != 3 {
				return "", "", "", false
			}
		}
		whole = strings.Join(groups, "")
	}
	return sign, whole, frac, digits(whole) && (digits(frac) || !marked && frac == "")
}

// digits tells of a text of digits only, at least one.
func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
