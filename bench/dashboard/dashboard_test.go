package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"
)

// small is a world that is made in seconds.
func small() world {
	return world{events: 6000, tenants: 40, keys: 120, days: 70}
}

func TestMadeUpDataAgreeAndEveryReadIsPrinted(t *testing.T) {
	ctx, w := context.Background(), small()
	db, err := open(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.close(); err != nil {
			t.Error(err)
		}
	})
	quiet := func(string, ...any) {}
	if _, err := w.load(ctx, db.sql, quiet); err != nil {
		t.Fatal(err)
	}
	for name, check := range map[string]string{
		"every event is there":    `SELECT count(*) = 6000 AND count(DISTINCT id) = 6000 FROM usage_events`,
		"none fell into no month": `SELECT count(*) = 0 FROM usage_events_default`,
		"an id's time is the event's": `SELECT count(*) = 0 FROM usage_events
			WHERE ('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint <> (extract(epoch FROM created_at) * 1000)::bigint`,
		"events lie in their periods": `SELECT count(*) = 0 FROM usage_events e LEFT JOIN billing_periods p ON p.id = e.period_id AND p.tenant_id = e.tenant_id
			AND e.created_at >= p.starts_at AND e.created_at < p.ends_at WHERE p.id IS NULL`,
		"keys are their tenants'": `SELECT count(*) = 0 FROM usage_events e LEFT JOIN api_keys k ON k.id = e.key_id AND k.tenant_id = e.tenant_id WHERE k.id IS NULL`,
		"hours are the events'": `SELECT count(*) = 0 FROM (
			SELECT date_trunc('hour', created_at), tenant_id, key_id, period_id, model, count(*), sum(input_tokens), sum(output_tokens), sum(served_input),
				sum(cost_usd_micros), sum(saved_usd_micros) FROM usage_events GROUP BY 1, 2, 3, 4, 5
			EXCEPT SELECT hour, tenant_id, key_id, period_id, model, requests, input_tokens, output_tokens, served_input, cost_usd_micros, saved_usd_micros
				FROM usage_hourly) d`,
		"there are no other hours":  `SELECT (SELECT sum(requests) FROM usage_hourly) = 6000`,
		"buckets are the events'":   `SELECT count(*) = 0 FROM quota_buckets b WHERE used_in <> (SELECT coalesce(sum(input_tokens), 0) FROM usage_events WHERE period_id = b.period_id)`,
		"all but an hour is folded": `SELECT (SELECT sum(requests) FROM usage_hours) = (SELECT sum(requests) FROM usage_hourly, usage_folded WHERE hour < until) AND (SELECT sum(requests) FROM usage_hours) > 5900`,
		"days are the hours'": `SELECT (SELECT sum(requests) FROM usage_key_days) = (SELECT sum(requests) FROM usage_tenant_days)
			AND (SELECT sum(requests) FROM usage_key_days) > 5800`,
		"odd tenants are odd": `SELECT (SELECT count(*) BETWEEN 1 AND 20 FROM usage_events WHERE tenant_id = 38)
			AND (SELECT count(*) = 1 FROM usage_events WHERE tenant_id = 39) AND NOT EXISTS (SELECT FROM usage_events WHERE tenant_id = 40)`,
		"the largest is large": `SELECT count(*) > 1500 FROM usage_events WHERE tenant_id = 1`,
		"refusals are there":   `SELECT count(*) = 120 FROM refusals`,
	} {
		var holds bool
		if err := db.sql.QueryRowContext(ctx, check).Scan(&holds); err != nil || !holds {
			t.Errorf("%s: no (%v)", name, err)
		}
	}
	again := small()
	if took, err := again.load(ctx, db.sql, quiet); err != nil || took != 0 || !again.end.Equal(w.end) {
		t.Errorf("a second run made the data again: %v, %v", took, err)
	}
	other := world{events: 7000}
	if _, err := other.load(ctx, db.sql, quiet); err == nil {
		t.Error("a folder with other data is taken for ours")
	}

	r := report{World: w, Loading: time.Second}
	if r.Sizes, r.Settings, err = describe(ctx, db.sql); err != nil {
		t.Fatal(err)
	}
	if err := r.readWarm(ctx, db, w, 1); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := r.print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"calls, first page", "portal of tenant without calls: keys of the period", "jit off", "usage_hourly", "6000 events of 40 tenants"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, &out)
		}
	}
}

func TestPrintTellsWhatMissedTheTarget(t *testing.T) {
	r := report{Figures: []figure{
		{Name: "slow", Median: target, P95: target, Max: target, CPU: target}, {Name: "quick", Median: target - 1, P95: target, Max: 2 * target, Cold: target},
	}}
	var out bytes.Buffer
	if err := r.print(&out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	if !strings.HasSuffix(lines[1], "MISSED slow") || !strings.HasSuffix(lines[2], "ok quick") || !strings.Contains(out.String(), `2 reads, 1 at or above`) {
		t.Errorf("got\n%s", &out)
	}
}
