package v1_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/openaitest"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// cached gives roomy terms with a cache.
func cached(mode tenancy.CacheMode, billed int) tenancy.Terms {
	terms := roomy()
	terms.Cache, terms.CacheBilled = mode, billed
	return terms
}

func ask(question, extra string) string {
	return fmt.Sprintf(`{%s"model":"gpt-4.1-nano","messages":[{"role":"system","content":"Seja breve."},{"role":"user","content":%q}]}`, extra, question)
}

// asked posts a chat with a cache-control of the caller's.
func (s *site) asked(body, control string) answer {
	s.t.Helper()
	req, err := http.NewRequest(http.MethodPost, s.url+"/chat/completions", strings.NewReader(body))
	s.must(err)
	req.Header.Set("Authorization", "Bearer "+s.key)
	if control != "" {
		req.Header.Set("Cache-Control", control)
	}
	res, err := http.DefaultClient.Do(req)
	s.must(err)
	defer res.Body.Close()
	var text strings.Builder
	_, err = fmt.Fprint(&text, readAll(res))
	return answer{res.StatusCode, res.Header, text.String(), err}
}

func readAll(res *http.Response) string {
	var b strings.Builder
	buf := make([]byte, 4096)
	for {
		n, err := res.Body.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			return b.String()
		}
	}
}

// text gives what the model said, of a whole answer or of a stream.
func text(a answer) string {
	if !strings.HasPrefix(a.body, "data: ") {
		return gjson.Get(a.body, "choices.0.message.content").Str
	}
	var said strings.Builder
	for line := range strings.Lines(a.body) {
		said.WriteString(gjson.Get(strings.TrimPrefix(line, "data: "), "choices.0.delta.content").Str)
	}
	return said.String()
}

func (s *site) wantCache(a answer, how string, providerCalls int64) {
	s.t.Helper()
	if a.status != 200 || a.header.Get("X-Fila-Cache") != how || s.provider.Stats().Requests != providerCalls {
		s.t.Fatalf("%d, %q after %d calls of the provider, want %q after %d: %s", a.status, a.header.Get("X-Fila-Cache"),
			s.provider.Stats().Requests, how, providerCalls, a.body)
	}
}

// served is what a call's row says of the cache.
type served struct {
	cache                       string
	in, out, servedIn, servedTo int64
	cost, saved                 int64
}

func (s *site) servedRows(n int) []served {
	s.t.Helper()
	s.records(n)
	rows, err := s.store.DB().Query(`SELECT cache, input_tokens, output_tokens, served_input, served_output, cost_usd_micros, saved_usd_micros
		FROM usage_events ORDER BY id`)
	s.must(err)
	defer rows.Close()
	var list []served
	for rows.Next() {
		var r served
		s.must(rows.Scan(&r.cache, &r.in, &r.out, &r.servedIn, &r.servedTo, &r.cost, &r.saved))
		list = append(list, r)
	}
	s.must(rows.Err())
	return list
}

func TestTheSameRequestAgainIsAnsweredFromTheCache(t *testing.T) {
	s := newSite(t, cached(tenancy.CacheExact, 0), openaitest.Options{})
	first := s.post(ask("Que horas abre?", ""))
	s.wantCache(first, "miss", 1)
	again := s.post(ask("Que horas abre?", `"user":"outra pessoa",`))
	s.wantCache(again, "hit", 1)
	if again.body != first.body || again.header.Get("Age") == "" {
		t.Errorf("%q is not %q, age %q", again.body, first.body, again.header.Get("Age"))
	}
	s.wantCache(s.post(ask("Que horas fecha?", "")), "miss", 2)
	s.wantCache(s.post(ask("Que horas abre?", `"temperature":0.1,`)), "miss", 3)
	s.wantCache(s.post(ask("que horas abre", "")), "miss", 4)
	rows := s.servedRows(5)
	miss, hit := rows[0], rows[1]
	if hit.cache != "hit" || hit.in+hit.out+hit.cost != 0 || hit.servedIn != miss.in || hit.servedTo != miss.out || hit.saved != miss.cost || miss.cost == 0 {
		t.Errorf("%+v after %+v", hit, miss)
	}
	s.unheld()
}

func TestAPlanWithoutACacheBypassesIt(t *testing.T) {
	s := newSite(t, roomy(), openaitest.Options{})
	s.wantCache(s.post(ask("Que horas abre?", "")), "bypass", 1)
	s.wantCache(s.post(ask("Que horas abre?", "")), "bypass", 2)
	if r := s.servedRows(2)[1]; r.cache != "bypass" || r.servedIn != r.in || r.servedTo != r.out {
		t.Errorf("%+v", r)
	}
}

func TestAKeyMaySayOtherThanItsPlan(t *testing.T) {
	s := newSite(t, cached(tenancy.CacheExact, 0), openaitest.Options{})
	s.must(s.store.UpdateKeyLimits(context.Background(), s.keyID, tenancy.Rates{}, tenancy.CacheOff))
	s.gate.Callers.Forget(s.tenant.ID)
	s.wantCache(s.post(ask("Que horas abre?", "")), "bypass", 1)
	s.wantCache(s.post(ask("Que horas abre?", "")), "bypass", 2)
}

func TestSmartAnswersTheSameInOtherSpelling(t *testing.T) {
	s := newSite(t, cached(tenancy.CacheSmart, 0), openaitest.Options{})
	s.wantCache(s.post(ask("Vocês abrem aos sábados?", "")), "miss", 1)
	s.wantCache(s.post(ask("  VOCES abrem aos  sabados", "")), "hit", 1)
	s.wantCache(s.post(ask("Vocês não abrem aos sábados?", "")), "miss", 2)
	s.wantCache(s.post(ask("Quero 10 pães", "")), "miss", 3)
	s.wantCache(s.post(ask("Quero 100 pães", "")), "miss", 4)
	s.wantCache(s.post(`{"model":"gpt-4.1-nano","messages":[{"role":"system","content":"Seja longo."},{"role":"user","content":"Vocês abrem aos sábados?"}]}`), "miss", 5)
}

// alike takes all texts for alike, so that only the guard tells them apart.
type alike struct{}

func (alike) Name() string { return "alike" }
func (alike) Embed(context.Context, string) ([]float32, int64, error) {
	return []float32{1, 0}, 7, nil
}

func TestSmartAnswersWhatSaysTheSameInOtherWords(t *testing.T) {
	s := newSite(t, cached(tenancy.CacheSmart, 0), openaitest.Options{})
	s.answers.Configure(alike{}, 0.9)
	s.wantCache(s.post(ask("Vocês abrem aos sábados?", "")), "miss", 1)
	deadline := time.Now().Add(time.Minute)
	for n := 0; ; n++ { // what was answered is learnt a moment later
		a := s.post(ask(fmt.Sprintf("A loja %sde vocês abre no sábado?", strings.Repeat("boa ", n)), ""))
		if a.header.Get("X-Fila-Cache") == "hit" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("never found")
		}
	}
	calls := s.provider.Stats().Requests
	a := s.post(ask("A loja de vocês não abre no sábado?", ""))
	s.wantCache(a, "miss", calls+1)
	s.unheld()
}

func TestEitherFormServesTheOther(t *testing.T) {
	for name, order := range map[string][2]string{"whole first": {"", `"stream":true,`}, "stream first": {`"stream":true,`, ""}} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, cached(tenancy.CacheExact, 0), openaitest.Options{})
			first := s.post(ask("Que horas abre?", order[0]))
			s.wantCache(first, "miss", 1)
			for _, extra := range []string{order[1], order[0], `"stream":true,"stream_options":{"include_usage":true},`} {
				a := s.post(ask("Que horas abre?", extra))
				s.wantCache(a, "hit", 1)
				if text(a) != text(first) || text(a) == "" {
					t.Errorf("%q is not %q", text(a), text(first))
				}
				stream := strings.Contains(extra, `"stream"`)
				if stream != strings.HasSuffix(a.body, "data: [DONE]\n\n") || stream != strings.HasPrefix(a.header.Get("Content-Type"), "text/event-stream") {
					t.Errorf("the form is wrong: %q", a.body)
				}
				if told := strings.Contains(a.body, `"total_tokens"`); told != (!stream || strings.Contains(extra, "include_usage")) {
					t.Errorf("usage told: %v in %q", told, a.body)
				}
			}
			rows := s.servedRows(4)
			for _, r := range rows[1:] {
				if r.servedIn != rows[0].in || r.servedTo != rows[0].out || r.in+r.out != 0 {
					t.Errorf("%+v after %+v", r, rows[0])
				}
			}
			s.unheld()
		})
	}
}

func TestIdenticalCallsUnderWayMakeOneCall(t *testing.T) {
	for name, extra := range map[string]func(int) string{
		"whole":   func(int) string { return "" },
		"streams": func(int) string { return `"stream":true,` },
		"mixed": func(i int) string {
			return map[bool]string{true: `"stream":true,`}[i%2 == 0]
		},
	} {
		t.Run(name, func(t *testing.T) {
			const callers = 24
			s := newSite(t, cached(tenancy.CacheExact, 50), openaitest.Options{Latency: 300 * time.Millisecond})
			answers := make([]answer, callers)
			var all sync.WaitGroup
			for i := range callers {
				all.Go(func() { answers[i] = s.post(ask("Que horas abre?", extra(i))) })
			}
			all.Wait()
			for _, a := range answers {
				if a.status != 200 || a.err != nil || text(a) != text(answers[0]) || text(a) == "" {
					t.Fatalf("%d %v %q", a.status, a.err, a.body)
				}
			}
			if n := s.provider.Stats().Requests; n != 1 {
				t.Errorf("the provider met %d calls", n)
			}
			var full served
			for _, r := range s.servedRows(callers) {
				if r.cache == "miss" {
					full = r
				}
			}
			for _, r := range s.servedRows(callers) {
				if r.cache != "miss" && (r.in != full.in/2 || r.out != full.out/2 || r.servedTo != full.out || r.cost != 0 || r.saved != full.cost) {
					t.Errorf("%+v beside %+v", r, full)
				}
			}
			s.unheld()
		})
	}
}

func TestAFailedCallIsNobodyElsesAnswer(t *testing.T) {
	s := newSite(t, cached(tenancy.CacheExact, 0), openaitest.Options{})
	for _, b := range []openaitest.Behaviour{
		{Status: 400}, {Status: 500}, {Fault: openaitest.FaultReset, After: 2}, {Fault: openaitest.FaultTruncate, After: 2},
		{Fault: openaitest.FaultErrorEvent, After: 2}, {Fault: openaitest.FaultMalformed, After: 2}, {Fault: openaitest.FaultNoUsage},
	} {
		for _, extra := range []string{"", `"stream":true,`} {
			question := fmt.Sprintf("Pergunta %v %v %s", b.Status, b.Fault, extra)
			before := s.provider.Stats().Requests
			s.provider.Next(b)
			s.post(ask(question, extra))
			good := s.post(ask(question, extra))
			s.wantCache(good, "miss", before+2)
			if text(good) == "" {
				t.Errorf("%+v %s: %q", b, extra, good.body)
			}
		}
	}
	s.unheld()
}

func TestFollowersOfAFailedCallAskForThemselves(t *testing.T) {
	s := newSite(t, cached(tenancy.CacheExact, 0), openaitest.Options{})
	s.provider.Next(openaitest.Behaviour{Delay: 500 * time.Millisecond, Status: 500})
	var all sync.WaitGroup
	failures := make(chan int, 8)
	for range 8 {
		all.Go(func() {
			if a := s.post(ask("Que horas abre?", "")); a.status != 200 {
				failures <- a.status
			}
		})
	}
	all.Wait()
	if len(failures) != 1 {
		t.Errorf("%d callers failed, only one met the failure", len(failures))
	}
	s.unheld()
}

func TestTheCallersCacheControlIsObeyed(t *testing.T) {
	s := newSite(t, cached(tenancy.CacheExact, 0), openaitest.Options{})
	body := ask("Que horas abre?", "")
	s.wantCache(s.asked(body, "no-store"), "miss", 1)
	s.wantCache(s.asked(body, ""), "miss", 2) // nothing was stored
	s.wantCache(s.asked(body, "no-cache"), "bypass", 3)
	s.wantCache(s.asked(body, ""), "hit", 3)
	s.wantCache(s.asked(body, "max-age=0"), "miss", 4)
	s.wantCache(s.asked(body, "max-age=3600"), "hit", 4)
	s.wantCache(s.asked(body, "no-cache, no-store"), "bypass", 5)
}

func TestTwoTenantsNeverShareAnAnswer(t *testing.T) {
	for _, mode := range []tenancy.CacheMode{tenancy.CacheExact, tenancy.CacheSmart} {
		s := newSite(t, cached(mode, 0), openaitest.Options{})
		s.answers.Configure(alike{}, 0.5)
		s.wantCache(s.post(ask("Que horas abre?", "")), "miss", 1)
		other := s.another("Vizinho")
		a := s.do(http.MethodPost, "/chat/completions", other, ask("Que horas abre?", ""))
		s.wantCache(a, "miss", 2)
	}
}

// another makes a second tenant on the same plan, and gives its key.
func (s *site) another(name string) string {
	ctx := context.Background()
	tenant, err := s.store.CreateTenant(ctx, tenancy.TenantDraft{Name: name, TimeZone: "America/Sao_Paulo", BillingDay: 1, PlanID: s.tenant.PlanID})
	s.must(err)
	_, secret, err := s.store.CreateKey(ctx, tenancy.KeyDraft{TenantID: tenant.ID, Name: "k"})
	s.must(err)
	return secret.Reveal()
}

func TestAPurgedTenantsAnswersAreGone(t *testing.T) {
	s := newSite(t, cached(tenancy.CacheExact, 0), openaitest.Options{})
	s.wantCache(s.post(ask("Que horas abre?", "")), "miss", 1)
	s.must(s.answers.Purge(context.Background(), s.tenant.ID))
	s.wantCache(s.post(ask("Que horas abre?", "")), "miss", 2)
	// A purge at another replica is heard of with the news of the tenant.
	s.must(s.store.PurgeCache(context.Background(), s.tenant.ID))
	s.gate.Callers.Forget(s.tenant.ID)
	s.wantCache(s.post(ask("Que horas abre?", "")), "miss", 3)
	s.wantCache(s.post(ask("Que horas abre?", "")), "hit", 3)
}

// TestAHitNeedsWhatItBills is the quota of answers that cost the operator nothing.
func TestAHitNeedsWhatItBills(t *testing.T) {
	for billed, status := range map[int]int{0: 200, 100: 429} {
		terms := cached(tenancy.CacheExact, billed)
		s := newSite(t, terms, openaitest.Options{})
		first := s.post(ask("Que horas abre?", ""))
		used := gjson.Get(first.body, "usage")
		// What is left is less than the answer takes.
		s.records(1)
		s.exec(`UPDATE quota_buckets SET limit_in = used_in + leased_in, limit_out = used_out + leased_out`)
		s.drain(used.Get("prompt_tokens").Int(), used.Get("completion_tokens").Int())
		a := s.post(ask("Que horas abre?", ""))
		if a.status != status {
			t.Errorf("billed %d %%: %d %s", billed, a.status, a.body)
		}
		if status == 429 && gjson.Get(a.body, "error.code").Str != "insufficient_quota" {
			t.Errorf("%s", a.body)
		}
	}
}

// drain uses up what the replica has leased, down to less than one answer.
func (s *site) drain(in, out int64) {
	for range 200 {
		a := s.asked(fmt.Sprintf(`{"model":"gpt-4.1-nano","max_tokens":4000,"messages":[{"role":"user","content":%q}]}`, strings.Repeat("muito ", 500)), "no-cache, no-store")
		if a.status != 200 {
			break
		}
		left := a.header.Get("X-Fila-Quota-Remaining-Input")
		if n := gjson.Parse(left).Int(); n < in {
			break
		}
	}
	s.provider.Next(openaitest.Behaviour{Usage: &openaitest.Usage{PromptTokens: 1_000_000, CompletionTokens: 1_000_000}})
	s.asked(`{"model":"gpt-4.1-nano","max_tokens":1,"messages":[{"role":"user","content":"x"}]}`, "no-cache, no-store")
}

func TestAnAnswerThatTheQuotaCutIsNotKept(t *testing.T) {
	terms := cached(tenancy.CacheExact, 0)
	terms.OutputTokens = 4000 // a call without a limit of its own is cut at a share of it
	s := newSite(t, terms, openaitest.Options{})
	s.wantCache(s.post(ask("Que horas abre?", "")), "miss", 1)
	s.wantCache(s.post(ask("Que horas abre?", "")), "miss", 2)
}

func TestEmbeddingsAndModerationsAreCachedToo(t *testing.T) {
	s := newSite(t, cached(tenancy.CacheExact, 0), openaitest.Options{})
	for path, body := range map[string]string{
		"/embeddings": `{"model":"text-embedding-3-small","input":"oi"}`, "/moderations": `{"input":"oi"}`,
		"/completions": `{"model":"gpt-3.5-turbo-instruct","prompt":"Era uma vez","max_tokens":16}`,
		"/responses":   `{"model":"gpt-4.1-nano","input":"oi","store":false}`,
	} {
		before := s.provider.Stats().Requests
		first := s.do(http.MethodPost, path, s.key, body)
		s.wantCache(first, "miss", before+1)
		again := s.do(http.MethodPost, path, s.key, body)
		s.wantCache(again, "hit", before+1)
		if again.body != first.body {
			t.Errorf("%s: %q is not %q", path, again.body, first.body)
		}
	}
	stored := `{"model":"gpt-4.1-nano","input":"oi"}`
	before := s.provider.Stats().Requests
	s.wantCache(s.do(http.MethodPost, "/responses", s.key, stored), "bypass", before+1)
	s.wantCache(s.do(http.MethodPost, "/responses", s.key, stored), "bypass", before+2)
}

func TestALeaderThatLeavesLeavesNobodyWaiting(t *testing.T) {
	s := newSite(t, cached(tenancy.CacheExact, 0), openaitest.Options{TokensPerSecond: 20})
	body := ask("Conte uma história comprida", `"stream":true,`)
	ctx, leave := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/chat/completions", strings.NewReader(body))
	s.must(err)
	req.Header.Set("Authorization", "Bearer "+s.key)
	res, err := http.DefaultClient.Do(req)
	s.must(err)
	_, err = res.Body.Read(make([]byte, 64))
	s.must(err)
	followed := make(chan answer, 1)
	go func() { followed <- s.post(body) }()
	eventually(t, "somebody follows", func() bool { return s.answers.Stats().Coalesced > 0 })
	leave()
	res.Body.Close()
	a := <-followed
	if a.err != nil || a.status != 200 || !strings.HasSuffix(a.body, "data: [DONE]\n\n") || a.header.Get("X-Fila-Cache") != "coalesced" {
		t.Errorf("%d %v %q …%q", a.status, a.err, a.header.Get("X-Fila-Cache"), a.body[max(len(a.body)-400, 0):])
	}
	if n := s.provider.Stats().Requests; n != 1 {
		t.Errorf("%d calls of the provider", n)
	}
	s.unheld()
}
