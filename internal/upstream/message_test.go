package upstream

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/fila-ia/filaia/internal/gateway"
	"github.com/fila-ia/filaia/internal/tenancy"
)

func TestAMessageArrivesAsItIs(t *testing.T) {
	for name, c := range map[string]struct {
		m    gateway.Message
		want arrived // of a whole call
	}{
		"JSON by default": {
			gateway.Message{Path: "/x", Body: []byte(`{"a": 1}`)},
			arrived{method: "POST", uri: "/x", contentType: "application/json", body: `{"a": 1}`},
		},
		"GET with a query": {
			gateway.Message{Method: "GET", Path: "/responses/r1", Query: "include[]=x&after=1", Accept: "application/json"},
			arrived{method: "GET", uri: "/responses/r1?include[]=x&after=1", accept: "application/json"},
		},
		"DELETE": {
			gateway.Message{Method: "DELETE", Path: "/files/f1"},
			arrived{method: "DELETE", uri: "/files/f1"},
		},
		"POST without a body": {
			gateway.Message{Path: "/batches/b1/cancel"},
			arrived{method: "POST", uri: "/batches/b1/cancel"},
		},
		"multipart as given": {
			gateway.Message{Path: "/files", ContentType: `multipart/form-data; boundary="a b"`, Body: []byte("--a b\r\n\x00\xff\r\n--a b--\r\n")},
			arrived{method: "POST", uri: "/files", contentType: `multipart/form-data; boundary="a b"`, body: "--a b\r\n\x00\xff\r\n--a b--\r\n"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			url, met := record(t)
			whole, streamed := both(t, openWith(t, Options{BaseURL: url}), &c.m, met)
			if whole != c.want {
				t.Errorf("whole: %+v", whole)
			}
			if c.want.accept == "" {
				c.want.accept = anyStream
			}
			if streamed != c.want {
				t.Errorf("streamed: %+v", streamed)
			}
		})
	}
}

func TestNoKeyIsNoHeader(t *testing.T) {
	for _, kind := range []string{"compatible", "azure"} {
		p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for _, name := range []string{"Authorization", "Api-Key"} {
				if _, sent := r.Header[name]; sent {
					t.Errorf("%s: %s was sent", kind, name)
				}
			}
			ok(w, r)
		}))
		c := openWith(t, Options{Kind: tenancy.ProviderKind(kind), BaseURL: p.URL})
		if err := send(c); err != nil {
			t.Error(err)
		}
		if err := read(c); err != nil {
			t.Error(err)
		}
		p.Close()
	}
}

func TestACredentialThatNoHeaderCarriesIsRefusedUntold(t *testing.T) {
	for _, key := range []string{"sk-secret\r\nX: y", "sk-secret ", "sk-secret-ç"} {
		if _, err := New(Options{BaseURL: "http://x", APIKey: key}); err == nil || bytes.Contains([]byte(err.Error()), []byte("sk-")) {
			t.Errorf("%v", err)
		}
	}
	if _, err := New(Options{BaseURL: "http://user:sk-secret@x"}); err == nil || bytes.Contains([]byte(err.Error()), []byte("sk-")) {
		t.Errorf("%v", err)
	}
}

func TestABinaryAnswerIsGivenByteByByte(t *testing.T) {
	bytesOfAll := make([]byte, 1<<20)
	for i := range bytesOfAll {
		bytesOfAll[i] = byte(i * 31)
	}
	overBoth(t, func(t *testing.T, secure bool) {
		for name, length := range map[string]bool{"with a length": true, "in chunks": false} {
			t.Run(name, func(t *testing.T) {
				p := watch(t, secure, 0, func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", "audio/mpeg")
					if length {
						w.Header().Set("Content-Length", fmt.Sprint(len(bytesOfAll)))
					}
					_, _ = w.Write(bytesOfAll)
				})
				a, err := p.client.Send(context.Background(), post("{}"))
				if err != nil {
					t.Fatal(err)
				}
				defer a.Release()
				if !bytes.Equal(a.Body(), bytesOfAll) || a.Header("Content-Type") != "audio/mpeg" {
					t.Error("the answer differs")
				}
				s, err := p.client.Stream(context.Background(), post("{}"))
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				if b, err := io.ReadAll(s); err != nil || !bytes.Equal(b, bytesOfAll) {
					t.Error("the stream differs", err)
				}
			})
		}
	})
}

// TestABodyOf200MegabytesArrives: a file of a batch.
func TestABodyOf200MegabytesArrives(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789abcdef"), 200<<20/16)
	want := sha256.Sum256(body)
	overBoth(t, func(t *testing.T, secure bool) {
		p := watch(t, secure, 0, func(w http.ResponseWriter, r *http.Request) {
			h := sha256.New()
			if _, err := io.Copy(h, r.Body); err != nil || !bytes.Equal(h.Sum(nil), want[:]) || r.ContentLength != int64(len(body)) {
				w.WriteHeader(http.StatusTeapot)
			}
		})
		a, err := p.client.Send(context.Background(), &gateway.Message{Path: "/files", ContentType: "multipart/form-data; boundary=x", Body: body})
		if err != nil || a.Status() != http.StatusOK {
			t.Fatal(err)
		}
		a.Release()
	})
}
