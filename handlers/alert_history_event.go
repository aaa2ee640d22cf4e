package handlers

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/views/alerts"
	"github.com/fila-ia/filaia/views/ui"
)

func (p *Panel) alertEvent(c *fiber.Ctx) error {
	v := at(c)
	m, err := p.eventModel(c, p.teamHistory())
	if err != nil {
		return err
	}
	if !v.User.Role.MayEdit() {
		m.Acknowledge, m.Snooze, m.Unsnooze = "", "", ""
		for i := range m.Messages {
			m.Messages[i].Resend = ""
		}
	}
	return p.render(c, alerts.EventPage(p.frame(c, m.Title, "alerts"), m), alerts.Event(v.Say, m))
}

func (p *Panel) alertEventLive(c *fiber.Ctx) error { return p.eventLive(c, p.teamHistory()) }

func (p *Panel) eventLive(c *fiber.Ctx, h historyReader) error {
	id, err := idParam(c, "id")
	if err != nil {
		return err
	}
	if _, err := h.one(c.UserContext(), id); err != nil {
		return err
	}
	s := scope{view: alertsView, alert: id, portal: h.tenantID != 0, tenantID: h.tenantID}
	return p.stream(c, s, func(ctx context.Context) (snapshot, error) {
		one, err := h.one(ctx, id)
		return marked{part{"alert", caseMark(one)}}, err
	})
}

// caseMark tells how an alert stands: another mark, and its page is old.
func caseMark(one alert.Case) string {
	sum := fnv.New64a()
	fmt.Fprintln(sum, one.Progress(), one.AcknowledgedAt, one.ResolvedAt, one.DispatchedAt, one.SnoozedUntil.Unix())
	for _, m := range one.Messages {
		fmt.Fprintln(sum, m.ID, m.State, len(m.Tries), m.DueAt.Unix())
	}
	return strconv.FormatUint(sum.Sum64(), 36)
}

func (p *Panel) acknowledgeAlert(c *fiber.Ctx) error {
	return p.acknowledgeOne(c, "/alerts", p.Alerts.AcknowledgeAlerts)
}

// acknowledgeOne acknowledges the alert of the address, once: whoever comes second is told nothing went wrong.
func (p *Panel) acknowledgeOne(c *fiber.Ctx, path string, acknowledge func(context.Context, []int64) (int, error)) error {
	id, err := idParam(c, "id")
	if err != nil {
		return err
	}
	if _, err := acknowledge(c.UserContext(), []int64{id}); err != nil {
		return err
	}
	p.NotifyInbox()
	return p.redirect(c, path+"/"+strconv.FormatInt(id, 10))
}

func (p *Panel) snoozeAlert(c *fiber.Ctx) error {
	id, err := idParam(c, "id")
	if err != nil {
		return err
	}
	one, err := p.Alerts.Alert(c.UserContext(), id)
	if err != nil {
		return err
	}
	say, until := at(c).Say, time.Time{}
	for _, s := range snoozes(say, one, p.Now()) {
		if s.value == posted(c, "until") {
			until = s.until
		}
	}
	if until.IsZero() {
		return fault.New(fault.Invalid, "alert_events.error.snooze")
	}
	if err := p.Alerts.SnoozeAlert(c.UserContext(), id, until); err != nil {
		return err
	}
	return p.afterEvent(c, id, say.T("alert_events.snooze.done", "when", say.DateTime(until)))
}

func (p *Panel) unsnoozeAlert(c *fiber.Ctx) error {
	id, err := idParam(c, "id")
	if err != nil {
		return err
	}
	if err := p.Alerts.UnsnoozeAlert(c.UserContext(), id); err != nil {
		return err
	}
	return p.afterEvent(c, id, at(c).Say.T("alert_events.snooze.ended"))
}

func (p *Panel) resendDelivery(c *fiber.Ctx) error {
	id, err := idParam(c, "id")
	if err != nil {
		return err
	}
	delivery, err := idParam(c, "delivery")
	if err != nil {
		return err
	}
	if err := p.Alerts.ResendDelivery(c.UserContext(), delivery); err != nil {
		return err
	}
	return p.afterEvent(c, id, at(c).Say.T("alert_events.resend.done"))
}

// afterEvent leads back to the alert and tells what was done.
func (p *Panel) afterEvent(c *fiber.Ctx, id int64, told string) error {
	p.NotifyInbox()
	if err := p.flash(c, told); err != nil {
		return err
	}
	return p.redirect(c, "/alerts/"+strconv.FormatInt(id, 10))
}

// snooze is a choice of how long nobody is told.
type snooze struct {
	value, label string
	until        time.Time
}

// snoozes are the choices for an alert: an hour, the rest of the day, the rest of its billing period.
func snoozes(say i18n.Printer, one alert.Case, now time.Time) []snooze {
	year, month, day := now.In(say.Zone()).Date()
	list := []snooze{
		{"hour", say.T("alert_events.snooze.hour"), now.Add(time.Hour)},
		{"today", say.T("alert_events.snooze.today"), time.Date(year, month, day+1, 0, 0, 0, 0, say.Zone())},
	}
	if end := one.Details.PeriodEnd; end.After(now) {
		list = append(list, snooze{"period", say.T("alert_events.snooze.period"), end})
	}
	return list
}

// eventModel reads the alert of the address for one side.
func (p *Panel) eventModel(c *fiber.Ctx, h historyReader) (alerts.EventModel, error) {
	id, err := idParam(c, "id")
	if err != nil {
		return alerts.EventModel{}, err
	}
	one, err := h.one(c.UserContext(), id)
	if err != nil {
		return alerts.EventModel{}, err
	}
	v, now, here := at(c), p.Now(), h.path+"/"+strconv.FormatInt(id, 10)
	say, portal := v.Say, h.tenantID != 0
	what := whatOf(one.Event, portal)
	m := alerts.EventModel{
		Portal: portal, Crumbs: []ui.Link{{Label: say.T("alert_events.title"), Href: h.path}}, ID: id, Title: what.Sentence(say),
		State: progressState(say, one.Entry, portal), At: one.RaisedAt, Now: now, Next: nextOf(say, what, now),
		Figures: what.Figures(say), Course: course(say, one, portal), Facts: eventFacts(say, one, portal), CSRF: p.formToken(c),
		Here: here, Stream: here + "/live", Mark: caseMark(one),
	}
	switch one.Metric {
	case alert.InputQuota:
		m.Bar = &ui.QuotaModel{Label: say.T("usage.tokens.input"), Used: what.UsedIn, Limit: what.LimitIn, Charged: !what.Blocks}
	case alert.OutputQuota:
		m.Bar = &ui.QuotaModel{Label: say.T("usage.tokens.output"), Used: what.UsedOut, Limit: what.LimitOut, Charged: !what.Blocks}
	}
	m.Also = alsoRaised(say, one, h.path)
	sends := !portal && p.Mailer != nil && p.mailReady(c.UserContext())
	for _, msg := range one.Messages {
		model := p.messageModel(say, msg, here, now, portal, sends)
		if model.Again = say.T("alert_events.resend"); msg.WasKept() {
			model.Again = say.T("alert_kept.send_one")
		}
		m.Messages = append(m.Messages, model)
	}
	if err := p.explainUnsent(c, m.Messages, one, portal); err != nil {
		return m, err
	}
	if partly(one.Entry) {
		m.State.Word = say.T("alert_events.state.partly_of", "delivered", one.Told.Delivered, "all", one.Told.All)
	}
	slices.SortStableFunc(m.Messages, func(a, b alerts.Message) int { return urgency(a) - urgency(b) }) // what did not arrive first
	if one.AcknowledgedAt.IsZero() && one.ResolvedAt.IsZero() {
		m.Acknowledge = here + "/acknowledge"
	}
	if portal {
		m.Todo = ownTodo(say, one.Event, v.User.Role == tenancy.TenantAdmin)
		if slices.ContainsFunc(alert.Topics(alert.Customer), func(t alert.Topic) bool { return t.Metric == one.Metric }) {
			m.Links = []ui.Link{{Label: say.T("alert_events.own.settings"), Href: "/portal/alerts/settings/" + string(one.Metric)}}
		}
	} else {
		p.teamSide(say, &m, one, v.User.Role.MayEdit(), now)
	}
	return m, nil
}

// urgency puts what did not arrive before what is on its way, and that before the rest.
func urgency(m alerts.Message) int {
	switch m.State.Tone {
	case ui.Bad:
		return 0
	case ui.Warn:
		return 1
	}
	return 2
}

// alsoRaised is what else its audience was told of together with an alert: a line for each metric with its other thresholds.
func alsoRaised(say i18n.Printer, one alert.Case, path string) []ui.Link {
	var lines []ui.Link
	places := map[alert.Metric]int{}
	for _, e := range one.Group { // the leads first, then from the highest threshold down
		if e.ID == one.ID {
			continue
		}
		limit := alerts.Figure(say, string(e.Unit), e.Threshold)
		if i, ok := places[e.Metric]; ok {
			lines[i].Label += ", " + limit
			continue
		}
		line := ui.Link{Label: say.T("alerts.metric."+string(e.Metric)) + ": " + limit}
		if e.Lead {
			line.Href = path + "/" + strconv.FormatInt(e.ID, 10)
		}
		places[e.Metric] = len(lines)
		lines = append(lines, line)
	}
	return lines
}

// teamSide is what only the team can do about an alert.
func (p *Panel) teamSide(say i18n.Printer, m *alerts.EventModel, one alert.Case, mayEdit bool, now time.Time) {
	m.Todo = teamTodo(say, one.Event, mayEdit)
	if one.SnoozedUntil.After(now) {
		m.Snoozed = say.T("alert_events.snooze.until_by", "when", say.DateTime(one.SnoozedUntil), "who", one.SnoozedBy)
		m.Unsnooze = m.Here + "/unsnooze"
	} else {
		m.Snooze = m.Here + "/snooze"
		if m.SnoozeFor = one.Details.Tenant; m.SnoozeFor == "" {
			m.SnoozeFor = say.T("alert_events.snooze.subject")
		}
		for _, s := range snoozes(say, one, now) {
			m.Snoozes = append(m.Snoozes, ui.Option{Value: s.value, Label: s.label})
		}
	}
	m.Links = append(m.Links, ui.Link{Label: say.T("alert_events.fact.rule_open"), Href: rulePath(one.RuleID)})
	if id := one.Subject.TenantID; id != 0 {
		m.Links = append(m.Links, ui.Link{Label: say.T("alert_events.todo.tenant"), Href: tenantPath(id)})
	}
}

// nextOf is what happens from here on; of a period that is over nothing does.
func nextOf(say i18n.Printer, what alerts.What, now time.Time) string {
	if !what.PeriodEnd.IsZero() && !now.Before(what.PeriodEnd) {
		return ""
	}
	return what.Next(say)
}
