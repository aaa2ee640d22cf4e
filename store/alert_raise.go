package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/money"
)

// Alerts about what a billing period used are raised in the transaction that commits the usage, while its bucket is locked. Each
// bucket keeps the use from which on it must be looked at again, under which rules: a commit that crosses nothing compares
// four numbers and asks nothing.

// lateAlert is how long after its end a period is still told of: calls of a replica that was away may come days later.
const lateAlert = 24 * time.Hour

// watched is what a bucket keeps of its alerts.
type watched struct {
	Charged      int64         `db:"charge_brl_micros"`
	AlertVersion int64         `db:"alert_version"`
	AlertIn      sql.NullInt64 `db:"alert_in"` // null: nothing is left to raise
	AlertOut     sql.NullInt64 `db:"alert_out"`
	AlertCharge  sql.NullInt64 `db:"alert_charge"`
	RulesVersion int64         `db:"rules_version"`
}

const watchedColumns = `b.charge_brl_micros, b.alert_version, b.alert_in, b.alert_out, b.alert_charge, (` + rulesVersion + `) AS rules_version`

// due tells whether a bucket must be looked at.
func (w *watched) due(usedIn, usedOut int64) bool {
	reached := func(at sql.NullInt64, used int64) bool { return at.Valid && used >= at.Int64 }
	return w.AlertVersion != w.RulesVersion || reached(w.AlertIn, usedIn) || reached(w.AlertOut, usedOut) || reached(w.AlertCharge, w.Charged)
}

// raiseAlerts raises what the accounts reached with this commit. Their buckets are locked.
func (t *tx) raiseAlerts(ctx context.Context, accounts map[int64]*account) error {
	var ids []int64
	version := int64(0)
	for id, a := range accounts {
		if a.due(a.UsedIn, a.UsedOut) {
			ids, version = append(ids, id), a.RulesVersion
		}
	}
	if len(ids) == 0 {
		return nil
	}
	slices.Sort(ids)
	return t.unlessBroken(ctx, ids, func() error { return t.look(ctx, ids, version) })
}

// unlessBroken looks at alerts without the power to keep usage from the books: what fails is undone, and looked at again by RaiseDue,
// which says what is wrong.
func (t *tx) unlessBroken(ctx context.Context, periods []int64, look func() error) error {
	if _, err := t.ExecContext(ctx, `SAVEPOINT alerts`); err != nil {
		return fmt.Errorf("begin to look at alerts: %w", err)
	}
	err := look()
	if err == nil || ctx.Err() != nil || outdated(err) { // a new connection prepares anew
		return err
	}
	if _, err := t.ExecContext(ctx, `ROLLBACK TO SAVEPOINT alerts`); err != nil {
		return fmt.Errorf("undo alerts: %w", err)
	}
	const again = `UPDATE quota_buckets SET alert_version = 0 WHERE period_id = ANY ($1::bigint[])`
	if _, err := t.ExecContext(ctx, again, ints(periods, func(id *int64) int64 { return *id })); err != nil {
		return fmt.Errorf("look at alerts again: %w", err)
	}
	return nil
}

// standingRow is a period as its alerts need it.
type standingRow struct {
	PeriodID       int64         `db:"period_id"`
	SubscriptionID int64         `db:"subscription_id"`
	TenantID       int64         `db:"tenant_id"`
	PlanID         int64         `db:"plan_id"`
	KeyID          sql.NullInt64 `db:"key_id"`
	Start          time.Time     `db:"starts_at"`
	End            time.Time     `db:"ends_at"`
	Tenant         string        `db:"tenant"`
	Plan           string        `db:"plan"`
	Key            string        `db:"key_name"`
	Zone           string        `db:"time_zone"`
	Blocks         bool          `db:"blocks"`
	Price          int64         `db:"overage_price_micros"`
	LimitIn        int64         `db:"limit_in"`
	UsedIn         int64         `db:"used_in"`
	LimitOut       int64         `db:"limit_out"`
	UsedOut        int64         `db:"used_out"`
	Charged        int64         `db:"charge_brl_micros"`
	Cap            int64         `db:"cap_micros"`
	Capped         bool          `db:"capped"`
	Over           bool          `db:"is_over"` // the customer has gone, or the key's own plan has ended, or the period has long
}

func (r *standingRow) standing() alert.Standing {
	return alert.Standing{
		Subject: alert.OfSubscription(r.SubscriptionID, r.TenantID, r.KeyID.Int64),
		Covered: alert.Covered{PlanID: r.PlanID, TenantID: r.TenantID, KeyID: r.KeyID.Int64},
		Start:   r.Start.UTC(), LimitIn: r.LimitIn, UsedIn: r.UsedIn, LimitOut: r.LimitOut, UsedOut: r.UsedOut,
		Charged: money.Micros(r.Charged), Cap: money.Micros(r.Cap), Capped: r.Capped,
		Details: alert.Details{
			Tenant: r.Tenant, Plan: r.Plan, Key: r.Key, Zone: r.Zone, Blocks: r.Blocks, OveragePrice: money.Micros(r.Price),
			PeriodStart: r.Start.UTC(), PeriodEnd: r.End.UTC(),
		},
	}
}

// look raises what the periods have reached and have not told, and notes from what use on to look again. Their buckets must be locked, and
// their figures saved.
func (t *tx) look(ctx context.Context, periods []int64, version int64) error {
	rows, err := t.standings(ctx, periods)
	if err != nil {
		return err
	}
	rules, err := t.rulesFor(ctx, rows)
	if err != nil {
		return err
	}
	holding, due, next := make([][]alert.Rule, len(rows)), make([][]alert.Due, len(rows)), make([]alert.Next, len(rows))
	var reached []standingRow
	for i := range rows {
		s := rows[i].standing()
		holding[i] = alert.Effective(rules.of(s.Covered), s.Covered)
		due[i], next[i] = s.Look(holding[i])
		if rows[i].Over {
			due[i] = nil
		}
		if len(due[i]) > 0 {
			reached = append(reached, rows[i])
		}
	}
	told, err := t.toldOf(ctx, reached)
	if err != nil {
		return err
	}
	var events []alert.Event
	for i := range rows {
		if len(due[i]) > 0 {
			s := rows[i].standing()
			events = append(events, s.Fresh(due[i], holding[i], told[s.Subject.Key], uuid.New(), t.now)...)
		}
	}
	if err := t.insertAlerts(ctx, events); err != nil {
		return err
	}
	return t.lookAgain(ctx, rows, next, version)
}

// standings reads periods. Whether one is long over both clocks must say: a server's that is wrong would silence what is never looked at again.
func (t *tx) standings(ctx context.Context, periods []int64) ([]standingRow, error) {
	const query = `SELECT p.id AS period_id, p.subscription_id, p.tenant_id, v.plan_id, k.id AS key_id, p.starts_at, p.ends_at, n.name AS tenant,
			pl.name AS plan, coalesce(k.name, '') AS key_name, n.time_zone, v.overage = 'block' OR coalesce(b.spend_cap_micros < v.overage_price_micros, false) AS blocks,
			CASE WHEN v.overage = 'charge' THEN v.overage_price_micros ELSE 0 END AS overage_price_micros,
			b.limit_in, b.used_in, b.limit_out, b.used_out, b.charge_brl_micros, coalesce(b.spend_cap_micros, 0) AS cap_micros,
			b.spend_cap_micros IS NOT NULL AS capped,
			n.status = 'closed' OR s.ended_at IS NOT NULL OR p.ends_at + $2 * interval '1 second' < least(now(), $3) AS is_over
		FROM billing_periods p
		JOIN quota_buckets b ON b.period_id = p.id
		JOIN plan_versions v ON v.id = p.plan_version_id JOIN plans pl ON pl.id = v.plan_id
		JOIN tenants n ON n.id = p.tenant_id JOIN subscriptions s ON s.id = p.subscription_id
		LEFT JOIN LATERAL (SELECT id, name FROM api_keys WHERE tenant_id = s.tenant_id AND subscription_id = s.id AND s.scope = 'key'
			ORDER BY revoked_at IS NULL DESC, id DESC LIMIT 1) k ON true
		WHERE p.id = ANY ($1::bigint[]) ORDER BY p.id`
	var rows []standingRow
	if err := t.SelectContext(ctx, &rows, query, ints(periods, func(id *int64) int64 { return *id }), int64(lateAlert.Seconds()), t.now); err != nil {
		return nil, fmt.Errorf("read standings: %w", err)
	}
	return rows, nil
}

// insertAlerts adds events and takes those that are there already for told.
func (t *tx) insertAlerts(ctx context.Context, events []alert.Event) error {
	if len(events) == 0 {
		return nil
	}
	details := make([]string, len(events))
	for i := range events {
		text, err := json.Marshal(events[i].Details)
		if err != nil {
			return fmt.Errorf("write details of an alert: %w", err)
		}
		details[i] = string(text)
	}
	type e = alert.Event
	number := func(get func(*e) int64) string { return ints(events, get) }
	text := func(get func(*e) string) string { return texts(events, get) }
	const insert = `INSERT INTO alert_events (group_id, lead, rule_id, audience, metric, unit, subject, tenant_id, subscription_id, key_id, provider_id,
			period, threshold, value, details, raised_at)
		SELECT group_id, lead, rule, audience, metric, unit, subject, NULLIF(tenant, 0), NULLIF(subscription, 0), NULLIF(key, 0), NULLIF(provider, 0),
			timestamptz 'epoch' + period * interval '1 microsecond', threshold, value, details, $1
		FROM unnest($2::uuid[], $3::boolean[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bigint[], $10::bigint[], $11::bigint[],
			$12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[], $16::jsonb[])
			AS n (group_id, lead, rule, audience, metric, unit, subject, tenant, subscription, key, provider, period, threshold, value, details)
		ORDER BY rule, subject, period, metric, threshold
		ON CONFLICT DO NOTHING`
	_, err := t.ExecContext(ctx, insert, t.now,
		uuids(events, func(v *e) uuid.UUID { return v.Group }), bools(events, func(v *e) bool { return v.Lead }),
		number(func(v *e) int64 { return v.RuleID }), text(func(v *e) string { return string(v.Audience) }),
		text(func(v *e) string { return string(v.Metric) }), text(func(v *e) string { return string(v.Unit) }),
		text(func(v *e) string { return v.Subject.Key }), number(func(v *e) int64 { return v.Subject.TenantID }),
		number(func(v *e) int64 { return v.Subject.SubscriptionID }), number(func(v *e) int64 { return v.Subject.KeyID }),
		number(func(v *e) int64 { return v.Subject.ProviderID }), number(func(v *e) int64 { return v.Period.UnixMicro() }),
		number(func(v *e) int64 { return v.Threshold }), number(func(v *e) int64 { return v.Value }),
		texts(details, func(s *string) string { return *s }))
	if err != nil {
		return fmt.Errorf("raise %d alerts: %w", len(events), err)
	}
	return nil
}

// toldOf gives what the periods told before, by their subject.
func (t *tx) toldOf(ctx context.Context, periods []standingRow) (map[string][]alert.Raised, error) {
	if len(periods) == 0 {
		return nil, nil
	}
	subjects := make([]string, len(periods))
	for i := range periods {
		subjects[i] = periods[i].standing().Subject.Key
	}
	var rows []struct {
		Subject   string         `db:"subject"`
		RuleID    int64          `db:"rule_id"`
		Audience  alert.Audience `db:"audience"`
		Metric    alert.Metric   `db:"metric"`
		Unit      alert.Unit     `db:"unit"`
		Threshold int64          `db:"threshold"`
	}
	const query = `SELECT e.subject, e.rule_id, e.audience, e.metric, e.unit, e.threshold
		FROM unnest($1::text[], $2::bigint[]) AS n (subject, period)
		JOIN alert_events e ON e.subject = n.subject AND e.period = timestamptz 'epoch' + n.period * interval '1 microsecond'`
	if err := t.SelectContext(ctx, &rows, query, texts(subjects, func(s *string) string { return *s }),
		ints(periods, func(r *standingRow) int64 { return r.Start.UnixMicro() })); err != nil {
		return nil, fmt.Errorf("read alerts told before: %w", err)
	}
	told := map[string][]alert.Raised{}
	for _, r := range rows {
		told[r.Subject] = append(told[r.Subject], alert.Raised{RuleID: r.RuleID, Audience: r.Audience, Metric: r.Metric, Unit: r.Unit, Threshold: r.Threshold})
	}
	return told, nil
}

// lookAgain notes from what use on the periods must be looked at again.
func (t *tx) lookAgain(ctx context.Context, rows []standingRow, next []alert.Next, version int64) error {
	at := func(get func(*alert.Next) int64) string { return ints(next, get) }
	const note = `UPDATE quota_buckets b SET alert_version = $1, alert_in = NULLIF(n.at_in, $2), alert_out = NULLIF(n.at_out, $2), alert_charge = NULLIF(n.at_charge, $2)
		FROM unnest($3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[]) AS n (period_id, at_in, at_out, at_charge) WHERE b.period_id = n.period_id`
	_, err := t.ExecContext(ctx, note, version, alert.Never, ints(rows, func(r *standingRow) int64 { return r.PeriodID }),
		at(func(n *alert.Next) int64 { return n.Input }), at(func(n *alert.Next) int64 { return n.Output }), at(func(n *alert.Next) int64 { return n.Charge }))
	if err != nil {
		return fmt.Errorf("note when to look again: %w", err)
	}
	return nil
}

// ruleSet holds the rules that may cover the periods of one look, by what they cover.
type ruleSet struct {
	all            []alert.Rule
	plans, tenants map[int64][]alert.Rule
}

func (r *ruleSet) of(c alert.Covered) []alert.Rule {
	return slices.Concat(r.all, r.plans[c.PlanID], r.tenants[c.TenantID])
}

// rulesFor reads the rules about what a period used that may cover the rows.
func (t *tx) rulesFor(ctx context.Context, rows []standingRow) (*ruleSet, error) {
	distinct := func(get func(standingRow) int64) string {
		ids := make([]int64, len(rows))
		for i, r := range rows {
			ids[i] = get(r)
		}
		slices.Sort(ids)
		return ints(slices.Compact(ids), func(id *int64) int64 { return *id })
	}
	var metrics []string
	for _, k := range alert.Kinds() {
		if k.Committed {
			metrics = append(metrics, string(k.Metric))
		}
	}
	const query = `SELECT id, name, audience, scope, coalesce(plan_id, 0), coalesce(tenant_id, 0), coalesce(key_id, 0), metric, unit, thresholds, enabled
		FROM alert_rules WHERE deleted_at IS NULL AND metric = ANY ($1::text[]) AND scope = 'all'
		UNION ALL SELECT id, name, audience, scope, plan_id, 0, 0, metric, unit, thresholds, enabled
		FROM alert_rules WHERE deleted_at IS NULL AND metric = ANY ($1::text[]) AND plan_id = ANY ($2::bigint[])
		UNION ALL SELECT id, name, audience, scope, 0, tenant_id, coalesce(key_id, 0), metric, unit, thresholds, enabled
		FROM alert_rules WHERE deleted_at IS NULL AND metric = ANY ($1::text[]) AND tenant_id = ANY ($3::bigint[])`
	found, err := t.QueryContext(ctx, query, "{"+strings.Join(metrics, ",")+"}",
		distinct(func(r standingRow) int64 { return r.PlanID }), distinct(func(r standingRow) int64 { return r.TenantID }))
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	defer found.Close()
	set := &ruleSet{plans: map[int64][]alert.Rule{}, tenants: map[int64][]alert.Rule{}}
	for found.Next() {
		var r alert.Rule
		if err := found.Scan(&r.ID, &r.Name, &r.Audience, &r.Scope, &r.PlanID, &r.TenantID, &r.KeyID, &r.Metric, &r.Unit,
			(*pq.Int64Array)(&r.Thresholds), &r.Enabled); err != nil {
			return nil, fmt.Errorf("read rules: %w", err)
		}
		switch r.Scope {
		case alert.All:
			set.all = append(set.all, r)
		case alert.Plan:
			set.plans[r.PlanID] = append(set.plans[r.PlanID], r)
		default:
			set.tenants[r.TenantID] = append(set.tenants[r.TenantID], r)
		}
	}
	return set, cmp.Or(found.Err(), found.Close())
}
