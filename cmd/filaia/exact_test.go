package main

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/openaitest"
)

// provider starts a simulator that answers at once.
func provider(t *testing.T, o openaitest.Options) *openaitest.Server {
	t.Helper()
	o.AnyModel = true
	s, err := openaitest.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

const question = `{"model":"gpt-4.1-nano","max_tokens":7,"messages":[{"role":"user","content":"Quantos pães cabem no forno?"}]}`

// measure asks once, outside of the limit that is tested, what a question costs.
func measure(t *testing.T, s *server, key, body string) (in, out int64) {
	t.Helper()
	r := s.chat(key, body)
	if r.status != http.StatusOK {
		t.Fatalf("%d %s %v", r.status, r.body, r.err)
	}
	return gjson.Get(r.body, "usage.prompt_tokens").Int(), gjson.Get(r.body, "usage.completion_tokens").Int()
}

func TestAQuotaOfExactlyAThousandCallsAnswersExactlyAThousand(t *testing.T) {
	p := provider(t, openaitest.Options{})
	s := newInstall(t, p.URL()).serve()
	_, key := s.customer("medir", "--input-tokens", "100000", "--output-tokens", "100000", "--overage", "block")
	in, out := measure(t, s, key, question)

	const calls = 1000
	tenant, key := s.customer("exato", "--input-tokens", fmt.Sprint(calls*in), "--output-tokens", fmt.Sprint(calls*out), "--overage", "block")
	var answered, refused, other atomic.Int64
	var wg sync.WaitGroup
	for worker := range 64 {
		wg.Go(func() {
			for n := range 20 { // 1,280 in all: 280 too many
				body := question
				if (worker+n)%2 == 0 {
					body = strings.Replace(body, "{", `{"stream":true,`, 1)
				}
				switch r := s.chat(key, body); {
				case r.err == nil && r.status == http.StatusOK:
					answered.Add(1)
				case r.status == http.StatusTooManyRequests && gjson.Get(r.body, "error.code").Str == "insufficient_quota" &&
					r.header.Get("X-Should-Retry") == "false":
					refused.Add(1)
				default:
					other.Add(1)
					t.Errorf("%d %s %v", r.status, r.body, r.err)
				}
			}
		})
	}
	wg.Wait()
	if answered.Load() != calls || refused.Load() != 280 {
		t.Fatalf("answered %d, refused %d; want exactly %d and 280", answered.Load(), refused.Load(), calls)
	}
	eventually(t, "all calls are committed", func() bool { return s.usage(tenant).Requests == calls })
	u := s.usage(tenant)
	if u.InputTokens != u.LimitInput || u.OutputTokens != u.LimitOutput {
		t.Fatalf("the quota is not used up to the token: %+v", u)
	}
	if got := p.Stats().Answered; got != calls+1 {
		t.Fatalf("the provider answered %d calls, want %d and the one that measured", got, calls)
	}
	audit(t, s.install)
}

func TestCallsAboveAChargingPlanGoOnAndAreCharged(t *testing.T) {
	p := provider(t, openaitest.Options{})
	s := newInstall(t, p.URL()).serve()
	tenant, key := s.customer("cobrar", "--input-tokens", "10", "--output-tokens", "5", "--overage", "charge", "--overage-price", "0.0001")
	var in, out int64
	for range 3 {
		i, o := measure(t, s, key, question)
		in, out = in+i, out+o
	}
	var u struct {
		Requests int64  `json:"requests"`
		Charge   string `json:"charge_brl"`
	}
	eventually(t, "all calls are committed", func() bool {
		s.run(&u, "usage", "--tenant", fmt.Sprint(tenant), "--json")
		return u.Requests == 3
	})
	want := (in - 10 + out - 5) * 100 // micros
	if u.Charge != fmt.Sprintf("0.%04d", want/100) {
		t.Fatalf("charged R$ %s for %d tokens above", u.Charge, want/100)
	}
	audit(t, s.install)
}

// booksAgree tells whether events, rollups, buckets and leases agree, and no limit is passed.
const booksAgree = `SELECT
	(SELECT coalesce(sum(input_tokens), 0) FROM usage_events) = (SELECT coalesce(sum(used_in), 0) FROM quota_buckets) AND
	(SELECT coalesce(sum(output_tokens), 0) FROM usage_events) = (SELECT coalesce(sum(used_out), 0) FROM quota_buckets) AND
	(SELECT coalesce(sum(input_tokens), 0) FROM usage_events) = (SELECT coalesce(sum(input_tokens), 0) FROM usage_hourly) AND
	(SELECT coalesce(sum(output_tokens), 0) FROM usage_events) = (SELECT coalesce(sum(output_tokens), 0) FROM usage_hourly) AND
	(SELECT count(*) FROM usage_events) = (SELECT coalesce(sum(requests), 0) FROM usage_hourly) AND
	(SELECT coalesce(sum(leased_in), 0) FROM quota_buckets) = (SELECT coalesce(sum(leased_in), 0) FROM quota_leases) AND
	NOT EXISTS (SELECT FROM quota_buckets WHERE hard
		AND greatest(used_in - limit_in, 0) + greatest(used_out - limit_out, 0) > greatest(extra_tokens, extra_taken))`

// audit checks the books in the database.
func audit(t *testing.T, i *install) {
	t.Helper()
	var ok bool
	if err := i.database().DB().QueryRow(booksAgree).Scan(&ok); err != nil {
		t.Fatal(err)
	}
	if !ok {
		t.Error("the books do not agree")
	}
}
