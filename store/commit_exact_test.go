package store

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
	"github.com/fila-ia/filaia/store/storetest"
)

// openServing is a shop on a store as the product opens it, with its pools and connections.
func openServing(t *testing.T, terms tenancy.Terms) *shop {
	t.Helper()
	base, err := Open(t.Context(), storetest.DB(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { base.Close() })
	return stockShop(t, base, terms)
}

// deliver commits as the ledger does: the same batch again until it is accepted.
func deliver(ctx context.Context, t *testing.T, c *UsageCommitter, batch []usage.Event) {
	for {
		err := c.CommitUsage(ctx, batch)
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Errorf("not accepted in time: %v", err)
			return
		}
	}
}

func (s *shop) calls(n int) []usage.Event {
	events := make([]usage.Event, n)
	for i := range events {
		events[i] = s.call(int64(10+i%7), int64(1+i%3))
	}
	return events
}

func total(events []usage.Event) (sum int64) {
	for i := range events {
		sum += events[i].Tokens.Total()
	}
	return sum
}

func TestABatchThatComesOverTwoConnectionsAtOnceIsCountedOnce(t *testing.T) {
	s := openServing(t, charging(500, 500))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	events := s.calls(300)
	var wg sync.WaitGroup
	for _, size := range []int{100, 100, 30, 7} { // a commit that was given up may still be under way
		c := s.committer()
		wg.Go(func() {
			for from := 0; from < len(events); from += size {
				deliver(ctx, t, c, events[from:min(from+size, len(events))])
			}
		})
	}
	wg.Wait()
	b := s.bucket(t)
	if want := total(events); b.UsedIn+b.UsedOut != want {
		t.Fatalf("%d tokens are used, want %d", b.UsedIn+b.UsedOut, want)
	}
	s.audit(t)
}

func TestChargesAreRightThoughAnotherReplicaPassedThePlanMeanwhile(t *testing.T) {
	s := openShop(t, charging(1000, 1000))
	a, b := s.UsageCommitter("a", func(Committed) {}), s.UsageCommitter("b", func(Committed) {})
	var charged []int64
	for _, step := range []struct {
		c  *UsageCommitter
		in int64
	}{{a, 900}, {b, 100}, {a, 10}, {b, 5}, {a, 1}} {
		if err := step.c.CommitUsage(t.Context(), []usage.Event{s.call(step.in, 0)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.db.Select(&charged, `SELECT charge_brl_micros FROM usage_events ORDER BY id`); err != nil {
		t.Fatal(err)
	}
	for i, want := range []int64{0, 0, 1000, 500, 100} {
		if charged[i] != want {
			t.Fatalf("charged %v", charged)
		}
	}
	s.audit(t)
}

func TestReplicasThatCommitAtOnceChargeExactlyTheExcess(t *testing.T) {
	const included, replicas = 2000, 3
	s := openServing(t, charging(included, 1_000_000))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for range replicas {
		c := s.UsageCommitter("replica", func(Committed) {})
		wg.Go(func() {
			for range 40 {
				deliver(ctx, t, c, s.calls(3))
			}
		})
	}
	wg.Wait()
	var charge int64
	if err := s.db.Get(&charge, `SELECT sum(charge_brl_micros) FROM usage_events`); err != nil {
		t.Fatal(err)
	}
	if used := s.bucket(t).UsedIn; used <= included || charge != (used-included)*100 {
		t.Fatalf("%d tokens of %d used, %d micros charged", used, included, charge)
	}
	s.audit(t)
}

// TestTheBooksAgreeWhateverBreaksCommits: contexts that end and servers' processes that are killed in the midst of
// commits, batches that come again in other cuts, and two who deliver at once.
func TestTheBooksAgreeWhateverBreaksCommits(t *testing.T) {
	s := openServing(t, charging(3000, 500))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	chance := rand.New(rand.NewPCG(7, 11))
	var want int64
	for range 20 {
		events := s.calls(1 + chance.IntN(60))
		want += total(events)
		for range chance.IntN(5) {
			events = append(events, events[chance.IntN(len(events))])
		}
		var breaking, delivering sync.WaitGroup
		done := make(chan struct{})
		if chance.IntN(2) == 0 {
			breaking.Go(func() { s.killConnections(done) })
		}
		patience := time.Duration(200+chance.IntN(20_000)) * time.Microsecond
		for range 1 + chance.IntN(2) {
			c, size := s.committer(), 1+chance.IntN(len(events))
			delivering.Go(func() {
				for range 3 { // given up again and again
					short, cancel := context.WithTimeout(ctx, patience)
					_ = c.CommitUsage(short, events[:size])
					cancel()
				}
				for from := 0; from < len(events); from += size {
					deliver(ctx, t, c, events[from:min(from+size, len(events))])
				}
			})
		}
		delivering.Wait()
		close(done)
		breaking.Wait()
		if b := s.bucket(t); b.UsedIn+b.UsedOut != want {
			t.Fatalf("%d tokens are used, want %d", b.UsedIn+b.UsedOut, want)
		}
	}
	s.audit(t)
}

// killConnections ends the database's processes that are at work, a few times until done.
func (s *shop) killConnections(done <-chan struct{}) {
	for range 6 {
		select {
		case <-done:
			return
		case <-time.After(rand.N(10 * time.Millisecond)):
		}
		const kill = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid() AND state <> 'idle'`
		_, _ = s.db.Exec(kill)
	}
}
