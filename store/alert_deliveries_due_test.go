package store

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
)

// waits gives the messages that wait, in order: their due times and how many alerts they tell.
func (d *delivering) waits() (list []string) {
	d.t.Helper()
	if err := d.db.Select(&list, `SELECT CASE WHEN due_at <= now() THEN 'now' ELSE round(extract(epoch FROM due_at - now()) / 86400)::text END || ' ' || cardinality(event_ids)
		FROM deliveries WHERE state = 'pending' ORDER BY due_at, id`); err != nil {
		d.t.Fatal(err)
	}
	return list
}

func (d *delivering) wantWaits(after string, want ...string) {
	d.t.Helper()
	d.dispatch(alert.Decide)
	if got := d.waits(); !slices.Equal(got, want) {
		d.t.Fatalf("%s there wait %q, want %q", after, got, want)
	}
}

func TestASnoozeThatEndsOrMovesTakesWhatWaitedAlong(t *testing.T) {
	d := openDelivering(t)
	ctx := context.Background()
	days := func(n int) time.Time { return time.Now().Add(time.Duration(n) * 24 * time.Hour) }
	snooze := func(id int64, n int) {
		t.Helper()
		if err := d.SnoozeAlert(ctx, id, days(n)); err != nil {
			t.Fatal(err)
		}
	}
	first := d.raise(alert.InputQuota, 5000)
	d.wantWaits("at first", "now 1")
	var id int64
	d.get(&id, `SELECT id FROM deliveries`)
	d.begin(id)
	snooze(first, 90)
	second := d.raise(alert.InputQuota, 8000)
	d.raise(alert.OutputQuota, 5000) // nobody snoozed
	d.wantWaits("snoozed", "now 1", "now 1", "90 1")
	snooze(second, 30)
	d.raise(alert.InputQuota, 9000)
	d.wantWaits("shortened", "now 1", "now 1", "30 2")
	snooze(second, 60)
	d.wantWaits("prolonged", "now 1", "now 1", "60 2")
	if err := d.UnsnoozeAlert(ctx, first); err != nil {
		t.Fatal(err)
	}
	d.wantWaits("ended", "now 1", "now 1", "now 1", "now 1")
	if _, state, _ := d.begin(id); state != alert.Pending {
		t.Errorf("what was being sent is %s", state)
	}
	var tellings int
	d.get(&tellings, `SELECT max(n) FROM (SELECT count(*) AS n FROM deliveries, unnest(event_ids) AS e GROUP BY e) x`)
	if tellings != 1 {
		t.Errorf("an alert is in %d messages", tellings)
	}
	last := d.raise(alert.InputQuota, 10000)
	d.dispatch(alert.Decide)
	snooze(last, 3) // before anybody began to send it
	d.wantWaits("snoozed at once", "now 1", "now 1", "3 3")
}

func TestTheEndOfASnoozeTellsNothingOfWhatIsOver(t *testing.T) {
	d := openDelivering(t)
	ctx := context.Background()
	d.exec(`INSERT INTO users (email, name, role, password_hash) VALUES ('dono@x.com', 'Dono', 'owner', '')`)
	raise := func(threshold int64) (id int64) {
		d.get(&id, `INSERT INTO alert_events (group_id, lead, rule_id, audience, metric, unit, subject, period, threshold, value, raised_at)
			SELECT gen_random_uuid(), true, id, audience, metric, unit, 'provider:1', '2026-11-01', $1::bigint, $1::bigint, now() FROM alert_rules
			WHERE metric = 'breaker_open' RETURNING id`, threshold)
		return id
	}
	first := raise(60)
	d.wantWaits("at first", "now 1")
	var id int64
	d.get(&id, `SELECT id FROM deliveries`)
	d.begin(id)
	if err := d.SnoozeAlert(ctx, first, time.Now().Add(2*24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	raise(600)
	d.wantWaits("snoozed", "now 1", "2 1")
	d.exec(`UPDATE alert_events SET resolved_at = now()`)
	if err := d.UnsnoozeAlert(ctx, first); err != nil {
		t.Fatal(err)
	}
	d.wantWaits("when it is over", "now 1")
}

func TestAMessageIsNotBegunBeforeItIsDue(t *testing.T) {
	d := openDelivering(t)
	d.raise(alert.InputQuota, 5000)
	d.dispatch(held(time.Now().Add(8 * time.Hour)))
	id := d.work[0].DeliveryID
	if _, state, wait := d.begin(id); state != alert.Pending || wait < 7*time.Hour || wait > 8*time.Hour {
		t.Errorf("%s, %s: due in eight hours", state, wait)
	}
	d.exec(`UPDATE deliveries SET due_at = now()`)
	if _, state, wait := d.begin(id); state != alert.Pending || wait != 0 {
		t.Fatalf("%s, %s: due now", state, wait)
	}
	failed := alert.Attempt{At: time.Now(), Outcome: alert.OutcomeRetry, Next: time.Hour, Replica: "a"}
	if err := d.RecordAttempt(context.Background(), id, failed, alert.Pending); err != nil {
		t.Fatal(err)
	}
	if _, state, wait := d.begin(id); state != alert.Pending || wait < 59*time.Minute || wait > time.Hour {
		t.Errorf("%s, %s: the next attempt is due in an hour", state, wait)
	}
}

func TestAClockThatIsAheadHoldsNoMessageBack(t *testing.T) {
	d := openDelivering(t)
	d.now = func() time.Time { return time.Now().Add(time.Hour) }
	d.raise(alert.InputQuota, 5000)
	d.dispatch(alert.Decide)
	id := d.work[0].DeliveryID
	if _, state, wait := d.begin(id); state != alert.Pending || wait != 0 {
		t.Fatalf("%s, %s: it is due at once", state, wait)
	}
	ctx := context.Background()
	if err := d.RecordAttempt(ctx, id, alert.Attempt{At: time.Now(), Outcome: alert.OutcomeRefused, Replica: "a"}, alert.Dead); err != nil {
		t.Fatal(err)
	}
	if err := d.ResendDelivery(ctx, id); err != nil {
		t.Fatal(err)
	}
	if _, state, wait := d.begin(id); state != alert.Pending || wait != 0 {
		t.Errorf("%s, %s: it was sent again by hand", state, wait)
	}
}

func TestWhatIsPutOffIsPutOffWhateverTheClockOfWhoPlansIt(t *testing.T) {
	for name, ahead := range map[string]time.Duration{"ahead": 3 * time.Hour, "behind": -3 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			d := openDelivering(t)
			d.raise(alert.InputQuota, 5000)
			d.exec(`INSERT INTO alert_snoozes (rule_id, subject, until, actor) SELECT rule_id, subject, now() + interval '1 hour', '' FROM alert_events`)
			d.exec(`UPDATE alert_rules SET escalate_minutes = 30, escalate_to = '{boss@x.com}'`)
			d.now = func() time.Time { return time.Now().Add(ahead) }
			d.dispatch(alert.Decide)
			for _, w := range d.work {
				if w.DeliveryID == 0 {
					continue
				}
				if _, state, wait := d.begin(w.DeliveryID); state != alert.Pending || wait < 50*time.Minute || wait > time.Hour {
					t.Errorf("%s, %s; want to wait for the hour", state, wait)
				}
			}
			group, rule := d.work[len(d.work)-1].Group, d.work[len(d.work)-1].RuleID
			again, err := d.EscalateAlerts(context.Background(), group, rule, alert.Escalate, d.enqueue)
			if wait := again.Sub(d.now()); err != nil || wait < 80*time.Minute || wait > 90*time.Minute {
				t.Errorf("others are told at %s, %v; want half an hour after that", again, err)
			}
		})
	}
}

// TestADigestOfManyGroupsIsWrittenOnceForAllThatAreDispatchedTogether: written anew for each, a night of a thousand customers
// would hold back everybody's alerts.
func TestADigestOfManyGroupsIsWrittenOnceForAllThatAreDispatchedTogether(t *testing.T) {
	d := openDelivering(t)
	d.exec(`UPDATE alert_rules SET daily_at = 540, last_at_once = false`)
	d.exec(`CREATE TABLE writes (id bigint); CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO writes VALUES (NEW.id); RETURN NULL; END';
		CREATE TRIGGER note AFTER INSERT OR UPDATE OF event_ids ON deliveries FOR EACH ROW EXECUTE FUNCTION note()`)
	for threshold := range int64(dispatchBatch + 3) {
		d.raise(alert.InputQuota, threshold+1)
	}
	d.dispatch(alert.Decide)
	d.dispatch(alert.Decide)
	var writes, told int
	d.get(&writes, `SELECT count(*) FROM writes`)
	d.get(&told, `SELECT cardinality(event_ids) FROM deliveries`)
	if writes != 2 || told != dispatchBatch+3 {
		t.Errorf("%d writes of one message that tells %d alerts, want 2 of %d", writes, told, dispatchBatch+3)
	}
}

// TestAGroupThatCannotBePlannedKeepsNoOtherFromBeingTold: a constraint stands for whatever its rows hold that nobody thought of.
func TestAGroupThatCannotBePlannedKeepsNoOtherFromBeingTold(t *testing.T) {
	d := openDelivering(t)
	first := d.raise(alert.InputQuota, 5000)
	d.exec(`ALTER TABLE deliveries ADD CHECK (event_ids <> ARRAY[` + strconv.FormatInt(first, 10) + `]::bigint[])`)
	second, third := d.raise(alert.OutputQuota, 5000), d.raise(alert.Overage, 5)
	for range 2 {
		if _, err := d.DispatchAlerts(context.Background(), alert.Decide, d.enqueue); err == nil {
			t.Error("nobody hears that one can't be planned")
		}
	}
	var told []int64
	if err := d.db.Select(&told, `SELECT event_ids[1] FROM deliveries ORDER BY id`); err != nil || !slices.Equal(told, []int64{second, third}) {
		t.Errorf("told of %v, want %d and %d (%v)", told, second, third, err)
	}
}

func TestDetailsThatCannotBeReadKeepNothingFromBeingTold(t *testing.T) {
	for _, details := range []string{`[]`, `{"window": 1e30}`, `{"since": "x"}`} {
		d := openDelivering(t)
		d.raise(alert.InputQuota, 5000)
		d.exec(`UPDATE alert_events SET details = $1`, details)
		d.dispatch(alert.Decide)
		if begun, state, _ := d.begin(d.work[0].DeliveryID); state != alert.Pending || len(begun.Events) != 1 {
			t.Errorf("%s: %s, %+v", details, state, begun.Events)
		}
	}
}

// TestAlertsAreTakenInOneOrder: by whoever changes several of them, so that no two wait for each other.
func TestAlertsAreTakenInOneOrder(t *testing.T) {
	ctx := context.Background()
	for name, change := range map[string]func(*delivering, []int64) error{
		"acknowledge": func(d *delivering, ids []int64) error { _, err := d.AcknowledgeAlerts(ctx, ids); return err },
		"resolve": func(d *delivering, ids []int64) error {
			return d.inTx(ctx, func(t *tx) error { return t.resolve(ctx, []int64{ids[1], ids[0]}) })
		},
	} {
		d := openDelivering(t)
		ids := []int64{d.raise(alert.InputQuota, 5000), d.raise(alert.OutputQuota, 5000)}
		d.exec(`UPDATE alert_events SET value = 1 WHERE id = $1`, ids[0]) // comes last where rows are read as they lie
		other, err := d.db.Begin()
		if err != nil {
			t.Fatal(err)
		}
		defer other.Rollback() //nolint:errcheck // after a commit it does nothing
		const take = `SELECT id FROM alert_events WHERE id = $1 FOR UPDATE NOWAIT`
		if _, err := other.Exec(take, ids[0]); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- change(d, ids) }()
		d.awaitLock(t)
		if _, err := other.Exec(take, ids[1]); err != nil {
			t.Errorf("%s took the second before the first: %v", name, err)
		}
		if err := other.Rollback(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
