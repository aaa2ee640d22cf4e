package v1

import (
	"bytes"
	"strings"
	"unsafe"

	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/tokenizer"
	"github.com/fila-ia/filaia/internal/usage"
)

// meter reads what a call used from its answer, whole or as its events go by.
type meter struct {
	body     *body
	text     []byte // what the model has said, to be counted only where the provider does not say how much it was
	tokens   usage.Tokens
	object   string // the id of a response that the provider has stored
	reported bool   // the provider told its usage, and has said nothing since
	final    bool   // it told it at the end
	finishes int    // choices that told why they ended, or images that are made
	more     bool   // images are to come, though one is made
	failed   bool   // the provider sent an error
	done     bool   // the last event has come
	next     int64  // the number of the event to come, in streams that number them
	pending  bool   // a response that is made in the background
	checks   bool   // the answer may be kept: each event must be sound
	unsound  bool
}

func newMeter(b *body) meter { return meter{body: b} }

// used gives the tokens: the provider's figure, or ours where it has none.
func (m *meter) used() (t usage.Tokens, estimated bool) {
	if m.reported || m.body.wire.byRequest || m.body.wire.endpoint == "embeddings" && m.failed {
		return m.tokens, false
	}
	t.Input, t.Output = m.body.wire.count(m.body), int64(tokenizer.Count(m.body.model, string(m.text)))
	return t, true
}

// sound tells whether the answer may be given again.
func (m *meter) sound() bool { return !m.failed && !m.unsound }

// readUsage reads a usage object in chat's or in the Responses' words; false where it tells no tokens. Cached and
// reasoning tokens are parts, not additions.
func readUsage(object []byte) (t usage.Tokens, reported bool) {
	readObject(object, func(name string, value []byte) {
		switch name {
		case "prompt_tokens", "input_tokens":
			t.Input, reported = integer(value), true
		case "completion_tokens", "output_tokens":
			t.Output = integer(value)
		case "prompt_tokens_details", "input_tokens_details":
			t.Cached = within(value, "cached_tokens")
		case "completion_tokens_details", "output_tokens_details":
			t.Reasoning = within(value, "reasoning_tokens")
		}
	})
	return t, reported
}

// within is a number in an object; 0 where there is none.
func within(object []byte, name string) (n int64) {
	readObject(object, func(member string, value []byte) {
		if member == name {
			n = integer(value)
		}
	})
	return n
}

// parsed reads JSON in place.
func parsed(json []byte) gjson.Result {
	return gjson.Parse(unsafe.String(unsafe.SliceData(json), len(json)))
}

// raw gives the JSON of a value in place.
func raw(value gjson.Result) []byte {
	return unsafe.Slice(unsafe.StringData(value.Raw), len(value.Raw))
}

// whole reads an object that is a whole answer, or the response that an event tells of; false where it is no JSON.
func (m *meter) whole(answer []byte) (ok bool) {
	sound := readObject(answer, func(name string, value []byte) {
		switch name {
		case "usage":
			if tokens, ok := readUsage(value); ok {
				m.tokens, m.reported = tokens, true
			}
		case "id":
			if m.body.wire.endpoint == "responses" && !m.body.forgotten {
				m.object = strings.Clone(parsed(value).String()) // outlives the answer's memory
			}
		case "status":
			status := parsed(value).Str
			m.pending = unfinished(status)
			m.failed = m.failed || status == "failed"
		}
	})
	if !m.reported { // else nobody counts what was said
		m.gather(answer)
	}
	return sound <= isOther
}

// gather takes the text of a whole answer.
func (m *meter) gather(answer []byte) {
	readObject(answer, func(name string, value []byte) {
		switch name {
		case "choices":
			readArray(value, func(choice []byte) {
				m.said(raw(parsed(choice).Get("message")))
				m.said(choice)
			})
		case "output":
			readArray(value, func(item []byte) { m.item(parsed(item)) })
		}
	})
}

// choice reads a choice of a chunk.
func (m *meter) choice(choice []byte) {
	readObject(choice, func(name string, value []byte) {
		switch name {
		case "delta":
			m.said(value)
		case "finish_reason":
			if value[0] == '"' {
				m.finishes++
			}
		default:
			m.say(name, value)
		}
	})
}

// said gathers the text of a message, of a chunk's delta or of a completion's choice.
func (m *meter) said(message []byte) { readObject(message, m.say) }

// say gathers the text of one member of them.
func (m *meter) say(name string, value []byte) {
	switch name {
	case "content", "refusal", "reasoning_content", "reasoning", "text":
		if value[0] == '"' {
			m.text = append(m.text, parsed(value).Str...)
		}
	case "tool_calls":
		parsed(value).ForEach(func(_, call gjson.Result) bool {
			m.text = append(m.text, call.Get("function.name").String()...)
			m.text = append(m.text, call.Get("function.arguments").String()...)
			return true
		})
	}
}

// item gathers the text of an item of a response.
func (m *meter) item(item gjson.Result) {
	m.text = append(m.text, item.Get("name").String()...)
	m.text = append(m.text, item.Get("arguments").String()...)
	item.Get("content").ForEach(func(_, part gjson.Result) bool {
		m.said(raw(part))
		return true
	})
}

var (
	dataField = []byte("data:")
	doneMark  = []byte("[DONE]")
)

// watch reads one event, with its blank line. strip tells that it carries nothing but the usage of a chat; hold that
// it may be the last, which waits for the record.
func (m *meter) watch(event []byte) (strip, hold bool) {
	data, ok := eventData(event)
	if !ok {
		return false, false
	}
	if bytes.Equal(data, doneMark) {
		m.done = true
		return false, true
	}
	choices, before, told, last := 0, len(m.text), false, false
	var used usage.Tokens
	sound := readObject(data, func(name string, value []byte) {
		switch name {
		case "choices":
			readArray(value, func(choice []byte) {
				choices++
				m.choice(choice)
			})
		case "usage":
			used, told = readUsage(value)
		case "error":
			m.failed = m.failed || value[0] == '{'
		case "sequence_number":
			m.next = integer(value) + 1
		case "type":
			last = m.typed(parsed(value).Str, parsed(data))
		}
	})
	m.unsound = m.unsound || m.checks && sound > isOther
	switch {
	case told && last && m.finishes > 1: // each image tells what it took
		m.tokens.Input, m.tokens.Output = m.tokens.Input+used.Input, m.tokens.Output+used.Output
	case told:
		m.tokens = used
	}
	m.final = (told && choices == 0 || last) && !m.more
	m.reported = told || m.reported && (last || len(m.text) == before)
	return told && choices == 0 && m.body.wire.usageOption, last
}

// typed reads an event that tells its type: those of responses, images and sounds. It tells whether it may be the last.
func (m *meter) typed(kind string, chunk gjson.Result) (last bool) {
	switch kind {
	case "response.output_text.delta", "response.refusal.delta", "response.function_call_arguments.delta",
		"response.reasoning_text.delta", "response.reasoning_summary_text.delta":
		m.text = append(m.text, chunk.Get("delta").String()...)
	case "response.created":
		if !m.body.forgotten {
			m.object = strings.Clone(chunk.Get("response.id").String())
		}
	case "response.completed", "response.incomplete", "response.failed", "response.cancelled":
		delivered := m.text
		m.text, m.reported = nil, false
		m.whole(raw(chunk.Get("response"))) // has it all, unless it failed
		if len(m.text) < len(delivered) {
			m.text = delivered
		}
		m.failed = m.failed || kind == "response.failed"
		m.done = true
		return true
	case "error":
		m.failed = true
	case "image_generation.completed", "image_edit.completed":
		m.finishes++
		m.more = int64(m.finishes) < m.body.choices // each image has its own
		return true
	case "transcript.text.done", "speech.audio.done":
		m.done = true
		return true
	}
	return false
}

// eventData gives the data of an event of one data line, which is all that OpenAI's streams have.
func eventData(event []byte) ([]byte, bool) {
	for line := range bytes.Lines(event) {
		if rest, ok := bytes.CutPrefix(line, dataField); ok {
			return bytes.TrimSpace(rest), true
		}
	}
	return nil, false
}
