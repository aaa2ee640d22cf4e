package store

import (
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/usage"
)

// putAside puts the month of an aged shop's old call aside.
func (s *shop) putAside(t *testing.T, table string) {
	t.Helper()
	if err := s.SetRetention(t.Context(), usage.Retention{Months: 6}); err != nil {
		t.Fatal(err)
	}
	names, err := s.DetachMonths(t.Context())
	if err != nil || len(names) != 1 || names[0] != table {
		t.Fatalf("%v (%v), want %s", names, err, table)
	}
}

func (s *shop) usedOf(t *testing.T, periodID int64, want int) {
	t.Helper()
	if n := s.count(t, `SELECT used_in FROM quota_buckets WHERE period_id = $1`, periodID); n != want {
		t.Errorf("%d used, want %d", n, want)
	}
}

func TestASpoolThatReturnsAfterItsMonthWasPutAsideCountsOnce(t *testing.T) {
	s, old, table := agedShop(t)
	s.putAside(t, table)
	late := earlier(s.call(5, 5), time.Since(old.CreatedAt.Add(time.Minute)))
	late.PeriodID = old.PeriodID
	young := s.call(3, 3)
	for range 2 {
		s.commit(t, old)
		s.commit(t, old, late, young)
	}
	s.usedOf(t, old.PeriodID, 15)
	s.usedOf(t, s.caller.PeriodID, 4)
	if n := s.count(t, `SELECT count(*) FROM usage_events WHERE id = $1`, old.ID); n != 0 {
		t.Error("the call is there twice")
	}
	s.clean(t, usage.AuditScope{})
}

// TestAReturningSpoolCountsOnceThoughTheClockStoodStill is about machines that begin with the time at which they stopped.
func TestAReturningSpoolCountsOnceThoughTheClockStoodStill(t *testing.T) {
	s, old, table := agedShop(t)
	s.putAside(t, table)
	back := &shop{Store: New(s.DB(), func() time.Time { return old.CreatedAt.Add(time.Minute) }), tenant: s.tenant, key: s.key, caller: s.caller}
	back.commit(t, old)
	s.usedOf(t, old.PeriodID, 10)
}

func TestACallOfADroppedMonthIsCountedAndToldOf(t *testing.T) {
	s, old, table := agedShop(t)
	s.putAside(t, table)
	if err := s.DropMonth(t.Context(), table); err != nil {
		t.Fatal(err)
	}
	c := s.committer()
	for n := range 3 {
		late := earlier(s.call(5, 5), time.Since(old.CreatedAt.Add(time.Minute)))
		late.PeriodID = old.PeriodID
		for range 2 { // this is counted once, since it is a single call again
			if err := c.CommitUsage(t.Context(), []usage.Event{late}); err != nil {
				t.Fatal(err)
			}
		}
		s.usedOf(t, old.PeriodID, 15+5*n)
	}
	const told = `SELECT count(*) FROM audit_log WHERE action = 'retention.late' AND subject = $1 AND details->>'calls' = '1' AND details->>'replica' = 'replica'`
	if n := s.count(t, told, "usage_events:"+table); n != 1 {
		t.Errorf("told %d times, want once", n)
	}
	s.clean(t, usage.AuditScope{})
}

func TestAClockAheadPutsNoMonthAside(t *testing.T) {
	s, _, table := agedShop(t)
	if err := s.SetRetention(t.Context(), usage.Retention{Months: 9}); err != nil {
		t.Fatal(err)
	}
	ahead := New(s.DB(), func() time.Time { return time.Now().AddDate(1, 0, 0) })
	if names, err := ahead.DetachMonths(t.Context()); err != nil || len(names) != 0 {
		t.Errorf("%v were put aside (%v), after seven months the first is %s", names, err, table)
	}
}
