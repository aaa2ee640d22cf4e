package handlers

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/tenancy"
)

// raised puts an alert of a metric there, with its messages made, and gives its id.
func (s *site) raised(t *testing.T, audience, metric string, tenant int64) (id int64) {
	t.Helper()
	const insert = `INSERT INTO alert_events (group_id, lead, rule_id, audience, metric, unit, subject, tenant_id, period, threshold, value, details, raised_at, dispatched_at)
		SELECT $1, true, r.id, r.audience, r.metric, r.unit, $2, NULLIF($3::bigint, 0), now(), r.thresholds[1], r.thresholds[1] + 12,
			jsonb_build_object('tenant', COALESCE((SELECT name FROM tenants WHERE id = $3), ''), 'limit_in', 1000, 'used_in', 501, 'blocks', true,
				'provider', 'OpenAI', 'model', 'gpt-4.1-nano', 'period_end', '2099-01-01T03:00:00Z'), $4, $4
		FROM alert_rules r WHERE r.audience = $5 AND r.metric = $6 RETURNING id`
	group := uuid.New()
	must(t, s.db.Get(&id, insert, group, "test:"+group.String(), tenant, s.clock.now(), audience, metric))
	return id
}

// message puts a delivery about an alert there, with one attempt.
func (s *site) message(t *testing.T, event int64, state, to, answer string) (id int64) {
	t.Helper()
	const insert = `INSERT INTO deliveries (batch, kind, audience, tenant_id, channel, recipient, language, event_ids, state, due_at, created_at)
		SELECT 'group:' || group_id, 'alert', audience, CASE audience WHEN 'customer' THEN tenant_id END, 'email', $1, 'pt-BR', ARRAY[id], $2, now(), now()
		FROM alert_events WHERE id = $3 RETURNING id`
	must(t, s.db.Get(&id, insert, to, state, event))
	outcome := map[string]string{"delivered": "delivered", "dead": "refused", "pending": "retry"}[state]
	_, err := s.db.Exec(`INSERT INTO delivery_attempts (delivery_id, at, took_ms, outcome, answer, replica) VALUES ($1, now(), 41, $2, $3, 'r')`, id, outcome, answer)
	must(t, err)
	return id
}

func eventPath(id int64) string { return fmt.Sprintf("/alerts/%d", id) }

func TestTheHistoryTellsWhatHappenedAndHowFarItIs(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Manager)
	b.get("/alerts").status(http.StatusOK).has(text("alert_events.none"), `href="/alerts/rules"`)
	c := s.subscriber(t, "Padaria Sol", tenancy.Charge)
	quota := s.raised(t, "operator", "input_quota", c.tenant.ID)
	s.message(t, quota, "delivered", "ana@empresa.com.br", "250 ok")
	s.message(t, quota, "dead", "bia@empresa.com.br", "550 no such user")
	s.raised(t, "operator", "breaker_open", 0)
	s.raised(t, "customer", "output_quota", c.tenant.ID)
	b.get("/alerts").has("Padaria Sol usou 50,1% da franquia de entrada", text("alert_events.state.failed"), "1 de 2", "OpenAI está suspenso", eventPath(quota)).
		lacks("franquia de saída</a>")
	b.get("/alerts?to=customers").has("Padaria Sol usou 50,1% da franquia de saída").lacks("OpenAI está suspenso")
	b.get("/alerts?part=failed").has("Padaria Sol").lacks("OpenAI está suspenso")
	b.get("/alerts?metric=breaker_open").lacks("Padaria Sol usou").has("OpenAI está suspenso")
	b.get("/alerts?part=resolved").has(text("alert_events.none_found"))
	b.get(fmt.Sprintf("/alerts?tenant=%d", c.tenant.ID)).has(text("alert_events.only_tenant", "tenant", "Padaria Sol")).lacks("OpenAI está suspenso")
	b.part("/alerts?part=open").has("Padaria Sol").lacks("<html")
	b.header.Set("Accept-Language", "en")
	s.as(t, tenancy.Viewer).get("/alerts").lacks(text("alert_events.acknowledge_selected"), `name="alert"`)
}

func TestTheHistoryGoesBackPageByPage(t *testing.T) {
	s := newSite(t)
	b := s.as(t, tenancy.Owner)
	first := s.raised(t, "operator", "breaker_open", 0)
	for range alertsPage {
		s.raised(t, "operator", "queue_age", 0)
	}
	next := fmt.Sprintf("/alerts?before=%d", first+1)
	b.get("/alerts").has(next, text("alert_events.count", "n", alertsPage+1)).lacks("OpenAI")
	b.part(next).status(http.StatusOK).has("OpenAI", eventPath(first)).lacks("<form", text("alert_events.more"))
}

func TestOneAlertShowsItsCourseAndEveryAttempt(t *testing.T) {
	s := newSite(t)
	c := s.subscriber(t, "Padaria Sol", tenancy.Charge)
	id := s.raised(t, "operator", "input_quota", c.tenant.ID)
	dead := s.message(t, id, "dead", "bia@empresa.com.br", "550 5.1.1 no such user")
	done := s.message(t, id, "delivered", "ana@empresa.com.br", "250 2.0.0 queued as <b>1</b>")
	b := s.as(t, tenancy.Manager)
	again := func(delivery int64) string { return fmt.Sprintf("%s/deliveries/%d/resend", eventPath(id), delivery) }
	b.get(eventPath(id)).status(http.StatusOK).has("1 de 2 mensagens não chegaram").has("Padaria Sol usou 50,1% da franquia de entrada", "550 5.1.1 no such user",
		"250 2.0.0 queued as &lt;b&gt;1&lt;/b&gt;", text("alert_events.timeline.acknowledged_not"), again(dead),
		fmt.Sprintf("/tenants/%d/plan", c.tenant.ID), "/alerts/rules/").lacks(again(done))
	alone := s.raised(t, "operator", "queue_age", 0)
	s.message(t, alone, "dead", "bia@empresa.com.br", "550 5.1.1 no such user")
	b.get(eventPath(alone)).has("A mensagem não chegou").lacks("1 de 1 mensagens")
	b.post(again(done), nil).status(http.StatusConflict)
	b.post(again(dead), nil).leadsTo(eventPath(id))
	b.get(eventPath(id)).lacks(again(dead))
	b.post(again(dead), nil).status(http.StatusConflict)
	viewer := s.as(t, tenancy.Viewer)
	viewer.get(eventPath(id)).status(http.StatusOK).lacks("<button type=\"submit\" class=\"btn btn-primary\"", "/snooze\"")
	viewer.post(eventPath(id)+"/acknowledge", nil).status(http.StatusForbidden)
	b.get("/alerts/999999").status(http.StatusNotFound)
}

func TestAcknowledgingTwiceChangesNothing(t *testing.T) {
	s := newSite(t)
	ids := []int64{s.raised(t, "operator", "breaker_open", 0), s.raised(t, "operator", "queue_age", 0), s.raised(t, "operator", "spool_lag", 0)}
	first, second := s.as(t, tenancy.Owner), s.as(t, tenancy.Manager)
	first.post(eventPath(ids[0])+"/acknowledge", nil).leadsTo(eventPath(ids[0]))
	second.post(eventPath(ids[0])+"/acknowledge", nil).leadsTo(eventPath(ids[0]))
	second.get(eventPath(ids[0])).has(text("alert_events.timeline.acknowledged_by", "who", first.user.Email)).lacks(eventPath(ids[0]) + "/acknowledge")
	chosen := url.Values{"back": {"/alerts?part=open"}}
	for _, id := range ids {
		chosen.Add("alert", fmt.Sprint(id))
	}
	second.post("/alerts/acknowledge", chosen).leadsTo("/alerts?part=open")
	second.get("/alerts").has(text("alert_events.acknowledged.done", "n", 2)).lacks(`name="alert"`)
	second.post("/alerts/acknowledge", chosen).leadsTo("/alerts?part=open")
	second.get("/alerts").has(text("alert_events.acknowledged.already"))
	second.post("/alerts/acknowledge", url.Values{"back": {"https://elsewhere.example"}}).leadsTo("/alerts")
}

func TestAnAlertIsSnoozedAndTellsAgain(t *testing.T) {
	s := newSite(t)
	c := s.subscriber(t, "Padaria Sol", tenancy.Charge)
	id := s.raised(t, "operator", "input_quota", c.tenant.ID)
	b := s.as(t, tenancy.Manager)
	b.get(eventPath(id)).has(text("alert_events.snooze.hour"), text("alert_events.snooze.period"))
	b.post(eventPath(id)+"/snooze", url.Values{"until": {"for ever"}}).status(http.StatusUnprocessableEntity)
	b.post(eventPath(id)+"/snooze", url.Values{"until": {"hour"}}).leadsTo(eventPath(id))
	b.get(eventPath(id)).has(eventPath(id)+"/unsnooze", b.user.Email).lacks(text("alert_events.snooze.hour"))
	b.post(eventPath(id)+"/unsnooze", nil).leadsTo(eventPath(id))
	b.get(eventPath(id)).has(text("alert_events.snooze.hour"))
}

func TestACustomersHistoryHoldsNothingOfOthers(t *testing.T) {
	s := newSite(t)
	c, other := s.subscriber(t, "Padaria Sol", tenancy.Charge), s.subscriber(t, "Oficina Secreta", tenancy.Charge)
	own := s.raised(t, "customer", "input_quota", c.tenant.ID)
	admin := c.person(t, tenancy.TenantAdmin)
	s.message(t, own, "delivered", admin.user.Email, "250 ok")
	s.message(t, own, "dead", "contador@operadora.example", "550 contador unknown")
	_, err := s.store.AcknowledgeAlerts(tenancy.WithActor(context.Background(), tenancy.Actor{Label: "gestora@operadora.example"}), []int64{own})
	must(t, err)
	hidden := []int64{s.raised(t, "operator", "input_quota", c.tenant.ID), s.raised(t, "customer", "input_quota", other.tenant.ID), s.raised(t, "operator", "breaker_open", 0)}
	path := "/portal" + eventPath(own)
	admin.get("/portal/alerts").status(http.StatusOK).has("Você usou 50,1% da franquia de entrada", path, "1 de 2", "/portal/alerts/settings").
		lacks("Secreta", "OpenAI", "operadora", text("alert_events.to.team"))
	admin.get("/portal/alerts?tenant=" + fmt.Sprint(other.tenant.ID)).has(path).lacks("Secreta")
	admin.get(path).status(http.StatusOK).has(admin.user.Email, text("alert_events.messages.hidden"), text("alert_events.timeline.acknowledged_other"),
		"/portal/alerts/settings/input_quota", text("alert_events.fact.threshold.own"), text("alert_events.fact.raised.own")).
		lacks("operadora", "250 ok", "550 contador", text("alert_events.state.raised"), text("alert_events.fact.threshold"), "/resend", "/snooze", "/alerts/rules", "/tenants/")
	for _, id := range hidden {
		admin.get("/portal" + eventPath(id)).status(http.StatusNotFound)
		admin.get("/portal" + eventPath(id) + "/live").status(http.StatusNotFound)
		admin.post("/portal"+eventPath(id)+"/acknowledge", nil)
		var open bool
		must(t, s.db.Get(&open, `SELECT acknowledged_at IS NULL FROM alert_events WHERE id = $1`, id))
		if !open {
			t.Errorf("a customer acknowledged alert %d", id)
		}
	}
	fresh := s.raised(t, "customer", "output_quota", c.tenant.ID)
	viewer := c.person(t, tenancy.TenantViewer)
	viewer.get("/portal"+eventPath(fresh)).status(http.StatusOK).lacks("/acknowledge", "/portal/alerts/settings/")
	viewer.post("/portal"+eventPath(fresh)+"/acknowledge", nil).status(http.StatusForbidden)
	admin.post("/portal"+eventPath(fresh)+"/acknowledge", nil).leadsTo("/portal" + eventPath(fresh))
	admin.get("/portal" + eventPath(fresh)).has(text("alert_events.timeline.acknowledged_by", "who", admin.user.Email))
	// A link from a message leads whoever follows it to their own side.
	admin.get(eventPath(own)).leadsTo(path)
	s.as(t, tenancy.Viewer).get(path).leadsTo(eventPath(own))
}

func TestOnlyTheTeamReadsThatEmailIsNotSetUp(t *testing.T) {
	s := newSite(t)
	c := s.subscriber(t, "Padaria Sol", tenancy.Charge)
	id, admin := s.raised(t, "customer", "input_quota", c.tenant.ID), c.person(t, tenancy.TenantAdmin)
	s.message(t, id, "delivered", admin.user.Email, "outbox/20260102T030405.000Z.eml")
	told := []string{text("alert_events.timeline.kept_note"), text("alert_events.try.kept"), "outbox/"}
	s.as(t, tenancy.Viewer).get(eventPath(id)).has(told...)
	own := admin.get("/portal"+eventPath(id)).has(text("alert_events.own.timeline.kept_note"), text("alert_events.own.state.kept"), text("alert_events.own.try.kept"))
	own.lacks(told...).lacks(text("alert_events.state.kept"))
	admin.get("/portal/alerts").has(text("alert_events.own.state.kept"), text("alert_events.own.timeline.kept_note")).lacks(told...).lacks(text("alert_events.state.kept"))
}

func TestTheInboxHoldsTheNewestAndIsMarkedAsSeen(t *testing.T) {
	s := newSite(t)
	b, colleague := s.as(t, tenancy.Viewer), s.as(t, tenancy.Owner)
	s.clock.pass(time.Second)
	b.get("/account").has(text("alert_events.inbox.nothing"), `href="/alerts"`).lacks("bell-count")
	b.part("/inbox").has(text("alert_events.inbox.empty"))
	var last int64
	for range 9 {
		last = s.raised(t, "operator", "queue_age", 0)
	}
	b.get("/account").has(`aria-hidden="true">9</span>`, text("alert_events.inbox.unseen", "n", 9))
	s.raised(t, "customer", "input_quota", s.subscriber(t, "Padaria", tenancy.Charge).tenant.ID)
	newest := s.raised(t, "operator", "breaker_open", 0)
	b.get("/account").has(`aria-hidden="true">9+</span>`)
	if n := strings.Count(b.part("/inbox").status(http.StatusOK).has("OpenAI está suspenso", eventPath(newest)).lacks("Padaria", "<html").body, "<li>"); n != inboxRows {
		t.Errorf("the inbox has %d alerts, want %d", n, inboxRows)
	}
	b.get("/inbox").leadsTo("/alerts")
	b.post("/inbox/seen", url.Values{"up_to": {fmt.Sprint(last)}, "back": {"//elsewhere.example"}}).leadsTo("/alerts")
	b.get("/account").has(text("alert_events.inbox.unseen", "n", 1))
	b.post("/inbox/seen", url.Values{"up_to": {"x"}}).status(http.StatusNotFound)
	b.post("/inbox/seen", url.Values{"up_to": {fmt.Sprint(newest)}, "back": {"/tenants"}}).leadsTo("/tenants")
	b.get("/account").has(text("alert_events.inbox.nothing"))
	colleague.get("/account").has(`aria-hidden="true">9+</span>`)
	s.browser(t).get("/inbox").status(http.StatusSeeOther)
}

func TestANewAlertMovesTheBellOnWhateverStreamIsOpen(t *testing.T) {
	s := newSite(t)
	c := s.subscriber(t, "Padaria Sol", tenancy.Charge)
	c.calls(t, 1, 10, 1)
	team, customer := s.as(t, tenancy.Owner), c.person(t, tenancy.TenantViewer)
	address := s.listening(t)
	s.clock.pass(time.Second)
	streams := map[string]*openStream{
		"the dashboard":      team.stream(address, "/live"),
		"any other page":     team.stream(address, "/inbox/live"),
		"the history":        team.stream(address, "/alerts/live"),
		"the portal":         customer.stream(address, "/portal/live"),
		"the portal's other": customer.stream(address, "/inbox/live"),
	}
	none := text("alert_events.inbox.nothing")
	for _, stream := range streams {
		stream.until("bell", none)
	}
	s.raised(t, "operator", "breaker_open", 0)
	s.raised(t, "customer", "input_quota", c.tenant.ID)
	s.NotifyInbox()
	one := text("alert_events.inbox.unseen", "n", 1)
	for name, stream := range streams {
		for _, p := range stream.until("bell", one) {
			if strings.Contains(p.text, text("alert_events.inbox.unseen", "n", 2)) {
				t.Errorf("%s counts what is not meant for its reader", name)
			}
		}
	}
	var newest int64
	must(t, s.db.Get(&newest, `SELECT max(id) FROM alert_events`))
	team.post("/inbox/seen", url.Values{"up_to": {fmt.Sprint(newest)}})
	streams["the dashboard"].until("bell", none)
	streams["any other page"].until("bell", none)
}

func TestAnOpenPageHearsThatItsAlertsHaveMoved(t *testing.T) {
	s := newSite(t)
	id := s.raised(t, "operator", "breaker_open", 0)
	message := s.message(t, id, "pending", "ana@empresa.com.br", "451 later")
	b := s.as(t, tenancy.Manager)
	address := s.listening(t)
	list, one := b.stream(address, "/alerts/live"), b.stream(address, eventPath(id)+"/live")
	mark := func(stream *openStream, name string) string {
		seen := stream.until(name)
		return strings.TrimSpace(seen[len(seen)-1].text)
	}
	marks := map[string]string{"alerts": mark(list, "alerts"), "alert": mark(one, "alert")}
	b.get("/alerts").has(`data-mark="` + marks["alerts"] + `"`) // a page that is up to date asks for nothing
	b.get(eventPath(id)).has(`data-mark="` + marks["alert"] + `"`)
	_, err := s.db.Exec(`UPDATE deliveries SET state = 'delivered', finished_at = now() WHERE id = $1`, message)
	must(t, err)
	s.NotifyInbox()
	if mark(list, "alerts") == marks["alerts"] || mark(one, "alert") == marks["alert"] {
		t.Error("a delivery left the marks as they were")
	}
}

func TestWhatWasKeptIsSentOnceEmailIsSetUp(t *testing.T) {
	s := newMailSite(t)
	c := s.subscriber(t, "Padaria Sol", tenancy.Charge)
	id := s.raised(t, "customer", "input_quota", c.tenant.ID)
	kept := s.message(t, id, "delivered", "ana@padaria.example", "outbox/20260102.eml")
	left := s.message(t, id, "delivered", "bia@padaria.example", "250 ok")
	again := func(delivery int64) string { return fmt.Sprintf("%s/deliveries/%d/resend", eventPath(id), delivery) }
	b := s.as(t, tenancy.Owner)
	b.get(eventPath(id)).lacks("/resend")
	b.post("/settings/mail/setup/smtp", s.serverForm()).leadsTo("/settings/mail")
	b.get(eventPath(id)).has(again(kept)).lacks(again(left))
	s.as(t, tenancy.Viewer).get(eventPath(id)).lacks("/resend")
	c.person(t, tenancy.TenantAdmin).get("/portal" + eventPath(id)).lacks("/resend")
	b.post(again(kept), nil).leadsTo(eventPath(id))
	b.get(eventPath(id)).lacks(again(kept))
	b.post(again(left), nil).status(http.StatusConflict)
}

func TestAllThatWasKeptIsOfferedOnceEmailIsSetUp(t *testing.T) {
	s := newMailSite(t)
	c := s.subscriber(t, "Padaria Sol", tenancy.Charge)
	for _, metric := range []string{"input_quota", "output_quota"} {
		s.message(t, s.raised(t, "customer", metric, c.tenant.ID), "delivered", "ana@padaria.example", "outbox/20260102.eml")
	}
	b := s.as(t, tenancy.Owner)
	b.get("/alerts").lacks(keptPath)
	b.post(keptPath, nil).status(http.StatusConflict)
	b.post("/settings/mail/setup/smtp", s.serverForm()).leadsTo("/settings/mail")
	b.get("/settings/mail").has(text("alert_kept.text", "n", 2), `href="/alerts"`)
	b.get("/alerts").has(text("alert_kept.text", "n", 2), keptPath)
	viewer := s.as(t, tenancy.Viewer)
	viewer.get("/alerts").lacks(keptPath)
	viewer.post(keptPath, nil).status(http.StatusForbidden)
	c.person(t, tenancy.TenantAdmin).post(keptPath, nil).status(http.StatusNotFound)
	page := b.get(keptPath).status(http.StatusOK).has("ana@padaria.example", "Padaria Sol")
	chosen := url.Values{}
	for _, found := range regexp.MustCompile(`name="message" value="(\d+)" checked`).FindAllStringSubmatch(page.body, -1) {
		chosen.Add("message", found[1])
	}
	if len(chosen["message"]) != 2 {
		t.Fatalf("the page offers messages %v", chosen["message"])
	}
	b.post(keptPath, nil).leadsTo(keptPath)
	b.get(keptPath).has(text("kept_choice.nothing"))
	viewer.get(keptPath).status(http.StatusForbidden)
	b.post(keptPath, chosen).leadsTo("/alerts")
	b.get("/alerts").has(text("alert_kept.done", "n", 2)).lacks(keptPath)
	b.post(keptPath, chosen).leadsTo("/alerts")
	b.get("/alerts").has(text("alert_kept.none"))
	b.get("/settings/mail").lacks(text("alert_kept.text", "n", 2))
	var waiting int
	must(t, s.db.Get(&waiting, `SELECT count(*) FROM deliveries WHERE state = 'pending'`))
	if waiting != 2 {
		t.Errorf("%d messages are to be sent, want 2", waiting)
	}
}

func TestWhereMessagesAreKeptIsAStepAwayWhileNoneLeave(t *testing.T) {
	s := newMailSite(t)
	const outbox, setup = `href="/settings/mail/outbox"`, `href="/settings/mail"`
	s.as(t, tenancy.Viewer).get("/alerts").has(text("alert_events.mail.missing"), outbox, text("mail_access.ask")).lacks(setup)
	s.as(t, tenancy.Manager).get("/alerts").has(outbox).lacks(setup)
	owner := s.as(t, tenancy.Owner)
	owner.get("/alerts").has(outbox, `class="notice-link" `+setup)
	c := s.subscriber(t, "Padaria Sol", tenancy.Charge)
	c.person(t, tenancy.TenantAdmin).get("/portal/alerts").lacks("/settings/mail", text("alert_events.mail.missing"))
	owner.post("/settings/mail/setup/smtp", s.serverForm()).leadsTo("/settings/mail")
	owner.get("/alerts").lacks(text("alert_events.mail.missing"))
}

func TestAnAlertThatReachedSomeSaysHowMany(t *testing.T) {
	s := newMailSite(t)
	b := s.as(t, tenancy.Owner)
	id := s.raised(t, "operator", "queue_age", 0)
	path := "/alerts/" + strconv.FormatInt(id, 10)
	s.message(t, id, "delivered", "ana@x.example", "250 ok")
	s.message(t, id, "dead", "bia@x.example", "550 no")
	b.get("/alerts").has(text("alert_events.state.partly"))
	a := b.get(path).has(text("alert_events.state.partly_of", "delivered", 1, "all", 2))
	if strings.Index(a.body, "bia@x.example") > strings.Index(a.body, "ana@x.example") {
		t.Error("what did not arrive does not stand first")
	}
}
