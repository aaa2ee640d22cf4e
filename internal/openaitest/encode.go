package openaitest

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"sync/atomic"
)

// indented encodes a whole answer, compact one event of a stream: as OpenAI lays them out, and without escaping HTML.
func indented(v any) []byte { return encode(v, "  ") }
func compact(v any) []byte  { return encode(v, "") }

func encode(v any, indent string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	if err := e.Encode(v); err != nil {
		panic(err) // only our own types are encoded
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// ids makes ids that are unique within a server and across restarts.
type ids struct {
	base uint64
	next atomic.Uint64
}

func newIDs() ids { return ids{base: rand.Uint64()} }

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// word returns prefix and length letters and digits.
func (i *ids) word(prefix string, length int) string { return i.make(prefix, length, base62) }

// hex returns prefix and 32 hexadecimal digits.
func (i *ids) hex(prefix string) string { return i.make(prefix, 32, "0123456789abcdef") }

func (i *ids) make(prefix string, length int, alphabet string) string {
	source := rand.NewPCG(i.base, i.next.Add(1))
	var b strings.Builder
	b.Grow(len(prefix) + length)
	b.WriteString(prefix)
	for bits, left := uint64(0), 0; b.Len() < len(prefix)+length; left-- {
		if left == 0 {
			bits, left = source.Uint64(), 10
		}
		b.WriteByte(alphabet[bits%uint64(len(alphabet))])
		bits /= uint64(len(alphabet))
	}
	return b.String()
}
