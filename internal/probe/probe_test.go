package probe

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/openaitest"
	"github.com/fila-ia/filaia/internal/tenancy"
)

const key = "sk-canary-0123456789"

func house(t *testing.T, o openaitest.Options) *openaitest.Server {
	t.Helper()
	o.Keys, o.Models, o.Record = []string{key}, []string{"zeta", "alfa"}, true
	s, err := openaitest.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// refused wants a fault that does not tell the key, neither to a person nor to the log.
func refused(t *testing.T, err error, kind fault.Kind, message string) {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != kind || f.Key != message {
		t.Errorf("error %v, want %s", err, message)
	}
	if err != nil && strings.Contains(err.Error(), key) {
		t.Errorf("the error tells the key: %v", err)
	}
}

func TestModelsAreListedAtEveryKindOfHouse(t *testing.T) {
	s := house(t, openaitest.Options{})
	root := strings.TrimSuffix(s.URL(), "/v1")
	for name, target := range map[string]Target{
		"openai":               {Kind: tenancy.OpenAIProvider, BaseURL: s.URL()},
		"compatible":           {Kind: tenancy.CompatibleProvider, BaseURL: s.URL()},
		"azure with a version": {Kind: tenancy.AzureProvider, BaseURL: root, APIVersion: "2024-10-21"},
		"azure's v1 API":       {Kind: tenancy.AzureProvider, BaseURL: root},
	} {
		target.APIKey = key
		names, err := Models(context.Background(), target)
		if err != nil || !slices.Equal(names, []string{"alfa", "zeta"}) {
			t.Errorf("%s: %v, %v", name, names, err)
		}
		target.APIKey = "sk-another-key"
		_, err = Models(context.Background(), target)
		refused(t, err, fault.Invalid, "probe.error.credential")
	}
}

func TestWhatIsWrongIsTold(t *testing.T) {
	says := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "http://127.0.0.1:1/elsewhere")
			w.WriteHeader(status)
			w.Write([]byte(strings.ReplaceAll(body, "KEY", r.Header.Get("Authorization")))) //nolint:errcheck // of a test
		}
	}
	for name, c := range map[string]struct {
		status int
		body   string
		kind   fault.Kind
		want   string
	}{
		"a refused credential that is written back": {401, `{"error":{"message":"no such key: KEY","code":"invalid_api_key"}}`, fault.Invalid, "probe.error.credential"},
		"a forbidden one, in plain text":            {403, `go away, KEY`, fault.Invalid, "probe.error.credential"},
		"another path":                              {404, `<h1>KEY not found</h1>`, fault.Invalid, "probe.error.not_compatible"},
		"a web page":                                {200, `<!doctype html><p>KEY</p>`, fault.Invalid, "probe.error.not_compatible"},
		"other JSON":                                {200, `{"status":"ok KEY"}`, fault.Invalid, "probe.error.not_compatible"},
		"another list":                              {200, `{"data":[{"name":"KEY"}]}`, fault.Invalid, "probe.error.not_compatible"},
		"a redirect":                                {302, ``, fault.Invalid, "probe.error.not_compatible"},
		"too many requests":                         {429, `{"error":{"message":"slow down KEY"}}`, fault.Unavailable, "probe.error.status"},
		"trouble":                                   {500, `KEY`, fault.Unavailable, "probe.error.status"},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(says(c.status, c.body))
			defer s.Close()
			_, err := Models(context.Background(), Target{Kind: tenancy.CompatibleProvider, BaseURL: s.URL + "/v1", APIKey: key})
			refused(t, err, c.kind, c.want)
		})
	}
}

func TestAnEmptyListIsAList(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte(`{"object":"list","data":[]}`)) //nolint:errcheck // of a test
	}))
	defer s.Close()
	names, err := Models(context.Background(), Target{Kind: tenancy.CompatibleProvider, BaseURL: s.URL})
	if err != nil || len(names) != 0 {
		t.Fatal(names, err)
	}
}

func TestAnAddressWhereNobodyListensIsTold(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	_, err := Models(context.Background(), Target{Kind: tenancy.OpenAIProvider, BaseURL: s.URL, APIKey: key})
	refused(t, err, fault.Unavailable, "probe.error.unreachable")
}

func TestAnUntrustedCertificateIsTold(t *testing.T) {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	_, err := Models(context.Background(), Target{Kind: tenancy.OpenAIProvider, BaseURL: s.URL, APIKey: key})
	refused(t, err, fault.Invalid, "probe.error.tls")
}

func TestAHouseWithoutHTTPSIsTold(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	_, err := Models(context.Background(), Target{Kind: tenancy.OpenAIProvider, BaseURL: strings.Replace(s.URL, "http:", "https:", 1), APIKey: key})
	refused(t, err, fault.Invalid, "probe.error.tls")
}

func TestAHouseThatSaysNothingIsTold(t *testing.T) {
	s := house(t, openaitest.Options{Script: func(*openaitest.Request) openaitest.Behaviour { return openaitest.Behaviour{Delay: time.Hour} }})
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	_, err := Models(ctx, Target{Kind: tenancy.OpenAIProvider, BaseURL: s.URL(), APIKey: key})
	refused(t, err, fault.Unavailable, "probe.error.timeout")
}

func TestWhoLeavesIsNotToldThatTheHouseIsSlow(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	s := house(t, openaitest.Options{Script: func(*openaitest.Request) openaitest.Behaviour {
		cancel()
		return openaitest.Behaviour{Delay: time.Hour}
	}})
	if _, err := Models(ctx, Target{Kind: tenancy.OpenAIProvider, BaseURL: s.URL(), APIKey: key}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}
