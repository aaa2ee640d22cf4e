package store

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"github.com/fila-ia/filaia/internal/alert"
)

// night is a customer with an admin, one of the team, and channels of both, whose messages are held until the morning.
func night(t *testing.T) *delivering {
	d := openDelivering(t)
	d.exec(`INSERT INTO users (email, name, role, tenant_id, password_hash, language) VALUES ('ana@x.com', 'Ana', 'tenant_admin', $1, '', 'en'), ('dono@x.com', 'Dono', 'owner', NULL, '', 'pt-BR')`, d.tenant)
	d.exec(`INSERT INTO alert_channels (tenant_id, kind, name, target, sealed) VALUES (NULL, 'slack', 'Sala', '', ''), ($1, 'webhook', 'Gancho', '', '')`, d.tenant)
	d.exec(`UPDATE alert_rules SET addresses = '{Fora@x.com}', channel_ids = ARRAY(SELECT id FROM alert_channels)`)
	wall := time.Now().UTC().Add(6 * time.Hour) // of somewhere: it is quiet there for hours to come
	d.exec(`UPDATE tenants SET time_zone = 'UTC'`)
	d.exec(`UPDATE alert_rules SET quiet_from = $1, quiet_until = $2, last_at_once = false`, (wall.Hour()*60+wall.Minute()+720)%1440, wall.Hour()*60+wall.Minute())
	return d
}

// raiseTeam adds an alert of the team's, of the customer's or of a provider.
func (d *delivering) raiseTeam(metric alert.Metric, threshold int64) (id int64) {
	d.t.Helper()
	d.get(&id, `INSERT INTO alert_events (group_id, lead, rule_id, audience, metric, unit, subject, period, threshold, value, raised_at)
		SELECT gen_random_uuid(), true, id, audience, metric, unit, 'provider:1', '2026-11-01', $1, $1, now() FROM alert_rules
		WHERE audience = 'operator' AND metric = $2 AND scope = 'all' RETURNING id`, threshold, string(metric))
	return id
}

// holdAll plans what was raised; all of it must wait.
func (d *delivering) holdAll() {
	d.t.Helper()
	d.dispatch(alert.Decide)
	var n int
	d.get(&n, `SELECT count(*) FROM deliveries WHERE kind = 'digest' AND due_at > now() + interval '1 hour'`)
	if n != len(d.work) || n == 0 {
		d.t.Fatalf("%d of %d messages wait", n, len(d.work))
	}
}

// morning begins every message that waits, and gives whom it told of how many alerts.
func (d *delivering) morning() map[string]int {
	d.t.Helper()
	d.exec(`UPDATE deliveries SET due_at = now() WHERE state = 'pending'`)
	var ids []int64
	if err := d.db.Select(&ids, `SELECT id FROM deliveries WHERE state = 'pending' ORDER BY id`); err != nil {
		d.t.Fatal(err)
	}
	told := map[string]int{}
	for _, id := range ids {
		begun, state, wait := d.begin(id)
		if state != alert.Pending || wait != 0 {
			continue
		}
		if len(begun.Events) != len(begun.Delivery.EventIDs) {
			d.t.Errorf("%d events of %v", len(begun.Events), begun.Delivery.EventIDs)
		}
		told[begun.Delivery.Recipient] += len(begun.Events)
	}
	return told
}

// told lists whom, in order.
func toldList(told map[string]int) string {
	var all []string
	for who := range told {
		all = append(all, who)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func TestWhoIsHeldUntilTheMorningIsAskedForAgainThen(t *testing.T) {
	const customers = "ana@x.com channel:2 contato@padaria.com fora@x.com"
	for name, c := range map[string]struct {
		meanwhile string
		want      string
	}{
		"nothing happens":              {`SELECT 1`, customers},
		"left the role":                {`UPDATE users SET role = 'tenant_viewer' WHERE email = 'ana@x.com'`, "channel:2 contato@padaria.com fora@x.com"},
		"went to another customer":     {`WITH o AS (INSERT INTO tenants (name) VALUES ('Outra') RETURNING id) UPDATE users SET tenant_id = o.id FROM o WHERE email = 'ana@x.com'`, "channel:2 contato@padaria.com fora@x.com"},
		"was disabled":                 {`UPDATE users SET disabled_at = now() WHERE email = 'ana@x.com'`, "channel:2 contato@padaria.com fora@x.com"},
		"was deleted":                  {`DELETE FROM users WHERE email = 'ana@x.com'`, "channel:2 contato@padaria.com fora@x.com"},
		"wants no more of it":          {`INSERT INTO alert_unsubscribes (tenant_id, address, metric) SELECT id, 'FORA@x.com', 'input_quota' FROM tenants`, "ana@x.com channel:2 contato@padaria.com"},
		"wants no more of another":     {`INSERT INTO alert_unsubscribes (tenant_id, address, metric) SELECT id, 'fora@x.com', 'overage' FROM tenants`, customers},
		"is not named any more":        {`UPDATE alert_rules SET addresses = '{}', contacts = false`, "ana@x.com channel:2"},
		"the role is not named":        {`UPDATE alert_rules SET roles = '{}'`, "channel:2 contato@padaria.com fora@x.com"},
		"changed the address":          {`UPDATE tenants SET email = 'novo@padaria.com'`, "ana@x.com channel:2 fora@x.com"},
		"the channel was deleted":      {`UPDATE alert_channels SET deleted_at = now(), active = false WHERE id = 2`, "ana@x.com contato@padaria.com fora@x.com"},
		"the channel was switched off": {`UPDATE alert_channels SET active = false WHERE id = 2`, "ana@x.com contato@padaria.com fora@x.com"},
		"the rule was deleted":         {`UPDATE alert_rules SET deleted_at = now()`, ""},
		"the rule was switched off":    {`UPDATE alert_rules SET enabled = false`, ""},
		"the rule has an heir": {`WITH gone AS (UPDATE alert_rules SET deleted_at = now() WHERE metric = 'input_quota')
			INSERT INTO alert_rules (audience, scope, metric, unit, thresholds, roles) VALUES ('customer', 'all', 'input_quota', 'percent', '{1000}', '{tenant_admin}')`, "ana@x.com"},
		"the customer has chosen": {`INSERT INTO alert_rules (audience, scope, tenant_id, metric, unit, thresholds, contacts) SELECT 'customer', 'tenant', id, 'input_quota', 'percent', '{1000}', true FROM tenants`, "contato@padaria.com"},
		"the customer wants none": {`INSERT INTO alert_rules (audience, scope, tenant_id, metric, unit, thresholds, enabled) SELECT 'customer', 'tenant', id, 'input_quota', 'percent', '{1000}', false FROM tenants`, ""},
		"another customer has chosen": {`WITH o AS (INSERT INTO tenants (name) VALUES ('Outra') RETURNING id)
			INSERT INTO alert_rules (audience, scope, tenant_id, metric, unit, thresholds, enabled) SELECT 'customer', 'tenant', id, 'input_quota', 'percent', '{1000}', false FROM o`, customers},
		"the customer was closed":    {`UPDATE tenants SET status = 'closed'`, ""},
		"the customer was suspended": {`UPDATE tenants SET status = 'suspended'`, customers},
		"somebody joined the role":   {`INSERT INTO users (email, name, role, tenant_id, password_hash) SELECT 'bia@x.com', 'Bia', 'tenant_admin', id, '' FROM tenants`, customers},
	} {
		t.Run(name, func(t *testing.T) {
			d := night(t)
			d.raise(alert.InputQuota, 5000)
			d.holdAll()
			d.exec(c.meanwhile)
			if got := toldList(d.morning()); got != c.want {
				t.Errorf("told: %s; want %s", got, c.want)
			}
			if again := d.dispatch(alert.Decide); again != 0 || len(d.morning()) != 0 {
				t.Error("somebody was told twice")
			}
		})
	}
}

func TestWhoJoinsWhileMessagesAreHeldHearsOfWhatComesAfter(t *testing.T) {
	d := night(t)
	d.raise(alert.InputQuota, 5000)
	d.holdAll()
	d.exec(`INSERT INTO users (email, name, role, tenant_id, password_hash) VALUES ('bia@x.com', 'Bia', 'tenant_admin', $1, '')`, d.tenant)
	d.raise(alert.InputQuota, 8000)
	d.holdAll()
	if got := d.morning(); got["ana@x.com"] != 2 || got["bia@x.com"] != 1 {
		t.Errorf("told: %v", got)
	}
}

func TestOfADigestTheReaderGetsWhatIsStillForThem(t *testing.T) {
	d := night(t)
	d.raise(alert.InputQuota, 5000)
	kept := d.raise(alert.OutputQuota, 5000)
	d.holdAll()
	d.exec(`INSERT INTO alert_unsubscribes (tenant_id, address, metric) SELECT id, 'fora@x.com', 'input_quota' FROM tenants`)
	d.exec(`UPDATE users SET name = 'Ana Maria', language = 'pt-BR' WHERE email = 'ana@x.com'`)
	if got := d.morning(); got["fora@x.com"] != 1 || got["ana@x.com"] != 2 {
		t.Errorf("told: %v", got)
	}
	var events pq.Int64Array
	if d.get(&events, `SELECT event_ids FROM deliveries WHERE recipient = 'fora@x.com'`); !slices.Equal(events, []int64{kept}) {
		t.Errorf("the history says that they were told of %v", events)
	}
	var name string
	if d.get(&name, `SELECT name || ' ' || language FROM deliveries WHERE recipient = 'ana@x.com'`); name != "Ana Maria pt-BR" {
		t.Errorf("written to %s", name)
	}
}

func TestWhatIsDueAtOnceIsToldThoughItsRuleIsDeletedButNotToWhoHasLeft(t *testing.T) {
	d := night(t)
	d.exec(`UPDATE alert_rules SET quiet_from = NULL, quiet_until = NULL`)
	d.raise(alert.InputQuota, 5000)
	d.dispatch(alert.Decide)
	d.exec(`UPDATE alert_rules SET deleted_at = now(), enabled = false`)
	d.exec(`UPDATE users SET role = 'tenant_viewer'  WHERE email = 'ana@x.com'`)
	if got := toldList(d.morning()); got != "channel:2 contato@padaria.com fora@x.com" {
		t.Errorf("told: %s", got)
	}
}

func TestWhoLeavesTheTeamAndIsACustomersContactHearsOfThatCustomerOnly(t *testing.T) {
	d := night(t)
	d.exec(`UPDATE tenants SET email = 'dono@x.com'`)
	own := d.raise(alert.OutputQuota, 5000)
	team := d.raiseTeam(alert.ErrorRate, 500)
	d.exec(`UPDATE alert_events SET group_id = $1`, uuid.New())
	d.exec(`UPDATE alert_events SET tenant_id = $1::bigint, subject = 'tenant:' || $1::bigint WHERE id = $2`, d.tenant, team)
	d.holdAll()
	d.exec(`UPDATE users SET disabled_at = now() WHERE email = 'dono@x.com'`)
	d.morning()
	var row struct {
		Events   pq.Int64Array `db:"event_ids"`
		Audience string        `db:"audience"`
		Tenant   int64         `db:"tenant_id"`
	}
	d.get(&row, `SELECT event_ids, audience, coalesce(tenant_id, 0) AS tenant_id FROM deliveries WHERE recipient = 'dono@x.com'`)
	if !slices.Equal(row.Events, []int64{own}) || row.Audience != "customer" || row.Tenant != d.tenant {
		t.Errorf("%+v", row)
	}
}

func TestWhatIsOverIsNotToldInTheMorningAsIfItWereOpen(t *testing.T) {
	for name, c := range map[string]struct {
		meanwhile string
		want      string
	}{
		"all of it is open":              {`SELECT 1`, "channel:1 dono@x.com fora@x.com"},
		"the outage has gone":            {`UPDATE alert_events SET resolved_at = now()`, ""},
		"one of the team takes care":     {`UPDATE alert_events SET acknowledged_at = now()`, ""},
		"one goes on":                    {`UPDATE alert_events SET resolved_at = now() WHERE threshold = 500`, "channel:1 dono@x.com fora@x.com"},
		"one has gone, one is cared for": {`UPDATE alert_events SET resolved_at = CASE threshold WHEN 500 THEN now() END, acknowledged_at = CASE threshold WHEN 2000 THEN now() END`, ""},
		"it is collected by the day":     {`UPDATE alert_events SET resolved_at = now(), acknowledged_at = now(); UPDATE alert_rules SET daily_at = 480`, "channel:1 dono@x.com fora@x.com"},
	} {
		t.Run(name, func(t *testing.T) {
			d := night(t)
			d.raiseTeam(alert.ErrorRate, 500)
			d.raiseTeam(alert.ErrorRate, 2000)
			d.holdAll()
			d.exec(c.meanwhile)
			if got := toldList(d.morning()); got != c.want {
				t.Errorf("told: %s; want %s", got, c.want)
			}
		})
	}
}

func TestCustomersAreToldOfAQuotaWhoeverHasConfirmedIt(t *testing.T) {
	d := night(t)
	d.raise(alert.InputQuota, 9000)
	d.holdAll()
	d.exec(`UPDATE alert_events SET acknowledged_at = now(), resolved_at = now()`) // by the operator; the period has ended
	if got := d.morning(); got["contato@padaria.com"] != 1 {
		t.Errorf("told: %v", got)
	}
}

func TestThatNobodyHasConfirmedIsToldOnlyWhileItIsSo(t *testing.T) {
	for meanwhile, want := range map[string]string{
		`SELECT 1`: "boss@x.com",
		`UPDATE alert_events SET acknowledged_at = now()`:                     "",
		`UPDATE alert_events SET resolved_at = now()`:                         "",
		`UPDATE alert_rules SET escalate_to = '{other@x.com}'`:                "",
		`UPDATE alert_rules SET escalate_minutes = NULL, escalate_to = '{}'`:  "",
		`UPDATE alert_rules SET addresses = '{}', roles = '{}', daily_at = 1`: "boss@x.com",
		`UPDATE alert_rules SET deleted_at = now()`:                           "boss@x.com",
	} {
		d := openDelivering(t)
		d.raise(alert.InputQuota, 5000)
		var group uuid.UUID
		var rule int64
		d.get(&group, `SELECT group_id FROM alert_events`)
		d.get(&rule, `SELECT rule_id FROM alert_events`)
		d.exec(`UPDATE alert_rules SET escalate_minutes = 5, escalate_to = '{boss@x.com}' WHERE id = $1`, rule)
		if _, err := d.EscalateAlerts(context.Background(), group, rule, alert.Escalate, d.enqueue); err != nil {
			t.Fatal(err)
		}
		d.exec(meanwhile)
		if got := toldList(d.morning()); got != want {
			t.Errorf("%s: told: %s; want %s", meanwhile, got, want)
		}
	}
}

func TestTheTeamIsToldOfACustomerThatWasClosedMeanwhile(t *testing.T) {
	d := night(t)
	var id int64
	d.get(&id, `INSERT INTO alert_events (group_id, lead, rule_id, audience, metric, unit, subject, tenant_id, period, threshold, value, raised_at)
		SELECT gen_random_uuid(), true, id, audience, metric, unit, 'tenant:'||$1, $1::bigint, '2026-11-01', 100, 100, now() FROM alert_rules
		WHERE audience = 'operator' AND metric = 'error_rate' AND scope = 'all' RETURNING id`, d.tenant)
	d.raise(alert.InputQuota, 5000)
	d.holdAll()
	d.exec(`UPDATE tenants SET status = 'closed'`)
	got := d.morning()
	if _, owner := got["dono@x.com"]; !owner {
		t.Errorf("the team is not told: %v", got)
	}
	for _, gone := range []string{"ana@x.com", "contato@padaria.com", "channel:2"} {
		if got[gone] != 0 {
			t.Errorf("%s of a closed customer is told", gone)
		}
	}
}
