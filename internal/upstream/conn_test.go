package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// watched is a provider and a client whose connections can be looked at.
type watched struct {
	*httptest.Server
	t      *testing.T
	client *Client
	met    atomic.Int64 // connections that the provider has accepted
	mu     sync.Mutex
	dialed []*conn
}

// watch starts a provider, over TLS or not, that ends connections after idle without a call.
func watch(t *testing.T, secure bool, idle time.Duration, h http.HandlerFunc) *watched {
	t.Helper()
	p := httptest.NewUnstartedServer(h)
	p.Config.IdleTimeout = idle
	return start(t, p, secure)
}

// watchHTTP2 starts a provider that speaks HTTP/2 to streams.
func watchHTTP2(t *testing.T, h http.HandlerFunc) *watched {
	t.Helper()
	p := httptest.NewUnstartedServer(h)
	p.EnableHTTP2 = true
	return start(t, p, true)
}

func start(t *testing.T, p *httptest.Server, secure bool) *watched {
	t.Helper()
	w := &watched{Server: p, t: t}
	p.Config.ErrorLog = log.New(io.Discard, "", 0)
	p.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			w.met.Add(1)
		}
	}
	if secure {
		p.StartTLS()
	} else {
		p.Start()
	}
	t.Cleanup(p.Close)
	w.client = open(t, p.URL)
	if secure {
		trust(w.client, p)
	}
	dial := w.client.unary.Dial
	w.client.unary.Dial = func(addr string) (net.Conn, error) {
		nc, err := dial(addr)
		if err == nil {
			w.mu.Lock()
			w.dialed = append(w.dialed, below(nc))
			w.mu.Unlock()
		}
		return nc, err
	}
	return w
}

// trust makes a client take a test server's certificate for a good one.
func trust(c *Client, p *httptest.Server) {
	pool := p.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	c.dialer.whole.RootCAs, c.dialer.stream.RootCAs = pool, pool
}

// below is the connection below TLS, if there is TLS.
func below(nc net.Conn) *conn {
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	return nc.(*conn)
}

// send sends a call that must be answered.
func (w *watched) send() {
	w.t.Helper()
	a, err := w.client.Send(context.Background(), post("{}"))
	if err != nil {
		w.t.Fatal(err)
	}
	if a.Status() != 200 || string(a.Body()) != "ok" {
		w.t.Fatalf("%d %q", a.Status(), a.Body())
	}
	a.Release()
}

// ended waits until all connections have ended, as the client's side sees it. No call may be under way.
func (w *watched) ended() {
	w.t.Helper()
	for _, c := range w.dialed {
		for deadline := time.Now().Add(30 * time.Second); !c.stale(); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				w.t.Fatal("the provider does not end its connections")
			}
		}
	}
}

func overBoth(t *testing.T, test func(t *testing.T, secure bool)) {
	t.Run("plain", func(t *testing.T) { test(t, false) })
	t.Run("TLS", func(t *testing.T) { test(t, true) })
}

func ok(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }

func TestACallAfterTheProviderEndedTheConnectionIsAnswered(t *testing.T) {
	overBoth(t, func(t *testing.T, secure bool) {
		var calls atomic.Int64
		p := watch(t, secure, time.Millisecond, func(w http.ResponseWriter, r *http.Request) { calls.Add(1); ok(w, r) })
		for range 5 {
			p.send()
			p.ended()
		}
		if calls.Load() != 5 || p.met.Load() != 5 {
			t.Errorf("5 calls came as %d on %d connections", calls.Load(), p.met.Load())
		}
	})
}

func TestManyEndedConnectionsFailNoCall(t *testing.T) {
	overBoth(t, func(t *testing.T, secure bool) {
		const many = 50
		var together sync.WaitGroup
		together.Add(many)
		p := watch(t, secure, 0, func(w http.ResponseWriter, r *http.Request) {
			if r.ContentLength == 3 { // one of the many
				together.Done()
				together.Wait()
			}
			ok(w, r)
		})
		var done sync.WaitGroup
		for range many {
			done.Go(func() {
				a, err := p.client.Send(context.Background(), post("[1]"))
				if err != nil {
					t.Error(err)
					return
				}
				a.Release()
			})
		}
		done.Wait()
		p.CloseClientConnections()
		p.ended()
		p.send()
	})
}

func TestALivingConnectionIsUsedAgain(t *testing.T) {
	overBoth(t, func(t *testing.T, secure bool) {
		p := watch(t, secure, 0, ok)
		for range 100 {
			p.send()
		}
		if p.met.Load() != 1 {
			t.Errorf("100 calls took %d connections", p.met.Load())
		}
	})
}

// TestANewConnectionMayHaveWhatTheProviderSaidFirst: over TLS it may speak before it is asked, of session tickets say.
func TestANewConnectionMayHaveWhatTheProviderSaidFirst(t *testing.T) {
	p := watch(t, true, 0, ok)
	l, err := tls.Listen("tcp", "127.0.0.1:0", p.TLS)
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
			_, _ = io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n")
			_, _ = c.Read(make([]byte, 4096))
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	}()
	dial := p.client.unary.Dial
	p.client.unary.Dial = func(string) (net.Conn, error) {
		nc, err := dial(l.Addr().String())
		p.ended() // has something to read
		return nc, err
	}
	p.send()
	if len(p.dialed) != 1 {
		t.Errorf("dialed %d times", len(p.dialed))
	}
}

// TestACallThatWasWrittenIsNotSentAgain: the provider may have charged it.
func TestACallThatWasWrittenIsNotSentAgain(t *testing.T) {
	overBoth(t, func(t *testing.T, secure bool) {
		var calls atomic.Int64
		p := watch(t, secure, 0, func(w http.ResponseWriter, r *http.Request) {
			if calls.Add(1) == 1 {
				ok(w, r)
				return
			}
			_, _ = io.Copy(io.Discard, r.Body)
			panic(http.ErrAbortHandler)
		})
		p.send()
		if _, err := p.client.Send(context.Background(), post("{}")); !away(err) {
			t.Error(err)
		}
		if calls.Load() != 2 {
			t.Errorf("2 calls came as %d", calls.Load())
		}
	})
}

func TestAProviderThatEndsNewConnectionsIsDialedOnce(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := &watched{t: t, client: open(t, "http://"+l.Addr().String())}
	dial := p.client.unary.Dial
	p.client.unary.Dial = func(addr string) (net.Conn, error) {
		nc, err := dial(addr)
		if err != nil {
			return nil, err
		}
		if other, err := l.Accept(); err == nil {
			other.Close()
		}
		p.dialed = append(p.dialed, below(nc))
		p.ended()
		return nc, nil
	}
	if _, err := p.client.Send(context.Background(), post("{}")); !away(err) {
		t.Error(err)
	}
	if len(p.dialed) != 1 {
		t.Errorf("dialed %d times", len(p.dialed))
	}
}

func TestTheLookAtAConnectionMakesNoGarbage(t *testing.T) {
	p := watch(t, false, 0, ok)
	p.send()
	if n := testing.AllocsPerRun(100, func() { p.dialed[0].stale() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestAnEarlierCallsDeadlineEndsNoLaterCall(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	tcp, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c, err := newConn(t.Context(), tcp.(*net.TCPConn))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	peer, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()

	limit := func(set func(time.Time) error, after time.Duration) time.Time {
		at := time.Now().Add(after)
		if err := set(at); err != nil {
			t.Fatal(err)
		}
		return at
	}
	var b [4]byte
	limit(c.SetReadDeadline, time.Millisecond)
	limit(c.SetReadDeadline, time.Minute)
	time.AfterFunc(20*time.Millisecond, func() { _, _ = peer.Write([]byte("late")) })
	if n, err := io.ReadFull(c, b[:]); n != 4 || err != nil {
		t.Errorf("read %d bytes: %v", n, err)
	}
	for _, earlier := range []time.Duration{-time.Minute, time.Hour} {
		limit(c.SetReadDeadline, earlier)
		at := limit(c.SetReadDeadline, 20*time.Millisecond)
		if _, err := c.Read(b[:]); !errors.Is(err, os.ErrDeadlineExceeded) || time.Now().Before(at) {
			t.Errorf("%v after a deadline %v from then: %v", time.Since(at), earlier, err)
		}
	}

	limit(c.SetWriteDeadline, time.Millisecond)
	at := limit(c.SetWriteDeadline, 50*time.Millisecond)
	much := make([]byte, 64<<20) // more than all buffers hold, and nobody reads
	if n, err := c.Write(much); n == 0 || !errors.Is(err, os.ErrDeadlineExceeded) || time.Now().Before(at) {
		t.Errorf("wrote %d bytes by %v: %v", n, time.Since(at), err)
	}
	limit(c.SetWriteDeadline, time.Minute)
	go func() { _, _ = io.Copy(io.Discard, peer) }()
	if n, err := c.Write(much); n != len(much) || err != nil {
		t.Errorf("wrote %d bytes: %v", n, err)
	}
}
