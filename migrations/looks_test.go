package migrations_test

import (
	"context"
	"testing"

	"github.com/fila-ia/filaia/migrations"
	"github.com/fila-ia/filaia/store/storetest"
)

// What leads is the highest that goes on; before that it was the highest, though it is over.
func TestWhatGoesOnLeads(t *testing.T) {
	db := storetest.Open(t).DB
	if _, err := db.Exec(`INSERT INTO alert_events (group_id, lead, rule_id, audience, metric, unit, subject, period, threshold, value, raised_at, resolved_at)
		SELECT '00000000-0000-0000-0000-000000000009', n = 1, (SELECT min(id) FROM alert_rules), 'operator', 'error_rate', 'percent', 'installation', '2026-11-01', 100 * n, 1,
			now(), CASE n WHEN 2 THEN now() END FROM generate_series(1, 2) AS n`); err != nil {
		t.Fatal(err)
	}
	leads := func(want string) {
		t.Helper()
		var got string
		if err := db.QueryRow(`SELECT string_agg(threshold::text, ' ' ORDER BY threshold) FILTER (WHERE lead) FROM alert_events`).Scan(&got); err != nil || got != want {
			t.Fatalf("leading %s, %v; want %s", got, err, want)
		}
	}
	leads("100")
	downTo(t, db, 17)
	leads("200")
	if err := migrations.Up(context.Background(), db); err != nil {
		t.Fatal(err)
	}
	leads("100")
}
