package store

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/quota"
	"github.com/fila-ia/filaia/internal/usage"
)

// steady is a clock that only a test moves.
type steady struct{ time.Time }

func (c *steady) now() time.Time { return c.Time }

// sweep moves the clock on in steps that the reaper takes for a process that runs.
func (c *steady) sweep(t *testing.T, r *Reaper, d time.Duration) {
	t.Helper()
	for ; d > 0; d -= r.every() {
		c.Time = c.Add(r.every())
		if err := r.Sweep(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}

// lease has a replica join and lease 250 tokens of each kind.
func (s *shop) lease(t *testing.T, replica string) *Leases {
	t.Helper()
	l := s.Leases(replica, time.Minute, nil)
	s.beat(t, l)
	if _, err := l.Lease(context.Background(), s.caller.PeriodID, quota.Pair{In: 250, Out: 250}); err != nil {
		t.Fatal(err)
	}
	return l
}

func (s *shop) beat(t *testing.T, l *Leases) (reaped int64) {
	t.Helper()
	reaped, err := l.Heartbeat(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return reaped
}

func TestOnlyTheLeasesOfSilentReplicasAreReaped(t *testing.T) {
	s := openShop(t, blocking(1000, 1000))
	alive, dead := s.lease(t, "alive"), s.lease(t, "dead")
	clock := &steady{time.Now()}
	r := s.Reaper(time.Minute, discard(), clock.now)
	for range 5 {
		clock.sweep(t, r, 15*time.Second)
		s.beat(t, alive)
	}
	if b := s.bucket(t); b.LeasedIn != 250 || b.LeasedOut != 250 {
		t.Fatalf("%+v; one of two leases stands", b)
	}
	if before, after := int64(0), s.beat(t, alive); after != before {
		t.Fatal("the living one is told that it was reaped")
	}
	if s.beat(t, dead) != 1 {
		t.Fatal("the silent one is not told that it was reaped")
	}
	stands, err := dead.Stands(context.Background(), []int64{s.caller.PeriodID})
	if err != nil || stands[s.caller.PeriodID].Leased != (quota.Pair{}) {
		t.Fatal(stands, err)
	}
	s.audit(t)
}

func TestEachReplicaIsGivenTheGraceThatItCountsOn(t *testing.T) {
	s := openShop(t, blocking(1000, 1000))
	s.lease(t, "a minute")
	clock := &steady{time.Now()}
	r := s.Reaper(10*time.Second, discard(), clock.now)
	clock.sweep(t, r, 50*time.Second)
	if b := s.bucket(t); b.LeasedIn != 250 {
		t.Fatal("reaped by the grace of another process")
	}
	clock.sweep(t, r, 20*time.Second)
	if b := s.bucket(t); b.LeasedIn != 0 {
		t.Fatal("a silent replica was not reaped")
	}
}

func TestAReaperThatHeardNothingForLongBeginsAnew(t *testing.T) {
	s := openShop(t, blocking(1000, 1000))
	s.lease(t, "alive")
	clock := &steady{time.Now()}
	r := s.Reaper(time.Minute, discard(), clock.now)
	clock.sweep(t, r, time.Second)
	clock.Time = clock.Add(time.Hour) // it was stopped itself, or its clock was set
	clock.sweep(t, r, 30*time.Second)
	if b := s.bucket(t); b.LeasedIn != 250 {
		t.Fatal("reaped without having listened for the whole grace")
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	clock.sweep(t, r, 20*time.Second)
	if err := r.Sweep(ended); err == nil {
		t.Fatal("the database answered an ended context")
	}
	clock.sweep(t, r, 30*time.Second)
	if b := s.bucket(t); b.LeasedIn != 250 {
		t.Fatal("silence was counted while the database was away")
	}
	clock.sweep(t, r, time.Minute)
	if b := s.bucket(t); b.LeasedIn != 0 {
		t.Fatal("a silent replica was not reaped")
	}
}

func TestAReplicaThatSpeaksUpIsNotReaped(t *testing.T) {
	s := openShop(t, blocking(1000, 1000))
	l := s.lease(t, "slow")
	var seen lessee
	if err := s.db.Get(&seen, `SELECT name, life, beat FROM replicas`); err != nil {
		t.Fatal(err)
	}
	s.beat(t, l) // after the reaper looked, and before it takes
	if in, out, err := s.reap(context.Background(), seen); in != 0 || out != 0 || err != nil {
		t.Fatal(in, out, err)
	}
	if b := s.bucket(t); b.LeasedIn != 250 {
		t.Fatalf("%+v", b)
	}
}

func TestSeveralReapersTakeALeaseOnce(t *testing.T) {
	s := openShop(t, blocking(1000, 1000))
	s.lease(t, "dead")
	var seen lessee
	if err := s.db.Get(&seen, `SELECT name, life, beat FROM replicas`); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, _, err := s.reap(context.Background(), seen); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if b := s.bucket(t); b.LeasedIn != 0 || b.LeasedOut != 0 {
		t.Fatalf("%+v", b)
	}
	s.audit(t)
}

func TestWhatAReapedReplicaReportsLaterIsCountedAndIsOverrunOnlyWhereItDoesNotFit(t *testing.T) {
	s := openShop(t, blocking(1000, 1000))
	ctx := context.Background()
	l := s.lease(t, "late")
	e := s.call(200, 250)
	var seen lessee
	if err := s.db.Get(&seen, `SELECT name, life, beat FROM replicas`); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.reap(ctx, seen); err != nil {
		t.Fatal(err)
	}
	if g, err := s.Leases("other", testGrace, nil).Lease(ctx, s.caller.PeriodID, quota.Pair{In: 900, Out: 100}); err != nil || g.Granted.In != 900 {
		t.Fatal(g, err)
	}
	var told Committed
	if err := s.UsageCommitter("late", func(c Committed) { told = c }).CommitUsage(ctx, []usage.Event{e}); err != nil {
		t.Fatal(err)
	}
	if told.Overrun != (quota.Pair{In: 100}) || told.Lease.Leased != (quota.Pair{}) {
		t.Fatalf("%+v", told)
	}
	over, err := s.Overruns(ctx, 10)
	if err != nil || len(over) != 1 || over[0].Cause != usage.OverrunLate || over[0].Input != 100 || over[0].Replica != "late" {
		t.Fatalf("%+v %v", over, err)
	}
	if s.beat(t, l) != 1 {
		t.Fatal("not told")
	}
	s.audit(t)
}

func TestAReplicasNameBelongsToItsNewestLife(t *testing.T) {
	s := openShop(t, blocking(1000, 1000))
	old := s.lease(t, "twin")
	young := s.Leases("twin", testGrace, func() usage.Vitals { return usage.Vitals{Version: "2", SpoolEvents: 7, SpoolAge: time.Minute} })
	s.beat(t, young)
	if _, err := old.Heartbeat(context.Background()); !errors.Is(err, quota.ErrSuperseded) {
		t.Fatal(err)
	}
	if _, err := old.Lease(context.Background(), s.caller.PeriodID, quota.Pair{In: 1, Out: 1}); !errors.Is(err, quota.ErrSuperseded) {
		t.Fatal(err)
	}
	if stand, err := old.Return(context.Background(), s.caller.PeriodID, quota.Pair{In: 10, Out: 10}, uuid.New()); err != nil || stand.Leased.In != 250 {
		t.Fatalf("%+v %v; what the name leases is the new life's", stand, err)
	}
	s.beat(t, young)
	list, err := s.Replicas(context.Background())
	if err != nil || len(list) != 1 || list[0].SpoolEvents != 7 || list[0].SpoolAge != time.Minute || list[0].LeasedIn != 250 || !list[0].StoppedAt.IsZero() {
		t.Fatalf("%+v %v", list, err)
	}
	if err := young.ReleaseAll(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := young.Leave(context.Background()); err != nil {
		t.Fatal(err)
	}
	if list, _ = s.Replicas(context.Background()); list[0].StoppedAt.IsZero() || list[0].SpoolEvents != 7 || list[0].LeasedIn != 0 {
		t.Fatalf("%+v", list)
	}
	s.audit(t)
}

func TestReplicasThatAreGoneAreForgottenOnceTheyOweNothing(t *testing.T) {
	s := openShop(t, blocking(1000, 1000))
	ctx := context.Background()
	l := s.lease(t, "gone")
	s.beat(t, s.Leases("here", testGrace, nil))
	if _, err := s.db.Exec(`UPDATE replicas SET seen_at = now() - interval '30 days', spool_events = 1 WHERE name = 'gone'`); err != nil {
		t.Fatal(err)
	}
	left := func() int {
		t.Helper()
		if err := s.SweepReplicas(ctx); err != nil {
			t.Fatal(err)
		}
		list, err := s.Replicas(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	if left() != 2 {
		t.Fatal("a replica was forgotten that has a lease")
	}
	if err := l.ReleaseAll(ctx); err != nil {
		t.Fatal(err)
	}
	if left() != 2 {
		t.Fatal("a replica was forgotten whose spool may still come")
	}
	if _, err := s.db.Exec(`UPDATE replicas SET spool_events = 0`); err != nil {
		t.Fatal(err)
	}
	if left() != 1 {
		t.Fatal("a replica that is gone is still listed")
	}
	// One that lives after all joins again, and hears that its leases may have been taken back.
	if reaped := s.beat(t, l); reaped == 0 || left() != 2 {
		t.Fatalf("reaped %d times; it lives", reaped)
	}
}
