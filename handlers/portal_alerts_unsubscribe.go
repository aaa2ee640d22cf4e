package handlers

import (
	"context"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/views/alerts"
)

type unsubscribeStore interface {
	Subscribed(ctx context.Context, link alert.Subscription) (alert.Subscribed, error)
	Unsubscribe(ctx context.Context, link alert.Subscription) error
	Resubscribe(ctx context.Context, link alert.Subscription) error
}

const unsubscribePath = "/unsubscribe/:token"

// unsubscribe shows what the link at the end of an e-mail would end, or what one that asks is about. It changes nothing: who checks
// links follows them too.
func (p *Panel) unsubscribe(r fiber.Router) {
	r.Get(unsubscribePath, p.showUnsubscribe)
	r.Get(confirmPath, p.showAsk)
	r.Get(confirmPath+"/decline", p.showAsk) // as mail programs follow it that do not know the one click
}

// endMail serves what such a page posts, and the one click of mail programs (RFC 8058), which comes from their servers without
// any cookie. The token of the link stands for a form's token: nobody else knows it, and all that it can change is the mail to
// its own address.
func (p *Panel) endMail(r fiber.Router) {
	r.Post(unsubscribePath, p.unsubscribeNow)
	r.Post(unsubscribePath+"/undo", p.resubscribe)
	r.Post(confirmPath, p.answerAsk(true))
	r.Post(confirmPath+"/decline", p.answerAsk(false))
}

// mailLink reads the address's token. The error says nothing of what was tried.
func (p *Panel) mailLink(c *fiber.Ctx) (alert.Subscription, error) {
	link, err := alert.NewUnsubscriber(p.Secret).Read(c.Params("token"))
	if err != nil {
		return link, fault.New(fault.NotFound, "tenant_alerts.error.link")
	}
	return link, nil
}

func (p *Panel) showUnsubscribe(c *fiber.Ctx) error {
	c.Set("X-Robots-Tag", "noindex")
	link, err := p.mailLink(c)
	if err != nil {
		m := alerts.UnsubscribeModel{Frame: p.frame(c, at(c).Say.T("tenant_alerts.unsubscribe.title_broken"), ""), Broken: true}
		return p.render(c.Status(fiber.StatusNotFound), alerts.UnsubscribePage(m), nil)
	}
	state, err := p.TenantAlerts.Subscribed(c.UserContext(), link)
	if err != nil {
		return err
	}
	say := at(c).Say
	m := alerts.UnsubscribeModel{
		Action: "/unsubscribe/" + c.Params("token"), Address: link.Address, Company: state.Company, Metric: string(link.Metric),
		Ended: link.Metric != "" && state.Metric, EndedAll: state.Whole,
	}
	title := "tenant_alerts.unsubscribe.title"
	if m.Ended || m.EndedAll {
		title = "tenant_alerts.unsubscribe.title_ended"
	} else if c.Query("undone") != "" {
		m.Begun = true
	}
	m.Frame = p.frame(c, say.T(title), "")
	return p.render(c, alerts.UnsubscribePage(m), nil)
}

// chosenMail is the link's own e-mails, or all to its address.
func chosenMail(c *fiber.Ctx, link alert.Subscription) alert.Subscription {
	if posted(c, "what") == "all" {
		link.Metric = ""
	}
	return link
}

// byLink puts a change down to the link, whoever may be signed in.
func byLink(c *fiber.Ctx) context.Context {
	return tenancy.WithActor(c.UserContext(), tenancy.Actor{Label: "e-mail link"})
}

func (p *Panel) unsubscribeNow(c *fiber.Ctx) error {
	link, err := p.mailLink(c)
	if err != nil {
		return err
	}
	if err := p.TenantAlerts.Unsubscribe(byLink(c), chosenMail(c, link)); err != nil {
		return err
	}
	if posted(c, "what") == "" { // a mail program, which must not be led on
		return c.Type("txt", "utf-8").SendString(at(c).Say.T("tenant_alerts.unsubscribe.title_ended"))
	}
	return c.Redirect("/unsubscribe/"+c.Params("token"), fiber.StatusSeeOther)
}

func (p *Panel) resubscribe(c *fiber.Ctx) error {
	link, err := p.mailLink(c)
	if err != nil {
		return err
	}
	if err := p.TenantAlerts.Resubscribe(byLink(c), chosenMail(c, link)); err != nil {
		return err
	}
	return c.Redirect("/unsubscribe/"+c.Params("token")+"?undone=1", fiber.StatusSeeOther)
}
