package tokenizer

import (
	"unsafe"

	"github.com/tidwall/gjson"
)

// OpenAI's published formula for chat prompts ("How to count tokens with tiktoken", openai-cookbook): every message costs
// tokensPerMessage beside its fields, a name one more, the reply is primed with tokensPerReply. Tool definitions are
// rendered to the model in a form shorter than their JSON, save for a closing overhead of tokensPerToolList.
const (
	tokensPerMessage  = 3
	tokensPerName     = 1
	tokensPerReply    = 3
	tokensPerToolList = 12
)

// CountChat returns the prompt tokens of a raw chat-completions request body: exact for text messages; for tool
// definitions, tool calls, response schemas and fields that are not known the tokens of their raw JSON, an upper bound; for
// images, audio, files and web searches the allowance of attachment.go, since their cost cannot be read from the request.
// A body that is not a JSON object counts as one without messages. Fields given twice count twice.
func CountChat(body []byte) int {
	request := parse(body)
	model := request.Get("model").String()
	return promptTokens(request, model, encodingFor(model).count)
}

// UpperBoundChat returns a number of prompt tokens that CountChat never exceeds, without tokenizing: each text counts its
// UTF-8 bytes, since no token is shorter than one. It needs about as long as reading the body.
func UpperBoundChat(body []byte) int {
	request := parse(body)
	return promptTokens(request, request.Get("model").String(), func(text string) int { return len(text) })
}

// parse reads the body in place: a copy of each would be the largest part of a call's garbage.
func parse(body []byte) gjson.Result {
	return gjson.Parse(unsafe.String(unsafe.SliceData(body), len(body)))
}

// costsNothing tells the fields of a request that steer the answer and are not shown to the model. Whatever is not listed
// counts, because the hold must cover what providers will think of next.
func costsNothing(field string) bool {
	switch field {
	case "model", "stream", "stream_options", "n", "max_tokens", "max_completion_tokens", "stop", "seed", "modalities", "audio",
		"temperature", "top_p", "presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs",
		"parallel_tool_calls", "reasoning_effort", "verbosity", "service_tier", "store", "metadata", "user",
		"safety_identifier", "prompt_cache_key", "prompt_cache_retention":
		return true
	}
	return false
}

// prompt adds up what count says of each text of a request.
type prompt struct {
	model string
	count func(string) int
	total int
	files int
	// hosted are the tools that the provider runs itself.
	hosted int
}

// promptTokens walks a request.
func promptTokens(request gjson.Result, model string, count func(string) int) int {
	p := &prompt{model: model, count: count, total: tokensPerReply}
	if request.IsObject() {
		request.ForEach(func(key, value gjson.Result) bool {
			p.addField(key.Str, value)
			return true
		})
	}
	return p.total + filesAllowance(model, p.files)
}

func (p *prompt) addField(field string, value gjson.Result) {
	switch {
	case costsNothing(field) || value.Raw == "null": // null is as good as not given
	case field == "messages":
		value.ForEach(func(_, message gjson.Result) bool {
			p.addMessage(message)
			return true
		})
	case field == "tools" || field == "functions":
		p.total += tokensPerToolList + p.count(value.Raw)
	case field == "web_search_options":
		p.total += webSearchAllowance + p.count(value.Raw)
	default:
		p.total += p.count(value.Raw)
	}
}

// addMessage counts one message: its texts, and the JSON of anything else in it, such as tool calls.
func (p *prompt) addMessage(message gjson.Result) {
	if !message.IsObject() {
		p.total += p.count(message.Raw)
		return
	}
	p.total += tokensPerMessage
	message.ForEach(func(key, value gjson.Result) bool {
		switch {
		case key.Str == "content" && value.IsArray():
			value.ForEach(func(_, part gjson.Result) bool {
				p.addPart(part)
				return true
			})
		case key.Str == "audio" && value.IsObject():
			p.total += audioReference
		case value.Type == gjson.String || value.IsObject() || value.IsArray():
			p.addText(value)
		}
		if key.Str == "name" {
			p.total += tokensPerName
		}
		return true
	})
}

// addPart counts one element of a content array. It goes by the fields that are there, not by "type", so that no
// contradiction between the two hides a cost.
func (p *prompt) addPart(part gjson.Result) {
	if !part.IsObject() {
		p.total += p.count(part.Raw)
		return
	}
	part.ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "type":
		case "image_url":
			p.total += imageAllowance(p.model, lowDetail(value))
		case "input_audio":
			p.total += audioAllowance(audioBytes(value))
		case "file":
			p.files++
		default: // text, refusal, and what is not known yet
			p.addText(value)
		}
		return true
	})
}

// addText counts what a string says, or the JSON of anything else.
func (p *prompt) addText(value gjson.Result) {
	if value.Type == gjson.String {
		p.total += p.count(value.Str)
	} else {
		p.total += p.count(value.Raw)
	}
}
