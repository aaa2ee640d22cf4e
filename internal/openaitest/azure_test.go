package openaitest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/sashabaranov/go-openai"
	"github.com/tidwall/gjson"
)

// azureClient is go-openai as for Azure.
func azureClient(t testing.TB, s *Server) *openai.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	config := openai.DefaultAzureConfig("azure-key", strings.TrimSuffix(s.URL(), "/v1"))
	config.HTTPClient = &http.Client{Transport: transport}
	return openai.NewClientWithConfig(config)
}

// sendAzure sends a body to an address outside /v1.
func sendAzure(t testing.TB, s *Server, method, path, header, key, body string) response {
	t.Helper()
	request, err := http.NewRequest(method, strings.TrimSuffix(s.URL(), "/v1")+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if header != "" {
		request.Header.Set(header, key)
	}
	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	return response{answer.StatusCode, answer.Header, string(content), err}
}

func TestAzureServesDeployments(t *testing.T) {
	s, ctx := start(t, Options{Keys: []string{"azure-key"}}), context.Background()
	api := azureClient(t, s)
	request := ask("Qual o prazo?")
	whole, err := api.CreateChatCompletion(ctx, request)
	if err != nil || whole.Model != "gpt-4.1-nano-2025-04-14" {
		t.Fatalf("%+v, %v", whole, err)
	}
	stream, err := api.CreateChatCompletionStream(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	text := ""
	for i := 0; ; i++ {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || i == 0 && (len(chunk.Choices) != 0 || len(chunk.PromptFilterResults) != 1) {
			t.Fatalf("%+v, %v", chunk, err)
		}
		for _, choice := range chunk.Choices {
			text += choice.Delta.Content
		}
	}
	if text != whole.Choices[0].Message.Content {
		t.Errorf("%q, want %q", text, whole.Choices[0].Message.Content)
	}
	vectors, err := api.CreateEmbeddings(ctx, openai.EmbeddingRequest{Model: openai.SmallEmbedding3, Input: "a"})
	if err != nil || len(vectors.Data) != 1 {
		t.Errorf("%+v, %v", vectors, err)
	}
	if written, err := api.CreateTranscription(ctx, openai.AudioRequest{Model: "whisper-1", FilePath: "a.mp3", Reader: strings.NewReader("abc")}); err != nil || written.Text == "" {
		t.Errorf("%+v, %v", written, err)
	}
	if response, err := api.CreateResponse(ctx, askResponse("a")); err != nil || response.Status != "completed" {
		t.Errorf("%+v, %v", response, err)
	}
	if models, err := api.ListModels(ctx); err != nil || len(models.Models) == 0 {
		t.Errorf("%v", err)
	}
	if r := sendAzure(t, s, "POST", "/openai/v1/chat/completions", "api-key", "azure-key", hello); r.status != 200 || r.header.Get("apim-request-id") == "" {
		t.Errorf("%+v", r)
	}
}

func TestTheDeploymentIsTheModel(t *testing.T) {
	s := start(t, Options{})
	for _, body := range []string{hello, strings.Replace(hello, `"model":"gpt-4.1-nano",`, "", 1)} {
		r := sendAzure(t, s, "POST", "/openai/deployments/gpt-4o-mini/chat/completions?api-version=2024-10-21", "api-key", "k", body)
		if r.status != 200 || gjson.Get(r.body, "model").String() != "gpt-4o-mini-2024-07-18" {
			t.Errorf("%+v", r)
		}
	}
	own := start(t, Options{AnyModel: true})
	r := sendAzure(t, own, "POST", "/openai/deployments/chat-producao/chat/completions?api-version=2024-10-21", "api-key", "k", hello)
	if r.status != 200 || gjson.Get(r.body, "model").String() != "chat-producao" {
		t.Errorf("%+v", r)
	}
}

func TestAzureRefusesAsAzureDoes(t *testing.T) {
	s := start(t, Options{Keys: []string{"k"}})
	const chat = "/openai/deployments/gpt-4o/chat/completions"
	for name, c := range map[string]struct {
		path, header, key string
		status            int
		code              string
	}{
		"no key":             {chat + "?api-version=1", "", "", 401, "401"},
		"another key":        {chat + "?api-version=1", "api-key", "x", 401, "401"},
		"a bearer":           {chat + "?api-version=1", "Authorization", "Bearer k", 401, "401"},
		"a bearer at v1":     {"/openai/v1/chat/completions", "Authorization", "Bearer k", 200, ""},
		"no version":         {chat, "api-key", "k", 400, "BadRequest"},
		"no such deployment": {"/openai/deployments/mine/chat/completions?api-version=1", "api-key", "k", 404, "DeploymentNotFound"},
		"no such address":    {"/openai/deployments/gpt-4o/nothing?api-version=1", "api-key", "k", 404, ""},
		"its key elsewhere":  {"/v1/chat/completions", "api-key", "k", 401, ""},
	} {
		r := sendAzure(t, s, "POST", c.path, c.header, c.key, hello)
		if r.status != c.status || gjson.Get(r.body, "error.code").String() != c.code || !gjson.Valid(r.body) {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	s.Next(Behaviour{Status: 429, Header: map[string]string{"retry-after": "3"}})
	r := sendAzure(t, s, "POST", chat+"?api-version=1", "api-key", "k", hello)
	if r.status != 429 || r.header.Get("retry-after") != "3" || gjson.Get(r.body, "error.code").String() != "429" || gjson.Get(r.body, "error.type").Exists() {
		t.Errorf("%+v", r)
	}
}
