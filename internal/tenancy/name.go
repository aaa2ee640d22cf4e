package tenancy

import (
	"strings"
	"unicode"
)

// Tidy is a name without what nobody sees of it: spaces at its ends, and the marks that turn the direction of what stands beside
// it, with which a customer's name could make a line of the panel read as another.
func Tidy(name string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Bidi_Control, r) {
			return -1
		}
		return r
	}, name))
}
