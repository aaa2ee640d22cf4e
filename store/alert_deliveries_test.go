package store

import (
	"context"
	"database/sql"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/store/storetest"
)

// delivering is a store with one customer, whose alerts it raises.
type delivering struct {
	*Store
	t      *testing.T
	tenant int64
	jobs   int64
	mu     sync.Mutex
	work   []alert.Work
}

func openDelivering(t *testing.T) *delivering {
	t.Helper()
	d := &delivering{Store: New(storetest.Open(t).DB, time.Now), t: t}
	d.get(&d.tenant, `INSERT INTO tenants (name, email, language, time_zone) VALUES ('Padaria', 'Contato@Padaria.com', 'en', 'America/Manaus') RETURNING id`)
	return d
}

func (d *delivering) get(into any, query string, args ...any) {
	d.t.Helper()
	if err := d.db.Get(into, query, args...); err != nil {
		d.t.Fatal(err)
	}
}

func (d *delivering) exec(query string, args ...any) {
	d.t.Helper()
	if _, err := d.db.Exec(query, args...); err != nil {
		d.t.Fatal(err)
	}
}

// enqueue stands for the queue.
func (d *delivering) enqueue(_ context.Context, _ *sql.Tx, work []alert.Work) ([]int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	ids := make([]int64, len(work))
	for i := range work {
		d.jobs++
		ids[i] = d.jobs
	}
	d.work = append(d.work, work...)
	return ids, nil
}

// raise adds an alert of the customer's, of a group of its own.
func (d *delivering) raise(metric alert.Metric, threshold int64) (id int64) {
	d.t.Helper()
	d.get(&id, `INSERT INTO alert_events (group_id, lead, rule_id, audience, metric, unit, subject, tenant_id, period, threshold, value, raised_at)
		SELECT gen_random_uuid(), true, id, audience, metric, unit, 'tenant:'||$1, $1::bigint, '2026-11-01', $2, $2, now() FROM alert_rules
		WHERE audience = 'customer' AND metric = $3 AND scope = 'all' RETURNING id`, d.tenant, threshold, string(metric))
	return id
}

func (d *delivering) dispatch(plan func(alert.Situation) alert.Planned) int {
	d.t.Helper()
	n, err := d.DispatchAlerts(context.Background(), plan, d.enqueue)
	if err != nil {
		d.t.Fatal(err)
	}
	return n
}

func (d *delivering) begin(id int64) (alert.Begun, alert.DeliveryState, time.Duration) {
	d.t.Helper()
	begun, state, wait, err := d.BeginDelivery(context.Background(), id, "a", time.Minute)
	if err != nil {
		d.t.Fatal(err)
	}
	return begun, state, wait
}

// held plans one message to the customer's own address, to be sent at due.
func held(due time.Time) func(alert.Situation) alert.Planned {
	return func(s alert.Situation) alert.Planned {
		d := alert.Delivery{
			Batch: "held:" + due.Format(time.RFC3339Nano), Kind: alert.Digest, Audience: alert.Customer, TenantID: s.Customer.ID, Channel: alert.Email,
			Recipient: "contato@padaria.com", Language: "en", DueAt: due,
		}
		for _, e := range s.Events {
			d.EventIDs = append(d.EventIDs, e.ID)
		}
		return alert.Planned{Deliveries: []alert.Delivery{d}}
	}
}

func TestASituationHoldsEverythingThatDecidesWhoIsTold(t *testing.T) {
	d := openDelivering(t)
	d.exec(`INSERT INTO users (email, name, role, tenant_id, password_hash, language, disabled_at) VALUES ('dono@x.com', 'Dono', 'owner', NULL, '', 'pt-BR', NULL),
		('gone@x.com', 'Gone', 'owner', NULL, '', 'pt-BR', now()), ('ana@x.com', 'Ana', 'tenant_admin', $1, '', 'en', NULL)`, d.tenant)
	var other int64
	d.get(&other, `INSERT INTO tenants (name) VALUES ('Outra') RETURNING id`)
	d.exec(`INSERT INTO users (email, name, role, tenant_id, password_hash) VALUES ('bia@x.com', 'Bia', 'tenant_admin', $1, '')`, other)
	d.exec(`INSERT INTO alert_channels (tenant_id, kind, name, target, sealed, active, deleted_at) VALUES (NULL, 'slack', 'ours', '', '', true, NULL),
		($1, 'webhook', 'theirs', '', '', true, NULL), ($2, 'webhook', 'other', '', '', true, NULL), (NULL, 'slack', 'off', '', '', false, NULL),
		(NULL, 'slack', 'gone', '', '', true, now())`, d.tenant, other)
	d.exec(`UPDATE alert_rules SET deleted_at = now(), quiet_from = 1320, quiet_until = 480, daily_at = 540, escalate_minutes = 15, escalate_roles = '{owner}',
		escalate_to = '{boss@x.com}', addresses = '{cfo@x.com}', channel_ids = '{1,2}'`)
	id := d.raise(alert.InputQuota, 8000)
	d.exec(`INSERT INTO alert_snoozes (rule_id, subject, until, actor) SELECT rule_id, subject, now() + interval '1 hour', '' FROM alert_events`)
	d.exec(`INSERT INTO alert_unsubscribes (tenant_id, address, metric) VALUES ($1, 'cfo@x.com', '')`, d.tenant)
	var got alert.Situation
	d.dispatch(func(s alert.Situation) alert.Planned { got = s; return alert.Planned{} })
	if len(got.Events) != 1 || got.Events[0].ID != id || got.Now.IsZero() {
		t.Errorf("events: %+v", got.Events)
	}
	rule := got.Rules[got.Events[0].RuleID]
	if rule.Quiet == nil || *rule.Quiet != (alert.Quiet{From: 1320, Until: 480}) || rule.DailyAt == nil || *rule.DailyAt != 540 || !rule.LastAtOnce ||
		rule.Escalation == nil || rule.Escalation.After != 15 || rule.To.Addresses[0] != "cfo@x.com" || len(rule.To.Channels) != 2 || !rule.To.Contacts {
		t.Errorf("the deleted rule: %+v", rule)
	}
	if len(got.Team) != 1 || got.Team[0].Address != "dono@x.com" {
		t.Errorf("team: %+v", got.Team)
	}
	if c := got.Customer; c == nil || c.Email != "Contato@Padaria.com" || c.Language != "en" || c.Zone.String() != "America/Manaus" || len(c.Users) != 1 || c.Users[0].Name != "Ana" {
		t.Errorf("customer: %+v", c)
	}
	names := []string{}
	for _, l := range got.Lines {
		names = append(names, l.Name)
	}
	if !slices.Equal(names, []string{"ours", "theirs"}) || got.Lines[1].TenantID != d.tenant {
		t.Errorf("channels: %+v", got.Lines)
	}
	if len(got.Snoozes) != 1 || len(got.Optouts) != 1 || got.Snoozes[0].RuleID != rule.ID || got.Optouts[0].TenantID != d.tenant {
		t.Errorf("snoozes %+v, unsubscribed %+v", got.Snoozes, got.Optouts)
	}
	if n := d.dispatch(alert.Decide); n != 0 {
		t.Errorf("%d groups were dispatched a second time", n)
	}
}

func TestWhatIsHeldUntilTheSameMomentIsOneMessage(t *testing.T) {
	d := openDelivering(t)
	due := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	first := d.raise(alert.InputQuota, 5000)
	d.dispatch(held(due))
	second := d.raise(alert.OutputQuota, 5000)
	third := d.raise(alert.Overage, 50)
	d.dispatch(held(due))
	var row struct {
		ID     int64         `db:"id"`
		Events pq.Int64Array `db:"event_ids"`
	}
	d.get(&row, `SELECT id, event_ids FROM deliveries`)
	if !slices.Equal(row.Events, []int64{first, second, third}) {
		t.Errorf("events %v, want %d, %d, %d", row.Events, first, second, third)
	}
	if len(d.work) != 1 || !d.work[0].DueAt.Equal(due) {
		t.Errorf("jobs %+v, want one at %s", d.work, due)
	}
}

func TestNothingIsAddedToAMessageThatIsBeingSent(t *testing.T) {
	d := openDelivering(t)
	due := time.Now()
	first := d.raise(alert.InputQuota, 5000)
	d.dispatch(held(due))
	begun, state, wait := d.begin(d.work[0].DeliveryID)
	if state != alert.Pending || wait != 0 || len(begun.Events) != 1 || begun.Events[0].ID != first {
		t.Fatalf("begun %+v (%s, %s)", begun, state, wait)
	}
	second := d.raise(alert.OutputQuota, 5000)
	d.dispatch(held(due))
	third := d.raise(alert.Overage, 50)
	d.dispatch(held(due))
	if len(d.work) != 2 {
		t.Fatalf("jobs %+v, want one more", d.work)
	}
	begun, _, _ = d.begin(d.work[1].DeliveryID)
	if !slices.Equal(begun.Delivery.EventIDs, []int64{second, third}) {
		t.Errorf("the next message tells %v, want %d and %d", begun.Delivery.EventIDs, second, third)
	}
}

// Alerts are added to a digest by several while it is taken and sent by others, as often as there are alerts.
func TestADigestLosesNothingWhoeverIsQuicker(t *testing.T) {
	d := openDelivering(t)
	const alerts = 120
	due := time.Now()
	sent := map[int64]int{}
	raised := make(chan struct{})
	var planners, senders sync.WaitGroup
	ids := make([]int64, alerts)
	for i := range ids {
		ids[i] = d.raise(alert.InputQuota, int64(i))
	}
	one := func(s alert.Situation) alert.Planned { return held(due)(s) }
	for range 3 {
		planners.Go(func() {
			for {
				n, err := d.dispatchOne(one)
				if err != nil {
					t.Error(err)
				}
				if n == 0 || err != nil {
					return
				}
			}
		})
	}
	var mu sync.Mutex
	send := func() (n int) {
		var pending []int64
		if err := d.db.Select(&pending, `SELECT id FROM deliveries WHERE state = 'pending'`); err != nil {
			t.Error(err)
		}
		for _, id := range pending {
			begun, state, wait, err := d.BeginDelivery(context.Background(), id, "a", time.Minute)
			if err != nil {
				t.Error(err)
			}
			if state != alert.Pending || wait > 0 || err != nil {
				continue
			}
			mu.Lock()
			for _, event := range begun.Delivery.EventIDs {
				sent[event]++
			}
			mu.Unlock()
			if err := d.RecordAttempt(context.Background(), id, alert.Attempt{At: time.Now(), Outcome: alert.OutcomeDelivered}, alert.Delivered); err != nil {
				t.Error(err)
			}
			n++
		}
		return n
	}
	for range 2 {
		senders.Go(func() {
			for {
				n := send()
				select {
				case <-raised:
					if n == 0 {
						return
					}
				default:
				}
			}
		})
	}
	planners.Wait()
	close(raised)
	senders.Wait()
	send()
	for _, id := range ids {
		if sent[id] != 1 {
			t.Errorf("alert %d was told %d times", id, sent[id])
		}
	}
	if len(sent) != alerts {
		t.Errorf("%d of %d alerts were told", len(sent), alerts)
	}
}

// dispatchOne is DispatchAlerts of one group at a time, so that the planners meet more often.
func (d *delivering) dispatchOne(plan func(alert.Situation) alert.Planned) (n int, err error) {
	err = d.inTx(context.Background(), func(t *tx) error {
		n, err = t.dispatch(context.Background(), 1, plan, d.enqueue)
		return err
	})
	return n, err
}

func TestAMessageIsSentByOneAtATime(t *testing.T) {
	d := openDelivering(t)
	d.raise(alert.InputQuota, 5000)
	d.dispatch(held(time.Now()))
	id := d.work[0].DeliveryID
	if _, state, wait := d.begin(id); state != alert.Pending || wait != 0 {
		t.Fatalf("%s, %s", state, wait)
	}
	if _, state, wait := d.begin(id); state != alert.Pending || wait < 50*time.Second || wait > time.Minute {
		t.Errorf("a second sender: %s, %s; want to wait for a minute", state, wait)
	}
	ctx := context.Background()
	if err := d.RecordAttempt(ctx, id, alert.Attempt{At: time.Now(), Outcome: alert.OutcomeDelivered}, alert.Delivered); err != nil {
		t.Fatal(err)
	}
	// The one that was believed dead comes back and says that it failed.
	if err := d.RecordAttempt(ctx, id, alert.Attempt{At: time.Now(), Outcome: alert.OutcomeRetry}, alert.Dead); err != nil {
		t.Fatal(err)
	}
	if begun, state, _ := d.begin(id); state != alert.Delivered || begun.Delivery.Attempts != 2 {
		t.Errorf("%s after %d attempts, want delivered after 2", state, begun.Delivery.Attempts)
	}
	if err := d.ResendDelivery(ctx, id); fault.KindOf(err) != fault.Conflict {
		t.Errorf("sending again what was delivered: %v", err)
	}
	if err := d.ResendDelivery(ctx, 1<<40); fault.KindOf(err) != fault.NotFound {
		t.Errorf("sending again what is not there: %v", err)
	}
}

func TestWhoWasStoppedForLongTakesNoMessageFromTheNext(t *testing.T) {
	d := openDelivering(t)
	d.raise(alert.InputQuota, 5000)
	d.dispatch(held(time.Now()))
	id, ctx := d.work[0].DeliveryID, context.Background()
	begin := func(replica string, state alert.DeliveryState, free bool) {
		t.Helper()
		_, got, wait, err := d.BeginDelivery(ctx, id, replica, time.Minute)
		if err != nil || got != state || free != (wait == 0) {
			t.Errorf("%s finds it %s for %s, %v; want %s, free: %v", replica, got, wait, err, state, free)
		}
	}
	record := func(replica string, outcome alert.Outcome, state alert.DeliveryState) {
		t.Helper()
		if err := d.RecordAttempt(ctx, id, alert.Attempt{At: time.Now(), Outcome: outcome, Replica: replica}, state); err != nil {
			t.Fatal(err)
		}
	}
	begin("a", alert.Pending, true)
	d.exec(`UPDATE deliveries SET sending_until = now() - interval '1 second'`) // a is stopped
	begin("b", alert.Pending, true)
	record("a", alert.OutcomeRetry, alert.Pending)
	begin("c", alert.Pending, false)
	record("a", alert.OutcomeRefused, alert.Dead)
	begin("c", alert.Pending, false)
	record("b", alert.OutcomeRetry, alert.Dead)
	begin("c", alert.Dead, true)
	record("a", alert.OutcomeDelivered, alert.Delivered) // its answer came at last
	begin("c", alert.Delivered, true)
	record("b", alert.OutcomeRetry, alert.Dead)
	begin("c", alert.Delivered, true)
}

func TestWhatWasOnlyKeptCanBeSent(t *testing.T) {
	d := openDelivering(t)
	d.raise(alert.InputQuota, 5000)
	d.dispatch(held(time.Now()))
	id, ctx := d.work[0].DeliveryID, context.Background()
	record := func(answer string) {
		t.Helper()
		if err := d.RecordAttempt(ctx, id, alert.Attempt{At: time.Now(), Outcome: alert.OutcomeDelivered, Answer: answer}, alert.Delivered); err != nil {
			t.Fatal(err)
		}
	}
	record(alert.KeptPrefix + "20260102.eml")
	if err := d.ResendDelivery(ctx, id); err != nil {
		t.Fatal(err)
	}
	if err := d.ResendDelivery(ctx, id); fault.KindOf(err) != fault.Conflict {
		t.Errorf("while it is on its way: %v", err)
	}
	if _, state, _ := d.begin(id); state != alert.Pending {
		t.Fatalf("it is %s, and not sent", state)
	}
	record("250 ok")
	if err := d.ResendDelivery(ctx, id); fault.KindOf(err) != fault.Conflict {
		t.Errorf("after it has left: %v", err)
	}
}

func TestTheChartShowsTheCustomersDays(t *testing.T) {
	d := openDelivering(t)
	now := time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC) // still the 21st in Manaus
	d.now = func() time.Time { return now }
	for _, row := range []struct {
		hour  string
		input int
	}{{"2026-11-22 01:00+00", 7}, {"2026-11-21 05:00+00", 10}, {"2026-11-21 03:00+00", 100}, {"2026-11-08 04:00+00", 1000}, {"2026-11-08 03:00+00", 9999}} {
		d.exec(`INSERT INTO usage_hourly (hour, tenant_id, key_id, period_id, model, requests, failures, input_tokens, cached_tokens, output_tokens, reasoning_tokens, cost_usd_micros, charge_brl_micros)
			VALUES ($1, $2, 1, 1, 'm', 1, 0, $3, 0, 1, 0, 0, 0)`, row.hour, d.tenant, row.input)
	}
	d.raise(alert.InputQuota, 5000)
	d.dispatch(held(now))
	begun, _, _ := d.begin(d.work[0].DeliveryID)
	days := begun.Days
	if len(days) != 14 || days[13].Input != 17 || days[13].Output != 2 || days[12].Input != 100 || days[0].Input != 1000 {
		t.Errorf("days: %+v", days)
	}
	if begun.Zone == nil || begun.Zone.String() != "America/Manaus" || days[13].Day.Format(time.DateTime) != "2026-11-21 00:00:00" {
		t.Errorf("zone %v, today %v", begun.Zone, days[13].Day)
	}
}

func TestAHeldMessageIsOnlyToldToItsOwnCustomer(t *testing.T) {
	d := openDelivering(t)
	d.raise(alert.InputQuota, 5000)
	d.dispatch(held(time.Now()))
	var other int64
	d.get(&other, `INSERT INTO tenants (name) VALUES ('Outra') RETURNING id`)
	for tenant, want := range map[int64]int{d.tenant: 1, other: 0} {
		err := d.ForTenant(tenant).read(context.Background(), func(t *tx) error {
			var n int
			if err := sqlx.Get(t, &n, `SELECT count(*) FROM deliveries`); err != nil {
				return err
			}
			if n != want {
				d.t.Errorf("tenant %d sees %d messages, want %d", tenant, n, want)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestAnEscalationIsToldOnceToEach(t *testing.T) {
	d := openDelivering(t)
	d.raise(alert.InputQuota, 5000)
	var group uuid.UUID
	var rule int64
	d.get(&group, `SELECT group_id FROM alert_events`)
	d.get(&rule, `SELECT rule_id FROM alert_events`)
	d.exec(`UPDATE alert_rules SET escalate_minutes = 5, escalate_to = '{boss@x.com}' WHERE id = $1`, rule)
	for range 3 {
		if again, err := d.EscalateAlerts(context.Background(), group, rule, alert.Escalate, d.enqueue); err != nil || !again.IsZero() {
			t.Fatal(again, err)
		}
		d.exec(`UPDATE deliveries SET state = 'delivered', begun_at = now()`)
	}
	if len(d.work) != 1 {
		t.Errorf("%d messages", len(d.work))
	}
}
