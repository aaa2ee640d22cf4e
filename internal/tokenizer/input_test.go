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
