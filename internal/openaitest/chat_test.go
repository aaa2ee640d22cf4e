package openaitest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/sashabaranov/go-openai"
	"github.com/tidwall/gjson"
	"pgregory.net/rapid"

	"github.com/fila-ia/filaia/internal/tokenizer"
)

func TestChatAnswersAndCountsRealTokens(t *testing.T) {
	s := start(t, Options{})
	request := ask("Como reduzir o custo da nossa fatura?")
	answer, err := client(t, s).CreateChatCompletion(context.Background(), request)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	choice := answer.Choices[0]
	if want := tokenizer.CountChat(body); answer.Usage.PromptTokens != want {
		t.Errorf("%d prompt tokens, want %d", answer.Usage.PromptTokens, want)
	}
	if want := tokenizer.Count("gpt-4.1-nano", choice.Message.Content); answer.Usage.CompletionTokens != want {
		t.Errorf("%d completion tokens, want %d", answer.Usage.CompletionTokens, want)
	}
	if answer.Usage.TotalTokens != answer.Usage.PromptTokens+answer.Usage.CompletionTokens {
		t.Errorf("usage %+v", answer.Usage)
	}
	if !strings.HasPrefix(answer.ID, "chatcmpl-") || answer.Object != "chat.completion" || answer.Model != "gpt-4.1-nano-2025-04-14" ||
		answer.Created == 0 || choice.FinishReason != "stop" || choice.Message.Role != "assistant" {
		t.Errorf("%+v", answer)
	}
	if !strings.Contains(choice.Message.Content, "Como reduzir o custo da nossa fatura") {
		t.Errorf("the question is not taken up: %q", choice.Message.Content)
	}
}

func TestUsageHasEveryDetail(t *testing.T) {
	usage := gjson.Get(post(t, start(t, Options{}), "/chat/completions", hello).body, "usage")
	for _, path := range []string{"prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details.cached_tokens",
		"prompt_tokens_details.cache_write_tokens", "prompt_tokens_details.audio_tokens", "completion_tokens_details.reasoning_tokens",
		"completion_tokens_details.audio_tokens", "completion_tokens_details.accepted_prediction_tokens",
		"completion_tokens_details.rejected_prediction_tokens"} {
		if usage.Get(path).Type != gjson.Number {
			t.Errorf("no %s in %s", path, usage.Raw)
		}
	}
}

func TestEqualRequestsGetEqualTextsAndOthersOthers(t *testing.T) {
	s := start(t, Options{})
	texts := map[string]bool{}
	for i := range 20 {
		body := strings.Replace(hello, "vendas", fmt.Sprint("vendas ", i), 1)
		first, second := post(t, s, "/chat/completions", body).body, post(t, s, "/chat/completions", body).body
		text := gjson.Get(first, "choices.0.message.content").String()
		if text != gjson.Get(second, "choices.0.message.content").String() {
			t.Errorf("two texts for %s", body)
		}
		if gjson.Get(first, "id").String() == gjson.Get(second, "id").String() {
			t.Errorf("one id for two answers")
		}
		texts[text] = true
	}
	if len(texts) != 20 {
		t.Errorf("%d texts for 20 questions", len(texts))
	}
}

func TestAWholePromptIsNeverCached(t *testing.T) {
	var cache promptCache
	messages := gjson.Parse(`[{"role":"user"}]`).Array()
	for _, want := range []int{0, 1280 - 128} {
		if got := cache.cached("gpt-4o", messages, 1280); got != want {
			t.Errorf("%d tokens cached of 1280, want %d", got, want)
		}
	}
}

// collected is a stream put together again.
type collected struct {
	chunks []openai.ChatCompletionStreamResponse
	texts  map[int]string
	finish map[int]openai.FinishReason
	usage  *openai.Usage
	err    error // io.EOF after [DONE]
}

func collect(t testing.TB, s *Server, request openai.ChatCompletionRequest) collected {
	t.Helper()
	c := collected{texts: map[int]string{}, finish: map[int]openai.FinishReason{}}
	stream, err := client(t, s).CreateChatCompletionStream(context.Background(), request)
	if err != nil {
		c.err = err
		return c
	}
	defer stream.Close()
	for {
		chunk, err := stream.Recv()
		if err != nil {
			c.err = err
			return c
		}
		c.chunks = append(c.chunks, chunk)
		if chunk.Usage != nil {
			c.usage = chunk.Usage
		}
		for _, choice := range chunk.Choices {
			c.texts[choice.Index] += choice.Delta.Content
			if choice.FinishReason != "" {
				c.finish[choice.Index] = choice.FinishReason
			}
		}
	}
}

func TestStreamIsTheSameAnswerInChunks(t *testing.T) {
	s := start(t, Options{})
	request := ask("Resuma o relatório do mês")
	whole, err := client(t, s).CreateChatCompletion(context.Background(), request)
	if err != nil {
		t.Fatal(err)
	}
	request.StreamOptions = &openai.StreamOptions{IncludeUsage: true}
	got := collect(t, s, request)
	if !errors.Is(got.err, io.EOF) || got.texts[0] != whole.Choices[0].Message.Content || got.finish[0] != "stop" {
		t.Fatalf("%q, %v, %v; want %q", got.texts[0], got.finish, got.err, whole.Choices[0].Message.Content)
	}
	for _, chunk := range got.chunks {
		if chunk.ID != got.chunks[0].ID || chunk.Created != got.chunks[0].Created || chunk.Object != "chat.completion.chunk" ||
			chunk.Model != "gpt-4.1-nano-2025-04-14" {
			t.Fatalf("chunk %+v", chunk)
		}
	}
	last := got.chunks[len(got.chunks)-1]
	if last.Usage == nil || len(last.Choices) != 0 || *got.usage != withoutPointers(*got.usage, whole.Usage) {
		t.Fatalf("last chunk %+v, want usage %+v", last, whole.Usage)
	}
}

// withoutPointers is want with the detail pointers of got, to compare the numbers.
func withoutPointers(got, want openai.Usage) openai.Usage {
	want.PromptTokensDetails, want.CompletionTokensDetails = got.PromptTokensDetails, got.CompletionTokensDetails
	return want
}

func TestStreamShowsUsageOnlyWhereAsked(t *testing.T) {
	s := start(t, Options{})
	plain := post(t, s, "/chat/completions", strings.Replace(hello, "{", `{"stream":true,`, 1)).body
	if strings.Contains(plain, `"usage"`) || !strings.HasSuffix(plain, "data: [DONE]\n\n") {
		t.Errorf("%s", plain)
	}
	metered := post(t, s, "/chat/completions", strings.Replace(hello, "{", `{"stream":true,"stream_options":{"include_usage":true},`, 1)).body
	events := strings.Split(strings.TrimSuffix(metered, "\n\n"), "\n\n")
	for i, event := range events[:len(events)-1] {
		data, ok := strings.CutPrefix(event, "data: ")
		usage := gjson.Get(data, "usage")
		if last := i == len(events)-2; !ok || !gjson.Valid(data) || !usage.Exists() || usage.IsObject() != last ||
			last != (gjson.Get(data, "choices.#").Int() == 0) {
			t.Errorf("event %d of %d: %s", i, len(events), event)
		}
	}
}

func TestChoicesDifferAndAddUp(t *testing.T) {
	s := start(t, Options{})
	request := ask("Escreva um título para a campanha")
	request.N = 3
	answer, err := client(t, s).CreateChatCompletion(context.Background(), request)
	if err != nil || len(answer.Choices) != 3 {
		t.Fatalf("%d choices, %v", len(answer.Choices), err)
	}
	tokens := 0
	for i, choice := range answer.Choices {
		tokens += tokenizer.Count(request.Model, choice.Message.Content)
		if choice.Index != i {
			t.Errorf("index %d at %d", choice.Index, i)
		}
	}
	if tokens != answer.Usage.CompletionTokens || answer.Choices[0].Message.Content == answer.Choices[1].Message.Content {
		t.Errorf("%d tokens, usage %+v", tokens, answer.Usage)
	}
	got := collect(t, s, request)
	for i, choice := range answer.Choices {
		if got.texts[i] != choice.Message.Content || got.finish[i] != "stop" {
			t.Errorf("choice %d: %q, want %q", i, got.texts[i], choice.Message.Content)
		}
	}
}

func TestLimitsAndStopsEndTheText(t *testing.T) {
	s := start(t, Options{})
	for _, limit := range []int{1, 2, 7, 20} {
		request := ask("Explique o fluxo de caixa")
		request.MaxCompletionTokens = limit
		answer, err := client(t, s).CreateChatCompletion(context.Background(), request)
		if err != nil {
			t.Fatal(err)
		}
		if n := answer.Usage.CompletionTokens; n > limit || n == 0 || answer.Choices[0].FinishReason != "length" {
			t.Errorf("limit %d: %d tokens, finished by %s", limit, n, answer.Choices[0].FinishReason)
		}
	}
	s.Next(Behaviour{Text: "um dois três quatro"})
	request := ask("conte")
	request.MaxCompletionTokens, request.Stop = 100, []string{" três", "zzz"}
	answer, err := client(t, s).CreateChatCompletion(context.Background(), request)
	if err != nil || answer.Choices[0].Message.Content != "um dois" || answer.Choices[0].FinishReason != "stop" {
		t.Errorf("%+v, %v", answer.Choices, err)
	}
}

func TestTheOldNameOfTheLimitCountsToo(t *testing.T) {
	r := post(t, start(t, Options{}), "/chat/completions", strings.Replace(hello, "{", `{"max_tokens":3,`, 1))
	if n := gjson.Get(r.body, "usage.completion_tokens").Int(); n == 0 || n > 3 || gjson.Get(r.body, "choices.0.finish_reason").String() != "length" {
		t.Errorf("%s", r.body)
	}
}

func TestReasoningTokensAreWithinTheCompletion(t *testing.T) {
	s := start(t, Options{})
	request := ask("Qual o prazo?")
	request.Model = "gpt-5-mini"
	answer, err := client(t, s).CreateChatCompletion(context.Background(), request)
	if err != nil {
		t.Fatal(err)
	}
	reasoning := answer.Usage.CompletionTokensDetails.ReasoningTokens
	if reasoning == 0 || answer.Usage.CompletionTokens != reasoning+tokenizer.Count(request.Model, answer.Choices[0].Message.Content) {
		t.Errorf("usage %+v, %+v", answer.Usage, answer.Usage.CompletionTokensDetails)
	}
	request.MaxCompletionTokens = 10 // all of it is thought
	if answer, err = client(t, s).CreateChatCompletion(context.Background(), request); err != nil ||
		answer.Usage.CompletionTokens != 10 || answer.Choices[0].Message.Content != "" || answer.Choices[0].FinishReason != "length" {
		t.Errorf("%+v, %v", answer, err)
	}
}

func TestLongPromptsAreCachedFromTheirBeginning(t *testing.T) {
	s := start(t, Options{})
	api := client(t, s)
	request := ask("oi")
	request.Messages[0].Content = strings.Repeat("Regra: responda em português. ", 400)
	cached := func() int {
		answer, err := api.CreateChatCompletion(context.Background(), request)
		if err != nil {
			t.Fatal(err)
		}
		if c := answer.Usage.PromptTokensDetails.CachedTokens; c%128 == 0 && c < answer.Usage.PromptTokens {
			return c
		}
		t.Fatalf("usage %+v %+v", answer.Usage, answer.Usage.PromptTokensDetails)
		return 0
	}
	if c := cached(); c != 0 {
		t.Errorf("%d tokens cached at first", c)
	}
	request.Messages = append(request.Messages, openai.ChatCompletionMessage{Role: "user", Content: "e agora?"})
	if c := cached(); c < 1024 {
		t.Errorf("%d tokens cached of a longer conversation", c)
	}
	request.Messages[0].Content = "Outra regra. " + request.Messages[0].Content
	if c := cached(); c != 0 {
		t.Errorf("%d tokens cached of another prompt", c)
	}
}

func TestAnyQuestionIsAnsweredWithValidText(t *testing.T) {
	s := start(t, Options{})
	api := client(t, s)
	rapid.Check(t, func(t *rapid.T) {
		request := ask("." + rapid.String().Draw(t, "question"))
		request.MaxCompletionTokens = rapid.IntRange(0, 60).Draw(t, "limit")
		answer, err := api.CreateChatCompletion(context.Background(), request)
		if err != nil {
			t.Fatal(err)
		}
		if limit := request.MaxCompletionTokens; limit > 0 && answer.Usage.CompletionTokens > limit {
			t.Fatalf("%d tokens, limit %d", answer.Usage.CompletionTokens, limit)
		}
	})
}
