package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if was, err := runRole(os.Args[1:]); was {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestLoadRefusesAnAnswerThatIsNoAnswer(t *testing.T) {
	const usage = `{"usage":{"prompt_tokens": 3, "completion_tokens": 4}}`
	for name, answer := range map[string]http.HandlerFunc{
		"status":         func(w http.ResponseWriter, _ *http.Request) { http.Error(w, usage, http.StatusTooManyRequests) },
		"no usage":       func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{}`) },
		"nothing at all": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(answer)
			defer s.Close()
			spec := loadSpec{Address: s.Listener.Addr().String(), Connections: 2, Calls: 10}
			r, err := spec.run()
			if err != nil || r.err(spec) == nil || r.Answered != 0 || r.Failed == 0 || r.FirstError == "" {
				t.Errorf("got %+v, %v", r, err)
			}
		})
	}
}

func TestLoadReadsWholeAnswersAndStreams(t *testing.T) {
	const usage = `{"usage":{"prompt_tokens": 3, "completion_tokens":4}}`
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/chat/completions" || r.Header.Get("Authorization") != "Bearer k" {
			http.NotFound(w, r)
			return
		}
		for range streamEvents {
			fmt.Fprintf(w, "data: %s\n\n", usage)
			w.(http.Flusher).Flush() // in chunks
		}
	}))
	defer s.Close()
	spec := loadSpec{Address: s.Listener.Addr().String(), Key: "k", Stream: true, Connections: 2, Calls: 10}
	r, err := spec.run()
	if err != nil || r.err(spec) != nil || r.Answered != 10 || r.Tokens != 70 || r.FirstByteP99 <= 0 || r.P99 < r.FirstByteP99 {
		t.Errorf("got %+v, %v, %v", r, err, r.err(spec))
	}
}

func TestPercentileTakesTheNearestRank(t *testing.T) {
	var times []time.Duration
	for i := range 200 {
		times = append(times, time.Duration(200-i)*time.Millisecond)
	}
	for p, want := range map[int]float64{50: 100, 99: 198, 100: 200} {
		if got := percentile(times, p); got != want {
			t.Errorf("percentile %d is %v, want %v", p, got, want)
		}
	}
}

func TestPrintTellsWhatMissedItsTarget(t *testing.T) {
	r := &report{}
	both := pair{proxy: series{{ownCPU: 1, p99: 50}}, gateway: series{{ownCPU: 2.5, p99: 50.5}}}
	r.ratio("cpu", "ms", both, ownCPU).atMost(2)
	r.added("time", "ms", both, p99).below(1)
	r.plain("memory", "MB", 10, 80).below(80)
	var out bytes.Buffer
	if err := r.print(&out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	for i, want := range []string{"2.50×", "+0.50 ms", "< 80 MB"} {
		verdict := map[bool]string{true: "ok", false: "MISSED"}[i == 1]
		if !strings.Contains(lines[i+1], want) || !strings.HasSuffix(lines[i+1], verdict) {
			t.Errorf("line %q lacks %q or %q", lines[i+1], want, verdict)
		}
	}
}
