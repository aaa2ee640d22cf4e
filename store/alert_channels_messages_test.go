package store

import (
	"fmt"
	"testing"

	"github.com/fila-ia/filaia/internal/alert"
)

// sent is a message through a channel, with an attempt for each outcome.
func (o *office) sent(owner int64, d alert.Destination, batch string, outcomes ...alert.Outcome) int64 {
	o.t.Helper()
	audience := alert.Operator
	if owner != 0 {
		audience = alert.Customer
	}
	id := o.count(`INSERT INTO deliveries (batch, kind, audience, tenant_id, channel, channel_id, recipient, language, event_ids, attempts, due_at, created_at)
		VALUES ($1, 'alert', $2, NULLIF($3::bigint, 0), $4, $5::bigint, 'channel:' || $5::bigint, 'pt-BR', '{1}', $6, now(), now()) RETURNING id`, batch, audience, owner, d.Kind, d.ID, len(outcomes))
	for i, outcome := range outcomes {
		o.count(`INSERT INTO delivery_attempts (delivery_id, at, took_ms, outcome, answer, replica) VALUES ($1, now(), 12, $2, $3, 'servidor-1') RETURNING id`,
			id, outcome, fmt.Sprintf("HTTP 500, %d", i))
	}
	return id
}

func (o *office) failing(owner int64, d alert.Destination) bool {
	o.t.Helper()
	list, err := o.Channels(o.ctx, owner)
	o.must(err)
	one, _, err := o.Channel(o.ctx, owner, d.ID)
	o.must(err)
	for _, l := range list {
		if l.ID == d.ID {
			if l.Failing != one.Failing {
				o.t.Errorf("channel %s fails in the list: %t, on its page: %t", d.Name, l.Failing, one.Failing)
			}
			return l.Failing
		}
	}
	o.t.Fatalf("no channel %s", d.Name)
	return false
}

func TestAChannelFailsWhenItsNewestAttemptDidNotArrive(t *testing.T) {
	o := openOffice(t)
	a := o.client("A")
	for _, owner := range []int64{0, a} {
		d, quiet := o.room(owner, "alertas"), o.room(owner, "sem uso")
		batch := func(n int) string { return fmt.Sprintf("owner %d, %d", owner, n) }
		if o.sent(owner, d, batch(1), alert.OutcomeDelivered); o.failing(owner, d) {
			t.Errorf("owner %d: a channel that works fails", owner)
		}
		o.sent(owner, d, batch(2), alert.OutcomeRetry, alert.OutcomeRetry)
		o.sent(owner, d, batch(3)) // not tried yet
		if !o.failing(owner, d) || o.failing(owner, quiet) {
			t.Errorf("owner %d: the channel that fails is not told from the one that was never used", owner)
		}
		if o.sent(owner, d, batch(4), alert.OutcomeRetry, alert.OutcomeDelivered); o.failing(owner, d) {
			t.Errorf("owner %d: a channel that works again still fails", owner)
		}
	}
}

func TestAChannelShowsItsNewestMessagesToItsOwnerOnly(t *testing.T) {
	o := openOffice(t)
	a, b := o.client("A"), o.client("B")
	d := o.room(a, "sala de A")
	var newest int64
	for i := range channelMessages + 2 {
		newest = o.sent(a, d, fmt.Sprint(i), alert.OutcomeRetry, alert.OutcomeRefused)
	}
	list, err := o.ChannelMessages(o.ctx, a, d.ID)
	o.must(err)
	if len(list) != channelMessages || list[0].ID != newest || len(list[0].Tries) != 2 || list[0].Tries[1].Answer != "HTTP 500, 1" {
		t.Fatalf("the owner reads %+v", list)
	}
	if list[0].Tries[0].Replica != "" {
		t.Error("a customer reads the names of our servers")
	}
	for _, other := range []int64{0, b} {
		if list, err := o.ChannelMessages(o.ctx, other, d.ID); err != nil || len(list) != 0 {
			t.Errorf("owner %d reads %d messages of another's channel, %v", other, len(list), err)
		}
	}
}
