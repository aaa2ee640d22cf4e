package upstream

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fila-ia/filaia/internal/gateway"
)

const soon = 50 * time.Millisecond

// late tells whether a call failed by the named limit.
func late(err error, limit string) bool {
	var r *gateway.Refusal
	return errors.As(err, &r) && r.Reason == gateway.ProviderTimeout && r.Cause.Error() == limit
}

// limit gives the client of a watched provider other limits.
func (w *watched) limit(o Options) {
	w.client.limits = o.limits()
	w.client.stream.ResponseHeaderTimeout = w.client.limits.firstByte
}

// TestAProviderThatIsSilentInTheHandshakeIsGivenUp accepts connections and says nothing.
func TestAProviderThatIsSilentInTheHandshakeIsGivenUp(t *testing.T) {
	for name, call := range map[string]func(*Client) error{"whole": send, "stream": read} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			c := openWith(t, Options{BaseURL: "https://" + l.Addr().String(), Connect: soon})
			if err := call(c); !late(err, "connect after 50ms") || !Unsent(err) {
				t.Error(err)
			}
		})
	}
}

func TestALateFirstByteIsNamed(t *testing.T) {
	overAll(t, func(t *testing.T, p *watched) {
		p.limit(Options{FirstByte: soon})
		if err := read(p.client); !late(err, "first byte after 50ms") || Unsent(err) {
			t.Error(err)
		}
	}, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})
}

func TestASilentStreamIsNamed(t *testing.T) {
	overAll(t, func(t *testing.T, p *watched) {
		p.limit(Options{Idle: soon})
		s, err := p.client.Stream(context.Background(), post("{}"))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if text, err := io.ReadAll(s); !late(err, "idle after 50ms") || string(text) != `{"half":` || Unsent(err) {
			t.Errorf("%q %v", text, err)
		}
	}, func(w http.ResponseWriter, r *http.Request) { half(w); <-r.Context().Done() })
}

func TestAStreamThatNeverEndsIsNamed(t *testing.T) {
	overAll(t, func(t *testing.T, p *watched) {
		p.limit(Options{Total: soon})
		if err := read(p.client); !late(err, "total after 50ms") {
			t.Error(err)
		}
	}, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			half(w)
		}
	})
}

func TestAWholeAnswerThatDoesNotComeIsNamed(t *testing.T) {
	for name, head := range map[string]string{
		"nothing":           "",
		"half a head":       "HTTP/1.1 200 OK\r\nContent-",
		"half a body":       "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
		"half a chunk":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{",
		"a body to the end": "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{",
	} {
		t.Run(name, func(t *testing.T) {
			url := speak(t, head)
			c := openWith(t, Options{BaseURL: url, Total: soon})
			if err := send(c); !late(err, "total after 50ms") || Unsent(err) {
				t.Error(err)
			}
		})
	}
}

// piped is a stream whose provider is the pipe's other end. Breaking it off reads as broken.
func piped(t *testing.T, o Options, broken error) (*stream, *io.PipeWriter) {
	c := openWith(t, o)
	r, w := io.Pipe()
	ctx, cancel := context.WithCancelCause(context.Background())
	s := &stream{client: c, ctx: ctx, cancel: cancel, forget: func() bool { return true }, res: &http.Response{Body: r}}
	s.guard = newGuard(c.limits, cancel)
	context.AfterFunc(ctx, func() { w.CloseWithError(broken) })
	return s, w
}

func TestASlowClientIsNoSilentProvider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, provider := piped(t, Options{BaseURL: "http://x", Idle: time.Minute, Total: 24 * time.Hour}, net.ErrClosed)
		defer s.Close()
		b := make([]byte, 1)
		go func() {
			for range 10 {
				time.Sleep(59 * time.Second)
				_, _ = provider.Write([]byte("x"))
			}
		}()
		for range 10 {
			time.Sleep(7 * time.Minute) // the client takes its time
			if _, err := s.Read(b); err != nil {
				t.Fatal(err)
			}
		}
		waited := time.Now()
		_, err := s.Read(b)
		if !late(err, "idle after 1m0s") || time.Since(waited) != time.Minute {
			t.Errorf("after %s: %v", time.Since(waited), err)
		}
	})
}

func TestALimitIsKeptToTheSecond(t *testing.T) {
	for name, pause := range map[string]time.Duration{"no pieces": time.Hour, "pieces": 59 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, provider := piped(t, Options{BaseURL: "http://x", Idle: time.Minute, Total: 10*time.Minute + time.Second}, net.ErrClosed)
				defer s.Close()
				var pieces sync.WaitGroup
				defer pieces.Wait()
				pieces.Go(func() {
					for time.Sleep(pause); s.ctx.Err() == nil; time.Sleep(pause) {
						_, _ = provider.Write([]byte("x"))
					}
				})
				began, want, limit := time.Now(), time.Minute, "idle after 1m0s"
				if pause < time.Minute {
					want, limit = 10*time.Minute+time.Second, "total after 10m1s"
				}
				_, err := io.ReadAll(s)
				if took := time.Since(began); took != want || !late(err, limit) {
					t.Errorf("after %s: %v", took, err)
				}
			})
		})
	}
}

// TestAnEndThatWeCausedIsNoEnd: a provider may end its answer in good order because we broke it off.
func TestAnEndThatWeCausedIsNoEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := piped(t, Options{BaseURL: "http://x", Idle: time.Minute}, io.EOF)
		defer s.Close()
		if _, err := io.ReadAll(s); !late(err, "idle after 1m0s") {
			t.Error(err)
		}
	})
}

func TestAnEndedGuardIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(limits{idle: time.Minute, total: time.Hour}, func(err error) { t.Error(err) })
		g.wait()
		time.Sleep(time.Minute - 1)
		g.end()
		time.Sleep(2 * time.Hour)
	})
}

func TestLimitsHaveDefaults(t *testing.T) {
	o := Options{}
	if l := o.limits(); l != (limits{10 * time.Second, 5 * time.Minute, 2 * time.Minute, 10 * time.Minute}) {
		t.Errorf("%+v", l)
	}
	o = Options{Connect: time.Minute, FirstByte: 2 * time.Minute, Idle: 3 * time.Minute, Total: time.Second}
	if l := o.limits(); l != (limits{time.Second, 2 * time.Minute, 3 * time.Minute, time.Second}) {
		t.Errorf("%+v", l)
	}
}
