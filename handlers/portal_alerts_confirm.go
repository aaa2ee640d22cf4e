package handlers

import (
	"context"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/ratelimit"
	"github.com/fila-ia/filaia/views/alerts"
	"github.com/fila-ia/filaia/views/ui"
)

// outsideStore keeps which addresses from outside agree to be told of a customer.
type outsideStore interface {
	Asks(ctx context.Context, tenantID int64) ([]alert.Ask, error)
	AskAgain(ctx context.Context, tenantID int64, address string) error
	AskOf(ctx context.Context, id int64, nonce uuid.UUID) (alert.Ask, error)
	AnswerAsk(ctx context.Context, id int64, nonce uuid.UUID, agrees bool) error
	Missed(ctx context.Context, a alert.Ask, most int) ([]alert.Event, error)
}

// ---- whom a customer waits for

// outside are those of the named addresses that are not told yet, or want not to be. again is where they are asked again; "" for who
// may not.
func (p *Panel) outside(c *fiber.Ctx, tenantID int64, named []string, team bool, again string) ([]alerts.Outside, error) {
	asks, err := p.TenantAlerts.Asks(c.UserContext(), tenantID)
	if err != nil {
		return nil, err
	}
	var list []alerts.Outside
	for _, a := range asks {
		if !a.ConfirmedAt.IsZero() || !slices.ContainsFunc(named, func(text string) bool { return alert.SameAddress(text) == a.Address }) {
			continue
		}
		list = append(list, p.outsideModel(a, team, again))
	}
	return list, nil
}

func (p *Panel) outsideModel(a alert.Ask, team bool, again string) alerts.Outside {
	o := alerts.Outside{Address: a.Address, State: string(a.State(p.Now())), Since: a.AskedAt, Again: again}
	switch alert.AskState(o.State) {
	case alert.AskDeclined:
		o.Since, o.Again = a.DeclinedAt, ""
		return o
	case alert.AskExpired:
		if o.Since = a.ExpiresAt; !a.ExpiresAt.After(a.AskedAt) {
			o.State = "unasked"
		}
		return o
	}
	switch {
	case a.Mail == alert.Dead:
		o.Sent = "dead"
	case a.Mail == alert.Delivered && strings.HasPrefix(a.Answer, alert.KeptPrefix):
		o.Sent = "kept"
	case a.Mail == alert.Pending:
		o.Sent = "pending"
	}
	if team && (o.Sent == "dead" || o.Sent == "pending") {
		o.Answer = a.Answer
	}
	return o
}

// namedBy are the addresses from outside that a customer's own rules name.
func namedBy(rules []alert.Rule) (named []string) {
	for _, r := range rules {
		if r.AsksFirst() {
			named = append(named, r.Named()...)
		}
	}
	return named
}

// marked gives addresses with a word beside those that are not told.
func markedAddresses(say i18n.Printer, addresses []string, waiting []alerts.Outside) []string {
	list := slices.Clone(addresses)
	for i, text := range list {
		for _, o := range waiting {
			if o.Address != alert.SameAddress(text) {
				continue
			}
			key := "alert_confirm.mark"
			if o.State == string(alert.AskDeclined) {
				key = "alert_confirm.mark_declined"
			}
			list[i] = say.T(key, "address", text)
		}
	}
	return list
}

// askPath is where an address of a customer is asked again; "" for who may not.
func (h alertSettings) askPath(c *fiber.Ctx, tenantID int64) string {
	if !h.mayEdit(c) {
		return ""
	}
	return h.base(tenantID) + "/ask"
}

// askAgain sends the e-mail once more; htmx gets the address's line back.
func (h alertSettings) askAgain(c *fiber.Ctx) error {
	tenantID, err := h.tenant(c)
	if err != nil {
		return err
	}
	address := alert.SameAddress(short(posted(c, "outside"), longestEmail))
	failed := h.TenantAlerts.AskAgain(c.UserContext(), tenantID, address)
	if failed != nil && !fault.Is(failed, fault.Conflict) {
		return failed
	}
	if !wantsPartial(c) {
		if failed != nil {
			return failed
		}
		return h.done(c, h.base(tenantID), "alert_confirm.asked", "address", address)
	}
	list, err := h.outside(c, tenantID, []string{address}, !h.portal, h.askPath(c, tenantID))
	if err != nil || len(list) == 0 {
		if err == nil {
			err = h.redirect(c, h.base(tenantID)) // answered meanwhile
		}
		return err
	}
	o := list[0]
	if o.Done = failed == nil; !o.Done {
		_, o.Error = fieldErrors(at(c).Say, failed)
		c.Status(fiber.StatusUnprocessableEntity)
	}
	item := alerts.OutsideItem(at(c).Say, h.formToken(c), o, c.Query("in") == "form")
	return h.render(c, item, item)
}

// explainUnsent says of messages that were not sent why, in the order of the alert's.
func (p *Panel) explainUnsent(c *fiber.Ctx, messages []alerts.Message, one alert.Case, portal bool) error {
	if !slices.ContainsFunc(one.Messages, func(m alert.Message) bool { return m.Reason != "" }) {
		return nil
	}
	tenantID, say := one.Subject.TenantID, at(c).Say
	asks, err := p.TenantAlerts.Asks(c.UserContext(), tenantID)
	if err != nil {
		return err
	}
	h := alertSettings{p, portal}
	for i, m := range one.Messages {
		if m.Reason == "" {
			continue
		}
		shown := &messages[i]
		shown.State, shown.Why = alerts.State{Word: say.T("alert_confirm.unsent"), Tone: ui.Neutral}, say.T("alert_confirm.unsent.unknown")
		place := slices.IndexFunc(asks, func(a alert.Ask) bool { return a.Address == alert.SameAddress(m.Recipient) })
		if place < 0 {
			continue
		}
		switch a := asks[place]; a.State(p.Now()) {
		case alert.AskConfirmed:
			shown.Why = say.T("alert_confirm.unsent.confirmed", "when", say.DateTime(a.ConfirmedAt))
		case alert.AskDeclined:
			shown.Why = say.T("alert_confirm.unsent.declined")
		default:
			shown.Why, shown.Ask = say.T("alert_confirm.unsent.open", "when", say.DateTime(a.AskedAt)), h.askPath(c, tenantID)
		}
	}
	return nil
}

// ---- what who was asked answers

const confirmPath = "/confirm/:token"

// maxForged is how many links that were never made here one address may try in a minute.
const maxForged = 30

// mostMissed is how many alerts the page shows at most.
const mostMissed = 5

// askedBy reads the address's token. The error says nothing of what was tried. Links that were not made here cost no look into the
// database, and only they are counted.
func (p *Panel) askedBy(c *fiber.Ctx) (int64, uuid.UUID, error) {
	id, nonce, err := alert.NewConfirmer(p.Secret).Read(c.Params("token"))
	if err == nil {
		return id, nonce, nil
	}
	claim := ratelimit.Claim{}
	claim.Scopes[0] = ratelimit.Scope{Kind: ratelimit.Tenant, ID: addressNumber(c.IP()), Limits: ratelimit.Limits{Requests: maxForged}}
	ticket, _, err := p.forged.Acquire(c.UserContext(), claim)
	if err != nil {
		return 0, uuid.Nil, fault.New(fault.Unavailable, "alert_confirm.error.pace")
	}
	ticket.Done(0)
	return 0, uuid.Nil, fault.New(fault.NotFound, "alert_confirm.error.link")
}

func (p *Panel) showAsk(c *fiber.Ctx) error {
	c.Set("X-Robots-Tag", "noindex")
	say := at(c).Say
	id, nonce, err := p.askedBy(c)
	var a alert.Ask
	if err == nil {
		a, err = p.TenantAlerts.AskOf(c.UserContext(), id, nonce)
	}
	if fault.Is(err, fault.NotFound) {
		m := alerts.ConfirmModel{Frame: p.frame(c, say.T("alert_confirm.page.title.broken"), ""), State: "broken"}
		return p.render(c.Status(fiber.StatusNotFound), alerts.ConfirmPage(m), nil)
	}
	if err != nil {
		return err
	}
	now := p.Now()
	state := a.State(now)
	m := alerts.ConfirmModel{
		Action: "/confirm/" + c.Params("token"), Address: a.Address, Company: a.Company, State: string(state), Until: a.ExpiresAt, Again: now.Before(a.ExpiresAt),
	}
	title := say.T("alert_confirm.page.title", "company", a.Company)
	if state != alert.AskOpen {
		title = say.T("alert_confirm.page.title." + string(state))
	}
	m.Frame = p.frame(c, title, "")
	switch state {
	case alert.AskOpen:
		m.Facts = askFacts(say, a)
	case alert.AskConfirmed:
		if m.Missed, err = p.missed(c, a); err != nil {
			return err
		}
	}
	return p.render(c, alerts.ConfirmPage(m), nil)
}

func askFacts(say i18n.Printer, a alert.Ask) []ui.Fact {
	by := a.By
	if by == "" {
		by = say.T("alert_confirm.page.by_team")
	}
	what := make([]string, len(a.Topics))
	for i, topic := range a.Topics {
		what[i] = say.T("tenant_alerts.topic." + string(topic))
	}
	if len(what) == 0 {
		what = []string{say.T("alert_confirm.page.topics_none")}
	}
	return []ui.Fact{
		{Label: say.T("alert_confirm.page.by"), Text: by}, {Label: say.T("alert_confirm.page.when"), Text: say.DateTime(a.AskedAt)},
		{Label: say.T("alert_confirm.page.topics"), Text: strings.Join(what, " · ")}, {Label: say.T("alert_confirm.page.until"), Text: say.DateTime(a.ExpiresAt)},
	}
}

func (p *Panel) missed(c *fiber.Ctx, a alert.Ask) (list []alerts.Missed, err error) {
	events, err := p.TenantAlerts.Missed(c.UserContext(), a, mostMissed)
	for _, e := range events {
		what := whatOf(e, false) // its reader is not who has used it
		list = append(list, alerts.Missed{Text: what.Sentence(at(c).Say), At: e.RaisedAt, Tone: what.Tone()})
	}
	return list, err
}

// addressNumber stands for who asks, whom the limiter knows by a number.
func addressNumber(address string) int64 {
	sum := fnv.New64a()
	sum.Write([]byte(address)) //nolint:errcheck // it never fails
	return int64(sum.Sum64() >> 1)
}

// answerAsk serves the buttons of the page, and the one click of mail programs, which only declines.
func (p *Panel) answerAsk(agrees bool) fiber.Handler {
	return func(c *fiber.Ctx) error {
		id, nonce, err := p.askedBy(c)
		if err != nil {
			return err
		}
		if agrees && posted(c, "page") == "" { // no button of ours was pressed
			return fault.New(fault.NotFound, "alert_confirm.error.link")
		}
		if err := p.TenantAlerts.AnswerAsk(byLink(c), id, nonce, agrees); err != nil && !fault.Is(err, fault.Conflict) {
			return err
		} // one that is too late leads back to the page, which says so
		if posted(c, "page") == "" { // a mail program, which must not be led on
			return c.Type("txt", "utf-8").SendString(at(c).Say.T("alert_confirm.page.title.declined"))
		}
		return c.Redirect("/confirm/"+c.Params("token"), fiber.StatusSeeOther)
	}
}
