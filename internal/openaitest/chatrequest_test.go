package openaitest

import (
	"testing"

	"github.com/tidwall/gjson"
)

func TestFaultyRequestsGetOpenAIsErrors(t *testing.T) {
	s := start(t, Options{})
	const user = `"messages":[{"role":"user","content":"oi"}]`
	for name, c := range map[string]struct {
		body        string
		status      int
		param, code string
	}{
		"not JSON":                {`{"model":`, 400, "", ""},
		"not an object":           {`[]`, 400, "", ""},
		"no model":                {`{` + user + `}`, 400, "", ""},
		"model of another type":   {`{"model":4,` + user + `}`, 400, "model", "invalid_type"},
		"unknown model":           {`{"model":"gpt-9",` + user + `}`, 404, "", "model_not_found"},
		"no messages":             {`{"model":"gpt-4o"}`, 400, "messages", "missing_required_parameter"},
		"messages as a string":    {`{"model":"gpt-4o","messages":"oi"}`, 400, "messages", "invalid_type"},
		"no message":              {`{"model":"gpt-4o","messages":[]}`, 400, "messages", "empty_array"},
		"a message as a string":   {`{"model":"gpt-4o","messages":["oi"]}`, 400, "messages[0]", "invalid_type"},
		"no role":                 {`{"model":"gpt-4o","messages":[{"content":"oi"}]}`, 400, "messages[0].role", "missing_required_parameter"},
		"unknown role":            {`{"model":"gpt-4o","messages":[{"role":"chefe","content":"oi"}]}`, 400, "messages[0].role", "invalid_value"},
		"no content":              {`{"model":"gpt-4o","messages":[{"role":"user"}]}`, 400, "messages[0].content", "invalid_value"},
		"content as a number":     {`{"model":"gpt-4o","messages":[{"role":"user","content":1}]}`, 400, "messages[0].content", "invalid_type"},
		"too hot":                 {`{"model":"gpt-4o","temperature":3,` + user + `}`, 400, "temperature", "decimal_above_max_value"},
		"no choice":               {`{"model":"gpt-4o","n":0,` + user + `}`, 400, "n", "integer_below_min_value"},
		"half a choice":           {`{"model":"gpt-4o","n":1.5,` + user + `}`, 400, "n", "invalid_type"},
		"no tokens":               {`{"model":"gpt-4o","max_tokens":0,` + user + `}`, 400, "max_tokens", "integer_below_min_value"},
		"two limits":              {`{"model":"gpt-4o","max_tokens":1,"max_completion_tokens":1,` + user + `}`, 400, "max_tokens", ""},
		"old limit, o series":     {`{"model":"o4-mini","max_tokens":9,` + user + `}`, 400, "max_tokens", "unsupported_parameter"},
		"options without stream":  {`{"model":"gpt-4o","stream_options":{},` + user + `}`, 400, "stream_options", ""},
		"stream as a string":      {`{"model":"gpt-4o","stream":"yes",` + user + `}`, 400, "stream", "invalid_type"},
		"five stops":              {`{"model":"gpt-4o","stop":["1","2","3","4","5"],` + user + `}`, 400, "stop", "array_above_max_length"},
		"choice without tools":    {`{"model":"gpt-4o","tool_choice":"auto",` + user + `}`, 400, "tool_choice", "invalid_value"},
		"unknown tool":            {`{"model":"gpt-4o","tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":{"type":"function","function":{"name":"g"}},` + user + `}`, 400, "tool_choice", "invalid_value"},
		"json mode without json":  {`{"model":"gpt-4o","response_format":{"type":"json_object"},` + user + `}`, 400, "messages", ""},
		"unknown response format": {`{"model":"gpt-4o","response_format":{"type":"xml"},` + user + `}`, 400, "response_format.type", "invalid_value"},
		"nulls are fine":          {`{"model":"gpt-4o","n":null,"stream":null,"stop":null,"max_tokens":null,"tool_choice":null,"response_format":null,"stream_options":null,` + user + `}`, 200, "", ""},
		"parts are fine":          {`{"model":"gpt-4o","messages":[{"role":"user","content":[{"type":"text","text":"oi"}]}]}`, 200, "", ""},
		"a fine-tuned model":      {`{"model":"ft:gpt-4o-mini-2024-07-18:acme::abc",` + user + `}`, 200, "", ""},
	} {
		r := post(t, s, "/chat/completions", c.body)
		e := gjson.Get(r.body, "error")
		if r.status != c.status || e.Get("param").String() != c.param || e.Get("code").String() != c.code || !gjson.Valid(r.body) {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
		if c.status != 200 && (e.Get("type").String() != "invalid_request_error" || e.Get("message").String() == "") {
			t.Errorf("%s: %s", name, r.body)
		}
	}
	if stats := s.Stats(); stats.Refused != 26 || stats.Answered != 3 {
		t.Errorf("%+v", stats)
	}
}
