package upstream

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// brokenOff tells whether a call failed as Abort says.
func brokenOff(err error) bool { return away(err) && errors.Is(err, context.Canceled) }

func send(c *Client) error {
	_, err := c.Send(context.Background(), post("{}"))
	return err
}

// read streams a call to its end.
func read(c *Client) error {
	s, err := c.Stream(context.Background(), post("{}"))
	if err != nil {
		return err
	}
	defer s.Close()
	_, err = io.ReadAll(s)
	return err
}

func TestAbortBreaksOffCallsUnderWay(t *testing.T) {
	overBoth(t, func(t *testing.T, secure bool) {
		for name, head := range map[string]func(w http.ResponseWriter){
			"before the answer":            func(http.ResponseWriter) {},
			"within an answer of a length": func(w http.ResponseWriter) { w.Header().Set("Content-Length", "100"); half(w) },
			"within an answer in chunks":   half,
			"within an answer to the end":  func(w http.ResponseWriter) { w.Header().Set("Transfer-Encoding", "identity"); half(w) },
		} {
			t.Run(name, func(t *testing.T) {
				const callers = 8
				arrived, never := make(chan struct{}), make(chan struct{})
				p := watch(t, secure, 0, func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					head(w)
					arrived <- struct{}{}
					<-never
				})
				defer close(never)
				var calls sync.WaitGroup
				for range callers {
					for _, call := range []func(*Client) error{send, read} {
						calls.Go(func() {
							if err := call(p.client); !brokenOff(err) {
								t.Errorf("%v", err)
							}
						})
					}
				}
				for range 2 * callers {
					<-arrived
				}
				p.client.Abort()
				calls.Wait()
			})
		}
	})
}

func half(w http.ResponseWriter) {
	_, _ = io.WriteString(w, `{"half":`)
	_ = http.NewResponseController(w).Flush()
}

// TestAbortBreaksOffAHandshake meets a provider that accepts connections and says nothing.
func TestAbortBreaksOffAHandshake(t *testing.T) {
	for name, call := range map[string]func(*Client) error{"whole": send, "stream": read} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			c := open(t, "https://"+l.Addr().String())
			ended := make(chan error, 1)
			go func() { ended <- call(c) }()
			provider, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer provider.Close()
			if _, err := provider.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			c.Abort()
			if err := <-ended; !brokenOff(err) {
				t.Error(err)
			}
			_ = provider.SetReadDeadline(time.Now().Add(5 * time.Second)) // sooner than Connect
			if _, err := io.Copy(io.Discard, provider); isTimeout(err) {
				t.Error("the connection is still open")
			}
		})
	}
}

// TestNoCallIsSentAfterAbort asks at once, while connections that wait for a call are still being closed.
func TestNoCallIsSentAfterAbort(t *testing.T) {
	const rounds = 100
	var calls atomic.Int64
	p := watch(t, false, 0, func(w http.ResponseWriter, r *http.Request) { calls.Add(1); ok(w, r) })
	for range rounds {
		for _, call := range []func(*Client) error{send, read} {
			c := open(t, p.URL)
			if err := call(c); err != nil {
				t.Fatal(err)
			}
			c.Abort()
			if err := call(c); !brokenOff(err) {
				t.Error(err)
			}
		}
	}
	p.Close() // waits for its handlers
	if calls.Load() != 2*rounds {
		t.Errorf("the provider met %d calls, not %d", calls.Load(), 2*rounds)
	}
}

// TestAbortLeavesWhatAStreamGave ends a stream of which a part was read.
func TestAbortLeavesWhatAStreamGave(t *testing.T) {
	never := make(chan struct{})
	p := watch(t, false, 0, func(w http.ResponseWriter, _ *http.Request) { half(w); <-never })
	defer close(never)
	s, err := p.client.Stream(context.Background(), post(""))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b := make([]byte, len(`{"half":`))
	if _, err := io.ReadFull(s, b); err != nil {
		t.Fatal(err)
	}
	p.client.Abort()
	if _, err := s.Read(b); !brokenOff(err) {
		t.Error(err)
	}
}
