package v1_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/openaitest"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// why asks the API why a call was refused.
func (s *site) why(a answer) gjson.Result {
	s.t.Helper()
	id := a.header.Get("X-Request-Id")
	if link := portalURL + "/portal/refusals/" + id; !strings.Contains(gjson.Get(a.body, "error.message").Str, link) {
		s.t.Errorf("the message has no link %s: %s", link, a.body)
	}
	w := s.do(http.MethodGet, "/refusals/"+id, s.key, "")
	if w.status != 200 {
		s.t.Fatalf("%d %s", w.status, w.body)
	}
	return gjson.Parse(w.body)
}

// kept waits until a refusal is in the database, so that it outlives this process.
func (s *site) kept(n int) {
	s.t.Helper()
	soon(s.t, "the refusals are written", func() bool {
		var rows int
		s.must(s.store.DB().QueryRow(`SELECT count(*) FROM refusals`).Scan(&rows))
		return rows == n
	})
}

func TestEachReasonIsKeptWithItsFigures(t *testing.T) {
	type want struct {
		reason, scope, limit    string
		value, asked, remaining int64
		resets                  string // in: "period", "soon", ""
	}
	full := func(in, out int64) tenancy.Terms {
		terms := roomy()
		terms.InputTokens, terms.OutputTokens = in, out
		return terms
	}
	rates := func(requests, tokens, parallel int) tenancy.Terms {
		terms := roomy()
		terms.RequestsPerMinute, terms.TokensPerMinute, terms.ParallelCalls = requests, tokens, parallel
		return terms
	}
	for name, c := range map[string]struct {
		terms tenancy.Terms
		setup func(s *site)
		body  string
		want  want
	}{
		"output tokens": {full(1000, 100), nil, chatBody(`"max_tokens":101,`), want{"quota_exhausted", "plan", "output_tokens", 100, 101, 100, "period"}},
		"input tokens": {full(10, 1000), nil, `{"model":"gpt-4.1-nano","messages":[{"role":"user","content":"um dois três quatro cinco"}],"max_tokens":1}`,
			want{"quota_exhausted", "plan", "input_tokens", 10, 12, 10, "period"}},
		"both": {full(1, 1), nil, chatBody(`"max_tokens":5,`), want{"quota_exhausted", "plan", "output_tokens", 1, 5, 1, "period"}},
		"requests of the plan": {rates(1, 0, 0), func(s *site) { s.post(chatBody("")) }, chatBody(""),
			want{"rate_limited", "plan", "requests_per_minute", 1, 1, 0, "soon"}},
		"requests of the tenant": {rates(0, 0, 0), func(s *site) {
			s.exec(`UPDATE tenants SET requests_per_minute = 1`)
			s.gate.Callers.Forget(s.tenant.ID)
			s.post(chatBody(""))
		}, chatBody(""), want{"rate_limited", "tenant", "requests_per_minute", 1, 1, 0, "soon"}},
		"requests of the key": {rates(0, 0, 0), func(s *site) {
			s.exec(`UPDATE api_keys SET requests_per_minute = 1`)
			s.gate.Callers.Forget(s.tenant.ID)
			s.post(chatBody(""))
		}, chatBody(""), want{"rate_limited", "key", "requests_per_minute", 1, 1, 0, "soon"}},
		"tokens of the plan": {rates(0, 1000, 0), func(s *site) {
			s.provider.Next(openaitest.Behaviour{Usage: &openaitest.Usage{PromptTokens: 1, CompletionTokens: 999}})
			s.post(chatBody(""))
		}, chatBody(`"max_tokens":500,`), want{"rate_limited", "plan", "tokens_per_minute", 1000, 530, 0, "soon"}},
		"no model":          {roomy(), nil, strings.Replace(chatBody(""), "gpt-4.1-nano", "gpt-9", 1), want{reason: "unknown_model"}},
		"a prompt as model": {roomy(), nil, strings.Replace(chatBody(""), "gpt-4.1-nano", "Quantos pães?", 1), want{reason: "unknown_model"}},
		"a key as model":    {roomy(), nil, strings.Replace(chatBody(""), "gpt-4.1-nano", "fia_live_x", 1), want{reason: "unknown_model"}},
		"no provider":       {roomy(), func(s *site) { s.provider.Close() }, chatBody(""), want{reason: "provider_away", resets: "soon"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, c.terms, openaitest.Options{})
			other := s.neighbour()
			if c.setup != nil {
				c.setup(s)
			}
			a := s.post(c.body)
			s.exec(`UPDATE tenants SET requests_per_minute = NULL`) // asking why must not be refused
			s.exec(`UPDATE api_keys SET requests_per_minute = NULL`)
			s.gate.Callers.Forget(s.tenant.ID)
			for _, from := range []string{"memory", "the database"} {
				if from == "the database" {
					s.kept(1)
				}
				got := s.why(a)
				w := c.want
				model := gjson.Get(c.body, "model").Str
				if strings.HasSuffix(name, " as model") { // it is not kept
					model = ""
				}
				if got.Get("object").Str != "refusal" || got.Get("id").Str != a.header.Get("X-Request-Id") || got.Get("reason").Str != w.reason ||
					got.Get("http_status").Int() != int64(a.status) || got.Get("endpoint").Str != "chat.completions" || got.Get("model").Str != model {
					t.Errorf("%d %s", a.status, got.Raw)
				}
				if got.Get("scope").String() != w.scope || got.Get("limit").String() != w.limit || got.Get("limit_value").Int() != w.value ||
					!near(got.Get("asked").Int(), w.asked) || got.Get("remaining").Int() != w.remaining {
					t.Errorf("want %+v: %s", w, got.Raw)
				}
				if w.scope == "" && (got.Get("scope").Raw != "null" || got.Get("limit").Raw != "null") {
					t.Errorf("absent must be null: %s", got.Raw)
				}
				at := time.Unix(got.Get("resets_at").Int(), 0)
				period, err := time.Parse(time.RFC3339, a.header.Get("X-Fila-Quota-Reset"))
				s.must(err)
				switch w.resets {
				case "period":
					if !at.Equal(period) {
						t.Errorf("resets at %s, and the period ends at %s", at, period)
					}
				case "soon":
					if until := time.Until(at); until < -10*time.Second || until > 61*time.Second {
						t.Errorf("resets in %s", until)
					}
				default:
					if got.Get("resets_at").Raw != "null" {
						t.Errorf("%s", got.Raw)
					}
				}
				if got.Get("url").Str != portalURL+"/portal/refusals/"+a.header.Get("X-Request-Id") || time.Since(time.Unix(got.Get("created_at").Int(), 0)) > time.Minute {
					t.Errorf("%s", got.Raw)
				}
				seen(t, s.do(http.MethodGet, "/refusals/"+got.Get("id").Str, other, ""), 404, "invalid_request_error", "", "")
			}
		})
	}
}

func TestACallAmongTooManyIsToldOfTheParallelLimit(t *testing.T) {
	terms := roomy()
	terms.ParallelCalls = 1
	s := newSite(t, terms, openaitest.Options{})
	s.provider.Next(openaitest.Behaviour{Fault: openaitest.FaultStall})
	first := make(chan answer)
	go func() { first <- s.post(chatBody("")) }()
	soon(t, "the first call", func() bool { return s.provider.Stats().Requests > 0 })
	got := s.why(s.post(chatBody("")))
	if got.Get("scope").Str != "plan" || got.Get("limit").Str != "parallel_calls" || got.Get("limit_value").Int() != 1 {
		t.Errorf("%s", got.Raw)
	}
	s.provider.Close()
	<-first
}

// TestAKeyThatStoppedWorkingLeavesARow: its people can read why in the portal, though the key itself reads nothing.
func TestAKeyThatStoppedWorkingLeavesARow(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	s.must(s.store.SuspendTenant(context.Background(), s.tenant.ID))
	s.gate.Callers.Forget(s.tenant.ID)
	a := s.post(chatBody(""))
	if a.status != 401 || !strings.Contains(a.body, portalURL+"/portal/refusals/"+a.header.Get("X-Request-Id")) {
		t.Errorf("%d %s", a.status, a.body)
	}
	s.kept(1)
	var reason string
	s.must(s.store.DB().QueryRow(`SELECT reason FROM refusals WHERE tenant_id = $1`, s.tenant.ID).Scan(&reason))
	if reason != "tenant_inactive" {
		t.Error(reason)
	}
}

func TestWhatIsNoRefusalOfACallLeavesNoRow(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	for _, a := range []answer{
		s.post(`{`), s.post(`{"model":"gpt-4.1-nano"}`), s.do(http.MethodGet, "/nothing", s.key, ""), s.do(http.MethodPost, "/chat/completions", "", chatBody("")),
		s.do(http.MethodPost, "/chat/completions", s.key+"x", chatBody("")), s.do(http.MethodGet, "/responses/resp_x", s.key, ""),
		s.respond(`"previous_response_id":"resp_x",`), s.do(http.MethodGet, "/refusals/req_x", s.key, ""),
	} {
		if a.status < 400 || strings.Contains(a.body, portalURL) {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	a := s.post(strings.Replace(chatBody(""), "gpt-4.1-nano", `a\u0000b\ud800`+strings.Repeat("m", 100_000), 1)) // the last: it must not keep others out
	if a.status != 404 || len(a.body) > 2000 {
		t.Errorf("%d, %d bytes", a.status, len(a.body))
	}
	s.kept(1)
}

func TestIDsOfRefusals(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	const kind = "invalid_request_error"
	for _, id := range []string{"x", "req_", "req_00", "req_" + strings.Repeat("0", 33), "req_zz", "%00", strings.Repeat("a", 2000), "01a20562-e1a0-71d4-bd30-e6f3bffee76b"} {
		a := s.do(http.MethodGet, "/refusals/"+id, s.key, "")
		if seen(t, a, 400, kind, "", "request_id"); len(a.body) > 1000 {
			t.Errorf("the answer repeats %d bytes", len(a.body))
		}
	}
	seen(t, s.do(http.MethodGet, "/refusals/req_"+strings.Repeat("0", 32), s.key, ""), 404, kind, "", "")
	seen(t, s.do(http.MethodGet, "/refusals/req_"+strings.Repeat("0", 32), "", ""), 401, kind, "invalid_api_key", "")
	seen(t, s.do(http.MethodDelete, "/refusals/req_"+strings.Repeat("0", 32), s.key, ""), 404, kind, "unknown_url", "")
}
