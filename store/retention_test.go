package store

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/usage"
)

// agedShop has one call in a month of seven months ago that has its partition, and one of now. It gives the old one and
// the name of its table.
func agedShop(t *testing.T) (*shop, usage.Event, string) {
	t.Helper()
	s := openShop(t, charging(100_000, 100_000))
	ctx := context.Background()
	at := month(time.Now()).AddDate(0, -7, 10)
	if err := s.EnsurePartitions(ctx, at, time.Now()); err != nil {
		t.Fatal(err)
	}
	old := earlier(s.call(10, 20), time.Since(at))
	before := New(s.db.DB, func() time.Time { return at })
	ended, err := before.ensureCurrentOf(t, s)
	if err != nil {
		t.Fatal(err)
	}
	old.PeriodID = ended
	s.commit(t, old, s.call(1, 2))
	return s, old, "usage_events_" + at.Format("2006_01")
}

func (s *shop) count(t testing.TB, query string, args ...any) (n int) {
	t.Helper()
	if err := s.db.Get(&n, query, args...); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestOldMonthsArePutAsideAndNothingElseIsTouched(t *testing.T) {
	s, old, table := agedShop(t)
	ctx := context.Background()
	if names, err := s.DetachMonths(ctx); err != nil || len(names) != 0 {
		t.Fatalf("%v was put aside without a retention (%v)", names, err)
	}
	if err := s.SetRetention(ctx, usage.Retention{Months: 6}); err != nil {
		t.Fatal(err)
	}
	names, err := s.DetachMonths(ctx)
	if err != nil || !slices.Equal(names, []string{table}) {
		t.Fatalf("%v was put aside (%v), want %s", names, err, table)
	}
	if again, err := s.DetachMonths(ctx); err != nil || len(again) != 0 {
		t.Fatalf("put aside again: %v (%v)", again, err)
	}
	kept, err := s.ArchivedMonths(ctx)
	if err != nil || len(kept) != 1 || kept[0].Name != table || kept[0].Rows != 1 || kept[0].Bytes <= 0 || !kept[0].Month.Equal(month(old.CreatedAt)) ||
		!kept[0].DroppedAt.IsZero() {
		t.Fatalf("%+v (%v)", kept, err)
	}
	if n := s.count(t, `SELECT count(*) FROM usage_archive.`+table); n != 1 {
		t.Errorf("%d rows in the table that was put aside", n)
	}
	// Pages read on; sums stay.
	if calls, err := s.Calls(ctx, s.tenant.ID, uuid.Nil, 10); err != nil || len(calls) != 1 {
		t.Errorf("%d calls (%v), want that of now", len(calls), err)
	}
	if n := s.count(t, `SELECT sum(requests) FROM usage_hourly`); n != 2 {
		t.Errorf("%d requests in hourly figures, want 2", n)
	}
	a := s.clean(t, usage.AuditScope{})
	if len(a.Notes) != 1 || a.Notes[0].Kind != usage.NoteDetached || !a.Notes[0].Month.Equal(month(old.CreatedAt)) {
		t.Errorf("the audit does not tell of the month: %+v", a.Notes)
	}
	// What is left to compare is still compared.
	if _, err := s.db.Exec(`UPDATE usage_hourly SET input_tokens = 9 WHERE period_id = $1`, old.PeriodID); err != nil {
		t.Fatal(err)
	}
	if a := s.examine(t, usage.AuditScope{PeriodID: old.PeriodID}); a.Differences != 1 || a.Details[0].Check != usage.CheckHoursUsed {
		t.Errorf("%+v", a.Details)
	}
}

func TestALateCallOfAMonthThatWasPutAsideIsStillCounted(t *testing.T) {
	s, old, table := agedShop(t)
	ctx := context.Background()
	if err := s.SetRetention(ctx, usage.Retention{Months: 6}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.DetachMonths(ctx); err != nil {
		t.Fatal(err)
	}
	late := earlier(s.call(5, 5), time.Since(old.CreatedAt.Add(time.Minute)))
	late.PeriodID = old.PeriodID
	s.commit(t, late)
	if n := s.count(t, `SELECT count(*) FROM usage_events_default WHERE id = $1`, late.ID); n != 1 {
		t.Fatal("the late call is not in the default partition")
	}
	if n := s.count(t, `SELECT used_in FROM quota_buckets WHERE period_id = $1`, old.PeriodID); n != 15 {
		t.Errorf("%d tokens used, want those of the late call as well", n)
	}
	s.clean(t, usage.AuditScope{})
	for range 2 { // a partition of that month does not come back, neither is it put aside again
		if err := s.EnsurePartitions(ctx, old.CreatedAt, time.Now()); err != nil {
			t.Fatal(err)
		}
		if names, err := s.DetachMonths(ctx); err != nil || len(names) != 0 {
			t.Fatalf("%v (%v)", names, err)
		}
	}
	if err := s.DropMonth(ctx, table); err != nil {
		t.Fatal(err)
	}
	if err := s.EnsurePartitions(ctx, old.CreatedAt, time.Now()); err != nil {
		t.Fatal(err)
	}
	s.clean(t, usage.AuditScope{})
	if n := s.count(t, `SELECT count(*) FROM usage_events`); n != 2 {
		t.Errorf("%d single calls, want the late one and that of now", n)
	}
}

func TestAMonthWaitsForOpenPeriodsAndForSpools(t *testing.T) {
	s, old, table := agedShop(t)
	ctx := context.Background()
	if err := s.SetRetention(ctx, usage.Retention{Months: 2}); err != nil {
		t.Fatal(err)
	}
	due := func() usage.DueMonth {
		t.Helper()
		list, err := s.DueMonths(ctx)
		if err != nil || len(list) == 0 || list[0].Name != table {
			t.Fatalf("%+v (%v)", list, err)
		}
		return list[0]
	}
	if m := due(); m.Waits != usage.WaitNothing || !m.Month.Equal(month(old.CreatedAt)) {
		t.Fatalf("%+v", m)
	}
	waits := func(on, off string, want usage.DueWait, whom string) {
		t.Helper()
		if _, err := s.db.Exec(on, old.PeriodID); err != nil {
			t.Fatal(err)
		}
		if m := due(); m.Waits != want || m.For != whom {
			t.Errorf("%+v, want to wait for %s %s", m, want, whom)
		}
		if names, err := s.DetachMonths(ctx); err != nil || slices.Contains(names, table) {
			t.Errorf("put aside all the same: %v (%v)", names, err)
		}
		if _, err := s.db.Exec(off, old.PeriodID); err != nil {
			t.Fatal(err)
		}
	}
	waits(`UPDATE billing_periods SET ends_at = now() + interval '1 day' WHERE id = $1`,
		`UPDATE billing_periods SET ends_at = starts_at + interval '2 days' WHERE id = $1`, usage.WaitPeriod, "")
	waits(`INSERT INTO replicas (name, life, spool_events, spool_age_ms, seen_at)
			SELECT 'lost', gen_random_uuid(), 3, 60000, starts_at + interval '1 day' FROM billing_periods WHERE id = $1`,
		`UPDATE replicas SET spool_events = 0, stopped_at = seen_at WHERE $1 > 0`, usage.WaitSpool, "lost")
	// It told of nothing, and was killed: what it recorded since, or has committed just now, is in its files all the same.
	waits(`INSERT INTO replicas (name, life, seen_at) SELECT 'killed', gen_random_uuid(), date_trunc('month', starts_at + interval '2 days') + interval '1 month'
			FROM billing_periods WHERE id = $1`,
		`UPDATE replicas SET seen_at = seen_at + interval '2 days' WHERE name = 'killed' AND $1 > 0`, usage.WaitSpool, "killed")
	if names, err := s.DetachMonths(ctx); err != nil || !slices.Contains(names, table) {
		t.Errorf("%v (%v), want %s", names, err, table)
	}
}

func TestDroppingAMonthNamesItAndIsForGood(t *testing.T) {
	s, _, table := agedShop(t)
	ctx := context.Background()
	if err := s.SetRetention(ctx, usage.Retention{Months: 6}); err != nil {
		t.Fatal(err)
	}
	if err := s.DropMonth(ctx, table); !fault.Is(err, fault.NotFound) {
		t.Fatalf("a month in use: %v", err)
	}
	if _, err := s.DetachMonths(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.DropMonth(ctx, "usage_hourly"); !fault.Is(err, fault.NotFound) {
		t.Fatalf("another table: %v", err)
	}
	if err := s.DropMonth(ctx, table); err != nil {
		t.Fatal(err)
	}
	if err := s.DropMonth(ctx, table); !fault.Is(err, fault.NotFound) {
		t.Fatalf("twice: %v", err)
	}
	kept, err := s.ArchivedMonths(ctx)
	if err != nil || len(kept) != 1 || kept[0].DroppedAt.IsZero() || kept[0].Bytes != 0 || kept[0].Rows != 1 {
		t.Fatalf("%+v (%v)", kept, err)
	}
	if n := s.count(t, `SELECT count(*) FROM audit_log WHERE action IN ('retention.change', 'retention.detach', 'retention.drop')`); n != 3 {
		t.Errorf("%d entries in the audit log, want 3", n)
	}
}

func TestARetentionIsForEverOrAtLeastTwoMonths(t *testing.T) {
	s := openShop(t, charging(1, 1))
	ctx := context.Background()
	for _, months := range []int{-1, 1, 1201} {
		if err := s.SetRetention(ctx, usage.Retention{Months: months}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%d months: %v", months, err)
		}
	}
	for _, months := range []int{0, 2, 1200, 0} {
		if err := s.SetRetention(ctx, usage.Retention{Months: months}); err != nil {
			t.Fatal(err)
		}
		if r, err := s.Retention(ctx); err != nil || r.Months != months {
			t.Errorf("%+v (%v), want %d", r, err, months)
		}
	}
}

// TestCommitsGoOnWhileMonthsArePutAsideAndMade puts a year aside and makes other months, with four replicas committing
// and somebody reading in a long transaction.
func TestCommitsGoOnWhileMonthsArePutAsideAndMade(t *testing.T) {
	s, _, _ := agedShop(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.SetRetention(ctx, usage.Retention{Months: 2}); err != nil {
		t.Fatal(err)
	}
	var replicas sync.WaitGroup
	stop := make(chan struct{})
	var longest [4]time.Duration
	for i := range longest {
		replicas.Go(func() {
			c := s.UsageCommitter("r", func(Committed) {})
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				began := time.Now()
				if err := c.CommitUsage(ctx, []usage.Event{s.call(1, 1)}); err != nil {
					t.Error(err)
					return
				}
				longest[i] = max(longest[i], time.Since(began))
			}
		})
	}
	reader, err := s.db.Beginx()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Exec(`SELECT count(*) FROM usage_events`); err != nil {
		t.Fatal(err)
	}
	// A page that is open for ever keeps the lock from us, and us from stopping the calls.
	if names, err := s.DetachMonths(ctx); !errors.Is(err, ErrBusy) || len(names) != 0 {
		t.Errorf("%v (%v), want ErrBusy", names, err)
	}
	if err := reader.Rollback(); err != nil {
		t.Fatal(err)
	}
	names, err := s.DetachMonths(ctx)
	if err != nil || len(names) < 4 {
		t.Errorf("%v were put aside (%v)", names, err)
	}
	if err := s.EnsurePartitions(ctx, time.Now().AddDate(1, 0, 0), time.Now().AddDate(1, 6, 0)); err != nil {
		t.Error(err)
	}
	close(stop)
	replicas.Wait()
	s.clean(t, usage.AuditScope{})
	t.Logf("the longest commits took %v", longest)
	if total := s.count(t, `SELECT sum(requests) FROM usage_hourly`); total < 10 {
		t.Errorf("%d calls were committed meanwhile", total)
	}
}
