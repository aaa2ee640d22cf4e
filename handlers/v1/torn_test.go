package v1_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/openaitest"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// events is a stream that the provider sends with these bytes, and then ends.
func events(body string) openaitest.Behaviour {
	return openaitest.Behaviour{Status: http.StatusOK, Header: map[string]string{"Content-Type": "text/event-stream"}, Body: body}
}

const (
	oneChunk  = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"oi\"}}]}\n\n"
	lastChunk = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
	created   = "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"id\":\"resp_a\",\"status\":\"in_progress\"}}\n\n"
)

func TestAPartOfAnEventNeverEndsAStreamWell(t *testing.T) {
	for name, c := range map[string]struct{ path, request, sent, recorded string }{
		"the end of a chat": {"/chat/completions", chatBody(`"stream":true,`),
			oneChunk + `data: {"choices":[{"index":0,"finish_reason":"stop","delta":{"cont`, "error"},
		"the end of a response": {"/responses", `{"model":"gpt-4.1-nano","input":"oi","stream":true}`,
			created + "event: response.completed\ndata: {\"type\":\"response.completed\",\"sequence_number\":1,\"respon", "error"},
		"the end of an image": {"/images/generations", `{"model":"gpt-image-1","prompt":"oi","stream":true}`,
			"data: {\"type\":\"image_generation.completed\",\"b64_json\":\"iVBO", "error"},
		"no more than the mark": {"/chat/completions", chatBody(`"stream":true,`), oneChunk + lastChunk + "data: [DO", "ok"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, roomy(), openaitest.Options{})
			s.provider.Next(events(c.sent))
			a := s.do(http.MethodPost, c.path, s.key, c.request)
			var types []string
			for event := range strings.SplitSeq(strings.TrimSpace(a.body), "\n\n") {
				_, data, _ := strings.Cut(event, "data: ")
				if data == "[DONE]" {
					types = append(types, "done")
				} else if gjson.Valid(data) {
					types = append(types, gjson.Get(data, "error.type").Str)
				} else {
					t.Errorf("a part of an event was passed on: %q", event)
				}
			}
			want := map[string]string{"ok": "done", "error": "service_unavailable_error"}[c.recorded]
			if types[len(types)-1] != want {
				t.Errorf("the stream ends with %q, want %s: %q", types, want, a.body)
			}
			if r := s.records(1)[0]; r.Status != c.recorded {
				t.Errorf("recorded %+v, want %s", r, c.recorded)
			}
		})
	}
}

func TestAStreamOfNothingIsAskedForElsewhereAndNotBilled(t *testing.T) {
	for name, nothing := range map[string]openaitest.Behaviour{"blank": events("\n"), "reset behind its head": {Fault: openaitest.FaultReset}} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, roomy(), openaitest.Options{})
			s.provider.Next(nothing)
			s.overloaded(s.post(chatBody(`"stream":true,`)))
			if r := s.records(1)[0]; r.Status != "error" || r.In+r.Out != 0 || r.Estimated {
				t.Errorf("recorded %+v", r)
			}
			s.second(openaitest.Options{})
			s.retries(1)
			s.provider.Next(nothing)
			if a := s.post(chatBody(`"stream":true,`)); a.status != http.StatusOK || !strings.HasSuffix(a.body, "data: [DONE]\n\n") {
				t.Errorf("%d %q", a.status, a.body)
			}
			s.unheld()
		})
	}
}

// Validating JSON recurses: a stack that overflows would end the process, and all calls with it.
func TestADeeplyNestedEventEndsNothing(t *testing.T) {
	deep := "data: " + strings.Repeat("[", 7<<20)
	for _, c := range []struct {
		name  string
		cache tenancy.CacheMode
		end   string
	}{{"at the end", tenancy.CacheOff, ""}, {"that may be kept", tenancy.CacheExact, "\n\n"}} {
		t.Run(c.name, func(t *testing.T) {
			terms := roomy()
			terms.Cache = c.cache
			s := newSite(t, terms, openaitest.Options{})
			s.provider.Next(events(oneChunk + deep + c.end))
			if a := s.post(chatBody(`"stream":true,`)); errorType(a.body[len(a.body)-min(len(a.body), 500):]) != "service_unavailable_error" {
				t.Errorf("%d bytes end with %q", len(a.body), a.body[len(a.body)-min(len(a.body), 500):])
			}
			if a := s.post(chatBody("")); a.status != http.StatusOK {
				t.Errorf("the next call: %d %s", a.status, a.body)
			}
		})
	}
}

// Some SDKs know an error of a stream of responses by "type", others by "error"; some read the members flat, others nested.
func TestAnErrorInAStreamOfResponsesIsOneForEverySDK(t *testing.T) {
	flat := "event: error\ndata: {\"type\":\"error\",\"sequence_number\":1,\"code\":\"rate_limit_exceeded\",\"message\":\"Slow down.\",\"param\":null}\n\n"
	nested := "event: error\ndata: {\"type\":\"error\",\"sequence_number\":1,\"error\":{\"type\":\"x\",\"code\":\"y\",\"message\":\"z\",\"param\":null}}\n\n"
	for name, c := range map[string]struct{ sent, want string }{
		"the provider breaks off": {created, `{"type":"error","sequence_number":1,"code":"server_is_overloaded","message":"M","param":null,` +
			`"error":{"message":"M","type":"service_unavailable_error","param":null,"code":"server_is_overloaded"}}`},
		"the provider's own, flat": {created + flat, `{"type":"error","sequence_number":1,"code":"rate_limit_exceeded","message":"Slow down.","param":null,` +
			`"error":{"message":"Slow down.","type":"server_error","param":null,"code":"rate_limit_exceeded"}}`},
		"the provider's own, nested": {created + nested, strings.TrimPrefix(strings.TrimSpace(nested), "event: error\ndata: ")},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, roomy(), openaitest.Options{})
			s.provider.Next(events(c.sent))
			a := s.do(http.MethodPost, "/responses", s.key, `{"model":"gpt-4.1-nano","input":"oi","stream":true}`)
			body := strings.ReplaceAll(a.body, "The service is temporarily unavailable. Please retry.", "M")
			if want := created + "event: error\ndata: " + c.want + "\n\n"; body != want {
				t.Errorf("the client saw %q, want %q", body, want)
			}
			if r := s.records(1)[0]; r.Status != "error" {
				t.Errorf("recorded %+v", r)
			}
		})
	}
}
