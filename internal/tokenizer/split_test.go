package tokenizer

import (
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// The published patterns as far as Go's regexp can say them: WS stands for \s, which Go takes as ASCII, and
// "\s+(?!\S)|\s+" is left to referencePiece, since Go has no look-ahead.
const (
	whiteSpace   = `\t-\r \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}`
	o200kPattern = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?` +
		`|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?` +
		`|\p{N}{1,3}| ?[^WS\p{L}\p{N}]+[\r\n/]*|[WS]*[\r\n]+`
	cl100kPattern = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^WS\p{L}\p{N}]+[\r\n]*|[WS]*[\r\n]+`
)

// referencePiece returns the length of the piece at the start of s.
func referencePiece(pattern *regexp.Regexp, s string) int {
	if at := pattern.FindStringIndex(s); at != nil {
		return at[1]
	}
	end := len(s) - len(strings.TrimLeftFunc(s, unicode.IsSpace))
	_, last := utf8.DecodeLastRuneInString(s[:end])
	if end < len(s) && last < end {
		end -= last
	}
	return end
}

func TestScannersCutAsThePublishedPatternsDo(t *testing.T) {
	atoms := []string{"a", "B", "ç", "É", "ª", "ǅ", "ʰ", "漢", "\u0301", "\u0903", "1", "½", " ", "\t", "\n", "\r", "\u00a0", "\u2028",
		"'", "s", "S", "ſ", "ll", "'Re", "VE", ".", "/", "€", "👍", "\x7f", "\x00"}
	text := rapid.OneOf(rapid.String(), joined(atoms), joined([]string{"a", " ", "\n", "\t", "."}), joined([]string{"a", "B", "ª", "\u0301", "1"}))
	for name, pair := range map[string]struct {
		pattern string
		next    func(string, int) int
	}{"o200k": {o200kPattern, nextO200k}, "cl100k": {cl100kPattern, nextCl100k}} {
		pattern := regexp.MustCompile("^(?:" + strings.ReplaceAll(pair.pattern, "WS", whiteSpace) + ")")
		check := func(t rapid.TB, s string) {
			for i := 0; i < len(s); {
				got, want := pair.next(s, i), i+referencePiece(pattern, s[i:])
				if got != want {
					t.Fatalf("%s: piece at %d of %q is %q, want %q", name, i, s, s[i:got], s[i:want])
				}
				i = got
			}
		}
		for _, s := range []string{"\u0301B1", "1\u0301BB", "ªBB-", "a\n   b", "a \n\n  b", "\t1", "'ſa"} {
			check(t, s)
		}
		rapid.Check(t, func(t *rapid.T) { check(t, text.Draw(t, "text")) })
	}
}

// joined draws texts made of the given pieces.
func joined(atoms []string) *rapid.Generator[string] {
	return rapid.Map(rapid.SliceOf(rapid.SampledFrom(atoms)), func(parts []string) string { return strings.Join(parts, "") })
}
