package handlers

import (
	"strconv"
	"strings"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/views/alerts"
	"github.com/fila-ia/filaia/views/ui"
)

// whatOf is what an alert is about, as pages say it. own is for the customer that it is about.
func whatOf(e alert.Event, own bool) alerts.What {
	d := e.Details
	return alerts.What{
		Metric: string(e.Metric), Unit: string(e.Unit), Customer: own, Threshold: e.Threshold, Value: e.Value,
		Tenant: d.Tenant, Plan: d.Plan, Key: d.Key, Provider: d.Provider, Model: d.Model, Replica: d.Replica, Address: d.Address,
		LimitIn: d.LimitIn, UsedIn: d.UsedIn, LimitOut: d.LimitOut, UsedOut: d.UsedOut, Blocks: d.Blocks, Price: int64(d.OveragePrice),
		Charged: int64(d.Charged), Cap: int64(d.Cap), PeriodStart: d.PeriodStart, PeriodEnd: d.PeriodEnd, Window: d.Window,
		Base: d.Base, Now: d.Now, Calls: d.Calls, Failures: d.Failures, RunsOutAt: d.RunsOutAt, Since: d.Since,
	}
}

// progressState says how far an alert is.
func progressState(say i18n.Printer, e alert.Entry, own bool) alerts.State {
	progress := e.Progress()
	s := alerts.State{Word: say.T("alert_events.state." + string(progress))}
	switch {
	case progress == alert.ProgressKept:
		s.Word = say.T(keptKey("state.kept", own))
	case progress == alert.ProgressRaised && own:
		s.Word = say.T("alert_events.timeline.raised.own")
	case partly(e):
		s.Word = say.T("alert_events.state.partly")
	}
	switch progress {
	case alert.ProgressFailed:
		if s.Tone = ui.Bad; partly(e) {
			s.Tone = ui.Warn
		}
	case alert.ProgressUntold, alert.ProgressKept, alert.ProgressRaised, alert.ProgressDelivering:
		s.Tone = ui.Warn
	case alert.ProgressDelivered:
		s.Tone = ui.Info
	case alert.ProgressResolved:
		s.Tone = ui.OK
	case alert.ProgressAcknowledged:
		s.Tone = ui.Neutral
	}
	return s
}

// partly tells whether some of an alert's messages arrived and others never will.
func partly(e alert.Entry) bool {
	return e.Progress() == alert.ProgressFailed && e.Told.Delivered > e.Told.Kept
}

// dueAt says when something happens: its time of day, or its day too where that is not today.
func dueAt(say i18n.Printer, at, now time.Time) string {
	local := at.In(say.Zone())
	if local.Format(time.DateOnly) == now.In(say.Zone()).Format(time.DateOnly) {
		return say.T("alert_events.delivery.at_clock", "time", say.Clock(at)+local.Format(":05"))
	}
	return say.T("alert_events.delivery.at_moment", "time", say.DateTime(at))
}

// historyRow is an alert in a list; what is above seen is new to the person.
func historyRow(say i18n.Printer, e alert.Entry, path string, seen int64) alerts.Row {
	own := path != "/alerts"
	what := whatOf(e.Event, own)
	r := alerts.Row{
		ID: e.ID, Href: path + "/" + strconv.FormatInt(e.ID, 10), What: what.Sentence(say), Tenant: what.Tenant, Limit: what.Limit(say), Tone: what.Tone(),
		State: progressState(say, e, own), At: e.RaisedAt, New: e.Open() && e.ID > seen, Selectable: e.Open(), ToldTone: ui.Neutral,
	}
	switch {
	case e.Told.All > 0 && e.Told.Kept == e.Told.All:
		r.Told, r.ToldExact = say.T("alert_events.told.none"), say.T(keptKey("timeline.kept_note", own))
	case e.Told.All > 0:
		r.Told = say.T("alert_events.told.of", "delivered", e.Told.Delivered, "all", e.Told.All)
		r.ToldExact = say.T("alert_events.told.exact", "delivered", e.Told.Delivered, "pending", e.Told.Pending, "dead", e.Told.Dead)
		if e.Told.Dead > 0 {
			r.ToldTone = ui.Bad
		}
	case e.DispatchedAt.IsZero():
		r.Told = say.T("alert_events.told.waiting")
	default:
		r.Told = say.T("alert_events.told.none")
	}
	return r
}

// keptKey is the text about messages that never left this machine. How e-mail is set up is no concern of customers.
func keptKey(key string, own bool) string {
	if own {
		return "alert_events.own." + key
	}
	return "alert_events." + key
}

// course is an alert's way: raised, sent, delivered, acknowledged, resolved.
func course(say i18n.Printer, one alert.Case, own bool) []alerts.Moment {
	told := one.Told
	counts := func(key string) string {
		return say.T("alert_events.timeline."+key, "delivered", told.Delivered, "dead", told.Dead, "n", told.All)
	}
	list := []alerts.Moment{{
		Title: say.T("alert_events.timeline." + ownFact("raised", own)), At: one.RaisedAt, Done: true, Tone: ui.Info,
		Note: say.T("alert_events.timeline.raised_note", "limit", whatOf(one.Event, own).Limit(say)),
	}}
	sent := alerts.Moment{Title: say.T("alert_events.timeline.sent"), At: one.DispatchedAt, Done: !one.DispatchedAt.IsZero(), Tone: ui.Info}
	switch {
	case !sent.Done:
		sent.Note = say.T("alert_events.timeline.sent_waiting")
	case told.All == 0:
		sent.Note, sent.Tone = say.T("alert_events.timeline.sent_none"), ui.Warn
	default:
		sent.Note = say.T("alert_events.timeline.sent_note", "n", told.All)
	}
	list = append(list, sent)
	if told.All > 0 {
		list = append(list, arrival(say, one, counts, own))
	}
	ack := alerts.Moment{Title: say.T("alert_events.timeline.acknowledged"), At: one.AcknowledgedAt, Done: !one.AcknowledgedAt.IsZero(), Tone: ui.OK}
	switch {
	case !ack.Done:
		ack.Note = say.T("alert_events.timeline.acknowledged_not")
	case one.AcknowledgedBy == "":
		ack.Note = say.T("alert_events.timeline.acknowledged_other")
	default:
		ack.Note = say.T("alert_events.timeline.acknowledged_by", "who", one.AcknowledgedBy)
	}
	end := alerts.Moment{Title: say.T("alert_events.timeline.resolved"), At: one.ResolvedAt, Done: !one.ResolvedAt.IsZero(), Tone: ui.OK}
	if end.Note = say.T("alert_events.timeline.resolved_not"); end.Done {
		end.Note = say.T("alert_events.timeline.resolved_note")
		if !ack.Done { // nobody needed to
			return append(list, end)
		}
	}
	return append(list, ack, end)
}

// arrival is how an alert's messages went.
func arrival(say i18n.Printer, one alert.Case, counts func(string) string, own bool) alerts.Moment {
	last := time.Time{}
	for _, m := range one.Messages {
		if m.State != alert.Cancelled && m.FinishedAt.After(last) {
			last = m.FinishedAt
		}
	}
	switch {
	case one.Told.Dead > 0:
		return alerts.Moment{Title: say.T("alert_events.timeline.failed"), Note: counts("failed_note"), At: last, Done: true, Tone: ui.Bad}
	case one.Told.Kept > 0 && one.Told.Kept == one.Told.All:
		return alerts.Moment{Title: say.T(keptKey("state.kept", own)), Note: say.T(keptKey("timeline.kept_note", own)), At: last, Done: true, Tone: ui.Warn}
	case one.Told.Pending > 0:
		return alerts.Moment{Title: say.T("alert_events.timeline.waiting"), Note: counts("waiting_note"), Tone: ui.Info}
	}
	return alerts.Moment{Title: say.T("alert_events.timeline.delivered"), Note: counts("delivered_note"), At: last, Done: true, Tone: ui.OK}
}

// messageModel is one delivery with its attempts. sends tells whether e-mail leaves the machine by now.
func (p *Panel) messageModel(say i18n.Printer, m alert.Message, here string, now time.Time, own, sends bool) alerts.Message {
	model := alerts.Message{ID: m.ID, Icon: "plug-connected", Way: say.T("alert_events.channel." + string(m.Channel)), To: m.Recipient, Name: m.Name}
	switch {
	case m.Hidden:
		model.To = say.T("alert_events.messages.hidden")
	case m.ChannelName != "":
		model.To, model.Name = m.ChannelName, m.Target
	}
	if m.Channel == alert.Email {
		model.Icon = "mail"
	}
	if m.Kind == alert.Digest || m.Kind == alert.Escalated {
		model.Kind = say.T("alert_events.kind." + string(m.Kind))
	}
	model.State = alerts.State{Word: say.T("alert_events.delivery." + string(m.State)), Tone: map[alert.DeliveryState]ui.Tone{
		alert.Pending: ui.Warn, alert.Delivered: ui.OK, alert.Dead: ui.Bad, alert.Cancelled: ui.Neutral,
	}[m.State]}
	if m.WasKept() {
		model.State = alerts.State{Tone: ui.Warn, Word: say.T(keptKey("delivery.kept", own))}
	}
	if m.State == alert.Pending && m.DueAt.After(now) {
		key := "alert_events.delivery.first"
		if len(m.Tries) > 0 {
			key = "alert_events.delivery.due"
		}
		model.Due = say.T(key, "when", dueAt(say, m.DueAt, now))
	}
	if (m.State == alert.Dead || m.WasKept() && sends) && !own {
		model.Resend = here + "/deliveries/" + strconv.FormatInt(m.ID, 10) + "/resend"
	}
	for i, t := range m.Tries {
		tone := map[alert.Outcome]ui.Tone{alert.OutcomeDelivered: ui.OK, alert.OutcomeRetry: ui.Warn, alert.OutcomeRefused: ui.Bad}[t.Outcome]
		try := alerts.Try{Number: i + 1, At: t.At, State: alerts.State{Tone: tone, Word: say.T("alert_events.try." + string(t.Outcome))}, Answer: t.Answer}
		if strings.HasPrefix(t.Answer, alert.KeptPrefix) { // without a server nothing leaves this machine
			try.State = alerts.State{Tone: ui.Warn, Word: say.T(keptKey("try.kept", own))}
			if own {
				try.Answer = ""
			}
		}
		if strings.HasPrefix(t.Answer, alert.RevokedPrefix) {
			try.Answer = say.T("mail_consent.log") + " (" + t.Answer + ")"
		}
		if t.Took > 0 {
			try.Took = say.Duration(t.Took)
		}
		model.Tries = append(model.Tries, try)
	}
	return model
}

// ownFact is the name of a fact in the customer's words or the team's.
func ownFact(key string, own bool) string {
	if own {
		return key + ".own"
	}
	return key
}

// eventFacts are the names and moments of an alert.
func eventFacts(say i18n.Printer, one alert.Case, own bool) []ui.Fact {
	d := one.Details
	var facts []ui.Fact
	add := func(key, text string) {
		if text != "" {
			facts = append(facts, ui.Fact{Label: say.T("alert_events.fact." + key), Text: text})
		}
	}
	if !own {
		add("rule", one.RuleName)
		add("tenant", d.Tenant)
		add("provider", d.Provider)
		add("replica", d.Replica)
		add("audience", say.T("alert_events.audience."+string(one.Audience)))
	}
	add("plan", d.Plan)
	add("key", d.Key)
	add("model", d.Model)
	add("address", d.Address)
	add(ownFact("threshold", own), whatOf(one.Event, own).Limit(say))
	if !d.PeriodStart.IsZero() { // its end is when the next one starts
		add("period", say.T("alert_events.fact.period_value", "from", say.Date(d.PeriodStart), "until", say.Date(d.PeriodEnd.Add(-time.Second))))
	}
	if !d.Since.IsZero() {
		add("began", say.DateTime(d.Since))
	}
	add(ownFact("raised", own), say.DateTime(one.RaisedAt)+one.RaisedAt.In(say.Zone()).Format(":05"))
	return facts
}
