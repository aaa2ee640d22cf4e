package v1

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/gateway"
)

const (
	chatAnswer = `{"id":"chatcmpl-1","object":"chat.completion","created":1767225600,"model":"m","system_fingerprint":"fp","choices":[` +
		`{"index":0,"message":{"role":"assistant","content":"Olá <b>&amp;</b> 1e400","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"},` +
		`{"index":1,"message":{"role":"assistant","content":null,"tool_calls":[` +
		`{"id":"call_a","type":"function","function":{"name":"pao","arguments":"{\"n\":1}"}},{"id":"call_b","type":"function","function":{"name":"pao","arguments":"{}"}}]},` +
		`"logprobs":{"content":[{"token":"a","logprob":-0.10}],"refusal":null},"finish_reason":"tool_calls"}],` +
		`"usage":{"prompt_tokens":12345678901234567890,"completion_tokens":2,"total_tokens":3}}`
	completionAnswer = `{"id":"cmpl-1","object":"text_completion","created":1767225600,"model":"m","choices":[` +
		`{"index":0,"text":"um","logprobs":null,"finish_reason":"length"},{"index":1,"text":"dois","logprobs":null,"finish_reason":"stop"}],` +
		`"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}`
)

// plain reads JSON without what is null: a delta may leave it out.
func plain(t *testing.T, text []byte) any {
	t.Helper()
	var v any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return withoutNull(v)
}

func withoutNull(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			if v[key] = withoutNull(value); value == nil {
				delete(v, key)
			}
		}
	case []any:
		for n, value := range v {
			v[n] = withoutNull(value)
		}
	}
	return v
}

func TestAnAnswerSurvivesItsOtherForm(t *testing.T) {
	for name, c := range map[string]struct {
		forms  gateway.Forms
		answer string
	}{"chat": {chatForms{}, chatAnswer}, "completion": {completionForms{}, completionAnswer}} {
		stream, ok := c.forms.Stream([]byte(c.answer))
		if !ok || !bytes.HasSuffix(stream, []byte("\n\n"+done)) {
			t.Fatalf("%s: %v %s", name, ok, stream)
		}
		whole, ok := c.forms.Whole(stream)
		if !ok || !reflect.DeepEqual(plain(t, whole), plain(t, []byte(c.answer))) {
			t.Errorf("%s came back as\n%s\nnot\n%s", name, whole, c.answer)
		}
	}
}

// TestAStreamMadeOfAnAnswerIsReadAsTheProviders: the meter must see in it what it saw in the answer.
func TestAStreamMadeOfAnAnswerIsReadAsTheProviders(t *testing.T) {
	chat := wires()[0]
	stream, _ := chatForms{}.Stream([]byte(chatAnswer))
	m, whole := newMeter(&body{wire: chat, choices: 2}), newMeter(&body{wire: chat, choices: 2})
	whole.whole([]byte(chatAnswer))
	whole.gather([]byte(chatAnswer)) // what was said is left where the usage is told
	stripped := 0
	for rest := stream; len(rest) > 0; {
		n := eventEnd(rest, 0)
		if strip, _ := m.watch(rest[:n]); strip {
			stripped++
		}
		rest = rest[n:]
	}
	if m.tokens != whole.tokens || string(m.text) != string(whole.text) || m.finishes != 2 || !m.done || !m.reported || stripped != 1 {
		t.Errorf("%+v, stripped %d, not %+v", m, stripped, whole)
	}
}

func TestDeltasAddUpAsSDKsAddThem(t *testing.T) {
	var stream strings.Builder
	for _, delta := range []string{
		`{"role":"assistant","content":""}`, `{"content":"Bom "}`, `{"content":"dia","role":"assistant"}`,
		`{"tool_calls":[{"index":1,"id":"b","type":"function","function":{"name":"y","arguments":""}}]}`,
		`{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"x","arguments":"{\"k\""}}]}`,
		`{"tool_calls":[{"index":0,"function":{"arguments":":1}"}},{"index":1,"function":{"arguments":"{}"}}]}`,
	} {
		stream.WriteString(`data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":` + delta + `,"finish_reason":null}],"usage":null}` + "\r\n\r\n")
	}
	stream.WriteString(": a comment\n\n" + `data: {"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}` + "\n\n" +
		`data: {"choices":[],"usage":{"prompt_tokens":1}}` + "\n\n" + done)
	whole, ok := chatForms{}.Whole([]byte(stream.String()))
	if !ok {
		t.Fatal("it cannot be had")
	}
	for path, want := range map[string]string{
		"object": "chat.completion", "choices.#": "1", "choices.0.message.content": "Bom dia", "choices.0.message.role": "assistant",
		"choices.0.message.tool_calls.#": "2", "choices.0.message.tool_calls.#.function.arguments": `["{}","{\"k\":1}"]`,
		"choices.0.message.tool_calls.0.index": "", "choices.0.finish_reason": "tool_calls", "usage.prompt_tokens": "1",
	} {
		if got := gjson.GetBytes(whole, path).String(); got != want {
			t.Errorf("%s is %s, not %s\n%s", path, got, want, whole)
		}
	}
}

// FuzzForms feeds what a broken provider may have answered.
func FuzzForms(f *testing.F) {
	for _, text := range []string{chatAnswer, completionAnswer, "data: " + chatAnswer + "\n\n" + done, `{"choices":[null]}`,
		"data: {\"choices\":[null,5,{\"index\":\"x\",\"delta\":[]}]}\n\ndata: {\"choices\":[{\"delta\":{\"a\":[1]}}]}\n\ndata: {\"choices\":[{\"delta\":{\"a\":[{\"index\":1}]}}]}\n\n",
		"data: {\"choices\":[{\"delta\":{\"tool_calls\":5,\"content\":{}}}]}\n\ndata: {\"choices\":[{\"delta\":{\"tool_calls\":[5],\"content\":\"x\"}}]}\n\n"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, forms := range []gateway.Forms{chatForms{}, completionForms{}, noForms{}} {
			if whole, ok := forms.Whole(text); ok && !json.Valid(whole) {
				t.Fatalf("%q", whole)
			}
			stream, ok := forms.Stream(text)
			if !ok {
				continue
			}
			for rest := stream; len(rest) > 0; {
				n := eventEnd(rest, 0)
				data, ok := eventData(rest[:n])
				if !ok || !bytes.Equal(data, doneMark) && !json.Valid(data) {
					t.Fatalf("%q", rest[:n])
				}
				rest = rest[n:]
			}
		}
	})
}

func TestWhatIsNoStreamOfAnAnswerHasNoWholeForm(t *testing.T) {
	for _, text := range []string{"", "{}", chatAnswer, "data: {\"error\":{}}\n\n" + done, "data: {\"choices\":[]}\n\n" + done} {
		for _, forms := range []gateway.Forms{chatForms{}, completionForms{}} {
			if whole, ok := forms.Whole([]byte(text)); ok {
				t.Errorf("%.40q became %s", text, whole)
			}
		}
	}
}
