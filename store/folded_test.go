package store

import (
	"context"
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fila-ia/filaia/internal/usage"
)

// foldedBooks are the sums of each table that usage is folded into, beside those of usage_hourly up to the mark.
const foldedBooks = `WITH mark AS (SELECT until, date_trunc('day', until, 'UTC') AS day FROM usage_folded),
	hourly AS (SELECT h.* FROM usage_hourly h, mark WHERE hour < mark.until),
	daily AS (SELECT h.* FROM usage_hourly h, mark WHERE hour < mark.day)
	SELECT (SELECT count(*) FROM (
		(SELECT hour, sum(requests) AS r, sum(input_tokens + 3 * output_tokens + 5 * failures + 7 * cost_usd_micros + 11 * charge_brl_micros) AS s FROM hourly GROUP BY 1
			EXCEPT SELECT hour, requests, input_tokens + 3 * output_tokens + 5 * failures + 7 * cost_usd_micros + 11 * charge_brl_micros FROM usage_hours)
		UNION ALL (SELECT hour, sum(requests), sum(input_tokens + 3 * output_tokens + 5 * failures + 7 * cost_usd_micros + 11 * charge_brl_micros) FROM usage_tenant_hours GROUP BY 1
			EXCEPT SELECT hour, requests, input_tokens + 3 * output_tokens + 5 * failures + 7 * cost_usd_micros + 11 * charge_brl_micros FROM usage_hours)
		) d) + (SELECT count(*) FROM (
		(SELECT tenant_id, hour, sum(requests) AS r, sum(served_input + 3 * cache_hits) AS s FROM hourly GROUP BY 1, 2
			EXCEPT SELECT tenant_id, hour, requests, served_input + 3 * cache_hits FROM usage_tenant_hours)
		UNION ALL (SELECT tenant_id, hour, sum(requests) AS r, sum(served_input + 3 * cache_hits) AS s FROM usage_tenant_hours GROUP BY 1, 2
			EXCEPT SELECT tenant_id, hour, sum(requests), sum(served_input + 3 * cache_hits) FROM hourly GROUP BY 1, 2)) d)
		+ (SELECT count(*) FROM (
		SELECT date_trunc('day', hour, 'UTC'), tenant_id, key_id, period_id, model, sum(requests) AS r, sum(input_tokens + 3 * output_tokens) AS s FROM daily GROUP BY 1, 2, 3, 4, 5
			EXCEPT SELECT day, tenant_id, key_id, period_id, model, requests, input_tokens + 3 * output_tokens FROM usage_key_days) d)
		+ (SELECT count(*) FROM (
		SELECT date_trunc('day', hour, 'UTC'), tenant_id, sum(requests) AS r, sum(input_tokens + 3 * output_tokens) AS s FROM daily GROUP BY 1, 2
			EXCEPT SELECT day, tenant_id, requests, input_tokens + 3 * output_tokens FROM usage_tenant_days) d)
		+ abs((SELECT coalesce(sum(requests), 0) FROM daily) - (SELECT coalesce(sum(requests), 0) FROM usage_key_days))
		+ abs((SELECT coalesce(sum(requests), 0) FROM daily) - (SELECT coalesce(sum(requests), 0) FROM usage_tenant_days))
		+ abs((SELECT coalesce(sum(requests), 0) FROM hourly) - (SELECT coalesce(sum(requests), 0) FROM usage_hours))`

func (s *shop) foldedAgrees(t testing.TB) {
	t.Helper()
	var differences int
	if err := s.db.Get(&differences, foldedBooks); err != nil {
		t.Fatal(err)
	}
	if differences != 0 {
		t.Fatalf("%d differences between hours and what is folded of them", differences)
	}
}

// reads are all figures that pages read of a span, each in words.
func (s *shop) reads(t testing.TB, span usage.Period, others ...*shop) map[string]string {
	t.Helper()
	ctx, all := context.Background(), map[string]string{}
	note := func(name string, figures any, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all[name] = fmt.Sprintf("%+v", figures)
	}
	top, active, err := s.UsageByTenant(ctx, span, 10)
	note("tenants", []any{top, active}, err)
	hours, err := s.UsageHours(ctx, 0, span)
	note("all hours", hours, err)
	for _, one := range append(others, s) {
		id, own := one.tenant.ID, s.ForTenant(one.tenant.ID)
		hours, err := s.UsageHours(ctx, id, span)
		note(fmt.Sprint("hours of ", id), hours, err)
		models, err := s.UsageByModel(ctx, id, span)
		note(fmt.Sprint("models of ", id), models, err)
		keys, err := s.UsageByKey(ctx, id, span)
		note(fmt.Sprint("keys of ", id), keys, err)
		hours, err = own.UsageHours(ctx, span)
		note(fmt.Sprint("own hours of ", id), hours, err)
		keys, err = own.UsageByKey(ctx, span)
		note(fmt.Sprint("own keys of ", id), keys, err)
		current, err := s.CurrentUsage(ctx, id)
		note(fmt.Sprint("period of ", id), current, err)
	}
	return all
}

// However far usage is folded, and whatever came after it was, pages read the same.
func TestFoldingChangesNoFigure(t *testing.T) {
	a := openShop(t, charging(1000, 1000))
	b := secondShop(t, a, "Oficina")
	now := time.Now().UTC().Truncate(time.Hour)
	zones := []*time.Location{time.UTC, time.FixedZone("-3", -3*3600), time.FixedZone("+5:45", 5*3600+2700)}
	models := []string{"gpt-4.1", "gpt-4.1-nano"}
	folded := now.Add(-10 * 24 * time.Hour)
	rapid.Check(t, func(r *rapid.T) {
		var events []usage.Event
		for range rapid.IntRange(1, 12).Draw(r, "calls") {
			shop := rapid.SampledFrom([]*shop{a, b}).Draw(r, "tenant")
			e := earlier(shop.call(rapid.Int64Range(0, 400).Draw(r, "in"), rapid.Int64Range(0, 90).Draw(r, "out")),
				time.Duration(rapid.IntRange(0, 9*24*60).Draw(r, "ago"))*time.Minute)
			e.Model, e.Served = rapid.SampledFrom(models).Draw(r, "model"), e.Tokens
			events = append(events, e)
		}
		a.commit(t, events...)
		zone := rapid.SampledFrom(zones).Draw(r, "zone")
		span := usage.LastDays(now.Add(-time.Duration(rapid.IntRange(0, 60).Draw(r, "hours ago"))*time.Hour), rapid.IntRange(1, 8).Draw(r, "days"), zone)
		before := a.reads(t, span, b)
		folded = folded.Add(time.Duration(rapid.IntRange(0, 30).Draw(r, "fold")) * time.Hour)
		if _, err := a.db.Exec(`SELECT usage_fold($1)`, minTime(folded, now)); err != nil {
			t.Fatal(err)
		}
		if after := a.reads(t, span, b); !reflect.DeepEqual(after, before) {
			t.Fatalf("before folding\n%v\nafter\n%v", before, after)
		}
		a.foldedAgrees(t)
	})
	// Corrections of what is folded are followed too.
	for _, statement := range []string{
		`UPDATE usage_hourly SET input_tokens = input_tokens + 5, requests = requests + 1 WHERE model = 'gpt-4.1'`,
		`DELETE FROM usage_hourly WHERE hour < (SELECT min(hour) + interval '2 days' FROM usage_hourly)`,
	} {
		if _, err := a.db.Exec(statement); err != nil {
			t.Fatal(err)
		}
		var left int
		if err := a.db.Get(&left, `SELECT count(*) FROM usage_hours u WHERE requests <> 0 AND NOT EXISTS (SELECT FROM usage_hourly h WHERE h.hour = u.hour)`); err != nil || left != 0 {
			t.Errorf("%d hours are left of what was taken away (%v)", left, err)
		}
		if _, err := a.db.Exec(`DELETE FROM usage_hours WHERE requests = 0; DELETE FROM usage_tenant_hours WHERE requests = 0`); err != nil {
			t.Fatal(err)
		}
		a.foldedAgrees(t)
	}
}

// A commit that began before its hour was folded is counted, whichever of the two ends first.
func TestFoldingMissesNoCommitUnderWay(t *testing.T) {
	s := openShop(t, charging(1000, 1000))
	ctx := context.Background()
	old := earlier(s.call(100, 10), 26*time.Hour)
	s.commit(t, old)
	writing, err := s.db.Beginx()
	if err != nil {
		t.Fatal(err)
	}
	defer writing.Rollback() //nolint:errcheck // after a commit it does nothing
	if _, err := writing.Exec(`UPDATE usage_hourly SET requests = requests + 1`); err != nil {
		t.Fatal(err)
	}
	folding := make(chan error, 1)
	go func() { folding <- s.FoldUsage(ctx) }()
	s.awaitFold(t)
	if err := writing.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-folding; err != nil {
		t.Fatal(err)
	}
	s.foldedAgrees(t)
	var requests int
	if err := s.db.Get(&requests, `SELECT requests FROM usage_hours`); err != nil || requests != 2 {
		t.Errorf("%d requests are folded (%v), want 2", requests, err)
	}
	s.commit(t, earlier(s.call(7, 1), 25*time.Hour), earlier(s.call(1, 1), 0))
	s.foldedAgrees(t)
}

// awaitFold waits until somebody waits for the lock of folding.
func (s *shop) awaitFold(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		var waits bool
		if err := s.db.Get(&waits, `SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`); err != nil {
			t.Fatal(err)
		}
		if waits {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("folding does not wait for what is being written")
		}
	}
}

// Whoever asks for a shared lock stands behind who waits for it alone: folding must not stay in that line.
func TestFoldingThatWaitsForACommitLetsOthersPass(t *testing.T) {
	s := openShop(t, charging(1000, 1000))
	other := secondShop(t, s, "Oficina")
	s.commit(t, earlier(s.call(100, 10), 26*time.Hour))
	stuck, err := s.db.Beginx()
	if err != nil {
		t.Fatal(err)
	}
	defer stuck.Rollback() //nolint:errcheck // after a commit it does nothing
	if _, err := stuck.Exec(`UPDATE usage_hourly SET requests = requests + 1`); err != nil {
		t.Fatal(err)
	}
	folding := make(chan error, 1)
	go func() { folding <- s.FoldUsage(context.Background()) }()
	s.awaitFold(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // folding tries for longer
	defer cancel()
	if err := other.committer().CommitUsage(ctx, []usage.Event{other.call(1, 1)}); err != nil {
		t.Fatalf("a commit that has nothing to do with the one that is stuck: %v", err)
	}
	if err := stuck.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-folding; err != nil {
		t.Fatal(err)
	}
	s.foldedAgrees(t)
}

func TestABacklogIsFoldedADayAtATime(t *testing.T) {
	s := openShop(t, charging(1000, 1000))
	now := time.Now().UTC()
	for _, ago := range []int{30, 29, 28, 9, 8, 2, 1, 0} { // days, of which there are none between
		for _, hour := range []time.Duration{3, 11, 23} {
			s.commit(t, s.at(now.Truncate(utcDay).AddDate(0, 0, -ago-1).Add(hour*time.Hour), 10, 1))
		}
	}
	folded := func() time.Time {
		t.Helper()
		until, err := foldedUntil(t.Context(), s.db)
		if err != nil {
			t.Fatal(err)
		}
		return until
	}
	fold := func(before time.Time) (more bool) {
		t.Helper()
		if err := s.db.Get(&more, `SELECT usage_fold($1)`, before); err != nil {
			t.Fatal(err)
		}
		s.foldedAgrees(t)
		return more
	}
	first := now.Truncate(utcDay).AddDate(0, 0, -31)
	if more := fold(first.Add(12 * time.Hour)); more || !folded().Equal(first.Add(12*time.Hour)) {
		t.Errorf("half a day is folded up to %s, more: %t", folded(), more)
	}
	for day := 1; day <= 3; day++ {
		if more := fold(now); !more || !folded().Equal(first.AddDate(0, 0, day)) {
			t.Errorf("after day %d it is folded up to %s, more: %t", day, folded(), more)
		}
	}
	if more := fold(now); !more || !folded().Equal(first.AddDate(0, 0, 22)) {
		t.Errorf("days without anything are not skipped: folded up to %s", folded())
	}
	if err := s.FoldUsage(t.Context()); err != nil {
		t.Fatal(err)
	}
	if until := folded(); until.Before(now.Truncate(utcDay).Add(-time.Hour)) || fold(now.Add(-foldSlack)) {
		t.Errorf("folding ends at %s and leaves some", until)
	}
	s.foldedAgrees(t)
}

// What is written before the mark is added to what is folded by one commit at a time.
func TestAClockThatIsAheadFoldsNothingThatIsStillWritten(t *testing.T) {
	s := openShop(t, charging(1000, 1000))
	s.commit(t, earlier(s.call(10, 1), 3*time.Hour))
	ahead := New(s.DB(), func() time.Time { return time.Now().AddDate(1, 0, 0) })
	if err := ahead.FoldUsage(t.Context()); err != nil {
		t.Fatal(err)
	}
	if until, err := foldedUntil(t.Context(), s.db); err != nil || until.After(time.Now()) || until.Before(time.Now().Add(-3*time.Hour)) {
		t.Errorf("folded up to %s (%v)", until, err)
	}
}

// A replica of the version before goes on while the next one's migration adds columns.
func TestColumnsThatAreAddedToHoursBreakNoCommit(t *testing.T) {
	s := openServing(t, charging(1000, 1000))
	c := s.committer()
	s.commit(t, earlier(s.call(10, 1), 50*time.Hour))
	if err := s.FoldUsage(t.Context()); err != nil {
		t.Fatal(err)
	}
	commit := func(when string) {
		t.Helper()
		// Of an hour that is folded and is there, of one that is not there, and of this one.
		for _, ago := range []time.Duration{50 * time.Hour, 49 * time.Hour, 0} {
			if err := c.CommitUsage(t.Context(), []usage.Event{earlier(s.call(10, 1), ago)}); err != nil {
				t.Fatalf("%s: %v", when, err)
			}
		}
		s.foldedAgrees(t)
	}
	commit("before")
	commit("with statements that are prepared")
	s.db.MustExec(`ALTER TABLE usage_hourly ADD COLUMN more bigint NOT NULL DEFAULT 0, ADD COLUMN note text`)
	commit("with more columns")
	s.db.MustExec(`ALTER TABLE usage_hourly DROP COLUMN more`)
	commit("with one less")
	s.db.MustExec(`DELETE FROM usage_hourly`)
}
