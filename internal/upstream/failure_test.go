package upstream

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// speak starts a provider that answers each connection with text, and then keeps it open until the test ends.
func speak(t *testing.T, text string) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 4096))
			_, _ = io.WriteString(c, text)
			go func() { _, _ = io.Copy(io.Discard, c); c.Close() }()
		}
	}()
	return "http://" + l.Addr().String()
}

// TestNoErrorTellsThePromptOrTheCredential meets servers that send back, as no HTTP, what they were sent.
func TestNoErrorTellsThePromptOrTheCredential(t *testing.T) {
	const secret = "sk-secret-operator my private prompt"
	for name, text := range map[string]string{
		"an echo":          secret + "\r\n\r\n",
		"a status":         "HTTP/1.1 " + secret + "\r\n\r\n",
		"a version":        "HTTP/" + secret + " 200 OK\r\n\r\n",
		"a field":          "HTTP/1.1 200 OK\r\n" + secret + "\r\n\r\n",
		"a folded field":   "HTTP/1.1 200 OK\r\n " + secret + "\r\n\r\n",
		"a field's name":   "HTTP/1.1 200 OK\r\n" + secret + ": x\r\n\r\n",
		"a length":         "HTTP/1.1 200 OK\r\nContent-Length: " + secret + "\r\n\r\n",
		"a coding":         "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + secret + "\r\n\r\n",
		"a chunk's length": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + secret + "\r\n",
		"a chunk's end":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx" + secret + "\r\n",
		"a trailer":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + secret + "\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			for how, call := range map[string]func(*Client) error{"whole": send, "stream": read} {
				c := openWith(t, Options{BaseURL: speak(t, text), APIKey: "sk-secret-operator", Idle: soon, FirstByte: soon, Total: soon})
				err := call(c)
				if err == nil {
					continue // read as HTTP with goodwill
				}
				if strings.Contains(err.Error(), "sk-secret") || strings.Contains(err.Error(), "private") {
					t.Errorf("%s: %v", how, err)
				}
			}
		})
	}
}

func TestTheCredentialIsTakenOutOfAnyError(t *testing.T) {
	c := openWith(t, Options{BaseURL: "http://x", APIKey: "sk-secret-operator"})
	if err := c.refusal(errors.New("sent sk-secret-operator in vain")); err.Error() != "provider_away: sent … in vain" {
		t.Error(err)
	}
}

// TestUnsentIsOnlyWhatNobodyReceived tells calls that may have been charged from those that cannot.
func TestUnsentIsOnlyWhatNobodyReceived(t *testing.T) {
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody.Close()
	reset := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		panic(http.ErrAbortHandler)
	}))
	defer reset.Close()
	plain := httptest.NewServer(http.HandlerFunc(ok))
	defer plain.Close()
	self := httptest.NewUnstartedServer(http.HandlerFunc(ok))
	self.Config.ErrorLog = log.New(io.Discard, "", 0)
	self.StartTLS()
	defer self.Close()
	for name, c := range map[string]struct {
		url    string
		unsent bool
	}{
		"nobody listens":              {"http://" + nobody.Addr().String(), true},
		"a certificate nobody trusts": {self.URL, true},
		"no TLS":                      {strings.Replace(plain.URL, "http:", "https:", 1), true},
		"a host that does not exist":  {"http://filaia.invalid", true},
		"a reset after the request":   {reset.URL, false},
	} {
		t.Run(name, func(t *testing.T) {
			client := openWith(t, Options{BaseURL: c.url})
			if err := send(client); err == nil || Unsent(err) != c.unsent {
				t.Errorf("whole: %v", err)
			}
			if err := read(client); err == nil || Unsent(err) != c.unsent {
				t.Errorf("stream: %v", err)
			}
		})
	}
	t.Run("after Abort", func(t *testing.T) {
		client := openWith(t, Options{BaseURL: plain.URL})
		client.Abort()
		if err := send(client); !Unsent(err) || !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if err := read(client); !Unsent(err) || !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// TestAStreamThatWasWrittenIsNotSentAgain: the provider may have charged it.
func TestAStreamThatWasWrittenIsNotSentAgain(t *testing.T) {
	var calls atomic.Int64
	overAll(t, func(t *testing.T, p *watched) {
		calls.Store(0)
		if err := read(p.client); err != nil {
			t.Fatal(err)
		}
		if err := read(p.client); !away(err) {
			t.Error(err)
		}
		if calls.Load() != 2 {
			t.Errorf("2 calls came as %d", calls.Load())
		}
	}, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if calls.Add(1) == 1 {
			ok(w, r)
			return
		}
		panic(http.ErrAbortHandler)
	})
}

func TestASlowNameServerIsNoLateFirstByte(t *testing.T) {
	s, _ := piped(t, Options{BaseURL: "http://x"}, nil)
	defer s.Close()
	err := (&stream{client: s.client, ctx: s.ctx}).failure(&unsent{&net.DNSError{Err: "no answer", Name: "x", IsTimeout: true}})
	if !late(err, "lookup x: no answer") || !Unsent(err) {
		t.Error(err)
	}
}

func TestACallThatItsCallerEndsIsNoTimeout(t *testing.T) {
	overAll(t, func(t *testing.T, p *watched) {
		ctx, cancel := context.WithCancel(context.Background())
		s, err := p.client.Stream(ctx, post("{}"))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		cancel()
		if _, err := io.ReadAll(s); !brokenOff(err) {
			t.Error(err)
		}
	}, func(w http.ResponseWriter, r *http.Request) { half(w); <-r.Context().Done() })
}
