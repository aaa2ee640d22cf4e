package v1_test

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/openaitest"
)

const inBackground = `"background":true,`

// begin starts a response in the background and gives its id.
func (s *site) begin(extra string) string {
	s.t.Helper()
	a := s.respond(inBackground + extra)
	if status := gjson.Get(a.body, "status").Str; a.status != 200 || status != "queued" {
		s.t.Fatalf("%d %s", a.status, a.body)
	}
	return gjson.Get(a.body, "id").Str
}

func TestAResponseInTheBackgroundIsBilledWhenItEnds(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{BackgroundStep: 300 * time.Millisecond})
	s.provider.Next(openaitest.Behaviour{Usage: &openaitest.Usage{PromptTokens: 100, CachedTokens: 40, CompletionTokens: 50, ReasoningTokens: 20}})
	id := s.begin("")
	s.records(0)
	if a := s.do(http.MethodGet, "/responses/"+id, s.key, ""); a.status != 200 || gjson.Get(a.body, "id").Str != id {
		t.Errorf("it cannot be asked for at once: %d %s", a.status, a.body)
	}
	seen(t, s.do(http.MethodGet, "/responses/"+id, s.neighbour(), ""), 404, "invalid_request_error", "", "")
	r := s.records(1)[0]
	if r.Status != "ok" || r.In != 100 || r.Cached != 40 || r.Out != 50 || r.Reasoning != 20 || r.Estimated {
		t.Errorf("%+v", r)
	}
	s.serveAgain()
	if a := s.do(http.MethodGet, "/responses/"+id, s.key, ""); gjson.Get(a.body, "status").Str != "completed" {
		t.Errorf("%d %s", a.status, a.body)
	}
	s.unheld()
}

func TestTheTokensOfABackgroundResponseAreHeldMeanwhile(t *testing.T) {
	terms := roomy()
	terms.OutputTokens = 100
	s := newSite(t, terms, openaitest.Options{BackgroundStep: time.Hour})
	id := s.begin(`"max_output_tokens":90,`)
	if a := s.post(chatBody(`"max_tokens":11,`)); a.status != 429 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := s.do(http.MethodPost, "/responses/"+id+"/cancel", s.key, ""); gjson.Get(a.body, "status").Str != "cancelled" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := s.post(chatBody(`"max_tokens":90,`)); a.status != 200 {
		t.Errorf("what was held is not free at once: %d %s", a.status, a.body)
	}
	if r := s.records(2)[0]; r.Out != 0 || r.In == 0 || !r.Estimated {
		t.Errorf("%+v", r)
	}
	s.unheld()
}

// TestAResponseThatWasSeenToEndIsRecorded: a crash a moment later must not lose it.
func TestAResponseThatWasSeenToEndIsRecorded(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	s.provider.Next(openaitest.Behaviour{Usage: &openaitest.Usage{PromptTokens: 100, CompletionTokens: 50}})
	disk := &failing{gatewayLedger: s.ledger}
	s.gate.Ledger = disk
	id := s.begin("")
	for {
		a := s.do(http.MethodGet, "/responses/"+id, s.key, "")
		if gjson.Get(a.body, "status").Str == "completed" {
			break
		}
	}
	disk.refuse.Store(true) // what is not recorded by now never will be
	if r := s.records(1)[0]; r.In != 100 || r.Out != 50 {
		t.Errorf("%+v", r)
	}
}

func TestAResponseInTheBackgroundThatFails(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{BackgroundStep: 10 * time.Millisecond})
	usage := &openaitest.Usage{PromptTokens: 100, CompletionTokens: 50}
	s.provider.Next(openaitest.Behaviour{Fault: openaitest.FaultFailed, Usage: usage})
	s.begin("")
	if r := s.records(1)[0]; r.Status != "error" || r.In != 100 || r.Out != 50 || r.Estimated {
		t.Errorf("%+v", r)
	}
	s.provider.Next(openaitest.Behaviour{Fault: openaitest.FaultNoUsage})
	s.begin("")
	if r := s.records(2)[1]; r.Status != "ok" || r.In == 0 || r.Out == 0 || !r.Estimated {
		t.Errorf("%+v", r)
	}
	s.unheld()
}

// TestWhatIsDeletedIsBilledAllTheSame fetches a response itself and deletes it before it was looked at.
func TestWhatIsDeletedIsBilledAllTheSame(t *testing.T) {
	usage := openaitest.Behaviour{Usage: &openaitest.Usage{PromptTokens: 100, CompletionTokens: 50}}
	t.Run("complete", func(t *testing.T) {
		s := newSite(t, roomy(), openaitest.Options{})
		s.provider.Next(usage)
		id := s.begin("")
		for range 2 { // queued, in progress, completed
			s.do(http.MethodGet, "/responses/"+id, s.key, "")
		}
		if a := s.do(http.MethodDelete, "/responses/"+id, s.key, ""); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}
		if r := s.records(1)[0]; r.In != 100 || r.Out != 50 || r.Estimated {
			t.Errorf("%+v", r)
		}
		s.unheld()
	})
	t.Run("under way", func(t *testing.T) {
		s := newSite(t, roomy(), openaitest.Options{BackgroundStep: time.Hour})
		s.provider.Next(usage)
		id := s.begin("")
		seen(t, s.do(http.MethodDelete, "/responses/"+id, s.neighbour(), ""), 404, "invalid_request_error", "", "")
		s.records(0)
		if a := s.do(http.MethodDelete, "/responses/"+id, s.key, ""); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}
		if r := s.records(1)[0]; r.In == 0 || r.Out != 0 {
			t.Errorf("%+v", r)
		}
		s.unheld()
	})
}

func TestAServerThatStopsCancelsAndRecordsWhatIsInTheBackground(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{BackgroundStep: time.Hour})
	id := s.begin("")
	closed := make(chan struct{})
	go func() { s.api.Close(); close(closed) }()
	select {
	case <-closed:
	case <-time.After(time.Minute):
		t.Fatal("it does not stop")
	}
	if r := s.records(1)[0]; r.In == 0 || !r.Estimated {
		t.Errorf("%+v", r)
	}
	if a := s.do(http.MethodGet, "/responses/"+id, s.key, ""); gjson.Get(a.body, "status").Str != "cancelled" {
		t.Errorf("%d %s", a.status, a.body)
	}
	s.unheld()
}

func TestAServerThatStopsRecordsEvenWhenTheProviderIsGone(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{BackgroundStep: time.Hour})
	s.begin("")
	s.provider.Close()
	s.api.Close()
	if r := s.records(1)[0]; r.Status != "error" || r.In == 0 || !r.Estimated {
		t.Errorf("%+v", r)
	}
	s.unheld()
}

// TestAStreamInTheBackgroundIsBilledToItsEnd: the provider makes it even when nobody reads on.
func TestAStreamInTheBackgroundIsBilledToItsEnd(t *testing.T) {
	const extra = inBackground + `"stream":true,`
	t.Run("read to the end", func(t *testing.T) {
		s := newSite(t, roomy(), openaitest.Options{})
		a := s.respond(extra)
		if !strings.Contains(a.body, "event: response.completed\n") {
			t.Errorf("%q", a.body)
		}
		if r, stats := s.records(1)[0], s.provider.Stats(); r.Status != "ok" || r.In != stats.PromptTokens || r.Out != stats.CompletionTokens || r.Out == 0 {
			t.Errorf("%+v; %+v", r, stats)
		}
		s.unheld()
	})
	usage := &openaitest.Usage{PromptTokens: 100, CompletionTokens: 50}
	t.Run("the client leaves", func(t *testing.T) {
		s := newSite(t, roomy(), openaitest.Options{})
		s.gate.AbortDrain = 0
		s.provider.Next(openaitest.Behaviour{Pause: 20 * time.Millisecond, Text: strings.Repeat("devagar ", 2000), Usage: usage})
		s.leaveAfter("/responses", "application/json", responseBody(extra), "response.in_progress")
		if r := s.records(1)[0]; r.Status != "aborted" || r.In != 100 || r.Out != 50 || r.Estimated {
			t.Errorf("%+v", r)
		}
		s.unheld()
	})
	t.Run("the stream breaks off", func(t *testing.T) {
		s := newSite(t, roomy(), openaitest.Options{})
		s.provider.Next(openaitest.Behaviour{Fault: openaitest.FaultReset, After: 4, Usage: usage})
		if a := s.respond(extra); errorType(a.body) != "service_unavailable_error" {
			t.Errorf("%q", a.body)
		}
		if r := s.records(1)[0]; r.Status != "error" || r.In != 100 || r.Out != 50 || r.Estimated {
			t.Errorf("%+v", r)
		}
		s.unheld()
	})
}

// leaveAfter reads a stream until a line holds a word, and goes away.
func (s *site) leaveAfter(path, contentType, body, word string) {
	s.t.Helper()
	req, err := http.NewRequest(http.MethodPost, s.url+path, strings.NewReader(body))
	s.must(err)
	req.Header.Set("Authorization", "Bearer "+s.key)
	req.Header.Set("Content-Type", contentType)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Do(req)
	s.must(err)
	defer res.Body.Close()
	for stream := bufio.NewReader(res.Body); ; {
		line, err := stream.ReadString('\n')
		if err != nil {
			s.t.Fatalf("%d %q: %v", res.StatusCode, line, err)
		}
		if strings.Contains(line, word) {
			return
		}
	}
}

func TestWhatIsMadeByAProviderThatWasSwitchedOffIsBilled(t *testing.T) {
	for name, change := range map[string]string{
		"switched off": `UPDATE providers SET active = false`,
		"deleted":      `DELETE FROM providers`,
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, roomy(), openaitest.Options{BackgroundStep: 300 * time.Millisecond})
			s.provider.Next(openaitest.Behaviour{Usage: &openaitest.Usage{PromptTokens: 100, CompletionTokens: 50}})
			s.begin("")
			s.exec(`DELETE FROM model_routes WHERE $1`, name == "deleted")
			s.exec(change)
			s.reload()
			if r := s.records(1)[0]; r.Status != "ok" || r.In != 100 || r.Out != 50 || r.Estimated {
				t.Errorf("%+v", r)
			}
			s.unheld()
		})
	}
}

func TestAResponseInTheBackgroundIsReachedAtAnotherReplica(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{BackgroundStep: time.Hour})
	id := s.begin(`"max_output_tokens":90,`)
	own := s.api
	s.serveAgain()
	if a := s.do(http.MethodGet, "/responses/"+id, s.key, ""); a.status != 200 || gjson.Get(a.body, "status").Str != "queued" {
		t.Errorf("%d %s", a.status, a.body)
	}
	seen(t, s.do(http.MethodGet, "/responses/"+id, s.neighbour(), ""), 404, "invalid_request_error", "", "")
	tokens := func() (n int64) {
		s.must(s.store.DB().QueryRow(`SELECT tokens FROM responses WHERE id = $1`, id).Scan(&n))
		return n
	}
	if n := tokens(); n < 90 {
		t.Errorf("while it is made, whoever continues it needs not hold more than %d tokens", n)
	}
	if a := s.do(http.MethodPost, "/responses/"+id+"/cancel", s.key, ""); gjson.Get(a.body, "status").Str != "cancelled" {
		t.Errorf("%d %s", a.status, a.body)
	}
	own.Close()
	r := s.records(1)[0]
	if n := tokens(); n != r.In+r.Out {
		t.Errorf("%d tokens are known of %+v", n, r)
	}
}

func TestAResponseIsReachedWhileItStreams(t *testing.T) {
	for name, other := range map[string]bool{"at this replica": false, "at another": true} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, roomy(), openaitest.Options{})
			s.provider.Next(openaitest.Behaviour{Pause: 100 * time.Millisecond, Text: strings.Repeat("oi ", 30)})
			req, err := http.NewRequest(http.MethodPost, s.url+"/responses", strings.NewReader(responseBody(inBackground+`"stream":true,`)))
			s.must(err)
			req.Header.Set("Authorization", "Bearer "+s.key)
			res, err := http.DefaultClient.Do(req)
			s.must(err)
			defer res.Body.Close()
			id := ""
			for lines := bufio.NewScanner(res.Body); id == "" && lines.Scan(); {
				id = gjson.Get(strings.TrimPrefix(lines.Text(), "data: "), "response.id").Str
			}
			if other {
				s.serveAgain()
			}
			if a := s.do(http.MethodPost, "/responses/"+id+"/cancel", s.key, ""); a.status != 200 {
				t.Errorf("%q: %d %s", id, a.status, a.body)
			}
		})
	}
}

func TestTheOnlyParallelCallCanBeAskedForAndCancelled(t *testing.T) {
	terms := roomy()
	terms.ParallelCalls, terms.RequestsPerMinute = 1, 100
	s := newSite(t, terms, openaitest.Options{BackgroundStep: time.Hour})
	id := s.begin("")
	if a := s.post(chatBody("")); a.status != 429 {
		t.Errorf("a second call: %d %s", a.status, a.body)
	}
	for _, c := range [][2]string{{http.MethodGet, ""}, {http.MethodGet, "/input_items"}, {http.MethodPost, "/cancel"}} {
		if a := s.do(c[0], "/responses/"+id+c[1], s.key, ""); a.status != 200 {
			t.Errorf("%s %s: %d %s", c[0], c[1], a.status, a.body)
		}
	}
	if a := s.post(chatBody("")); a.status != 200 {
		t.Errorf("after it ended: %d %s", a.status, a.body)
	}
}
