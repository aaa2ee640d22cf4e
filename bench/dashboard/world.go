package main

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/lib/pq"

	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
	"github.com/fila-ia/filaia/store"
)

// world is an installation that has been in use. Tenants are of all sizes: the first makes a third of the calls with a
// twentieth of the keys. The last three are odd: few calls, none lately, none at all.
type world struct {
	events  int64
	tenants int
	keys    int // besides one of each odd tenant
	days    int
	end     time.Time // of the data
}

var usual = world{events: 1_000_000, tenants: 300, keys: 1000, days: 100}

func (w world) large() int64  { return 1 }
func (w world) medium() int64 { return 150 * int64(w.tenants) / 300 }
func (w world) tiny() int64   { return int64(w.tenants) - 2 }
func (w world) stale() int64  { return int64(w.tenants) - 1 }
func (w world) silent() int64 { return int64(w.tenants) }

// zone is that of all tenants. Its days begin at 03:00 UTC all year, so that each lies in one period of each tenant.
func (w world) zone() *time.Location { return time.FixedZone("America/Sao_Paulo", -3*60*60) }

func (w world) begin() time.Time {
	day := w.end.In(w.zone()).AddDate(0, 0, -w.days)
	return time.Date(day.Year(), day.Month(), day.Day(), 0, 0, 0, 0, w.zone()).UTC()
}

// keyName is the name of the setting that remembers what was made, for a later run.
const keyName = "bench_dashboard"

// load makes the data up, unless they are there. It sets w.end, and tells how long it took, zero where they were there.
func (w *world) load(ctx context.Context, db *sql.DB, tell func(string, ...any)) (time.Duration, error) {
	var events int64
	err := db.QueryRowContext(ctx, `SELECT (value->>'events')::bigint, (value->>'end')::timestamptz FROM settings WHERE name = $1`, keyName).Scan(&events, &w.end)
	if err == nil && events == w.events {
		tell("%d events are there", events)
		w.end = w.end.UTC()
		return 0, nil
	}
	if err == nil {
		return 0, fmt.Errorf("the folder holds %d events, not %d", events, w.events)
	}
	began := time.Now()
	w.end = began.UTC().Truncate(time.Second)
	for _, step := range []struct {
		name string
		do   func(context.Context, *sql.DB) error
	}{
		{"customers", w.loadCustomers},
		{"events and hours", func(ctx context.Context, db *sql.DB) error { return w.loadEvents(ctx, db, tell) }},
		{"what belongs to them", w.loadRest},
		{"vacuum", func(ctx context.Context, db *sql.DB) error { return exec(ctx, db, `VACUUM ANALYZE`) }},
		{"fold", func(ctx context.Context, db *sql.DB) error {
			return store.New(db, func() time.Time { return w.end }).FoldUsage(ctx)
		}},
		{"vacuum of what was folded", func(ctx context.Context, db *sql.DB) error {
			return exec(ctx, db, `VACUUM ANALYZE usage_hours, usage_tenant_hours, usage_tenant_days, usage_key_days`)
		}},
	} {
		if err := step.do(ctx, db); err != nil {
			return 0, fmt.Errorf("%s: %w", step.name, err)
		}
		tell("%s", step.name)
	}
	const note = `INSERT INTO settings (name, value) VALUES ($1, jsonb_build_object('events', $2::bigint, 'end', $3::timestamptz))`
	return time.Since(began), exec(ctx, db, note, keyName, w.events, w.end)
}

func exec(ctx context.Context, db interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
}, statement string, args ...any) error {
	_, err := db.ExecContext(ctx, statement, args...)
	return err
}

// loadCustomers makes tenants with a plan that blocks far above what they use, keys and periods.
func (w *world) loadCustomers(ctx context.Context, db *sql.DB) error {
	s := store.New(db, func() time.Time { return w.end })
	plan, err := s.CreatePlan(ctx, tenancy.PlanDraft{Slug: "grande", Name: "Grande", Terms: tenancy.Terms{
		InputTokens: tenancy.MaxTokens, OutputTokens: tenancy.MaxTokens, Overage: tenancy.Block,
	}}, true)
	if err != nil {
		return err
	}
	begin := w.begin()
	if err := exec(ctx, db, `INSERT INTO tenants (name, email, time_zone, billing_day, created_at)
		SELECT format('Cliente %s', lpad(i::text, 4, '0')), format('contato%s@example.com', i), 'America/Sao_Paulo', 1 + i % 28, $2
		FROM generate_series(1, $1::int) AS i`, w.tenants, begin); err != nil {
		return err
	}
	if err := exec(ctx, db, `INSERT INTO subscriptions (tenant_id, scope, plan_version_id, anchor_day, started_at)
		SELECT t.id, 'tenant', v.id, t.billing_day, t.created_at FROM tenants t, plan_versions v WHERE v.plan_id = $1 ORDER BY t.id`, plan.ID); err != nil {
		return err
	}
	// The first tenant has a twentieth of the keys, nineteen more a hundredth each, and the others share the rest.
	if err := exec(ctx, db, `INSERT INTO api_keys (tenant_id, name, hash, hint, created_at)
		SELECT CASE WHEN k > $1::int THEN $2::int - 3 + k - $1 WHEN k <= $1 / 20 THEN 1
				WHEN k <= $1 / 20 + 19 * ($1 / 100) THEN 2 + (k - 1 - $1 / 20) / ($1 / 100)
				ELSE 21 + k % ($2 - 23) END,
			'chave ' || k, sha256(('key ' || k)::bytea), lpad(k::text, 4, '0'), $3
		FROM generate_series(1, $1 + 3) AS k ORDER BY k`, w.keys, w.tenants, begin); err != nil {
		return err
	}
	return w.loadPeriods(ctx, db)
}

// loadPeriods makes the periods and buckets of all subscriptions, with the edges that the product computes.
func (w *world) loadPeriods(ctx context.Context, db *sql.DB) error {
	var tenants []int64
	var starts, ends []time.Time
	for id := range int64(w.tenants) {
		for at := w.begin(); !at.After(w.end); {
			p := usage.PeriodAt(at, 1+int(id+1)%28, w.zone())
			tenants, starts, ends = append(tenants, id+1), append(starts, p.Start), append(ends, p.End)
			at = p.End
		}
	}
	if err := exec(ctx, db, `INSERT INTO billing_periods (subscription_id, tenant_id, plan_version_id, starts_at, ends_at)
		SELECT s.id, s.tenant_id, s.plan_version_id, p.starts, p.ends
		FROM unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[]) AS p (tenant, starts, ends)
		JOIN subscriptions s ON s.tenant_id = p.tenant ORDER BY p.starts, s.id`, pq.Array(tenants), pq.Array(starts), pq.Array(ends)); err != nil {
		return err
	}
	return exec(ctx, db, `INSERT INTO quota_buckets (period_id, tenant_id, hard, limit_in, limit_out)
		SELECT id, tenant_id, true, $1, $1 FROM billing_periods`, int64(tenancy.MaxTokens))
}
