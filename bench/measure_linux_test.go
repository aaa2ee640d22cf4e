package main

import (
	"os"
	"strings"
	"testing"
	"time"
)

// tiny runs every kind of load once: enough to see that all of it still works, too little to measure anything.
var tiny = sizes{
	rounds: 1, warmup: 20, calls: 500, connections: 16, steadyFor: 200 * time.Millisecond,
	openRounds: 1, openRate: 200, openCalls: 60, latency: 5 * time.Millisecond,
	streamRounds: 1, streams: 20, atOnce: 10,
	held: 10, heldFew: 2, heldPause: 20 * time.Millisecond,
	redisRounds: 1, replicaRounds: 1, replicaCalls: 600, commitRounds: 1, commitEvents: 3000,
	questions: 100, mixWarmup: 200, mixCalls: 200,
}

func TestMeasureCountsEveryCallAndTokenThreeTimesAlike(t *testing.T) {
	r, err := measure(t.Context(), tiny, "", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Books.err(); err != nil {
		t.Error(err)
	}
	// The calls at a steady rate come on top: how many depends on the machine.
	if least := int64(tiny.warmup + tiny.calls + tiny.openCalls + tiny.streams); r.Books.Answered.Calls <= least {
		t.Errorf("%d calls were answered, want more than %d", r.Books.Answered.Calls, least)
	}
	if tokens := r.Books.Answered.Calls * (promptTokens + completionTokens); r.Books.Answered.Tokens != tokens {
		t.Errorf("%d tokens were answered, want %d", r.Books.Answered.Tokens, tokens)
	}
	// All that was asked before, and in the mix most, is answered by the cache.
	if saved, least := r.Books.Saved, int64(tiny.calls+tiny.mixCalls); saved < least {
		t.Errorf("the cache answered %d of %d calls, want at least %d", saved, r.Books.Answered.Calls, least)
	}
	for _, one := range r.Rows {
		if strings.Contains(one.Name, "p99") || strings.HasPrefix(one.Name, "memory a") {
			if one.Baseline <= 0 || one.Gateway <= 0 {
				t.Errorf("%s: %v and %v", one.Name, one.Baseline, one.Gateway)
			}
		}
	}
	if t.Failed() {
		_ = r.print(t.Output())
	}
}

func TestFamilyCPUCountsChildrenThatHaveEnded(t *testing.T) {
	before, err := familyCPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	s, err := startServer(roleProvider)
	if err != nil {
		t.Fatal(err)
	}
	spec := loadSpec{Address: s.address, Key: "k", Connections: 8, Calls: 3000}
	if r, err := load(t.Context(), spec); err != nil {
		t.Fatal(r, err)
	}
	s.stop()
	own, err := cpu(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if after, err := familyCPU(os.Getpid()); err != nil || after-before < 2*tick || after <= own {
		t.Errorf("before %v, after %v, this process alone %v: %v", before, after, own, err)
	}
}
