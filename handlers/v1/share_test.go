package v1_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/openaitest"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// heldProvider answers every call with a kind of body, once begin is closed.
func (s *site) heldProvider(kind, body string) (begin chan struct{}) {
	s.t.Helper()
	begin = make(chan struct{})
	p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-begin:
		case <-r.Context().Done():
			return
		}
		w.Header().Set("Content-Type", kind)
		_, _ = io.WriteString(w, body)
	}))
	s.t.Cleanup(p.Close)
	s.exec(`UPDATE providers SET base_url = $1`, p.URL)
	s.reload()
	return begin
}

// shared makes one call, and others that follow it; closing begin lets the provider answer once all wait.
func (s *site) shared(begin chan struct{}, first string, others ...string) []answer {
	s.t.Helper()
	answers := make([]answer, 1+len(others))
	var all sync.WaitGroup
	all.Go(func() { answers[0] = s.post(first) })
	eventually(s.t, "the first call leads", func() bool { return s.answers.Stats().Flights == 1 })
	for i, body := range others {
		all.Go(func() { answers[1+i] = s.post(body) })
	}
	eventually(s.t, "the others follow", func() bool { return s.answers.Stats().Coalesced == int64(len(others)) })
	close(begin)
	all.Wait()
	return answers
}

func TestAnAnswerThatIsNoStreamIsSharedAsWhatItIs(t *testing.T) {
	const whole = `{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"gpt-4.1-nano","choices":[{"index":0,"message":{"role":"assistant","content":"Abre às nove."},"finish_reason":"stop"}],"usage":{"prompt_tokens":20,"completion_tokens":5,"total_tokens":25}}`
	s := newSite(t, cached(tenancy.CacheExact, 0), openaitest.Options{})
	stream, plain := ask("Que horas abre?", `"stream":true,`), ask("Que horas abre?", "")
	answers := s.shared(s.heldProvider("application/json", whole), stream, plain, stream)
	for i, a := range append(answers[1:], s.post(plain), s.post(stream)) {
		isStream := i%2 == 1
		if a.status != 200 || text(a) != "Abre às nove." || isStream != strings.HasSuffix(a.body, "data: [DONE]\n\n") {
			t.Errorf("%d: %d %v %s", i, a.status, a.err, a.body)
		}
	}
	s.unheld()
}

func TestALongStreamIsSharedToItsEnd(t *testing.T) {
	chunk := `data: {"id":"` + strings.Repeat("x", 200) + `","choices":[{"index":0,"delta":{"content":" oi"},"finish_reason":null}],"usage":null}` + "\n\n"
	const end = `data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n" +
		`data: {"choices":[],"usage":{"prompt_tokens":20,"completion_tokens":20000,"total_tokens":20020}}` + "\n\ndata: [DONE]\n\n"
	s := newSite(t, cached(tenancy.CacheExact, 0), openaitest.Options{})
	body := ask("Conte", `"stream":true,`)
	for i, a := range s.shared(s.heldProvider("text/event-stream", strings.Repeat(chunk, 20000)+end), body, body) {
		if a.err != nil || !strings.HasSuffix(a.body, "data: [DONE]\n\n") || strings.Count(a.body, `" oi"`) != 20000 {
			t.Errorf("client %d: %d, %d bytes, %v, …%s", i, a.status, len(a.body), a.err, a.body[max(len(a.body)-300, 0):])
		}
	}
	s.unheld()
}

func TestAnAnswerThatOneKeysQuotaCutsIsNoOtherKeys(t *testing.T) {
	s := newSite(t, cached(tenancy.CacheExact, 0), openaitest.Options{})
	terms := cached(tenancy.CacheExact, 0)
	terms.OutputTokens = 20
	ctx := context.Background()
	plan, err := s.store.CreatePlan(ctx, tenancy.PlanDraft{Slug: "small", Name: "Small", Terms: terms}, true)
	s.must(err)
	_, secret, err := s.store.CreateKey(ctx, tenancy.KeyDraft{TenantID: s.tenant.ID, Name: "small", PlanID: plan.ID})
	s.must(err)
	long := strings.TrimSpace(strings.Repeat("palavra ", 100))
	s.provider.Next(openaitest.Behaviour{Text: long, Delay: 500 * time.Millisecond}, openaitest.Behaviour{Text: long})
	body := ask("Conte", `"stream":true,`)
	var cut answer
	var all sync.WaitGroup
	all.Go(func() { cut = s.do(http.MethodPost, "/chat/completions", secret.Reveal(), body) })
	eventually(t, "the provider is asked", func() bool { return s.reached() == 1 })
	full := s.post(body)
	all.Wait()
	if cut.status != 200 || !strings.Contains(cut.body, `"length"`) {
		t.Errorf("the quota did not cut: %d %s", cut.status, cut.body)
	}
	if strings.TrimSpace(text(full)) != long {
		t.Errorf("a key with tokens left got %d of %d bytes", len(text(full)), len(long))
	}
	s.unheld()
}
