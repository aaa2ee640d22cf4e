package v1_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/openaitest"
)

// seen checks an error's four keys and status.
func seen(t *testing.T, a answer, status int, kind, code, param string) {
	t.Helper()
	e := gjson.Get(a.body, "error")
	for _, key := range []string{"message", "type", "param", "code"} {
		if !e.Get(key).Exists() {
			t.Errorf("%q is missing: %s", key, a.body)
		}
	}
	if a.status != status || e.Get("type").Str != kind || e.Get("code").String() != code || e.Get("param").String() != param || e.Get("message").Str == "" {
		t.Errorf("%d %s; want %d %s %s %s", a.status, a.body, status, kind, code, param)
	}
	if code == "" && e.Get("code").Raw != "null" || param == "" && e.Get("param").Raw != "null" {
		t.Errorf("absent must be null: %s", a.body)
	}
	if !strings.HasPrefix(a.header.Get("X-Request-Id"), "req_") {
		t.Errorf("no request id: %v", a.header)
	}
}

func TestBadInputIsNamedInOpenAIsShape(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	const messages = `"messages":[{"role":"user","content":"oi"}]`
	for name, c := range map[string]struct{ body, param string }{
		"empty":                {``, ""},
		"no JSON":              {`{"model":`, ""},
		"no object":            {`[1]`, ""},
		"a string":             {`"x"`, ""},
		"no model":             {`{` + messages + `}`, "model"},
		"model is no text":     {`{"model":5,` + messages + `}`, "model"},
		"no messages":          {`{"model":"gpt-4.1-nano"}`, "messages"},
		"messages is no list":  {`{"model":"gpt-4.1-nano","messages":"oi"}`, "messages"},
		"messages is empty":    {`{"model":"gpt-4.1-nano","messages":[]}`, "messages"},
		"stream is no boolean": {`{"model":"gpt-4.1-nano","stream":"yes",` + messages + `}`, "stream"},
		"no tokens":            {`{"model":"gpt-4.1-nano","max_tokens":0,` + messages + `}`, "max_tokens"},
		"negative tokens":      {`{"model":"gpt-4.1-nano","max_completion_tokens":-1,` + messages + `}`, "max_completion_tokens"},
		"half a token":         {`{"model":"gpt-4.1-nano","max_tokens":1.5,` + messages + `}`, "max_tokens"},
		"endless tokens":       {`{"model":"gpt-4.1-nano","max_tokens":1e300,` + messages + `}`, "max_tokens"},
		"too many choices":     {`{"model":"gpt-4.1-nano","n":129,` + messages + `}`, "n"},
		"given twice":          {`{"model":"gpt-4.1-nano","model":"gpt-4.1",` + messages + `}`, "model"},
		"twice in disguise":    {`{"model":"gpt-4.1-nano","mod\u0065l":"gpt-4.1",` + messages + `}`, "model"},
	} {
		t.Run(name, func(t *testing.T) {
			seen(t, s.post(c.body), http.StatusBadRequest, "invalid_request_error", "", c.param)
		})
	}
	seen(t, s.post(`{"model":"gpt-9",`+messages+`}`), http.StatusNotFound, "invalid_request_error", "model_not_found", "model")
	seen(t, s.do(http.MethodGet, "/models/gpt-9", s.key, ""), http.StatusNotFound, "invalid_request_error", "model_not_found", "model")
	seen(t, s.do(http.MethodGet, "/nothing", s.key, ""), http.StatusNotFound, "invalid_request_error", "unknown_url", "")
	seen(t, s.do(http.MethodGet, "/chat/completions", s.key, ""), http.StatusNotFound, "invalid_request_error", "unknown_url", "")
	if n := s.provider.Stats().Requests; n != 0 {
		t.Errorf("%d bad calls reached the provider", n)
	}
	s.records(0)
	s.unheld()
}

func TestKeysThatDoNotWork(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	ctx := context.Background()
	const kind = "invalid_request_error"
	seen(t, s.do(http.MethodGet, "/models", "", ""), 401, kind, "invalid_api_key", "")
	seen(t, s.do(http.MethodGet, "/models", s.key+"x", ""), 401, kind, "invalid_api_key", "")
	if a := s.do(http.MethodGet, "/models", s.key, ""); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	s.must(s.store.SuspendTenant(ctx, s.tenant.ID))
	s.gate.Callers.Forget(s.tenant.ID)
	seen(t, s.post(chatBody("")), 401, kind, "account_deactivated", "")
	s.must(s.store.ReactivateTenant(ctx, s.tenant.ID))
	s.must(s.store.RevokeKey(ctx, s.keyID))
	s.gate.Callers.Forget(s.tenant.ID)
	seen(t, s.post(chatBody("")), 401, kind, "invalid_api_key", "")
}

func TestModelsAreThoseOfThePlan(t *testing.T) {
	terms := roomy()
	terms.AllowedModels = []string{"gpt-4.1-nano", "gpt-4o-mini"}
	s := newSite(t, terms, openaitest.Options{})
	a := s.do(http.MethodGet, "/models", s.key, "")
	if gjson.Get(a.body, "object").Str != "list" || gjson.Get(a.body, "data.#").Int() != 2 || gjson.Get(a.body, "data.0.object").Str != "model" {
		t.Errorf("%s", a.body)
	}
	a = s.do(http.MethodGet, "/models/gpt-4o-mini", s.key, "")
	if gjson.Get(a.body, "id").Str != "gpt-4o-mini" || gjson.Get(a.body, "created").Int() == 0 || gjson.Get(a.body, "owned_by").Str == "" {
		t.Errorf("%s", a.body)
	}
	seen(t, s.do(http.MethodGet, "/models/gpt-4.1", s.key, ""), 404, "invalid_request_error", "model_not_found", "model")
	seen(t, s.post(strings.Replace(chatBody(""), "gpt-4.1-nano", "gpt-4.1", 1)), 404, "invalid_request_error", "model_not_found", "model")
}

func TestQuotaRefusesBeforeTheProviderAndForGood(t *testing.T) {
	terms := roomy()
	terms.OutputTokens = 100
	s := newSite(t, terms, openaitest.Options{})
	a := s.post(chatBody(`"max_tokens":101,`))
	seen(t, a, 429, "insufficient_quota", "insufficient_quota", "")
	if a.header.Get("X-Should-Retry") != "false" || a.header.Get("Retry-After") != "" {
		t.Errorf("%v", a.header)
	}
	if !strings.Contains(a.body, "101 output tokens") || !strings.Contains(a.body, "100 output tokens remain") {
		t.Errorf("it does not say what was asked and what remains: %s", a.body)
	}
	if n := s.provider.Stats().Requests; n != 0 {
		t.Errorf("%d refused calls reached the provider", n)
	}
	if a := s.post(chatBody(`"max_tokens":100,`)); a.status != 200 {
		t.Errorf("exactly the limit: %d %s", a.status, a.body)
	}
}

func TestACallWithoutALimitIsCutWhereTheQuotaEnds(t *testing.T) {
	terms := roomy()
	terms.OutputTokens = 12
	s := newSite(t, terms, openaitest.Options{})
	a := s.post(chatBody(""))
	if a.status != 200 || gjson.Get(a.body, "choices.0.finish_reason").Str != "length" || gjson.Get(a.body, "usage.completion_tokens").Int() != 12 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	seen(t, s.post(chatBody("")), 429, "insufficient_quota", "insufficient_quota", "")
}

func TestSeveralChoicesShareWhatTheQuotaAllows(t *testing.T) {
	terms := roomy()
	terms.OutputTokens = 25
	s := newSite(t, terms, openaitest.Options{})
	a := s.post(chatBody(`"n":2,`))
	if a.status != 200 || gjson.Get(a.body, "usage.completion_tokens").Int() > 25 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if got := gjson.GetBytes(s.provider.Requests()[0].Body, "max_completion_tokens").Int(); got != 12 {
		t.Errorf("each choice may have %d", got)
	}
}

func TestRatesRefuseWithTheTimeToWait(t *testing.T) {
	terms := roomy()
	terms.RequestsPerMinute = 1
	s := newSite(t, terms, openaitest.Options{})
	s.post(chatBody(""))
	a := s.post(chatBody(""))
	seen(t, a, 429, "requests", "rate_limit_exceeded", "")
	if a.header.Get("Retry-After") == "" || a.header.Get("Retry-After-Ms") == "" || a.header.Get("X-Should-Retry") == "false" {
		t.Errorf("%v", a.header)
	}
	s.records(1)
}

func TestParallelCallsAboveThePlanAreRefused(t *testing.T) {
	terms := roomy()
	terms.ParallelCalls = 1
	under := make(chan struct{})
	s := newSite(t, terms, openaitest.Options{Script: func(*openaitest.Request) (b openaitest.Behaviour) { <-under; return b }})
	end := sync.OnceFunc(func() { close(under) })
	t.Cleanup(end)
	first := make(chan answer, 1)
	go func() { first <- s.post(chatBody("")) }()
	eventually(t, "the first call comes", func() bool { return s.provider.Stats().Requests > 0 })
	seen(t, s.post(chatBody("")), 429, "requests", "rate_limit_exceeded", "")
	end()
	if a := <-first; a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := s.post(chatBody("")); a.status != 200 {
		t.Errorf("after the first ended: %d %s", a.status, a.body)
	}
}
