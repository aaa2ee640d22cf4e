package v1_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/openaitest"
)

// TestTheUsualLimitOfACompletionIsToldInBothModes: the hold relies on it.
func TestTheUsualLimitOfACompletionIsToldInBothModes(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	for _, extra := range []string{"", `"stream":true,`} {
		a := s.do(http.MethodPost, "/completions", s.key, `{`+extra+`"model":"gpt-3.5-turbo-instruct","prompt":"um dois"}`)
		if n := gjson.GetBytes(s.last().Body, "max_tokens").Int(); a.status != http.StatusOK || n != 16 {
			t.Errorf("%q: %d, and the provider was told %d: %s", extra, a.status, n, s.last().Body)
		}
	}
}

func TestWhatASearchOfTheProviderFindsIsHeld(t *testing.T) {
	terms := roomy()
	terms.InputTokens = 1000
	s := newSite(t, terms, openaitest.Options{})
	const ask = `{"model":"gpt-4.1-nano","input":"oi","max_output_tokens":50,"tools":[{"type":"%s","name":"x"}]}`
	seen(t, s.do(http.MethodPost, "/responses", s.key, fmt.Sprintf(ask, "web_search")), 429, "insufficient_quota", "insufficient_quota", "")
	if n := s.reached(); n != 0 {
		t.Errorf("%d calls reached the provider", n)
	}
	if a := s.do(http.MethodPost, "/responses", s.key, fmt.Sprintf(ask, "function")); a.status != http.StatusOK {
		t.Errorf("a tool of the caller's: %d %s", a.status, a.body)
	}
	s.unheld()
}
