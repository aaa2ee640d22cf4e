package v1_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/openaitest"
	"github.com/fila-ia/filaia/internal/usage"
)

func TestADeeplyNestedBodyIsRefusedAndEndsNothing(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	deep := strings.Repeat("[", bodyLimit-200)
	a := s.post(`{"model":"gpt-4.1-nano","messages":` + deep)
	seen(t, a, 400, "invalid_request_error", "", "")
	if !strings.Contains(a.body, "nested") {
		t.Errorf("%s", a.body)
	}
	brackets := `{"model":"gpt-4.1-nano","messages":[{"role":"user","content":"` + strings.Repeat(`[{\"`, 2000) + `"}]}`
	if a := s.post(brackets); a.status != 200 {
		t.Errorf("brackets within a text: %d %s", a.status, a.body)
	}
	s.provider.Next(openaitest.Behaviour{Status: 200, Body: strings.Repeat("[", 1<<20)})
	seen(t, s.post(chatBody("")), 503, "service_unavailable_error", "server_is_overloaded", "")
}

func TestFieldsThatParsersReadDifferentlyAreRefused(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	for extra, param := range map[string]string{
		`"stream":true,"stream_options":{"include_usage":false,"include_usage":false},`: "stream_options.include_usage",
		`"stream":true,"stream_options":{"include_usage":true,"Include_Usage":false},`:  "stream_options.include_usage",
		`"stream":true,"stream_options":5,`:                                             "stream_options",
		`"Max_Tokens":100000,"max_tokens":1,`:                                           "max_tokens",
		`"N":128,`:                                                                      "n",
		`"ſtream":true,`:                                                                "",
	} {
		a := s.post(chatBody(extra))
		if param == "" {
			continue // a letter that folds to another: any answer but a crash
		}
		seen(t, a, 400, "invalid_request_error", "", param)
	}
}

func TestAUsageInTheMiddleIsNotTheLastWord(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	const early = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"oi\"}}],\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":0}}\n\n"
	long := "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" + strings.Repeat("palavra ", 200) + "\"}}]}\n\n"
	stream := map[string]string{"Content-Type": "text/event-stream"}
	s.provider.Next(openaitest.Behaviour{Status: 200, Body: early + long, Header: stream})
	a := s.post(chatBody(`"stream":true,`))
	if strings.Contains(a.body, "[DONE]") || errorType(a.body) == "" {
		t.Errorf("an answer that broke off looks whole: %q", a.body[max(0, len(a.body)-200):])
	}
	if r := s.records(1)[0]; r.Status != "error" || !r.Estimated || r.Out < 200 {
		t.Errorf("%+v", r)
	}
}

func TestALastEventWithoutItsBlankLineCounts(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	s.provider.Next(openaitest.Behaviour{Status: 200, Header: map[string]string{"Content-Type": "text/event-stream"},
		Body: "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"oi\"},\"finish_reason\":\"stop\"}]}\r\n\r\n" +
			"data: {\"choices\":null,\"usage\":{\"prompt_tokens\":21,\"completion_tokens\":7}}\n"})
	a := s.post(chatBody(`"stream":true,`))
	if !strings.HasSuffix(a.body, "data: [DONE]\n\n") || strings.Contains(a.body, "prompt_tokens") {
		t.Errorf("%q", a.body)
	}
	if r := s.records(1)[0]; r.Status != "ok" || r.In != 21 || r.Out != 7 || r.Estimated {
		t.Errorf("%+v", r)
	}
}

func TestAWholeAnswerToAStreamIsCounted(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	body := `{"id":"x","choices":[{"index":0,"message":{"content":"oi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":777,"completion_tokens":5}}`
	s.provider.Next(openaitest.Behaviour{Status: 200, Body: body, Header: map[string]string{"Content-Type": "application/json"}})
	if a := s.post(chatBody(`"stream":true,`)); a.body != body {
		t.Errorf("%q", a.body)
	}
	if r := s.records(1)[0]; r.In != 777 || r.Out != 5 || r.Estimated {
		t.Errorf("%+v", r)
	}
	s.unheld()
}

func TestErrorsTellHowTheCallerStands(t *testing.T) {
	terms := roomy()
	terms.RequestsPerMinute, terms.OutputTokens = 60, 8
	s := newSite(t, terms, openaitest.Options{})
	for name, a := range map[string]answer{
		"bad body":  s.post(`{`),
		"no model":  s.post(strings.Replace(chatBody(""), "gpt-4.1-nano", "gpt-9", 1)),
		"no quota":  s.post(chatBody(`"max_tokens":9,`)),
		"no url":    s.do(http.MethodGet, "/nothing", s.key, ""),
		"model get": s.do(http.MethodGet, "/models/gpt-9", s.key, ""),
	} {
		h := a.header
		if h.Get("X-Ratelimit-Limit-Requests") != "60" || h.Get("X-Fila-Quota-Remaining-Output") != "8" ||
			h.Get("X-Fila-Quota-Remaining-Input") != "1000000" || h.Get("Openai-Processing-Ms") == "" {
			t.Errorf("%s: %v", name, h)
		}
	}
}

// failing refuses records while it is told to.
type failing struct {
	gatewayLedger
	refuse atomic.Bool
}

type gatewayLedger interface {
	Begin(e *usage.Event) error
	Finish(e *usage.Event) error
	Once(e *usage.Event) error
}

func (f *failing) Finish(e *usage.Event) error {
	if f.refuse.Load() {
		return errors.New("no space left on device")
	}
	return f.gatewayLedger.Finish(e)
}

func (f *failing) Once(e *usage.Event) error {
	if f.refuse.Load() {
		return errors.New("no space left on device")
	}
	return f.gatewayLedger.Once(e)
}

func TestACallThatCouldNotBeRecordedIsRecordedLater(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	disk := &failing{gatewayLedger: s.ledger}
	s.gate.Ledger = disk
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- s.gate.Run(ctx) }()
	defer func() { cancel(); <-ran }()

	disk.refuse.Store(true)
	seen(t, s.post(chatBody("")), 503, "service_unavailable_error", "server_is_overloaded", "")
	a := s.post(chatBody(`"stream":true,`))
	if strings.Contains(a.body, "[DONE]") || errorType(a.body) != "service_unavailable_error" {
		t.Errorf("a stream that was not recorded ended well: %q", a.body)
	}
	disk.refuse.Store(false)
	var in, out int64
	for _, r := range s.records(2) {
		in, out = in+r.In, out+r.Out
	}
	if stats := s.provider.Stats(); in != stats.PromptTokens || out != stats.CompletionTokens {
		t.Errorf("recorded %d and %d, the provider counted %+v", in, out, stats)
	}
	s.unheld()
}

func TestAProviderThatReportsNonsenseStopsNobody(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	s.provider.Next(openaitest.Behaviour{Status: 200, Header: map[string]string{"Content-Type": "application/json"},
		Body: `{"choices":[],"usage":{"prompt_tokens":9223372036854775807,"completion_tokens":-5,"prompt_tokens_details":{"cached_tokens":1e30}}}`})
	s.post(chatBody(""))
	s.records(1) // it is committed, and so is what follows
	if a := s.post(chatBody("")); gjson.Get(a.body, "error.code").Str != "insufficient_quota" {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestWaitReturnsWhenEveryCallHasEnded(t *testing.T) {
	under := make(chan struct{})
	s := newSite(t, roomy(), openaitest.Options{Script: func(*openaitest.Request) (b openaitest.Behaviour) { <-under; return b }})
	end := sync.OnceFunc(func() { close(under) })
	t.Cleanup(end)
	done := make(chan answer, 1)
	go func() { done <- s.post(chatBody(`"stream":true,`)) }()
	eventually(t, "the call comes", func() bool { return s.provider.Stats().Requests > 0 })
	short, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := s.gate.Wait(short); err == nil {
		t.Error("it did not wait for the call in flight")
	}
	end()
	<-done
	long, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.gate.Wait(long); err != nil {
		t.Error(err)
	}
	s.records(1)
}

// TestCallsThatAreCutAreRecordedAsTheyStand is what a server does that must stop.
func TestCallsThatAreCutAreRecordedAsTheyStand(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{TokensPerSecond: 50})
	long := openaitest.Behaviour{Text: strings.Repeat("uma resposta longa ", 300)}
	s.provider.Next(long, long)
	whole := make(chan answer, 1)
	go func() { whole <- s.post(chatBody(`"max_tokens":900,`)) }()

	req, err := http.NewRequest(http.MethodPost, s.url+"/chat/completions", strings.NewReader(chatBody(`"stream":true,"max_tokens":900,`)))
	s.must(err)
	req.Header.Set("Authorization", "Bearer "+s.key)
	res, err := http.DefaultClient.Do(req)
	s.must(err)
	defer res.Body.Close()
	stream := bufio.NewReader(res.Body)
	for delivered := false; !delivered; { // some text has reached the client
		line, err := stream.ReadString('\n')
		s.must(err)
		delivered = gjson.Get(strings.TrimPrefix(line, "data: "), "choices.0.delta.content").Str != ""
	}
	eventually(t, "the whole call comes", func() bool { return s.provider.Stats().Requests == 2 })
	s.gate.Models.Abort()
	rest, err := io.ReadAll(stream)
	s.must(err)
	for _, body := range []string{(<-whole).body, string(rest)} {
		if errorType(body) != "service_unavailable_error" || strings.Contains(body, "[DONE]") {
			t.Errorf("%q", body[max(0, len(body)-300):])
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s.must(s.gate.Wait(ctx))
	for _, r := range s.records(2) {
		if r.Status != "error" || r.Estimated != r.Streamed || (r.Out > 0) != r.Streamed {
			t.Errorf("%+v", r)
		}
	}
	s.unheld()
}
