package migrations_test

import (
	"context"
	"testing"

	"github.com/fila-ia/filaia/migrations"
	"github.com/fila-ia/filaia/store/storetest"
)

// Hours from before there were sums of them are left to be folded a day at a time, while replicas of the version before go
// on writing; what they write of hours that are folded is added.
func TestHoursFromBeforeTheRollupsAreFolded(t *testing.T) {
	db := storetest.Open(t)
	ctx := context.Background()
	downBelow(t, db.DB, 8)
	db.MustExec(`INSERT INTO usage_hourly (hour, tenant_id, key_id, period_id, model, requests, failures, input_tokens, cached_tokens, output_tokens,
			reasoning_tokens, cost_usd_micros, charge_brl_micros)
		SELECT date_trunc('hour', now()) - h * interval '1 hour', 1 + h % 2, 1, 1, 'm', 1, 0, 120, 0, 34, 0, 5, 0 FROM generate_series(0, 71) AS h`)
	if err := migrations.Up(ctx, db.DB); err != nil {
		t.Fatal(err)
	}
	agree := func(when string) {
		t.Helper()
		var wrong int
		const query = `WITH mark AS (SELECT until, date_trunc('day', until, 'UTC') AS day FROM usage_folded),
			want AS (SELECT sum(requests) FILTER (WHERE hour < until) AS hours, sum(requests) FILTER (WHERE hour < day) AS days FROM usage_hourly, mark)
			SELECT count(*) FROM want WHERE hours < 69 OR hours IS DISTINCT FROM (SELECT sum(requests) FROM usage_hours)
				OR hours IS DISTINCT FROM (SELECT sum(requests) FROM usage_tenant_hours)
				OR days IS DISTINCT FROM (SELECT sum(requests) FROM usage_tenant_days) OR days IS DISTINCT FROM (SELECT sum(requests) FROM usage_key_days)`
		if err := db.Get(&wrong, query); err != nil || wrong != 0 {
			t.Errorf("%s: the sums do not agree with the hours (%v)", when, err)
		}
	}
	var folded int
	if err := db.Get(&folded, `SELECT count(*) FROM usage_hours`); err != nil || folded != 0 {
		t.Errorf("the migration folds %d hours (%v), for which commits wait", folded, err)
	}
	for more := true; more; {
		if err := db.Get(&more, `SELECT usage_fold(now())`); err != nil {
			t.Fatal(err)
		}
	}
	agree("when all is folded")
	db.MustExec(`UPDATE usage_hourly SET requests = requests + 1, input_tokens = input_tokens + 7`)
	agree("after a late commit")
}
