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
// definitions, tool calls and response schemas the tokens of their raw JSON, an upper bound; for images, audio and files
// the allowance of attachment.go, since their cost cannot be read from the request. A body that is not a JSON object
// counts as one without messages. Fields given twice count twice.
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

// promptTokens walks a request and adds up what count says of each text.
func promptTokens(request gjson.Result, model string, count func(string) int) int {
	total := tokensPerReply
	if !request.IsObject() {
		return total
	}
	request.ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "messages":
			value.ForEach(func(_, message gjson.Result) bool {
				if message.IsObject() {
					total += messageTokens(message, model, count)
				}
				return true
			})
		case "tools", "functions":
			total += tokensPerToolList + count(value.Raw)
		case "response_format":
			total += count(value.Raw)
		}
		return true
	})
	return total
}

// messageTokens counts one message: its texts, and the JSON of anything else in it, such as tool calls.
func messageTokens(message gjson.Result, model string, count func(string) int) int {
	total := tokensPerMessage
	message.ForEach(func(key, value gjson.Result) bool {
		switch {
		case key.Str == "content" && value.IsArray():
			value.ForEach(func(_, part gjson.Result) bool {
				total += partTokens(part, model, count)
				return true
			})
		case key.Str == "audio" && value.IsObject():
			total += audioReference
		case value.Type == gjson.String:
			total += count(value.Str)
		case value.IsObject() || value.IsArray():
			total += count(value.Raw)
		}
		if key.Str == "name" {
			total += tokensPerName
		}
		return true
	})
	return total
}

// partTokens counts one element of a content array. It goes by the fields that are there, not by "type", so that no
// contradiction between the two hides a cost.
func partTokens(part gjson.Result, model string, count func(string) int) int {
	if !part.IsObject() {
		return count(part.Raw)
	}
	total := 0
	part.ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "type":
		case "image_url":
			total += imageAllowance(model, value.Get("detail").String())
		case "input_audio":
			total += audioAllowance(len(value.Get("data").Raw))
		case "file":
			total += fileAllowance
		default: // text, refusal, and what is not known yet
			if value.Type == gjson.String {
				total += count(value.Str)
			} else {
				total += count(value.Raw)
			}
		}
		return true
	})
	return total
}
