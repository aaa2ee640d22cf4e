package cache

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"
	"unsafe"

	"github.com/tidwall/gjson"
)

// Mode is how a plan or a key uses the cache.
type Mode uint8

// The modes. Exact answers what was asked before in the same words and with the same parameters, Smart also what says
// the same in other words.
const (
	Off Mode = iota
	Exact
	Smart
)

// key is a SHA-256 sum: tenants must not be able to meet in one.
type key [sha256.Size]byte

// Question is a request as the cache knows it. It holds hashes, and in Smart mode with an embedder the last user
// message. It belongs to one caller at a time.
type Question struct {
	tenant int64
	stream func([]byte) bool // tells a whole stream of this endpoint from one that was cut
	exact  key

	alias    key // of the normalised text; zero where there is none
	rest     key // of the request without its text
	text     string
	meaning  *meaning  // of the text, once it was needed
	vector   []float32 // of the text, once it was embedded
	embedder string    // that made the vector

	generation uint64    // of the tenant's entries when it was asked
	asked      bool      // the generation is known, or it was tried in vain
	storedAt   time.Time // when its answer was stored, and until when it is kept; zero where it was not
	keptUntil  time.Time
}

// hasAlias tells whether other spellings of the question have one key with it.
func (q *Question) hasAlias() bool { return q.alias != key{} }

// Since tells the question from the same one before the tenant's answers were purged for the n-th time.
func (q *Question) Since(purges int64) {
	if purges == 0 {
		return
	}
	for _, k := range []*key{&q.exact, &q.alias, &q.rest} {
		if *k != (key{}) {
			*k = sha256.Sum256(binary.BigEndian.AppendUint64(k[:], uint64(purges)))
		}
	}
}

// asker makes questions. It keeps its buffers.
type asker struct {
	canonical
	at    []int  // where the pieces of the last user message are written in the body
	said  []byte // these pieces by value
	plain []byte // and normalised

	endpoint string
	unstored bool // "store": false was seen
}

func newAsker() *asker {
	a := &asker{}
	a.top = a.judge
	return a
}

// maxKept is how large buffers may be that wait for the next question.
const maxKept = 1 << 20

// Ask makes the question of a request to an endpoint such as "chat.completions". body is valid JSON and is not kept.
// ok is false where the answer must not be cached: mode Off, an endpoint with effects, an answer that the provider
// remembers, that comes from a search or from tools it runs itself, or that is spoken.
func (c *Cache) Ask(tenant int64, endpoint string, body []byte, mode Mode) (q Question, ok bool) {
	if mode != Exact && mode != Smart {
		return q, false
	}
	a := c.askers.Get().(*asker)
	q, ok = a.ask(tenant, endpoint, body, mode == Smart)
	if ok && q.hasAlias() && c.likeness.Load() != nil && likable(a.said) {
		q.text = string(a.said)
	}
	a.in = nil
	if cap(a.out)+cap(a.scratch)+cap(a.texts)+cap(a.said)+cap(a.plain) <= maxKept {
		c.askers.Put(a)
	}
	return q, ok
}

func (a *asker) ask(tenant int64, endpoint string, body []byte, smart bool) (q Question, ok bool) {
	switch endpoint {
	case "chat.completions", "completions", "responses", "embeddings", "moderations":
	default:
		return q, false
	}
	a.endpoint, a.unstored, a.at, a.said = endpoint, false, a.at[:0], a.said[:0]
	if smart && !a.locate(body) {
		a.at = a.at[:0]
	}
	a.out = slices.Grow(a.out[:0], len(body)+len(body)/8+64) // commas take more room than the white space gives
	a.out = append(binary.BigEndian.AppendUint64(append(a.out, exactly), uint64(tenant)), endpoint...)
	a.out = append(a.out, 0)
	head := len(a.out)
	if !a.run(body, a.at) || endpoint == "responses" && !a.unstored {
		return q, false
	}
	q.tenant, q.stream = tenant, wholeStream(endpoint)
	if len(a.at) == 0 {
		q.exact = sha256.Sum256(a.out)
		return q, true
	}
	if len(a.ends) != len(a.at) || bytes.Count(a.out[head:], []byte{hole}) != len(a.at) {
		return q, false // not the JSON that it was said to be
	}
	q.exact = sha256.Sum256(a.filled(head))
	var normal bool
	if a.plain, normal = normalise(a.plain[:0], a.said); normal {
		a.out[0] = withoutText
		q.rest = sha256.Sum256(a.out)
		a.scratch = append(append(append(a.scratch[:0], normalised), q.rest[:]...), a.plain...)
		q.alias = sha256.Sum256(a.scratch)
	}
	return q, true
}

// What a sum is over, its first byte. The tenant and the endpoint follow, but where another sum stands for them.
const (
	exactly     = 'x' // the canonical form
	withoutText = 'r' // the canonical form with holes
	normalised  = 'n' // a sum without text, and the normalised text
	alike       = 'l' // a sum without text, and what turns the text's meaning
)

// filled is the canonical form with the texts in their places: what it is where nothing was cut out.
func (a *asker) filled(head int) []byte {
	a.scratch = append(a.scratch[:0], a.out[:head]...)
	rest, from := a.out[head:], 0
	for _, to := range a.ends {
		at := bytes.IndexByte(rest, hole)
		a.scratch = append(append(a.scratch, rest[:at]...), a.texts[from:to]...)
		rest, from = rest[at+1:], to
	}
	a.scratch = append(a.scratch, rest...)
	return a.scratch
}

// judge says which top-level members shape the answer, and which forbid to keep it.
func (a *asker) judge(name, value []byte) verdict {
	isNull, isFalse := string(value) == "null", string(value) == "false"
	responses := a.endpoint == "responses"
	switch string(name) {
	case "stream", "stream_options", "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention",
		"metadata", "service_tier":
		return drop
	case "store":
		a.unstored = isFalse
		return drop
	}
	if isNull {
		return drop // as if it were absent
	}
	switch string(name) {
	case "web_search_options":
		return refuse
	case "previous_response_id", "conversation", "prompt": // what the provider keeps can change
		if responses {
			return refuse
		}
	case "background":
		if responses && !isFalse {
			return refuse
		}
	case "model": // models that search without being asked to
		if bytes.Contains(value, []byte("-search")) || bytes.Contains(value, []byte("deep-research")) {
			return refuse
		}
	case "tools":
		if !ownTools(value) {
			return refuse
		}
	case "modalities":
		if bytes.Contains(value, []byte("audio")) {
			return refuse
		}
	}
	return keep
}

// ownTools tells whether all tools are run by the caller. The provider's own look at a world that changes.
func ownTools(value []byte) bool {
	list := gjson.Parse(unsafe.String(unsafe.SliceData(value), len(value)))
	own := list.IsArray()
	list.ForEach(func(_, tool gjson.Result) bool {
		kind := tool.Get("type")
		own = own && (kind.Str == "function" || kind.Str == "custom")
		return own
	})
	return own
}

// locate finds the pieces of the last message, where it is the user's and nothing but text.
func (a *asker) locate(body []byte) bool {
	root := gjson.Parse(unsafe.String(unsafe.SliceData(body), len(body)))
	switch a.endpoint {
	case "chat.completions":
		return a.lastMessage(body, root.Get("messages"), "text")
	case "completions":
		return a.piece(body, root.Get("prompt"))
	case "responses":
		if input := root.Get("input"); input.IsArray() {
			return a.lastMessage(body, input, "input_text")
		} else {
			return a.piece(body, input)
		}
	}
	return false // an embedding of other words is another embedding
}

func (a *asker) lastMessage(body []byte, list gjson.Result, kind string) (ok bool) {
	var last, content gjson.Result
	if !list.IsArray() {
		return false
	}
	list.ForEach(func(_, v gjson.Result) bool { last = v; return true })
	roles := 0
	ok = last.IsObject()
	last.ForEach(func(name, v gjson.Result) bool {
		switch name.Str {
		case "role":
			roles++
			ok = ok && v.Str == "user" && roles == 1
		case "type":
			ok = ok && v.Str == "message"
		case "content":
			ok = ok && !content.Exists()
			content = v
		}
		return ok
	})
	if !ok || roles == 0 {
		return false
	}
	if !content.IsArray() {
		return a.piece(body, content)
	}
	content.ForEach(func(_, part gjson.Result) bool {
		ok = a.part(body, part, kind)
		return ok
	})
	return ok && len(a.at) > 0
}

// part reads a part of a message, which must be a text.
func (a *asker) part(body []byte, part gjson.Result, kind string) (ok bool) {
	kinds, texts := 0, 0
	ok = part.IsObject()
	part.ForEach(func(name, v gjson.Result) bool {
		switch name.Str {
		case "type":
			kinds++
			ok = ok && v.Str == kind
		case "text":
			texts++
			ok = ok && a.piece(body, v)
		}
		return ok
	})
	return ok && kinds == 1 && texts == 1
}

func (a *asker) piece(body []byte, v gjson.Result) bool {
	if v.Type != gjson.String || v.Index <= 0 || !bytes.HasPrefix(body[v.Index:], unsafe.Slice(unsafe.StringData(v.Raw), len(v.Raw))) {
		return false
	}
	if len(a.at) > 0 {
		a.said = append(a.said, '\n')
	}
	a.at = append(a.at, v.Index)
	a.said = append(a.said, v.Str...)
	return true
}

// maxAlike is the longest text, in characters, that is compared by likeness: the longer a text, the more can differ in
// it without moving its vector.
const maxAlike = 2000

// likable tells whether a text can be compared by likeness: not too long; in Latin letters, of whose languages the
// words are known that turn a meaning; and more than one word, because a single one means what the conversation makes
// of it.
func likable(text []byte) bool {
	if len(text) > maxAlike*utf8.UTFMax || utf8.RuneCount(text) > maxAlike || !bytes.ContainsAny(bytes.TrimSpace(text), " \t\n") {
		return false
	}
	return !bytes.ContainsFunc(text, func(r rune) bool { return unicode.IsLetter(r) && !unicode.Is(unicode.Latin, r) })
}

// wholeStream tells whether the events of a stream go to its end. A stream that was cut must never be an answer.
func wholeStream(endpoint string) func([]byte) bool {
	if endpoint == "responses" {
		return func(events []byte) bool { return bytes.Contains(events, []byte(`"response.completed"`)) }
	}
	return func(events []byte) bool {
		return bytes.HasSuffix(bytes.TrimSpace(events), []byte("data: [DONE]"))
	}
}
