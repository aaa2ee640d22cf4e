package openaitest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sashabaranov/go-openai"
	"github.com/tidwall/gjson"
)

var streamed = strings.Replace(hello, "{", `{"stream":true,"stream_options":{"include_usage":true},`, 1)

func TestStatusesAreAnsweredAsScripted(t *testing.T) {
	s := start(t, Options{})
	s.Next(
		Behaviour{Status: 429, Header: map[string]string{"retry-after": "7"}},
		Behaviour{Status: 503, Body: "busy", Header: map[string]string{"Content-Type": "text/plain"}},
		Behaviour{Status: 500}, Behaviour{Status: 418},
		Behaviour{Header: map[string]string{"x-request-id": "req_mine"}},
	)
	limited := post(t, s, "/chat/completions", hello)
	if limited.status != 429 || limited.header.Get("retry-after") != "7" || gjson.Get(limited.body, "error.code").String() != "rate_limit_exceeded" {
		t.Errorf("%+v", limited)
	}
	busy := post(t, s, "/chat/completions", hello)
	if busy.status != 503 || busy.body != "busy" || busy.header.Get("Content-Type") != "text/plain" {
		t.Errorf("%+v", busy)
	}
	if broken := post(t, s, "/chat/completions", hello); broken.status != 500 || gjson.Get(broken.body, "error.type").String() != "server_error" {
		t.Errorf("%+v", broken)
	}
	if odd := post(t, s, "/chat/completions", hello); odd.status != 418 || !gjson.Get(odd.body, "error.message").Exists() {
		t.Errorf("%+v", odd)
	}
	if own := post(t, s, "/chat/completions", hello); own.status != 200 || own.header.Get("x-request-id") != "req_mine" {
		t.Errorf("%+v", own)
	}
	if stats := s.Stats(); stats.Refused != 4 || stats.Answered != 1 || stats.Requests != 5 {
		t.Errorf("%+v", stats)
	}
}

func TestQueueServesPostsAndThenTheScript(t *testing.T) {
	s := start(t, Options{Script: func(r *Request) Behaviour {
		if r.Path() == "/v1/chat/completions" && r.Header("Authorization") == "Bearer sk-test" && gjson.GetBytes(r.Body(), "model").Exists() {
			return Behaviour{Status: 503}
		}
		return Behaviour{}
	}})
	s.Next(Behaviour{Text: "primeiro"}, Behaviour{Text: "segundo"})
	if _, err := client(t, s).ListModels(context.Background()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"primeiro", "segundo"} {
		if got := gjson.Get(post(t, s, "/chat/completions", hello).body, "choices.0.message.content").String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if r := post(t, s, "/chat/completions", hello); r.status != 503 {
		t.Errorf("%+v", r)
	}
}

func TestRefusedConnectionsAnswerNothing(t *testing.T) {
	s := start(t, Options{})
	s.Next(Behaviour{Fault: FaultRefuse})
	if r, err := send(s, http.MethodPost, "/chat/completions", hello, "Bearer sk-test"); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
		t.Errorf("%+v, %v", r, err)
	}
	if r := post(t, s, "/chat/completions", hello); r.status != 200 {
		t.Errorf("the next: %+v", r)
	}
}

func TestStreamFaultsStrikeAfterTheGivenEvents(t *testing.T) {
	s := start(t, Options{})
	s.Next(Behaviour{})
	whole := strings.SplitAfter(post(t, s, "/chat/completions", streamed).body, "\n\n")
	for name, c := range map[string]struct {
		behaviour Behaviour
		fits      func(r response, events []string) bool
	}{
		"reset": {Behaviour{Fault: FaultReset, After: 3}, func(r response, events []string) bool {
			return errors.Is(r.err, syscall.ECONNRESET) && len(events) == 4 && events[3] == ""
		}},
		"reset at once": {Behaviour{Fault: FaultReset}, func(r response, events []string) bool {
			return errors.Is(r.err, syscall.ECONNRESET) && r.body == ""
		}},
		"truncate": {Behaviour{Fault: FaultTruncate, After: 3}, func(r response, events []string) bool {
			data, _ := strings.CutPrefix(events[len(events)-1], "data: ")
			return r.err == nil && len(events) == 4 && data != "" && !gjson.Valid(data)
		}},
		"error event": {Behaviour{Fault: FaultErrorEvent, After: 3}, func(r response, events []string) bool {
			return r.err == nil && len(events) == 5 && gjson.Get(strings.TrimPrefix(events[3], "data: "), "error.type").String() == "server_error"
		}},
		"malformed": {Behaviour{Fault: FaultMalformed, After: 3}, func(r response, events []string) bool {
			data, ok := strings.CutPrefix(events[3], "data: ")
			return r.err == nil && len(events) == len(whole) && ok && !gjson.Valid(data) && events[len(events)-2] == "data: [DONE]\n\n"
		}},
		"no usage": {Behaviour{Fault: FaultNoUsage}, func(r response, events []string) bool {
			return r.err == nil && len(events) == len(whole)-1 && !strings.Contains(r.body, "prompt_tokens") && strings.HasSuffix(r.body, "data: [DONE]\n\n")
		}},
		"too late": {Behaviour{Fault: FaultReset, After: 9999}, func(r response, events []string) bool {
			return errors.Is(r.err, syscall.ECONNRESET) && len(events) == len(whole)-1
		}},
	} {
		s.Next(c.behaviour)
		r := post(t, s, "/chat/completions", streamed)
		if events := strings.SplitAfter(r.body, "\n\n"); r.status != 200 || !c.fits(r, events) {
			t.Errorf("%s: %d events of %d, %v\n%s", name, len(events), len(whole), r.err, r.body)
		}
	}
	if stats := s.Stats(); stats.Answered != 3 || stats.Cut != 5 {
		t.Errorf("%+v", stats)
	}
}

func TestWholeAnswersFailToo(t *testing.T) {
	s := start(t, Options{})
	for name, c := range map[string]struct {
		fault Fault
		fits  func(r response) bool
	}{
		"reset":     {FaultReset, func(r response) bool { return r.err != nil && strings.HasPrefix(r.body, "{\n") }},
		"truncate":  {FaultTruncate, func(r response) bool { return r.err == nil && r.status == 200 && !gjson.Valid(r.body) }},
		"malformed": {FaultMalformed, func(r response) bool { return r.err == nil && r.status == 200 && !gjson.Valid(r.body) }},
		"error":     {FaultErrorEvent, func(r response) bool { return r.status == 500 && gjson.Valid(r.body) }},
		"no usage": {FaultNoUsage, func(r response) bool {
			return gjson.Valid(r.body) && !gjson.Get(r.body, "usage").Exists() && gjson.Get(r.body, "choices.0").Exists()
		}},
	} {
		s.Next(Behaviour{Fault: c.fault})
		if r := post(t, s, "/chat/completions", hello); !c.fits(r) {
			t.Errorf("%s: %+v", name, r)
		}
	}
	stats := s.Stats()
	if stats.Answered != 1 || stats.Cut != 3 || stats.Refused != 1 || stats.CompletionTokens == 0 {
		t.Errorf("%+v", stats)
	}
}

func TestStalledStreamsWaitForTheClientToLeave(t *testing.T) {
	s := start(t, Options{})
	s.Next(Behaviour{Fault: FaultStall, After: 2})
	ctx, leave := context.WithCancel(context.Background())
	request := ask("oi")
	stream, err := client(t, s).CreateChatCompletionStream(ctx, request)
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	for range 2 {
		if _, err := stream.Recv(); err != nil {
			t.Fatal(err)
		}
	}
	if stats := s.Stats(); stats.Cut != 0 || stats.Answered != 0 {
		t.Fatalf("%+v", stats)
	}
	leave()
	if _, err := stream.Recv(); err == nil {
		t.Error("a third event")
	}
	until(t, "the stalled stream is over", func() bool { return s.Stats().Cut == 1 })
}

func TestUsageCanBeMadeUp(t *testing.T) {
	s := start(t, Options{})
	usage := Usage{PromptTokens: 9, CachedTokens: 4, CompletionTokens: 1_000_000, ReasoningTokens: 3}
	s.Next(Behaviour{Usage: &usage}, Behaviour{Usage: &usage})
	request := ask("oi")
	request.MaxCompletionTokens = 5
	answer, err := client(t, s).CreateChatCompletion(context.Background(), request)
	if err != nil || answer.Usage.CompletionTokens != 1_000_000 || answer.Usage.TotalTokens != 1_000_009 ||
		answer.Usage.PromptTokensDetails.CachedTokens != 4 || answer.Usage.CompletionTokensDetails.ReasoningTokens != 3 {
		t.Errorf("%+v, %v", answer.Usage, err)
	}
	request.StreamOptions = &openai.StreamOptions{IncludeUsage: true}
	if got := collect(t, s, request); got.usage == nil || got.usage.CompletionTokens != 1_000_000 {
		t.Errorf("%+v", got.usage)
	}
	if stats := s.Stats(); stats.CompletionTokens != 2_000_000 || stats.PromptTokens != 18 || stats.CachedTokens != 8 || stats.ReasoningTokens != 6 {
		t.Errorf("%+v", stats)
	}
}

func TestDelayHoldsTheFirstByteBack(t *testing.T) {
	s := start(t, Options{Latency: 20 * time.Millisecond})
	s.Next(Behaviour{Delay: 30 * time.Millisecond})
	begun := time.Now()
	post(t, s, "/chat/completions", hello)
	if waited := time.Since(begun); waited < 50*time.Millisecond {
		t.Errorf("answered after %v", waited)
	}
}

func TestGenerationKeepsItsPace(t *testing.T) {
	s := start(t, Options{TokensPerSecond: 100})
	text := strings.Repeat("palavra ", 5)
	for _, body := range []string{hello, streamed} {
		s.Next(Behaviour{Text: text})
		begun := time.Now()
		r := post(t, s, "/chat/completions", body)
		// 11 tokens take 110 ms; a stream's pauses vary by half.
		if waited := time.Since(begun); waited < 50*time.Millisecond || r.status != 200 {
			t.Errorf("answered after %v: %+v", waited, r)
		}
	}
}

func TestPanicsCostOneAnswer(t *testing.T) {
	s := start(t, Options{Script: func(r *Request) Behaviour {
		if r.Method() == "POST" {
			panic("script")
		}
		return Behaviour{}
	}})
	if r := post(t, s, "/chat/completions", hello); r.status != 500 || !gjson.Get(r.body, "error").Exists() {
		t.Errorf("%+v", r)
	}
	if r, err := send(s, http.MethodGet, "/models", "", "Bearer sk-test"); err != nil || r.status != 200 {
		t.Errorf("%+v, %v", r, err)
	}
}
