package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	openai "github.com/sashabaranov/go-openai"
	"github.com/sashabaranov/go-openai/jsonschema"

	"github.com/fila-ia/filaia/internal/openaitest"
)

// goClient is a customer's program in Go, with address and key changed only.
func goClient(url, key string) *openai.Client {
	config := openai.DefaultConfig(key)
	config.BaseURL = url + "/v1"
	return openai.NewClientWithConfig(config)
}

const goModel = "gpt-4.1-nano"

// goQuestion asks for an answer of twenty tokens.
func goQuestion(more string) openai.ChatCompletionRequest {
	return openai.ChatCompletionRequest{
		Model: goModel, MaxCompletionTokens: 20,
		Messages: []openai.ChatCompletionMessage{{Role: openai.ChatMessageRoleUser, Content: "Quantos pães cabem no forno?" + more}},
	}
}

// goCase is a provider, an installation that calls it, and a customer's client.
type goCase struct {
	*server
	provider *openaitest.Server
	client   *openai.Client
	ctx      context.Context
}

func newGoCase(t *testing.T, o openaitest.Options) *goCase {
	t.Helper()
	t.Parallel()
	o.Group = byEndpoint
	p := provider(t, o)
	s := newInstall(t, p.URL()).serve()
	_, key := s.customer("go", append(strings.Fields(sdkLimits), "--models",
		"gpt-4.1-nano,gpt-4.1-mini,text-embedding-3-small,gpt-3.5-turbo-instruct,omni-moderation-latest,gpt-image-1,tts-1,gpt-4o-transcribe")...)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return &goCase{s, p, goClient(s.url(), key), ctx}
}

func TestGoOpenAICallsWithAddressAndKeyChangedOnly(t *testing.T) {
	c := newGoCase(t, openaitest.Options{})
	whole, err := c.client.CreateChatCompletion(c.ctx, goQuestion(""))
	if err != nil {
		t.Fatal(err)
	}
	choice := whole.Choices[0]
	if choice.Message.Content == "" || choice.FinishReason != openai.FinishReasonLength || whole.Usage.CompletionTokens != 20 || whole.Usage.PromptTokens == 0 {
		t.Errorf("whole answer: %+v", whole)
	}
	if !strings.HasPrefix(whole.Header().Get("X-Request-Id"), "req_") || whole.GetRateLimitHeaders().LimitRequests != 100_000 {
		t.Errorf("headers: %v", whole.Header())
	}

	request := goQuestion("")
	got := c.stream(t, request)
	if got.content != choice.Message.Content || got.usage != nil || got.finish != openai.FinishReasonLength {
		t.Errorf("stream: %+v, want %q without usage", got, choice.Message.Content)
	}
	request.StreamOptions = &openai.StreamOptions{IncludeUsage: true}
	got = c.stream(t, request)
	if got.content != choice.Message.Content || got.usage == nil || got.usage.PromptTokens != whole.Usage.PromptTokens || got.usage.CompletionTokens != 20 {
		t.Errorf("stream with usage: %+v, want %q with %+v", got, choice.Message.Content, whole.Usage)
	}

	old, err := c.client.CreateCompletion(c.ctx, openai.CompletionRequest{Model: openai.GPT3Dot5TurboInstruct, Prompt: "Quantos pães?", MaxTokens: 12})
	if err != nil || old.Choices[0].Text == "" || old.Usage.CompletionTokens != 12 {
		t.Errorf("completion: %+v %v", old, err)
	}
	models, err := c.client.ListModels(c.ctx)
	if err != nil || len(models.Models) != 8 {
		t.Errorf("models: %+v %v, want the plan's eight", models.Models, err)
	}
	if model, err := c.client.GetModel(c.ctx, goModel); err != nil || model.ID != goModel || model.Object != "model" {
		t.Errorf("model: %+v %v", model, err)
	}
	c.readsEmbeddings(t)
	c.balances(c.provider)
}

// goStream is what a streamed answer said.
type goStream struct {
	content, tool, arguments string
	finish                   openai.FinishReason
	usage                    *openai.Usage
}

// stream reads a streamed answer to its proper end.
func (c *goCase) stream(t *testing.T, request openai.ChatCompletionRequest) goStream {
	t.Helper()
	s, err := readGoStream(c.ctx, c.client, request)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func readGoStream(ctx context.Context, client *openai.Client, request openai.ChatCompletionRequest) (s goStream, err error) {
	stream, err := client.CreateChatCompletionStream(ctx, request)
	if err != nil {
		return s, err
	}
	defer stream.Close()
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return s, nil
		}
		if err != nil {
			return s, err
		}
		if chunk.Usage != nil {
			s.usage = chunk.Usage
		}
		for _, choice := range chunk.Choices {
			s.content += choice.Delta.Content
			s.finish = max(s.finish, choice.FinishReason)
			for _, call := range choice.Delta.ToolCalls {
				s.tool += call.Function.Name
				s.arguments += call.Function.Arguments
			}
		}
	}
}

// goStock is what the tool takes, and goOrder what an answer must look like.
type (
	goStock struct {
		Produto string `json:"produto"`
		Filial  int    `json:"filial"`
	}
	goOrder struct {
		Cliente string   `json:"cliente"`
		Itens   []string `json:"itens"`
	}
)

func TestGoOpenAIUsesToolsAndStructuredAnswers(t *testing.T) {
	c := newGoCase(t, openaitest.Options{})
	parameters, err := jsonschema.GenerateSchemaForType(goStock{})
	if err != nil {
		t.Fatal(err)
	}
	asking := goQuestion("")
	asking.MaxCompletionTokens, asking.ToolChoice = 0, "required"
	asking.Tools = []openai.Tool{{Type: openai.ToolTypeFunction, Function: &openai.FunctionDefinition{Name: "consultar_estoque", Strict: true, Parameters: parameters}}}
	fits := func(name, arguments string) error {
		var stock goStock
		if err := parameters.Unmarshal(arguments, &stock); err != nil || stock.Produto == "" || name != "consultar_estoque" {
			return fmt.Errorf("%s(%s) does not fit: %v", name, arguments, err)
		}
		return nil
	}
	whole, err := c.client.CreateChatCompletion(c.ctx, asking)
	if err != nil {
		t.Fatal(err)
	}
	message := whole.Choices[0].Message
	call := message.ToolCalls[0]
	if err := fits(call.Function.Name, call.Function.Arguments); err != nil || whole.Choices[0].FinishReason != openai.FinishReasonToolCalls {
		t.Errorf("tool: %+v %v", whole.Choices[0], err)
	}
	streamed := c.stream(t, asking)
	if err := fits(streamed.tool, streamed.arguments); err != nil || streamed.finish != openai.FinishReasonToolCalls {
		t.Errorf("streamed tool: %+v %v", streamed, err)
	}
	answered := goQuestion("")
	answered.Messages = append(answered.Messages, message, openai.ChatCompletionMessage{Role: openai.ChatMessageRoleTool, ToolCallID: call.ID, Content: "42"})
	if answer, err := c.client.CreateChatCompletion(c.ctx, answered); err != nil || answer.Choices[0].Message.Content == "" {
		t.Errorf("answered tool: %+v %v", answer, err)
	}

	schema, err := jsonschema.GenerateSchemaForType(goOrder{})
	if err != nil {
		t.Fatal(err)
	}
	structured := goQuestion("")
	structured.MaxCompletionTokens = 0
	structured.ResponseFormat = &openai.ChatCompletionResponseFormat{Type: openai.ChatCompletionResponseFormatTypeJSONSchema,
		JSONSchema: &openai.ChatCompletionResponseFormatJSONSchema{Name: "pedido", Schema: schema, Strict: true}}
	answer, err := c.client.CreateChatCompletion(c.ctx, structured)
	if err != nil {
		t.Fatal(err)
	}
	for how, text := range map[string]string{"whole": answer.Choices[0].Message.Content, "streamed": c.stream(t, structured).content} {
		var order goOrder
		if err := schema.Unmarshal(text, &order); err != nil || order.Cliente == "" {
			t.Errorf("%s: %q does not fit: %v", how, text, err)
		}
	}
	c.balances(c.provider)
}

// readsEmbeddings wants the same figures in both encodings.
func (c *goCase) readsEmbeddings(t *testing.T) {
	t.Helper()
	texts := []string{"Quantos pães cabem no forno?", "Outra"}
	plain, err := c.client.CreateEmbeddings(c.ctx, openai.EmbeddingRequestStrings{Model: openai.SmallEmbedding3, Input: texts})
	if err != nil {
		t.Fatal(err)
	}
	coded, err := c.client.CreateEmbeddings(c.ctx, openai.EmbeddingRequestStrings{Model: openai.SmallEmbedding3, Input: texts,
		EncodingFormat: openai.EmbeddingEncodingFormatBase64})
	if err != nil {
		t.Fatal(err)
	}
	if len(plain.Data) != 2 || len(plain.Data[1].Embedding) != 1536 || plain.Usage.PromptTokens == 0 || coded.Usage != plain.Usage {
		t.Fatalf("%d embeddings, %+v and %+v", len(plain.Data), plain.Usage, coded.Usage)
	}
	likeness, err := plain.Data[0].DotProduct(&coded.Data[0])
	if err != nil || math.Abs(float64(likeness)-1) > 1e-5 {
		t.Errorf("the same text has likeness %v %v in the two encodings", likeness, err)
	}
}
