package store

import (
	"context"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
)

func TestAnAuditIsKeptAsItWasFound(t *testing.T) {
	s := busyShop(t)
	ctx := tenancy.WithActor(context.Background(), tenancy.Actor{Label: "ana@example.com"})
	if _, err := s.db.Exec(`UPDATE quota_buckets SET used_in = used_in + 1; UPDATE replicas SET stopped_at = now()`); err != nil {
		t.Fatal(err)
	}
	a, err := s.RunAudit(ctx, usage.RecentScope(time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SaveAudit(ctx, a); err != nil {
		t.Fatal(err)
	}
	kept, err := s.LatestAudits(ctx, 5)
	if err != nil || len(kept) != 1 {
		t.Fatalf("%d are kept (%v)", len(kept), err)
	}
	a.Took = a.Took.Truncate(time.Millisecond)
	if a.ID == 0 || a.By != "ana@example.com" || len(a.Details) != 2 || len(a.Notes) != 1 || !reflect.DeepEqual(*a, kept[0]) {
		t.Errorf("kept\n%+v\nof\n%+v", kept[0], *a)
	}
}

func TestOneReplicaAuditsForAllEachHour(t *testing.T) {
	s := busyShop(t)
	ctx := context.Background()
	now := time.Now().UTC().Truncate(time.Hour).Add(20 * time.Minute)
	hourly := func() int64 {
		t.Helper()
		var ran atomic.Int64
		var replicas sync.WaitGroup
		for range 4 {
			replicas.Go(func() {
				a, err := New(s.db.DB, func() time.Time { return now }).AuditHourly(ctx, usage.AuditScope{Grace: testGrace})
				if err != nil {
					t.Error(err)
				}
				if a != nil {
					ran.Add(1)
				}
			})
		}
		replicas.Wait()
		return ran.Load()
	}
	if n := hourly(); n != 1 {
		t.Errorf("%d replicas audited the hour, want 1", n)
	}
	now = now.Add(10 * time.Minute)
	if n := hourly(); n != 0 {
		t.Errorf("the hour was audited again by %d", n)
	}
	now = now.Add(time.Hour)
	if n := hourly(); n != 1 {
		t.Errorf("%d replicas audited the next hour, want 1", n)
	}
	if kept, err := s.LatestAudits(ctx, 1); err != nil || len(kept) != 1 || !kept[0].StartedAt.Equal(now) || kept[0].Differences != 0 {
		t.Errorf("%+v (%v), want the newest", kept, err)
	}
	swept, err := New(s.db.DB, func() time.Time { return now.Add(30*24*time.Hour - time.Minute) }).SweepAudits(ctx)
	if err != nil || swept != 1 {
		t.Errorf("swept %d (%v), want the older", swept, err)
	}
}
