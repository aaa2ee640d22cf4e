package openaitest

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
)

// responseRequest is what the server understands of a request to the Responses API.
type responseRequest struct {
	task
	snapshot                              string
	doc                                   gjson.Result // the request
	items                                 []string     // its input, one JSON object each
	messages                              []string     // the whole conversation as chat messages, without the instructions
	chat                                  []byte       // the same as a chat request, whose tokens can be counted
	stream, background, store, obfuscated bool
}

// minOutputTokens is the least that OpenAI takes as max_output_tokens.
const minOutputTokens = 16

var responseFields = []field{
	modelField, streamField, temperatureField, topPField, userField,
	{name: "max_output_tokens", article: "an integer", low: minOutputTokens, high: 1 << 31},
	{name: "background", article: "a boolean"},
	{name: "store", article: "a boolean"},
	{name: "parallel_tool_calls", article: "a boolean"},
	{name: "instructions", article: "a string"},
	{name: "previous_response_id", article: "a string"},
	{name: "metadata", article: "an object"},
}

func (s *Server) parseResponse(body []byte) (*responseRequest, *apiError) {
	doc, fail := parseObject(body, responseFields)
	if fail != nil {
		return nil, fail
	}
	r := &responseRequest{
		task: task{
			model: doc.Get("model").String(), n: 1, maxTokens: int(doc.Get("max_output_tokens").Int()),
			format: doc.Get("text.format.type").String(), schema: doc.Get("text.format.schema"), effort: doc.Get("reasoning.effort").String(),
		},
		doc: doc, stream: doc.Get("stream").Bool(), background: doc.Get("background").Bool(), store: true, obfuscated: true,
	}
	if store := doc.Get("store"); store.IsBool() {
		r.store = store.Bool()
	}
	if padded := doc.Get("stream_options.include_obfuscation"); padded.IsBool() {
		r.obfuscated = padded.Bool()
	}
	if r.background && !r.store {
		return nil, invalid("background", "Background mode requires 'store' to be true.")
	}
	if r.snapshot, fail = s.resolve(r.model); fail != nil {
		return nil, fail
	}
	if id := doc.Get("previous_response_id").String(); id != "" {
		previous, ok := s.responses.conversation(id)
		if !ok {
			return nil, &apiError{status: 404, param: "previous_response_id", code: "previous_response_not_found",
				message: fmt.Sprintf("Previous response with id '%s' not found.", id)}
		}
		r.messages = previous
	}
	for _, step := range []func() *apiError{r.readInput, r.readTools, r.readFormat} {
		if fail := step(); fail != nil {
			return nil, fail
		}
	}
	r.chat = r.asChat()
	for i, item := range r.items {
		r.items[i] = s.withID(item)
	}
	return r, nil
}

// readInput takes a string or items.
func (r *responseRequest) readInput() *apiError {
	input := r.doc.Get("input")
	switch {
	case input.Type == gjson.Null:
		return missing("input")
	case input.Type == gjson.String:
		r.items = []string{userItem(input.Raw)}
	case !input.IsArray():
		return wrongType("input", "one of a string or array of objects", kindOf(input))
	}
	for i, item := range input.Array() {
		if input.Type == gjson.String {
			break // gjson gives a string as an array of itself
		}
		if fail := checkItem(fmt.Sprintf("input[%d]", i), item); fail != nil {
			return fail
		}
		r.items = append(r.items, item.Raw)
	}
	for _, raw := range r.items {
		item := gjson.Parse(raw)
		if item.Get("role").String() == "user" {
			r.question = textOf(item.Get("content"))
		}
		if message := asMessage(item); message != "" {
			r.messages = append(slices.Clip(r.messages), message)
		}
	}
	return nil
}

// userItem is a user's message; text is JSON.
func userItem(text string) string {
	return `{"type":"message","status":"completed","content":[{"type":"input_text","text":` + text + `}],"role":"user"}`
}

// checkItem finds the faults of one input item.
func checkItem(at string, item gjson.Result) *apiError {
	kind, role, content := item.Get("type"), item.Get("role").String(), item.Get("content")
	switch {
	case !item.IsObject():
		return wrongType(at, "an object", kindOf(item))
	case kind.Type != gjson.Null && kind.String() != "message":
		return nil
	case role == "":
		return missing(at + ".role")
	case !slices.Contains([]string{"user", "assistant", "system", "developer"}, role):
		return invalid(at+".role", fmt.Sprintf("Invalid value: '%s'. Supported values are: 'assistant', 'system', 'developer', and 'user'.", role))
	case content.Type != gjson.String && !content.IsArray():
		return wrongType(at+".content", "one of an array of objects or string", kindOf(content))
	}
	return nil
}

// withID gives an item the id and the form that it is listed with.
func (s *Server) withID(item string) string {
	doc := gjson.Parse(item)
	kind := doc.Get("type").String()
	if kind == "" || kind == "message" {
		item, _ = sjson.Set(item, "type", "message")
		if content := doc.Get("content"); content.Type == gjson.String {
			item, _ = sjson.SetRaw(item, "content", `[{"type":"input_text","text":`+content.Raw+`}]`)
		}
	}
	if !doc.Get("id").Exists() {
		item, _ = sjson.Set(item, "id", s.ids.hex("msg_"))
	}
	return item
}

// asMessage writes an item as a message of a chat, "" where it is not shown to the model.
func asMessage(item gjson.Result) string {
	var message any
	switch item.Get("type").String() {
	case "", "message":
		message = map[string]any{"role": item.Get("role").String(), "content": asParts(item.Get("content"))}
	case "function_call":
		message = map[string]any{"role": "assistant", "tool_calls": []any{map[string]any{
			"id": item.Get("call_id").String(), "type": "function",
			"function": toolUse{item.Get("name").String(), item.Get("arguments").String()},
		}}}
	case "function_call_output":
		message = map[string]any{"role": "tool", "tool_call_id": item.Get("call_id").String(), "content": asParts(item.Get("output"))}
	case "reasoning", "item_reference":
		return ""
	default:
		message = map[string]any{"role": "user", "content": item.Raw}
	}
	return string(compact(message))
}

// asParts writes an item's content as a chat message's.
func asParts(content gjson.Result) any {
	if !content.IsArray() {
		return content.String()
	}
	parts := []any{}
	for _, part := range content.Array() {
		switch part.Get("type").String() {
		case "input_text", "output_text":
			parts = append(parts, map[string]any{"type": "text", "text": part.Get("text").String()})
		case "input_image":
			parts = append(parts, map[string]any{"type": "image_url",
				"image_url": map[string]string{"url": part.Get("image_url").String(), "detail": part.Get("detail").String()}})
		case "input_file":
			parts = append(parts, map[string]any{"type": "file", "file": json.RawMessage(part.Raw)})
		default:
			parts = append(parts, json.RawMessage(part.Raw))
		}
	}
	return parts
}

// asChat writes what the model is shown as the body of a chat request.
func (r *responseRequest) asChat() []byte {
	var messages []json.RawMessage
	if instructions := r.doc.Get("instructions").String(); instructions != "" {
		messages = append(messages, compact(map[string]any{"role": "system", "content": instructions}))
	}
	for _, message := range r.messages {
		messages = append(messages, json.RawMessage(message))
	}
	chat := map[string]any{"model": r.model, "messages": messages}
	if tools := r.doc.Get("tools"); len(tools.Array()) > 0 {
		chat["tools"] = json.RawMessage(tools.Raw)
	}
	if r.format == "json_schema" {
		chat["response_format"] = json.RawMessage(r.doc.Get("text.format").Raw)
	}
	return compact(chat)
}

func (r *responseRequest) readTools() *apiError {
	choice := r.doc.Get("tool_choice")
	var functions []gjson.Result
	for _, tool := range r.doc.Get("tools").Array() {
		if tool.Get("type").String() == "function" {
			functions = append(functions, tool)
		}
	}
	switch {
	case choice.IsObject() && choice.Get("type").String() == "function":
		for _, tool := range functions {
			if tool.Get("name").String() == choice.Get("name").String() {
				r.tool, r.toolForced = tool, true
				return nil
			}
		}
		return invalid("tool_choice", fmt.Sprintf("Tool choice 'function' not found in 'tools' parameter: '%s'.", choice.Get("name")))
	case choice.String() == "required" && len(functions) > 0:
		r.tool = functions[0]
	}
	return nil
}

func (r *responseRequest) readFormat() *apiError {
	switch r.format {
	case "json_schema":
		if !r.doc.Get("text.format.name").Exists() {
			return missing("text.format.name")
		}
	case "", "text", "json_object":
	default:
		return invalid("text.format.type", fmt.Sprintf("Invalid value: '%s'. Supported values are: 'json_object', 'json_schema', and 'text'.", r.format))
	}
	return nil
}
