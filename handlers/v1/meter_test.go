package v1

import (
	"fmt"
	"strings"
	"testing"
)

func wireOf(tb testing.TB, endpoint string) *wire {
	tb.Helper()
	for _, w := range wires() {
		if w.endpoint == endpoint {
			return w
		}
	}
	tb.Fatal(endpoint)
	return nil
}

func BenchmarkMeterOfAWholeAnswer(b *testing.B) {
	for name, usage := range map[string]string{"reported": `,"usage":{"prompt_tokens":20,"completion_tokens":500,"total_tokens":520}`, "silent": ""} {
		b.Run(name, func(b *testing.B) {
			answer := fmt.Appendf(nil, `{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"gpt-4.1-nano","choices":[{"index":0,"message":{"role":"assistant","content":"%s"},"finish_reason":"stop"}]%s}`,
				strings.Repeat(`A padaria abre às nove.\n`, 100), usage)
			of := &body{wire: wireOf(b, "chat.completions")}
			b.ReportAllocs()
			for b.Loop() {
				m := newMeter(of)
				m.whole(answer)
			}
		})
	}
}

func BenchmarkMeterOfAChunk(b *testing.B) {
	chunk := []byte(`data: {"id":"chatcmpl-Cabcdefghijklmnopqrstuvwxyz","object":"chat.completion.chunk","created":1760000000,"model":"gpt-4.1-nano-2025-04-14","service_tier":"default","system_fingerprint":"fp_0123456789","choices":[{"index":0,"delta":{"content":" padaria"},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"abcdefgh"}` + "\n\n")
	m := newMeter(&body{wire: wireOf(b, "chat.completions")})
	b.ReportAllocs()
	for b.Loop() {
		m.text = m.text[:0]
		m.watch(chunk)
	}
}

// TestTheMeterReadsAnswersInAnyOrder: the usage may stand before or after what was said, or nowhere.
func TestTheMeterReadsAnswersInAnyOrder(t *testing.T) {
	const choices = `"choices":[{"message":{"content":"um dois","tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}},{"text":" três"}]`
	const output = `"output":[{"name":"f","arguments":"{}","content":[{"text":"um"},{"refusal":" dois"}]}]`
	for answer, want := range map[string]string{
		`{` + choices + `}`:                "um doisf{} três",
		`{` + choices + `,"usage":null}`:   "um doisf{} três",
		`{"usage":{},` + choices + `}`:     "um doisf{} três",
		`{` + output + `}`:                 "f{}um dois",
		`{"usage":{"x":1},` + output + `}`: "f{}um dois",
		`{"usage":{"prompt_tokens":3,"completion_tokens":4},` + choices + `}`: "",
		`{` + output + `,"usage":{"input_tokens":3,"output_tokens":4}}`:       "",
	} {
		m := newMeter(&body{wire: wireOf(t, "chat.completions"), raw: []byte(`{}`)})
		m.whole([]byte(answer))
		tokens, estimated := m.used()
		if string(m.text) != want || estimated != (want != "") || want == "" && (tokens.Input != 3 || tokens.Output != 4) || tokens.Output == 0 {
			t.Errorf("%s: %q, %+v, estimated %v", answer, m.text, tokens, estimated)
		}
	}
}
