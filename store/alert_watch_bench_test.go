package store

import (
	"context"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/store/storetest"
)

// crowd is a database of ten thousand subscriptions, each with five rules of its own, that all were used this month and call
// at this moment.
func crowd(b *testing.B, s *Store, now time.Time) {
	b.Helper()
	plan, err := s.CreatePlan(context.Background(), tenancy.PlanDraft{Slug: "crowd", Name: "Crowd", Terms: charging(1_000_000, 1_000_000)}, true)
	if err != nil {
		b.Fatal(err)
	}
	for _, statement := range []string{
		`INSERT INTO tenants (name) SELECT 'Cliente ' || n FROM generate_series(1, 10000) n WHERE $1::timestamptz IS NOT NULL AND $2 > 0`,
		`INSERT INTO subscriptions (tenant_id, scope, plan_version_id, anchor_day, started_at)
			SELECT t.id, 'tenant', v.id, 1, $1::timestamptz - interval '60 days' FROM tenants t, plan_versions v WHERE v.plan_id = $2`,
		`INSERT INTO api_keys (tenant_id, name, hash, hint, last_used_at) SELECT id, 'API', sha256(id::text::bytea), '', $1::timestamptz - id % 100 * interval '1 day' FROM tenants WHERE $2 > 0`,
		`INSERT INTO billing_periods (subscription_id, tenant_id, plan_version_id, starts_at, ends_at)
			SELECT id, tenant_id, plan_version_id, $1::timestamptz - interval '20 days', $1::timestamptz + interval '10 days' FROM subscriptions WHERE $2 > 0`,
		`INSERT INTO quota_buckets (period_id, tenant_id, hard, limit_in, limit_out, used_in, used_out)
			SELECT id, tenant_id, false, 1000000, 1000000, id % 70 * 10000, 100000 FROM billing_periods WHERE $1::timestamptz IS NOT NULL AND $2 > 0`,
		`INSERT INTO usage_key_days SELECT p.tenant_id, date_trunc('day', $1::timestamptz, 'UTC') - d * interval '1 day', k.id, p.id, m, 10, 0, 100 * (p.id % 70), 0, 100, 0, 1, 0, 0, 0, 0, 0, 0
			FROM billing_periods p JOIN api_keys k ON k.tenant_id = p.tenant_id, generate_series(1, 30) d, unnest('{a,b}'::text[]) m WHERE $2 > 0`,
		`INSERT INTO usage_tenant_hours SELECT t.id, date_trunc('hour', $1::timestamptz - h * interval '1 hour', 'UTC'), 10, 0, 20000, 0, 100, 0, 1, 0, 0, 0, 0, 0, 0
			FROM tenants t, unnest('{1,2,168,169,170,336,337,338,504,505,506,672,673,674}'::int[]) h WHERE $2 > 0`,
		`INSERT INTO usage_hours SELECT hour, 10, 0, sum(input_tokens), 0, 100, 0, 1, 0, 0, 0, 0, 0, 0 FROM usage_tenant_hours WHERE $1::timestamptz IS NOT NULL AND $2 > 0 GROUP BY hour`,
		`UPDATE usage_folded SET until = date_trunc('hour', $1::timestamptz, 'UTC') WHERE $2 > 0`,
		`INSERT INTO usage_minutes SELECT date_trunc('minute', $1::timestamptz) - m * interval '1 minute', t.id, 10, t.id % 3, 1, 1 FROM tenants t, generate_series(0, 59) m WHERE $2 > 0`,
		`INSERT INTO usage_events (id, created_at, tenant_id, key_id, period_id, model, endpoint, status, http_status, streamed, estimated, input_tokens, cached_tokens,
				output_tokens, reasoning_tokens, cost_usd_micros, latency_ms, first_byte_ms, request_id)
			SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7000' || '8000' || lpad(to_hex(n), 12, '0'))::uuid, at, 1 + n % 10000, 1, 1, 'm', '', 'ok', 200,
				false, false, 0, 0, 0, 0, 0, n % 3000, 0, '' FROM (SELECT n, $1::timestamptz - n * interval '2 milliseconds' AS at FROM generate_series(1, 300000) n) e WHERE $2 > 0`,
		`INSERT INTO key_addresses SELECT k.id, ('10.0.0.' || a)::inet, k.tenant_id, $1::timestamptz - a * interval '20 hours', $1::timestamptz FROM api_keys k, generate_series(1, 20) a WHERE $2 > 0`,
		`INSERT INTO alert_rules (audience, scope, tenant_id, metric, unit, thresholds, window_minutes, enabled)
			SELECT 'customer', 'tenant', t.id, m.metric, m.unit, m.thresholds, m.minutes, true FROM tenants t,
				(VALUES ('forecast', 'percent', '{12000}'::bigint[], 0), ('error_rate', 'percent', '{5000}', 10), ('latency_p95', 'ms', '{20000}', 10),
					('sudden_change', 'percent', '{30000}', 0), ('key_unused', 'days', '{90}', 0)) m (metric, unit, thresholds, minutes) WHERE $1::timestamptz IS NOT NULL AND $2 > 0`,
		`UPDATE alert_rules SET enabled = true WHERE $1::timestamptz IS NOT NULL AND $2 > 0`,
	} {
		if _, err := s.DB().Exec(statement, now, plan.ID); err != nil {
			b.Fatalf("%s: %v", statement, err)
		}
	}
	if _, err := s.DB().Exec(`ANALYZE`); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkWatch is what each look costs that finds nothing new, among ten thousand subscriptions and fifty thousand rules.
func BenchmarkWatch(b *testing.B) {
	now := time.Date(2026, 11, 22, 15, 10, 0, 0, time.UTC)
	s := New(storetest.Open(b).DB, func() time.Time { return now })
	crowd(b, s, now)
	ctx := context.Background()
	w := s.watcher(saoPaulo(b))
	b.Run("rules", func(b *testing.B) {
		for b.Loop() {
			w.version = 0
			if err := w.readRules(ctx); err != nil {
				b.Fatal(err)
			}
		}
	})
	for range 40 { // what there is to raise
		for _, g := range glances() {
			if err := w.look(ctx, g); err != nil {
				b.Fatal(err)
			}
		}
	}
	for _, g := range append(glances(), glance{metric: "periods"}) {
		b.Run(string(g.metric), func(b *testing.B) {
			for b.Loop() {
				var err error
				if g.read == nil {
					err = s.resolvePeriods(ctx)
				} else {
					err = w.look(ctx, g)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			var open int
			if err := s.db.Get(&open, `SELECT count(*) FROM alert_events WHERE metric = $1 AND resolved_at IS NULL`, g.metric); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(open), "open")
		})
	}
	b.Run("replay", func(b *testing.B) {
		for _, rule := range alert.Defaults() {
			b.Run(string(rule.Metric), func(b *testing.B) {
				for b.Loop() {
					if _, err := s.Replay(ctx, rule, now.AddDate(0, 0, -30), now); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	})
}
