package main

import (
	"testing"

	"github.com/fila-ia/filaia/internal/openaitest"
)

// sdkCalls runs a program whose calls are all answered, and compares the books.
func sdkCalls(t *testing.T, program string) steps {
	t.Helper()
	t.Parallel()
	p := provider(t, openaitest.Options{Group: byEndpoint})
	s := newInstall(t, p.URL()).serve()
	tenant, key := s.sdkCustomer("sdk")
	run := runSDK(t, program, "FILAIA_URL="+s.url()+"/v1", "FILAIA_KEY="+key)
	s.balances(p)
	if u, stats := s.usage(tenant), p.Stats(); u.Requests != stats.Answered || u.InputTokens != stats.PromptTokens || u.OutputTokens != stats.CompletionTokens {
		t.Errorf("the customer is told %+v, the provider counted %+v", u, stats.Totals)
	}
	return run
}

func TestAISDKCallsWithAddressAndKeyChangedOnly(t *testing.T) {
	run := sdkCalls(t, "ai-sdk.mjs")
	for _, provider := range []string{"compatible, ", "chat, ", "responses, "} {
		run.want(provider+"whole", "finish", "length", "usage.outputTokens", 20)
		run.has(provider+"whole", "text", "usage.inputTokens", "requestID")
		text, in := run.get(provider+"whole", "text").Str, int(run.get(provider+"whole", "usage.inputTokens").Int())
		run.want(provider+"stream", "text", text, "deltas", text, "finish", "length", "last", "finish", "usage.inputTokens", in, "usage.outputTokens", 20)
		run.tool(provider+"tool", "finish", "tool-calls")
		run.tool(provider+"streamed tool", "finish", "tool-calls", "pieces", true, "joined", true)
		run.want(provider+"tool answered", "steps", 2, "result", "42")
		run.has(provider+"tool answered", "text")
		run.has(provider+"schema", "parsed.cliente", "parsed.itens.0")
		run.has(provider+"streamed schema", "parsed.cliente", "parsed.itens.0")
	}
	run.want("responses, continued", "more", true)
	run.has("responses, continued", "text")
	run.has("responses, reasoning", "tokens")
	for _, provider := range []string{"compatible, ", "openai, "} {
		run.want(provider+"embeddings", "one", 1536, "many.0", 1536, "many.1", 1536)
		run.has(provider+"embeddings", "usage.tokens", "usageOfMany.tokens")
	}
}

func TestLangChainCallsWithAddressAndKeyChangedOnly(t *testing.T) {
	run := sdkCalls(t, "langchain.mjs")
	for api, finish := range map[string]string{"chat, ": "length", "responses, ": "max_output_tokens"} {
		run.want(api+"whole", "finish", finish, "usage.output_tokens", 20)
		run.has(api+"whole", "text", "usage.input_tokens")
		in := int(run.get(api+"whole", "usage.input_tokens").Int())
		run.want(api+"stream", "text", run.get(api+"whole", "text").Str, "usage.input_tokens", in, "usage.output_tokens", 20)
		run.tool(api + "tool")
		run.tool(api + "streamed tool")
		run.want(api+"tool answered", "result", "42")
		run.has(api+"tool answered", "text")
		run.has(api+"schema", "parsed.cliente", "parsed.itens.0")
		run.has(api+"schema by a tool", "parsed.cliente", "parsed.itens.0")
		run.has(api+"batch", "texts.0", "texts.1")
	}
	run.want("embeddings", "one", 1536, "many.0", 1536, "many.1", 1536)
}
