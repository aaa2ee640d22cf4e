package main

import (
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/openaitest"
)

func TestOpenAISDKCallsWithAddressAndKeyChangedOnly(t *testing.T) {
	run := sdkCalls(t, "openai-chat.mjs")
	run.want("whole", "object", "chat.completion", "finish", "length", "usage.completion_tokens", 20, "usage.prompt_tokens_details.cached_tokens", 0)
	content, in := run.get("whole", "content").Str, int(run.get("whole", "usage.prompt_tokens").Int())
	if content == "" || in == 0 || !strings.HasPrefix(run.get("whole", "id").Str, "chatcmpl-") {
		t.Errorf("whole: %s", run.line["whole"])
	}
	id := run.get("whole", "requestID").Str
	if !strings.HasPrefix(id, "req_") || run.get("whole", "ofData").Str != id || run.get("whole", "headers.x-request-id").Str != id {
		t.Errorf("the request id is not everywhere the same: %s", run.line["whole"])
	}
	run.want("whole", "headers.x-ratelimit-limit-requests", "100000", "headers.x-ratelimit-remaining-requests", "99999")
	run.has("whole", "headers.x-ratelimit-reset-requests", "headers.x-ratelimit-limit-tokens", "headers.x-ratelimit-remaining-tokens",
		"headers.x-ratelimit-reset-tokens", "headers.openai-processing-ms", "headers.x-fila-quota-remaining-input",
		"headers.x-fila-quota-remaining-output", "headers.x-fila-quota-reset")

	run.want("stream", "ids", 1, "content", content, "finish", "length", "roles.0", "assistant", "withUsage", 0)
	run.want("stream with usage", "ids", 1, "content", content, "finish", "length", "withUsage", 1, "usageIsLast", true,
		"nullBefore", true, "usage.prompt_tokens", in, "usage.completion_tokens", 20, "usage.total_tokens", in+20)
	run.want("helper", "content", content, "deltas", content, "finish", "length", "usage.total_tokens", in+20, "total.total_tokens", in+20)
	run.tool("tool", "finish", "tool_calls")
	run.tool("streamed tool", "finish", "tool_calls")
	run.want("tool", "type", "function")
	run.want("tool answered", "finish", "length")
	run.has("schema", "parsed.cliente", "parsed.itens.0")
	run.has("streamed schema", "parsed.cliente", "parsed.itens.0")
	run.has("strict tool", "arguments.produto", "arguments.filial")
	run.has("reasoning", "usage.completion_tokens_details.reasoning_tokens")
	run.want("two choices", "choices", 2, "usage.completion_tokens", 10)

	run.want("completion", "object", "text_completion", "finish", "length", "usage.completion_tokens", 12)
	run.want("streamed completion", "ids", 1, "content", run.get("completion", "text").Str, "finish", "length", "withUsage", 0)
	run.has("completion", "text", "usage.prompt_tokens", "requestID")
	run.want("embeddings", "one", 1536, "norm", 1000, "many.0", 1536, "many.1", 1536, "indexes.1", 1, "same", true)
	run.has("embeddings", "usage.prompt_tokens", "usageOfMany.total_tokens", "requestID")
	run.want("models", "one.id", "gpt-4.1-nano", "one.object", "model", "models.0.object", "model")
	if !run.get("models", `models.#(id=="gpt-4.1-nano")`).Exists() || run.get("models", "one.created").Int() == 0 {
		t.Errorf("models: %s", run.line["models"])
	}
}

// tool wants a call of the tool that the programs offer, with arguments that fit.
func (s steps) tool(step string, facts ...any) {
	s.t.Helper()
	s.want(step, append(facts, "name", "consultar_estoque")...)
	s.has(step, "arguments.produto", "arguments.filial")
	if s.get(step, "arguments.filial").Type != gjson.Number {
		s.t.Errorf("%s: the arguments do not fit: %s", step, s.line[step])
	}
}

func TestOpenAISDKUsesTheResponsesAPI(t *testing.T) {
	t.Parallel()
	p := provider(t, openaitest.Options{Group: byEndpoint})
	s := newInstall(t, p.URL()).serve()
	_, key := s.sdkCustomer("sdk")
	_, other := s.sdkCustomer("outro")
	run := runSDK(t, "openai-responses.mjs", "FILAIA_URL="+s.url()+"/v1", "FILAIA_KEY="+key, "FILAIA_OTHER_KEY="+other)

	run.want("whole", "object", "response", "status", "incomplete", "reason", "max_output_tokens", "usage.output_tokens", 20)
	text, in, id := run.get("whole", "text").Str, int(run.get("whole", "usage.input_tokens").Int()), run.get("whole", "requestID").Str
	if text == "" || in == 0 || !strings.HasPrefix(id, "req_") || run.get("whole", "ofData").Str != id {
		t.Errorf("whole: %s", run.line["whole"])
	}
	for _, step := range []string{"stream", "streamed background"} {
		run.want(step, "firstType", "response.created", "lastType", "response.incomplete", "inOrder", true, "text", text, "status", "incomplete",
			"usage.input_tokens", in, "usage.output_tokens", 20)
	}
	run.want("helper", "text", text, "deltas", text, "snapshot", text, "status", "incomplete", "usage.output_tokens", 20)
	run.tool("tool", "status", "completed")
	run.tool("streamed tool", "status", "completed")
	run.want("tool answered", "previous", true)
	run.has("tool answered", "text", "usage.input_tokens")
	run.has("schema", "parsed.cliente", "parsed.itens.0")
	run.want("continued", "previous", true)
	if got := int(run.get("continued", "usage.input_tokens").Int()); got < in+20 {
		t.Errorf("a continued response has %d input tokens, less than what it continues: %d and 20", got, in)
	}
	run.want("retrieved", "same", true, "status", "incomplete")
	run.has("retrieved", "requestID")
	run.want("streamed and retrieved", "same", true)
	run.want("input items", "items", 1, "role", "user", "text", true, "more", false)
	run.want("paged input items", "texts", "um dois três")
	run.want("cancelled although whole", "class", "BadRequestError", "status", 400, "type", "invalid_request_error")
	for _, step := range []string{"retrieved by another tenant", "deleted by another tenant",
		"retrieved after it was deleted", "retrieved although not stored"} {
		run.want(step, "class", "NotFoundError", "status", 404, "type", "invalid_request_error")
		run.has(step, "requestID")
	}
	run.want("continued by another tenant", "class", "BadRequestError", "status", 400, "code", "previous_response_not_found", "param", "previous_response_id")
	run.want("background", "begun", "queued", "status", "incomplete", "text", text, "usage.output_tokens", 20)
	run.want("cancelled", "begun", "queued", "status", "cancelled", "usage", nil)
	s.balances(p)
}

func TestOpenAISDKUsesImagesAudioAndModerations(t *testing.T) {
	run := sdkCalls(t, "openai-media.mjs")

	run.want("moderations", "flagged.0", false, "flagged.1", true)
	run.has("moderations", "model", "requestID")
	run.want("image", "png", true, "size", "1024x1024")
	run.has("image", "usage.input_tokens", "usage.output_tokens", "requestID")
	run.want("linked image", "revised", true)
	run.has("linked image", "url")
	run.want("streamed image", "types", "image_generation.partial_image image_generation.partial_image image_generation.completed", "png", true)
	run.has("streamed image", "usage.output_tokens")
	run.want("edited image", "png", true)
	one, two := run.get("edited image", "usage.input_tokens_details.image_tokens").Int(), run.get("two edited images", "usage.input_tokens_details.image_tokens").Int()
	if one == 0 || two != 2*one {
		t.Errorf("one uploaded image has %d tokens, two have %d", one, two)
	}
	run.want("variation", "png", true)
	run.want("speech", "type", "audio/wav", "riff", "RIFF")
	run.has("speech", "bytes", "requestID")
	run.want("speech as events", "done", true)
	run.has("transcription", "text", "usage.input_tokens", "requestID")
	run.want("streamed transcription", "text", run.get("transcription", "text").Str, "deltas", run.get("transcription", "text").Str,
		"usage.output_tokens", int(run.get("transcription", "usage.output_tokens").Int()))
	run.want("timed transcription", "words", true, "segments", true)
	run.has("timed transcription", "text", "duration")
	run.want("subtitles", "begin", "1\n")
	run.has("translation", "text")
}
