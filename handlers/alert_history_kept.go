package handlers

import (
	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/views/alerts"
	"github.com/fila-ia/filaia/views/dashboard"
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

// keptNotice tells the team on its start page that messages lie here and reached nobody, and leads to where that is mended; nil: none
// does.
func (p *Panel) keptNotice(c *fiber.Ctx) (*dashboard.Notice, error) {
	if p.Mailer == nil || p.Alerts == nil {
		return nil, nil
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

// sendKept has them sent, once however often it is asked for.
func (p *Panel) sendKept(c *fiber.Ctx) error {
	ctx, say := c.UserContext(), at(c).Say
	if p.Mailer == nil || !p.mailReady(ctx) { // they would be kept again
		return fault.New(fault.Conflict, "alert_kept.error.no_mail")
	}
	n, err := p.Alerts.SendKeptDeliveries(ctx)
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
