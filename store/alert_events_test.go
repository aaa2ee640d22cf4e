package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/store/storetest"
)

// told is something that was raised, as a test wants it.
type told struct {
	group     uuid.UUID
	audience  alert.Audience
	metric    alert.Metric
	tenant    int64
	threshold int64
	lesser    bool // not the highest of its group
	ago       time.Duration
}

// raise puts an alert there, as if its messages were made, and gives its id.
func (s *shop) raise(t *testing.T, e told) (id int64) {
	t.Helper()
	if e.group == uuid.Nil {
		e.group = uuid.New()
	}
	if e.metric == "" {
		e.metric = alert.InputQuota
	}
	if e.threshold == 0 {
		e.threshold = 8000
	}
	const insert = `INSERT INTO alert_events (group_id, lead, rule_id, audience, metric, unit, subject, tenant_id, period, threshold, value, details, raised_at, dispatched_at)
		SELECT $1::uuid, $2, r.id, r.audience, r.metric, r.unit, 'test:' || $1::text, NULLIF($3::bigint, 0), now(), $4, $4, jsonb_build_object('tenant', 'cliente ' || $3::bigint), $5, $5
		FROM alert_rules r WHERE r.audience = $6 AND r.metric = $7 RETURNING id`
	if err := s.db.Get(&id, insert, e.group, !e.lesser, e.tenant, e.threshold, time.Now().Add(-e.ago), e.audience, e.metric); err != nil {
		t.Fatal(err)
	}
	return id
}

// message puts a delivery about alerts there.
func (s *shop) message(t *testing.T, state alert.DeliveryState, to string, events ...int64) (id int64) {
	t.Helper()
	const insert = `INSERT INTO deliveries (batch, kind, audience, tenant_id, channel, recipient, language, event_ids, state, due_at, created_at)
		SELECT 'group:' || group_id, 'alert', audience, CASE audience WHEN 'customer' THEN tenant_id END, 'email', $1, 'pt-BR', $2, $3, now(), now()
		FROM alert_events WHERE id = $4 RETURNING id`
	if err := s.db.Get(&id, insert, to, pq.Int64Array(events), state, events[0]); err != nil {
		t.Fatal(err)
	}
	return id
}

func (s *shop) history(t *testing.T, q alert.HistoryQuery) []alert.Entry {
	t.Helper()
	if q.Limit == 0 {
		q.Limit = 50
	}
	list, err := s.Alerts(context.Background(), q)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func idsOf(list []alert.Entry) []int64 {
	ids := make([]int64, len(list))
	for i, e := range list {
		ids[i] = e.ID
	}
	return ids
}

func TestTheHistoryGoesOnWhereThePageBeforeEnded(t *testing.T) {
	s := openShop(t, charging(1000, 1000))
	var want []int64
	for range 7 {
		group := uuid.New()
		s.raise(t, told{audience: alert.Operator, group: group, threshold: 5000, lesser: true})
		want = append(want, s.raise(t, told{audience: alert.Operator, group: group}))
	}
	slices.Reverse(want)
	var got []int64
	for before := int64(0); ; {
		page := s.history(t, alert.HistoryQuery{Audience: alert.Operator, Before: before, Limit: 3})
		got = append(got, idsOf(page)...)
		if len(page) == 0 {
			break
		}
		before = page[len(page)-1].ID
		s.raise(t, told{audience: alert.Operator}) // what comes meanwhile moves nothing
	}
	if !slices.Equal(got, want) {
		t.Errorf("pages give %v, want each lead once, the newest first: %v", got, want)
	}
}

func TestAnAlertIsAsFarAsItsMessages(t *testing.T) {
	s := openShop(t, charging(1000, 1000))
	ctx := tenancy.WithActor(context.Background(), tenancy.Actor{Label: "ana@example.com"})
	raised := func() int64 { return s.raise(t, told{audience: alert.Operator}) }
	exec := func(query string, id int64) {
		t.Helper()
		if _, err := s.db.Exec(query, id); err != nil {
			t.Fatal(err)
		}
	}
	want := map[int64]alert.Progress{}
	fresh := raised()
	exec(`UPDATE alert_events SET dispatched_at = NULL WHERE id = $1`, fresh)
	want[fresh] = alert.ProgressRaised
	want[raised()] = alert.ProgressUntold
	for _, c := range []struct {
		states []alert.DeliveryState
		then   alert.Progress
	}{
		{[]alert.DeliveryState{alert.Delivered, alert.Pending}, alert.ProgressDelivering},
		{[]alert.DeliveryState{alert.Delivered, alert.Delivered, alert.Cancelled}, alert.ProgressDelivered},
		{[]alert.DeliveryState{alert.Delivered, alert.Pending, alert.Dead}, alert.ProgressFailed},
		{[]alert.DeliveryState{alert.Cancelled}, alert.ProgressUntold},
	} {
		id := raised()
		for i, state := range c.states {
			s.message(t, state, fmt.Sprintf("p%d@example.com", i), id)
		}
		want[id] = c.then
	}
	kept := raised()
	file := s.message(t, alert.Delivered, "y@example.com", kept)
	if _, err := s.db.Exec(`INSERT INTO delivery_attempts (delivery_id, at, took_ms, outcome, answer) VALUES ($1, now(), 1, 'delivered', 'outbox/1.eml')`, file); err != nil {
		t.Fatal(err)
	}
	want[kept] = alert.ProgressKept
	taken, over := raised(), raised()
	s.message(t, alert.Dead, "x@example.com", taken, over) // one message may tell of several
	if _, err := s.AcknowledgeAlerts(ctx, []int64{taken, over}); err != nil {
		t.Fatal(err)
	}
	exec(`UPDATE alert_events SET resolved_at = now() WHERE id = $1`, over)
	want[taken], want[over] = alert.ProgressAcknowledged, alert.ProgressResolved

	for _, e := range s.history(t, alert.HistoryQuery{}) {
		if e.Progress() != want[e.ID] {
			t.Errorf("alert %d with %+v is %s, want %s", e.ID, e.Told, e.Progress(), want[e.ID])
		}
		one, err := s.Alert(ctx, e.ID)
		if err != nil || one.Progress() != want[e.ID] || one.Told != e.Told {
			t.Errorf("alert %d alone is %s with %+v (%v), in the list %s with %+v", e.ID, one.Progress(), one.Told, err, e.Progress(), e.Told)
		}
	}
	counts, err := s.AlertCounts(ctx, alert.HistoryQuery{Audience: alert.Operator, Part: alert.FailedAlerts})
	if err != nil {
		t.Fatal(err)
	}
	if (counts != alert.HistoryCounts{All: 9, Open: 7, Failed: 1, Acknowledged: 1, Resolved: 1}) {
		t.Errorf("counts are %+v", counts)
	}
	for _, part := range []alert.HistoryPart{alert.WholeHistory, alert.OpenAlerts, alert.FailedAlerts, alert.AcknowledgedAlerts, alert.ResolvedAlerts} {
		if n := len(s.history(t, alert.HistoryQuery{Part: part})); n != counts.Of(part) {
			t.Errorf("%d alerts are %q, %d are counted", n, part, counts.Of(part))
		}
	}
}

func TestAlertsAreFoundByMetricAndTenant(t *testing.T) {
	s := openShop(t, charging(1000, 1000))
	other := secondShop(t, s, "Oficina")
	quota := s.raise(t, told{audience: alert.Operator, tenant: s.tenant.ID})
	s.raise(t, told{audience: alert.Operator, metric: alert.Forecast, tenant: other.tenant.ID})
	said := s.raise(t, told{audience: alert.Customer, tenant: s.tenant.ID})
	for name, c := range map[string]struct {
		q    alert.HistoryQuery
		want []int64
	}{
		"a metric":             {alert.HistoryQuery{Audience: alert.Operator, Metric: alert.InputQuota}, []int64{quota}},
		"what customers heard": {alert.HistoryQuery{Audience: alert.Customer}, []int64{said}},
		"all of one tenant":    {alert.HistoryQuery{TenantID: s.tenant.ID}, []int64{said, quota}},
	} {
		if got := idsOf(s.history(t, c.q)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestAcknowledgingTakesTheWholeGroupOfOneAudienceOnce(t *testing.T) {
	s := openShop(t, charging(1000, 1000))
	group := uuid.New()
	lead := s.raise(t, told{audience: alert.Operator, group: group, tenant: s.tenant.ID})
	s.raise(t, told{audience: alert.Operator, group: group, tenant: s.tenant.ID, threshold: 5000, lesser: true})
	second := s.raise(t, told{audience: alert.Operator, group: group, tenant: s.tenant.ID, metric: alert.OutputQuota})
	customers := s.raise(t, told{audience: alert.Customer, group: group, tenant: s.tenant.ID})
	acknowledge := func(who string, want int) {
		t.Helper()
		ctx := tenancy.WithActor(context.Background(), tenancy.Actor{Label: who})
		if n, err := s.AcknowledgeAlerts(ctx, []int64{second}); err != nil || n != want {
			t.Fatalf("%s acknowledged %d (%v), want %d", who, n, err, want)
		}
	}
	acknowledge("ana@example.com", 2)
	acknowledge("bia@example.com", 0)
	one, err := s.Alert(context.Background(), lead)
	if err != nil || one.AcknowledgedBy != "ana@example.com" || len(one.Group) != 3 || one.Group[0].ID != lead || one.Group[2].Lead {
		t.Errorf("taken care of by %q, in a group of %d (%v)", one.AcknowledgedBy, len(one.Group), err)
	}
	for _, e := range one.Group {
		if e.AcknowledgedBy != "ana@example.com" {
			t.Errorf("%s at %d is left to %q", e.Metric, e.Threshold, e.AcknowledgedBy)
		}
	}
	if theirs, err := s.Alert(context.Background(), customers); err != nil || !theirs.AcknowledgedAt.IsZero() {
		t.Errorf("the customer's was acknowledged by %q (%v)", theirs.AcknowledgedBy, err)
	}
	var noted int
	if err := s.db.Get(&noted, `SELECT count(*) FROM audit_log WHERE action = 'alert.acknowledge'`); err != nil || noted != 2 {
		t.Errorf("%d entries in the audit (%v), want one a lead", noted, err)
	}
}

func TestASnoozeStandsUntilItsEnd(t *testing.T) {
	s := openShop(t, charging(1000, 1000))
	ctx := tenancy.WithActor(context.Background(), tenancy.Actor{Label: "ana@example.com"})
	id := s.raise(t, told{audience: alert.Operator})
	for _, until := range []time.Time{time.Now().Add(-time.Second), time.Now().Add(maxSnooze + time.Hour)} {
		if err := s.SnoozeAlert(ctx, id, until); !fault.Is(err, fault.Invalid) {
			t.Errorf("until %s: %v", until, err)
		}
	}
	if err := s.SnoozeAlert(ctx, id+1000, time.Now().Add(time.Hour)); !fault.Is(err, fault.NotFound) {
		t.Errorf("of what is not there: %v", err)
	}
	until := time.Now().Add(2 * time.Hour).UTC().Truncate(time.Microsecond)
	for _, u := range []time.Time{until.Add(-time.Hour), until} {
		if err := s.SnoozeAlert(ctx, id, u); err != nil {
			t.Fatal(err)
		}
	}
	if one, err := s.Alert(ctx, id); err != nil || !one.SnoozedUntil.Equal(until) || one.SnoozedBy != "ana@example.com" {
		t.Errorf("snoozed until %s by %q (%v), want %s", one.SnoozedUntil, one.SnoozedBy, err, until)
	}
	for range 2 { // the second time there is nothing to end
		if err := s.UnsnoozeAlert(ctx, id); err != nil {
			t.Fatal(err)
		}
	}
	if one, err := s.Alert(ctx, id); err != nil || !one.SnoozedUntil.IsZero() {
		t.Errorf("still snoozed until %s (%v)", one.SnoozedUntil, err)
	}
}

func TestTheBellCountsWhatAPersonHasNotSeen(t *testing.T) {
	s := openShop(t, charging(1000, 1000))
	ctx := context.Background()
	before := s.raise(t, told{audience: alert.Operator, ago: time.Hour})
	user := s.person(t, "nova@example.com", 0)
	count := func(want int) (upTo int64) {
		t.Helper()
		n, upTo, err := s.UnseenAlerts(ctx, user)
		if err != nil || n != want {
			t.Fatalf("%d are unseen (%v), want %d", n, err, want)
		}
		return upTo
	}
	if upTo := count(0); upTo != before { // what was there before them is not theirs to catch up with
		t.Errorf("seen up to %d, want %d", upTo, before)
	}
	first, group := s.raise(t, told{audience: alert.Operator}), uuid.New()
	s.raise(t, told{audience: alert.Operator, group: group})
	s.raise(t, told{audience: alert.Operator, group: group, threshold: 5000, lesser: true})
	s.raise(t, told{audience: alert.Customer, tenant: s.tenant.ID})
	over := s.raise(t, told{audience: alert.Operator})
	count(3)
	if _, err := s.db.Exec(`UPDATE alert_events SET resolved_at = now() WHERE id = $1`, over); err != nil {
		t.Fatal(err)
	}
	count(2)
	for _, upTo := range []int64{first, first - 1} { // never back
		if err := s.SeenAlerts(ctx, user, upTo); err != nil {
			t.Fatal(err)
		}
		count(1)
	}
	if err := s.SeenAlerts(ctx, user, 1<<60); err != nil {
		t.Fatal(err)
	}
	count(0)
	s.raise(t, told{audience: alert.Operator})
	count(1) // nobody has seen what is not there yet
	for range unseenMost {
		s.raise(t, told{audience: alert.Operator})
	}
	count(unseenMost)
}

// person makes a user; tenant 0 is the team.
func (s *shop) person(t *testing.T, email string, tenant int64) (id int64) {
	t.Helper()
	const insert = `INSERT INTO users (email, name, role, tenant_id, password_hash) VALUES ($1, 'X', CASE $2::bigint WHEN 0 THEN 'owner' ELSE 'tenant_admin' END, NULLIF($2::bigint, 0), 'h') RETURNING id`
	if err := s.db.Get(&id, insert, email, tenant); err != nil {
		t.Fatal(err)
	}
	return id
}

func TestACustomerSeesItsOwnAlertsOnly(t *testing.T) {
	s := openShop(t, charging(1000, 1000))
	other := secondShop(t, s, "Segredo")
	ctx, portal := context.Background(), s.Portal()
	user, group := s.person(t, "dona@padaria.example", s.tenant.ID), uuid.New()
	mine := s.raise(t, told{audience: alert.Customer, tenant: s.tenant.ID, group: group})
	hidden := []int64{
		s.raise(t, told{audience: alert.Operator, tenant: s.tenant.ID, group: group}),
		s.raise(t, told{audience: alert.Operator}),
		s.raise(t, told{audience: alert.Customer, tenant: other.tenant.ID}),
	}
	s.message(t, alert.Delivered, "dona@padaria.example", mine)
	s.message(t, alert.Dead, "socio@operadora.example", mine)
	s.message(t, alert.Delivered, "gestor@operadora.example", hidden[0])
	if _, err := s.db.Exec(`INSERT INTO delivery_attempts (delivery_id, at, took_ms, outcome, answer, replica)
		SELECT id, now(), 5, 'refused', '550 ' || recipient, 'api-1' FROM deliveries`); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AcknowledgeAlerts(tenancy.WithActor(ctx, tenancy.Actor{Label: "gestor@operadora.example"}), []int64{mine}); err != nil {
		t.Fatal(err)
	}
	// Whatever is asked for.
	list, err := portal.OwnAlerts(ctx, s.tenant.ID, alert.HistoryQuery{Audience: alert.Operator, TenantID: other.tenant.ID, Limit: 50})
	if err != nil || !slices.Equal(idsOf(list), []int64{mine}) || list[0].Told != (alert.Told{All: 2, Delivered: 1, Dead: 1}) {
		t.Errorf("the list is %v (%v)", list, err)
	}
	if counts, err := portal.OwnAlertCounts(ctx, s.tenant.ID, alert.HistoryQuery{}); err != nil || counts.All != 1 {
		t.Errorf("%+v are counted (%v)", counts, err)
	}
	one, err := portal.OwnAlert(ctx, s.tenant.ID, mine)
	if err != nil || len(one.Group) != 1 || len(one.Messages) != 2 {
		t.Fatalf("the alert has a group of %d and %d messages (%v)", len(one.Group), len(one.Messages), err)
	}
	if text := written(t, one); strings.Contains(text, "operadora") || strings.Contains(text, "Segredo") || strings.Contains(text, "550 ") || !strings.Contains(text, "dona@padaria.example") {
		t.Errorf("the customer sees %s", text)
	}
	for _, id := range hidden {
		if _, err := portal.OwnAlert(ctx, s.tenant.ID, id); !fault.Is(err, fault.NotFound) {
			t.Errorf("alert %d: %v, want NotFound", id, err)
		}
	}
	if n, err := portal.AcknowledgeOwnAlerts(ctx, s.tenant.ID, hidden); err != nil || n != 0 {
		t.Errorf("%d of others were acknowledged (%v)", n, err)
	}
	fresh := s.raise(t, told{audience: alert.Customer, tenant: s.tenant.ID})
	s.raise(t, told{audience: alert.Customer, tenant: other.tenant.ID})
	if n, _, err := portal.UnseenOwnAlerts(ctx, s.tenant.ID, user); err != nil || n != 1 {
		t.Errorf("the customer's bell counts %d (%v), want 1", n, err)
	}
	if n, err := portal.AcknowledgeOwnAlerts(ctx, s.tenant.ID, []int64{fresh}); err != nil || n != 1 {
		t.Errorf("%d of its own were acknowledged (%v)", n, err)
	}
}

func TestACustomerReadsTheWordsOfItsOwnChannelsOnly(t *testing.T) {
	s := openShop(t, charging(1000, 1000))
	id := s.raise(t, told{audience: alert.Customer, tenant: s.tenant.ID})
	s.person(t, "dona@padaria.example", s.tenant.ID)
	own, team := s.message(t, alert.Delivered, "channel:1", id), s.message(t, alert.Delivered, "channel:2", id)
	mail, file := s.message(t, alert.Pending, "dona@padaria.example", id), s.message(t, alert.Delivered, "Dona@padaria.example", id)
	for delivery, tenant := range map[int64]int64{own: s.tenant.ID, team: 0} {
		if _, err := s.db.Exec(`WITH c AS (INSERT INTO alert_channels (tenant_id, kind, name, target, sealed) VALUES (NULLIF($1::bigint, 0), 'slack', 'Sala', 'slack.com', '') RETURNING id)
			UPDATE deliveries SET channel = 'slack', channel_id = c.id FROM c WHERE deliveries.id = $2`, tenant, delivery); err != nil {
			t.Fatal(err)
		}
	}
	answers := map[int64][]string{own: {"internal: open channel 1: dial tcp 10.0.0.5:5432", "HTTP 200: fine"}, team: {"HTTP 200: secret"},
		mail: {"connection: dial tcp 10.0.0.5:25: connection refused", "535 5.7.8 no such account relay@corp.local"}, file: {"outbox/secret.eml"}}
	for delivery, words := range answers {
		for _, w := range words {
			if _, err := s.db.Exec(`INSERT INTO delivery_attempts (delivery_id, at, took_ms, outcome, answer, replica) VALUES ($1, now(), 5, 'retry', $2, 'api-1')`, delivery, w); err != nil {
				t.Fatal(err)
			}
		}
	}
	one, err := s.Portal().OwnAlert(context.Background(), s.tenant.ID, id)
	if err != nil {
		t.Fatal(err)
	}
	want := map[int64][]string{own: {"", "HTTP 200: fine"}, team: {""}, mail: {"", ""}, file: {alert.KeptPrefix}}
	for _, m := range one.Messages {
		var got []string
		for _, try := range m.Tries {
			if got = append(got, try.Answer); try.Replica != "" {
				t.Errorf("it is told which server tried: %q", try.Replica)
			}
		}
		if !slices.Equal(got, want[m.ID]) {
			t.Errorf("of the message by %s to %q it reads %q, want %q", m.Channel, m.Recipient, got, want[m.ID])
		}
	}
}

func TestAlertsAndDeliveriesAreHeardOf(t *testing.T) {
	dsn := storetest.DB(t)
	base, err := Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { base.Close() })
	s := stockShop(t, base, charging(1000, 1000))
	heard := make(chan string, 100)
	say := func(what string) func() { return func() { heard <- what } }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- Listen(ctx, dsn, Changes{Callers: func(int64) {}, Models: func() {}, Usage: func() {}, Recalled: func(int64, string) {},
			Alerts: say("alerts"), Inbox: say("inbox")}, discard())
	}()
	wait := func(want ...string) {
		t.Helper()
		for _, w := range want {
			select {
			case got := <-heard:
				if got != w {
					t.Fatalf("heard %q, want %q", got, w)
				}
			case <-time.After(time.Minute):
				t.Fatalf("nothing heard, want %q", w)
			}
		}
	}
	wait("alerts", "inbox") // what happened before
	id := s.raise(t, told{audience: alert.Operator})
	wait("alerts", "inbox")
	s.message(t, alert.Pending, "a@example.com", id)
	wait("inbox") // those who send are not woken
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
