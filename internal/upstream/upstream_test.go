package upstream

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fila-ia/filaia/internal/gateway"
)

func open(t *testing.T, url string) *Client {
	t.Helper()
	c, err := New(Options{BaseURL: url, APIKey: "sk-test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// post is a call that means nothing.
func post(body string) *gateway.Message { return &gateway.Message{Path: "/x", Body: []byte(body)} }

func away(err error) bool {
	var r *gateway.Refusal
	return errors.As(err, &r) && r.Reason == gateway.ProviderAway
}

// TestAResetWithinABodyIsNoAnswer holds fasthttp to what conn says: half an answer is none.
func TestAResetWithinABodyIsNoAnswer(t *testing.T) {
	for name, head := range map[string]string{
		"with a length": "Content-Length: 100\r\n\r\n{\"a\":",
		"in chunks":     "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n",
		"to the end":    "Connection: close\r\n\r\n{\"a\":",
	} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					_, _ = c.Read(make([]byte, 4096))
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"+head)
					_ = c.(*net.TCPConn).SetLinger(0)
					c.Close()
				}
			}()
			c := open(t, "http://"+l.Addr().String())
			for range 3 { // a dead connection must not be met again, either
				a, err := c.Send(context.Background(), post("{}"))
				if err == nil {
					t.Fatalf("half an answer was taken for one: %q", a.Body())
				}
				if !away(err) || strings.Contains(err.Error(), "broken pipe") {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestTheOperatorsCredentialAndTheBodyAreSent(t *testing.T) {
	p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Header.Get("Authorization") != "Bearer sk-test" || string(body) != `{"x":1}` || r.URL.Path != "/v1/chat/completions" {
			w.WriteHeader(http.StatusTeapot)
		}
		w.Header().Set("X-Request-Id", "req_p")
		_, _ = io.WriteString(w, "ok")
	}))
	defer p.Close()
	c := open(t, p.URL+"/v1/")
	a, err := c.Send(context.Background(), &gateway.Message{Path: "/chat/completions", Body: []byte(`{"x":1}`)})
	if err != nil || a.Status() != 200 || string(a.Body()) != "ok" || a.Header("X-Request-Id") != "req_p" {
		t.Fatal(err)
	}
	a.Release()
	s, err := c.Stream(context.Background(), &gateway.Message{Path: "/chat/completions", Body: []byte(`{"x":1}`)})
	if err != nil || s.Status() != 200 {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(s); err != nil || string(text) != "ok" {
		t.Fatal(string(text), err)
	}
	s.Close()
}

func TestARedirectIsNotFollowed(t *testing.T) {
	p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://127.0.0.1:1/stolen", http.StatusTemporaryRedirect)
	}))
	defer p.Close()
	c := open(t, p.URL)
	if a, err := c.Send(context.Background(), post("")); err != nil || a.Status() != http.StatusTemporaryRedirect {
		t.Fatal(err)
	}
	if s, err := c.Stream(context.Background(), post("")); err != nil || s.Status() != http.StatusTemporaryRedirect {
		t.Fatal(err)
	}
}

func TestAProviderThatIsNotThereIsAway(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	c := open(t, "http://"+l.Addr().String())
	if _, err := c.Send(context.Background(), post("")); !away(err) {
		t.Error(err)
	}
	if _, err := c.Stream(context.Background(), post("")); !away(err) {
		t.Error(err)
	}
}

func TestABadAddressIsNamed(t *testing.T) {
	for _, url := range []string{"", "openai", "ftp://x/v1", "http://"} {
		if _, err := New(Options{BaseURL: url}); err == nil || !strings.Contains(err.Error(), url) {
			t.Errorf("%q: %v", url, err)
		}
	}
}
