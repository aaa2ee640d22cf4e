package migrations_test

import (
	"context"
	"testing"

	"github.com/fila-ia/filaia/migrations"
	"github.com/fila-ia/filaia/store/storetest"
)

// What was told of a second limit has no place where each threshold of a period is told once, and what waits to tell of nothing else is cancelled.
// The highest leads there, though it is over.
func TestRoundsOfAlertsGoAndWhatGoesOnLeads(t *testing.T) {
	db := storetest.Open(t).DB
	ctx := context.Background()
	for _, statement := range []string{
		`INSERT INTO alert_events (group_id, lead, rule_id, audience, metric, unit, subject, period, threshold, round, value, raised_at)
			SELECT ('00000000-0000-0000-0000-00000000000' || n)::uuid, true, (SELECT min(id) FROM alert_rules), 'operator', 'input_quota', 'percent', 'subscription:1', '2026-11-01', 8000, n, 1, now()
			FROM generate_series(0, 1) AS n`,
		`INSERT INTO alert_events (group_id, lead, rule_id, audience, metric, unit, subject, period, threshold, value, raised_at, resolved_at)
			SELECT '00000000-0000-0000-0000-000000000009', n = 1, (SELECT min(id) FROM alert_rules), 'operator', 'error_rate', 'percent', 'installation', '2026-11-01', 100 * n, 1, now(), CASE n WHEN 2 THEN now() END
			FROM generate_series(1, 2) AS n`,
		`INSERT INTO deliveries (batch, kind, audience, channel, recipient, language, event_ids, due_at, created_at)
			SELECT 'held:' || round, 'digest', 'operator', 'email', 'a@x.com', 'en', CASE round WHEN 0 THEN (SELECT array_agg(id) FROM alert_events) ELSE ARRAY[id] END, now(), now()
			FROM alert_events WHERE metric = 'input_quota'`,
	} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	state := func() (text string) {
		t.Helper()
		const query = `SELECT (SELECT count(*) || ' alerts, leading ' || string_agg(threshold::text, ' ' ORDER BY metric, threshold) FILTER (WHERE lead) FROM alert_events) || ', waiting '
			|| (SELECT string_agg(batch, ' ' ORDER BY id) FROM deliveries WHERE state = 'pending')`
		if err := db.QueryRow(query).Scan(&text); err != nil {
			t.Fatal(err)
		}
		return text
	}
	if got := state(); got != "4 alerts, leading 100 8000 8000, waiting held:0 held:1" {
		t.Fatal(got)
	}
	downTo(t, db, 17)
	if got := state(); got != "3 alerts, leading 200 8000, waiting held:0" {
		t.Errorf("before rounds: %s", got)
	}
	if err := migrations.Up(ctx, db); err != nil {
		t.Fatal(err)
	}
	if got := state(); got != "3 alerts, leading 100 8000, waiting held:0" {
		t.Errorf("with rounds again: %s", got)
	}
}
