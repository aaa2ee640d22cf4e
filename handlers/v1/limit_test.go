package v1_test

import (
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
