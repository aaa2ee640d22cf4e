package migrations_test

import (
	"context"
	"database/sql"
	"os"
	"strings"
	"testing"

	"github.com/fila-ia/filaia/migrations"
	"github.com/fila-ia/filaia/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Run(m)) }

// shape lists every table, column, constraint, index, function, trigger and policy that is ours.
func shape(t *testing.T, db *sql.DB) string {
	t.Helper()
	const query = `SELECT string_agg(line, E'\n' ORDER BY line) FROM (
		SELECT format('column %s.%s %s %s %s', table_name, column_name, data_type, is_nullable, column_default) AS line
			FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'goose_db_version'
		UNION ALL SELECT format('constraint %s %s', conrelid::regclass, pg_get_constraintdef(oid)) FROM pg_constraint
			WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'goose_db_version'
		UNION ALL SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'goose_db_version'
		UNION ALL SELECT 'function ' || proname || prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace
		UNION ALL SELECT 'trigger ' || pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
		UNION ALL SELECT format('policy %s %s %s', tablename, policyname, qual) FROM pg_policies
	) AS all_lines`
	var text sql.NullString
	if err := db.QueryRow(query).Scan(&text); err != nil {
		t.Fatal(err)
	}
	return text.String
}

func TestEveryMigrationGoesDownAndUpAgain(t *testing.T) {
	db := storetest.Open(t).DB
	ctx := context.Background()
	states, err := migrations.Status(ctx, db)
	if err != nil {
		t.Fatal(err)
	}
	before := shape(t, db)
	if !strings.Contains(before, "usage_events") {
		t.Fatal("the schema is not there")
	}
	for range states {
		if err := migrations.Down(ctx, db); err != nil {
			t.Fatal(err)
		}
	}
	if left := shape(t, db); left != "" {
		t.Fatalf("left after all were undone:\n%s", left)
	}
	if err := migrations.Up(ctx, db); err != nil {
		t.Fatal(err)
	}
	if after := shape(t, db); after != before {
		t.Fatalf("another schema after down and up:\n%s\n---\n%s", before, after)
	}
	var plans, models int
	if err := db.QueryRow(`SELECT (SELECT count(*) FROM plan_versions), (SELECT count(*) FROM models)`).Scan(&plans, &models); err != nil {
		t.Fatal(err)
	}
	if plans != 3 || models < 3 {
		t.Fatalf("%d plans and %d models in a new installation's catalogue", plans, models)
	}
}

func TestPublishedTermsNeverChange(t *testing.T) {
	db := storetest.Open(t).DB
	for _, statement := range []string{
		`UPDATE plan_versions SET price_micros = 1`, `DELETE FROM plan_versions`, `UPDATE plan_versions SET published_at = NULL`,
	} {
		if _, err := db.Exec(statement); err == nil {
			t.Errorf("accepted: %s", statement)
		}
	}
}

// What was used before there was a cache was served as it was billed, also in a month's partition.
func TestUsageFromBeforeTheCacheWasServedAsItWasBilled(t *testing.T) {
	db := storetest.Open(t).DB
	ctx := context.Background()
	downTo(t, db, 4)
	for _, statement := range []string{
		`CREATE TABLE usage_events_2026_10 PARTITION OF usage_events FOR VALUES FROM ('2026-10-01') TO ('2026-11-01')`,
		`INSERT INTO usage_events (id, created_at, tenant_id, key_id, period_id, model, endpoint, status, http_status, streamed, estimated,
			input_tokens, cached_tokens, output_tokens, reasoning_tokens, cost_usd_micros, latency_ms, first_byte_ms, request_id)
			SELECT gen_random_uuid(), at::timestamptz, 1, 1, 1, 'm', 'e', 'ok', 200, false, false, 120, 0, 34, 0, 1, 1, 1, 'r'
			FROM unnest(ARRAY['2026-10-05', '2031-01-01']) AS at`,
		`INSERT INTO usage_hourly VALUES ('2026-10-05', 1, 1, 1, 'm', 1, 0, 120, 0, 34, 0, 1, 0)`,
	} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := migrations.Up(ctx, db); err != nil {
		t.Fatal(err)
	}
	var events, hours int
	const query = `SELECT (SELECT count(*) FROM usage_events WHERE served_input = 120 AND served_output = 34 AND cache = 'bypass'),
		(SELECT count(*) FROM usage_hourly WHERE served_input = 120 AND served_output = 34 AND cache_lookups = 0)`
	if err := db.QueryRow(query).Scan(&events, &hours); err != nil || events != 2 || hours != 1 {
		t.Errorf("%d events and %d hours (%v), want 2 and 1", events, hours, err)
	}
}

// downTo undoes migrations until version is the newest.
func downTo(t *testing.T, db *sql.DB, version int64) {
	t.Helper()
	ctx := context.Background()
	states, err := migrations.Status(ctx, db)
	if err != nil {
		t.Fatal(err)
	}
	for i := len(states) - 1; states[i].Version > version; i-- {
		if err := migrations.Down(ctx, db); err != nil {
			t.Fatal(err)
		}
	}
}
