package openaitest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tidwall/gjson"
)

// endpoint is one that generates something, with the smallest request for it.
type endpoint struct {
	path, body string
	form       []string // the fields of a form with a file, instead of a body
	usage      string   // where the answer's usage is; empty: it has none
	in, out    string   // the names of its tokens
}

// send posts the request.
func (e endpoint) send(t testing.TB, s *Server) response {
	t.Helper()
	if e.form != nil {
		return postForm(t, s, e.path, "a.mp3", make([]byte, 40_000), e.form...)
	}
	return post(t, s, e.path, e.body)
}

// wholeEndpoints answer with one document.
var wholeEndpoints = map[string]endpoint{
	"chat":          {"/chat/completions", hello, nil, "usage", "prompt_tokens", "completion_tokens"},
	"completions":   {"/completions", `{"model":"davinci-002","prompt":"a"}`, nil, "usage", "prompt_tokens", "completion_tokens"},
	"responses":     {"/responses", `{"model":"gpt-4o","input":"a"}`, nil, "usage", "input_tokens", "output_tokens"},
	"embeddings":    {"/embeddings", `{"model":"text-embedding-3-small","input":"a","dimensions":8}`, nil, "usage", "prompt_tokens", ""},
	"moderations":   {"/moderations", `{"input":"a"}`, nil, "", "", ""},
	"images":        {"/images/generations", `{"model":"gpt-image-1","prompt":"a","size":"64x64"}`, nil, "usage", "input_tokens", "output_tokens"},
	"transcription": {"/audio/transcriptions", "", []string{"model=gpt-4o-transcribe"}, "usage", "input_tokens", "output_tokens"},
	"translation":   {"/audio/translations", "", []string{"model=whisper-1"}, "", "", ""},
}

// streamedEndpoints answer with events, the usage in the last but what ends the stream.
var streamedEndpoints = map[string]endpoint{
	"chat": {"/chat/completions", streamed, nil, "usage", "prompt_tokens", "completion_tokens"},
	"completions": {"/completions", `{"model":"davinci-002","prompt":"a","stream":true,"stream_options":{"include_usage":true}}`, nil,
		"usage", "prompt_tokens", "completion_tokens"},
	"responses":     {"/responses", `{"model":"gpt-4o","input":"a","stream":true}`, nil, "response.usage", "input_tokens", "output_tokens"},
	"images":        {"/images/generations", `{"model":"gpt-image-1","prompt":"a","size":"64x64","stream":true,"partial_images":3}`, nil, "usage", "input_tokens", "output_tokens"},
	"transcription": {"/audio/transcriptions", "", []string{"model=gpt-4o-transcribe", "stream=true"}, "usage", "input_tokens", "output_tokens"},
	"speech": {"/audio/speech", `{"model":"gpt-4o-mini-tts","voice":"alloy","stream_format":"sse","input":"` + strings.Repeat("Bom dia. ", 20) + `"}`, nil,
		"usage", "input_tokens", "output_tokens"},
}

// dataOf returns the JSON of the events of a stream, without [DONE].
func dataOf(body string) (docs []string) {
	for _, e := range strings.Split(strings.TrimSuffix(body, "\n\n"), "\n\n") {
		if _, data, ok := strings.Cut("\n"+e, "\ndata: "); ok && data != "[DONE]" {
			docs = append(docs, data)
		}
	}
	return docs
}

func TestEveryEndpointCountsTheTokensItReports(t *testing.T) {
	made := Usage{PromptTokens: 700, CompletionTokens: 50}
	check := func(name string, e endpoint, usageOf func(response) gjson.Result) {
		s := start(t, Options{})
		first := usageOf(e.send(t, s))
		if stats := s.Stats(); stats.Answered != 1 || stats.PromptTokens != first.Get(e.in).Int() || stats.CompletionTokens != first.Get(e.out).Int() ||
			first.Exists() != (e.usage != "") || e.usage != "" && stats.PromptTokens == 0 {
			t.Errorf("%s: %+v, usage %s", name, stats.Totals, first.Raw)
		}
		if e.usage == "" {
			return
		}
		s.Next(Behaviour{Usage: &made})
		if u := usageOf(e.send(t, s)); u.Get(e.in).Int() != 700 || e.out != "" && u.Get(e.out).Int() != 50 || u.Get("total_tokens").Int() != 750 {
			t.Errorf("%s: made up: %s", name, u.Raw)
		}
		if stats := s.Stats(); stats.PromptTokens != 700+first.Get(e.in).Int() || stats.CompletionTokens != 50+first.Get(e.out).Int() {
			t.Errorf("%s: %+v", name, stats.Totals)
		}
	}
	for name, e := range wholeEndpoints {
		check(name, e, func(r response) gjson.Result { return gjson.Get(r.body, e.usage) })
	}
	for name, e := range streamedEndpoints {
		check(name+" streamed", e, func(r response) gjson.Result {
			docs := dataOf(r.body)
			return gjson.Get(docs[len(docs)-1], e.usage)
		})
	}
}

func TestEveryWholeAnswerFails(t *testing.T) {
	for name, e := range wholeEndpoints {
		s := start(t, Options{})
		whole := e.send(t, s)
		for fault, fits := range map[Fault]func(response) bool{
			FaultReset:     func(r response) bool { return r.err != nil && len(r.body) > 0 && len(r.body) < len(whole.body) },
			FaultTruncate:  func(r response) bool { return r.err == nil && r.status == 200 && !gjson.Valid(r.body) },
			FaultMalformed: func(r response) bool { return r.err == nil && r.status == 200 && !gjson.Valid(r.body) },
			FaultErrorEvent: func(r response) bool {
				return r.status == 500 && gjson.Get(r.body, "error.type").String() == "server_error"
			},
			FaultNoUsage: func(r response) bool {
				return r.status == 200 && gjson.Valid(r.body) && !gjson.Get(r.body, "usage").IsObject()
			},
		} {
			s.Next(Behaviour{Fault: fault})
			if r := e.send(t, s); !fits(r) {
				t.Errorf("%s, fault %d: %d %v %.300s", name, fault, r.status, r.err, r.body)
			}
		}
		s.Next(Behaviour{Status: 429, Header: map[string]string{"retry-after": "7", "x-ratelimit-remaining-tokens": "0"}})
		if r := e.send(t, s); r.status != 429 || r.header.Get("retry-after") != "7" || r.header.Get("x-ratelimit-remaining-tokens") != "0" {
			t.Errorf("%s: %+v", name, r)
		}
		if stats := s.Stats(); stats.Answered != 2 || stats.Cut != 3 || stats.Refused != 2 {
			t.Errorf("%s: %+v", name, stats.Totals)
		}
	}
}

func TestEveryStreamFails(t *testing.T) {
	for name, e := range streamedEndpoints {
		s := start(t, Options{})
		whole := strings.SplitAfter(e.send(t, s).body, "\n\n")
		for fault, fits := range map[Fault]func(r response, events []string) bool{
			FaultReset: func(r response, events []string) bool {
				return errors.Is(r.err, syscall.ECONNRESET) && len(events) == 3 && events[2] == ""
			},
			FaultTruncate: func(r response, events []string) bool {
				return r.err == nil && len(events) == 3 && events[2] != "" && !json.Valid([]byte(dataOf(r.body)[2]))
			},
			FaultErrorEvent: func(r response, events []string) bool {
				last := gjson.Parse(dataOf(r.body)[2])
				return r.err == nil && len(events) == 4 && (last.Get("error.type").String() == "server_error" || last.Get("code").String() == "server_error")
			},
			FaultMalformed: func(r response, events []string) bool {
				return r.err == nil && len(events) == len(whole) && !gjson.Valid(dataOf(r.body)[2])
			},
			FaultNoUsage: func(r response, events []string) bool {
				return r.err == nil && !strings.Contains(r.body, "total_tokens")
			},
		} {
			s.Next(Behaviour{Fault: fault, After: 2})
			r := e.send(t, s)
			if events := strings.SplitAfter(r.body, "\n\n"); r.status != 200 || !fits(r, events) {
				t.Errorf("%s, fault %d: %d events of %d, %v\n%.600s", name, fault, len(events), len(whole), r.err, r.body)
			}
		}
		if stats := s.Stats(); stats.Answered != 3 || stats.Cut != 3 {
			t.Errorf("%s: %+v", name, stats.Totals)
		}
	}
}

func TestEveryEndpointStallsAndRefuses(t *testing.T) {
	s := start(t, Options{Script: func(*Request) Behaviour { return Behaviour{Fault: FaultRefuse} }})
	for name, e := range wholeEndpoints {
		if e.form != nil {
			continue // sent alike
		}
		if r, err := send(s, http.MethodPost, e.path, e.body, "Bearer sk-test"); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	stalling := start(t, Options{Script: func(*Request) Behaviour { return Behaviour{Fault: FaultStall, After: 1} }})
	begun := 0
	for _, all := range []map[string]endpoint{wholeEndpoints, streamedEndpoints} {
		for _, e := range all {
			if e.form == nil {
				begun++
				go send(stalling, http.MethodPost, e.path, e.body, "Bearer sk-test")
			}
		}
	}
	until(t, "all requests", func() bool { return stalling.Stats().Requests == int64(begun) })
	if stats := stalling.Stats(); stats.Answered != 0 {
		t.Errorf("%+v", stats)
	}
	stalling.Close()
	if stats := stalling.Stats(); stats.Cut != int64(begun) {
		t.Errorf("%d stalled, %+v", begun, stats)
	}
}

func TestPausesSlowEveryStream(t *testing.T) {
	for name, e := range streamedEndpoints {
		s := start(t, Options{Script: func(*Request) Behaviour { return Behaviour{Text: "um", Pause: 5 * time.Millisecond} }})
		begun := time.Now()
		r := e.send(t, s)
		if events := strings.Count(r.body, "\n\n"); time.Since(begun) < time.Duration(events)*5*time.Millisecond || r.status != 200 {
			t.Errorf("%s: %d events after %v", name, events, time.Since(begun))
		}
	}
}

func TestBareSoundFailsToo(t *testing.T) {
	s := start(t, Options{})
	body := fmt.Sprintf(`{"model":"gpt-4o-mini-tts","voice":"alloy","response_format":"wav","input":%q}`, strings.Repeat("Bom dia. ", 20))
	whole := post(t, s, "/audio/speech", body)
	if stats := s.Stats(); stats.PromptTokens == 0 || stats.CompletionTokens != 240 {
		t.Errorf("%+v", stats)
	}
	for fault, fits := range map[Fault]func(response) bool{
		FaultReset:      func(r response) bool { return errors.Is(r.err, syscall.ECONNRESET) && len(r.body) == 2*speechPiece },
		FaultTruncate:   func(r response) bool { return r.err == nil && len(r.body) == 2*speechPiece+speechPiece/2 },
		FaultMalformed:  func(r response) bool { return r.err == nil && strings.Contains(r.body, "502 Bad Gateway") },
		FaultErrorEvent: func(r response) bool { return r.status == 500 && gjson.Valid(r.body) },
		FaultNoUsage:    func(r response) bool { return r.body == whole.body },
	} {
		s.Next(Behaviour{Fault: fault, After: 2})
		if r := post(t, s, "/audio/speech", body); !fits(r) {
			t.Errorf("fault %d: %d %v, %d bytes", fault, r.status, r.err, len(r.body))
		}
	}
}

func TestOnlyResponsesFailAsDocuments(t *testing.T) {
	s := start(t, Options{})
	s.Next(Behaviour{Fault: FaultFailed}, Behaviour{Fault: FaultFailed, After: 2})
	if r := post(t, s, "/chat/completions", hello); r.status != 500 {
		t.Errorf("%+v", r)
	}
	if r := post(t, s, "/chat/completions", streamed); !strings.Contains(r.body, `"server_error"`) {
		t.Errorf("%s", r.body)
	}
}
