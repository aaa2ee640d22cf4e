package store

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/fila-ia/filaia/store/storetest"
)

func TestEnsurePartitionsMakesEachMonthOnceForManyReplicas(t *testing.T) {
	db := storetest.Open(t)
	ctx := context.Background()
	from, to := time.Date(2031, 11, 20, 0, 0, 0, 0, time.UTC), time.Date(2032, 2, 1, 0, 0, 0, 0, time.UTC)
	var group sync.WaitGroup
	for range 6 {
		group.Go(func() {
			if err := New(db.DB, time.Now).EnsurePartitions(ctx, from, to); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	var names []string
	const query = `SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent = 'usage_events'::regclass AND c.relname ~ '_203[12]_' ORDER BY 1`
	if err := db.Select(&names, query); err != nil {
		t.Fatal(err)
	}
	want := []string{"usage_events_2031_11", "usage_events_2031_12", "usage_events_2032_01", "usage_events_2032_02"}
	if len(names) != len(want) {
		t.Fatalf("%v, want %v", names, want)
	}
	for i := range want {
		if names[i] != want[i] {
			t.Errorf("%v, want %v", names, want)
		}
	}
	var indexes int
	const indexed = `SELECT count(*) FROM pg_indexes WHERE tablename = 'usage_events_2031_12'`
	if err := db.Get(&indexes, indexed); err != nil || indexes != 2 {
		t.Errorf("%d indexes (%v), want those of usage_events", indexes, err)
	}
}

func TestEnsurePartitionsMovesWhatCameTooEarly(t *testing.T) {
	s := openShop(t, charging(1000, 1000))
	ctx := context.Background()
	early := earlier(s.call(5, 5), -24*time.Hour*400) // in a month that has no partition
	s.commit(t, early, s.call(1, 1))
	in := func(table string) (n int) {
		t.Helper()
		if err := s.db.Get(&n, `SELECT count(*) FROM `+table); err != nil {
			t.Fatal(err)
		}
		return n
	}
	fallen := in("usage_events_default")
	if err := s.EnsurePartitions(ctx, early.CreatedAt, early.CreatedAt); err != nil {
		t.Fatal(err)
	}
	if got := in("usage_events_" + early.CreatedAt.Format("2006_01")); got != 1 {
		t.Errorf("%d events in their month, want 1", got)
	}
	if got := in("usage_events_default"); got != fallen-1 {
		t.Errorf("%d events left behind, want %d", got, fallen-1)
	}
	if got := in("usage_events"); got != 2 {
		t.Errorf("%d events in all, want 2", got)
	}
}

func TestSweepMinutesKeepsTheLiveHour(t *testing.T) {
	s := openShop(t, charging(1000, 1000))
	s.commit(t, s.call(1, 1), earlier(s.call(1, 1), 59*time.Minute), earlier(s.call(1, 1), 3*time.Hour))
	swept, err := s.SweepMinutes(context.Background())
	if err != nil || swept != 1 {
		t.Errorf("swept %d (%v), want the old minute only", swept, err)
	}
	var left int
	if err := s.db.Get(&left, `SELECT count(*) FROM usage_minutes`); err != nil || left != 2 {
		t.Errorf("%d minutes left (%v), want 2", left, err)
	}
}
