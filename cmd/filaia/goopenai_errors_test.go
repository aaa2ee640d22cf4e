package main

import (
	"errors"
	"net/http"
	"testing"

	openai "github.com/sashabaranov/go-openai"

	"github.com/fila-ia/filaia/internal/openaitest"
)

func TestGoOpenAIReadsRefusalsAsItsAPIError(t *testing.T) {
	c := newGoCase(t, openaitest.Options{Script: faults()})
	_, small := c.customer("pouco", "--input-tokens", "1000", "--output-tokens", "5", "--overage", "block")
	_, slow := c.customer("devagar", "--input-tokens", "1000000", "--output-tokens", "1000000", "--overage", "block", "--rpm", "1")
	w := newWire(t, c.url())
	if _, err := goClient(w.url, slow).CreateChatCompletion(c.ctx, goQuestion("")); err != nil {
		t.Fatal(err)
	}
	unknown, hot := goQuestion(""), goQuestion("")
	unknown.Model, hot.Temperature = "gpt-nope", 3

	const invalid = "invalid_request_error"
	for _, k := range []struct {
		name    string
		client  *openai.Client
		request openai.ChatCompletionRequest
		status  int
		code    any
		kind    string
		param   string
	}{
		{"wrong key", goClient(w.url, "fia_live_wrong"), goQuestion(""), http.StatusUnauthorized, "invalid_api_key", invalid, ""},
		{"unknown model", c.client, unknown, http.StatusNotFound, "model_not_found", invalid, "model"},
		{"the provider's bad request", c.client, hot, http.StatusBadRequest, "decimal_above_max_value", invalid, "temperature"},
		{"quota", goClient(w.url, small), goQuestion(""), http.StatusTooManyRequests, "insufficient_quota", "insufficient_quota", ""},
		{"rate", goClient(w.url, slow), goQuestion(""), http.StatusTooManyRequests, "rate_limit_exceeded", "requests", ""},
		{"provider away", c.client, goQuestion(" (ausente)"), http.StatusServiceUnavailable, "server_is_overloaded", "service_unavailable_error", ""},
	} {
		_, wholeErr := k.client.CreateChatCompletion(c.ctx, k.request)
		_, streamErr := k.client.CreateChatCompletionStream(c.ctx, k.request)
		for how, err := range map[string]error{"whole": wholeErr, "streamed": streamErr} {
			var e *openai.APIError
			if !errors.As(err, &e) {
				t.Errorf("%s, %s: %v is no APIError", k.name, how, err)
				continue
			}
			param := ""
			if e.Param != nil {
				param = *e.Param
			}
			if e.HTTPStatusCode != k.status || e.Code != k.code || e.Type != k.kind || param != k.param || e.Message == "" {
				t.Errorf("%s, %s: %d code %v type %q param %q message %q", k.name, how, e.HTTPStatusCode, e.Code, e.Type, param, e.Message)
			}
		}
	}
	if got := w.of(small); len(got) != 2 {
		t.Errorf("a used-up quota cost %d requests, want one for each of the two calls: %v", len(got), got)
	}
	var e *openai.APIError
	if _, err := c.client.GetModel(c.ctx, "gpt-nope"); !errors.As(err, &e) || e.HTTPStatusCode != http.StatusNotFound || e.Code != "model_not_found" {
		t.Errorf("unknown model retrieved: %v", err)
	}
	embed := openai.EmbeddingRequestStrings{Model: "gpt-nope", Input: []string{"x"}}
	if _, err := c.client.CreateEmbeddings(c.ctx, embed); !errors.As(err, &e) || e.HTTPStatusCode != http.StatusNotFound {
		t.Errorf("unknown model of embeddings: %v", err)
	}
	c.balances(c.provider)
}

func TestGoOpenAISeesAStreamThatBreaksOffAndNoAttemptThatFailed(t *testing.T) {
	c := newGoCase(t, openaitest.Options{Script: faults()})
	if got, err := c.client.CreateChatCompletion(c.ctx, goQuestion(" (tropeça)")); err != nil || got.Choices[0].FinishReason != openai.FinishReasonLength {
		t.Errorf("a provider that stumbled: %+v %v", got, err)
	}
	if got := c.stream(t, goQuestion(" (tropeça de novo)")); got.finish != openai.FinishReasonLength {
		t.Errorf("a provider that stumbled before a stream: %+v", got)
	}
	for how, kind := range map[string]string{"corta": "service_unavailable_error", "trunca": "service_unavailable_error", "erro": "server_error"} {
		got, err := readGoStream(c.ctx, c.client, goQuestion(" ("+how+")"))
		var e *openai.APIError
		if !errors.As(err, &e) || e.Type != kind || got.finish != "" || got.content == "" {
			t.Errorf("chat, %s: %+v ends with %v, want an error of type %s", how, got, err, kind)
		}
		// This SDK hands an error of a response over as the event that it is.
		request := goResponse(" (" + how + ")")
		request.Model = "gpt-4.1-mini"
		_, last, err := c.readGoResponse(request)
		if err != nil || last.Type != openai.ResponseStreamEventError || last.Message == "" || last.Error == nil || last.SequenceNumber != 3 {
			t.Errorf("responses, %s: ends with %+v %v, want an error", how, last, err)
		}
	}
	c.balances(c.provider)
}
