package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fila-ia/filaia/internal/tenancy"
)

func TestEmbedderTellsNeitherQuestionNorCredential(t *testing.T) {
	const credential, question = "sk-canary-operator", "O CPF do cliente é 123.456.789-00"
	for name, c := range map[string]struct {
		status int
		says   string // with the credential and the request's body
		want   string
	}{
		"a page":           {502, "Bad gateway. Request was: %s\n%s", "502"},
		"an error":         {401, `{"error":{"message":"Incorrect API key provided: %s","code":"invalid_api_key","param":%q}}`, "401"},
		"no JSON":          {200, "%s %s", "no answer"},
		"a hostile header": {0, "%s %s", "no answer"},
	} {
		t.Run(name, func(t *testing.T) {
			p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				said := fmt.Sprintf(c.says, r.Header.Get("Authorization"), body)
				if c.status != 0 {
					w.WriteHeader(c.status)
					_, _ = io.WriteString(w, said)
					return
				}
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.WriteString(conn, said+"\r\n\r\n")
				_ = conn.Close()
			}))
			defer p.Close()
			_, _, err := newEmbedder(tenancy.Provider{Slug: "x"}, "text-embedding-3-small", p.URL, credential).Embed(context.Background(), question)
			if err == nil || strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "CPF") || !strings.Contains(err.Error(), c.want) {
				t.Error(err)
			}
		})
	}
}

func TestEmbedderTellsAnEndedContextAndAnAbsentProvider(t *testing.T) {
	e := newEmbedder(tenancy.Provider{Slug: "x"}, "m", "http://127.0.0.1:1", "k")
	if _, _, err := e.Embed(context.Background(), "Abre?"); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := e.Embed(ctx, "Abre?"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
