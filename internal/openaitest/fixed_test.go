package openaitest

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sashabaranov/go-openai"
	"github.com/tidwall/gjson"
	"github.com/valyala/fasthttp"
)

func TestFixedAnswersAreAlwaysTheSame(t *testing.T) {
	s := start(t, Options{Fixed: &Fixed{PromptTokens: 100, CompletionTokens: 150, Body: "uma resposta çom acentos", Chunks: 10}})
	first, second := post(t, s, "/chat/completions", hello), post(t, s, "/chat/completions", `{"model":"gpt-9"}`)
	if first.status != 200 || first.body != second.body || gjson.Get(first.body, "choices.0.message.content").String() != "uma resposta çom acentos" {
		t.Errorf("%+v\n%+v", first, second)
	}
	answer, err := client(t, s).CreateChatCompletion(context.Background(), ask("oi"))
	if err != nil || answer.Usage.PromptTokens != 100 || answer.Usage.CompletionTokens != 150 || answer.Usage.TotalTokens != 250 {
		t.Errorf("%+v, %v", answer.Usage, err)
	}
	request := ask("oi")
	plain := collect(t, s, request)
	request.StreamOptions = &openai.StreamOptions{IncludeUsage: true}
	metered := collect(t, s, request)
	if plain.texts[0] != "uma resposta çom acentos" || plain.usage != nil || len(plain.chunks) != 12 || plain.err != io.EOF {
		t.Errorf("%+v", plain)
	}
	if metered.usage == nil || metered.usage.TotalTokens != 250 || len(metered.chunks) != 13 {
		t.Errorf("%+v", metered)
	}
	if stats := s.Stats(); stats.Answered != 5 || stats.PromptTokens != 500 || stats.CompletionTokens != 750 {
		t.Errorf("%+v", stats)
	}
}

func TestFixedAnswersTakeTheirTimeAndFail(t *testing.T) {
	s := start(t, Options{Latency: 20 * time.Millisecond, Fixed: &Fixed{Chunks: 5, ChunkPause: 2 * time.Millisecond}})
	begun := time.Now()
	post(t, s, "/chat/completions", streamed)
	if waited := time.Since(begun); waited < 30*time.Millisecond {
		t.Errorf("answered after %v", waited)
	}
	s.Next(Behaviour{Fault: FaultTruncate, After: 2}, Behaviour{Fault: FaultNoUsage}, Behaviour{Status: 500})
	if r := post(t, s, "/chat/completions", streamed); strings.Count(r.body, "\n\n") != 2 {
		t.Errorf("%s", r.body)
	}
	if r := post(t, s, "/chat/completions", streamed); strings.Contains(r.body, "prompt_tokens") {
		t.Errorf("%s", r.body)
	}
	if r := post(t, s, "/chat/completions", hello); r.status != 500 {
		t.Errorf("%+v", r)
	}
	if r := post(t, s, "/chat/completions", streamed); strings.Count(r.body, "\n\n") != 9 {
		t.Errorf("a fault changed the answers after it: %s", r.body)
	}
}

func TestFixedNeedsAKey(t *testing.T) {
	s := start(t, Options{Fixed: &Fixed{}})
	if r, err := send(s, http.MethodPost, "/chat/completions", hello, ""); err != nil || r.status != 401 {
		t.Errorf("%+v, %v", r, err)
	}
}

// How many fixed answers one processor gives over loopback, client included.
func BenchmarkFixed(b *testing.B) {
	s := start(b, Options{Fixed: &Fixed{PromptTokens: 100, CompletionTokens: 150}})
	for name, body := range map[string]string{"whole": hello, "stream": streamed} {
		b.Run(name, func(b *testing.B) {
			client := &fasthttp.Client{Dial: func(addr string) (net.Conn, error) { return net.Dial("tcp", addr) }}
			b.ReportAllocs()
			b.RunParallel(func(p *testing.PB) {
				var request fasthttp.Request
				var response fasthttp.Response
				request.SetRequestURI(s.URL() + "/chat/completions")
				request.Header.SetMethod(http.MethodPost)
				request.Header.Set("Authorization", "Bearer sk-test")
				request.SetBodyString(body)
				for p.Next() {
					if err := client.Do(&request, &response); err != nil || response.StatusCode() != 200 {
						b.Errorf("%d, %v", response.StatusCode(), err)
						return
					}
				}
			})
		})
	}
}
