package store

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/usage"
)

// at makes a call of the shop's key at some time.
func (s *shop) at(when time.Time, in, out int64) usage.Event {
	e := s.call(in, out)
	ms := when.UnixMilli()
	for i := range 6 { // a UUIDv7 begins with its time
		e.ID[i] = byte(ms >> (40 - 8*i))
	}
	e.CreatedAt = time.UnixMilli(ms).UTC()
	return e
}

// next opens the shop's period that holds a later time.
func (s *shop) next(t *testing.T, now time.Time) *shop {
	t.Helper()
	var hash []byte
	if err := s.db.Get(&hash, `SELECT hash FROM api_keys WHERE id = $1`, s.key.ID); err != nil {
		t.Fatal(err)
	}
	later := New(s.DB(), func() time.Time { return now })
	caller, err := later.CallerByHash(t.Context(), [32]byte(hash))
	if err != nil {
		t.Fatal(err)
	}
	if caller.PeriodID == s.caller.PeriodID {
		t.Fatal("the period is the same")
	}
	return &shop{Store: later, tenant: s.tenant, key: s.key, caller: caller}
}

func TestALateEventGoesToThePeriodAndTheHourOfItsCall(t *testing.T) {
	s := openShop(t, charging(100, 100))
	ended := s.caller.PeriodEndsAt
	next := s.next(t, ended.Add(time.Hour))
	late, fresh := s.at(ended.Add(-30*time.Second), 130, 3), next.at(ended.Add(30*time.Minute), 7, 5)
	if err := next.committer().CommitUsage(t.Context(), []usage.Event{fresh, late}); err != nil {
		t.Fatal(err)
	}
	if b := s.bucket(t); b.UsedIn != 130 || b.UsedOut != 3 {
		t.Errorf("the ended period: %+v", b)
	}
	if b := next.bucket(t); b.UsedIn != 7 || b.UsedOut != 5 {
		t.Errorf("the period of now: %+v", b)
	}
	for _, want := range []struct {
		usage.Event
		charge int64
	}{{late, 3000}, {fresh, 0}} {
		var in, charge int64
		const hour = `SELECT input_tokens, charge_brl_micros FROM usage_hourly WHERE hour = $1 AND period_id = $2`
		if err := s.db.QueryRow(hour, want.CreatedAt.Truncate(time.Hour), want.PeriodID).Scan(&in, &charge); err != nil {
			t.Fatal(err)
		}
		if in != want.Tokens.Input || charge != want.charge {
			t.Errorf("the hour of %s: %d tokens, %d micros", want.CreatedAt, in, charge)
		}
	}
	s.audit(t)
}

func TestAnEventOfAMonthWithoutAPartitionIsKeptAndStaysCountedOnce(t *testing.T) {
	s := openShop(t, charging(1000, 1000))
	ctx, c := context.Background(), s.committer()
	when := time.Date(2031, 5, 31, 23, 59, 59, 999_000_000, time.UTC)
	events := []usage.Event{s.at(when, 10, 1), s.at(when.Add(time.Second), 20, 2), s.call(40, 4)}
	place := func(id uuid.UUID) (table string) {
		if err := s.db.Get(&table, `SELECT tableoid::regclass::text FROM usage_events WHERE id = $1`, id); err != nil {
			t.Fatal(err)
		}
		return table
	}
	if err := c.CommitUsage(ctx, events); err != nil {
		t.Fatal(err)
	}
	if got := place(events[0].ID); got != "usage_events_default" {
		t.Errorf("in %s", got)
	}
	if err := s.EnsurePartitions(ctx, when, when.AddDate(0, 0, 1)); err != nil {
		t.Fatal(err)
	}
	if err := c.CommitUsage(ctx, events); err != nil { // it comes again when the row has moved
		t.Fatal(err)
	}
	if got := place(events[0].ID); got != "usage_events_2031_05" {
		t.Errorf("in %s", got)
	}
	if got := place(events[1].ID); got != "usage_events_2031_06" {
		t.Errorf("in %s", got)
	}
	if b := s.bucket(t); b.UsedIn != 70 || b.UsedOut != 7 {
		t.Errorf("used %d and %d, want 70 and 7", b.UsedIn, b.UsedOut)
	}
	s.audit(t)
}

// TestACopyThatHangsEndsWithItsContext: lib/pq itself would wait until the table is free.
func TestACopyThatHangsEndsWithItsContext(t *testing.T) {
	s := openServing(t, charging(1000, 1000))
	batch := []usage.Event{s.call(10, 1)}
	if err := s.EnsurePartitions(t.Context(), batch[0].CreatedAt, batch[0].CreatedAt); err != nil {
		t.Fatal(err)
	}
	hold, err := s.db.Beginx()
	if err != nil {
		t.Fatal(err)
	}
	defer hold.Rollback() //nolint:errcheck // after a commit it does nothing
	hold.MustExec(`LOCK TABLE usage_events_` + batch[0].CreatedAt.Format("2006_01") + ` IN ACCESS EXCLUSIVE MODE`)
	c := s.committer()
	err = ends(t, "the commit", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		return c.CommitUsage(ctx, batch)
	})
	if err == nil {
		t.Fatal("it succeeds")
	}
	if err := hold.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := ends(t, "the next commit", func() error { return c.CommitUsage(t.Context(), batch) }); err != nil {
		t.Fatal(err)
	}
	if b := s.bucket(t); b.UsedIn != 10 {
		t.Fatalf("used %d, want 10", b.UsedIn)
	}
	s.audit(t)
}
