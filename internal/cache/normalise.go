package cache

import (
	"bytes"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// normalise appends the form that texts share which differ in case, white space, accents and the punctuation at their
// edges only. Accents fall from Latin letters; elsewhere such marks are letters of their own (が is not か). ok is false
// where the text must stay as it is: white space is part of code, and of an empty text nothing is left to compare.
func normalise(dst, text []byte) (normal []byte, ok bool) {
	if !utf8.Valid(text) || bytes.Contains(text, []byte("```")) || indented(text) {
		return dst, false
	}
	start := len(dst)
	for word := range bytes.FieldsSeq(text) {
		if len(dst) > start {
			dst = append(dst, ' ')
		}
		dst = appendFolded(dst, word, !caseMatters(word))
	}
	trimmed := trimEdges(dst[start:], edge)
	return append(dst[:start], trimmed...), len(trimmed) > 0
}

// indented tells whether a line begins with white space: it may be code.
func indented(text []byte) bool {
	return bytes.Contains(text, []byte("\n ")) || bytes.Contains(text, []byte("\n\t"))
}

// caseMatters tells whether a word looks like a code whose case means something, such as dGVzdA0 or /Users/Ana: it has
// a digit, a slash, an @ or an underscore, and capitals inside among small letters.
func caseMatters(word []byte) bool {
	coded, small, capital := false, false, false
	for i, r := range string(word) {
		coded = coded || unicode.IsDigit(r) || r == '/' || r == '\\' || r == '@' || r == '_'
		small = small || unicode.IsLower(r)
		capital = capital || i > 0 && unicode.IsUpper(r)
	}
	return coded && small && capital
}

// appendFolded appends a word without the accents of Latin letters and, where lower, in small letters.
func appendFolded(dst, word []byte, lower bool) []byte {
	if isASCII(word) {
		for _, ch := range word {
			if lower && ch >= 'A' && ch <= 'Z' {
				ch += 'a' - 'A'
			}
			dst = append(dst, ch)
		}
		return dst
	}
	var decomposed [64]byte
	latin := false // the last letter was Latin
	for rest := word; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		if unicode.Is(unicode.No, r) {
			dst, latin = append(dst, rest[:size]...), false // 10² must not become 102
		} else {
			for _, part := range string(norm.NFKD.Append(decomposed[:0], rest[:size]...)) {
				if accent(part) && latin {
					continue
				}
				latin = accent(part) && latin || unicode.Is(unicode.Latin, part)
				if lower {
					part = unicode.ToLower(part)
				}
				dst = utf8.AppendRune(dst, part)
			}
		}
		rest = rest[size:]
	}
	return dst
}

func isASCII(text []byte) bool {
	for _, ch := range text {
		if ch >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// accent tells combining accents, but not strokes.
func accent(r rune) bool { return r >= 0x300 && r <= 0x36f && !stroke(r) }

// stroke tells combining strokes, which turn = into ≠.
func stroke(r rune) bool { return r >= 0x334 && r <= 0x338 }

// trimEdges takes what is an edge off both ends, but none that belongs to a number: .5 is not 5, 5! is not 5, nor is 5'
// (feet).
func trimEdges(text []byte, edge func(rune) bool) []byte {
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		next, _ := utf8.DecodeRune(text[size:])
		if !edge(r) || unicode.IsDigit(next) && (r == '.' || r == ',') {
			break
		}
		text = text[size:]
	}
	for len(text) > 0 {
		r, size := utf8.DecodeLastRune(text)
		before, _ := utf8.DecodeLastRune(text[:len(text)-size])
		if !edge(r) || unicode.IsDigit(before) && (r == '!' || quote(r)) {
			break
		}
		text = text[:len(text)-size]
	}
	return text
}

// edge tells what may be taken off: neither operators (-5 is not 5), nor brackets ((1,2) is not [1,2]), nor signs.
func edge(r rune) bool {
	switch r {
	case '.', ',', ';', ':', '!', '?', '…', '¿', '¡', ' ':
		return true
	}
	return quote(r)
}

func quote(r rune) bool {
	switch r {
	case '"', '\'', '“', '”', '‘', '’', '«', '»', '„':
		return true
	}
	return false
}
