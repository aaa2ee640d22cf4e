package upstream

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/fila-ia/filaia/internal/gateway"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// arrived is what a provider met of a call.
type arrived struct {
	method, uri, contentType, accept, bearer, key, body string
}

// record starts a provider that tells what arrives, and answers "ok".
func record(t *testing.T) (address string, met <-chan arrived) {
	calls := make(chan arrived, 1)
	p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		h := r.Header
		calls <- arrived{r.Method, r.RequestURI, h.Get("Content-Type"), h.Get("Accept"), h.Get("Authorization"), h.Get("Api-Key"), string(body)}
		ok(w, r)
	}))
	t.Cleanup(p.Close)
	return p.URL, calls
}

// openWith makes a client for the test.
func openWith(t *testing.T, o Options) *Client {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// both sends a message as a whole call and as a stream, which must be answered, and gives what arrived.
func both(t *testing.T, c *Client, m *gateway.Message, met <-chan arrived) (whole, streamed arrived) {
	t.Helper()
	a, err := c.Send(context.Background(), m)
	if err != nil {
		t.Fatal(err)
	}
	a.Release()
	whole = <-met
	s, err := c.Stream(context.Background(), m)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(s); err != nil || string(text) != "ok" {
		t.Fatalf("%q %v", text, err)
	}
	s.Close()
	return whole, <-met
}

func TestAMessageGoesWhereItsKindOfProviderLooks(t *testing.T) {
	const dated = "2024-10-21"
	for name, c := range map[string]struct {
		kind          tenancy.ProviderKind
		base, version string
		m             gateway.Message
		want          string
	}{
		"OpenAI":                        {"openai", "/v1", "", gateway.Message{Path: "/chat/completions"}, "/v1/chat/completions"},
		"compatible, slash at the end":  {"compatible", "/api/v1/", "", gateway.Message{Path: "/embeddings"}, "/api/v1/embeddings"},
		"no kind":                       {"", "/v1", dated, gateway.Message{Path: "/x"}, "/v1/x"},
		"a query":                       {"openai", "/v1", "", gateway.Message{Path: "/responses/r%2F1", Query: "include=a&x=%20"}, "/v1/responses/r%2F1?include=a&x=%20"},
		"Azure v1":                      {"azure", "", "", gateway.Message{Path: "/chat/completions", Model: "d"}, "/openai/v1/chat/completions"},
		"Azure v1, given":               {"azure", "/openai/v1/", "", gateway.Message{Path: "/chat/completions", Model: "d"}, "/openai/v1/chat/completions"},
		"Azure v1, half given":          {"azure", "/openai", "", gateway.Message{Path: "/responses", Query: "a=b"}, "/openai/v1/responses?a=b"},
		"Azure v1 preview":              {"azure", "", "preview", gateway.Message{Path: "/responses"}, "/openai/v1/responses?api-version=preview"},
		"Azure dated chat":              {"azure", "", dated, gateway.Message{Path: "/chat/completions", Model: "gpt-4o"}, "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"},
		"Azure dated completions":       {"azure", "/openai", dated, gateway.Message{Path: "/completions", Model: "d"}, "/openai/deployments/d/completions?api-version=2024-10-21"},
		"Azure dated embeddings":        {"azure", "/openai/v1", dated, gateway.Message{Path: "/embeddings", Model: "d"}, "/openai/deployments/d/embeddings?api-version=2024-10-21"},
		"Azure dated images":            {"azure", "/", dated, gateway.Message{Path: "/images/generations", Model: "d"}, "/openai/deployments/d/images/generations?api-version=2024-10-21"},
		"Azure dated audio":             {"azure", "", dated, gateway.Message{Path: "/audio/speech", Model: "d"}, "/openai/deployments/d/audio/speech?api-version=2024-10-21"},
		"Azure dated responses":         {"azure", "", dated, gateway.Message{Path: "/responses", Model: "d"}, "/openai/responses?api-version=2024-10-21"},
		"Azure dated response by id":    {"azure", "", dated, gateway.Message{Path: "/responses/r1", Query: "stream=true"}, "/openai/responses/r1?api-version=2024-10-21&stream=true"},
		"Azure dated files":             {"azure", "", dated, gateway.Message{Path: "/files"}, "/openai/files?api-version=2024-10-21"},
		"a deployment of odd letters":   {"azure", "", dated, gateway.Message{Path: "/embeddings", Model: "a/b ?ç%"}, "/openai/deployments/a%2Fb%20%3F%C3%A7%25/embeddings?api-version=2024-10-21"},
		"a deployment that would climb": {"azure", "", dated, gateway.Message{Path: "/embeddings", Model: ".."}, "/openai/deployments/%2E%2E/embeddings?api-version=2024-10-21"},
		"below a path of a proxy's":     {"azure", "/eu/azure", dated, gateway.Message{Path: "/embeddings", Model: "d"}, "/eu/azure/openai/deployments/d/embeddings?api-version=2024-10-21"},
	} {
		t.Run(name, func(t *testing.T) {
			url, met := record(t)
			client := openWith(t, Options{Kind: c.kind, BaseURL: url + c.base, APIVersion: c.version, APIKey: "sk-operator"})
			c.m.Body = []byte("{}")
			whole, streamed := both(t, client, &c.m, met)
			if whole.uri != c.want || streamed.uri != c.want {
				t.Errorf("%s and %s, not %s", whole.uri, streamed.uri, c.want)
			}
			bearer, key := "Bearer sk-operator", ""
			if c.kind == tenancy.AzureProvider {
				bearer, key = "", "sk-operator"
			}
			for _, a := range []arrived{whole, streamed} {
				if a.bearer != bearer || a.key != key {
					t.Errorf("Authorization %q, api-key %q", a.bearer, a.key)
				}
			}
		})
	}
}

// TestAnAddressThatIsNoneGoesNowhere: what a caller has written into an id must not lead the operator's credential
// elsewhere, or end the request line.
func TestAnAddressThatIsNoneGoesNowhere(t *testing.T) {
	p := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s arrived", r.RequestURI) }))
	defer p.Close()
	for name, m := range map[string]*gateway.Message{
		"no slash":            {Path: "x"},
		"empty":               {},
		"a climbing path":     {Path: "/responses/../organization"},
		"a climbing end":      {Path: "/responses/.."},
		"a query in the path": {Path: "/responses/r?x=y"},
		"a fragment":          {Path: "/responses/r#x"},
		"a line end":          {Path: "/x HTTP/1.1\r\nHost: y"},
		"a query's line end":  {Path: "/x", Query: "a\r\nb"},
		"a query's space":     {Path: "/x", Query: "a b"},
		"no deployment":       {Path: "/embeddings"},
	} {
		t.Run(name, func(t *testing.T) {
			c := openWith(t, Options{Kind: tenancy.AzureProvider, BaseURL: p.URL, APIVersion: "2024-10-21"})
			if _, err := c.Send(context.Background(), m); !away(err) || !Unsent(err) {
				t.Error(err)
			}
			if _, err := c.Stream(context.Background(), m); !away(err) || !Unsent(err) {
				t.Error(err)
			}
		})
	}
}
