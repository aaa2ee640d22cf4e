package store

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/fault"
)

// kept adds an alert of the customer's with a message that was kept as a file.
func (d *delivering) kept(metric alert.Metric, threshold int64) (event, message int64) {
	d.t.Helper()
	event = d.raise(metric, threshold)
	d.get(&message, `INSERT INTO deliveries (batch, kind, audience, tenant_id, channel, recipient, language, event_ids, state, attempts, due_at, begun_at, created_at, finished_at)
		SELECT 'group:' || group_id, 'alert', 'customer', tenant_id, 'email', 'contato@padaria.com', 'en', ARRAY[id], 'delivered', 1, now(), now(), now(), now()
		FROM alert_events WHERE id = $1 RETURNING id`, event)
	d.attempt(message, alert.KeptPrefix+"20261101T030405.000Z.eml")
	return event, message
}

func (d *delivering) attempt(message int64, answer string) {
	d.t.Helper()
	err := d.RecordAttempt(context.Background(), message, alert.Attempt{At: time.Now(), Outcome: alert.OutcomeDelivered, Answer: answer}, alert.Delivered)
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *delivering) keptCount() int {
	d.t.Helper()
	n, err := d.KeptDeliveries(context.Background())
	if err != nil {
		d.t.Fatal(err)
	}
	return n
}

func (d *delivering) keptIDs() (ids []int64) {
	d.t.Helper()
	list, err := d.KeptList(context.Background())
	if err != nil {
		d.t.Fatal(err)
	}
	for _, m := range list {
		ids = append(ids, m.ID)
	}
	return ids
}

func TestOnlyWhatWasChosenOfWhatIsKeptIsSent(t *testing.T) {
	d := openDelivering(t)
	event, first := d.kept(alert.InputQuota, 8000)
	_, second := d.kept(alert.OutputQuota, 9000)
	list, err := d.KeptList(context.Background())
	if err != nil || len(list) != 2 || list[0].ID != second || list[1].Event.ID != event || list[1].Recipient != "contato@padaria.com" || list[1].Tenant == "" {
		t.Fatalf("%+v, %v", list, err)
	}
	letters := func() string {
		sent, err := d.LettersSent(context.Background(), []string{"20261101T030405.000Z.eml", "other.eml"})
		if err != nil {
			t.Fatal(err)
		}
		return string(sent["20261101T030405.000Z.eml"]) + string(sent["other.eml"])
	}
	if got := letters(); got != "" {
		t.Errorf("letters are %q before anything was sent", got)
	}
	d.exec(`DELETE FROM delivery_attempts WHERE delivery_id = $1`, second)
	if n, err := d.SendKeptDeliveries(context.Background(), []int64{first, second, 999}); err != nil || n != 1 {
		t.Errorf("%d messages, %v; want the one that is kept", n, err)
	}
	if got := letters(); got != "pending" {
		t.Errorf("letters are %q, want pending", got)
	}
	d.attempt(first, "250 ok")
	if got := letters(); got != "delivered" {
		t.Errorf("letters are %q, want delivered", got)
	}
	if n, err := d.SendKeptDeliveries(context.Background(), nil); err != nil || n != 0 {
		t.Errorf("%d messages, %v", n, err)
	}
}

func TestAMessageThatWasKeptIsSentOnce(t *testing.T) {
	d := openDelivering(t)
	_, id := d.kept(alert.InputQuota, 8000)
	var before string
	d.get(&before, `SELECT message_id FROM deliveries`)
	if err := d.ResendDelivery(context.Background(), id); err != nil {
		t.Fatal(err)
	}
	if err := d.ResendDelivery(context.Background(), id); fault.KindOf(err) != fault.Conflict {
		t.Errorf("asked for a second time while it is under way: %v", err)
	}
	if begun, state, _ := d.begin(id); state != alert.Pending || begun.Delivery.MessageID.String() != before {
		t.Errorf("it is %s as %s, want pending as %s", state, begun.Delivery.MessageID, before)
	}
	d.attempt(id, "250 ok")
	if err := d.ResendDelivery(context.Background(), id); fault.KindOf(err) != fault.Conflict {
		t.Errorf("asked for when it was sent: %v", err)
	}
	if n := d.keptCount(); n != 0 {
		t.Errorf("%d messages are kept", n)
	}
}

func TestAllThatIsKeptIsSentOnceWhoeverAsks(t *testing.T) {
	d := openDelivering(t)
	d.kept(alert.InputQuota, 8000)
	d.kept(alert.OutputQuota, 9000)
	if n := d.keptCount(); n != 2 {
		t.Fatalf("%d messages are kept, want 2", n)
	}
	chosen := d.keptIDs()
	var all sync.Map
	var wait sync.WaitGroup
	for i := range 4 {
		wait.Go(func() {
			n, err := d.SendKeptDeliveries(context.Background(), chosen)
			if err != nil {
				t.Error(err)
			}
			all.Store(i, n)
		})
	}
	wait.Wait()
	sum := 0
	all.Range(func(_, n any) bool { sum += n.(int); return true })
	if sum != 2 || d.keptCount() != 0 {
		t.Errorf("%d messages were sent, %d are left; want 2 and none", sum, d.keptCount())
	}
	if n, err := d.QueueDeliveries(context.Background(), false, d.enqueue); err != nil || n != 2 || len(d.work) != 2 {
		t.Errorf("%d jobs, %v; want 2", n, err)
	}
}

func TestWhatIsKeptAndNoNewsAnyMoreStaysWhereItIs(t *testing.T) {
	d := openDelivering(t)
	first, _ := d.kept(alert.InputQuota, 5000)
	second, overtaking := d.kept(alert.InputQuota, 9000) // of the same period
	for name, over := range map[string]func(event, message int64){
		"resolved":     func(event, _ int64) { d.exec(`UPDATE alert_events SET resolved_at = now() WHERE id = $1`, event) },
		"acknowledged": func(event, _ int64) { d.exec(`UPDATE alert_events SET acknowledged_at = now() WHERE id = $1`, event) },
		"old": func(_, message int64) {
			d.exec(`UPDATE deliveries SET created_at = now() - interval '8 days' WHERE id = $1`, message)
		},
		"sent":        func(_, message int64) { d.attempt(message, "250 ok") },
		"a channel's": func(_, message int64) { d.exec(`UPDATE deliveries SET channel = 'webhook' WHERE id = $1`, message) },
		"not wanted": func(_, message int64) {
			d.exec(`UPDATE deliveries SET recipient = 'cfo@x.com' WHERE id = $1`, message)
			d.exec(`INSERT INTO alert_unsubscribes (tenant_id, address) VALUES ($1, 'cfo@x.com')`, d.tenant)
		},
	} {
		event, message := d.kept(alert.Overage, 50_000_000)
		d.exec(`UPDATE alert_events SET subject = $2 WHERE id = $1`, event, "test:"+name) // each of its own subject
		if n := d.keptCount(); n != 2 {
			t.Fatalf("%d messages are kept before one is %s, want 2", n, name)
		}
		if over(event, message); d.keptCount() != 1 {
			t.Errorf("a message that is %s would be sent", name)
		}
	}
	if n, err := d.SendKeptDeliveries(context.Background(), d.keptIDs()); err != nil || n != 1 {
		t.Fatalf("%d messages sent, %v; want the later one of alerts %d and %d", n, err, first, second)
	}
	var sent int64
	if d.get(&sent, `SELECT id FROM deliveries WHERE state = 'pending'`); sent != overtaking {
		t.Errorf("message %d is sent, want %d", sent, overtaking)
	}
}
