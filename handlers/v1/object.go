package v1

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unsafe"
)

// soundness is what can be said of bytes that should be JSON.
type soundness int

const (
	isObject soundness = iota
	isOther            // JSON, but no object
	isBroken
	isTooDeep // nested deeper than maxDepth; how it goes on was not looked at
)

// maxDepth is how deep JSON may be nested. Checking it recurses, and a stack that overflows ends the whole process.
const maxDepth = 512

// validJSON tells whether a provider's bytes are JSON that can be read.
func validJSON(json []byte) bool { return readObject(json, nil) <= isOther }

// readObject checks JSON (RFC 8259, but for what letters are made of), and gives each member of the object that it is, in
// the same pass over the bytes: its name, unescaped, and its value as it stands there, both in the bytes' own memory.
// What was given is worth nothing where the JSON proves to be broken further on.
func readObject(json []byte, each func(name string, value []byte)) soundness {
	i, sound := space(json, 0), isOther
	if i < len(json) && json[i] == '{' {
		i, sound = objectEnd(json, i, 1, each), isObject
	} else {
		i = valueEnd(json, i, 1)
	}
	switch {
	case i == tooDeep:
		return isTooDeep
	case i < 0 || space(json, i) < len(json):
		return isBroken
	}
	return sound
}

// readArray checks JSON as readObject does and gives each element of the array that it is.
func readArray(json []byte, each func(element []byte)) {
	if i := space(json, 0); i < len(json) && json[i] == '[' {
		arrayEnd(json, i, 1, each)
	}
}

// What the functions below give instead of the place where something ends.
const (
	broken  = -1 // it is not there
	tooDeep = -2
)

// space is where the white space ends that begins at i, if there is any.
func space(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// valueEnd is where the value ends that begins at i; it is depth levels deep if it is nested.
func valueEnd(b []byte, i, depth int) int {
	if i >= len(b) {
		return broken
	}
	switch b[i] {
	case '"':
		return textEnd(b, i)
	case '{':
		return objectEnd(b, i, depth, nil)
	case '[':
		return arrayEnd(b, i, depth, nil)
	case 't':
		return wordEnd(b, i, "true")
	case 'f':
		return wordEnd(b, i, "false")
	case 'n':
		return wordEnd(b, i, "null")
	}
	return numberEnd(b, i)
}

func objectEnd(b []byte, i, depth int, each func(name string, value []byte)) int {
	if depth > maxDepth {
		return tooDeep
	}
	if i = space(b, i+1); i < len(b) && b[i] == '}' {
		return i + 1
	}
	for {
		name := i
		if i >= len(b) || b[i] != '"' {
			return broken
		}
		if i = textEnd(b, i); i < 0 {
			return i
		}
		named := i
		if i = space(b, i); i >= len(b) || b[i] != ':' {
			return broken
		}
		value := space(b, i+1)
		if i = valueEnd(b, value, depth+1); i < 0 {
			return i
		}
		if each != nil {
			each(unquoted(b[name:named]), b[value:i])
		}
		if i = space(b, i); i >= len(b) {
			return broken
		}
		switch b[i] {
		case '}':
			return i + 1
		case ',':
			i = space(b, i+1)
		default:
			return broken
		}
	}
}

func arrayEnd(b []byte, i, depth int, each func(element []byte)) int {
	if depth > maxDepth {
		return tooDeep
	}
	if i = space(b, i+1); i < len(b) && b[i] == ']' {
		return i + 1
	}
	for {
		start := i
		if i = valueEnd(b, i, depth+1); i < 0 {
			return i
		}
		if each != nil {
			each(b[start:i])
		}
		if i = space(b, i); i >= len(b) {
			return broken
		}
		switch b[i] {
		case ']':
			return i + 1
		case ',':
			i = space(b, i+1)
		default:
			return broken
		}
	}
}

func wordEnd(b []byte, i int, word string) int {
	if len(b)-i < len(word) || string(b[i:i+len(word)]) != word {
		return broken
	}
	return i + len(word)
}

func numberEnd(b []byte, i int) int {
	if b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if i = digitsEnd(b, i); i < 0 {
		return broken
	}
	if i < len(b) && b[i] == '.' {
		if i = digitsEnd(b, i+1); i < 0 {
			return broken
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		return digitsEnd(b, i)
	}
	return i
}

// digitsEnd is where the digits end, of which there must be one.
func digitsEnd(b []byte, i int) int {
	start := i
	for i < len(b) && '0' <= b[i] && b[i] <= '9' {
		i++
	}
	if i == start {
		return broken
	}
	return i
}

// textEnd is where the string ends. Its plain bytes are passed eight at a time.
func textEnd(b []byte, i int) int {
	for i++; i < len(b); {
		if len(b)-i >= 8 {
			found := notPlain(binary.LittleEndian.Uint64(b[i:]))
			if found == 0 {
				i += 8
				continue
			}
			i += bits.TrailingZeros64(found) / 8
		}
		switch c := b[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			n := escape(b[i:])
			if n == 0 {
				return broken
			}
			i += n
		case c < ' ':
			return broken
		default:
			i++
		}
	}
	return broken
}

// notPlain marks, in the highest bit of each, the bytes of a word that are control characters, quotes or backslashes.
// Marks above the lowest may be wrong. See "Determine if a word has a byte less than n" in Anderson, Bit Twiddling Hacks.
func notPlain(w uint64) uint64 {
	const each, high = 0x0101010101010101, 0x8080808080808080
	quote, backslash := w^each*'"', w^each*'\\'
	return ((w-each*' ')&^w | (quote-each)&^quote | (backslash-each)&^backslash) & high
}

// escape is how long the escape is that b begins with; 0: it is none.
func escape(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) < 6 {
			return 0
		}
		for _, c := range b[2:6] {
			if !('0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f') {
				return 0
			}
		}
		return 6
	}
	return 0
}

// unquoted is what a string says.
func unquoted(text []byte) string {
	if bytes.IndexByte(text, '\\') >= 0 {
		return parsed(text).Str
	}
	return unsafe.String(&text[1], len(text)-2)
}

// integer reads a number as gjson does.
func integer(value []byte) (n int64) {
	for _, c := range value {
		if c < '0' || c > '9' || len(value) > 15 {
			return parsed(value).Int()
		}
		n = 10*n + int64(c-'0')
	}
	return n
}
