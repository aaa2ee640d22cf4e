package store

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/fila-ia/filaia/internal/demo"
	"github.com/fila-ia/filaia/internal/usage"
	"github.com/fila-ia/filaia/store/storetest"
)

// rowsRead tells how many rows of a table were read so far, by indexes and without, and how often it was looked into.
func rowsRead(t *testing.T, db *sqlx.DB, table string) (rows, looks int64) {
	t.Helper()
	if _, err := db.Exec(`SELECT pg_stat_force_next_flush()`); err != nil {
		t.Fatal(err)
	}
	const query = `SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0), coalesce(seq_scan, 0) + coalesce(idx_scan, 0)
		FROM pg_stat_user_tables WHERE relname = $1`
	if err := db.QueryRow(query, table).Scan(&rows, &looks); err != nil {
		t.Fatal(err)
	}
	return rows, looks
}

// However long an installation has run, pages read what is new and what is folded.
func TestPagesReadNeitherOldMonthsNorHoursThatAreFolded(t *testing.T) {
	db := storetest.Open(t)
	db.SetMaxOpenConns(1) // one connection, whose statistics we can ask it to publish
	now := time.Now()
	s := New(db.DB, func() time.Time { return now })
	zone, err := time.LoadLocation("America/Sao_Paulo")
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	if _, err := demo.Seed(ctx, s, plainHasher{}, now, zone); err != nil {
		t.Fatal(err)
	}
	if err := s.FoldUsage(ctx); err != nil {
		t.Fatal(err)
	}
	db.MustExec(`ANALYZE`)
	var busiest int64
	if err := db.Get(&busiest, `SELECT tenant_id FROM usage_hourly GROUP BY 1 ORDER BY sum(requests) DESC LIMIT 1`); err != nil {
		t.Fatal(err)
	}
	own := s.ForTenant(busiest)
	sixty := usage.LastDays(now, 60, zone)
	old := "usage_events_" + now.AddDate(0, 0, -80).UTC().Format("2006_01")
	var inOld, recent int64
	if err := db.Get(&inOld, `SELECT count(*) FROM `+old); err != nil || inOld == 0 {
		t.Fatalf("%d calls in %s (%v)", inOld, old, err)
	}
	// Of single hours only a span's edges are read: less than two days before it and after.
	if err := db.Get(&recent, `SELECT count(*) FROM usage_hourly WHERE hour >= $1`, now.Add(-3*time.Hour)); err != nil {
		t.Fatal(err)
	}
	edges := func(tenant int64) (n int64) {
		t.Helper()
		const query = `SELECT count(*) FROM usage_hourly WHERE tenant_id = $1 AND (hour >= $2 OR hour BETWEEN $3 AND $4)`
		if err := db.Get(&n, query, tenant, now.Add(-48*time.Hour), sixty.Start, sixty.Start.Add(24*time.Hour)); err != nil {
			t.Fatal(err)
		}
		return n
	}(busiest)

	for _, c := range []struct {
		name string
		most int64 // rows of usage_hourly
		read func() error
	}{
		{"calls", 0, func() error { _, err := s.Calls(ctx, 0, uuid.Nil, 51); return err }},
		{"calls of one", 0, func() error { _, err := s.Calls(ctx, busiest, uuid.Nil, 51); return err }},
		{"own calls", 0, func() error { _, err := own.Calls(ctx, uuid.Nil, 51); return err }},
		{"latency", 0, func() error { _, err := s.Latency(ctx, 0); return err }},
		{"own latency", 0, func() error { _, err := own.Latency(ctx); return err }},
		{"hours", recent, func() error { _, err := s.UsageHours(ctx, 0, sixty); return err }},
		{"own hours", recent, func() error { _, err := own.UsageHours(ctx, sixty); return err }},
		{"top tenants", recent, func() error { _, _, err := s.UsageByTenant(ctx, sixty, 10); return err }},
		{"keys", edges, func() error { _, err := s.UsageByKey(ctx, busiest, sixty); return err }},
		{"own models", edges, func() error { _, err := own.UsageByModel(ctx, sixty); return err }},
	} {
		_, looksBefore := rowsRead(t, db, old)
		rowsBefore, _ := rowsRead(t, db, "usage_hourly")
		if err := c.read(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if _, looks := rowsRead(t, db, old); looks != looksBefore {
			t.Errorf("%s looks into %s", c.name, old)
		}
		if rows, _ := rowsRead(t, db, "usage_hourly"); rows-rowsBefore > c.most {
			t.Errorf("%s reads %d single hours, want at most %d", c.name, rows-rowsBefore, c.most)
		}
	}
}

// A page that finds too few of the newest calls looks further back, and a tenant without any has an empty page.
func TestCallsAreFoundHoweverOldTheyAre(t *testing.T) {
	s := openShop(t, charging(1000, 1000))
	ctx := context.Background()
	none := secondShop(t, s, "Sem chamadas")
	year := 365 * 24 * time.Hour
	s.commit(t, earlier(s.call(1, 1), year), earlier(s.call(2, 1), year+time.Hour), earlier(s.call(3, 1), 40*24*time.Hour), s.call(4, 1))
	for _, c := range []struct {
		before uuid.UUID
		limit  int
		want   []int64
	}{
		{uuid.Nil, 1, []int64{4}}, {uuid.Nil, 3, []int64{4, 3, 1}}, {uuid.Nil, 9, []int64{4, 3, 1, 2}},
		{earlier(s.call(0, 0), year-time.Hour).ID, 2, []int64{1, 2}}, {uuid.UUID{5: 1}, 2, nil},
	} {
		calls, err := s.Calls(ctx, s.tenant.ID, c.before, c.limit)
		if err != nil || len(calls) != len(c.want) {
			t.Fatalf("%d before %v: %+v (%v), want %v", c.limit, c.before, calls, err, c.want)
		}
		for i, want := range c.want {
			if calls[i].Tokens.Input != want {
				t.Errorf("%d before %v: call %d is %d, want %v", c.limit, c.before, i, calls[i].Tokens.Input, c.want)
			}
		}
	}
	if calls, err := s.Calls(ctx, none.tenant.ID, uuid.Nil, 5); err != nil || len(calls) != 0 {
		t.Errorf("of a tenant without calls: %+v (%v)", calls, err)
	}
}
