package v1_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/gateway"
	"github.com/fila-ia/filaia/internal/openaitest"
)

func responseBody(extra string) string {
	return fmt.Sprintf(`{%s"model":"gpt-4.1-nano","input":"Que horas são?"}`, extra)
}

func (s *site) respond(extra string) answer {
	s.t.Helper()
	return s.do(http.MethodPost, "/responses", s.key, responseBody(extra))
}

// reached counts the requests that have reached the provider.
func (s *site) reached() int { return int(s.provider.Stats().Requests) }

// soon polls until a condition holds.
func soon(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it never came to pass: " + what)
		}
	}
}

func TestEveryEndOfAResponseIsMetered(t *testing.T) {
	usage := &openaitest.Usage{PromptTokens: 100, CachedTokens: 40, CompletionTokens: 50, ReasoningTokens: 20}
	for name, c := range map[string]struct {
		extra     string
		behaviour openaitest.Behaviour
		end       string
		status    string
		estimated bool
	}{
		"completed":               {``, openaitest.Behaviour{Usage: usage}, "completed", "ok", false},
		"incomplete":              {`"max_output_tokens":16,`, openaitest.Behaviour{Usage: usage}, "incomplete", "ok", false},
		"failed":                  {``, openaitest.Behaviour{Fault: openaitest.FaultFailed, After: 5, Usage: usage}, "failed", "error", false},
		"failed without a usage":  {``, openaitest.Behaviour{Fault: openaitest.FaultFailed, After: 20}, "failed", "error", true},
		"completed without usage": {``, openaitest.Behaviour{Fault: openaitest.FaultNoUsage}, "completed", "ok", true},
	} {
		for _, stream := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/stream=%v", name, stream), func(t *testing.T) {
				s := newSite(t, roomy(), openaitest.Options{})
				s.provider.Next(c.behaviour)
				a := s.respond(fmt.Sprintf(`"stream":%v,`, stream) + c.extra)
				if a.status != 200 || !strings.Contains(a.body, `"status":`) || stream && !strings.Contains(a.body, "event: response."+c.end+"\n") ||
					!stream && gjson.Get(a.body, "status").Str != c.end {
					t.Fatalf("%d %s", a.status, a.body)
				}
				if strings.Contains(a.body, "[DONE]") || strings.Contains(a.body, "server_is_overloaded") {
					t.Errorf("something was added: %s", a.body)
				}
				r := s.records(1)[0]
				if r.Status != c.status || r.Estimated != c.estimated || r.HTTPStatus != 200 {
					t.Errorf("%+v", r)
				}
				if !c.estimated && (r.In != 100 || r.Cached != 40 || r.Out != 50 || r.Reasoning != 20) {
					t.Errorf("%+v", r)
				}
				if delivered := stream || c.end != "failed"; c.estimated && (r.In == 0 || delivered && r.Out == 0) {
					t.Errorf("what was delivered is not counted: %+v\n%s", r, a.body)
				}
				s.unheld()
			})
		}
	}
}

func TestAResponseStreamThatEndsBadlySaysSo(t *testing.T) {
	for name, c := range map[string]struct {
		behaviour openaitest.Behaviour
		own       bool // the provider's error event
	}{
		"an error event":     {openaitest.Behaviour{Fault: openaitest.FaultErrorEvent, After: 6}, true},
		"a reset":            {openaitest.Behaviour{Fault: openaitest.FaultReset, After: 6}, false},
		"an end too early":   {openaitest.Behaviour{Fault: openaitest.FaultTruncate, After: 6}, false},
		"an end after begin": {openaitest.Behaviour{Fault: openaitest.FaultTruncate, After: 1}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, roomy(), openaitest.Options{})
			s.provider.Next(c.behaviour)
			a := s.respond(`"stream":true,`)
			if n := strings.Count(a.body, "event: error\n"); n != 1 || strings.Contains(a.body, "response.completed") {
				t.Errorf("%d error events: %q", n, a.body)
			}
			if ours := errorType(a.body) == "service_unavailable_error"; ours == c.own {
				t.Errorf("our error: %v in %q", ours, a.body[max(0, len(a.body)-400):])
			}
			r := s.records(1)[0]
			if r.Status != "error" || !r.Estimated || r.In == 0 || c.behaviour.After == 6 && r.Out == 0 {
				t.Errorf("%+v", r)
			}
			s.unheld()
		})
	}
}

func TestAResponseBelongsToItsTenant(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	other := s.neighbour()
	a := s.respond("")
	id := gjson.Get(a.body, "id").Str
	if a.status != 200 || !strings.HasPrefix(id, "resp_") {
		t.Fatalf("%d %s", a.status, a.body)
	}
	streamed := s.respond(`"stream":true,`).body
	at := strings.Index(streamed, `"id":"resp_`)
	ids := []string{id, streamed[at+6 : at+6+strings.IndexByte(streamed[at+6:], '"')]}
	for _, from := range []string{"memory", "the database"} {
		if from == "the database" {
			s.records(2)
			s.serveAgain()
		}
		before := s.reached()
		for _, id := range ids {
			const kind = "invalid_request_error"
			seen(t, s.do(http.MethodGet, "/responses/"+id, other, ""), 404, kind, "", "")
			seen(t, s.do(http.MethodDelete, "/responses/"+id, other, ""), 404, kind, "", "")
			seen(t, s.do(http.MethodPost, "/responses/"+id+"/cancel", other, ""), 404, kind, "", "")
			seen(t, s.do(http.MethodGet, "/responses/"+id+"/input_items", other, ""), 404, kind, "", "")
			seen(t, s.do(http.MethodPost, "/responses", other, responseBody(`"previous_response_id":"`+id+`",`)),
				400, kind, "previous_response_not_found", "previous_response_id")
		}
		if n := s.reached() - before; n != 0 {
			t.Fatalf("found in %s, %d requests of a stranger reached the provider", from, n)
		}
		for _, id := range ids {
			if a := s.do(http.MethodGet, "/responses/"+id+"?include%5B%5D=x", s.key, ""); a.status != 200 || gjson.Get(a.body, "id").Str != id {
				t.Errorf("from %s: %d %s", from, a.status, a.body)
			}
			all := s.provider.Requests()
			if last := all[len(all)-1]; last.URI != "/v1/responses/"+id+"?include%5B%5D=x" || last.Method != http.MethodGet {
				t.Errorf("the provider was asked %s %s", last.Method, last.URI)
			}
			if a := s.do(http.MethodGet, "/responses/"+id+"/input_items?order=asc", s.key, ""); a.status != 200 || gjson.Get(a.body, "data.#").Int() != 1 {
				t.Errorf("from %s: %d %s", from, a.status, a.body)
			}
			if a := s.do(http.MethodPost, "/responses/"+id+"/cancel", s.key, ""); a.status != 400 || !strings.Contains(a.body, "synchronous") {
				t.Errorf("the provider's own answer does not pass: %d %s", a.status, a.body)
			}
		}
	}
	if a := s.do(http.MethodDelete, "/responses/"+id, s.key, ""); a.status != 200 || !gjson.Get(a.body, "deleted").Bool() {
		t.Errorf("%d %s", a.status, a.body)
	}
	before := s.reached()
	seen(t, s.do(http.MethodGet, "/responses/"+id, s.key, ""), 404, "invalid_request_error", "", "")
	if s.reached() != before {
		t.Error("a deleted response is still asked for")
	}
	s.records(2) // requests about a response are no calls
	s.unheld()
}

func TestIDsThatCannotBeAreNotFound(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	const kind = "invalid_request_error"
	for _, id := range []string{`\u0000`, `resp_\u0000`, `\ud800`, strings.Repeat("r", 100_000), "resp x", "é", "'; DROP TABLE responses; --"} {
		a := s.respond(`"previous_response_id":"` + id + `",`)
		seen(t, a, 400, kind, "previous_response_not_found", "previous_response_id")
		if len(a.body) > 1000 {
			t.Errorf("the answer repeats %d bytes", len(a.body))
		}
	}
	for _, id := range []string{"%00", "resp_%00", "%ff", strings.Repeat("r", 2000), "a%2Fb", "..", "%2e%2e"} {
		if a := s.do(http.MethodGet, "/responses/"+id, s.key, ""); a.status != 404 {
			t.Errorf("%q: %d %s", id[:min(len(id), 20)], a.status, a.body)
		}
	}
	if s.reached() != 0 {
		t.Error("the provider was asked")
	}
	for _, body := range []string{`"previous_response_id":5,`, `"previous_response_id":["resp_x"],`} {
		seen(t, s.respond(body), 400, kind, "", "previous_response_id")
	}
	if a := s.respond(`"previous_response_id":null,`); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := s.respond(`"previous_response_id":"",`); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestWhatAResponseContinuesIsHeldAsInput(t *testing.T) {
	terms := roomy()
	terms.InputTokens = 300
	s := newSite(t, terms, openaitest.Options{})
	s.provider.Next(openaitest.Behaviour{Usage: &openaitest.Usage{PromptTokens: 20, CompletionTokens: 260}})
	first := gjson.Get(s.respond("").body, "id").Str
	before := s.reached()
	a := s.respond(`"previous_response_id":"` + first + `",`) // 280 with it, and 280 are left
	seen(t, a, 429, "insufficient_quota", "insufficient_quota", "")
	if s.reached() != before {
		t.Error("the provider was asked")
	}
	if !strings.Contains(a.body, "280 input") {
		t.Errorf("it does not say what remains: %s", a.body)
	}
	s.records(1)
	s.exec(`UPDATE responses SET tokens = 50`)
	s.serveAgain()
	if a := s.respond(`"previous_response_id":"` + first + `",`); a.status != 200 {
		t.Errorf("what fits is refused: %d %s", a.status, a.body)
	}
	s.unheld()
}

func TestConversationsAndWhatIsNotStored(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	for _, value := range []string{`"conv_x"`, `{"id":"conv_x"}`, `5`} {
		seen(t, s.respond(`"conversation":`+value+`,`), 400, "invalid_request_error", "", "conversation")
	}
	if s.reached() != 0 {
		t.Error("the provider was asked")
	}
	if a := s.respond(`"conversation":null,`); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	for calls, extra := range []string{`"store":false,`, `"store":false,"stream":true,`} {
		a := s.respond(extra)
		at := strings.Index(a.body, "resp_")
		id := a.body[at : at+strings.IndexByte(a.body[at:], '"')]
		before := s.reached()
		seen(t, s.do(http.MethodGet, "/responses/"+id, s.key, ""), 404, "invalid_request_error", "", "")
		seen(t, s.respond(`"previous_response_id":"`+id+`",`), 400, "invalid_request_error", "previous_response_not_found", "previous_response_id")
		if s.reached() != before {
			t.Error("the provider was asked for what it does not keep")
		}
		s.records(2 + calls)
	}
	var kept int
	s.must(s.store.DB().QueryRow(`SELECT count(*) FROM responses`).Scan(&kept))
	if kept != 1 {
		t.Errorf("%d responses are known", kept)
	}
}

func TestTheSecondTenantToMeetAnIDDoesNotGetIt(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	other := s.neighbour()
	same := openaitest.Behaviour{Status: 200, Header: map[string]string{"Content-Type": "application/json"},
		Body: `{"id":"resp_same","object":"response","status":"completed","output":[],"usage":{"input_tokens":1,"output_tokens":1}}`}
	s.provider.Next(same)
	s.respond("")
	s.records(1)
	s.provider.Next(same)
	s.do(http.MethodPost, "/responses", other, responseBody(""))
	s.records(2)
	s.serveAgain()
	before := s.reached()
	seen(t, s.do(http.MethodGet, "/responses/resp_same", other, ""), 404, "invalid_request_error", "", "")
	if s.reached() != before {
		t.Error("the provider was asked for another tenant's response")
	}
}

// amnesia is a database that knows no response.
type amnesia struct{}

func (amnesia) ResponseOwner(context.Context, int64, string) (provider, model string, tokens int64, err error) {
	return "", "", 0, fault.New(fault.NotFound, "problem.no_page")
}

func (amnesia) KeepResponse(context.Context, gateway.StoredResponse) error { return nil }

func (amnesia) ForgetResponse(context.Context, int64, string) error { return nil }

// TestAnIDIsRememberedAfterItsAnswerIsGone: the memory that an answer was read from is used again for the next.
func TestAnIDIsRememberedAfterItsAnswerIsGone(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	s.gate.Responses = amnesia{}
	var ids []string
	for n := range 20 {
		a := s.respond(fmt.Sprintf(`"stream":%v,`, n%2 == 1))
		at := strings.Index(a.body, "resp_")
		ids = append(ids, a.body[at:at+strings.IndexByte(a.body[at:], '"')])
	}
	for _, id := range ids {
		if a := s.do(http.MethodGet, "/responses/"+id, s.key, ""); a.status != 200 || gjson.Get(a.body, "id").Str != id {
			t.Errorf("%s: %d %s", id, a.status, a.body)
		}
	}
}

func TestAConversationGoesOnWhereItsLastTurnIsKept(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	other := s.second(openaitest.Options{})
	s.retries(2)
	s.provider.Next(openaitest.Behaviour{Status: 503, Header: map[string]string{"X-Should-Retry": "false"}})
	id := gjson.Get(s.respond("").body, "id").Str
	for range 2 { // the second time from the database
		before := s.reached()
		if a := s.respond(`"previous_response_id":"` + id + `",`); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}
		if s.reached() != before {
			t.Error("a provider was asked that cannot know")
		}
		soon(t, "the response is in the database", func() bool {
			_, _, _, err := s.store.ResponseOwner(context.Background(), s.tenant.ID, id)
			return err == nil
		})
		s.serveAgain()
	}
	s.exec(`UPDATE providers SET active = false WHERE slug = 'reserva'`)
	s.reload()
	before, reserve := s.reached(), other.Stats().Requests
	a := s.respond(`"previous_response_id":"` + id + `",`)
	seen(t, a, 400, "invalid_request_error", "previous_response_not_found", "previous_response_id")
	if !strings.Contains(a.body, "does not serve the model `gpt-4.1-nano` now") || s.reached() != before || other.Stats().Requests != reserve {
		t.Errorf("%s", a.body)
	}
	s.unheld()
}

func TestIDsThatAreMadeUpAreWithinTheRates(t *testing.T) {
	for name, ask := range map[string]func(s *site, n int) answer{
		"continued": func(s *site, n int) answer { return s.respond(fmt.Sprintf(`"previous_response_id":"resp_%d",`, n)) },
		"fetched": func(s *site, n int) answer {
			return s.do(http.MethodGet, fmt.Sprintf("/responses/resp_%d", n), s.key, "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			terms := roomy()
			terms.RequestsPerMinute, terms.ParallelCalls = 1, 1
			s := newSite(t, terms, openaitest.Options{})
			unknown := 0
			for n := range 5 {
				if a := ask(s, n); a.status != 429 {
					unknown++
				} else if n == 0 || !strings.Contains(a.body, "requests per minute") {
					t.Errorf("%d %s", a.status, a.body)
				}
			}
			if unknown != 1 {
				t.Errorf("%d were looked for within a limit of 1 a minute", unknown)
			}
		})
	}
}

func TestADeleteThatIsRefusedChangesNothing(t *testing.T) {
	terms := roomy()
	terms.RequestsPerMinute = 1
	s := newSite(t, terms, openaitest.Options{BackgroundStep: time.Hour})
	id := s.begin("")
	if a := s.do(http.MethodDelete, "/responses/"+id, s.key, ""); a.status != 429 {
		t.Errorf("%d %s", a.status, a.body)
	}
	req, err := http.NewRequest(http.MethodGet, s.provider.URL()+"/responses/"+id, nil)
	s.must(err)
	req.Header.Set("Authorization", "Bearer "+providerKey)
	res, err := http.DefaultClient.Do(req)
	s.must(err)
	defer res.Body.Close()
	if body := readAll(res); gjson.Get(body, "status").Str != "queued" {
		t.Error(body)
	}
}

func TestAStoredResponseIsNotStreamedHoweverThatIsAskedFor(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	id := gjson.Get(s.respond("").body, "id").Str
	before := s.reached()
	for _, q := range []string{"stream=true", "stream=yes", "stream=on", "stream=True", "stream=true%20", "stream=", "stream", "stream=false&stream=true", "str%65am=1"} {
		if a := s.do(http.MethodGet, "/responses/"+id+"?"+q, s.key, ""); a.status != 400 {
			t.Errorf("%s: %d %s", q, a.status, a.body)
		}
	}
	if s.reached() != before {
		t.Error("the provider was asked")
	}
	for _, q := range []string{"stream=false", "stream=0", "include=x"} {
		if a := s.do(http.MethodGet, "/responses/"+id+"?"+q, s.key, ""); a.status != 200 {
			t.Errorf("%s: %d %s", q, a.status, a.body)
		}
	}
}
