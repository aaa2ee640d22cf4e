package migrations_test

import (
	"context"
	"strings"
	"testing"

	"github.com/fila-ia/filaia/migrations"
	"github.com/fila-ia/filaia/store/storetest"
)

// Of the last weeks, what callers brought on themselves is found among the calls and put apart, in hours that are folded and in
// those that are not. Older hours stay as they are, and going back leaves sums that work.
func TestCallersOwnErrorsOfTheLastWeeksArePutApart(t *testing.T) {
	db := storetest.Open(t)
	ctx := context.Background()
	downBelow(t, db.DB, 15)
	fold := func() {
		t.Helper()
		for more := true; more; {
			if err := db.Get(&more, `SELECT usage_fold(now())`); err != nil {
				t.Fatal(err)
			}
		}
	}
	// Each hour has two calls of each kind; the second customer's hour is not folded yet.
	db.MustExec(`INSERT INTO usage_events (id, created_at, tenant_id, key_id, period_id, model, endpoint, status, http_status, streamed, estimated,
			input_tokens, cached_tokens, output_tokens, reasoning_tokens, cost_usd_micros, latency_ms, first_byte_ms, request_id)
		SELECT gen_random_uuid(), at, tenant, 1, 1, 'm', 'e', CASE code WHEN 200 THEN 'ok' ELSE 'error' END, code, false, false, 0, 0, 0, 0, 0, 1, 1, 'r'
		FROM (VALUES (now() - interval '40 days', 1), (now() - interval '9 days', 1), (now(), 2)) h (at, tenant), unnest('{200,400,404,429,503}'::smallint[]) code, generate_series(1, 2)`)
	db.MustExec(`INSERT INTO usage_hourly (hour, tenant_id, key_id, period_id, model, requests, failures, input_tokens, cached_tokens, output_tokens, reasoning_tokens,
			cost_usd_micros, charge_brl_micros, cache_lookups, cache_hits, served_input, served_output, saved_usd_micros)
		SELECT date_bin('1 hour', created_at, 'epoch'), tenant_id, 1, 1, 'm', count(*), count(*) FILTER (WHERE status = 'error'), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
		FROM usage_events GROUP BY 1, 2`)
	fold()
	if err := migrations.Up(ctx, db.DB); err != nil {
		t.Fatal(err)
	}
	want := func(query, text string) {
		t.Helper()
		var got string
		if err := db.Get(&got, query); err != nil || got != text {
			t.Errorf("%s: %q (%v), want %q", query, got, err, text)
		}
	}
	const sums = `SELECT coalesce(string_agg(failures || '/' || caller_errors, ' ' ORDER BY `
	want(sums+`hour), '') FROM usage_hourly`, "8/0 8/4 8/4")
	want(sums+`hour), '') FROM usage_hours`, "8/0 8/4")
	want(sums+`hour), '') FROM usage_tenant_hours`, "8/0 8/4")
	want(sums+`day), '') FROM usage_tenant_days`, "8/0 8/4")
	want(sums+`day), '') FROM usage_key_days`, "8/0 8/4")
	want(`SELECT (callers_since > now())::text FROM usage_folded`, "true")

	downBelow(t, db.DB, 15)
	var kept string
	if err := db.Get(&kept, `SELECT string_agg(prosrc, '') FROM pg_proc WHERE pronamespace = 'public'::regnamespace`); err != nil || strings.Contains(kept, "caller_errors") {
		t.Errorf("functions know of what is gone (%v)", err)
	}
	db.MustExec(`UPDATE usage_hourly SET failures = failures + 1, requests = requests + 1`) // by a replica that goes on
	want(`SELECT string_agg(failures::text, ' ' ORDER BY hour) FROM usage_hours`, "9 9")
}

// Where nothing was used before, hours are held to their calls from the first on.
func TestANewInstallationCountsCallersOwnErrorsFromTheBeginning(t *testing.T) {
	db := storetest.Open(t)
	var always bool
	if err := db.Get(&always, `SELECT callers_since = '-infinity' FROM usage_folded`); err != nil || !always {
		t.Errorf("%v, %v", always, err)
	}
}
