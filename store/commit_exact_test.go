package store

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

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
	var want int64
	rapid.Check(t, func(rt *rapid.T) {
		events := s.calls(rapid.IntRange(1, 60).Draw(rt, "events"))
		for range rapid.IntRange(0, 5).Draw(rt, "twins") {
			events = append(events, events[rapid.IntRange(0, len(events)-1).Draw(rt, "twin")])
		}
		want += total(events[:distinct(events)])
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var breaking, delivering sync.WaitGroup
		done := make(chan struct{})
		if rapid.Bool().Draw(rt, "kills") {
			breaking.Go(func() { s.killConnections(done, 3*time.Millisecond) })
		}
		patience := time.Duration(rapid.IntRange(200, 20_000).Draw(rt, "patience in µs")) * time.Microsecond
		for range rapid.IntRange(1, 2).Draw(rt, "deliverers") {
			c, size := s.committer(), rapid.IntRange(1, len(events)).Draw(rt, "batch")
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
			rt.Fatalf("%d tokens are used, want %d", b.UsedIn+b.UsedOut, want)
		}
	})
	s.audit(t)
}

// distinct tells how many events there are before those that come a second time, which stand at the end.
func distinct(events []usage.Event) int {
	for i := range events {
		for j := range i {
			if events[i].ID == events[j].ID {
				return i
			}
		}
	}
	return len(events)
}

// killConnections ends the database's processes that are at work, now and then, until done.
func (s *shop) killConnections(done <-chan struct{}, every time.Duration) {
	for {
		select {
		case <-done:
			return
		case <-time.After(rand.N(2 * every)):
		}
		const kill = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid() AND state <> 'idle'`
		_, _ = s.db.Exec(kill) //nolint:errcheck // its own process may be among those that another one kills
	}
}
