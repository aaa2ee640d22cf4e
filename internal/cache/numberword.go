package cache

import (
	"strconv"
	"strings"
)

// plainNumber gives a number without its thousands separators and with a point. What can be read in two ways (1.000 is
// a thousand in Portuguese and one in English) stays as it is, and so do all its zeros: version 3.10 is not 3.1.
func plainNumber(text string) (plain string, ok bool) {
	if text == "" || strings.Trim(text, "0123456789.,") != "" || !digit(text[0]) || !digit(text[len(text)-1]) {
		return "", false
	}
	points, commas := strings.Count(text, "."), strings.Count(text, ",")
	switch {
	case points == 0 && commas == 0:
		return text, true
	case points > 0 && commas > 0:
		last := strings.LastIndexAny(text, ".,")
		decimal, thousands := text[last:last+1], ","
		if decimal == "," {
			thousands = "."
		}
		if strings.Count(text, decimal) > 1 || !grouped(text[:last], thousands) {
			return text, true
		}
		return strings.ReplaceAll(text[:last], thousands, "") + "." + text[last+1:], true
	case points+commas > 1:
		separator := "."
		if commas > 0 {
			separator = ","
		}
		if !grouped(text, separator) {
			return text, true // a version, a date, a list
		}
		return strings.ReplaceAll(text, separator, ""), true
	}
	whole, fraction, _ := strings.Cut(strings.ReplaceAll(text, ",", "."), ".")
	if len(fraction) == 3 && len(whole) <= 3 && whole != "0" {
		return text, true
	}
	return whole + "." + fraction, true
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// grouped tells whether a number is written in groups of three.
func grouped(text, separator string) bool {
	groups := strings.Split(text, separator)
	for i, g := range groups {
		if i == 0 && (len(g) == 0 || len(g) > 3) || i > 0 && len(g) != 3 {
			return false
		}
	}
	return true
}

// magnitude is a number word's value; scale marks those that multiply what stands before them.
type magnitude struct {
	value int64
	scale bool
}

// numberWord reads a number word without accents. "Um" and "one" are numbers only where others stand with them.
func numberWord(word string) (magnitude, bool) {
	m, ok := numberWords[word]
	return m, ok
}

var numberWords = magnitudes()

func magnitudes() map[string]magnitude {
	words := map[string]magnitude{}
	for value, names := range map[int64]string{
		0: "zero", 1: "um uma one", 2: "dois duas two", 3: "tres three", 4: "quatro four", 5: "cinco five", 6: "seis six",
		7: "sete seven", 8: "oito eight", 9: "nove nine", 10: "dez ten", 11: "onze eleven", 12: "doze twelve duzia dozen",
		13: "treze thirteen", 14: "quatorze catorze fourteen", 15: "quinze fifteen", 16: "dezesseis dezasseis sixteen",
		17: "dezessete dezassete seventeen", 18: "dezoito eighteen", 19: "dezenove dezanove nineteen", 20: "vinte twenty",
		30: "trinta thirty", 40: "quarenta forty", 50: "cinquenta fifty", 60: "sessenta sixty", 70: "setenta seventy",
		80: "oitenta eighty", 90: "noventa ninety", 100: "cem cento", 200: "duzentos duzentas", 300: "trezentos trezentas",
		400: "quatrocentos quatrocentas", 500: "quinhentos quinhentas", 600: "seiscentos seiscentas",
		700: "setecentos setecentas", 800: "oitocentos oitocentas", 900: "novecentos novecentas",
	} {
		for _, name := range strings.Fields(names) {
			words[name] = magnitude{value, false}
		}
	}
	for value, names := range map[int64]string{
		100: "hundred", 1000: "mil thousand", 1e6: "milhao milhoes million millions", 1e9: "bilhao bilhoes billion billions",
	} {
		for _, name := range strings.Fields(names) {
			words[name] = magnitude{value, true}
		}
	}
	return words
}

// counter puts number words together: "dois mil e quinhentos" is 2500, "two and three" are two numbers.
type counter struct {
	open           bool
	total, current int64
}

// add takes the next word. Where it does not continue the number, that number is done and given as a turn.
func (c *counter) add(m magnitude) (kind byte, done string) {
	if m.value == 1 && !(c.open && c.takes(1)) {
		return c.take()
	}
	switch {
	case m.scale && c.open && m.value == 100 && c.current > 0 && c.current < 10:
		c.current *= 100
		return 0, ""
	case m.scale && m.value > 100 && c.open && c.current > 0 && (c.total == 0 || c.total%(m.value*1000) == 0):
		c.total, c.current = c.total+c.current*m.value, 0
		return 0, ""
	case !m.scale && c.open && c.takes(m.value):
		c.current += m.value
		return 0, ""
	}
	kind, done = c.take()
	c.open = true
	if m.scale && m.value > 100 {
		c.total = m.value
	} else {
		c.current = m.value
	}
	return kind, done
}

// takes tells whether a smaller number can follow: 20 takes 5, 100 takes 25, 1000 takes 325.
func (c *counter) takes(value int64) bool {
	switch {
	case value == 0:
		return false
	case c.current == 0:
		return c.total > 0
	case c.current%100 == 0:
		return value < 100
	}
	return c.current%10 == 0 && c.current%100 >= 20 && value < 10
}

// take ends the number under way and gives it as a turn, of kind 0 where there is none.
func (c *counter) take() (kind byte, number string) {
	if !c.open {
		return 0, ""
	}
	number = strconv.FormatInt(c.total+c.current, 10)
	*c = counter{}
	return aNumber, number
}
