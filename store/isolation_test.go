package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/internal/usage"
)

// intruder is a customer that tries to see what is another's.
func intruder(t *testing.T) (own, other *shop) {
	t.Helper()
	own = openShop(t, charging(1000, 1000))
	other = secondShop(t, own, "Segredo")
	mine, theirs := own.call(11, 1), other.call(987654, 876543)
	mine.Object, mine.Provider, mine.SavedUSD, theirs.Object, theirs.Provider = "resp_own", "openai", 13, "resp_other", "Segredo"
	own.commit(t, mine)
	other.commit(t, theirs)
	ctx := context.Background()
	const user = `INSERT INTO users (email, name, role, tenant_id, password_hash) VALUES ($1, 'X', $2, NULLIF($3, 0), 'h')`
	for _, u := range []struct {
		email, role string
		tenant      int64
	}{{"dono@a.example", "owner", 0}, {"x@a.example", "tenant_admin", own.tenant.ID}} {
		if _, err := own.db.ExecContext(ctx, user, u.email, u.role, u.tenant); err != nil {
			t.Fatal(err)
		}
	}
	return own, other
}

func TestNoReadOfATenantShowsAnothers(t *testing.T) {
	own, other := intruder(t)
	ctx := context.Background()
	refusals := refuseBoth(t, own, other)
	noticed := own.raise(t, told{audience: alert.Customer, tenant: own.tenant.ID})
	other.raise(t, told{audience: alert.Customer, tenant: other.tenant.ID, threshold: 987654})
	own.raise(t, told{audience: alert.Operator, tenant: own.tenant.ID, threshold: 987654})
	forged := own.ForTenant(own.tenant.ID)
	span := around(time.Now())
	args := map[string][]any{
		"Self": {}, "Keys": {}, "Latency": {}, "UsageMinutes": {span}, "UsageHours": {span}, "UsageByModel": {span},
		"UsageByKey": {span}, "Calls": {uuid.Nil, 100}, "Allowances": {100},
		"Refusals": {uuid.Nil, 100}, "Refusal": {refusals["own"]}, "ResponseOwner": {"resp_own"},
		"Alerts": {alert.HistoryQuery{Limit: 100}}, "AlertCounts": {alert.HistoryQuery{}}, "Alert": {noticed}, "UnseenAlerts": {int64(0)},
	}
	reader := reflect.ValueOf(forged)
	for i := range reader.NumMethod() {
		name := reader.Type().Method(i).Name
		more, ok := args[name]
		if !ok {
			t.Errorf("%s is not tried here: every read that customers are served must be", name)
			continue
		}
		in := []reflect.Value{reflect.ValueOf(ctx)}
		for _, a := range more {
			in = append(in, reflect.ValueOf(a))
		}
		out := reader.Method(i).Call(in)
		if err, _ := out[len(out)-1].Interface().(error); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		text := written(t, out[0].Interface())
		for _, secret := range []string{"Segredo", "987654", "876543", other.key.Hint} {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows another tenant's %q: %s", name, secret, text)
			}
		}
		for _, figure := range []string{`"CostUSD":7`, `"SavedUSD":13`} {
			if strings.Contains(text, figure) {
				t.Errorf("%s shows what the call cost or saved the operator: %s", name, text)
			}
		}
	}
}

// refuseBoth has a call of each refused, and gives the request ids.
func refuseBoth(t *testing.T, own, other *shop) map[string]uuid.UUID {
	t.Helper()
	mine, theirs := own.refuses(0), other.refuses(0)
	theirs.Asked = 987654
	if err := own.InsertRefusals(context.Background(), []tenancy.Refusal{mine, theirs}); err != nil {
		t.Fatal(err)
	}
	return map[string]uuid.UUID{"own": mine.ID, "other": theirs.ID}
}

// isTold has a customer and the team told of it, and everything that belongs to that.
func (s *shop) isTold(t *testing.T) {
	t.Helper()
	for _, audience := range []string{"customer", "operator"} {
		const tell = `WITH r AS (INSERT INTO alert_rules (audience, scope, tenant_id, metric, unit, thresholds)
				VALUES ($2, 'tenant', $1::bigint, 'input_quota', 'percent', '{10}') RETURNING id),
			e AS (INSERT INTO alert_events (group_id, lead, rule_id, audience, metric, unit, subject, tenant_id, period, threshold, value, raised_at)
				SELECT gen_random_uuid(), true, id, $2, 'input_quota', 'percent', 'tenant:' || $1, $1, now(), 10, 10, now() FROM r RETURNING id),
			d AS (INSERT INTO deliveries (batch, kind, audience, tenant_id, channel, recipient, language, event_ids, due_at, created_at)
				SELECT 'group:' || $1 || $2, 'alert', $2, CASE WHEN $2 = 'customer' THEN $1 END, 'email', 'a@b.example', 'en', ARRAY[id], now(), now() FROM e RETURNING id),
			a AS (INSERT INTO delivery_attempts (delivery_id, at, took_ms, outcome) SELECT id, now(), 1, 'delivered' FROM d)
			INSERT INTO alert_snoozes (rule_id, subject, until, actor) SELECT id, 'tenant:' || $1, now(), 'x' FROM r`
		s.sql(t, strings.ReplaceAll(strings.ReplaceAll(tell, "$1", strconv.FormatInt(s.tenant.ID, 10)), "$2", "'"+audience+"'"))
	}
	s.sql(t, `INSERT INTO alert_unsubscribes (tenant_id, address) VALUES ($1, 'a@b.example')`, s.tenant.ID)
	s.sql(t, `INSERT INTO alert_addresses (tenant_id, address, asked_at, expires_at) VALUES ($1, 'a@b.example', now(), now())`, s.tenant.ID)
	s.sql(t, `INSERT INTO key_addresses (key_id, tenant_id, address, first_seen, last_seen) VALUES ($1, $2, '10.0.0.1', now(), now())`, s.key.ID, s.tenant.ID)
}

func written(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The program's own WHERE is not what holds a customer: asked for another tenant, the same queries find nothing.
func TestTheDatabaseHoldsATenantWhateverIsAsked(t *testing.T) {
	own, other := intruder(t)
	ctx := context.Background()
	refused := refuseBoth(t, own, other)
	err := own.ForTenant(own.tenant.ID).read(ctx, func(tx *tx) error {
		for _, asked := range []int64{0, other.tenant.ID} {
			r := usageReader{q: tx, tenantID: asked, now: tx.now}
			hours, err := r.hours(ctx, around(tx.now))
			if err != nil {
				return err
			}
			minutes, err := r.minutes(ctx, around(tx.now))
			if err != nil {
				return err
			}
			calls, err := r.calls(ctx, uuid.Nil, 100)
			if err != nil {
				return err
			}
			shares, err := r.byKey(ctx, around(tx.now))
			if err != nil {
				return err
			}
			allowances, err := r.allowances(ctx, 100)
			if err != nil {
				return err
			}
			refusals, err := refusals(ctx, tx, asked, uuid.Nil, 100)
			if err != nil {
				return err
			}
			if r, err := oneRefusal(ctx, tx, asked, refused["other"]); !fault.Is(err, fault.NotFound) {
				t.Errorf("asked for tenant %d: %+v (%v)", asked, r, err)
			}
			text := written(t, []any{hours, minutes, calls, shares, allowances, refusals})
			if strings.Contains(text, "987654") || strings.Contains(text, "Segredo") {
				t.Errorf("asked for tenant %d: %s", asked, text)
			}
			if asked == other.tenant.ID && (len(hours)+len(minutes)+len(calls)+len(allowances)+len(refusals)) > 0 {
				t.Errorf("something of tenant %d: %s", asked, text)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What the role filaia_tenant may read whole. Tables with columns that are not for customers refuse SELECT *; their
// other columns show own rows only. Every table that is not named here must be refused, also one that is added later.
var (
	openTables = map[string]bool{"plans": true, "plan_versions": true, "usage_folded": true}
	ownTables  = map[string]string{"tenants": "id", "subscriptions": "tenant_id", "billing_periods": "tenant_id", "quota_buckets": "tenant_id", "usage_minutes": "tenant_id",
		"refusals": "tenant_id", "responses": "tenant_id", "alert_events": "tenant_id", "deliveries": "tenant_id", "alert_unsubscribes": "tenant_id",
		"key_addresses":     "tenant_id",
		"alert_rules":       "coalesce(tenant_id, current_tenant())", // general ones for customers are everybody's
		"alert_snoozes":     "(SELECT e.tenant_id FROM alert_events e WHERE e.rule_id = alert_snoozes.rule_id AND e.subject = alert_snoozes.subject LIMIT 1)",
		"delivery_attempts": "(SELECT d.tenant_id FROM deliveries d WHERE d.id = delivery_id)",
	}
	columnTables = map[string]bool{"api_keys": true, "usage_events": true, "usage_hourly": true, "usage_tenant_hours": true, "usage_key_days": true,
		"alert_addresses": true}
)

func TestTheTenantRoleReadsNoOtherTable(t *testing.T) {
	own, other := intruder(t)
	refuseBoth(t, own, other)
	for _, s := range []*shop{own, other} {
		s.isTold(t)
	}
	ctx := context.Background()
	if err := own.EnsurePartitions(ctx, time.Now(), time.Now()); err != nil {
		t.Fatal(err)
	}
	own.commit(t, earlier(own.call(1, 1), 26*time.Hour))
	other.commit(t, earlier(other.call(1, 1), 26*time.Hour))
	if err := own.FoldUsage(ctx); err != nil {
		t.Fatal(err)
	}
	var tables []string
	const list = `SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p', 'v', 'm') ORDER BY 1`
	if err := own.db.Select(&tables, list); err != nil || len(tables) < 15 {
		t.Fatalf("%v (%v)", tables, err)
	}
	for _, table := range tables {
		for _, write := range []string{`DELETE FROM %s`, `INSERT INTO %s DEFAULT VALUES`} {
			if err := own.rawAs(own.tenant.ID, fmt.Sprintf(write, table)); !refused(err) {
				t.Errorf(write+" is not refused: %v", table, err)
			}
		}
		err := own.rawAs(own.tenant.ID, `SELECT * FROM `+table)
		switch {
		case openTables[table]:
			if err != nil {
				t.Errorf("%s: %v", table, err)
			}
		case ownTables[table] != "":
			own.holds(t, table, ownTables[table])
		case columnTables[table]:
			own.holds(t, table, "tenant_id")
			fallthrough
		default:
			if !refused(err) {
				t.Errorf("SELECT * FROM %s is not refused: %v", table, err)
			}
		}
	}
	for _, column := range []string{
		"hash FROM api_keys", "cost_usd_micros FROM usage_events", "provider_id FROM usage_events", "cost_usd_micros FROM usage_hourly",
		"password_hash FROM users", "email FROM users", "token_hash FROM sessions", "value FROM settings", "details FROM audit_log",
		"saved_usd_micros FROM usage_events", "saved_usd_micros FROM usage_hourly", "saved_usd_micros FROM usage_tenant_hours",
		"cost_usd_micros FROM usage_key_days", "requests FROM usage_hours", "requests FROM usage_tenant_days", "provider FROM usage_events",
		"input_price_micros FROM model_prices", "credential FROM providers", "brl_micros FROM exchange_rates", "upstream_model FROM model_routes",
		"nonce FROM alert_addresses",
	} {
		if err := own.rawAs(own.tenant.ID, `SELECT `+column); !refused(err) {
			t.Errorf("SELECT %s is not refused: %v", column, err)
		}
	}
}

// holds checks that the role sees own rows, at least one and no other, and none when no tenant is set.
func (s *shop) holds(t *testing.T, table, column string) {
	t.Helper()
	for tenantID, want := range map[int64]bool{s.tenant.ID: true, 0: false} {
		var seen []int64
		err := s.ForTenant(tenantID).read(context.Background(), func(tx *tx) error {
			if tenantID == 0 {
				if _, err := tx.Exec(`SELECT set_config('filaia.tenant_id', '', true)`); err != nil {
					return err
				}
			}
			return tx.Select(&seen, `SELECT DISTINCT `+column+` FROM `+table)
		})
		if err != nil || want != (len(seen) == 1 && seen[0] == s.tenant.ID) || !want && len(seen) > 0 {
			t.Errorf("%s as tenant %d shows %v (%v)", table, tenantID, seen, err)
		}
	}
}

func (s *shop) rawAs(tenantID int64, statement string) error {
	return s.ForTenant(tenantID).read(context.Background(), func(tx *tx) error {
		rows, err := tx.Query(statement)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
		}
		return rows.Err()
	})
}

func refused(err error) bool {
	var pqErr *pq.Error
	return errors.As(err, &pqErr) && pqErr.Code == "42501"
}

func TestATenantsReadLeavesNoTraceOnItsConnection(t *testing.T) {
	own, _ := intruder(t)
	own.db.SetMaxOpenConns(1)
	ctx := context.Background()
	if _, err := own.ForTenant(own.tenant.ID).Calls(ctx, uuid.Nil, 10); err != nil {
		t.Fatal(err)
	}
	calls, err := own.Calls(ctx, 0, uuid.Nil, 10)
	if err != nil || len(calls) != 2 {
		t.Errorf("%d calls (%v): the panel's reads must be its own again", len(calls), err)
	}
	if _, err := own.UsageHours(ctx, 0, usage.LastDays(time.Now(), 1, time.UTC)); err != nil {
		t.Error(err)
	}
}
