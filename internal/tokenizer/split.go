package tokenizer

import "unicode/utf8"

// nextO200k returns where the piece that begins at s[i] ends, by the pattern of o200k_base. With U for the classes
// Lu Lt Lm Lo M, and W for Ll Lm Lo M, its alternatives, the first that matches wins, are:
//
//	[^\r\n\p{L}\p{N}]? U* W+ (?i:'s|'t|'re|'ve|'m|'ll|'d)?
//	[^\r\n\p{L}\p{N}]? U+ W* (?i:'s|'t|'re|'ve|'m|'ll|'d)?
//	\p{N}{1,3}
//	 ?[^\s\p{L}\p{N}]+[\r\n/]*
//	\s*[\r\n]+  |  \s+(?!\S)  |  \s+
func nextO200k(s string, i int) int {
	c, n := classAt(s, i)
	switch {
	case c&letter != 0:
		end, _ := casedWord(s, i)
		return contraction(s, end)
	case c&number != 0:
		return digits(s, i)
	case c&newline == 0: // one such character may lead a word
		end, lower := casedWord(s, i+n)
		if end > i+n && (lower || c&mark == 0) {
			return contraction(s, end)
		}
		if c&mark != 0 { // a combining mark is also part of a word
			end, _ = casedWord(s, i)
			return contraction(s, end)
		}
	}
	if end := symbols(s, i); end > i {
		for end < len(s) && (s[end] == '\r' || s[end] == '\n' || s[end] == '/') {
			end++
		}
		return end
	}
	return whitespace(s, i)
}

// nextCl100k does the same by the pattern of cl100k_base:
//
//	(?i:'s|'t|'re|'ve|'m|'ll|'d)  |  [^\r\n\p{L}\p{N}]?\p{L}+  |  \p{N}{1,3}
//	 ?[^\s\p{L}\p{N}]+[\r\n]*
//	\s*[\r\n]+  |  \s+(?!\S)  |  \s+
func nextCl100k(s string, i int) int {
	if end := contraction(s, i); end > i {
		return end
	}
	c, n := classAt(s, i)
	switch {
	case c&letter != 0:
		return run(s, i, letter)
	case c&number != 0:
		return digits(s, i)
	case c&newline == 0:
		if end := run(s, i+n, letter); end > i+n {
			return end
		}
	}
	if end := symbols(s, i); end > i {
		for end < len(s) && (s[end] == '\r' || s[end] == '\n') {
			end++
		}
		return end
	}
	return whitespace(s, i)
}

// casedWord matches U*W+ at s[i] and says lower, else U+ and says not. It returns i when neither matches.
func casedWord(s string, i int) (end int, lower bool) {
	lastCaseless := -1 // the end of the last character that is in U and in W
	for end = i; end < len(s); {
		c, n := classAt(s, end)
		if c&(upper|caseless) == 0 {
			break
		}
		end += n
		if c&caseless != 0 {
			lastCaseless = end
		}
	}
	if past := run(s, end, lowercase|caseless); past > end {
		return past, true
	}
	if lastCaseless >= 0 { // U* gives characters back until W+ has one
		return lastCaseless, true
	}
	return end, false
}

// contraction returns the end of an English contraction such as 's or 'LL at s[i], i when there is none.
func contraction(s string, i int) int {
	if i >= len(s) || s[i] != '\'' {
		return i
	}
	rest := s[i+1:]
	if len(rest) >= 2 {
		switch rest[:1][0] | 0x20 {
		case 'l':
			if rest[1]|0x20 == 'l' {
				return i + 3
			}
		case 'r', 'v':
			if rest[1]|0x20 == 'e' {
				return i + 3
			}
		}
		if rest[:2] == "ſ" { // folds to s
			return i + 3
		}
	}
	if len(rest) >= 1 {
		switch rest[0] | 0x20 {
		case 's', 't', 'm', 'd':
			return i + 2
		}
	}
	return i
}

// digits returns the end of one to three numbers.
func digits(s string, i int) int {
	for range 3 {
		c, n := classAt(s, i)
		if c&number == 0 {
			break
		}
		i += n
	}
	return i
}

// symbols matches " ?[^\s\p{L}\p{N}]+" and returns i when there is none.
func symbols(s string, i int) int {
	from := i
	if s[i] == ' ' {
		from++
	}
	if end := run(s, from, mark|other); end > from {
		return end
	}
	return i
}

// whitespace matches "\s*[\r\n]+|\s+(?!\S)|\s+" at a white-space character: up to the last line break; else all but the
// last character, which goes with the word that follows; else what there is.
func whitespace(s string, i int) int {
	afterBreak, beforeLast, end := i, i, i
	for end < len(s) {
		c, n := classAt(s, end)
		if c&space == 0 {
			break
		}
		beforeLast = end
		end += n
		if c&newline != 0 {
			afterBreak = end
		}
	}
	switch {
	case afterBreak > i:
		return afterBreak
	case end == len(s) || beforeLast == i:
		return end
	}
	return beforeLast
}

// run returns the end of the characters from s[i] on that are in any of the classes.
func run(s string, i int, in class) int {
	for i < len(s) {
		c, n := classAt(s, i)
		if c&in == 0 {
			break
		}
		i += n
	}
	return i
}

// classAt returns the class and the width in bytes of the character at s[i]; none beyond the end. A byte that is not UTF-8
// stands for itself and is a symbol.
func classAt(s string, i int) (class, int) {
	if i >= len(s) {
		return 0, 0
	}
	if b := s[i]; b < utf8.RuneSelf {
		return latin1[b], 1
	}
	r, n := utf8.DecodeRuneInString(s[i:])
	return classOf(r), n
}
