package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/lib/pq"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/i18n"
)

// room is a channel of an owner, sealed as if it were.
func (o *office) room(owner int64, name string) alert.Destination {
	o.t.Helper()
	d, err := o.CreateChannel(o.ctx, alert.Destination{
		TenantID: owner, Kind: alert.Slack, Name: name, Target: "hooks.slack.com", Language: i18n.PtBR, Active: true, Sealed: []byte("canary of " + name),
	})
	o.must(err)
	return d
}

func (o *office) client(name string) int64 {
	o.t.Helper()
	return o.count(`INSERT INTO tenants (name) VALUES ($1) RETURNING id`, name)
}

func TestAnOwnerSeesAndChangesItsOwnChannelsOnly(t *testing.T) {
	o := openOffice(t)
	a, b := o.client("A"), o.client("B")
	rooms := map[int64]alert.Destination{0: o.room(0, "equipe"), a: o.room(a, "sala de A"), b: o.room(b, "sala de B")}
	for owner, mine := range rooms {
		list, err := o.Channels(o.ctx, owner)
		o.must(err)
		if len(list) != 1 || list[0].ID != mine.ID || list[0].TenantID != owner || list[0].Sealed != nil {
			t.Errorf("owner %d sees %+v", owner, list)
		}
		for other, theirs := range rooms {
			_, _, read := o.Channel(o.ctx, owner, theirs.ID)
			_, edit := o.EditChannel(o.ctx, owner, theirs.ID, "channel.edit", func(d *alert.Destination) error { d.Name = "mudou"; return nil })
			if other == owner {
				o.must(errors.Join(read, edit))
				continue
			}
			remove := o.DeleteChannel(o.ctx, owner, theirs.ID)
			for act, err := range map[string]error{"reads": read, "edits": edit, "deletes": remove} {
				if !fault.Is(err, fault.NotFound) {
					t.Errorf("owner %d %s the channel of %d: %v", owner, act, other, err)
				}
			}
		}
	}
}

func TestACustomersReaderMayNotReadWhatIsSealed(t *testing.T) {
	o := openOffice(t)
	a := o.client("A")
	o.room(a, "sala")
	err := o.ForTenant(a).read(o.ctx, func(tx *tx) error {
		var sealed []byte
		return tx.GetContext(o.ctx, &sealed, `SELECT sealed FROM alert_channels`)
	})
	var refused *pq.Error
	if !errors.As(err, &refused) || refused.Code != "42501" {
		t.Errorf("reading the sealed access gives %v", err)
	}
}

func TestADeletedChannelIsGoneButItsRulesAndDeliveriesStay(t *testing.T) {
	o := openOffice(t)
	c := o.room(0, "equipe")
	var rule int64
	o.must(o.db.Get(&rule, `UPDATE alert_rules SET channel_ids = ARRAY[$1::bigint] WHERE metric = 'overage' AND audience = 'customer' RETURNING id`, c.ID))
	_, err := o.db.Exec(`INSERT INTO deliveries (batch, kind, audience, channel, channel_id, recipient, language, event_ids, due_at, created_at)
		VALUES ('group:x', 'alert', 'operator', 'slack', $1, 'channel:1', 'pt-BR', '{1}', now(), now())`, c.ID)
	o.must(err)
	d, rules, err := o.Channel(o.ctx, 0, c.ID)
	o.must(err)
	if d.Rules != 1 || len(rules) != 1 || rules[0].ID != rule || rules[0].Metric != alert.Overage || !rules[0].Enabled {
		t.Errorf("used by %+v", rules)
	}
	sending, err := o.SendingChannel(o.ctx, c.ID)
	if err != nil || string(sending.Sealed) != "canary of equipe" || sending.Kind != alert.Slack {
		t.Errorf("to send to: %+v, %v", sending, err)
	}
	o.must(o.DeleteChannel(o.ctx, 0, c.ID))
	_, _, read := o.Channel(o.ctx, 0, c.ID)
	_, send := o.SendingChannel(o.ctx, c.ID)
	list, err := o.Channels(o.ctx, 0)
	o.must(err)
	if !fault.Is(read, fault.NotFound) || !fault.Is(send, fault.NotFound) || len(list) != 0 || !fault.Is(o.DeleteChannel(o.ctx, 0, c.ID), fault.NotFound) {
		t.Errorf("it is still there: %v, %v, %v", read, send, list)
	}
	var left struct {
		Rules      int `db:"rules"`
		Deliveries int `db:"deliveries"`
		Sealed     int `db:"sealed"`
	}
	o.must(o.db.Get(&left, `SELECT (SELECT count(*) FROM alert_rules WHERE deleted_at IS NULL AND $1 = ANY(channel_ids)) AS rules,
		(SELECT count(*) FROM deliveries WHERE channel_id = $1) AS deliveries, (SELECT length(sealed) FROM alert_channels WHERE id = $1) AS sealed`, c.ID))
	if left.Rules != 1 || left.Deliveries != 1 || left.Sealed != 0 {
		t.Errorf("left: %+v", left)
	}
}

func TestChangesOfChannelsAreAuditedWithoutWhatOpensThem(t *testing.T) {
	o := openOffice(t)
	a := o.client("A")
	c := o.room(a, "sala")
	_, err := o.EditChannel(o.ctx, a, c.ID, "channel.rotate", func(d *alert.Destination) error { d.Sealed = []byte("canary two"); return nil })
	o.must(err)
	_, err = o.EditChannel(o.ctx, a, c.ID, "channel.edit", func(d *alert.Destination) error { d.Name = "outra"; return nil })
	o.must(err)
	refused := errors.New("not so")
	if _, err := o.EditChannel(o.ctx, a, c.ID, "channel.edit", func(d *alert.Destination) error { d.Name = "nunca"; return refused }); !errors.Is(err, refused) {
		t.Error(err)
	}
	o.must(o.DeleteChannel(o.ctx, a, c.ID))
	var got []string
	o.must(o.db.Select(&got, `SELECT action || ' ' || tenant_id || ' ' || subject || ' ' || (details->>'name') || ' ' || (details->>'access_changed')
		FROM audit_log WHERE action LIKE 'channel.%' ORDER BY id`))
	at := fmt.Sprintf(" %d channel:%d ", a, c.ID)
	want := []string{"channel.create" + at + "sala true", "channel.rotate" + at + "sala true", "channel.edit" + at + "outra false", "channel.delete" + at + "outra false"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("audited\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	var dump string
	o.must(o.db.Get(&dump, `SELECT string_agg(a::text, ' ') FROM audit_log a`))
	if strings.Contains(dump, "canary") || strings.Contains(dump, fmt.Sprintf("%x", "canary")) {
		t.Error("the audit log tells what was sealed")
	}
}

func TestAnOwnerHasNoMoreChannelsThanIsAllowedThoughManyAreMadeAtOnce(t *testing.T) {
	o := openOffice(t)
	a := o.client("A")
	for i := range MaxChannels - 1 {
		o.room(a, fmt.Sprint("sala ", i))
	}
	var mu sync.Mutex
	made, refused := 0, 0
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			_, err := o.CreateChannel(context.Background(), alert.Destination{TenantID: a, Kind: alert.Slack, Name: "mais", Target: "x", Language: i18n.En, Sealed: []byte{1}})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				made++
			case fault.Is(err, fault.Conflict):
				refused++
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if made != 1 || refused != 3 {
		t.Errorf("%d were made, %d refused", made, refused)
	}
	o.room(0, "equipe") // whose count is another
}
