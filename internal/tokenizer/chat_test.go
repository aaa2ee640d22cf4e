package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The example of OpenAI's cookbook, for which the API reported these very numbers.
const cookbookMessages = `[
 {"role":"system","content":"You are a helpful, pattern-following assistant that translates corporate jargon into plain English."},
 {"role":"system","name":"example_user","content":"New synergies will help drive top-line growth."},
 {"role":"system","name":"example_assistant","content":"Things working well together will increase revenue."},
 {"role":"system","name":"example_user","content":"Let's circle back when we have more bandwidth to touch base on opportunities for increased leverage."},
 {"role":"system","name":"example_assistant","content":"Let's talk later when we're less busy about how to do better."},
 {"role":"user","content":"This late pivot means we don't have time to boil the ocean for the client deliverable."}]`

func TestCountChatEqualsTheFiguresOfTheAPI(t *testing.T) {
	for model, want := range map[string]int{"gpt-4o": 124, "gpt-4o-mini": 124, "gpt-4": 129, "gpt-3.5-turbo": 129} {
		if got := CountChat(fmt.Appendf(nil, `{"model":%q,"messages":%s}`, model, cookbookMessages)); got != want {
			t.Errorf("%s: %d prompt tokens, want %d", model, got, want)
		}
	}
}

func TestCountChatCountsEachKindOfField(t *testing.T) {
	const model = "gpt-4o"
	message := func(fields string) int {
		body := `{"model":"gpt-4o","messages":[{"role":"user"` + fields + `}]}`
		return CountChat([]byte(body)) - CountChat([]byte(`{"model":"gpt-4o","messages":[{"role":"user"}]}`))
	}
	calls := `[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{}"}}]`
	for name, c := range map[string]struct{ got, want int }{
		"no messages":     {CountChat([]byte(`{"model":"gpt-4o"}`)), 3},
		"not an object":   {CountChat([]byte(`[1,2]`)), 3},
		"an empty one":    {CountChat([]byte(`{"messages":[{}]}`)), 6},
		"escaped text":    {message(`,"content":"ol\u00e1\n"`), Count(model, "olá\n")},
		"escaped key":     {message(`,"cont\u0065nt":"oi"`), Count(model, "oi")},
		"name":            {message(`,"name":"ana"`), Count(model, "ana") + 1},
		"null":            {message(`,"content":null`), 0},
		"text parts":      {message(`,"content":[{"type":"text","text":"um"},{"type":"text","text":"dois"}]`), Count(model, "um") + Count(model, "dois")},
		"tool calls":      {message(`,"tool_calls":` + calls), Count(model, calls)},
		"image by URL":    {message(`,"content":[{"type":"image_url","image_url":{"url":"https://exemplo.com/a.png"}}]`), 1445},
		"inlined image":   {message(`,"content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,` + strings.Repeat("A", 9000) + `"}}]`), 1445},
		"image, low":      {message(`,"content":[{"type":"image_url","image_url":{"url":"https://e.com/a.png","detail":"low"}}]`), 85},
		"image as text":   {message(`,"content":[{"type":"text","text":"","image_url":{"url":"https://e.com/a.png"}}]`), 1445},
		"file by id":      {message(`,"content":[{"type":"file","file":{"file_id":"file-1"}}]`), fileAllowance},
		"audio":           {message(`,"content":[{"type":"input_audio","input_audio":{"data":"` + strings.Repeat("A", 6400) + `","format":"mp3"}}]`), 101},
		"audio twice":     {message(`,"content":[{"type":"input_audio","input_audio":{"data":"","data":"` + strings.Repeat("A", 6400) + `"}}]`), 101},
		"detail twice":    {message(`,"content":[{"type":"image_url","image_url":{"detail":"low","url":"https://e.com/a.png","detail":"high"}}]`), 1445},
		"detail twice, 2": {message(`,"content":[{"type":"image_url","image_url":{"detail":"high","detail":"low"}}]`), 1445},
		"low twice":       {message(`,"content":[{"type":"image_url","image_url":{"detail":"low","detail":"low"}}]`), 85},
		"no such detail":  {message(`,"content":[{"type":"image_url","image_url":{"detail":["low"]}}]`), 1445},
		"a bare image":    {message(`,"content":[{"type":"image_url","image_url":"https://e.com/a.png"}]`), 1445},
		"many files":      {message(`,"content":[{"file":{}},{"file":{}},{"file":{}}]`), 128_000},
		"an audio answer": {message(`,"audio":{"id":"audio_1"}`), audioReference},
		"not a message":   {CountChat([]byte(`{"model":"gpt-4o","messages":["uma frase"]}`)), 3 + Count(model, `"uma frase"`)},
		"not a list":      {CountChat([]byte(`{"model":"gpt-4o","messages":"uma frase"}`)), 3 + Count(model, `"uma frase"`)},
		"no tools":        {CountChat([]byte(`{"model":"gpt-4o","tools":null,"prediction":null}`)), 3},
		"messages twice":  {CountChat([]byte(`{"messages":[{}],"messages":[{}]}`)), 9},
		"tools":           {CountChat([]byte(`{"model":"gpt-4o","tools":[{"type":"function"}]}`)), 3 + 12 + Count(model, `[{"type":"function"}]`)},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d tokens, want %d", name, c.got, c.want)
		}
	}
}

func TestCountChatCountsWhatIsNotKnownToCostNothing(t *testing.T) {
	const model = "gpt-4o"
	for _, text := range []string{`{"type":"content","content":"O texto que já se conhece."}`, `["um","dois"]`, `"texto"`, `12`} {
		for _, field := range []string{"prediction", "documents", "tool_choice", "function_call", "response_format", "novo", "pred\u0069ction", ""} {
			body := fmt.Appendf(nil, `{"model":"gpt-4o","%s":%s}`, field, text)
			if got, want := CountChat(body), 3+Count(model, text); got != want {
				t.Errorf("%s: %d tokens, want %d", body, got, want)
			}
			if got, want := UpperBoundChat(body), 3+len(text); got != want {
				t.Errorf("%s: bound %d, want %d", body, got, want)
			}
		}
		search := fmt.Appendf(nil, `{"model":"gpt-4o","web_search_options":%s}`, text)
		if got, want := CountChat(search), 3+8_000+Count(model, text); got != want {
			t.Errorf("a web search: %d tokens, want %d", got, want)
		}
		for _, field := range free {
			body := fmt.Appendf(nil, `{"model":"gpt-4o",%q:%s}`, field, text)
			if count, bound := CountChat(body), UpperBoundChat(body); count != 3 || bound != 3 {
				t.Errorf("%s: %d tokens, bound %d", body, count, bound)
			}
		}
	}
}

// free is what OpenAI's reference describes as steering the answer.
var free = []string{
	"stream", "stream_options", "temperature", "top_p", "n", "max_tokens", "max_completion_tokens", "stop", "seed", "user", "metadata",
	"store", "service_tier", "logprobs", "top_logprobs", "logit_bias", "presence_penalty", "frequency_penalty", "parallel_tool_calls",
	"reasoning_effort", "verbosity", "modalities", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "audio",
}

func TestFilesShareTheModelsWindow(t *testing.T) {
	for model, want := range map[string][3]int{ // by the number of files
		"gpt-4o": {0, 128_000, 128_000}, "o3-2025-04-16": {0, 128_000, 200_000}, "gpt-5": {0, 128_000, 400_000},
		"gpt-4.1-nano": {0, 128_000, 1_047_576}, "gemini-2.5-pro": {0, 128_000, 1_047_576},
	} {
		if got := [3]int{filesAllowance(model, 0), filesAllowance(model, 1), filesAllowance(model, 9)}; got != want {
			t.Errorf("%s: %v tokens, want %v", model, got, want)
		}
	}
}

func TestImageAllowanceFollowsTheModel(t *testing.T) {
	for model, want := range map[string]int{
		"gpt-4.1-nano": 3_779, "gpt-4.1-nano-2025-04-14": 3_779, "gpt-4.1": 1_445, "gpt-4o": 1_445, "gpt-4o-2024-08-06": 1_445,
		"gpt-4o-mini": 48_169, "ft:gpt-4o-mini:acme::1": 48_169, "openai/gpt-5": 1_190, "o4-mini": 2_642, "llava": 48_169, "gpt-5.4": 48_169,
	} {
		if got := imageAllowance(model, false); got != want {
			t.Errorf("%s: %d tokens, want %d", model, got, want)
		}
	}
}

// chatBody draws request bodies of every kind of field, well-formed as JSON.
func chatBody(t *rapid.T) []byte {
	text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z \n]{0,40}`))
	value := rapid.OneOf(
		rapid.Map(text, func(s string) any { return s }),
		rapid.Just[any](nil), rapid.Just[any](12.5),
		rapid.Map(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) map[string]any {
			field := rapid.SampledFrom([]string{"text", "refusal", "image_url", "input_audio", "file", "novo"}).Draw(t, "field")
			part := map[string]any{"type": rapid.SampledFrom([]string{"text", "image_url", "file", "x"}).Draw(t, "type")}
			part[field] = rapid.OneOf(
				rapid.Map(text, func(s string) any { return s }),
				rapid.Map(text, func(s string) any { return map[string]any{"url": s, "data": s, "detail": "low"} }),
				rapid.Map(text, func(s string) any {
					twice, _ := json.Marshal(s)
					return json.RawMessage(fmt.Sprintf(`{"detail":%s,"data":%[1]s,"detail":"low","data":%[1]s}`, twice))
				}),
			).Draw(t, "value")
			return part
		}), 0, 4), func(parts []map[string]any) any { return parts }),
	)
	message := rapid.MapOfN(rapid.SampledFrom([]string{"role", "content", "name", "tool_calls", "audio", "refusal", "é"}), value, 0, 5)
	request := rapid.MapOfN(rapid.SampledFrom(append([]string{"prediction", "documents", "web_search_options", "tool_choice", "response_format", "é"}, free...)),
		value, 0, 6).Draw(t, "others")
	for field, v := range map[string]any{
		"model":    rapid.SampledFrom([]string{"gpt-4o", "gpt-4", "gpt-4o-mini", "x"}).Draw(t, "model"),
		"messages": rapid.SliceOfN(message, 0, 6).Draw(t, "messages"),
		"tools":    value.Draw(t, "tools"),
	} {
		request[field] = v
	}
	body, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestUpperBoundChatIsNeverBelowCountChat(t *testing.T) {
	check := func(t *rapid.T, body []byte) {
		count, bound := CountChat(body), UpperBoundChat(body)
		if count < 3 || bound < count {
			t.Fatalf("bound %d, count %d of %q", bound, count, body)
		}
	}
	t.Run("well-formed", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) { check(t, chatBody(t)) })
	})
	t.Run("torn", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			body := chatBody(t)
			check(t, body[:rapid.IntRange(0, len(body)).Draw(t, "end")])
			body[rapid.IntRange(0, len(body)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
			check(t, body)
		})
	})
	t.Run("any bytes", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) { check(t, rapid.SliceOf(rapid.Byte()).Draw(t, "body")) })
	})
}

func TestUpperBoundOfTextIsAtMostTheBody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, err := json.Marshal(rapid.String().Draw(t, "text"))
		if err != nil {
			t.Fatal(err)
		}
		body := fmt.Appendf(nil, `{"model":"gpt-4.1-nano","messages":[{"role":"user","content":%s}]}`, text)
		if bound := UpperBoundChat(body); bound > len(body) {
			t.Fatalf("bound %d of %d bytes", bound, len(body))
		}
	})
}

func BenchmarkChat(b *testing.B) {
	text := strings.Repeat("Prezado cliente, segue o relatório de vendas do mês de março, com alta de 12,5%. ", 30)[:2048]
	body := fmt.Appendf(nil, `{"model":"gpt-4.1-nano","messages":[{"role":"user","content":%q}],"max_tokens":100}`, text)
	for name, f := range map[string]func([]byte) int{"count": CountChat, "bound": UpperBoundChat} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f(body)
			}
		})
	}
}
