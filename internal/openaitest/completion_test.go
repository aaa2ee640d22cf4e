package openaitest

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/sashabaranov/go-openai"
	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/tokenizer"
)

const instruct = "gpt-3.5-turbo-instruct"

func TestCompletionsAnswerAndCountRealTokens(t *testing.T) {
	s := start(t, Options{})
	request := openai.CompletionRequest{Model: instruct, Prompt: "Era uma vez uma padaria", MaxTokens: 200}
	answer, err := client(t, s).CreateCompletion(context.Background(), request)
	if err != nil {
		t.Fatal(err)
	}
	text := answer.Choices[0].Text
	if answer.Usage.PromptTokens != tokenizer.Count(instruct, "Era uma vez uma padaria") ||
		answer.Usage.CompletionTokens != tokenizer.Count(instruct, text) || answer.Choices[0].FinishReason != "stop" ||
		answer.Object != "text_completion" || !strings.HasPrefix(answer.ID, "cmpl-") || answer.Model != instruct || answer.Created == 0 {
		t.Errorf("%+v %+v", answer, answer.Usage)
	}
	if stats := s.Stats(); stats.PromptTokens != int64(answer.Usage.PromptTokens) || stats.CompletionTokens != int64(answer.Usage.CompletionTokens) || stats.Answered != 1 {
		t.Errorf("%+v", stats)
	}
	request.Echo = true
	if answer, err = client(t, s).CreateCompletion(context.Background(), request); err != nil || answer.Choices[0].Text != "Era uma vez uma padaria"+text {
		t.Errorf("%+v, %v", answer, err)
	}
	request.Stop, request.Echo = []string{text[10:14]}, false
	if answer, err = client(t, s).CreateCompletion(context.Background(), request); err != nil || answer.Choices[0].Text != text[:10] {
		t.Errorf("%+v, %v", answer, err)
	}
	request.Stop, request.MaxTokens = nil, 0
	if answer, err = client(t, s).CreateCompletion(context.Background(), request); err != nil || answer.Usage.CompletionTokens > defaultCompletion || answer.Choices[0].FinishReason != "length" {
		t.Errorf("%+v, %v", answer.Usage, err)
	}
}

func TestCompletionStreamsAreTheSameTextInPieces(t *testing.T) {
	s := start(t, Options{})
	request := openai.CompletionRequest{Model: instruct, Prompt: []string{"um conto", "um poema"}, N: 2, MaxTokens: 40, Echo: true}
	whole, err := client(t, s).CreateCompletion(context.Background(), request)
	if err != nil || len(whole.Choices) != 4 {
		t.Fatalf("%+v, %v", whole, err)
	}
	request.StreamOptions = &openai.StreamOptions{IncludeUsage: true}
	stream, err := client(t, s).CreateCompletionStream(context.Background(), request)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	var usage *openai.Usage
	texts, ends := [4]string{}, [4]string{}
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || chunk.Object != "text_completion" {
			t.Fatalf("%+v, %v", chunk, err)
		}
		if chunk.Usage != nil {
			usage = chunk.Usage
		}
		for _, choice := range chunk.Choices {
			texts[choice.Index] += choice.Text
			ends[choice.Index] += choice.FinishReason
		}
	}
	for i, choice := range whole.Choices {
		if texts[i] != choice.Text || ends[i] != choice.FinishReason || choice.Index != i {
			t.Errorf("choice %d: %q %q, want %q %q", i, texts[i], ends[i], choice.Text, choice.FinishReason)
		}
	}
	if usage == nil || *usage != withoutPointers(*usage, *whole.Usage) {
		t.Errorf("%+v, want %+v", usage, whole.Usage)
	}
}

func TestCompletionPromptsComeInManyForms(t *testing.T) {
	s := start(t, Options{})
	for prompt, want := range map[string]struct{ choices, tokens int64 }{
		`[1,2,3]`:         {1, 3},
		`[[1,2],[3,4,5]]`: {2, 5},
		`["a","b"]`:       {2, 2},
		`"a"`:             {1, 1},
		`null`:            {1, 1},
	} {
		r := post(t, s, "/completions", `{"model":"`+instruct+`","prompt":`+prompt+`}`)
		if r.status != 200 || gjson.Get(r.body, "choices.#").Int() != want.choices || gjson.Get(r.body, "usage.prompt_tokens").Int() != want.tokens ||
			gjson.Get(r.body, "choices.0.logprobs").Raw != "null" {
			t.Errorf("%s: %d %s", prompt, r.status, r.body)
		}
	}
}

func TestBestOfIsPaidForAsItIsGenerated(t *testing.T) {
	s := start(t, Options{})
	request := openai.CompletionRequest{Model: instruct, Prompt: "um lema", MaxTokens: 10, BestOf: 3}
	answer, err := client(t, s).CreateCompletion(context.Background(), request)
	if err != nil || len(answer.Choices) != 1 || answer.Usage.CompletionTokens != 30 {
		t.Errorf("%+v %+v, %v", answer.Choices, answer.Usage, err)
	}
}

func TestFaultyCompletionsGetErrors(t *testing.T) {
	s := start(t, Options{})
	for name, c := range map[string]struct {
		fields string
		status int
		param  string
	}{
		"prompt of another kind": {`"prompt":{}`, 400, "prompt"},
		"nothing to say":         {`"prompt":"a","max_tokens":0`, 400, "max_tokens"},
		"an echo alone":          {`"prompt":"a","max_tokens":0,"echo":true`, 200, ""},
		"best of too few":        {`"prompt":"a","n":3,"best_of":2`, 400, "best_of"},
		"options without stream": {`"prompt":"a","stream_options":{}`, 400, "stream_options"},
	} {
		r := post(t, s, "/completions", `{"model":"`+instruct+`",`+c.fields+`}`)
		if r.status != c.status || gjson.Get(r.body, "error.param").String() != c.param {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	if r := post(t, s, "/completions", `{"model":"gpt-9","prompt":"a"}`); r.status != 404 {
		t.Errorf("%+v", r)
	}
}
