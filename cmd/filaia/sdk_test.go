package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/openaitest"
)

// wire stands before a server and notes each HTTP request that comes.
type wire struct {
	url string

	mu       sync.Mutex
	requests []wireRequest
}

type wireRequest struct {
	key, path string
	attempt   string // as the SDK numbers it: 0, 1 …
	status    int
}

func newWire(t *testing.T, target string) *wire {
	t.Helper()
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.FlushInterval = -1 // streams pass as they come
	proxy.ModifyResponse = func(res *http.Response) error {
		r := res.Request
		_, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		w.mu.Lock()
		defer w.mu.Unlock()
		w.requests = append(w.requests, wireRequest{key, r.URL.Path, r.Header.Get("X-Stainless-Retry-Count"), res.StatusCode})
		return nil
	}
	s := httptest.NewServer(proxy)
	t.Cleanup(s.Close)
	w.url = s.URL
	return w
}

// of gives the requests that came with a key.
func (w *wire) of(key string) []wireRequest {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []wireRequest
	for _, r := range w.requests {
		if r.key == key {
			list = append(list, r)
		}
	}
	return list
}

// steps are the lines that a program with the SDK printed, by step.
type steps struct {
	t    *testing.T
	line map[string]string
}

// runSDK runs a program of testdata/sdk to its end.
func runSDK(t *testing.T, program string, env ...string) steps {
	t.Helper()
	const dir = "testdata/sdk"
	if _, err := exec.LookPath("node"); err != nil {
		t.Fatalf("node is not installed; `make test` installs it: %v", err)
	}
	if _, err := os.Stat(dir + "/node_modules/openai"); err != nil {
		t.Fatalf("OpenAI's SDK is not installed; `make test` installs it: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", program)
	cmd.Dir, cmd.Env = dir, append(env, "PATH="+os.Getenv("PATH"), "HOME="+os.Getenv("HOME"))
	var errText strings.Builder
	cmd.Stderr = &errText
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s\n%s", program, err, out, errText.String())
	}
	s := steps{t, map[string]string{}}
	for line := range strings.Lines(string(out)) {
		s.line[gjson.Get(line, "step").Str] = line
	}
	if s.line["end"] == "" {
		t.Fatalf("%s did not come to its end:\n%s", program, out)
	}
	return s
}

// get reads a fact of a step.
func (s steps) get(step, path string) gjson.Result { return gjson.Get(s.line[step], path) }

// want compares facts of a step, given as path, value pairs.
func (s steps) want(step string, facts ...any) {
	s.t.Helper()
	for n := 0; n < len(facts); n += 2 {
		path, want := facts[n].(string), facts[n+1]
		if number, ok := want.(int); ok {
			want = float64(number)
		}
		if got := s.get(step, path).Value(); got != want {
			s.t.Errorf("%s: %s is %v, want %v in\n%s", step, path, got, want, s.line[step])
		}
	}
}

func TestTheOfficialSDKCallsWithAddressAndKeyChangedOnly(t *testing.T) {
	p := provider(t, openaitest.Options{})
	s := newInstall(t, p.URL()).serve()
	tenant, key := s.customer("sdk", "--input-tokens", "1000000", "--output-tokens", "1000000", "--overage", "block", "--rpm", "600")
	run := runSDK(t, "calls.mjs", "FILAIA_URL="+s.url()+"/v1", "FILAIA_KEY="+key)

	run.want("whole", "object", "chat.completion", "finish", "length", "usage.completion_tokens", 20, "usage.prompt_tokens_details.cached_tokens", 0)
	content, in := run.get("whole", "content").Str, run.get("whole", "usage.prompt_tokens").Int()
	if content == "" || in == 0 || !strings.HasPrefix(run.get("whole", "id").Str, "chatcmpl-") {
		t.Errorf("whole: %s", run.line["whole"])
	}
	id := run.get("whole", "requestID").Str
	if !strings.HasPrefix(id, "req_") || run.get("whole", "ofData").Str != id || run.get("whole", "headers.x-request-id").Str != id {
		t.Errorf("the request id is not everywhere the same: %s", run.line["whole"])
	}
	run.want("whole", "headers.x-ratelimit-limit-requests", "600", "headers.x-ratelimit-remaining-requests", "599")
	for _, name := range []string{"x-ratelimit-reset-requests", "x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens",
		"x-ratelimit-reset-tokens", "openai-processing-ms", "x-fila-quota-remaining-input", "x-fila-quota-remaining-output", "x-fila-quota-reset"} {
		if run.get("whole", "headers."+name).Str == "" {
			t.Errorf("header %s is missing", name)
		}
	}

	run.want("stream", "ids", 1, "content", content, "finish", "length", "roles.0", "assistant", "withUsage", 0)
	run.want("stream with usage", "ids", 1, "content", content, "finish", "length", "withUsage", 1, "usageIsLast", true,
		"nullBefore", true, "usage.prompt_tokens", int(in), "usage.completion_tokens", 20, "usage.total_tokens", int(in)+20)
	run.want("helper", "content", content, "deltas", content, "finish", "length", "usage.total_tokens", int(in)+20, "total.total_tokens", int(in)+20)
	for _, step := range []string{"tool", "streamed tool"} {
		run.want(step, "finish", "tool_calls", "name", "consultar_estoque")
		if run.get(step, "arguments.produto").Str == "" || run.get(step, "arguments.filial").Type != gjson.Number {
			t.Errorf("%s: the arguments do not fit: %s", step, run.line[step])
		}
	}
	run.want("tool", "type", "function")
	run.want("tool answered", "finish", "length")
	if run.get("schema", "parsed.cliente").Str == "" || !run.get("schema", "parsed.itens.0").Exists() {
		t.Errorf("the answer does not fit the schema: %s", run.line["schema"])
	}
	run.want("models", "one.id", "gpt-4.1-nano", "one.object", "model", "models.0.object", "model")
	if !run.get("models", `models.#(id=="gpt-4.1-nano")`).Exists() || run.get("models", "one.created").Int() == 0 {
		t.Errorf("models: %s", run.line["models"])
	}

	const calls = 8
	eventually(t, "all calls are committed", func() bool { return s.usage(tenant).Requests == calls })
	if u, stats := s.usage(tenant), p.Stats(); u.InputTokens != stats.PromptTokens || u.OutputTokens != stats.CompletionTokens || stats.Answered != calls {
		t.Errorf("the gateway counted %+v, the provider %+v", u, stats.Totals)
	}
}

func TestTheOfficialSDKUnderstandsRefusals(t *testing.T) {
	p := provider(t, openaitest.Options{Script: func(r *openaitest.Request) openaitest.Behaviour {
		switch gjson.GetBytes(r.Body(), "user").Str {
		case "corta":
			return openaitest.Behaviour{Fault: openaitest.FaultReset, After: 4}
		case "ausente":
			return openaitest.Behaviour{Fault: openaitest.FaultRefuse}
		}
		return openaitest.Behaviour{}
	}})
	s := newInstall(t, p.URL()).serve()
	_, key := s.customer("sdk", "--input-tokens", "1000000", "--output-tokens", "1000000", "--overage", "block")
	_, small := s.customer("pouco", "--input-tokens", "1000", "--output-tokens", "5", "--overage", "block")
	_, slow := s.customer("devagar", "--input-tokens", "1000000", "--output-tokens", "1000000", "--overage", "block", "--rpm", "12")
	w := newWire(t, s.url())
	run := runSDK(t, "refusals.mjs", "FILAIA_URL="+w.url+"/v1", "FILAIA_KEY="+key, "FILAIA_QUOTA_KEY="+small, "FILAIA_RATE_KEY="+slow)

	const invalid = "invalid_request_error"
	run.want("wrong key", "class", "AuthenticationError", "status", 401, "code", "invalid_api_key", "type", invalid, "param", nil)
	run.want("another kind of key", "class", "AuthenticationError", "status", 401, "code", "invalid_api_key", "type", invalid, "param", nil)
	run.want("unknown model", "class", "NotFoundError", "status", 404, "code", "model_not_found", "type", invalid, "param", "model")
	run.want("unknown model retrieved", "class", "NotFoundError", "status", 404, "code", "model_not_found", "type", invalid, "param", "model")
	run.want("unknown address", "class", "NotFoundError", "status", 404, "code", "unknown_url", "type", invalid)
	run.want("our bad request", "class", "BadRequestError", "status", 400, "code", nil, "type", invalid, "param", "max_tokens")
	run.want("our bad streamed request", "class", "BadRequestError", "status", 400, "type", invalid, "param", "stream")
	for _, step := range []string{"the provider's bad request", "the provider's bad streamed request"} {
		run.want(step, "class", "BadRequestError", "status", 400, "code", "decimal_above_max_value", "type", invalid, "param", "temperature")
	}
	run.want("too large", "class", "APIError", "status", 413, "code", "request_too_large", "type", invalid)
	run.want("broken stream", "class", "APIError", "code", "server_is_overloaded", "type", "service_unavailable_error")
	run.want("provider away", "class", "InternalServerError", "status", 503, "code", "server_is_overloaded", "type", "service_unavailable_error")
	for _, step := range []string{"quota", "streamed quota"} {
		run.want(step, "class", "RateLimitError", "status", 429, "code", "insufficient_quota", "type", "insufficient_quota", "param", nil, "shouldRetry", "false")
	}
	run.want("rate", "class", "RateLimitError", "status", 429, "code", "rate_limit_exceeded", "type", "requests")
	run.want("rate, tried again", "answered", "length")
	for step, line := range run.line {
		if run.get(step, "status").Exists() && !strings.HasPrefix(run.get(step, "requestID").Str, "req_") {
			t.Errorf("%s tells no request id: %s", step, line)
		}
	}

	if got := w.of(small); len(got) != 2 || got[0].attempt != "0" || got[1].attempt != "0" {
		t.Errorf("a used-up quota cost %d requests, want one for each of the two calls: %v", len(got), got)
	}
	got := w.of(slow)
	if n := len(got); n < 3 || got[n-2].status != 429 || got[n-2].attempt != "0" || got[n-1].status != 200 || got[n-1].attempt != "1" {
		t.Errorf("the rate-limited call was not refused and then answered at the second attempt: %v", got)
	}
}
