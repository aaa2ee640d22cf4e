package v1_test

import (
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/openaitest"
)

// TestProviderFaults is what a client sees and what is recorded when the provider fails.
func TestProviderFaults(t *testing.T) {
	type want struct {
		status   int
		kind     string // of the error; empty: none
		recorded string
		billed   bool
	}
	for name, c := range map[string]struct {
		behaviour openaitest.Behaviour
		whole     want
		stream    want
	}{
		"refuses the connection": {openaitest.Behaviour{Fault: openaitest.FaultRefuse},
			want{503, "service_unavailable_error", "error", false}, want{503, "service_unavailable_error", "error", false}},
		"resets in the middle": {openaitest.Behaviour{Fault: openaitest.FaultReset, After: 3},
			want{503, "service_unavailable_error", "error", false}, want{200, "service_unavailable_error", "error", true}},
		"ends in the middle": {openaitest.Behaviour{Fault: openaitest.FaultTruncate, After: 3},
			want{503, "service_unavailable_error", "error", false}, want{200, "service_unavailable_error", "error", true}},
		"fails with an event": {openaitest.Behaviour{Fault: openaitest.FaultErrorEvent, After: 3},
			want{500, "server_error", "error", false}, want{200, "server_error", "error", true}},
		"reports no usage": {openaitest.Behaviour{Fault: openaitest.FaultNoUsage},
			want{200, "", "ok", true}, want{200, "", "ok", true}},
		"fails": {openaitest.Behaviour{Status: 500},
			want{500, "server_error", "error", false}, want{500, "server_error", "error", false}},
		"limits us": {openaitest.Behaviour{Status: 429, Header: map[string]string{"Retry-After": "7"}},
			want{429, "requests", "error", false}, want{429, "requests", "error", false}},
		"refuses our credentials": {openaitest.Behaviour{Status: 401},
			want{503, "service_unavailable_error", "error", false}, want{503, "service_unavailable_error", "error", false}},
		"forbids us": {openaitest.Behaviour{Status: 403},
			want{503, "service_unavailable_error", "error", false}, want{503, "service_unavailable_error", "error", false}},
		"rejects the request": {openaitest.Behaviour{Status: 400},
			want{400, "invalid_request_error", "error", false}, want{400, "invalid_request_error", "error", false}},
	} {
		for _, mode := range []struct {
			name, extra string
			want        want
		}{{"whole", "", c.whole}, {"stream", `"stream":true,`, c.stream}} {
			t.Run(name+"/"+mode.name, func(t *testing.T) {
				s := newSite(t, roomy(), openaitest.Options{})
				s.provider.Next(c.behaviour)
				a := s.post(chatBody(mode.extra))
				if a.err != nil || a.status != mode.want.status || errorType(a.body) != mode.want.kind {
					t.Errorf("the client saw %d %q %v", a.status, a.body, a.err)
				}
				if mode.want.kind != "" && strings.Contains(a.body, `"finish_reason":"stop"`) {
					t.Errorf("a failure looks like an end: %q", a.body)
				}
				if c.behaviour.Header != nil && a.header.Get("Retry-After") != "7" {
					t.Errorf("retry-after is lost: %v", a.header)
				}
				r := s.records(1)[0]
				if r.Status != mode.want.recorded || (r.In+r.Out > 0) != mode.want.billed || r.Estimated != mode.want.billed {
					t.Errorf("recorded %+v", r)
				}
				s.unheld()
				if c.behaviour.Status == 429 { // nobody asks before the provider wants to be asked
					a := s.post(chatBody(mode.extra))
					if a.status != 503 || a.header.Get("Retry-After") != "7" || s.provider.Stats().Requests != 1 {
						t.Errorf("the next call: %d %v %q", a.status, a.header, a.body)
					}
					return
				}
				// The next call is none the worse for it.
				if a := s.post(chatBody(mode.extra)); a.status != 200 || errorType(a.body) != "" {
					t.Errorf("the next call: %d %q", a.status, a.body)
				}
			})
		}
	}
}

// errorType finds the type of an error that is the answer, or an event of it.
func errorType(body string) string {
	for line := range strings.Lines(body) {
		if kind := gjson.Get(strings.TrimPrefix(line, "data: "), "error.type"); strings.HasPrefix(line, "data: {") && kind.Exists() {
			return kind.Str
		}
	}
	return gjson.Get(body, "error.type").Str
}

func TestAnAnswerThatIsNoJSONIsNotPassedOn(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	s.provider.Next(openaitest.Behaviour{Fault: openaitest.FaultMalformed})
	seen(t, s.post(chatBody("")), 503, "service_unavailable_error", "server_is_overloaded", "")
	if r := s.records(1)[0]; r.Status != "error" || r.In+r.Out != 0 {
		t.Fatalf("%+v", r)
	}
	s.unheld()
}

func TestAMalformedChunkHarmsNothing(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	s.provider.Next(openaitest.Behaviour{Fault: openaitest.FaultMalformed, After: 2})
	a := s.post(chatBody(`"stream":true,`))
	if a.status != 200 || a.err != nil {
		t.Fatalf("%d %v", a.status, a.err)
	}
	if r := s.records(1)[0]; r.In == 0 || r.Out == 0 {
		t.Fatalf("%+v", r)
	}
	s.unheld()
}

func TestAProviderThatReportsMoreThanItWasAllowedIsBilledInFull(t *testing.T) {
	terms := roomy()
	terms.OutputTokens = 50
	s := newSite(t, terms, openaitest.Options{})
	s.provider.Next(openaitest.Behaviour{Usage: &openaitest.Usage{PromptTokens: 10, CompletionTokens: 80}})
	if a := s.post(chatBody(`"max_tokens":50,`)); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if r := s.records(1)[0]; r.Out != 80 {
		t.Fatalf("%+v", r)
	}
	var used, overrun int64
	s.must(s.store.DB().QueryRow(`SELECT used_out, overrun_out FROM quota_buckets`).Scan(&used, &overrun))
	if used != 80 || overrun != 30 {
		t.Fatalf("used %d, overrun %d", used, overrun)
	}
	seen(t, s.post(chatBody(`"max_tokens":1,`)), 429, "insufficient_quota", "insufficient_quota", "")
}
