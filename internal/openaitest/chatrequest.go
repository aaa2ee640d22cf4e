package openaitest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
)

// chatRequest is what the server understands of a chat-completions request.
type chatRequest struct {
	model        string // as asked for
	snapshot     string // as answered
	messages     gjson.Result
	question     string // the text of the last user message
	stream       bool
	includeUsage bool
	n            int
	maxTokens    int // of one choice; 0: as many as it takes
	stops        []string
	seed         string
	tool         gjson.Result // the function that must be called, if any
	toolForced   bool         // named, rather than merely required
	format       gjson.Result // response_format
	effort       string
}

// parseChat reads a request and finds the faults that OpenAI finds.
func (s *Server) parseChat(body []byte) (*chatRequest, *apiError) {
	if !gjson.ValidBytes(body) {
		return nil, &apiError{status: 400, message: "We could not parse the JSON body of your request. (HINT: This likely means you " +
			"aren't using your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON. " +
			"If you have trouble figuring out how to fix this, please contact us through our help center at help.openai.com.)"}
	}
	doc := gjson.ParseBytes(body)
	if fail := checkTypes(doc); fail != nil {
		return nil, fail
	}
	r := &chatRequest{
		model: doc.Get("model").String(), messages: doc.Get("messages"), stream: doc.Get("stream").Bool(),
		includeUsage: doc.Get("stream_options.include_usage").Bool(), n: max(1, int(doc.Get("n").Int())),
		seed: doc.Get("seed").Raw, format: doc.Get("response_format"), effort: doc.Get("reasoning_effort").String(),
	}
	var fail *apiError
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

// chatFields are the fields whose type and range are checked.
var chatFields = []struct {
	name, article string
	kinds         []gjson.Type
	low, high     float64 // for numbers; both 0: any
}{
	{name: "model", article: "a string", kinds: []gjson.Type{gjson.String}},
	{name: "stream", article: "a boolean", kinds: []gjson.Type{gjson.True, gjson.False}},
	{name: "temperature", article: "a decimal", kinds: []gjson.Type{gjson.Number}, high: 2},
	{name: "top_p", article: "a decimal", kinds: []gjson.Type{gjson.Number}, high: 1},
	{name: "n", article: "an integer", kinds: []gjson.Type{gjson.Number}, low: 1, high: 128},
	{name: "max_tokens", article: "an integer", kinds: []gjson.Type{gjson.Number}, low: 1, high: 1 << 31},
	{name: "max_completion_tokens", article: "an integer", kinds: []gjson.Type{gjson.Number}, low: 1, high: 1 << 31},
	{name: "user", article: "a string", kinds: []gjson.Type{gjson.String}},
}

// checkTypes checks the plain fields of a request; null stands for a field that is not there.
func checkTypes(doc gjson.Result) *apiError {
	if !doc.IsObject() {
		return &apiError{status: 400, message: "Invalid type: expected an object."}
	}
	for _, f := range chatFields {
		v := doc.Get(f.name)
		switch {
		case v.Type == gjson.Null:
			continue
		case !slices.Contains(f.kinds, v.Type) || f.article == "an integer" && v.Num != float64(v.Int()):
			return wrongType(f.name, f.article, kindOf(v))
		case f.low == 0 && f.high == 0:
			continue
		case v.Num < f.low:
			return outOfRange(f.name, f.article, "below minimum", ">= "+fmt.Sprint(f.low), v.Raw)
		case v.Num > f.high:
			return outOfRange(f.name, f.article, "above maximum", "<= "+fmt.Sprint(f.high), v.Raw)
		}
	}
	if doc.Get("model").Type == gjson.Null || doc.Get("model").String() == "" {
		return &apiError{status: 400, message: "you must provide a model parameter"}
	}
	if doc.Get("stream_options").Type != gjson.Null && !doc.Get("stream").Bool() {
		return &apiError{status: 400, param: "stream_options", message: "The 'stream_options' parameter is only allowed when 'stream' is enabled."}
	}
	return nil
}

// outOfRange says such as "integer below minimum value", code integer_below_min_value.
func outOfRange(param, article, where, limit, got string) *apiError {
	_, noun, _ := strings.Cut(article, " ")
	code := noun + "_" + strings.ReplaceAll(strings.TrimSuffix(where, "imum"), " ", "_") + "_value"
	return &apiError{status: 400, param: param, code: code,
		message: fmt.Sprintf("Invalid '%s': %s %s value. Expected a value %s, but got %s instead.", param, noun, where, limit, got)}
}

// kindOf names a JSON value's type as OpenAI's errors do.
func kindOf(v gjson.Result) string {
	switch {
	case v.IsObject():
		return "an object"
	case v.IsArray():
		return "an array"
	case v.Type == gjson.String:
		return "a string"
	case v.Type == gjson.Number && v.Num == float64(v.Int()):
		return "an integer"
	case v.Type == gjson.Number:
		return "a decimal"
	case v.IsBool():
		return "a boolean"
	}
	return "null"
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
	stop := doc.Get("stop")
	for _, s := range stop.Array() {
		if s.String() != "" {
			r.stops = append(r.stops, s.String())
		}
	}
	if len(r.stops) > 4 {
		return &apiError{status: 400, param: "stop", code: "array_above_max_length",
			message: fmt.Sprintf("Invalid 'stop': array too long. Expected an array with maximum length 4, but got an array with length %d instead.", len(r.stops))}
	}
	return nil
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

func (r *chatRequest) readFormat(gjson.Result) *apiError {
	switch kind := r.format.Get("type").String(); kind {
	case "json_object":
		if !strings.Contains(strings.ToLower(r.messages.Raw), "json") {
			return &apiError{status: 400, param: "messages",
				message: "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'."}
		}
	case "json_schema":
		if !r.format.Get("json_schema.name").Exists() {
			return missing("response_format.json_schema.name")
		}
	case "", "text":
	default:
		return invalid("response_format.type", fmt.Sprintf("Invalid value: '%s'. Supported values are: 'json_object', 'json_schema', and 'text'.", kind))
	}
	return nil
}

// reasons tells whether a model thinks before it answers: the o series and gpt-5.
func reasons(model string) bool {
	name := strings.TrimPrefix(model[strings.LastIndexByte(model, '/')+1:], "ft:")
	return strings.HasPrefix(name, "gpt-5") || len(name) > 1 && name[0] == 'o' && name[1] >= '1' && name[1] <= '9'
}
