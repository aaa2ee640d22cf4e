package v1_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/breaker"
	"github.com/fila-ia/filaia/internal/gateway"
	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/openaitest"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/upstream"
)

const model = "gpt-4.1-nano"

// forms are the two ways to ask.
var forms = map[string]string{"whole": "", "stream": `"stream":true,`}

// modes plays a test for whole answers and for streams.
func modes(t *testing.T, test func(t *testing.T, extra string)) {
	for name, extra := range forms {
		t.Run(name, func(t *testing.T) { test(t, extra) })
	}
}

// second adds a provider with a price of its own, which answers after those that are there.
func (s *site) second(o openaitest.Options) *openaitest.Server {
	s.t.Helper()
	o.Keys = []string{providerKey}
	server, err := openaitest.New(o)
	s.must(err)
	s.t.Cleanup(server.Close)
	s.elsewhere("reserva", server.URL())
	return server
}

// elsewhere adds a provider at an address.
func (s *site) elsewhere(slug, address string) tenancy.Provider {
	s.t.Helper()
	ctx := context.Background()
	p, err := s.store.CreateProvider(ctx, tenancy.ProviderDraft{
		Slug: slug, Name: slug, Kind: tenancy.CompatibleProvider, BaseURL: address, Active: true, Limits: tenancy.DefaultProviderLimits(),
	})
	s.must(err)
	s.exec(`INSERT INTO model_routes (model, provider_id, upstream_model, priority)
		SELECT $1, $2, $1, 1 + max(priority) FROM model_routes WHERE model = $1`, model, p.ID)
	s.must(s.store.SetPrice(ctx, model, tenancy.Price{ProviderID: p.ID, Input: 7 * money.Unit, CachedInput: 7 * money.Unit, Output: 9 * money.Unit, Reasoning: 9 * money.Unit}))
	s.reload()
	return p
}

// limits sets a column of every provider.
func (s *site) limits(set string) { s.t.Helper(); s.exec(`UPDATE providers SET ` + set); s.reload() }

// timed reaches providers within all their time limits.
func (s *site) timed() {
	connect := func(p tenancy.Provider) (gateway.Upstream, error) {
		if p.BaseURL == "" {
			p.BaseURL = s.provider.URL()
		}
		l := p.Limits
		return upstream.New(upstream.Options{Kind: p.Kind, BaseURL: p.BaseURL, APIKey: providerKey,
			Connect: l.Connect, FirstByte: l.FirstByte, Idle: l.Idle, Total: l.Total})
	}
	s.gate.Models = gateway.NewModels(s.store, connect, nil, s.gate.Log)
	s.reload()
}

// paid is who answered a call and what that cost.
type paid struct {
	Provider string
	Cost     money.Micros
}

func (s *site) paid(requestID string) (p paid) {
	s.t.Helper()
	s.must(s.store.DB().QueryRow(`SELECT provider, cost_usd_micros FROM usage_events WHERE request_id = $1`, requestID).Scan(&p.Provider, &p.Cost))
	return p
}

func (s *site) guard(slug string) breaker.Snapshot {
	for _, h := range s.gate.Models.Houses() {
		if h.Provider.Slug == slug {
			return h.Guard.Snapshot()
		}
	}
	return breaker.Snapshot{}
}

// eventually polls until a state is reached.
func eventually(t *testing.T, what string, reached func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !reached(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func (s *site) overloaded(a answer) {
	s.t.Helper()
	if a.status != http.StatusServiceUnavailable || gjson.Get(a.body, "error.code").Str != "server_is_overloaded" || a.header.Get("Retry-After") == "" {
		s.t.Errorf("%d %v %s", a.status, a.header, a.body)
	}
}

func TestACallIsRecordedOnceHoweverOftenItWasTried(t *testing.T) {
	modes(t, func(t *testing.T, extra string) {
		s := newSite(t, roomy(), openaitest.Options{})
		s.retries(3)
		s.provider.Next(openaitest.Behaviour{Status: 500}, openaitest.Behaviour{Fault: openaitest.FaultRefuse}, openaitest.Behaviour{Status: 408})
		if a := s.post(chatBody(extra)); a.status != 200 || a.err != nil || errorType(a.body) != "" {
			t.Fatalf("%d %s %v", a.status, a.body, a.err)
		}
		r, stats := s.records(1)[0], s.provider.Stats()
		if stats.Requests != 4 || stats.Answered != 1 || r.Status != "ok" || r.HTTPStatus != 200 || r.In != stats.PromptTokens || r.Out != stats.CompletionTokens {
			t.Errorf("%+v; the provider counted %+v", r, stats.Totals)
		}
		s.unheld()
	})
}

func TestTheLastAnswerIsWhatTheClientSees(t *testing.T) {
	modes(t, func(t *testing.T, extra string) {
		s := newSite(t, roomy(), openaitest.Options{})
		s.retries(1)
		s.provider.Next(openaitest.Behaviour{Status: 500}, openaitest.Behaviour{Status: 503, Body: `{"error":{"message":"the last"}}`, Header: map[string]string{"Retry-After": "40"}})
		a := s.post(chatBody(extra))
		if a.status != 503 || gjson.Get(a.body, "error.message").Str != "the last" || a.header.Get("Retry-After") != "40" {
			t.Errorf("%d %v %s", a.status, a.header, a.body)
		}
		if r := s.records(1)[0]; r.Status != "error" || r.HTTPStatus != 503 || r.In+r.Out != 0 {
			t.Errorf("%+v", r)
		}
		s.unheld()
	})
}

func TestTheProviderThatAnswersIsPaid(t *testing.T) {
	for name, fail := range map[string]func(*site){
		"down":      func(s *site) { s.provider.Close() },
		"failing":   func(s *site) { s.provider.Next(openaitest.Behaviour{Status: 500}) },
		"refusing":  func(s *site) { s.provider.Next(openaitest.Behaviour{Status: 401}) },
		"no credit": func(s *site) { s.provider.Next(noCredit) },
		"a page":    func(s *site) { s.provider.Next(aPage) },
	} {
		t.Run(name, func(t *testing.T) {
			modes(t, func(t *testing.T, extra string) {
				s := newSite(t, roomy(), openaitest.Options{})
				second := s.second(openaitest.Options{})
				s.retries(1)
				fail(s)
				a := s.post(chatBody(extra))
				if a.status != 200 || errorType(a.body) != "" {
					t.Fatalf("%d %s", a.status, a.body)
				}
				r, stats := s.records(1)[0], second.Stats()
				if stats.Answered != 1 || r.In != stats.PromptTokens || r.Out != stats.CompletionTokens {
					t.Errorf("%+v; the second counted %+v", r, stats.Totals)
				}
				if want := (paid{"reserva", money.Micros(7*r.In + 9*r.Out)}); s.paid(r.RequestID) != want {
					t.Errorf("%+v, want %+v", s.paid(r.RequestID), want)
				}
				s.unheld()
			})
		})
	}
}

var (
	noCredit = openaitest.Behaviour{Status: 429, Body: `{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}`}
	aPage    = openaitest.Behaviour{Status: 200, Body: "<html>\n\n<body>Welcome to nginx!</body></html>", Header: map[string]string{"Content-Type": "text/html"}}
)

func TestNothingIsSentAgainOnceAStreamHasBegun(t *testing.T) {
	for _, b := range []openaitest.Behaviour{
		{Fault: openaitest.FaultReset, After: 1}, {Fault: openaitest.FaultReset, After: 3}, {Fault: openaitest.FaultTruncate, After: 1}, {Fault: openaitest.FaultErrorEvent},
	} {
		t.Run(fmt.Sprint(b.Fault, " after ", b.After), func(t *testing.T) {
			s := newSite(t, roomy(), openaitest.Options{})
			second := s.second(openaitest.Options{})
			s.retries(3)
			s.provider.Next(b)
			a := s.post(chatBody(`"stream":true,`))
			if a.status != 200 || a.err != nil || errorType(a.body) == "" || s.provider.Stats().Requests != 1 || second.Stats().Requests != 0 {
				t.Errorf("%d %q %v; asked %d and %d times", a.status, a.body, a.err, s.provider.Stats().Requests, second.Stats().Requests)
			}
			if r := s.records(1)[0]; r.Status != "error" || r.In == 0 || !r.Estimated {
				t.Errorf("%+v", r)
			}
			s.unheld()
		})
	}
}

func TestTheOperatorsAccountIsNotTheCallersBusiness(t *testing.T) {
	modes(t, func(t *testing.T, extra string) {
		for name, b := range map[string]openaitest.Behaviour{"no credit": noCredit, "a page": aPage} {
			s := newSite(t, roomy(), openaitest.Options{})
			s.provider.Next(b)
			a := s.post(chatBody(extra))
			s.overloaded(a)
			if strings.Contains(a.body, "quota") || strings.Contains(a.body, "nginx") {
				t.Errorf("%s: %s", name, a.body)
			}
			if r := s.records(1)[0]; r.Status != "error" || r.HTTPStatus != 503 || r.In+r.Out != 0 {
				t.Errorf("%s: %+v", name, r)
			}
			if a := s.post(chatBody(extra)); a.status != 200 { // nobody is throttled
				t.Errorf("%s: %d %s", name, a.status, a.body)
			}
			s.unheld()
		}
	})
}

func TestAProvidersLimitPausesEverybodysCallsOfTheModel(t *testing.T) {
	modes(t, func(t *testing.T, extra string) {
		s := newSite(t, roomy(), openaitest.Options{})
		s.retries(2)
		neighbour := s.another("Vizinho")
		s.provider.Next(openaitest.Behaviour{Status: 429, Header: map[string]string{"Retry-After": "90"}})
		if a := s.post(chatBody(extra)); a.status != 429 || a.header.Get("Retry-After") != "90" {
			t.Errorf("%d %v", a.status, a.header)
		}
		a := s.do(http.MethodPost, "/chat/completions", neighbour, chatBody(extra))
		s.overloaded(a)
		if a.header.Get("Retry-After") != "90" || s.provider.Stats().Requests != 1 {
			t.Errorf("retry-after %s, asked %d times", a.header.Get("Retry-After"), s.provider.Stats().Requests)
		}
		if a := s.do(http.MethodPost, "/completions", neighbour, `{"model":"gpt-3.5-turbo-instruct","prompt":"um","max_tokens":5}`); a.status != 200 {
			t.Errorf("another model: %d %s", a.status, a.body)
		}
		second := s.second(openaitest.Options{})
		if a := s.do(http.MethodPost, "/chat/completions", neighbour, chatBody(extra)); a.status != 200 || second.Stats().Answered != 1 {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}

func TestABreakerThatIsOpenIsPassedByOrTold(t *testing.T) {
	modes(t, func(t *testing.T, extra string) {
		s := newSite(t, roomy(), openaitest.Options{Script: func(*openaitest.Request) openaitest.Behaviour { return openaitest.Behaviour{Status: 500} }})
		s.limits(`breaker_min_calls = 4, breaker_open_ms = 60000, retries = 3`)
		if a := s.post(chatBody(extra)); a.status != 500 || s.guard("openai").Models[0].State != breaker.Open {
			t.Fatalf("%d, %+v", a.status, s.guard("openai"))
		}
		a := s.post(chatBody(extra))
		s.overloaded(a)
		if a.header.Get("Retry-After") != "60" || s.provider.Stats().Requests != 4 {
			t.Errorf("retry-after %s, asked %d times", a.header.Get("Retry-After"), s.provider.Stats().Requests)
		}
		if r := s.records(2)[1]; r.Status != "error" || r.HTTPStatus != 503 || r.In != 0 || s.paid(r.RequestID) != (paid{}) {
			t.Errorf("%+v", r)
		}
		s.second(openaitest.Options{})
		if a := s.post(chatBody(extra)); a.status != 200 || s.provider.Stats().Requests != 4 {
			t.Errorf("%d, asked %d times", a.status, s.provider.Stats().Requests)
		}
		s.unheld()
	})
}

func TestABreakerIsForced(t *testing.T) {
	modes(t, func(t *testing.T, extra string) {
		s := newSite(t, roomy(), openaitest.Options{})
		ctx := context.Background()
		force := func(state string) { s.must(s.store.ForceBreaker(ctx, 1, "", state)); s.reload() }
		force("forced_open")
		s.overloaded(s.post(chatBody(extra)))
		force("forced_closed")
		s.limits(`breaker_min_calls = 1`)
		s.provider.Next(openaitest.Behaviour{Status: 500}, openaitest.Behaviour{Status: 500})
		for range 2 {
			if a := s.post(chatBody(extra)); a.status != 500 {
				t.Errorf("%d", a.status)
			}
		}
		if a := s.post(chatBody(extra)); a.status != 200 {
			t.Errorf("%d %s", a.status, a.body)
		}
		force("closed")
		if state := s.guard("openai").Models[0].State; state != breaker.Closed {
			t.Errorf("given back, it is %s", state)
		}
	})
}

func TestTimeLimitsAreTold(t *testing.T) {
	hour := openaitest.Behaviour{Delay: time.Hour}
	slow := openaitest.Behaviour{Pause: 40 * time.Millisecond, Text: strings.Repeat("palavra ", 200)}
	for name, c := range map[string]struct {
		limits    string
		behaviour openaitest.Behaviour
		extra     string
		status    int
		billed    bool
	}{
		"first byte":     {`first_byte_ms = 100`, hour, forms["stream"], 504, false},
		"total, silent":  {`total_ms = 200`, hour, forms["stream"], 504, false},
		"total, whole":   {`total_ms = 200`, hour, "", 504, false},
		"idle":           {`idle_ms = 1000`, openaitest.Behaviour{Fault: openaitest.FaultStall, After: 3}, forms["stream"], 200, true},
		"total, talking": {`total_ms = 2000`, slow, forms["stream"], 200, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, roomy(), openaitest.Options{})
			s.timed()
			s.retries(3)
			s.limits(c.limits)
			s.provider.Next(c.behaviour)
			s.timedOut(s.post(chatBody(c.extra)), c.status, c.billed)
			if n := s.provider.Stats().Requests; n != 1 {
				t.Errorf("asked %d times", n)
			}
			if c.status != http.StatusOK {
				s.second(openaitest.Options{})
				s.provider.Next(c.behaviour)
				if a := s.post(chatBody(c.extra)); a.status != 200 {
					t.Errorf("with another provider: %d %s", a.status, a.body)
				}
			}
			s.unheld()
		})
	}
}

// timedOut wants a 504, or a stream that ends with one.
func (s *site) timedOut(a answer, status int, billed bool) {
	s.t.Helper()
	body := a.body
	if status == http.StatusOK {
		body = strings.TrimPrefix(strings.TrimSpace(body[strings.LastIndex(body, "data: "):]), "data: ")
	}
	if a.status != status || a.err != nil || gjson.Get(body, "error.type").Str != "server_error" || gjson.Get(body, "error.code").Str != "request_timeout" {
		s.t.Errorf("%d %q %v", a.status, a.body, a.err)
	}
	if r := s.records(1)[0]; r.Status != "error" || r.HTTPStatus != status || (r.In+r.Out > 0) != billed || r.Estimated != billed {
		s.t.Errorf("%+v", r)
	}
}

func TestAConnectionThatIsNotMadeIsGivenUp(t *testing.T) {
	modes(t, func(t *testing.T, extra string) {
		silent, err := net.Listen("tcp", "127.0.0.1:0") // which never shakes hands
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		s := newSite(t, roomy(), openaitest.Options{})
		s.timed()
		s.limits(`base_url = 'https://` + silent.Addr().String() + `', connect_ms = 100, retries = 3`)
		s.timedOut(s.post(chatBody(extra)), 504, false)
		s.second(openaitest.Options{})
		if a := s.post(chatBody(extra)); a.status != 200 {
			t.Errorf("with another provider: %d %s", a.status, a.body)
		}
		s.unheld()
	})
}

func TestASlowProviderIsHedged(t *testing.T) {
	modes(t, func(t *testing.T, extra string) {
		s := newSite(t, roomy(), openaitest.Options{})
		second := s.second(openaitest.Options{})
		s.limits(`hedge_ms = 50, retries = 0`)
		s.provider.Next(openaitest.Behaviour{Delay: time.Hour})
		if a := s.post(chatBody(extra)); a.status != 200 || errorType(a.body) != "" {
			t.Fatalf("%d %s", a.status, a.body)
		}
		r, stats := s.records(1)[0], second.Stats()
		if s.paid(r.RequestID).Provider != "reserva" || r.In != stats.PromptTokens || r.Out != stats.CompletionTokens || s.provider.Stats().Requests != 1 {
			t.Errorf("%+v; the second counted %+v", r, stats.Totals)
		}
		s.unheld()
		if extra == "" {
			s.provider.Close() // else the whole one would be waited for
		}
		eventually(t, "the places are left", func() bool { return s.guard("openai").Parallel+s.guard("reserva").Parallel == 0 })
		eventually(t, "the log tells of it", func() bool { return strings.Contains(s.logged(), "hedged call") })
	})
}

func TestCallsUnderWayOutliveAChangeOfTheirProvider(t *testing.T) {
	for name, change := range map[string]func(s *site, other string){
		"another address": func(s *site, other string) { s.limits(`base_url = '` + other + `'`) },
		"switched off":    func(s *site, other string) { s.limits(`active = false`); s.elsewhere("novo", other) },
		"no route": func(s *site, other string) {
			s.elsewhere("novo", other)
			s.exec(`DELETE FROM model_routes WHERE provider_id = 1`)
			s.reload()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, roomy(), openaitest.Options{})
			other, err := openaitest.New(openaitest.Options{Keys: []string{providerKey}})
			s.must(err)
			t.Cleanup(other.Close)
			s.provider.Next(openaitest.Behaviour{Pause: 20 * time.Millisecond, Text: strings.Repeat("palavra ", 30)}, openaitest.Behaviour{Delay: 300 * time.Millisecond})
			var calls sync.WaitGroup
			for _, extra := range []string{`"stream":true,`, ""} {
				before := s.provider.Stats().Requests
				calls.Go(func() {
					if a := s.post(chatBody(extra)); a.status != 200 || a.err != nil || errorType(a.body) != "" {
						t.Errorf("%d %s %v", a.status, a.body, a.err)
					}
				})
				eventually(t, "the call is under way", func() bool { return s.provider.Stats().Requests > before })
			}
			change(s, other.URL())
			if a := s.post(chatBody("")); a.status != 200 || other.Stats().Answered != 1 {
				t.Errorf("a new call: %d %s", a.status, a.body)
			}
			calls.Wait()
			if n := s.provider.Stats().Answered; n != 2 {
				t.Errorf("the old provider answered %d calls", n)
			}
			s.records(3)
			s.unheld()
		})
	}
}

func TestHalfAnEventIsNotPassedOn(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	s.provider.Next(openaitest.Behaviour{Fault: openaitest.FaultTruncate, After: 3})
	a := s.post(chatBody(forms["stream"]))
	for event := range strings.SplitSeq(strings.TrimSpace(a.body), "\n\n") {
		if data, ok := strings.CutPrefix(event, "data: "); !ok || !gjson.Valid(data) {
			t.Errorf("the client reads %q", event)
		}
	}
	if errorType(a.body) != "service_unavailable_error" {
		t.Errorf("%q", a.body)
	}
}
