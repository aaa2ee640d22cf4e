package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	openai "github.com/sashabaranov/go-openai"

	"github.com/fila-ia/filaia/internal/openaitest"
)

// goClient is a customer's program in Go, with address and key changed only.
func goClient(i *install, key string) *openai.Client {
	config := openai.DefaultConfig(key)
	config.BaseURL = i.url() + "/v1"
	return openai.NewClientWithConfig(config)
}

var goQuestion = openai.ChatCompletionRequest{
	Model: "gpt-4.1-nano", MaxCompletionTokens: 20,
	Messages: []openai.ChatCompletionMessage{{Role: openai.ChatMessageRoleUser, Content: "Quantos pães cabem no forno?"}},
}

func TestGoOpenAICallsWithAddressAndKeyChangedOnly(t *testing.T) {
	p := provider(t, openaitest.Options{})
	s := newInstall(t, p.URL()).serve()
	tenant, key := s.customer("go", "--input-tokens", "1000000", "--output-tokens", "1000000", "--overage", "block", "--models", "gpt-4.1-nano")
	client := goClient(s.install, key)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	whole, err := client.CreateChatCompletion(ctx, goQuestion)
	if err != nil {
		t.Fatal(err)
	}
	choice := whole.Choices[0]
	if choice.Message.Content == "" || choice.FinishReason != openai.FinishReasonLength || whole.Usage.CompletionTokens != 20 || whole.Usage.PromptTokens == 0 {
		t.Errorf("whole answer: %+v", whole)
	}
	if !strings.HasPrefix(whole.Header().Get("X-Request-Id"), "req_") || whole.GetRateLimitHeaders().LimitRequests == 0 {
		t.Errorf("headers: %v", whole.Header())
	}

	request := goQuestion
	content, usage := readGoStream(t, ctx, client, request)
	if content != choice.Message.Content || usage != nil {
		t.Errorf("stream: %q with usage %v, want %q without", content, usage, choice.Message.Content)
	}
	request.StreamOptions = &openai.StreamOptions{IncludeUsage: true}
	content, usage = readGoStream(t, ctx, client, request)
	if content != choice.Message.Content || usage == nil || usage.PromptTokens != whole.Usage.PromptTokens || usage.CompletionTokens != 20 {
		t.Errorf("stream with usage: %q with usage %+v, want %q with %+v", content, usage, choice.Message.Content, whole.Usage)
	}

	models, err := client.ListModels(ctx)
	if err != nil || len(models.Models) != 1 || models.Models[0].ID != "gpt-4.1-nano" {
		t.Errorf("models: %+v %v, want the plan's one", models.Models, err)
	}
	if model, err := client.GetModel(ctx, "gpt-4.1-nano"); err != nil || model.ID != "gpt-4.1-nano" || model.Object != "model" {
		t.Errorf("model: %+v %v", model, err)
	}
	eventually(t, "all calls are committed", func() bool { return s.usage(tenant).Requests == p.Stats().Answered })
}

// readGoStream reads a streamed answer to its proper end.
func readGoStream(t *testing.T, ctx context.Context, client *openai.Client, request openai.ChatCompletionRequest) (content string, usage *openai.Usage) {
	t.Helper()
	stream, err := client.CreateChatCompletionStream(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return content, usage
		}
		if err != nil {
			t.Fatal(err)
		}
		if chunk.Usage != nil {
			usage = chunk.Usage
		}
		for _, choice := range chunk.Choices {
			content += choice.Delta.Content
		}
	}
}

func TestGoOpenAIReadsRefusalsAsItsAPIError(t *testing.T) {
	p := provider(t, openaitest.Options{})
	s := newInstall(t, p.URL()).serve()
	_, key := s.customer("go", "--input-tokens", "1000000", "--output-tokens", "1000000", "--overage", "block")
	_, small := s.customer("pouco", "--input-tokens", "1000", "--output-tokens", "5", "--overage", "block")
	_, slow := s.customer("devagar", "--input-tokens", "1000000", "--output-tokens", "1000000", "--overage", "block", "--rpm", "1")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := goClient(s.install, slow).CreateChatCompletion(ctx, goQuestion); err != nil {
		t.Fatal(err)
	}
	unknown, hot := goQuestion, goQuestion
	unknown.Model, hot.Temperature = "gpt-nope", 3

	const invalid = "invalid_request_error"
	for _, c := range []struct {
		name, key string
		request   openai.ChatCompletionRequest
		status    int
		code      any
		kind      string
		param     string
	}{
		{"wrong key", "fia_live_wrong", goQuestion, http.StatusUnauthorized, "invalid_api_key", invalid, ""},
		{"unknown model", key, unknown, http.StatusNotFound, "model_not_found", invalid, "model"},
		{"the provider's bad request", key, hot, http.StatusBadRequest, "decimal_above_max_value", invalid, "temperature"},
		{"quota", small, goQuestion, http.StatusTooManyRequests, "insufficient_quota", "insufficient_quota", ""},
		{"rate", slow, goQuestion, http.StatusTooManyRequests, "rate_limit_exceeded", "requests", ""},
	} {
		client := goClient(s.install, c.key)
		_, wholeErr := client.CreateChatCompletion(ctx, c.request)
		_, streamErr := client.CreateChatCompletionStream(ctx, c.request)
		for how, err := range map[string]error{"whole": wholeErr, "streamed": streamErr} {
			var e *openai.APIError
			if !errors.As(err, &e) {
				t.Errorf("%s, %s: %v is no APIError", c.name, how, err)
				continue
			}
			param := ""
			if e.Param != nil {
				param = *e.Param
			}
			if e.HTTPStatusCode != c.status || e.Code != c.code || e.Type != c.kind || param != c.param || e.Message == "" {
				t.Errorf("%s, %s: %d code %v type %q param %q message %q", c.name, how, e.HTTPStatusCode, e.Code, e.Type, param, e.Message)
			}
		}
	}
	_, err := goClient(s.install, key).GetModel(ctx, "gpt-nope")
	if e := new(openai.APIError); !errors.As(err, &e) || e.HTTPStatusCode != http.StatusNotFound || e.Code != "model_not_found" {
		t.Errorf("unknown model retrieved: %v", err)
	}
}
