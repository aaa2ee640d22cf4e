package v1_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/openaitest"
	"github.com/fila-ia/filaia/internal/tenancy"
)

func TestAnAnswerIsRecordedWithTheProvidersFigures(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	s.provider.Next(openaitest.Behaviour{Usage: &openaitest.Usage{PromptTokens: 100, CachedTokens: 40, CompletionTokens: 50, ReasoningTokens: 20}})
	a := s.post(chatBody(""))
	if a.status != http.StatusOK || gjson.Get(a.body, "usage.prompt_tokens").Int() != 100 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	r := s.records(1)[0]
	if r.Status != "ok" || r.In != 100 || r.Cached != 40 || r.Out != 50 || r.Estimated || r.Streamed || r.RequestID != a.header.Get("X-Request-Id") {
		t.Fatalf("%+v", r)
	}
	s.unheld()
}

func TestHeadersTellHowTheCallerStands(t *testing.T) {
	terms := roomy()
	terms.RequestsPerMinute, terms.TokensPerMinute = 60, 60_000
	s := newSite(t, terms, openaitest.Options{})
	s.provider.Next(openaitest.Behaviour{Usage: &openaitest.Usage{PromptTokens: 100, CompletionTokens: 50}})
	h := s.post(chatBody("")).header
	for name, want := range map[string]string{
		"X-Ratelimit-Limit-Requests": "60", "X-Ratelimit-Remaining-Requests": "59", "X-Ratelimit-Reset-Requests": "1s",
		"X-Ratelimit-Limit-Tokens": "60000", "X-Fila-Quota-Remaining-Input": "999900", "X-Fila-Quota-Remaining-Output": "999950",
	} {
		if got := h.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"X-Request-Id", "X-Ratelimit-Remaining-Tokens", "X-Ratelimit-Reset-Tokens", "Openai-Processing-Ms"} {
		if h.Get(name) == "" {
			t.Errorf("%s is missing", name)
		}
	}
	if _, err := time.Parse(time.RFC3339, h.Get("X-Fila-Quota-Reset")); err != nil {
		t.Error(err)
	}
}

func TestFieldsWeDoNotKnowPassUntouched(t *testing.T) {
	s := newSite(t, tenancy.Terms{InputTokens: 1e6, OutputTokens: 1e6, Overage: tenancy.Charge, OveragePrice: 1}, openaitest.Options{})
	body := `{ "x_future": {"a":[1,2.50,1e3,"\u00e9"]},
		"model":"gpt-4.1-nano",  "messages":[{"role":"user","content":"oi"}], "temperature":0.30 }`
	if a := s.post(body); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if got := string(s.provider.Requests()[0].Body); got != body {
		t.Fatalf("the provider received\n%s\nnot\n%s", got, body)
	}
}

func TestAStreamPassesUnchangedAndHidesAUsageThatWasNotAskedFor(t *testing.T) {
	for name, c := range map[string]struct {
		options string
		usage   bool
	}{
		"not asked":       {``, false},
		"asked":           {`"stream_options":{"include_usage":true},`, true},
		"asked not":       {`"stream_options":{"include_usage":false},`, false},
		"null":            {`"stream_options":null,`, false},
		"another option":  {`"stream_options":{"include_obfuscation":false},`, false},
		"a limit as well": {`"max_completion_tokens":5,`, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, roomy(), openaitest.Options{})
			a := s.post(chatBody(`"stream":true,` + c.options))
			if a.status != http.StatusOK || !strings.HasPrefix(a.header.Get("Content-Type"), "text/event-stream") {
				t.Fatalf("%d %s", a.status, a.body)
			}
			if !strings.HasSuffix(a.body, "data: [DONE]\n\n") {
				t.Fatalf("no [DONE]: %q", a.body)
			}
			if got := strings.Contains(a.body, `"choices":[]`); got != c.usage {
				t.Errorf("usage chunk: %v, want %v\n%s", got, c.usage, a.body)
			}
			sent := s.provider.Requests()[0].Body
			if !gjson.GetBytes(sent, "stream_options.include_usage").Bool() {
				t.Errorf("usage was not asked of the provider: %s", sent)
			}
			if name == "another option" && gjson.GetBytes(sent, "stream_options.include_obfuscation").Raw != "false" {
				t.Errorf("an option was lost: %s", sent)
			}
			r, stats := s.records(1)[0], s.provider.Stats()
			if r.In != stats.PromptTokens || r.Out != stats.CompletionTokens || r.Estimated || !r.Streamed || r.Out == 0 {
				t.Errorf("%+v; the provider counted %+v", r, stats)
			}
			s.unheld()
		})
	}
}

func TestChunksComeAsTheProviderSendsThem(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	s.provider.Next(openaitest.Behaviour{Fault: openaitest.FaultStall, After: 3})
	req, _ := http.NewRequest(http.MethodPost, s.url+"/chat/completions", strings.NewReader(chatBody(`"stream":true,`)))
	req.Header.Set("Authorization", "Bearer "+s.key)
	res, err := http.DefaultClient.Do(req)
	s.must(err)
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	for seen := 0; seen < 3; { // the provider is silent after these: they must not wait for more
		if !lines.Scan() {
			t.Fatalf("after %d events: %v", seen, lines.Err())
		}
		if strings.HasPrefix(lines.Text(), "data: ") {
			seen++
		}
	}
	s.provider.Close()
}

func TestAClientThatLeavesIsBilledTheProvidersFigure(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{TokensPerSecond: 50})
	s.gate.AbortDrain = time.Minute
	s.leave(chatBody(`"stream":true,"max_tokens":100,`))
	r := s.records(1)[0]
	if stats := s.provider.Stats(); r.Status != "aborted" || r.Estimated || r.Out != stats.CompletionTokens || r.Out == 0 || stats.Answered != 1 {
		t.Fatalf("%+v; the provider counted %+v", r, stats)
	}
	s.unheld()
}

func TestAClientThatLeavesASlowStreamIsBilledWhatWasDelivered(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{TokensPerSecond: 20})
	s.gate.AbortDrain = 100 * time.Millisecond
	s.leave(chatBody(`"stream":true,"max_tokens":500,`))
	r := s.records(1)[0]
	if r.Status != "aborted" || !r.Estimated || r.Out == 0 || r.Out > 100 || r.In == 0 {
		t.Fatalf("%+v", r)
	}
	s.unheld()
}

// leave reads one event of a stream and goes away.
func (s *site) leave(body string) {
	s.t.Helper()
	req, err := http.NewRequest(http.MethodPost, s.url+"/chat/completions", strings.NewReader(body))
	s.must(err)
	req.Header.Set("Authorization", "Bearer "+s.key)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Do(req)
	s.must(err)
	if _, err := bufio.NewReader(res.Body).ReadString('\n'); err != nil {
		s.t.Fatal(err)
	}
	res.Body.Close()
}

func TestAnAbortedStreamLeavesNothingForTheNextCall(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{TokensPerSecond: 100})
	s.gate.AbortDrain = 0
	for range 10 {
		s.provider.Next(openaitest.Behaviour{Text: strings.Repeat("segredo de outro cliente ", 50)})
		s.leave(chatBody(`"stream":true,`))
		s.provider.Next(openaitest.Behaviour{Text: "resposta certa"})
		if a := s.post(chatBody("")); a.status != http.StatusOK || !strings.Contains(a.body, "resposta certa") || strings.Contains(a.body, "segredo") {
			t.Fatalf("%d %s", a.status, a.body)
		}
		s.provider.Next(openaitest.Behaviour{Text: "fluxo certo"})
		if a := s.post(chatBody(`"stream":true,`)); a.status != http.StatusOK || strings.Contains(a.body, "segredo") || !strings.HasSuffix(a.body, "[DONE]\n\n") {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	s.unheld()
}

func TestNeitherKeysNorPromptsAreLogged(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	body := strings.Replace(chatBody(""), "Qual é", "canary-prompt", 1)
	s.post(body)
	s.post(strings.Replace(body, "{", `{"stream":true,`, 1))
	s.post(body[:len(body)-1])
	s.do(http.MethodPost, "/chat/completions", s.key+"x", body)
	s.provider.Next(openaitest.Behaviour{Status: 401}, openaitest.Behaviour{Status: 500})
	s.post(body)
	s.post(body)
	log := s.logged()
	if !strings.Contains(log, "tenant=") || strings.Count(log, "msg=call") < 6 {
		t.Fatalf("the log is too empty to prove anything: %s", log)
	}
	for _, secret := range []string{s.key, s.key[9:], providerKey, "canary-prompt"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

func TestABodyOverTheLimitIsRefusedInOpenAIsShape(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	req, _ := http.NewRequest(http.MethodPost, s.url+"/chat/completions", io.LimitReader(zeros{}, bodyLimit+1))
	req.ContentLength = bodyLimit + 1
	req.Header.Set("Authorization", "Bearer "+s.key)
	res, err := http.DefaultClient.Do(req)
	s.must(err)
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusRequestEntityTooLarge || gjson.GetBytes(text, "error.code").Str != "request_too_large" {
		t.Fatalf("%d %s", res.StatusCode, text)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	copy(p, bytes.Repeat([]byte(" "), len(p)))
	return len(p), nil
}

func TestManyCallersAtOnceAreCountedToTheToken(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	done := make(chan answer)
	const calls = 200
	for n := range calls {
		go func() { done <- s.post(chatBody(fmt.Sprintf(`"stream":%v,"user":"u%d",`, n%2 == 0, n))) }()
	}
	for range calls {
		if a := <-done; a.status != http.StatusOK || a.err != nil {
			t.Errorf("%d %s %v", a.status, a.body, a.err)
		}
	}
	var in, out int64
	for _, r := range s.records(calls) {
		in, out = in+r.In, out+r.Out
	}
	if stats := s.provider.Stats(); in != stats.PromptTokens || out != stats.CompletionTokens {
		t.Fatalf("recorded %d and %d, the provider counted %+v", in, out, stats)
	}
	s.unheld()
}
