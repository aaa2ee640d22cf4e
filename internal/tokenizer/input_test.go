package tokenizer_test

import (
	"testing"

	"github.com/fila-ia/filaia/internal/tokenizer"
)

// TestAResponseCountsAsTheChatThatItIs compares with the chat request that the model would be shown.
func TestAResponseCountsAsTheChatThatItIs(t *testing.T) {
	for name, c := range map[string]struct{ response, chat string }{
		"a plain input": {`{"model":"gpt-4.1-nano","input":"Que horas são?"}`,
			`{"model":"gpt-4.1-nano","messages":[{"role":"user","content":"Que horas são?"}]}`},
		"a message": {`{"model":"gpt-4.1-nano","input":[{"role":"user","content":"Que horas são?"}]}`,
			`{"model":"gpt-4.1-nano","messages":[{"role":"user","content":"Que horas são?"}]}`},
		"parts": {`{"model":"gpt-4.1-nano","input":[{"role":"user","content":[{"type":"input_text","text":"Que horas são?"}]}]}`,
			`{"model":"gpt-4.1-nano","messages":[{"role":"user","content":"Que horas são?"}]}`},
		"instructions": {`{"model":"gpt-4.1-nano","instructions":"Seja breve.","input":"Que horas são?"}`,
			`{"model":"gpt-4.1-nano","messages":[{"role":"system","content":"Seja breve."},{"role":"user","content":"Que horas são?"}]}`},
		"fields that the model is not shown": {`{"model":"gpt-4.1-nano","input":"Que horas são?","background":true,"max_output_tokens":99,"store":true,"metadata":{"a":"b"}}`,
			`{"model":"gpt-4.1-nano","messages":[{"role":"user","content":"Que horas são?"}]}`},
	} {
		got, bound, want := tokenizer.CountResponses([]byte(c.response)), tokenizer.UpperBoundResponses([]byte(c.response)), tokenizer.CountChat([]byte(c.chat))
		if got < want || got > want+2 || bound < got {
			t.Errorf("%s: %d tokens, at most %d; as a chat %d", name, got, bound, want)
		}
	}
}

// TestWhatTheProvidersToolsFindIsAllowedFor compares with the same request whose tools are the caller's.
func TestWhatTheProvidersToolsFindIsAllowedFor(t *testing.T) {
	const block = 8_000
	for name, c := range map[string]struct {
		more   string // members of the request
		blocks int
	}{
		"a function":              {`"tools":[{"type":"function","name":"f","parameters":{"properties":{"type":{"type":"string"}}}}]`, 0},
		"the caller's own":        {`"tools":[{"type":"custom"},{"type":"local_shell"},{"type":"apply_patch"},{"type":"namespace","tools":[{"type":"function"}]}]`, 0},
		"none":                    {`"tools":[]`, 0},
		"null":                    {`"tools":null`, 0},
		"no calls at all":         {`"max_tool_calls":5`, 0},
		"a search":                {`"tools":[{"type":"web_search"}]`, 1},
		"several":                 {`"tools":[{"type":"web_search_preview"},{"type":"function"},{"type":"file_search"},{"type":"code_interpreter"},{"type":"mcp"}]`, 4},
		"one that is not known":   {`"tools":[{"type":"x_future"}]`, 1},
		"a type given twice":      {`"tools":[{"type":"function","type":"web_search"}]`, 1},
		"within a namespace":      {`"tools":[{"type":"namespace","tools":[{"type":"web_search"}]}]`, 1},
		"a limit":                 {`"tools":[{"type":"web_search"}],"max_tool_calls":3`, 3},
		"a limit for all":         {`"max_tool_calls":2,"tools":[{"type":"web_search"},{"type":"mcp"},{"type":"file_search"}]`, 2},
		"a limit of null":         {`"tools":[{"type":"web_search"}],"max_tool_calls":null`, 1},
		"a limit below nothing":   {`"tools":[{"type":"web_search"}],"max_tool_calls":-9223372036854775808`, 1},
		"a limit beyond all":      {`"tools":[{"type":"web_search"}],"max_tool_calls":1e300`, 8},
		"brought by an item":      {`"input":[{"type":"additional_tools","tools":[{"type":"web_search"}]}]`, 1},
		"listed by an MCP server": {`"input":[{"type":"mcp_list_tools","tools":[{"name":"a","input_schema":{"type":"object"}}]}]`, 0},
	} {
		body := []byte(`{"model":"gpt-4.1-nano",` + c.more + `}`)
		count, bound := tokenizer.CountResponses(body), tokenizer.UpperBoundResponses(body)
		if least := c.blocks * block; count < least || count > least+len(body)+50 || bound < count {
			t.Errorf("%s: %d tokens, at most %d, want %d and a few", name, count, bound, least)
		}
	}
}
