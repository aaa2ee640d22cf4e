package store

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
)

// script is a past that is lived through with the watch looking, and then replayed.
type script struct {
	*lookout
	from   time.Time
	random *rand.Rand
	calls  int
}

// call writes a call that becomes known now.
func (s *script) call(tenant tenancy.Tenant, took time.Duration, status usage.Status, code int) {
	s.t.Helper()
	at := s.at.Add(-took)
	e := usage.Event{Status: status, HTTPStatus: code}
	failed, own := 0, 0
	if status == usage.Failed {
		failed = 1
	}
	if e.CallersFault() {
		own = 1
	}
	s.calls++
	id := firstID(at)
	id[6], id[14], id[15] = 0x70, byte(s.calls>>8), byte(s.calls)
	s.db.MustExec(`WITH e AS (INSERT INTO usage_events (id, created_at, tenant_id, key_id, period_id, model, endpoint, status, http_status, streamed, estimated, input_tokens,
				cached_tokens, output_tokens, reasoning_tokens, cost_usd_micros, latency_ms, first_byte_ms, request_id)
			VALUES ($1, $2, $3, 1, 1, 'm', 'e', $4, $5, false, false, 0, 0, 0, 0, 0, $6, 0, '')
		), m AS (INSERT INTO usage_minutes AS m (minute, tenant_id, requests, failures, caller_errors, input_tokens, output_tokens) VALUES ($7, $3, 1, $8, $9, 0, 0)
			ON CONFLICT (minute, tenant_id) DO UPDATE SET requests = m.requests + 1, failures = m.failures + excluded.failures, caller_errors = m.caller_errors + excluded.caller_errors
		) INSERT INTO usage_hourly AS h (hour, tenant_id, key_id, period_id, model, requests, failures, caller_errors, input_tokens, cached_tokens, output_tokens,
			reasoning_tokens, cost_usd_micros, charge_brl_micros) VALUES ($10, $3, 1, 1, 'm', 1, $8, $9, 0, 0, 0, 0, 0, 0)
		ON CONFLICT (hour, tenant_id, key_id, period_id, model) DO UPDATE SET requests = h.requests + 1, failures = h.failures + excluded.failures,
			caller_errors = h.caller_errors + excluded.caller_errors`,
		id, at, tenant.ID, status.String(), code, took.Milliseconds(), at.Truncate(time.Minute), failed, own, at.Truncate(time.Hour))
}

// agrees compares what a rule told, of its subjects in the order of time, with its replay. They may differ by the grain of what is kept.
func (s *script) agrees(rule alert.Rule, atLeast int, grain time.Duration) {
	s.t.Helper()
	var told []struct {
		Subject   string    `db:"subject"`
		Threshold int64     `db:"threshold"`
		At        time.Time `db:"raised_at"`
	}
	s.must(s.db.Select(&told, `SELECT subject, threshold, raised_at FROM alert_events WHERE metric = $1 AND audience = $2 ORDER BY subject, threshold, raised_at`, rule.Metric, rule.Audience))
	got, err := s.Replay(s.ctx, rule, s.from, s.at.Add(time.Second).In(s.w.zone))
	s.must(err)
	s.t.Logf("%s for %s: %d told, %d replayed", rule.Metric, rule.Audience, len(told), len(got.Fired))
	if len(told) < atLeast {
		s.t.Errorf("%s: %d told, which tells little", rule.Metric, len(told))
	}
	replayed := map[string][]time.Time{}
	for i := len(got.Fired) - 1; i >= 0; i-- {
		f := got.Fired[i]
		key := fmt.Sprint(f.Subject.Key, " ", f.Threshold)
		replayed[key] = append(replayed[key], f.At)
	}
	for _, e := range told {
		key := fmt.Sprint(e.Subject, " ", e.Threshold)
		if len(replayed[key]) == 0 {
			s.t.Errorf("%s: %s at %s is not replayed", rule.Metric, key, e.At.UTC().Format("02T15:04:05"))
			continue
		}
		if at := replayed[key][0]; e.At.Sub(at).Abs() > grain {
			s.t.Errorf("%s: %s at %s is replayed at %s", rule.Metric, key, e.At.UTC().Format("02T15:04:05"), at.Format("02T15:04:05"))
		}
		replayed[key] = replayed[key][1:]
	}
	for key, times := range replayed {
		for _, at := range times {
			s.t.Errorf("%s: %s at %s was never told", rule.Metric, key, at.Format("02T15:04:05"))
		}
	}
}

// watched is the rule of a metric as the watch has it.
func (s *script) watched(metric alert.Metric, audience alert.Audience) alert.Rule {
	s.t.Helper()
	s.must(s.w.readRules(s.ctx))
	for _, r := range s.w.books[metric].rules {
		if r.Audience == audience {
			return r
		}
	}
	s.t.Fatalf("no rule of %s for %s", metric, audience)
	return alert.Rule{}
}

// Four hours in which calls fail and slow down by turns, of which some are their callers' own fault, providers throttle, breakers
// open, and the queue and a spool stand still: what the watch told, every minute, is what its rules' replays tell.
func TestTheReplayTellsWhatTheWatchToldOfMinutes(t *testing.T) {
	l := openLookout(t)
	s := &script{lookout: l, from: l.at, random: rand.New(rand.NewPCG(5, 7))}
	plan := l.plan("basis", charging(1000, 1000))
	customers := []tenancy.Tenant{l.customer("Padaria", plan.ID), l.customer("Oficina", plan.ID)}
	provider := l.provider("a")
	l.replica("r1")
	l.add(`audience, scope, metric, unit, thresholds, window_minutes, rearm_minutes`, `'customer', 'all', 'error_rate', 'percent', '{1000,3000}', 5, 15`)
	for _, metric := range []alert.Metric{alert.ErrorRate, alert.LatencyP95, alert.Provider429} {
		l.rule(metric, `rearm_minutes = 5`)
	}
	// Of each: for how many minutes it stands still and then does not.
	turns := map[alert.Metric][]int{alert.BreakerOpen: {12, 8, 4, 90, 20, 70}, alert.QueueAge: {25, 75, 70, 60}, alert.SpoolLag: {0, 40, 9, 6, 3, 100, 13}}
	standing := func(metric alert.Metric, minute int) int {
		for i, n := range turns[metric] {
			if minute < n {
				return (minute + 1) * ((i + 1) % 2) // minutes, of the even turns
			}
			minute -= n
		}
		return 0
	}
	share, took := []float64{0, 0}, []time.Duration{700 * time.Millisecond, 700 * time.Millisecond}
	open := false // the breaker
	for minute := range 240 {
		s.at = s.from.Add(time.Duration(minute) * time.Minute)
		for i, c := range customers {
			if minute%13 == 6*i {
				share[i] = []float64{0, 0, .08, .2, .6}[s.random.IntN(5)]
				took[i] = []time.Duration{700 * time.Millisecond, 2 * time.Second, 25 * time.Second, 70 * time.Second}[s.random.IntN(4)]
			}
			for range 3 + s.random.IntN(5) {
				status, code := usage.OK, 200
				if s.random.Float64() < share[i] {
					status, code = usage.Failed, []int{503, 429, 400}[s.random.IntN(3)]
				}
				s.call(c, took[i], status, code)
			}
		}
		if n := s.random.IntN(40) - 25; n > 0 && minute/30%2 == 0 {
			l.must(l.AddThrottled(l.ctx, []tenancy.Throttled{{ProviderID: provider.ID, Minute: s.at, Count: int64(n)}}))
		}
		if is := standing(alert.BreakerOpen, minute) > 0; is != open {
			from, to := "closed", "open"
			if open {
				from, to = "half_open", "closed"
			}
			l.breaker("r1", provider, from, to, 0)
			open = is
		}
		l.db.MustExec(`DELETE FROM river_job`)
		if n := standing(alert.QueueAge, minute); n > 0 {
			l.db.MustExec(`INSERT INTO river_job (kind, queue, state, max_attempts, args, scheduled_at, created_at) VALUES ('a', 'default', 'available', 5, '{}', $1, $1)`,
				s.at.Add(-time.Duration(n)*time.Minute))
		}
		for _, metric := range []alert.Metric{alert.ErrorRate, alert.LatencyP95, alert.Provider429, alert.BreakerOpen, alert.QueueAge, alert.SpoolLag} {
			l.db.MustExec(`UPDATE replicas SET seen_at = now(), spool_events = 1, spool_age_ms = $1`, standing(alert.SpoolLag, minute)*60_000+200)
			l.look(metric)
		}
	}
	s.agrees(s.watched(alert.ErrorRate, alert.Operator), 5, 0)
	s.agrees(s.watched(alert.ErrorRate, alert.Customer), 10, 0)
	s.agrees(s.watched(alert.LatencyP95, alert.Operator), 2, 0)
	s.agrees(s.watched(alert.Provider429, alert.Operator), 2, 0)
	s.agrees(s.watched(alert.BreakerOpen, alert.Operator), 3, lookStep)
	s.agrees(s.watched(alert.QueueAge, alert.Operator), 3, lookStep)
	s.agrees(s.watched(alert.SpoolLag, alert.Operator), 2, lookStep)
}

// Twelve days of a customer whose use rises and falls: what the watch told, every hour, is what replays tell, to the hour.
func TestTheReplayTellsWhatTheWatchToldOfHours(t *testing.T) {
	l := openLookout(t)
	l.at = time.Date(2024, 11, 2, 3, 0, 0, 0, time.UTC)
	s := &script{lookout: l, from: l.at, random: rand.New(rand.NewPCG(3, 11))}
	customer := l.customer("Padaria", l.plan("basis", charging(12_000_000, 1_000_000)).ID)
	key, _ := l.newKey(tenancy.KeyDraft{TenantID: customer.ID, Name: "API"})
	_, err := l.CurrentUsage(l.ctx, customer.ID)
	l.must(err)
	var period int64
	l.must(l.db.Get(&period, `SELECT max(id) FROM billing_periods`))
	for ago := 1; ago <= 5*7*24; ago++ { // what is usual, of another period
		l.hour(key, period+1, l.at.Add(-time.Duration(ago)*time.Hour), 10, 0, 15_000, 0)
	}
	l.rule(alert.Forecast, `thresholds = '{8000,12000,20000}'`)
	l.rule(alert.SuddenChange, `thresholds = '{15000,30000}', direction = 'both', rearm_minutes = 120`)
	l.add(`audience, scope, metric, unit, thresholds`, `'operator', 'all', 'provider_cost', 'usd', '{10000000,50000000}'`)
	for hour := range 12 * 24 {
		at := s.from.Add(time.Duration(hour) * time.Hour)
		tokens := []int64{4_000, 15_000, 15_000, 21_000, 60_000}[s.random.IntN(5)]
		if day := hour / 24; day >= 6 && day < 8 {
			tokens *= 3
		}
		s.at = at.Add(50 * time.Minute)
		l.hour(key, period, at, 10, 0, tokens, tokens*40)
		l.db.MustExec(`UPDATE quota_buckets SET used_in = used_in + $1 WHERE period_id = $2`, tokens, period)
		l.must(l.FoldUsage(l.ctx))
		for _, metric := range []alert.Metric{alert.Forecast, alert.SuddenChange, alert.ProviderCost} {
			l.look(metric)
		}
	}
	s.agrees(s.watched(alert.Forecast, alert.Operator), 2, time.Hour)
	s.agrees(s.watched(alert.SuddenChange, alert.Operator), 10, time.Hour)
	s.agrees(s.watched(alert.ProviderCost, alert.Operator), 10, time.Hour)
}
