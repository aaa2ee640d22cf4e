package main

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/openaitest"
)

// faults does what the text of a request asks for, in whatever field and SDK it came.
func faults() func(*openaitest.Request) openaitest.Behaviour {
	var mu sync.Mutex
	stumbled := map[string]bool{}
	return func(r *openaitest.Request) openaitest.Behaviour {
		body := string(r.Body())
		switch {
		case strings.Contains(body, "(corta)"):
			return openaitest.Behaviour{Fault: openaitest.FaultReset, After: 3}
		case strings.Contains(body, "(trunca)"):
			return openaitest.Behaviour{Fault: openaitest.FaultTruncate, After: 3}
		case strings.Contains(body, "(erro)"):
			return openaitest.Behaviour{Fault: openaitest.FaultErrorEvent, After: 3}
		case strings.Contains(body, "(falha)"):
			return openaitest.Behaviour{Fault: openaitest.FaultFailed, After: 3}
		case strings.Contains(body, "(ausente)"):
			return openaitest.Behaviour{Fault: openaitest.FaultRefuse}
		case strings.Contains(body, "(devagar)"):
			return openaitest.Behaviour{Delay: 3 * time.Second}
		case strings.Contains(body, "(tropeça"):
			mu.Lock()
			defer mu.Unlock()
			if !stumbled[body] {
				stumbled[body] = true
				return openaitest.Behaviour{Status: 500}
			}
		}
		return openaitest.Behaviour{}
	}
}

// sdkRefusals runs a program that provokes refusals and failures, and checks what every SDK must have done over the wire.
// quota is how many of its calls meet a quota that is used up.
func sdkRefusals(t *testing.T, program string, quota int) steps {
	t.Helper()
	t.Parallel()
	p := provider(t, openaitest.Options{Script: faults(), Group: byEndpoint})
	s := newInstall(t, p.URL()).serve()
	_, key := s.sdkCustomer("sdk")
	_, small := s.customer("pouco", "--input-tokens", "1000", "--output-tokens", "5", "--overage", "block")
	_, slow := s.customer("devagar", "--input-tokens", "1000000", "--output-tokens", "1000000", "--overage", "block", "--rpm", "20")
	_, stumbling := s.sdkCustomer("tropeco")
	w := newWire(t, s.url())
	run := runSDK(t, program, "FILAIA_URL="+w.url+"/v1", "FILAIA_KEY="+key, "FILAIA_QUOTA_KEY="+small, "FILAIA_RATE_KEY="+slow,
		"FILAIA_STUMBLE_KEY="+stumbling)

	if got := w.of(small); len(got) != quota {
		t.Errorf("a used-up quota cost %d requests, want one for each of the %d calls: %v", len(got), quota, got)
	}
	got := w.of(slow)
	if n := len(got); n < 3 || got[n-2].status != 429 || got[n-1].status != 200 {
		t.Errorf("the rate-limited call was not refused and then answered at the second attempt: %v", got)
	}
	if got := w.of(stumbling); len(got) != 2 || got[0].status != 200 || got[1].status != 200 {
		t.Errorf("a provider that fails once cost %v, want one request answered 200 for each of the two calls", got)
	}
	for step, line := range run.line {
		if run.get(step, "status").Exists() && !strings.HasPrefix(run.get(step, "requestID").Str, "req_") {
			t.Errorf("%s tells no request id: %s", step, line)
		}
	}
	s.balances(p)
	return run
}

const invalidRequest = "invalid_request_error"

// class wants a step to have thrown an error of a class, with what the gateway says of it.
func (s steps) class(step, class string, status int, kind string, code, param any) {
	s.t.Helper()
	s.want(step, "answered", nil, "class", class, "status", status, "type", kind, "code", code, "param", param)
	s.has(step, "message", "requestID")
}

// broken wants a step to have ended as a stream ends that broke off, by how it broke off; extra are further facts.
func (s steps) broken(step, class, how string, extra ...any) {
	s.t.Helper()
	step += ", " + how
	kind, code := "service_unavailable_error", any("server_is_overloaded")
	if how == "erro" { // the provider says itself that it fails
		kind, code = "server_error", nil
		if strings.HasPrefix(step, "responses") {
			code = "server_error"
		}
	}
	s.want(step, append([]any{"answered", nil, "class", class, "type", kind, "code", code}, extra...)...)
	s.has(step, "message")
}

var breaks = []string{"corta", "trunca", "erro"}

func TestOpenAISDKUnderstandsRefusals(t *testing.T) {
	run := sdkRefusals(t, "openai-errors.mjs", 2)
	run.class("wrong key", "AuthenticationError", 401, invalidRequest, "invalid_api_key", nil)
	run.class("another kind of key", "AuthenticationError", 401, invalidRequest, "invalid_api_key", nil)
	for _, step := range []string{"unknown model", "unknown model retrieved", "unknown model of embeddings"} {
		run.class(step, "NotFoundError", 404, invalidRequest, "model_not_found", "model")
	}
	run.class("unknown address", "NotFoundError", 404, invalidRequest, "unknown_url", nil)
	run.class("our bad request", "BadRequestError", 400, invalidRequest, nil, "max_tokens")
	run.class("our bad streamed request", "BadRequestError", 400, invalidRequest, nil, "stream")
	for _, step := range []string{"the provider's bad request", "the provider's bad streamed request"} {
		run.class(step, "BadRequestError", 400, invalidRequest, "decimal_above_max_value", "temperature")
	}
	run.class("too large", "APIError", 413, invalidRequest, "request_too_large", nil)
	run.class("provider away", "InternalServerError", 503, "service_unavailable_error", "server_is_overloaded", nil)
	run.want("too slow for the client", "answered", nil, "class", "APIConnectionTimeoutError")
	for _, step := range []string{"quota", "streamed quota"} {
		run.class(step, "RateLimitError", 429, "insufficient_quota", "insufficient_quota", nil)
		run.want(step, "shouldRetry", "false")
	}
	run.class("rate", "RateLimitError", 429, "requests", "rate_limit_exceeded", nil)
	run.want("rate, tried again", "finish", "length")
	run.want("provider stumbled", "finish", "length")
	run.has("provider stumbled, streamed", "text")

	for _, how := range breaks {
		for _, step := range []string{"chat", "chat helper", "completions", "responses", "responses helper", "images"} {
			run.broken(step, "APIError", how)
		}
	}
	run.want("speech, corta", "answered", nil, "class", "TypeError", "message", "terminated")
	run.want("responses, failed", "end", "failed", "code", "server_error")
}

func TestAISDKUnderstandsRefusals(t *testing.T) {
	run := sdkRefusals(t, "ai-sdk-errors.mjs", 6)
	const class = "AI_APICallError"
	for _, provider := range []string{"compatible, ", "chat, ", "responses, "} {
		run.class(provider+"wrong key", class, 401, invalidRequest, "invalid_api_key", nil)
		run.class(provider+"unknown model", class, 404, invalidRequest, "model_not_found", "model")
		run.class(provider+"unknown model streamed", class, 404, invalidRequest, "model_not_found", "model")
		run.class(provider+"the provider's bad request", class, 400, invalidRequest, "decimal_above_max_value", "temperature")
		run.class(provider+"quota", class, 429, "insufficient_quota", "insufficient_quota", nil)
		run.class(provider+"streamed quota", class, 429, "insufficient_quota", "insufficient_quota", nil)
		for _, how := range breaks { // here an error comes as a part of the stream, which then ends as "error"
			run.broken(strings.TrimSuffix(provider, ", "), "part of the stream", how, "ends", "error")
		}
	}
	run.class("embeddings, unknown model", class, 404, invalidRequest, "model_not_found", "model")
	run.class("provider away", class, 503, "service_unavailable_error", "server_is_overloaded", nil)
	run.class("rate", class, 429, "requests", "rate_limit_exceeded", nil)
	for _, step := range []string{"rate, tried again", "provider stumbled", "provider stumbled, streamed"} {
		run.want(step, "finish", "length")
	}
}

func TestLangChainUnderstandsRefusals(t *testing.T) {
	run := sdkRefusals(t, "langchain-errors.mjs", 4)
	for _, api := range []string{"chat, ", "responses, "} {
		run.class(api+"wrong key", "AuthenticationError", 401, invalidRequest, "invalid_api_key", nil)
		run.want(api+"wrong key", "reason", "MODEL_AUTHENTICATION")
		for _, step := range []string{"unknown model", "unknown model streamed"} {
			run.class(api+step, "NotFoundError", 404, invalidRequest, "model_not_found", "model")
			run.want(api+step, "reason", "MODEL_NOT_FOUND")
		}
		run.class(api+"the provider's bad request", "BadRequestError", 400, invalidRequest, "decimal_above_max_value", "temperature")
		for _, step := range []string{"quota", "streamed quota"} {
			run.class(api+step, "RateLimitError", 429, "insufficient_quota", "insufficient_quota", nil)
			run.want(api+step, "name", "InsufficientQuotaError")
		}
		for _, how := range breaks {
			run.broken(strings.TrimSuffix(api, ", "), "APIError", how)
		}
	}
	run.class("embeddings, unknown model", "NotFoundError", 404, invalidRequest, "model_not_found", "model")
	run.class("provider away", "InternalServerError", 503, "service_unavailable_error", "server_is_overloaded", nil)
	run.class("rate", "RateLimitError", 429, "requests", "rate_limit_exceeded", nil)
	run.has("rate, tried again", "text")
	run.has("provider stumbled", "text")
	run.has("provider stumbled, streamed", "usage.completion_tokens")
}
