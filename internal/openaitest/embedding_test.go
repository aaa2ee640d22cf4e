package openaitest

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/sashabaranov/go-openai"
	"github.com/tidwall/gjson"
	"pgregory.net/rapid"

	"github.com/fila-ia/filaia/internal/tokenizer"
)

func TestEmbeddingsHaveTheirFormsAndTokens(t *testing.T) {
	s := start(t, Options{})
	inputs := []string{"Qual é o prazo de entrega?", "relatório"}
	request := openai.EmbeddingRequest{Model: openai.SmallEmbedding3, Input: inputs}
	plain, err := client(t, s).CreateEmbeddings(context.Background(), request)
	if err != nil || len(plain.Data) != 2 || len(plain.Data[0].Embedding) != 1536 || plain.Model != "text-embedding-3-small" {
		t.Fatalf("%+v, %v", plain.Usage, err)
	}
	want := tokenizer.Count("text-embedding-3-small", inputs[0]) + tokenizer.Count("text-embedding-3-small", inputs[1])
	if plain.Usage.PromptTokens != want || plain.Usage.TotalTokens != want || s.Stats().PromptTokens != int64(want) {
		t.Errorf("%+v, want %d", plain.Usage, want)
	}
	request.EncodingFormat = openai.EmbeddingEncodingFormatBase64
	encoded, err := client(t, s).CreateEmbeddings(context.Background(), request)
	if err != nil {
		t.Fatal(err)
	}
	for i, one := range plain.Data {
		if one.Index != i || one.Object != "embedding" || math.Abs(cosine(one.Embedding, one.Embedding)-1) > 1e-5 {
			t.Errorf("%d: %s", i, one.Object)
		}
		for k, f := range one.Embedding {
			if encoded.Data[i].Embedding[k] != f {
				t.Fatalf("base64 differs at %d", k)
			}
		}
	}
	request = openai.EmbeddingRequest{Model: openai.LargeEmbedding3, Input: "a"}
	for asked, got := range map[int]int{0: 3072, 256: 256} {
		request.Dimensions = asked
		if answer, err := client(t, s).CreateEmbeddings(context.Background(), request); err != nil || len(answer.Data[0].Embedding) != got {
			t.Errorf("%d dimensions, %v", len(answer.Data[0].Embedding), err)
		}
	}
}

func TestEmbeddingInputsComeInManyForms(t *testing.T) {
	s := start(t, Options{})
	for input, want := range map[string]struct{ vectors, tokens int64 }{
		`"a"`: {1, 1}, `["a","b"]`: {2, 2}, `[1,2,3]`: {1, 3}, `[[1,2],[3]]`: {2, 3},
	} {
		r := post(t, s, "/embeddings", `{"model":"text-embedding-3-small","input":`+input+`}`)
		if r.status != 200 || gjson.Get(r.body, "data.#").Int() != want.vectors || gjson.Get(r.body, "usage.total_tokens").Int() != want.tokens {
			t.Errorf("%s: %d %s", input, r.status, gjson.Get(r.body, "usage"))
		}
	}
	for _, fields := range []string{`"input":""`, `"input":[]`, `"input":{}`, `"input":[""]`, `"input":null`, `"input":"a","dimensions":1537`,
		`"input":"a","encoding_format":"hex"`, `"input":"` + strings.Repeat("a ", 9000) + `"`, `"input":["a"` + strings.Repeat(`,"a"`, 2048) + `]`} {
		if r := post(t, s, "/embeddings", `{"model":"text-embedding-3-small",`+fields+`}`); r.status != 400 || !gjson.Get(r.body, "error.message").Exists() {
			t.Errorf("%.60s: %d %.200s", fields, r.status, r.body)
		}
	}
}

// cosine is the likeness of two vectors of length 1.
func cosine(a, b []float32) float64 {
	sum := 0.0
	for i := range a {
		sum += float64(a[i]) * float64(b[i])
	}
	return sum
}

func TestRephrasedQuestionsAreAlikeAndOthersAreNot(t *testing.T) {
	for _, dimensions := range []int{256, 1536, 3072} {
		for a, others := range map[string]struct{ like, unlike []string }{
			"Qual é o prazo de entrega?": {
				[]string{"qual e o prazo de entrega", "QUAL O PRAZO PARA A ENTREGA???", "Por favor, qual é o prazo da entrega?", "Prazos de entregas"},
				[]string{"Qual é o prazo de devolução?", "Qual é o custo de entrega?", "Como cancelo o meu plano?"},
			},
			"Como faço para cancelar o meu plano?": {
				[]string{"Como posso cancelar meu plano?", "como cancelar plano", "Olá, gostaria de saber como cancelar o plano"},
				[]string{"Como faço para contratar o meu plano?", "Como faço para cancelar a minha fatura?", "Como não cancelar o meu plano?"},
			},
			"How do I reset my password?": {
				[]string{"how can I reset the password", "Reset my password, please", "Can you reset my passwords"},
				[]string{"How do I reset my router?", "How do I change my plan?"},
			},
		} {
			for _, b := range others.like {
				if c := cosine(embedding(a, dimensions), embedding(b, dimensions)); c < 0.9 {
					t.Errorf("%d dimensions: %q and %q: %.3f", dimensions, a, b, c)
				}
			}
			for _, b := range others.unlike {
				if c := cosine(embedding(a, dimensions), embedding(b, dimensions)); c > 0.8 {
					t.Errorf("%d dimensions: %q and %q: %.3f", dimensions, a, b, c)
				}
			}
		}
	}
}

func TestAnyTextHasAVectorOfLengthOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, dimensions := rapid.String().Draw(t, "text"), rapid.IntRange(1, 3072).Draw(t, "dimensions")
		vector := embedding(text, dimensions)
		if c := cosine(vector, embedding(text, dimensions)); len(vector) != dimensions || math.Abs(c-1) > 1e-4 {
			t.Fatalf("%d numbers, length² %f", len(vector), c)
		}
	})
}
