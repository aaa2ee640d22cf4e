package main

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fila-ia/filaia/internal/openaitest"
)

// TestAProviderThatFailsIsToldOfOnceByTwoReplicas lets a provider fail under calls of two replicas that both watch, and mends
// it: the failed calls, the open breaker and what the provider refuses are each told of once, and are over.
func TestAProviderThatFailsIsToldOfOnceByTwoReplicas(t *testing.T) {
	t.Parallel()
	var state atomic.Int32 // the status that the provider answers with; 0: as it should
	p := provider(t, openaitest.Options{Script: func(*openaitest.Request) openaitest.Behaviour {
		return openaitest.Behaviour{Status: int(state.Load())}
	}})
	f := fleetOn(t, urlOf(newPostgres(t)), 2, p.URL())
	_, key := f.tenantOn("falha", charging(1_000_000, 1_000_000))
	db := f.books.DB()
	set := func(statement string) {
		t.Helper()
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	set(`UPDATE alert_rules SET thresholds = '{1}' WHERE metric IN ('breaker_open', 'provider_429')`)
	set(`UPDATE providers SET retries = 0, breaker_open_ms = 2000`)
	calls := func(n int) {
		var each sync.WaitGroup
		for i := range n {
			each.Go(func() { f.replicas[i%2].chat(key, question) })
		}
		each.Wait()
	}
	raised := func(metric string) int64 {
		t.Helper()
		return f.number(`SELECT count(*) FROM alert_events WHERE metric = $1`, metric)
	}

	state.Store(429)
	eventually(t, "what the provider refuses is told of", func() bool { calls(2); return raised("provider_429") > 0 })
	state.Store(500)
	calls(60)
	eventually(t, "the open breaker and the failed calls are told of", func() bool { return raised("breaker_open") > 0 && raised("error_rate") > 0 })

	state.Store(0)
	open := func() int64 {
		return f.number(`SELECT count(*) FROM alert_events WHERE metric = 'breaker_open' AND resolved_at IS NULL`)
	}
	eventually(t, "the breaker closes, and its alert is over", func() bool { calls(6); return open() == 0 })
	for metric, want := range map[string]int64{"breaker_open": 1, "provider_429": 1, "error_rate": 2} {
		if n := raised(metric); n != want {
			t.Errorf("%d alerts of %s, want %d", n, metric, want)
		}
	}
	if n := f.number(`SELECT count(*) FROM key_addresses`); n != 1 {
		t.Errorf("the key was used from %d addresses, want one", n)
	}
}
