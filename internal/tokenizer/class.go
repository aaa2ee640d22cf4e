package tokenizer

import "unicode"

// class is the set of a character's properties that the patterns look at.
type class uint16

const (
	upper     class = 1 << iota // Lu, Lt
	lowercase                   // Ll
	caseless                    // Lm, Lo, M
	mark                        // M: caseless, yet no letter
	letter                      // L
	number                      // N
	space                       // White_Space, line breaks among them
	newline                     // \r and \n
	other                       // none of these
)

// latin1 holds the classes of the first 256 characters.
var latin1 = func() (table [256]class) {
	for r := range table {
		table[r] = lookUp(rune(r))
	}
	return table
}()

// classOf returns the class of any character.
func classOf(r rune) class {
	if r < rune(len(latin1)) {
		return latin1[r]
	}
	return lookUp(r)
}

// lookUp asks the Unicode tables.
func lookUp(r rune) class {
	switch {
	case r == '\r' || r == '\n':
		return space | newline
	case unicode.IsSpace(r):
		return space
	case unicode.Is(unicode.Ll, r):
		return letter | lowercase
	case unicode.In(r, unicode.Lu, unicode.Lt):
		return letter | upper
	case unicode.In(r, unicode.Lo, unicode.Lm):
		return letter | caseless
	case unicode.Is(unicode.M, r):
		return mark | caseless
	case unicode.Is(unicode.N, r):
		return number
	}
	return other
}
