package cache

import (
	"bytes"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// canonical writes JSON in the one form that all equal texts share: no white space, object members sorted by key,
// strings by value, numbers by value. It works over bytes, because decoding a body into maps costs ten times as much.
// The form is for hashing only: it is not JSON (members end with a comma), but two forms are equal only where the
// values are. Its buffers are kept from one body to the next.
type canonical struct {
	in      []byte
	out     []byte
	scratch []byte
	members []member // of the objects under way, innermost last

	// cuts are where strings begin in the input that are written to texts rather than to out, where hole stands for
	// them.
	cuts  []int
	texts []byte
	ends  []int // where each text ends in texts
	// top judges the members of the outermost object: the key by its value, the value as it was written.
	top func(key, value []byte) verdict
}

// hole stands for a text that was cut out. No string holds this byte: control characters are written escaped.
const hole = 0

// maxDepth is how deep a body may be nested; deeper ones are not cached, for the sake of the stack.
const maxDepth = 512

// member is one member of an object in out: key, colon, value, comma.
type member struct {
	start, keyEnd, end int
	drop               bool
}

// verdict is what becomes of a top-level member.
type verdict uint8

const (
	keep   verdict = iota
	drop           // it does not shape the answer
	refuse         // the whole body must not be cached
)

// run appends the canonical form of in to c.out. False where in is no JSON object, a key is given twice at the top, or
// top refuses.
func (c *canonical) run(in []byte, cuts []int) bool {
	c.in, c.cuts = in, cuts
	c.texts, c.members, c.ends = c.texts[:0], c.members[:0], c.ends[:0]
	i := c.space(0)
	if i >= len(in) || in[i] != '{' {
		return false
	}
	i = c.object(i, 1)
	return i > 0 && c.space(i) == len(in)
}

// The functions below read what begins at i and give the place behind it, or -1 where it is not JSON.

func (c *canonical) space(i int) int {
	for i < len(c.in) && (c.in[i] == ' ' || c.in[i] == '\n' || c.in[i] == '\r' || c.in[i] == '\t') {
		i++
	}
	return i
}

func (c *canonical) value(i, depth int) int {
	if i >= len(c.in) || depth > maxDepth {
		return -1
	}
	switch c.in[i] {
	case '{':
		return c.object(i, depth)
	case '[':
		return c.array(i, depth)
	case '"':
		return c.stringOrCut(i)
	case 't':
		return c.literal(i, "true")
	case 'f':
		return c.literal(i, "false")
	case 'n':
		return c.literal(i, "null")
	}
	return c.number(i)
}

func (c *canonical) literal(i int, word string) int {
	if !bytes.HasPrefix(c.in[i:], []byte(word)) {
		return -1
	}
	c.out = append(c.out, word...)
	return i + len(word)
}

func (c *canonical) array(i, depth int) int {
	c.out = append(c.out, '[')
	for i = c.space(i + 1); i < len(c.in) && c.in[i] != ']'; {
		if i = c.value(i, depth+1); i < 0 {
			return -1
		}
		c.out = append(c.out, ',')
		if i = c.separator(i, ']'); i < 0 {
			return -1
		}
	}
	c.out = append(c.out, ']')
	return end(i, len(c.in))
}

func (c *canonical) object(i, depth int) int {
	start, base, sorted := len(c.out), len(c.members), true
	c.out = append(c.out, '{')
	for i = c.space(i + 1); i < len(c.in) && c.in[i] != '}'; {
		m := member{start: len(c.out)}
		if c.in[i] != '"' {
			return -1
		}
		if i = c.string(i); i < 0 {
			return -1
		}
		m.keyEnd = len(c.out)
		i = c.space(i)
		if i >= len(c.in) || c.in[i] != ':' {
			return -1
		}
		c.out = append(c.out, ':')
		from := c.space(i + 1)
		if i = c.value(from, depth+1); i < 0 {
			return -1
		}
		if depth == 1 {
			verdict := c.top(c.out[m.start+1:m.keyEnd-1], c.in[from:i])
			if verdict == refuse {
				return -1
			}
			m.drop = verdict == drop
		}
		c.out = append(c.out, ',')
		m.end = len(c.out)
		if n := len(c.members); n > base && bytes.Compare(c.key(c.members[n-1]), c.key(m)) >= 0 {
			sorted = false
		}
		c.members = append(c.members, m)
		if i = c.separator(i, '}'); i < 0 {
			return -1
		}
	}
	if (!sorted || depth == 1) && !c.sort(start+1, base, depth == 1) {
		return -1
	}
	c.members = c.members[:base]
	c.out = append(c.out, '}')
	return end(i, len(c.in))
}

// separator passes a comma, which must not be followed by the closing bracket, or stays before the bracket.
func (c *canonical) separator(i int, closing byte) int {
	i = c.space(i)
	if i >= len(c.in) || c.in[i] == closing {
		return i
	}
	if c.in[i] != ',' {
		return -1
	}
	if i = c.space(i + 1); i >= len(c.in) || c.in[i] == closing {
		return -1
	}
	return i
}

// end is the place behind the closing bracket at i, which may be missing.
func end(i, length int) int {
	if i >= length {
		return -1
	}
	return i + 1
}

func (c *canonical) key(m member) []byte { return c.out[m.start:m.keyEnd] }

// sort puts the members from base on, written from start on, in the order of their keys, and takes out those to be
// dropped. Members of one key keep their order, so that two orders are two forms: parsers differ in which they believe.
// unique demands that there are none such.
func (c *canonical) sort(start, base int, unique bool) bool {
	members := c.members[base:]
	slices.SortStableFunc(members, func(a, b member) int { return bytes.Compare(c.key(a), c.key(b)) })
	c.scratch = c.scratch[:0]
	for i, m := range members {
		if unique && i > 0 && bytes.Equal(c.key(members[i-1]), c.key(m)) {
			return false
		}
		if !m.drop {
			c.scratch = append(c.scratch, c.out[m.start:m.end]...)
		}
	}
	c.out = append(c.out[:start], c.scratch...)
	return true
}

func (c *canonical) stringOrCut(i int) int {
	if len(c.cuts) == 0 || i != c.cuts[0] {
		return c.string(i)
	}
	c.cuts = c.cuts[1:]
	start := len(c.out)
	if i = c.string(i); i < 0 {
		return -1
	}
	c.texts = append(c.texts, c.out[start:]...)
	c.ends = append(c.ends, len(c.texts))
	c.out = append(c.out[:start], hole)
	return i
}

// string writes a string by its value. Nearly all have no escapes and are copied as they are.
func (c *canonical) string(i int) int {
	body := c.in[i+1:]
	n := bytes.IndexByte(body, '"')
	if n < 0 {
		return -1
	}
	if bytes.IndexByte(body[:n], '\\') < 0 {
		c.out = append(c.out, c.in[i:i+n+2]...)
		return i + n + 2
	}
	c.out = append(c.out, '"')
	for i++; i < len(c.in); {
		switch ch := c.in[i]; ch {
		case '"':
			c.out = append(c.out, '"')
			return i + 1
		case '\\':
			if i = c.escape(i); i < 0 {
				return -1
			}
		default:
			c.out = append(c.out, ch)
			i++
		}
	}
	return -1
}

func (c *canonical) escape(i int) int {
	if i+1 >= len(c.in) {
		return -1
	}
	switch ch := c.in[i+1]; ch {
	case '"', '\\':
		c.out = append(c.out, '\\', ch)
	case '/':
		c.out = append(c.out, '/')
	case 'b':
		c.out = appendEscaped(c.out, '\b')
	case 'f':
		c.out = appendEscaped(c.out, '\f')
	case 'n':
		c.out = appendEscaped(c.out, '\n')
	case 'r':
		c.out = appendEscaped(c.out, '\r')
	case 't':
		c.out = appendEscaped(c.out, '\t')
	case 'u':
		return c.unicode(i)
	default:
		return -1
	}
	return i + 2
}

func (c *canonical) unicode(i int) int {
	r, ok := hex4(c.in, i+2)
	if !ok {
		return -1
	}
	i += 6
	if utf16.IsSurrogate(r) && i+1 < len(c.in) && c.in[i] == '\\' && c.in[i+1] == 'u' {
		if low, ok := hex4(c.in, i+2); ok {
			if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
				r, i = pair, i+6
			}
		}
	}
	if r < ' ' || r == '"' || r == '\\' || utf16.IsSurrogate(r) {
		c.out = appendEscaped(c.out, r) // half a pair has no UTF-8 form
	} else {
		c.out = utf8.AppendRune(c.out, r)
	}
	return i
}

// appendEscaped writes what cannot stand in a string as it is.
func appendEscaped(out []byte, r rune) []byte {
	const digits = "0123456789abcdef"
	if r == '"' || r == '\\' {
		return append(out, '\\', byte(r))
	}
	return append(out, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
}

func hex4(in []byte, i int) (r rune, ok bool) {
	if i+4 > len(in) {
		return 0, false
	}
	for _, ch := range in[i : i+4] {
		switch {
		case ch >= '0' && ch <= '9':
			ch -= '0'
		case ch >= 'a' && ch <= 'f':
			ch -= 'a' - 10
		case ch >= 'A' && ch <= 'F':
			ch -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(ch)
	}
	return r, true
}
