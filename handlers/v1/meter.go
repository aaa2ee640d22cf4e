package v1

import (
	"bytes"
	"unsafe"

	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/tokenizer"
	"github.com/fila-ia/filaia/internal/usage"
)

// chatUsage reads a usage object of chat completions; false where there is none. Cached and reasoning tokens are
// parts, not additions.
func chatUsage(u gjson.Result) (t usage.Tokens, reported bool) {
	u.ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "prompt_tokens":
			t.Input, reported = value.Int(), true
		case "completion_tokens":
			t.Output = value.Int()
		case "prompt_tokens_details":
			t.Cached = value.Get("cached_tokens").Int()
		case "completion_tokens_details":
			t.Reasoning = value.Get("reasoning_tokens").Int()
		}
		return true
	})
	return t, reported
}

// wholeUsage gives a whole answer's tokens: the provider's figure, or ours where it has none.
func wholeUsage(answer []byte, body *chatBody) (tokens usage.Tokens, estimated bool) {
	root := gjson.Parse(unsafe.String(unsafe.SliceData(answer), len(answer)))
	if tokens, ok := chatUsage(root.Get("usage")); ok {
		return tokens, false
	}
	var text delivered
	root.Get("choices").ForEach(func(_, choice gjson.Result) bool {
		text.add(choice.Get("message"))
		return true
	})
	return text.count(body), true
}

// delivered gathers what a model has said, to be counted only where the provider does not say how much it was.
type delivered struct{ text []byte }

// add appends the text of a message or of a chunk's delta.
func (d *delivered) add(message gjson.Result) {
	message.ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "content", "refusal", "reasoning_content", "reasoning":
			if value.Type == gjson.String {
				d.text = append(d.text, value.String()...)
			}
		case "tool_calls":
			value.ForEach(func(_, call gjson.Result) bool {
				d.text = append(d.text, call.Get("function.name").String()...)
				d.text = append(d.text, call.Get("function.arguments").String()...)
				return true
			})
		}
		return true
	})
}

// count gives the tokens by the tokenizer: an estimate.
func (d *delivered) count(body *chatBody) usage.Tokens {
	return usage.Tokens{
		Input:  int64(tokenizer.CountChat(body.raw)),
		Output: int64(tokenizer.Count(body.model, string(d.text))),
	}
}

// meter watches the events of a chat stream go by.
type meter struct {
	delivered
	tokens   usage.Tokens
	reported bool // the provider told its usage, and has said nothing since
	final    bool // it told it at the end, with no choices
	finishes int  // choices that told why they ended
	failed   bool // the provider sent an error
	done     bool // [DONE] came
}

var (
	dataField = []byte("data:")
	doneMark  = []byte("[DONE]")
)

// watch reads one event, with its blank line; strip tells that it carries nothing but the usage.
func (m *meter) watch(event []byte) (strip bool) {
	data, ok := eventData(event)
	if !ok {
		return false
	}
	if bytes.Equal(data, doneMark) {
		m.done = true
		return false
	}
	chunk := gjson.Parse(unsafe.String(unsafe.SliceData(data), len(data)))
	choices, before, told := 0, len(m.text), false
	chunk.ForEach(func(key, value gjson.Result) bool {
		switch {
		case key.Str == "choices" && value.IsArray():
			value.ForEach(func(_, choice gjson.Result) bool {
				choices++
				m.add(choice.Get("delta"))
				if choice.Get("finish_reason").Type == gjson.String {
					m.finishes++
				}
				return true
			})
		case key.Str == "usage":
			if tokens, ok := chatUsage(value); ok {
				m.tokens, told = tokens, true
			}
		case key.Str == "error":
			m.failed = value.IsObject()
		}
		return true
	})
	m.final = told && choices == 0
	m.reported = told || m.reported && len(m.text) == before
	return m.final
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
