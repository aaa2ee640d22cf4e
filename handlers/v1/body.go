package v1

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/gofiber/fiber/v2"
	"github.com/tidwall/gjson"
)

// body is the little of a request that the gateway reads. The bytes themselves stay raw.
type body struct {
	wire         *wire
	raw          []byte
	boundary     string // of a multipart body; empty: it is JSON
	model        string
	stream       bool
	includeUsage bool
	maxOutput    int64 // 0: the caller set none
	mute         bool  // the caller wants no output at all
	choices      int64 // of each prompt
	seen         field // what is there, null included: an edit must replace it
	unnamed      bool  // the model is not named: the usual one must be

	input      []byte // raw JSON of what is put in, where that is one member
	more       []byte // and of another that is put in with it
	files      int64  // and what was uploaded with it
	fileBytes  int64
	forgotten  bool // "store": false
	background bool
	previous   string // the response that is continued
	before     int64  // its tokens
	alone      int64  // an upper bound of the input without them, where bounded
	bounded    bool
}

// inputBound is an upper bound of the input tokens. It is asked for more than once, and what is continued may be found
// in between.
func (b *body) inputBound() int64 {
	if !b.bounded {
		b.alone, b.bounded = b.wire.bound(b)-b.before, true
	}
	return b.alone + b.before
}

// field marks the members that the gateway reads.
type field uint32

const (
	fieldModel field = 1 << iota
	fieldMessages
	fieldStream
	fieldStreamOptions
	fieldMaxCompletionTokens
	fieldMaxTokens
	fieldChoices
	fieldChoices2
	fieldInput
	fieldMaxOutputTokens
	fieldStore
	fieldBackground
	fieldPrevious
	fieldConversation
	fieldMore
	fieldItems
	fieldTools
	fieldPrompt
)

// maxChoices is OpenAI's own limit of n; maxOutputTokens is far above any model's.
const (
	maxChoices      = 128
	maxOutputTokens = 1 << 31
)

// readBody reads what the endpoint needs to know.
func (w *wire) readBody(contentType, raw []byte) (b *body, err error) {
	kind, _, _ := strings.Cut(string(contentType), ";")
	form := strings.EqualFold(strings.TrimSpace(kind), fiber.MIMEMultipartForm)
	switch {
	case form && !w.uploads: // a provider that took it would read what we do not
		return nil, invalid("", "Unsupported content type: '%s'. This API method only accepts 'application/json' requests.", fiber.MIMEMultipartForm)
	case !form && w.uploads: // an image that is named instead of sent would not be counted
		return nil, invalid("", "Unsupported content type: '%s'. This API method only accepts '%s' requests.", abbreviate(strings.TrimSpace(kind)), fiber.MIMEMultipartForm)
	case form:
		b, err = w.readMultipart(string(contentType), raw)
	default:
		b, err = w.readJSON(raw)
	}
	if err != nil {
		return nil, err
	}
	if b.model == "" {
		if w.model == "" {
			return nil, invalid("model", "You must provide a model parameter.")
		}
		b.model, b.unnamed = w.model, true
	}
	if w.needs != "" && b.seen&w.fields[w.needs] == 0 {
		return nil, invalid(w.needs, "Missing required parameter: '%s'.", w.needs)
	}
	return b, nil
}

// readJSON reads the fields in one pass. A field that is given twice is refused: parsers differ in which of the two
// they believe, and what we hold must be what the provider does.
func (w *wire) readJSON(raw []byte) (*body, error) {
	b := &body{wire: w, raw: raw, choices: 1}
	var err error
	sound := readObject(raw, func(name string, value []byte) {
		if err == nil {
			err = b.member(name, value)
		}
	})
	switch {
	case sound == isTooDeep:
		return nil, invalid("", "The JSON body of your request is nested more than %d levels deep.", maxDepth)
	case sound == isBroken || !utf8.Valid(raw): // parsers differ in what they put in the place of broken letters
		return nil, invalid("", "We could not parse the JSON body of your request. The API expects a JSON object.")
	case sound == isOther:
		return nil, invalid("", "The request body must be a JSON object.")
	case err != nil:
		return nil, err
	}
	if w.usual > 0 {
		b.choices *= prompts(b.input)
	}
	return b, nil
}

// member reads one of the request.
func (b *body) member(name string, value []byte) error {
	f := b.wire.fields[name]
	switch {
	case f == 0:
		return b.wire.lookalike(name)
	case b.seen&f != 0:
		return invalid(name, "'%s' is given more than once.", name)
	}
	b.seen |= f
	return b.read(f, name, parsed(value))
}

// prompts tells how many there are in one legacy completion: a text or a list of tokens is one, a list of them is several.
func prompts(input []byte) int64 {
	list := parsed(input)
	if first := list.Get("0"); !list.IsArray() || first.Type == gjson.Number || !first.Exists() {
		return 1
	}
	n := int64(0)
	list.ForEach(func(_, _ gjson.Result) bool { n++; return true })
	return n
}

func (b *body) read(f field, name string, value gjson.Result) (err error) {
	var limit int64
	switch f {
	case fieldModel:
		if value.Type == gjson.Null && b.wire.model != "" {
			return nil // the usual one
		}
		if value.Type != gjson.String || value.Str == "" {
			return invalid("model", "Invalid type for 'model': expected the name of a model.")
		}
		b.model = strings.Clone(value.Str) // outlives the body
	case fieldMessages:
		if !value.IsArray() || !value.Get("0").Exists() {
			return invalid("messages", "Invalid 'messages': expected an array with at least one message.")
		}
		return notOurs(messageReference(name, value))
	case fieldInput:
		if value.Type == gjson.Null && b.wire.needs == name {
			return invalid(name, "Missing required parameter: '%s'.", name)
		}
		b.input = raw(value)
	case fieldItems:
		b.input = raw(value)
		return notOurs(itemReference(name, value))
	case fieldTools:
		return notOurs(itemReference(name, value))
	case fieldMore:
		b.more = raw(value)
	case fieldStream:
		b.stream, err = boolean(value, name)
	case fieldStreamOptions:
		b.includeUsage, err = readStreamOptions(value)
	case fieldMaxCompletionTokens, fieldMaxTokens, fieldMaxOutputTokens:
		if b.wire.usual > 0 && value.Type == gjson.Number && value.Num == 0 { // of an echo
			b.mute = true
			return nil
		}
		limit, err = positive(value, name, maxOutputTokens)
		b.maxOutput = max(b.maxOutput, limit)
	case fieldChoices, fieldChoices2:
		limit, err = positive(value, name, maxChoices)
		b.choices = max(b.choices, limit)
	case fieldStore:
		b.forgotten = value.Type == gjson.False
		_, err = boolean(value, name)
	case fieldBackground:
		b.background, err = boolean(value, name)
	case fieldPrevious:
		if value.Type != gjson.String && value.Type != gjson.Null {
			return invalid(name, "Invalid type for '%s': expected the id of a response.", name)
		}
		b.previous = strings.Clone(value.Str)
	case fieldConversation:
		if value.Type != gjson.Null { // they belong to the operator's account, and would be shared by all its tenants
			return invalid(name, "'%s' is not supported here. Use 'previous_response_id' to continue a response.", name)
		}
	case fieldPrompt:
		if value.Type != gjson.Null { // so do they
			return invalid(name, "'%s' is not supported here. Send its text as 'instructions' and 'input'.", name)
		}
	}
	return err
}

func readStreamOptions(options gjson.Result) (includeUsage bool, err error) {
	const param = "stream_options.include_usage"
	seen := false
	if !options.IsObject() && options.Type != gjson.Null {
		return false, invalid("stream_options", "Invalid type for 'stream_options': expected an object.")
	}
	options.ForEach(func(key, value gjson.Result) bool {
		if strings.EqualFold(key.Str, "include_usage") {
			if seen || key.Str != "include_usage" {
				err = invalid(param, "'%s' is given more than once, or in capitals.", param)
				return false
			}
			seen = true
			includeUsage, err = boolean(value, param)
		}
		return err == nil
	})
	return includeUsage, err
}

// lookalike refuses a name that differs from one we read in its case only: some parsers take the two for the same.
func (w *wire) lookalike(name string) error {
	if isLower(name) { // else it would be the one that we read
		return nil
	}
	for known := range w.fields {
		if strings.EqualFold(name, known) {
			return invalid(known, "Unknown parameter: '%s'. Did you mean '%s'?", name, known)
		}
	}
	return nil
}

func isLower(name string) bool {
	for i := range len(name) {
		if c := name[i]; c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return true
}

// boolean reads true, false, null or nothing.
func boolean(v gjson.Result, param string) (bool, error) {
	if v.Exists() && v.Type != gjson.True && v.Type != gjson.False && v.Type != gjson.Null {
		return false, invalid(param, "Invalid type for '%s': expected a boolean.", param)
	}
	return v.Type == gjson.True, nil
}

// positive reads a whole number from 1 to limit; null or nothing gives 0.
func positive(v gjson.Result, param string, limit int64) (int64, error) {
	if !v.Exists() || v.Type == gjson.Null {
		return 0, nil
	}
	n := v.Int()
	if v.Type != gjson.Number || float64(n) != v.Num || n < 1 || n > limit {
		return 0, invalid(param, "Invalid value for '%s': expected an integer from 1 to %d, got %s.", param, limit, abbreviate(v.Raw))
	}
	return n, nil
}

func abbreviate(raw string) string {
	if len(raw) > 40 {
		return fmt.Sprintf("%q…", raw[:40])
	}
	return raw
}

// retained copies what a stream still needs after its request's memory is reused.
func (b *body) retained() *body {
	c := *b
	c.raw, c.input, c.more = nil, nil, nil
	if !b.wire.byRequest || b.wire.endpoint == "audio.speech" { // else nothing is counted, and a form may be large
		c.raw, c.input, c.more = bytes.Clone(b.raw), bytes.Clone(b.input), bytes.Clone(b.more)
	}
	return &c
}
