package handlers

import (
	"context"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/fault"
)

// MailStore keeps how e-mail is sent.
type MailStore interface {
	MailSettings(ctx context.Context) (alert.Mail, error)
	SetMailSettings(ctx context.Context, m alert.Mail) error
}

// Mailer sends e-mail.
type Mailer interface {
	mailSender
	mailConsent
	mailOutbox
}

type mailSender interface {
	// InForce tells how e-mail is sent now, and whether the environment says so.
	InForce(ctx context.Context) (m alert.Mail, environment bool, err error)
	// MailReady tells whether messages leave the machine.
	MailReady(ctx context.Context) (bool, error)
	// Check tries what is in force up to the sign-in; the last step may have failed.
	Check(ctx context.Context) ([]alert.MailStep, error)
	// Send sends a message and tells the server's words.
	Send(ctx context.Context, d alert.Delivery, n alert.Notice, t alert.Text) (answer string, err error)
	// Explain says an error of Send or Check as a step that failed.
	Explain(err error) alert.MailStep
}

// mailConsent lets an account at Google consent.
type mailConsent interface {
	Consent(m alert.Mail, redirect, state, verifier string) string
	Connect(ctx context.Context, m alert.Mail, a alert.MailAccess, redirect, code, verifier string) (refresh string, err error)
}

// mailOutbox is the messages that this server has kept as files.
type mailOutbox interface {
	Letters(ctx context.Context, skip, most int) (letters []alert.Letter, total int, err error)
	Letter(file string) (alert.OpenLetter, error)
}

// Notices writes what messages say.
type Notices interface {
	Render(ctx context.Context, n alert.Notice) (alert.Text, error)
}

// mail serves the set-up of e-mail, to owners, and the outbox.
func (p *Panel) mail(r fiber.Router) {}

// mailReady tells whether e-mail leaves the machine; a page that cannot know does not say that it does not.
func (p *Panel) mailReady(ctx context.Context) bool {
	if p.Mailer == nil {
		return true
	}
	ready, err := p.Mailer.MailReady(ctx)
	return ready || err != nil
}

// mailer is what sends; a process without it says so.
func (p *Panel) mailer() (Mailer, error) {
	if p.Mailer == nil {
		return nil, fault.New(fault.Unavailable, "mail.error.away")
	}
	return p.Mailer, nil
}
