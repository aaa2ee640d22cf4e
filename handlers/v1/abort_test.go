package v1_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/openaitest"
	"github.com/fila-ia/filaia/internal/tokenizer"
)

// longStream makes the provider take its time for an endpoint's stream.
func longStream(e *endpoint, pause time.Duration) openaitest.Behaviour {
	if strings.HasPrefix(e.name, "images") {
		pause *= 10 // they have few events
	}
	return openaitest.Behaviour{Pause: pause, Text: strings.Repeat("devagar ", 60)}
}

// leaveStream begins a stream of an endpoint and goes away after its first bytes.
func (s *site) leaveStream(e *endpoint) {
	s.t.Helper()
	contentType, body := e.request(true, e.model, "")
	if e.name == "audio.speech" { // long enough for many pieces
		body = strings.Replace(body, "Bom dia", strings.Repeat("Bom dia ", 100), 1)
	}
	s.leaveAfter(e.path, contentType, body, "")
}

func streamed() []endpoint {
	var list []endpoint
	for _, e := range endpoints() {
		if e.streams {
			list = append(list, e)
		}
	}
	return list
}

func TestAClientThatLeavesAnyStreamIsBilledTheProvidersFigure(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	s.gate.AbortDrain = time.Minute
	for n, e := range streamed() {
		before := s.provider.Stats()
		s.provider.Next(longStream(&e, 10*time.Millisecond))
		s.leaveStream(&e)
		r, stats := s.records(n + 1)[n], s.provider.Stats()
		in, out := stats.PromptTokens-before.PromptTokens, stats.CompletionTokens-before.CompletionTokens
		if r.Status != "aborted" || r.Estimated || r.In != in || r.Out != out || out == 0 || stats.Answered-before.Answered != 1 || r.Endpoint != e.name {
			t.Errorf("%+v; the provider counted %d and %d", r, in, out)
		}
		s.unheld()
	}
}

func TestAClientThatLeavesAnySlowStreamIsBilledWhatWasDelivered(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	s.gate.AbortDrain = 150 * time.Millisecond
	for n, e := range streamed() {
		s.provider.Next(longStream(&e, 50*time.Millisecond))
		s.leaveStream(&e)
		r := s.records(n + 1)[n]
		if r.Status != "aborted" || r.Estimated == e.byRequest || r.Endpoint != e.name {
			t.Errorf("%+v", r)
		}
		if e.byRequest != (r.In == 0) || r.Out > 40 || e.byRequest && r.Out != 0 {
			t.Errorf("%+v", r)
		}
		s.unheld()
	}
}

// TestABinarySoundIsDrainedAndCountsWhatWasRead: there is no figure to wait for, but what was made must be recorded.
func TestABinarySoundIsDrainedAndCountsWhatWasRead(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	for n, drain := range []time.Duration{0, time.Minute} {
		s.gate.AbortDrain = drain
		s.provider.Next(openaitest.Behaviour{Pause: 10 * time.Millisecond})
		s.leaveBinary(strings.Repeat("Bom dia. ", 100))
		if r := s.records(n + 1)[n]; r.Status != "aborted" || !r.Estimated || r.In != int64(tokenizer.Count("gpt-4o-mini-tts", strings.Repeat("Bom dia. ", 100))) || r.Out != 0 {
			t.Errorf("%+v", r)
		}
		if answered := s.provider.Stats().Answered == 1; answered != (drain > 0) {
			t.Errorf("with %s to drain, the provider could end: %v", drain, answered)
		}
		s.unheld()
	}
}

func (s *site) leaveBinary(text string) {
	s.t.Helper()
	res := s.speak(text)
	if _, err := res.Body.Read(make([]byte, 1)); err != nil {
		s.t.Fatal(err)
	}
	res.Body.Close()
}

// speak asks for a sound and gives the answer when its head has come. The connection serves nobody else.
func (s *site) speak(text string) *http.Response {
	s.t.Helper()
	body := `{"model":"gpt-4o-mini-tts","voice":"alloy","response_format":"pcm","input":"` + text + `"}`
	req, err := http.NewRequest(http.MethodPost, s.url+"/audio/speech", strings.NewReader(body))
	s.must(err)
	req.Header.Set("Authorization", "Bearer "+s.key)
	transport := &http.Transport{DisableKeepAlives: true}
	s.t.Cleanup(transport.CloseIdleConnections)
	res, err := (&http.Client{Transport: transport}).Do(req)
	s.must(err)
	s.t.Cleanup(func() { res.Body.Close() })
	return res
}
