package main

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/openaitest"
)

// The programs of testdata/sdk call the gateway with official SDKs, of whose settings only address and key are changed.

// wire stands before a server and notes each HTTP request that comes.
type wire struct {
	url string

	mu       sync.Mutex
	requests []wireRequest
}

type wireRequest struct {
	key, path string
	attempt   string // as OpenAI's SDK numbers it: 0, 1 …
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
	proxy.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
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

// steps are the lines that a program with an SDK printed, by step.
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
	if _, err := os.Stat(dir + "/node_modules/@langchain/openai"); err != nil {
		t.Fatalf("the SDKs are not installed; `make test` installs them: %v", err)
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
	if errText.Len() > 0 {
		t.Errorf("%s complains:\n%s", program, errText.String())
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
	if s.line[step] == "" {
		s.t.Errorf("%s: there was no such step", step)
		return
	}
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

// has wants facts of a step to be there and not to be empty.
func (s steps) has(step string, paths ...string) {
	s.t.Helper()
	for _, path := range paths {
		if got := s.get(step, path); !got.Exists() || got.Type == gjson.Null || got.Raw == `""` || got.Raw == "0" {
			s.t.Errorf("%s: %s is %s in\n%s", step, path, got.Raw, s.line[step])
		}
	}
}

const sdkLimits = "--input-tokens 1000000 --output-tokens 1000000 --overage block --rpm 100000"

// sdkCustomer is a customer with ample limits.
func (i *install) sdkCustomer(slug string) (tenant int64, key string) {
	i.t.Helper()
	return i.customer(slug, strings.Fields(sdkLimits)...)
}

// byEndpoint groups a provider's counts as the books name the endpoints.
func byEndpoint(r *openaitest.Request) string {
	return strings.ReplaceAll(strings.TrimPrefix(r.Path(), "/v1/"), "/", ".")
}

// tokenCount is what was answered at one endpoint.
type tokenCount struct{ answered, in, cached, out, reasoning int64 }

// balances waits until the gateway has recorded, for each endpoint, exactly what the provider says that it answered.
// The provider must group byEndpoint. Calls that were not answered in full have no figure of the provider's.
func (i *install) balances(p *openaitest.Server) {
	i.t.Helper()
	provided := map[string]tokenCount{}
	for endpoint, g := range p.Stats().Groups {
		if g.Answered > 0 {
			provided[endpoint] = tokenCount{g.Answered, g.PromptTokens, g.CachedTokens, g.CompletionTokens, g.ReasoningTokens}
		}
	}
	if len(provided) == 0 {
		i.t.Error("the provider has answered nothing")
	}
	var recorded map[string]tokenCount
	db := i.database().DB()
	agree := func() bool {
		recorded = map[string]tokenCount{}
		rows, err := db.Query(`SELECT endpoint, count(*), sum(input_tokens), sum(cached_tokens), sum(output_tokens), sum(reasoning_tokens)
			FROM usage_events WHERE status = 'ok' AND NOT estimated GROUP BY endpoint`)
		if err != nil {
			i.t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var endpoint string
			var c tokenCount
			if err := rows.Scan(&endpoint, &c.answered, &c.in, &c.cached, &c.out, &c.reasoning); err != nil {
				i.t.Fatal(err)
			}
			recorded[endpoint] = c
		}
		return rows.Err() == nil && maps.Equal(recorded, provided)
	}
	for deadline := time.Now().Add(patience); !agree(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			for _, endpoint := range slices.Sorted(maps.Keys(provided)) {
				i.t.Logf("%-22s recorded %+v, provided %+v", endpoint, recorded[endpoint], provided[endpoint])
			}
			i.t.Fatalf("the gateway's books are not the provider's: %v, want %v", recorded, provided)
		}
	}
	audit(i.t, i)
}
