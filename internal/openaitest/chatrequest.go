package openaitest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// chatRequest is what the server understands of a chat-completions request.
type chatRequest struct {
	task
	snapshot     string // the model as answered
	messages     gjson.Result
	stream       bool
	includeUsage bool
	seed         string
}

// parseChat reads a request and finds the faults that OpenAI finds.
func (s *Server) parseChat(body []byte) (*chatRequest, *apiError) {
	doc, fail := parseObject(body, chatFields)
	if fail != nil {
		return nil, fail
	}
	if doc.Get("stream_options").Type != gjson.Null && !doc.Get("stream").Bool() {
		return nil, &apiError{status: 400, param: "stream_options", message: "The 'stream_options' parameter is only allowed when 'stream' is enabled."}
	}
	r := &chatRequest{
		task:     task{model: doc.Get("model").String(), n: max(1, int(doc.Get("n").Int())), effort: doc.Get("reasoning_effort").String()},
		messages: doc.Get("messages"), stream: doc.Get("stream").Bool(), includeUsage: doc.Get("stream_options.include_usage").Bool(),
		seed: doc.Get("seed").Raw,
	}
	if r.snapshot, fail = s.resolve(r.model); fail != nil {
		return nil, fail
	}
	for _, step := range []func(gjson.Result) *apiError{r.readMessages, r.readLimits, r.readTools, r.readFormat} {
		if fail := step(doc); fail != nil {
			return nil, fail
		}
	}
	return r, nil
}

var chatFields = []field{
	modelField, streamField, temperatureField, topPField, userField,
	{name: "n", article: "an integer", low: 1, high: 128},
	{name: "max_tokens", article: "an integer", low: 1, high: 1 << 31},
	{name: "max_completion_tokens", article: "an integer", low: 1, high: 1 << 31},
}

var roles = []string{"system", "assistant", "user", "function", "tool", "developer"}

func (r *chatRequest) readMessages(gjson.Result) *apiError {
	switch {
	case r.messages.Type == gjson.Null:
		return missing("messages")
	case !r.messages.IsArray():
		return wrongType("messages", "an array of objects", kindOf(r.messages))
	}
	messages := r.messages.Array()
	if len(messages) == 0 {
		return &apiError{status: 400, param: "messages", code: "empty_array",
			message: "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead."}
	}
	for i, m := range messages {
		at := fmt.Sprintf("messages[%d]", i)
		role, content := m.Get("role"), m.Get("content")
		switch {
		case !m.IsObject():
			return wrongType(at, "an object", kindOf(m))
		case role.Type == gjson.Null:
			return missing(at + ".role")
		case !slices.Contains(roles, role.String()):
			return invalid(at+".role", fmt.Sprintf("Invalid value: '%s'. Supported values are: 'system', 'assistant', 'user', 'function', 'tool', and 'developer'.", role))
		case content.Type == gjson.Null && role.String() != "assistant":
			return invalid(at+".content", "Invalid value for 'content': expected a string, got null.")
		case content.Type != gjson.Null && content.Type != gjson.String && !content.IsArray():
			return wrongType(at+".content", "one of a string or array of objects", kindOf(content))
		}
		if role.String() == "user" {
			r.question = textOf(content)
		}
	}
	return nil
}

// textOf returns a content's text, joined where it comes in parts.
func textOf(content gjson.Result) string {
	if !content.IsArray() {
		return content.String()
	}
	var texts []string
	for _, part := range content.Array() {
		if text := part.Get("text").String(); text != "" {
			texts = append(texts, text)
		}
	}
	return strings.Join(texts, "\n")
}

func (r *chatRequest) readLimits(doc gjson.Result) *apiError {
	old, limit := doc.Get("max_tokens"), doc.Get("max_completion_tokens")
	switch {
	case old.Type != gjson.Null && reasons(r.model):
		return &apiError{status: 400, param: "max_tokens", code: "unsupported_parameter",
			message: "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."}
	case old.Type != gjson.Null && limit.Type != gjson.Null:
		return &apiError{status: 400, param: "max_tokens", message: "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."}
	}
	r.maxTokens = int(max(old.Int(), limit.Int()))
	return r.readStops(doc)
}

func (r *chatRequest) readTools(doc gjson.Result) *apiError {
	tools, choice := doc.Get("tools").Array(), doc.Get("tool_choice")
	if choice.Type == gjson.Null || choice.String() == "none" {
		return nil
	}
	if len(tools) == 0 {
		return invalid("tool_choice", "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.")
	}
	switch name := choice.Get("function.name").String(); {
	case choice.IsObject():
		for _, tool := range tools {
			if tool.Get("function.name").String() == name {
				r.tool, r.toolForced = tool.Get("function"), true
				return nil
			}
		}
		return invalid("tool_choice", fmt.Sprintf("Tool choice 'function' not found in 'tools' parameter: '%s'.", name))
	case choice.String() == "required":
		r.tool = tools[0].Get("function")
	}
	return nil
}

func (r *chatRequest) readFormat(doc gjson.Result) *apiError {
	format := doc.Get("response_format")
	r.format, r.schema = format.Get("type").String(), format.Get("json_schema.schema")
	switch r.format {
	case "json_object":
		if !strings.Contains(strings.ToLower(r.messages.Raw), "json") {
			return &apiError{status: 400, param: "messages",
				message: "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."}
		}
	case "json_schema":
		if !format.Get("json_schema.name").Exists() {
			return missing("response_format.json_schema.name")
		}
	case "", "text":
	default:
		return invalid("response_format.type", fmt.Sprintf("Invalid value: '%s'. Supported values are: 'json_object', 'json_schema', and 'text'.", r.format))
	}
	return nil
}

// reasons tells whether a model thinks before it answers: the o series and gpt-5.
func reasons(model string) bool {
	name := strings.TrimPrefix(model[strings.LastIndexByte(model, '/')+1:], "ft:")
	return strings.HasPrefix(name, "gpt-5") || len(name) > 1 && name[0] == 'o' && name[1] >= '1' && name[1] <= '9'
}
