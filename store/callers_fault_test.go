package store

import (
	"context"
	"testing"

	"github.com/fila-ia/filaia/internal/usage"
	"github.com/fila-ia/filaia/store/storetest"
)

// failing is a call that ended with a status.
func (s *shop) failing(status usage.Status, code int) usage.Event {
	e := s.call(0, 0)
	e.Status, e.HTTPStatus, e.Served = status, code, usage.Tokens{}
	return e
}

func TestTheDatabaseBlamesCallersForTheSameAsTheProgram(t *testing.T) {
	db := storetest.Open(t)
	var rows []struct {
		Status string `db:"status"`
		Code   int    `db:"code"`
		Own    bool   `db:"own"`
	}
	const query = `SELECT status, code, usage_callers_fault(status, code::smallint) AS own
		FROM unnest('{ok,error,aborted,interrupted}'::text[]) status, generate_series(0, 599) code`
	if err := db.Select(&rows, query); err != nil {
		t.Fatal(err)
	}
	if len(rows) != 4*600 {
		t.Fatalf("%d rows", len(rows))
	}
	for _, r := range rows {
		for s := usage.OK; s <= usage.Interrupted; s++ {
			if e := (&usage.Event{Status: s, HTTPStatus: r.Code}); s.String() == r.Status && e.CallersFault() != r.Own {
				t.Errorf("%s %d: the database says %v", r.Status, r.Code, r.Own)
			}
		}
	}
}

// Calls that their callers spoiled are told apart wherever calls are summed, before and after hours are folded, and the books agree.
func TestWhatCallersSpoilIsCountedApart(t *testing.T) {
	s := openShop(t, charging(1000, 1000))
	ctx := context.Background()
	s.commit(t, s.call(10, 1), s.failing(usage.Failed, 400), s.failing(usage.Failed, 404), s.failing(usage.Failed, 429), s.failing(usage.Failed, 503),
		s.failing(usage.Interrupted, 0), s.failing(usage.Aborted, 200))
	check := func(when string) {
		t.Helper()
		hours, err := s.UsageHours(ctx, 0, around(s.now()))
		own, ownErr := s.ForTenant(s.tenant.ID).UsageHours(ctx, around(s.now()))
		minutes, minutesErr := s.UsageMinutes(ctx, s.tenant.ID, around(s.now()))
		current, currentErr := s.CurrentUsage(ctx, s.tenant.ID)
		models, modelsErr := s.ForTenant(s.tenant.ID).UsageByModel(ctx, around(s.now()))
		for _, err := range []error{err, ownErr, minutesErr, currentErr, modelsErr} {
			if err != nil {
				t.Fatal(err)
			}
		}
		totals := map[string]usage.Totals{"period": current.Totals}
		for name, points := range map[string][]usage.Point{"hours": hours, "the customer's hours": own, "minutes": minutes} {
			for _, p := range points {
				totals[name] = totals[name].Add(p.Totals)
			}
		}
		for _, m := range models {
			totals["models"] = totals["models"].Add(m.Totals)
		}
		if len(totals) != 5 {
			t.Fatalf("%s: %d sums", when, len(totals))
		}
		for name, got := range totals {
			if got.Requests != 7 || got.Failures != 3 || got.CallerErrors != 2 {
				t.Errorf("%s, %s: %d calls, %d failures, %d callers' own errors; want 7, 3, 2", when, name, got.Requests, got.Failures, got.CallerErrors)
			}
		}
		s.foldedAgrees(t)
		s.audit(t)
	}
	check("as committed")
	s.sql(t, `UPDATE usage_hourly SET hour = hour - interval '3 days'`)
	s.sql(t, `UPDATE usage_events SET created_at = created_at - interval '3 days'`)
	if err := s.FoldUsage(ctx); err != nil {
		t.Fatal(err)
	}
	s.sql(t, `UPDATE usage_hourly SET caller_errors = caller_errors + 5`)
	var folded int64
	const query = `SELECT (SELECT sum(caller_errors) FROM usage_hours) + (SELECT sum(caller_errors) FROM usage_tenant_hours) + (SELECT sum(caller_errors) FROM usage_tenant_days)
		+ (SELECT sum(caller_errors) FROM usage_key_days)`
	if err := s.db.Get(&folded, query); err != nil || folded != 28 {
		t.Errorf("what is folded has %d callers' own errors (%v), want four times seven", folded, err)
	}
}
