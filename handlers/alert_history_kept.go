package handlers

import (
	"strconv"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/views/alerts"
	"github.com/fila-ia/filaia/views/dashboard"
	"github.com/fila-ia/filaia/views/mail"
	"github.com/fila-ia/filaia/views/ui"
)

// keptPath is where the messages that were kept as files, before e-mail was set up, are asked to be sent.
const keptPath = "/alerts/kept/send"

// keptMessages offers those that still say something new to whoever may have them sent, once e-mail leaves the machine; nil: there
// are none, or nothing is to be done about them here.
func (p *Panel) keptMessages(c *fiber.Ctx) (*alerts.KeptMessages, error) {
	ctx := c.UserContext()
	if wantsPartial(c) || !at(c).User.Role.MayEdit() || p.Mailer == nil || !p.mailReady(ctx) {
		return nil, nil
	}
	n, err := p.Alerts.KeptDeliveries(ctx)
	if err != nil || n == 0 {
		return nil, err
	}
	return &alerts.KeptMessages{Count: n, Send: keptPath}, nil
}

// mailNotice tells the team on its start page that e-mail reaches nobody, because it fails or is not set up, and leads to where that is
// mended; nil: nothing is known to be wrong.
func (p *Panel) mailNotice(c *fiber.Ctx) (*dashboard.Notice, error) {
	if p.Mailer == nil || p.Alerts == nil {
		return nil, nil
	}
	if notice, err := p.mailFails(c); err != nil || notice != nil {
		return notice, err
	}
	n, err := p.Alerts.KeptDeliveries(c.UserContext())
	if err != nil || n == 0 {
		return nil, err
	}
	say := at(c).Say
	if links := p.mailMissing(c); len(links) > 0 {
		return &dashboard.Notice{Text: say.T("dashboard.mail.kept", "n", n), Links: links}, nil
	}
	return &dashboard.Notice{Text: say.T("alert_kept.text", "n", n), Links: []ui.Link{{Label: say.T("alert_kept.open"), Href: "/alerts"}}}, nil
}

// mailFails tells that messages do not leave although e-mail is set up; the ways to mend it are an owner's.
func (p *Panel) mailFails(c *fiber.Ctx) (*dashboard.Notice, error) {
	if p.Mail == nil || !p.mailReady(c.UserContext()) {
		return nil, nil
	}
	answer, err := p.Mail.MailTrouble(c.UserContext())
	if err != nil || answer == "" {
		return nil, err
	}
	v := at(c)
	if !v.User.Role.MayManageUsers() {
		return &dashboard.Notice{Text: v.Say.T("dashboard.mail.fails.ask"), Links: []ui.Link{{Label: v.Say.T("dashboard.mail.undelivered"), Href: "/alerts?part=failed"}}}, nil
	}
	return &dashboard.Notice{Text: v.Say.T("dashboard.mail.fails"), Links: []ui.Link{{Label: v.Say.T("dashboard.mail.mend"), Href: mail.Path}}}, nil
}

// showKept lists who will be written to, before anybody is.
func (p *Panel) showKept(c *fiber.Ctx) error {
	ctx, v := c.UserContext(), at(c)
	if p.Mailer == nil || !p.mailReady(ctx) {
		return fault.New(fault.Conflict, "alert_kept.error.no_mail")
	}
	list, err := p.Alerts.KeptList(ctx)
	if err != nil {
		return err
	}
	f := p.frame(c, v.Say.T("kept_choice.title"), "alerts")
	m := alerts.KeptChoice{Send: keptPath, CSRF: f.CSRF, Now: p.Now()}
	for _, k := range list {
		row := alerts.KeptRow{ID: strconv.FormatInt(k.ID, 10), To: k.Recipient, Tenant: k.Tenant, At: k.At, What: v.Say.T("kept_choice.confirmation")}
		if k.Event.ID != 0 {
			row.What, row.Href = whatOf(k.Event, false).Sentence(v.Say), "/alerts/"+strconv.FormatInt(k.Event.ID, 10)
		}
		m.Rows = append(m.Rows, row)
	}
	return p.render(c, alerts.KeptPage(f, m), nil)
}

// sendKept has those that were chosen sent, once however often it is asked for.
func (p *Panel) sendKept(c *fiber.Ctx) error {
	ctx, say := c.UserContext(), at(c).Say
	if p.Mailer == nil || !p.mailReady(ctx) { // they would be kept again
		return fault.New(fault.Conflict, "alert_kept.error.no_mail")
	}
	var chosen []int64
	for _, text := range readForm(c).All("message") {
		if id, err := strconv.ParseInt(text, 10, 64); err == nil {
			chosen = append(chosen, id)
		}
	}
	if len(chosen) == 0 {
		if err := p.flash(c, say.T("kept_choice.nothing")); err != nil {
			return err
		}
		return p.redirect(c, keptPath)
	}
	n, err := p.Alerts.SendKeptDeliveries(ctx, chosen)
	if err != nil {
		return err
	}
	p.NotifyInbox()
	told := say.T("alert_kept.none")
	if n > 0 {
		told = say.T("alert_kept.done", "n", n)
	}
	if err := p.flash(c, told); err != nil {
		return err
	}
	return p.redirect(c, "/alerts")
}
