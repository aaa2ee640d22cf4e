package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/pglocal"
	"github.com/fila-ia/filaia/internal/usage"
	"github.com/fila-ia/filaia/migrations"
	"github.com/fila-ia/filaia/store"
)

// The world in which commits are measured with alerts and without.
const (
	watchedCustomers = 10_000
	rulesEach        = 5
	watchedBatch     = 1000 // events of as many customers
	limitTokens      = 1_000_000
	callTokens       = 100 // a customer makes some ten thousand calls a period
)

// alertWorld is the same customers in two databases of one cluster: in one nothing is watched, in the other each customer has
// rules of its own.
type alertWorld struct {
	server         *pglocal.Server
	plain, watched *store.Store
	random         *rand.Rand
	before         int64 // the newest alert before commits are measured
}

func openAlertWorld(ctx context.Context, dir string) (w *alertWorld, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil { // PostgreSQL may run as another user
		return nil, err
	}
	w = &alertWorld{random: rand.New(rand.NewPCG(1, 1))}
	if w.server, err = pglocal.Start(ctx, dir, slog.New(slog.DiscardHandler)); err != nil {
		return nil, err
	}
	url := w.server.URL(pglocal.Database)
	if w.plain, err = store.Open(ctx, url); err != nil {
		return w, err
	}
	if err := migrations.Up(ctx, w.plain.DB()); err != nil {
		return w, err
	}
	if err := w.plain.EnsurePartitions(ctx, time.Now(), time.Now()); err != nil {
		return w, err
	}
	if _, err := w.plain.DB().ExecContext(ctx, sellToMany, watchedCustomers, limitTokens); err != nil {
		return w, fmt.Errorf("make customers: %w", err)
	}
	if _, err := w.plain.DB().ExecContext(ctx, `DELETE FROM alert_rules`); err != nil {
		return w, err
	}
	if err := w.copyTo(ctx, url); err != nil {
		return w, err
	}
	_, err = w.watched.DB().ExecContext(ctx, ruleForEach, rulesEach)
	return w, err
}

// sellToMany makes customers.
const sellToMany = `WITH n AS (SELECT generate_series(1, $1::int) AS n),
	p AS (INSERT INTO plans (slug, name) VALUES ('many', 'Many') RETURNING id),
	v AS (INSERT INTO plan_versions (plan_id, number, price_micros, input_tokens, output_tokens, overage, overage_price_micros, published_at)
		SELECT id, 1, 0, $2, $2, 'charge', 100, now() FROM p RETURNING id),
	t AS (INSERT INTO tenants (name) SELECT 'Cliente ' || n FROM n RETURNING id),
	s AS (INSERT INTO subscriptions (tenant_id, scope, plan_version_id, anchor_day, started_at) SELECT t.id, 'tenant', v.id, 1, now() FROM t, v RETURNING id, tenant_id),
	k AS (INSERT INTO api_keys (tenant_id, name, hash, hint) SELECT id, 'API', sha256(id::text::bytea), '' FROM t),
	b AS (INSERT INTO billing_periods (subscription_id, tenant_id, plan_version_id, starts_at, ends_at)
		SELECT s.id, s.tenant_id, v.id, date_trunc('day', now()), date_trunc('day', now()) + interval '31 days' FROM s, v RETURNING id, tenant_id)
	INSERT INTO quota_buckets (period_id, tenant_id, hard, limit_in, limit_out) SELECT id, tenant_id, false, $2, $2 FROM b`

// use makes the periods used to various degrees, the same in both databases. They must be looked at again.
const use = `UPDATE quota_buckets SET alert_version = 0, used_in = used_in + hashtext('in' || period_id)::bit(20)::bigint * $1 * 12 / 10 / 1048576,
	used_out = used_out + hashtext('out' || period_id)::bit(20)::bigint * $1 * 12 / 10 / 1048576`

// ruleForEach gives each customer rules for four metrics and both audiences.
const ruleForEach = `INSERT INTO alert_rules (audience, scope, tenant_id, metric, unit, thresholds, roles)
	SELECT m.audience, 'tenant', t.id, m.metric, m.unit, m.thresholds, '{owner}' FROM tenants t, (VALUES
		('operator', 'input_quota', 'percent', '{5000,8000,9000,10000}'::bigint[], 1), ('operator', 'output_quota', 'percent', '{5000,8000,9000,10000}', 2),
		('customer', 'input_quota', 'percent', '{5000,8000,9000,10000}', 3), ('customer', 'overage', 'brl', '{1000000,5000000,10000000}', 4),
		('operator', 'spend_cap', 'percent', '{5000,8000,9000,10000}', 5)) AS m (audience, metric, unit, thresholds, n) WHERE m.n <= $1`

// copyTo makes the watched database of the plain one, which nobody may use meanwhile.
func (w *alertWorld) copyTo(ctx context.Context, url string) (err error) {
	if err := w.plain.Close(); err != nil {
		return err
	}
	super, err := sql.Open("postgres", strings.Replace(w.server.URL("postgres"), "user="+pglocal.Role, "user=postgres", 1))
	if err != nil {
		return err
	}
	defer super.Close()
	if _, err := super.ExecContext(ctx, fmt.Sprintf(`CREATE DATABASE watched TEMPLATE %s OWNER %s`, pglocal.Database, pglocal.Role)); err != nil {
		return err
	}
	if w.plain, err = store.Open(ctx, url); err != nil {
		return err
	}
	w.watched, err = store.Open(ctx, w.server.URL("watched"))
	return err
}

func (w *alertWorld) close() error {
	var errs []error
	for _, s := range []*store.Store{w.plain, w.watched} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(append(errs, w.server.Stop(context.Background()))...)
}

// batch is calls of customers from first on, or of any where first is 0.
func (w *alertWorld) batch(first int) []usage.Event {
	events := make([]usage.Event, watchedBatch)
	now := time.Now()
	for i := range events {
		n := int64(first + i)
		if first == 0 {
			n = 1 + w.random.Int64N(watchedCustomers)
		}
		// Numbered from 1 in every table: they were made in one statement.
		events[i] = usage.Event{
			ID: uuid.Must(uuid.NewV7()), CreatedAt: now.UTC(), TenantID: n, KeyID: n, PeriodID: n, Model: "gpt-4.1-nano", Endpoint: "chat.completions",
			HTTPStatus: 200, Tokens: usage.Tokens{Input: callTokens, Output: callTokens}, CostUSD: 7,
		}
	}
	return events
}

// commitInTurn commits the same calls with alerts and without, batch by batch, and gives how long each took, in ms.
func (w *alertWorld) commitInTurn(ctx context.Context, batches int, any bool) (plain, watched times, err error) {
	none := func(store.Committed) {}
	sides := []*store.UsageCommitter{w.plain.UsageCommitter("bench", none), w.watched.UsageCommitter("bench", none)}
	for n := range batches {
		first := 0
		if !any {
			first = 1 + n*watchedBatch
		}
		events := w.batch(first)
		for i, side := range sides {
			if n%2 == 1 {
				i, side = 1-i, sides[1-i]
			}
			start := time.Now()
			if err := side.CommitUsage(ctx, events); err != nil {
				return nil, nil, err
			}
			took := time.Since(start).Seconds() * 1e3
			if i == 0 {
				plain = append(plain, took)
			} else {
				watched = append(watched, took)
			}
		}
	}
	return plain, watched, nil
}

// alertCommits measures what alerts add to a commit: when every period is looked at for the first time, and after that.
func (b *bench) alertCommits(ctx context.Context) (err error) {
	w, err := openAlertWorld(ctx, filepath.Join(b.dir, "alerts"))
	if w != nil {
		defer func() { err = errors.Join(err, w.close()) }()
	}
	if err != nil {
		return err
	}
	add := func(name string, plain, watched times) *row {
		p, q := plain.mean(), watched.mean() // the few batches that cross something count as well
		return b.report.add(row{Name: name, Unit: "ms", Baseline: p, Gateway: q, Compared: q / p, Kind: kindRatio, Rounds: len(plain)})
	}
	plain, watched, err := w.commitInTurn(ctx, watchedCustomers/watchedBatch, false)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("1,000 events, %d customers with %d rules each, beside none", watchedCustomers, rulesEach)
	add(name+": the first of a period", plain, watched)
	if err := w.use(ctx); err != nil {
		return err
	}
	if plain, watched, err = w.commitInTurn(ctx, b.size.alertBatches, true); err != nil {
		return err
	}
	add(name, plain, watched).below(1.1)
	var raised, telling int
	const told = `SELECT count(*), count(DISTINCT raised_at) FROM alert_events WHERE id > $1`
	if err := w.watched.DB().QueryRowContext(ctx, told, w.before).Scan(&raised, &telling); err != nil {
		return err
	}
	b.report.Notes = append(b.report.Notes, fmt.Sprintf("%d alerts were raised by %d of these %d commits.", raised, telling, len(watched)))
	return nil
}

// use has the periods used and looked at, which is not measured.
func (w *alertWorld) use(ctx context.Context) error {
	for _, s := range []*store.Store{w.plain, w.watched} {
		if _, err := s.DB().ExecContext(ctx, use, limitTokens); err != nil {
			return err
		}
		if err := s.RaiseDue(ctx); err != nil {
			return err
		}
		if _, err := s.DB().ExecContext(ctx, `VACUUM ANALYZE quota_buckets`); err != nil {
			return err
		}
	}
	return w.watched.DB().QueryRowContext(ctx, `SELECT coalesce(max(id), 0) FROM alert_events`).Scan(&w.before)
}
