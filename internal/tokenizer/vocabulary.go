package tokenizer

import (
	_ "embed"
	"sync"
	"unicode/utf8"
)

//go:generate go run vocabgen.go

//go:embed ranks/o200k_base.bin
var o200kRanks string

//go:embed ranks/cl100k_base.bin
var cl100kRanks string

// o200k and cl100k read their vocabulary on the first call and return the same one ever after.
var (
	o200k  = sync.OnceValue(func() *encoding { return newEncoding(o200kRanks, 199_998, nextO200k) })
	cl100k = sync.OnceValue(func() *encoding { return newEncoding(cl100kRanks, 100_256, nextCl100k) })
)

// encoding is a vocabulary with its rule for cutting text into pieces. It is immutable.
type encoding struct {
	ranks map[string]uint32
	// next returns where the piece that begins at s[i] ends; always beyond i.
	next func(s string, i int) int
}

// newEncoding reads a rank file: for each token, in rank order, one byte of length and then the token's bytes.
// The keys share the embedded bytes, so that only the map itself costs memory.
func newEncoding(file string, size int, next func(string, int) int) *encoding {
	ranks := make(map[string]uint32, size)
	for rank := uint32(0); len(file) > 0; rank++ {
		end := 1 + int(file[0])
		ranks[file[1:end]] = rank
		file = file[end:]
	}
	return &encoding{ranks: ranks, next: next}
}

// count returns the number of tokens of text.
func (e *encoding) count(text string) int {
	var scratch [scanLimit + 1]part
	total := 0
	for i := 0; i < len(text); {
		end := e.next(text, i)
		piece := text[i:end]
		if _, whole := e.ranks[piece]; whole {
			total++
		} else {
			total += len(e.merge(piece, scratch[:0]))
		}
		i = end
	}
	return total
}

// cut returns the longest prefix of text of at most limit tokens that ends at a whole character.
func (e *encoding) cut(text string, limit int) string {
	var scratch [scanLimit + 1]part
	for i := 0; i < len(text); {
		if limit <= 0 {
			return text[:i]
		}
		end := e.next(text, i)
		piece := text[i:end]
		if _, whole := e.ranks[piece]; whole {
			limit--
		} else {
			parts := e.merge(piece, scratch[:0])
			if len(parts) > limit {
				return wholeCharacters(text[:i+parts[limit].start])
			}
			limit -= len(parts)
		}
		i = end
	}
	return text
}

// wholeCharacters drops the bytes of a last character that was cut through: one token may end inside of it.
func wholeCharacters(s string) string {
	for n := 1; n < utf8.UTFMax && n <= len(s); n++ {
		if tail := s[len(s)-n:]; utf8.RuneStart(tail[0]) {
			if !utf8.FullRuneInString(tail) {
				return s[:len(s)-n]
			}
			break
		}
	}
	return s
}
