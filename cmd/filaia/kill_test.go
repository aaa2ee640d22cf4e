package main

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/openaitest"
)

// TestKillDuringCallsLosesNoAnsweredCall kills the server under 200 concurrent callers, whole and streamed, again and
// again, and then looks whether every call that was answered is recorded, once.
func TestKillDuringCallsLosesNoAnsweredCall(t *testing.T) {
	p := provider(t, openaitest.Options{Latency: 20 * time.Millisecond})
	i := newInstall(t, p.URL())
	s := i.serve()
	_, key := i.customer("queda", "--input-tokens", "100000000", "--output-tokens", "100000000", "--overage", "block")

	var mu sync.Mutex
	answered := map[string]int64{} // request id → total tokens
	for round := range 3 {
		var wg sync.WaitGroup
		var enough atomic.Int64
		full := make(chan struct{})
		for worker := range 200 {
			wg.Go(func() {
				body := question
				if worker%2 == 0 {
					body = strings.Replace(body, "{", `{"stream":true,"stream_options":{"include_usage":true},`, 1)
				}
				for {
					r := i.chat(key, body)
					if r.err != nil {
						return // the server is gone: this call was not answered
					}
					if r.status != http.StatusOK {
						t.Errorf("%d %s", r.status, r.body)
						return
					}
					if worker%2 == 0 && !strings.HasSuffix(r.body, "[DONE]\n\n") {
						return // broken off in the middle
					}
					mu.Lock()
					answered[r.header.Get("X-Request-Id")] = totalTokens(r.body)
					mu.Unlock()
					if enough.Add(1) == 600 {
						close(full)
					}
				}
			})
		}
		<-full
		s.kill()
		wg.Wait()
		client.CloseIdleConnections()
		s = i.serve()
		if round == 0 && !strings.Contains(s.output.String(), "spool recovered") {
			t.Error("nothing was recovered although calls were in flight")
		}
	}
	s.stop() // commits everything and hands the leases back

	db := i.database().DB()
	rows, err := db.Query(`SELECT request_id, input_tokens + output_tokens, status FROM usage_events`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	recorded := map[string]int64{}
	var interrupted int
	for rows.Next() {
		var id, status string
		var tokens int64
		if err := rows.Scan(&id, &tokens, &status); err != nil {
			t.Fatal(err)
		}
		if _, twice := recorded[id]; twice {
			t.Fatalf("call %s is recorded twice", id)
		}
		recorded[id] = tokens
		if status == "interrupted" {
			interrupted++
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	for id, tokens := range answered {
		if got, ok := recorded[id]; !ok || got != tokens {
			t.Errorf("call %s was answered with %d tokens; recorded: %v with %d", id, tokens, ok, got)
		}
	}
	t.Logf("%d calls answered, %d recorded, of these %d interrupted", len(answered), len(recorded), interrupted)
	audit(t, i)
	var leased int64
	if err := db.QueryRow(`SELECT coalesce(sum(leased_in + leased_out), 0) FROM quota_buckets`).Scan(&leased); err != nil || leased != 0 {
		t.Errorf("%d tokens are still leased after a clean stop: %v", leased, err)
	}
}

// totalTokens reads the usage of a whole answer or of a stream's last chunk.
func totalTokens(body string) int64 {
	if strings.HasPrefix(body, "data: ") {
		list := events(body)
		return gjson.Get(list[len(list)-2], "usage.total_tokens").Int()
	}
	return gjson.Get(body, "usage.total_tokens").Int()
}
