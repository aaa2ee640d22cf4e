package handlers

import (
	"context"
	"html"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/views/mail"
)

// mailTime is how long a person waits for a server that does not answer.
const mailTime = time.Minute

// checkMail tries the way to the server, step by step, and sends nothing.
func (p *Panel) checkMail(c *fiber.Ctx) error {
	mailer, err := p.mailer()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.UserContext(), mailTime)
	defer cancel()
	steps, err := mailer.Check(ctx)
	if err != nil {
		steps = append(steps, mailer.Explain(err))
	}
	result := checked(at(c).Say, steps)
	if result.OK {
		p.mailWorked(ctx)
	}
	return p.mailPage(c, result)
}

func checked(say i18n.Printer, steps []alert.MailStep) mail.Result {
	r := mail.Result{Done: true, OK: true, Title: say.T("mail.result.checked")}
	for _, s := range steps {
		step := mail.Step{OK: s.OK, Name: stepName(say, s), Detail: s.Detail}
		switch {
		case !s.OK:
			r.OK, r.Title, r.Answer = false, say.T("mail.result.check_failed"), s.Detail
			step.Detail = say.T(s.Key, s.Args...)
		case s.Detail == "":
			step.Detail = say.T("mail.step.ok")
		}
		r.Steps = append(r.Steps, step)
	}
	return r
}

func stepName(say i18n.Printer, s alert.MailStep) string {
	if s.Name == "" {
		return say.T("mail.step.other")
	}
	return say.T("mail.step." + s.Name)
}

// testMail sends a message to the person who asks, and shows the server's answer.
func (p *Panel) testMail(c *fiber.Ctx) error {
	mailer, err := p.mailer()
	if err != nil {
		return err
	}
	v := at(c)
	ctx, cancel := context.WithTimeout(c.UserContext(), mailTime)
	defer cancel()
	d := alert.Delivery{
		MessageID: uuid.New(), Kind: alert.TestNotice, Audience: alert.Operator, Channel: alert.Email,
		Recipient: v.User.Email, Name: v.User.Name, Language: v.Say.Lang(), CreatedAt: p.Now(),
	}
	n := alert.Notice{
		MessageID: d.MessageID, Kind: d.Kind, Audience: d.Audience, Channel: d.Channel, Language: d.Language, Recipient: d.Recipient, Name: d.Name,
		Zone: v.Say.Zone(), PublicURL: p.panelURL(c), SentAt: d.CreatedAt,
	}
	answer, err := mailer.Send(ctx, d, n, p.testText(ctx, v.Say, n))
	if err != nil {
		failed := mailer.Explain(err)
		// Not the server's words: most servers repeat the address.
		p.Log.WarnContext(ctx, "test of e-mail failed", "request_id", v.RequestID, "step", failed.Name, "problem", failed.Key)
		return p.mailPage(c, mail.Result{Done: true, Title: v.Say.T("mail.result.send_failed"), Text: v.Say.T(failed.Key, failed.Args...), Answer: failed.Detail})
	}
	if ready, err := mailer.MailReady(ctx); err == nil && !ready {
		return p.mailPage(c, mail.Result{Done: true, OK: true, Title: v.Say.T("mail.result.kept"), Text: v.Say.T("mail.result.kept_text")})
	}
	p.mailWorked(ctx)
	return p.mailPage(c, mail.Result{
		Done: true, OK: true, Title: v.Say.T("mail.result.sent", "address", d.Recipient), Text: v.Say.T("mail.result.sent_text"), Answer: answer,
	})
}

// testText is what alerts look like, or the plainest message where nothing writes them.
func (p *Panel) testText(ctx context.Context, say i18n.Printer, n alert.Notice) alert.Text {
	if p.Notices != nil {
		t, err := p.Notices.Render(ctx, n)
		if err == nil {
			return t
		}
		p.Log.WarnContext(ctx, "test message not written", "error", err)
	}
	text := say.T("mail.test_text", "name", n.Name)
	return alert.Text{Subject: say.T("mail.test_subject"), Plain: text + "\n\n" + n.PublicURL + "\n", HTML: "<p>" + html.EscapeString(text) + "</p>", Short: text, Link: n.PublicURL}
}

// panelURL is where people reach the panel: the public address, or the one this page was asked at.
func (p *Panel) panelURL(c *fiber.Ctx) string { return strings.TrimSuffix(p.baseURL(c), "/v1") }
