package upstream

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/fila-ia/filaia/internal/gateway"
)

// overAll runs a test over plain HTTP, over TLS, and over HTTP/2.
func overAll(t *testing.T, test func(t *testing.T, p *watched), h http.HandlerFunc) {
	overBoth(t, func(t *testing.T, secure bool) { test(t, watch(t, secure, 0, h)) })
	t.Run("HTTP/2", func(t *testing.T) {
		p := watchHTTP2(t, h)
		test(t, p)
		if s, err := p.client.Stream(context.Background(), post("")); err == nil {
			defer s.Close()
			if got := s.(*stream).res.ProtoMajor; got != 2 {
				t.Errorf("HTTP/%d", got)
			}
		}
	})
}

// TestAStreamLeftHalfReadMixesWithNoOther: what one customer did not read, no other may.
func TestAStreamLeftHalfReadMixesWithNoOther(t *testing.T) {
	const callers, rounds = 8, 25
	overAll(t, func(t *testing.T, p *watched) {
		var done sync.WaitGroup
		for caller := range callers {
			done.Go(func() {
				for round := range rounds {
					who := fmt.Sprintf("customer-%d-%d", caller, round)
					s, err := p.client.Stream(context.Background(), &gateway.Message{Path: "/" + who})
					if err != nil {
						t.Error(err)
						return
					}
					if round%2 == 0 { // read a part, and leave
						b := make([]byte, len(who))
						if _, err := io.ReadFull(s, b); err != nil || string(b) != who {
							t.Errorf("%q for %s: %v", b, who, err)
						}
					} else if b, err := io.ReadAll(s); err != nil || strings.ReplaceAll(string(b), who, "") != "" || len(b) != 100*len(who) {
						t.Errorf("%.60q for %s: %v", b, who, err)
					}
					s.Close()
				}
			})
		}
		done.Wait()
	}, func(w http.ResponseWriter, r *http.Request) {
		for range 100 {
			_, _ = io.WriteString(w, strings.TrimPrefix(r.URL.Path, "/"))
			_ = http.NewResponseController(w).Flush()
		}
	})
}

func TestAStreamGivesEachPieceAsItComes(t *testing.T) {
	next := make(chan bool)
	overAll(t, func(t *testing.T, p *watched) {
		s, err := p.client.Stream(context.Background(), post("{}"))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		b := make([]byte, 64)
		for i := range 10 {
			next <- true // the next piece is not written before this one was read
			if n, err := s.Read(b); err != nil || string(b[:n]) != fmt.Sprintf("data: %d\n\n", i) {
				t.Errorf("%q %v", b[:n], err)
			}
		}
		next <- false
		if n, err := s.Read(b); n != 0 || err != io.EOF {
			t.Errorf("%q %v", b[:n], err)
		}
	}, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		if r.Method == http.MethodPost && r.ContentLength == 0 {
			return
		}
		for i := 0; <-next; i++ {
			fmt.Fprintf(w, "data: %d\n\n", i)
			_ = http.NewResponseController(w).Flush()
		}
	})
}

func TestAStreamThatWasReadLeavesItsConnection(t *testing.T) {
	overAll(t, func(t *testing.T, p *watched) {
		for range 50 {
			if err := read(p.client); err != nil {
				t.Fatal(err)
			}
		}
		if p.met.Load() != 1 {
			t.Errorf("50 streams took %d connections", p.met.Load())
		}
	}, func(w http.ResponseWriter, r *http.Request) { half(w); ok(w, r) })
}
