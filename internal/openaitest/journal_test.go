package openaitest

import (
	"net/http"
	"sync"
	"testing"
)

func TestJournalTellsOfEachAnswerByItsRequestID(t *testing.T) {
	var mu sync.Mutex
	var told []Entry
	s := start(t, Options{Group: ByUser, Journal: func(e Entry) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, e)
	}})
	s.Next(Behaviour{}, Behaviour{Status: 503}, Behaviour{Fault: FaultTruncate}, Behaviour{Fault: FaultTruncate, After: 2}, Behaviour{Usage: &Usage{PromptTokens: 9, CompletionTokens: 99}})
	bodies := []string{wholeFor("a"), wholeFor("b"), wholeFor("c"), streamFor("d"), streamFor("e")}
	for i, body := range bodies {
		r, err := send(s, http.MethodPost, "/chat/completions", body, "Bearer sk-test")
		mu.Lock()
		n := len(told)
		mu.Unlock()
		if n != i+1 {
			t.Fatalf("answer %d (%v): the journal has %d entries", i, err, n)
		}
		if got := told[i]; got.ID == "" || got.ID != r.header.Get("x-request-id") {
			t.Errorf("answer %d: %+v, x-request-id %q", i, got, r.header.Get("x-request-id"))
		}
	}
	for i, want := range []Entry{
		{Group: "a", Status: 200, Whole: true}, {Group: "b", Status: 503}, {Group: "c", Status: 200}, {Group: "d", Status: 200},
		{Group: "e", Status: 200, Whole: true, Usage: Usage{PromptTokens: 9, CompletionTokens: 99}},
	} {
		got := told[i]
		if want.Usage == (Usage{}) && want.Status == 200 {
			if got.Usage.PromptTokens == 0 || got.Usage.CompletionTokens == 0 {
				t.Errorf("%+v tells no tokens", got)
			}
			got.Usage = Usage{}
		}
		if got.ID, want.Path = "", "/v1/chat/completions"; got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
}

func wholeFor(user string) string {
	return `{"user":"` + user + `","model":"gpt-4.1-nano","messages":[{"role":"user","content":"oi"}]}`
}

func streamFor(user string) string { return `{"stream":true,` + wholeFor(user)[1:] }
