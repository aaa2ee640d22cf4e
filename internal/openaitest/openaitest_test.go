package openaitest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sashabaranov/go-openai"
	"github.com/tidwall/gjson"
	"github.com/valyala/fasthttp"
)

// start runs a server for one test.
func start(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// client is go-openai against s.
func client(t testing.TB, s *Server) *openai.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	config := openai.DefaultConfig("sk-test")
	config.BaseURL = s.URL()
	config.HTTPClient = &http.Client{Transport: transport}
	return openai.NewClientWithConfig(config)
}

func ask(question string) openai.ChatCompletionRequest {
	return openai.ChatCompletionRequest{
		Model:    "gpt-4.1-nano",
		Messages: []openai.ChatCompletionMessage{{Role: "system", Content: "Você é breve."}, {Role: "user", Content: question}},
	}
}

// response is an HTTP answer, read whole.
type response struct {
	status int
	header http.Header
	body   string
	err    error // of reading the body
}

// post sends a raw body with a key.
func post(t testing.TB, s *Server, path, body string) response {
	t.Helper()
	r, err := send(s, http.MethodPost, path, body, "Bearer sk-test")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func send(s *Server, method, path, body, authorization string) (response, error) {
	request, err := http.NewRequest(method, s.URL()+path, strings.NewReader(body))
	if err != nil {
		return response{}, err
	}
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	answer, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return response{}, err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	return response{answer.StatusCode, answer.Header, string(content), err}, nil
}

// until polls for a state that another goroutine reaches.
func until(t testing.TB, what string, reached func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !reached(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not reached: %s", what)
		}
	}
}

const hello = `{"model":"gpt-4.1-nano","messages":[{"role":"user","content":"Como vão as vendas?"}]}`

func TestAnswersCarryOpenAIsHeaders(t *testing.T) {
	s := start(t, Options{})
	first, second := post(t, s, "/chat/completions", hello), post(t, s, "/chat/completions", hello)
	for _, name := range []string{"x-request-id", "openai-version", "openai-processing-ms", "x-ratelimit-limit-requests",
		"x-ratelimit-remaining-requests", "x-ratelimit-reset-requests", "x-ratelimit-limit-tokens",
		"x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"} {
		if first.header.Get(name) == "" {
			t.Errorf("no %s", name)
		}
	}
	if id := first.header.Get("x-request-id"); id == second.header.Get("x-request-id") || len(id) != len("req_")+32 {
		t.Errorf("request id %q", id)
	}
	if got := first.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("content type %q", got)
	}
}

func TestKeysAreChecked(t *testing.T) {
	s := start(t, Options{Keys: []string{"sk-good"}})
	for name, c := range map[string]struct {
		authorization string
		status        int
		code          string
	}{
		"none":     {"", 401, ""},
		"no key":   {"Bearer ", 401, ""},
		"basic":    {"Basic c2s6", 401, ""},
		"unknown":  {"Bearer sk-secret", 401, "invalid_api_key"},
		"accepted": {"Bearer sk-good", 200, ""},
	} {
		r, err := send(s, http.MethodGet, "/models", "", c.authorization)
		if err != nil {
			t.Fatal(err)
		}
		if r.status != c.status || gjson.Get(r.body, "error.code").String() != c.code {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
		if strings.Contains(r.body, "sk-secret") {
			t.Errorf("%s: the answer repeats the key", name)
		}
	}
}

func TestUnknownAddressesAndMethodsAreErrors(t *testing.T) {
	s := start(t, Options{})
	for _, c := range []struct {
		method, path string
		status       int
	}{{"GET", "/nothing", 404}, {"GET", "/chat/completions", 405}, {"POST", "/models", 405}, {"DELETE", "/models/gpt-4o", 405}} {
		r, err := send(s, c.method, c.path, "", "Bearer sk-test")
		if err != nil {
			t.Fatal(err)
		}
		if r.status != c.status || gjson.Get(r.body, "error.type").String() != "invalid_request_error" {
			t.Errorf("%s %s: %d %s", c.method, c.path, r.status, r.body)
		}
		for _, key := range []string{"message", "type", "param", "code"} {
			if !gjson.Get(r.body, "error."+key).Exists() {
				t.Errorf("%s %s: no %s in %s", c.method, c.path, key, r.body)
			}
		}
	}
}

func TestModelsAreListedAndFound(t *testing.T) {
	ctx := context.Background()
	api := client(t, start(t, Options{}))
	list, err := api.ListModels(ctx)
	if err != nil || len(list.Models) < 10 {
		t.Fatalf("%d models, %v", len(list.Models), err)
	}
	one, err := api.GetModel(ctx, "gpt-4.1-nano")
	if err != nil || one.ID != "gpt-4.1-nano" || one.Object != "model" || one.CreatedAt == 0 {
		t.Fatalf("%+v, %v", one, err)
	}
	if _, err = api.GetModel(ctx, "gpt-9"); code(err) != "model_not_found" {
		t.Fatal(err)
	}
	own := client(t, start(t, Options{Models: []string{"llama-3.3", "gpt-4o"}}))
	if list, err = own.ListModels(ctx); err != nil || len(list.Models) != 2 || list.Models[0].ID != "llama-3.3" {
		t.Fatalf("%+v, %v", list, err)
	}
	if _, err = own.CreateChatCompletion(ctx, ask("oi")); code(err) != "model_not_found" {
		t.Fatal(err)
	}
	any := client(t, start(t, Options{AnyModel: true}))
	request := ask("oi")
	request.Model = "meta/llama-9"
	if answer, err := any.CreateChatCompletion(ctx, request); err != nil || answer.Model != "meta/llama-9" {
		t.Fatalf("%q, %v", answer.Model, err)
	}
}

// code returns the code of an API error.
func code(err error) any {
	var e *openai.APIError
	if errors.As(err, &e) {
		return e.Code
	}
	return nil
}

func TestCloseEndsEverything(t *testing.T) {
	s, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.Next(Behaviour{Fault: FaultStall, After: 2}, Behaviour{Fault: FaultStall}, Behaviour{Delay: time.Hour})
	ended := make(chan struct{})
	for _, body := range []string{strings.Replace(hello, "{", `{"stream":true,`, 1), hello, hello} {
		go func() {
			send(s, http.MethodPost, "/chat/completions", body, "Bearer sk-test")
			ended <- struct{}{}
		}()
	}
	until(t, "three requests", func() bool { return s.Stats().Requests == 3 })
	s.Close()
	for range 3 {
		<-ended
	}
	s.Close() // twice does no harm
	if _, err := send(s, http.MethodGet, "/models", "", "Bearer sk-test"); err == nil {
		t.Error("a closed server answers")
	}
}

func TestServeRunsUntilItsContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	free := start(t, Options{})
	addr := free.listener.Addr().String()
	if err := Serve(ctx, addr, Options{}); err == nil {
		t.Fatal("two servers on one address")
	}
	free.Close()
	result := make(chan error, 1)
	go func() { result <- Serve(ctx, addr, Options{}) }()
	until(t, "an answer", func() bool {
		r, err := send(free, http.MethodGet, "/models", "", "Bearer sk-test") // the address is all that counts
		return err == nil && r.status == 200
	})
	cancel()
	if err := <-result; err != nil {
		t.Fatal(err)
	}
}

func TestRequestsAreRecordedUntouched(t *testing.T) {
	s := start(t, Options{Record: true})
	body := `{ "model":"gpt-4.1-nano",  "novo_campo": [1, 2.50, "\u00e9"], "messages":[{"role":"user","content":"oi"}] }`
	post(t, s, "/chat/completions?a=b", body)
	requests := s.Requests()
	if len(requests) != 1 || string(requests[0].Body) != body || requests[0].URI != "/v1/chat/completions?a=b" ||
		requests[0].Method != "POST" || requests[0].Header.Get("Authorization") != "Bearer sk-test" {
		t.Fatalf("%+v", requests)
	}
	for range maxRecorded {
		s.record.add(&Request{ctx: emptyContext()})
	}
	if n := len(s.Requests()); n > maxRecorded {
		t.Errorf("%d requests kept", n)
	}
	if off := start(t, Options{}); post(t, off, "/chat/completions", body).status != 200 || len(off.Requests()) != 0 {
		t.Error("recorded unasked")
	}
}

func TestWhatIsNoRequestIsAnErrorThatRepeatsNothing(t *testing.T) {
	s := start(t, Options{})
	for lines, status := range map[string]string{
		"Content-Length: many\r\n":      " 400 ",
		"Content-Length: 999999999\r\n": " 413 ",
	} {
		conn := dial(t, s)
		conn.Write([]byte("POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-secret\r\n" + lines + "\r\n"))
		answer, _ := io.ReadAll(conn)
		if !bytes.Contains(answer, []byte(status)) || !bytes.Contains(answer, []byte(`"error"`)) || bytes.Contains(answer, []byte("sk-secret")) {
			t.Errorf("%s%s", lines, answer)
		}
	}
}

func emptyContext() *fasthttp.RequestCtx {
	var ctx fasthttp.RequestCtx
	ctx.Init(&fasthttp.Request{}, nil, nil)
	return &ctx
}

func dial(t testing.TB, s *Server) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", s.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestCloseAnswersNothingThatItCutShort(t *testing.T) {
	s := start(t, Options{})
	s.Next(Behaviour{Delay: time.Hour})
	came := make(chan error, 1)
	go func() {
		r, err := send(s, http.MethodPost, "/chat/completions", hello, "Bearer sk-test")
		if err == nil {
			err = fmt.Errorf("answered %d %q", r.status, r.body)
		} else {
			err = nil
		}
		came <- err
	}()
	until(t, "the request is there", func() bool { return s.Stats().Requests == 1 })
	s.Close()
	if err := <-came; err != nil {
		t.Error(err)
	}
}
