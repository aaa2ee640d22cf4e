package emails

import (
	"strings"
	"unicode"
)

// The longest names and subjects, in characters.
const (
	nameLength    = 60
	subjectLength = 150
)

// clean makes the names harmless that people have typed.
func (m *Message) clean() {
	m.Name = Clean(m.Name)
	alerts := make([]Alert, len(m.Alerts))
	for i, a := range m.Alerts {
		for _, name := range []*string{&a.Rule, &a.Tenant, &a.Plan, &a.Key, &a.Provider, &a.Model, &a.Replica, &a.Address} {
			*name = Clean(*name)
		}
		alerts[i] = a
	}
	m.Alerts = alerts
}

// Clean makes a name of at most 60 characters fit for a subject and a line of text: on one line, and without characters that nobody
// sees but that turn or hide what stands beside them. A name written from right to left is set apart, so that the words around it
// stay in order.
func Clean(name string) string {
	name = bounded(oneLine(name), nameLength)
	if strings.ContainsFunc(name, rightToLeft) {
		return "\u2068" + name + "\u2069" // first strong isolate … pop
	}
	return name
}

// oneLine drops what is not printed, and makes one space of any white space.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case r == unicode.ReplacementChar, r != '\u200d' && !unicode.IsGraphic(r): // U+200D joins emoji
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	return strings.Join(strings.Fields(text), " ")
}

// bounded cuts a text to n characters, the last of which then is "…".
func bounded(text string, n int) string {
	runes := []rune(text)
	if len(runes) <= n {
		return text
	}
	return strings.TrimRight(string(runes[:n-1]), " \u200d") + "…"
}

func rightToLeft(r rune) bool {
	return unicode.In(r, unicode.Hebrew, unicode.Arabic, unicode.Syriac, unicode.Thaana, unicode.Nko)
}
