// Package tokenizer counts tokens as OpenAI's models do: byte-pair encoding with the o200k_base vocabulary
// (gpt-4o and everything since) or cl100k_base (gpt-4, gpt-3.5, embeddings).
//
// The two vocabularies are embedded as tokens in rank order; ranks/ is written by `go generate` from
// github.com/tiktoken-go/tokenizer. The text is cut into pieces by hand-written scanners rather than by that module's
// regular expression: its generated matcher backtracks to the wrong line break, so that it miscounts blank lines
// ("\n \n" is one token, it says two), needs quadratic time on them (64 KB of "\n " take 1.5 s) and skips U+007F.
// testdata/ holds counts made with OpenAI's own tiktoken, which the scanners must reproduce.
//
// A vocabulary is read on first use (a few milliseconds) and kept. Everything here may be called concurrently.
package tokenizer

import "strings"

// LongestToken is the length in bytes of the longest token of either vocabulary. A text of n bytes has at least
// n/LongestToken tokens, rounded up, so that one far too long can be refused without counting it.
const LongestToken = 128

// Count returns the number of tokens of text for model. It takes time linear in the text (n log n within one unbroken run
// of letters) and is never more than len(text). Bytes that are not UTF-8 are counted, too.
func Count(model, text string) int {
	return encodingFor(model).count(text)
}

// Cut returns the longest prefix of text that holds at most limit tokens and ends at a whole character.
func Cut(model, text string, limit int) string {
	return encodingFor(model).cut(text, limit)
}

// encodingFor picks the encoding by OpenAI's model names: the listed older families use cl100k_base, all else, unknown
// names too, o200k_base. A vendor prefix ("openai/gpt-4o") and a fine-tuning prefix ("ft:gpt-4o:acme::1") are looked through.
func encodingFor(model string) *encoding {
	name := model[strings.LastIndexByte(model, '/')+1:]
	name = strings.TrimPrefix(name, "ft:")
	for _, family := range [...]string{"gpt-4", "gpt-3.5", "gpt-35", "text-embedding-", "davinci-002", "babbage-002"} {
		rest, ok := strings.CutPrefix(name, family)
		// gpt-4o, gpt-4.1 and gpt-4.5 begin like gpt-4 and belong to the newer encoding.
		if ok && !(family == "gpt-4" && (strings.HasPrefix(rest, "o") || strings.HasPrefix(rest, "."))) {
			return cl100k()
		}
	}
	return o200k()
}
