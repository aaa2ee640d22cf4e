package store

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/lib/pq"

	"github.com/fila-ia/filaia/internal/quota"
	"github.com/fila-ia/filaia/internal/usage"
	"github.com/fila-ia/filaia/store/storetest"
)

// hasty is the address of a database with an idleLimit for tests.
func hasty(t *testing.T) string {
	t.Helper()
	u, err := url.Parse(storetest.DB(t))
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	query.Set("idle_in_transaction_session_timeout", "3000") // others pause, too, on a busy machine
	u.RawQuery = query.Encode()
	return u.String()
}

// A process that is stopped between two statements keeps its connections: only PostgreSQL can end them.
func TestAReplicaThatStandsStillInACommitDoesNotStopTheOthers(t *testing.T) {
	base, err := Open(t.Context(), hasty(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { base.Close() })
	s := stockShop(t, base, blocking(100_000, 100_000))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // well below what a lock is held without a limit
	defer cancel()
	s.lease(t, "stopped")
	s.commit(t, earlier(s.call(1, 1), 26*time.Hour))
	stopped, events := s.UsageCommitter("stopped", func(Committed) {}), []usage.Event{s.call(10, 1)}
	holds, goesOn, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- s.inCommit(context.Background(), stopped.prepared, func(x *tx) error {
			defer close(holds)
			accounts, err := stopped.lockAccounts(ctx, x, events)
			if err == nil {
				err = x.addRollups(ctx, events, charge(events, accounts))
			}
			if err != nil {
				return err
			}
			holds <- struct{}{}
			<-goesOn
			return stopped.saveAccounts(context.Background(), x, accounts)
		})
	}()
	<-holds
	if err := s.UsageCommitter("well", func(Committed) {}).CommitUsage(ctx, []usage.Event{s.call(20, 2)}); err != nil {
		t.Errorf("another replica's commit: %v", err)
	}
	if _, err := s.Leases("well", testGrace, nil).Lease(ctx, s.caller.PeriodID, quota.Pair{In: 10, Out: 10}); err != nil {
		t.Errorf("another replica's lease: %v", err)
	}
	if err := s.FoldUsage(ctx); err != nil {
		t.Error(err)
	}
	close(goesOn)
	if err := <-ended; err == nil {
		t.Fatal("it goes on as if it had never stopped")
	}
	deliver(ctx, t, stopped, events) // as the ledger does
	s.audit(t)
	if used := s.count(t, `SELECT used_in FROM quota_buckets WHERE period_id = $1`, s.caller.PeriodID); used != 31 {
		t.Errorf("%d used, want 31: each call once", used)
	}
}

func TestATransactionThatStoodStillForTooLongLosesItsConnection(t *testing.T) {
	s, err := Open(t.Context(), hasty(t))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.inTx(t.Context(), func(tx *tx) error {
		var pid int
		if err := tx.Get(&pid, `SELECT pg_backend_pid()`); err != nil {
			t.Fatal(err)
		}
		deadline := time.Now().Add(time.Minute)
		for there := true; there; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("it is left alone")
			}
			if err := s.db.Get(&there, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)`, pid); err != nil {
				t.Fatal(err)
			}
		}
		_, err := tx.Exec(`UPDATE settings SET value = value`)
		return err
	})
	if err == nil {
		t.Error("it goes on")
	}
	for range MaxConnections { // no connection that is left is a dead one
		if err := s.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEveryConnectionForServingHasBounds(t *testing.T) {
	s, err := Open(t.Context(), storetest.DB(t))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var tcp bool
	if err := s.db.Get(&tcp, `SELECT inet_server_addr() IS NOT NULL`); err != nil {
		t.Fatal(err)
	}
	const query = `SELECT current_setting('idle_in_transaction_session_timeout') || ' ' || current_setting('tcp_keepalives_idle')
		|| ' ' || current_setting('tcp_keepalives_interval') || ' ' || current_setting('tcp_keepalives_count') || ' ' || current_setting('tcp_user_timeout')`
	want := "10s 10 5 3 25000"
	if !tcp {
		want = "10s 0 0 0 0" // a Unix socket has none of the others, and takes them
	}
	var served, commits, patient string
	if err := errors.Join(s.db.Get(&served, query), s.commits.Get(&commits, query), s.DB().QueryRow(query).Scan(&patient)); err != nil {
		t.Fatal(err)
	}
	if served != want || commits != want {
		t.Errorf("pages and calls have %s, commits %s, want %s", served, commits, want)
	}
	if !strings.HasPrefix(patient, "0 ") {
		t.Errorf("long statements have %s", patient)
	}
	config, err := pq.NewConfig("postgres://h/d?tcp_user_timeout=0")
	if err != nil {
		t.Fatal(err)
	}
	if bounds := sessionBounds(config); strings.Contains(bounds, "tcp_user_timeout") || !strings.Contains(bounds, "tcp_keepalives_idle") {
		t.Errorf("what the address says is overruled: %s", bounds)
	}
}
