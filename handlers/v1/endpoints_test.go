package v1_test

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/openaitest"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/tokenizer"
)

// endpoint is a call of one endpoint as its clients make it.
type endpoint struct {
	name, path, model string
	json              string // the members besides the model
	form              func(model string) *form
	stream            string // what asks for a stream in JSON; "": it has none
	streams           bool   // it has streams
	byRequest         bool   // without a usage the call counts as one request
	silent            bool   // its whole answers tell no usage
}

// endpoints lists every endpoint that is a call.
func endpoints() []endpoint {
	return []endpoint{
		{name: "chat.completions", path: "/chat/completions", model: "gpt-4.1-nano", streams: true,
			json: `"messages":[{"role":"user","content":"Que horas são?"}]`, stream: `"stream":true,`},
		{name: "completions", path: "/completions", model: "gpt-3.5-turbo-instruct", streams: true,
			json: `"prompt":"Era uma vez","max_tokens":40`, stream: `"stream":true,`},
		{name: "responses", path: "/responses", model: "gpt-4.1-nano", streams: true,
			json: `"input":"Que horas são?"`, stream: `"stream":true,`},
		{name: "embeddings", path: "/embeddings", model: "text-embedding-3-small", json: `"input":["um","dois e três"]`},
		{name: "moderations", path: "/moderations", model: "omni-moderation-latest", json: `"input":"oi"`, byRequest: true, silent: true},
		{name: "images.generations", path: "/images/generations", model: "gpt-image-1", byRequest: true, streams: true,
			json: `"prompt":"um pão","quality":"low"`, stream: `"stream":true,"partial_images":3,`},
		{name: "images.edits", path: "/images/edits", model: "gpt-image-1", byRequest: true, streams: true,
			form: func(model string) *form {
				return newForm().field("model", model).field("prompt", "um pão").file("image[]", "a.png", "\x89PNG not really")
			}},
		{name: "images.variations", path: "/images/variations", model: "gpt-image-1", byRequest: true,
			form: func(model string) *form {
				return newForm().field("model", model).file("image", "a.png", "\x89PNG not really")
			}},
		{name: "audio.transcriptions", path: "/audio/transcriptions", model: "gpt-4o-transcribe", byRequest: true, streams: true,
			form: func(model string) *form {
				return newForm().field("model", model).field("prompt", "Padaria").file("file", "a.mp3", strings.Repeat("\xff\x00", 40_000))
			}},
		{name: "audio.translations", path: "/audio/translations", model: "gpt-4o-transcribe", byRequest: true, silent: true,
			form: func(model string) *form {
				return newForm().field("model", model).file("file", "a.mp3", strings.Repeat("\xff\x00", 40_000))
			}},
		{name: "audio.speech", path: "/audio/speech", model: "gpt-4o-mini-tts", byRequest: true, silent: true, streams: true,
			json: `"input":"Bom dia, padaria!","voice":"alloy"`, stream: `"stream_format":"sse",`},
	}
}

// request gives a body and its type; extra are further JSON members, each with a comma after it.
func (e *endpoint) request(stream bool, model, extra string) (contentType, body string) {
	if e.form != nil {
		f := e.form(model)
		if stream {
			f.field("stream", "true")
			if strings.HasPrefix(e.name, "images") {
				f.field("partial_images", "3")
			}
		}
		return f.contentType(), f.String()
	}
	if stream {
		extra += e.stream
	}
	return "application/json", fmt.Sprintf(`{%s"model":"%s",%s}`, extra, model, e.json)
}

func (s *site) call(e *endpoint, stream bool) answer {
	s.t.Helper()
	contentType, body := e.request(stream, e.model, "")
	return s.send(http.MethodPost, e.path, s.key, contentType, body)
}

// modes gives the ways an endpoint answers.
func (e *endpoint) modes() []bool {
	if e.streams {
		return []bool{false, true}
	}
	return []bool{false}
}

// each runs a test for every endpoint, streamed and not.
func each(t *testing.T, test func(t *testing.T, e *endpoint, stream bool)) {
	for _, e := range endpoints() {
		for _, stream := range e.modes() {
			t.Run(fmt.Sprintf("%s/stream=%v", e.name, stream), func(t *testing.T) { test(t, &e, stream) })
		}
	}
}

// costly makes a model's requests cost tokens, so that a hard plan holds them.
func (e *endpoint) costly() bool { return e.name != "moderations" }

func TestEveryEndpointRecordsWhatTheProviderReports(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	calls := 0
	each(t, func(t *testing.T, e *endpoint, stream bool) {
		s.t = t
		before := s.provider.Stats()
		a := s.call(e, stream)
		if a.status != http.StatusOK || a.err != nil || a.header.Get("X-Request-Id") == "" {
			t.Fatalf("%d %q %v", a.status, a.body[:min(len(a.body), 500)], a.err)
		}
		calls++
		r, stats := s.records(calls)[calls-1], s.provider.Stats()
		in, out := stats.PromptTokens-before.PromptTokens, stats.CompletionTokens-before.CompletionTokens
		estimated := e.name == "audio.speech" && !stream // a bare sound: its text was read, and has a price
		if estimated {
			in, out = int64(tokenizer.Count(e.model, "Bom dia, padaria!")), 0
		} else if e.silent && !stream {
			in, out = 0, 0
		} else if in == 0 {
			t.Error("the provider counted nothing: this proves nothing")
		}
		if r.In != in || r.Out != out || r.Estimated != estimated || r.Status != "ok" || r.Endpoint != e.name || r.Model != e.model || r.RequestID != a.header.Get("X-Request-Id") {
			t.Errorf("%+v; the provider reported %d and %d", r, in, out)
		}
		if got := r.Streamed; got != stream && e.name != "audio.speech" {
			t.Errorf("streamed: %v", got)
		}
		s.unheld()
	})
}

func TestAnswersOfEveryEndpointPassUnchanged(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	each(t, func(t *testing.T, e *endpoint, stream bool) {
		s.t = t
		kind, body := "application/json", "{ \"x_future\" : [1, 2.50, 1e3, \"\\u00e9\"],\n\t\"usage\": null , \"choices\":[] }\n"
		switch {
		case e.name == "audio.speech":
			kind, body = "audio/mpeg", "\xff\xfb\x90\x00\x00\r\n\r\n{\"usage\":{\"input_tokens\":5}}\n\ndata: x\n\n\x00"
		case stream && e.name == "responses":
			kind = "text/event-stream"
			body = ": a comment\n\nevent: response.future\r\ndata:  {\"type\":\"response.future\", \"x\" : 1e3}\r\n\r\n" +
				"event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"resp_fixo\",\"output\":[]}}\n\n"
		case stream && e.byRequest:
			kind = "text/event-stream"
			body = ": a comment\n\ndata: {\"type\":\"x.future\", \"x\" : 1e3}\n\n" +
				"event: image_generation.completed\ndata: {\"type\":\"image_generation.completed\", \"b64_json\":\"\" }\n\n"
			if e.form != nil && strings.HasPrefix(e.name, "audio") {
				body = strings.ReplaceAll(body, "image_generation.completed", "transcript.text.done")
			}
		case stream:
			kind = "text/event-stream"
			body = ": a comment\n\ndata: { \"x\":1e3,\"choices\":[{\"index\":0,\"delta\":{},\"text\":\"\",\"finish_reason\":\"stop\"}] }\r\n\r\ndata: [DONE]\n\n"
		}
		s.provider.Next(openaitest.Behaviour{Status: http.StatusOK, Body: body, Header: map[string]string{"Content-Type": kind}})
		a := s.call(e, stream)
		if a.status != http.StatusOK || a.body != body || a.header.Get("Content-Type") != kind {
			t.Errorf("%d %s %q\nnot %q", a.status, a.header.Get("Content-Type"), a.body, body)
		}
		s.unheld()
	})
}

func TestRequestsOfEveryEndpointPassUnchanged(t *testing.T) {
	soft := tenancy.Terms{InputTokens: 1e6, OutputTokens: 1e6, Overage: tenancy.Charge, OveragePrice: 1}
	s := newSite(t, soft, openaitest.Options{})
	for _, e := range endpoints() {
		s.t = t
		contentType, body := e.request(false, e.model, ` "x_future": {"a":[1,2.50,1e3,"\u00e9"]} ,`)
		if a := s.send(http.MethodPost, e.path+"/?", s.key, contentType, body); a.status != http.StatusOK {
			t.Errorf("%s: %d %s", e.name, a.status, a.body)
			continue
		}
		all := s.provider.Requests()
		got := all[len(all)-1]
		if string(got.Body) != body || got.Header.Get("Content-Type") != contentType || got.URI != "/v1"+e.path || got.Method != http.MethodPost {
			t.Errorf("the provider received %s %s %s\n%q\nnot\n%q", got.Method, got.URI, got.Header.Get("Content-Type"), got.Body, body)
		}
		if got.Header.Get("Authorization") != "Bearer "+providerKey {
			t.Errorf("%s: the provider was shown another key", e.name)
		}
	}
}

func TestACallWithoutAUsageIsEstimatedOrCountsAsARequest(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	calls := 0
	each(t, func(t *testing.T, e *endpoint, stream bool) {
		s.t = t
		before := s.provider.Stats()
		s.provider.Next(openaitest.Behaviour{Fault: openaitest.FaultNoUsage})
		if a := s.call(e, stream); a.status != http.StatusOK {
			t.Fatalf("%d %s", a.status, a.body)
		}
		calls++
		r, stats := s.records(calls)[calls-1], s.provider.Stats()
		in, out := stats.PromptTokens-before.PromptTokens, stats.CompletionTokens-before.CompletionTokens
		switch bare := e.name == "audio.speech" && !stream; { // its text was read, and has a price
		case e.byRequest:
			if bare != (r.In > 0) || r.Out != 0 || r.Estimated != bare || r.Status != "ok" {
				t.Errorf("%+v", r)
			}
		case !near(r.In, in) || !near(r.Out, out) || !r.Estimated || r.Status != "ok":
			t.Errorf("%+v; the provider counted %d and %d", r, in, out)
		}
		s.unheld()
	})
}

// near tells whether an estimate is within two tokens and a twentieth.
func near(got, want int64) bool { return got >= want-want/20-2 && got <= want+want/20+2 }

func TestErrorsOfTheProviderPassOrAreHidden(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	s.exec(`UPDATE providers SET breaker_min_calls = 10000`)
	s.reload()
	const own = `{ "error": {"message":"x","type":"invalid_request_error","param":null,"code":"x_future"} }`
	calls := 0
	each(t, func(t *testing.T, e *endpoint, stream bool) {
		s.t = t
		for _, c := range []struct {
			behaviour openaitest.Behaviour
			status    int
			kind      string
		}{
			{openaitest.Behaviour{Status: 400, Body: own}, 400, ""},
			{openaitest.Behaviour{Status: 429, Header: map[string]string{"X-Should-Retry": "true"}}, 429, "requests"},
			{openaitest.Behaviour{Status: 429, Body: `{"error":{"code":"insufficient_quota","message":"org-simulator"}}`}, 503, "service_unavailable_error"},
			{openaitest.Behaviour{Status: 500}, 500, "server_error"},
			{openaitest.Behaviour{Status: 401}, 503, "service_unavailable_error"},
			{openaitest.Behaviour{Status: 403}, 503, "service_unavailable_error"},
			{openaitest.Behaviour{Status: 302, Header: map[string]string{"Location": "http://127.0.0.1:1/"}}, 503, "service_unavailable_error"},
			{openaitest.Behaviour{Fault: openaitest.FaultRefuse}, 503, "service_unavailable_error"},
		} {
			s.provider.Next(c.behaviour)
			a := s.call(e, stream)
			if calls++; a.status != c.status || c.kind != "" && errorType(a.body) != c.kind || c.kind == "" && a.body != own {
				t.Errorf("%+v: %d %s", c.behaviour, a.status, a.body)
			}
			if strings.Contains(a.body, "org-simulator") || a.header.Get("Location") != "" {
				t.Errorf("the operator's account is shown: %v %s", a.header, a.body)
			}
			if want := c.behaviour.Header["X-Should-Retry"]; a.header.Get("X-Should-Retry") != want {
				t.Errorf("x-should-retry: %v", a.header)
			}
			r := s.records(calls)[calls-1]
			if r.Status != "error" || r.HTTPStatus != c.status || r.In != 0 || r.Out != 0 {
				t.Errorf("%+v: %+v", c.behaviour, r)
			}
		}
		s.unheld()
	})
}

func TestAFullPlanRefusesEveryEndpointBeforeTheProvider(t *testing.T) {
	terms := roomy()
	terms.InputTokens, terms.OutputTokens = 1, 1
	s := newSite(t, terms, openaitest.Options{})
	each(t, func(t *testing.T, e *endpoint, stream bool) {
		s.t = t
		if e.costly() {
			seen(t, s.call(e, stream), 429, "insufficient_quota", "insufficient_quota", "")
		} else if a := s.call(e, stream); a.status != http.StatusOK {
			t.Errorf("what takes no tokens is refused: %d %s", a.status, a.body)
		}
	})
	for _, r := range s.provider.Requests() {
		if r.URI != "/v1/moderations" {
			t.Errorf("a refused call reached the provider: %s", r.URI)
		}
	}
	s.unheld()
}

// TestWhatIsHeldCoversWhatIsTaken reads from a refusal what a call would have held.
func TestWhatIsHeldCoversWhatIsTaken(t *testing.T) {
	terms := roomy()
	terms.InputTokens, terms.OutputTokens = 1, 1
	full, open := newSite(t, terms, openaitest.Options{}), newSite(t, roomy(), openaitest.Options{})
	needs := regexp.MustCompile(`needs up to (\d+) input and (\d+) output tokens`)
	cases := slices.DeleteFunc(endpoints(), func(e endpoint) bool { return !e.costly() })
	json := func(name, path, model, json string) endpoint {
		return endpoint{name: name, path: path, model: model, json: json}
	}
	speech := func(name, json string) endpoint {
		return endpoint{name: name, path: "/audio/speech", model: "gpt-4o-mini-tts", json: json, stream: `"stream_format":"sse",`, streams: true}
	}
	cases = append(cases,
		speech("instructions", `"input":"oi","voice":"alloy","instructions":"`+strings.Repeat("devagar ", 100)+`"`),
		speech("slow speech", `"input":"`+strings.Repeat("devagar ", 100)+`","voice":"alloy","speed":0.25`),
		json("prompts", "/completions", "gpt-3.5-turbo-instruct", `"prompt":["um","dois","três"],"n":2,"max_tokens":20`),
		json("best of", "/completions", "gpt-3.5-turbo-instruct", `"prompt":"um","best_of":3,"max_tokens":20`),
		json("an echo", "/completions", "gpt-3.5-turbo-instruct", `"prompt":"um dois três quatro","max_tokens":0,"echo":true`),
		json("images", "/images/generations", "gpt-image-1", `"prompt":"um pão","quality":"high","size":"1024x1536","n":3`),
		endpoint{name: "unfinished images", path: "/images/generations", model: "gpt-image-1", json: `"prompt":"um pão","quality":"high","size":"1024x1536"`,
			stream: `"stream":true,"partial_images":3,`, streams: true},
	)
	calls := 0
	for _, e := range cases {
		stream := e.streams
		a := full.call(&e, stream)
		held := needs.FindStringSubmatch(gjson.Get(a.body, "error.message").Str)
		if held == nil {
			t.Errorf("%s: %d %s", e.name, a.status, a.body)
			continue
		}
		if a := open.call(&e, stream); a.status != http.StatusOK {
			t.Errorf("%s: %d %s", e.name, a.status, a.body)
		}
		calls++
		r := open.records(calls)[calls-1]
		in, _ := strconv.ParseInt(held[1], 10, 64)
		out, _ := strconv.ParseInt(held[2], 10, 64)
		elastic := e.name == "chat.completions" || e.name == "responses" // cut where the hold ends
		if r.In > in || r.Out > out && !elastic {
			t.Errorf("%s took %d and %d, and would have held %d and %d", e.name, r.In, r.Out, in, out)
		}
	}
}

func TestPathsThatAreNotServedAreRefusedInOpenAIsShape(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	const kind = "invalid_request_error"
	for _, path := range []string{"/nothing", "/chat", "/chat/completions/x", "/responses/a/b", "/assistants", "/fine_tuning/jobs", "/vector_stores",
		"/realtime/sessions", "/%2e%2e/healthz", "/responses/input_tokens", "/images"} {
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch} {
			seen(t, s.do(method, path, s.key, `{"model":"gpt-4.1-nano"}`), 404, kind, "unknown_url", "")
		}
		seen(t, s.do(http.MethodPost, path, "", ""), 401, kind, "invalid_api_key", "")
	}
	for _, e := range endpoints() {
		for _, method := range []string{http.MethodGet, http.MethodDelete, http.MethodPut, http.MethodPatch, http.MethodOptions} {
			seen(t, s.do(method, e.path, s.key, ""), 404, kind, "unknown_url", "")
		}
		if a := s.do(http.MethodHead, e.path, s.key, ""); a.status != 404 || a.body != "" {
			t.Errorf("HEAD %s: %d %q", e.path, a.status, a.body)
		}
	}
	a := s.do(http.MethodHead, "/models", s.key, "")
	if whole := s.do(http.MethodGet, "/models", s.key, ""); a.status != 200 || a.body != "" || a.header.Get("Content-Length") != fmt.Sprint(len(whole.body)) {
		t.Errorf("HEAD /models: %d %v %q", a.status, a.header, a.body)
	}
	if n := s.provider.Stats().Requests; n != 0 {
		t.Errorf("%d requests reached the provider", n)
	}
	s.records(0)
	s.unheld()
}

// TestTheLimitWeTellTheProvider is where the quota ends and the caller sets no limit.
func TestTheLimitWeTellTheProvider(t *testing.T) {
	for name, c := range map[string]struct {
		path, body, member string
		left, want         int64 // left output tokens; want 0: none is told
		refused            bool
	}{
		"chat":                       {"/chat/completions", `{"model":"gpt-4.1-nano","messages":[{"role":"user","content":"oi"}]}`, "max_completion_tokens", 30, 30, false},
		"chat, two choices":          {"/chat/completions", `{"model":"gpt-4.1-nano","n":2,"messages":[{"role":"user","content":"oi"}]}`, "max_completion_tokens", 31, 15, false},
		"chat, null":                 {"/chat/completions", `{"model":"gpt-4.1-nano","max_completion_tokens":null,"messages":[{"role":"user","content":"oi"}]}`, "max_completion_tokens", 30, 30, false},
		"chat, enough":               {"/chat/completions", `{"model":"gpt-4.1-nano","messages":[{"role":"user","content":"oi"}]}`, "max_completion_tokens", 1e6, 0, false},
		"chat, its own":              {"/chat/completions", `{"model":"gpt-4.1-nano","max_tokens":7,"messages":[{"role":"user","content":"oi"}]}`, "max_completion_tokens", 30, 0, false},
		"responses":                  {"/responses", `{"model":"gpt-4.1-nano","input":"oi"}`, "max_output_tokens", 30, 30, false},
		"responses, the least":       {"/responses", `{"model":"gpt-4.1-nano","input":"oi"}`, "max_output_tokens", 16, 16, false},
		"responses, below the least": {"/responses", `{"model":"gpt-4.1-nano","input":"oi"}`, "max_output_tokens", 15, 0, true},
		"completions":                {"/completions", `{"model":"gpt-3.5-turbo-instruct","prompt":"oi"}`, "max_tokens", 1e6, 16, false},
		"completions, the least":     {"/completions", `{"model":"gpt-3.5-turbo-instruct","prompt":"oi"}`, "max_tokens", 16, 16, false},
		"completions, too few":       {"/completions", `{"model":"gpt-3.5-turbo-instruct","prompt":"oi"}`, "max_tokens", 15, 0, true},
		"completions, prompts":       {"/completions", `{"model":"gpt-3.5-turbo-instruct","prompt":["oi","olá"],"n":2}`, "max_tokens", 64, 16, false},
		"completions, too many":      {"/completions", `{"model":"gpt-3.5-turbo-instruct","prompt":["oi","olá"],"n":2}`, "max_tokens", 63, 0, true},
		"completions, its own":       {"/completions", `{"model":"gpt-3.5-turbo-instruct","prompt":"oi","max_tokens":5}`, "max_tokens", 5, 5, false},
		"completions, tokens":        {"/completions", `{"model":"gpt-3.5-turbo-instruct","prompt":[1,2,3]}`, "max_tokens", 16, 16, false},
	} {
		t.Run(name, func(t *testing.T) {
			terms := roomy()
			terms.OutputTokens = c.left
			s := newSite(t, terms, openaitest.Options{})
			a := s.do(http.MethodPost, c.path, s.key, c.body)
			if c.refused {
				seen(t, a, 429, "insufficient_quota", "insufficient_quota", "")
				s.unheld()
				return
			}
			if a.status != http.StatusOK {
				t.Fatalf("%d %s", a.status, a.body)
			}
			sent := s.provider.Requests()[0].Body
			if got := gjson.GetBytes(sent, c.member).Int(); got != c.want {
				t.Errorf("the provider was told %d, want %d: %s", got, c.want, sent)
			}
			if r := s.records(1)[0]; r.Out > c.left {
				t.Errorf("%d tokens were put out", r.Out)
			}
			s.unheld()
		})
	}
}

// form is a multipart body, written byte by byte so that a test knows each.
type form struct{ parts []string }

const boundary = "------------------------d74496d66958873e"

func newForm() *form { return &form{} }

func (f *form) field(name, value string) *form {
	return f.part(fmt.Sprintf("Content-Disposition: form-data; name=\"%s\"\r\n\r\n%s", name, value))
}

func (f *form) file(name, file, content string) *form {
	return f.part(fmt.Sprintf("content-type: application/octet-stream\r\nContent-Disposition: form-data; name=\"%s\"; filename=\"%s\"\r\nX-Z: 1\r\n\r\n%s", name, file, content))
}

func (f *form) part(text string) *form { f.parts = append(slices.Clip(f.parts), text); return f }

func (f *form) contentType() string { return "multipart/form-data; boundary=" + boundary }

func (f *form) String() string {
	var b strings.Builder
	for _, part := range f.parts {
		b.WriteString("--" + boundary + "\r\n" + part + "\r\n")
	}
	return b.String() + "--" + boundary + "--\r\n"
}
