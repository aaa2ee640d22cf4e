package handlers

import (
	"context"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/views/mail"
)

// MailStore keeps how e-mail is sent.
type MailStore interface {
	MailSettings(ctx context.Context) (alert.Mail, error)
	SetMailSettings(ctx context.Context, m alert.Mail) error
	// MailTrouble gives the newest answer when the last messages did not leave; "": nothing is known to be wrong.
	MailTrouble(ctx context.Context) (answer string, err error)
	// MailProof tells when e-mail as it is set up last worked and last failed; zero: never.
	MailProof(ctx context.Context) (worked, failed time.Time, err error)
	// MailWorks notes that a check or a test went well.
	MailWorks(ctx context.Context) error
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

// mail serves the set-up of e-mail, to owners, and the outbox, to the team.
func (p *Panel) mail(r fiber.Router) {
	outbox := r.Group(mail.Path + "/outbox")
	outbox.Get("/", p.listLetters)
	outbox.Get("/:file", p.showLetter)
	outbox.Get("/:file/html", p.letterHTML)
	outbox.Get("/:file/file", p.letterFile)

	r = r.Group(mail.Path, p.needMailOwner)
	r.Get("/", p.showMail)
	r.Post("/check", p.checkMail)
	r.Post("/test", p.testMail)
	r.Post("/none", p.stopMail)
	r.Get("/setup/:way", p.editMail)
	r.Post("/setup/:way", p.updateMail)
	r.Get("/google/connect", p.connectGoogle)
	r.Get("/google/callback", p.googleCalls)
}

// needMailOwner guards the set-up of e-mail. The rest of the team knows that it is there, and is told whom to ask.
func (p *Panel) needMailOwner(c *fiber.Ctx) error {
	if u := at(c).User; u != nil && !u.Role.OfTenant() && !u.Role.MayManageUsers() {
		return fault.New(fault.Forbidden, "mail_access.ask")
	}
	return p.needOwner(c)
}

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

func (p *Panel) showMail(c *fiber.Ctx) error { return p.mailPage(c, mail.Result{}) }

// mailPage tells how e-mail leaves now, and how what was just asked for ended.
func (p *Panel) mailPage(c *fiber.Ctx, result mail.Result) error {
	mailer, err := p.mailer()
	if err != nil {
		return err
	}
	now, environment, err := mailer.InForce(c.UserContext())
	if err != nil {
		return err
	}
	v := at(c)
	m := mail.IndexModel{
		Frame: p.frame(c, v.Say.T("mail.title"), "mail"), State: mail.None, Way: string(now.Way), Environment: environment, To: v.User.Email, Result: result,
	}
	for _, way := range alert.MailWays() {
		m.Ways = append(m.Ways, string(way))
	}
	switch {
	case now.Ready():
		m.State = mail.Ready
	case now.Sends():
		m.State = mail.Unfinished
	}
	if err := p.mailTrouble(c, &m); err != nil {
		return err
	}
	if !environment {
		_, err := now.Open(p.Credentials)
		m.Sealed = err != nil
	}
	m.Facts = mailFacts(v.Say, now, environment)
	if err := p.mailProof(c, &m); err != nil {
		return err
	}
	return p.render(c, mail.IndexPage(m), mail.Answered(m))
}

// mailProof has the page say when what is set up last worked and last failed, and not call it ready before it ever did.
func (p *Panel) mailProof(c *fiber.Ctx, m *mail.IndexModel) error {
	if m.State != mail.Ready && m.State != mail.Troubled || p.Mail == nil {
		return nil
	}
	worked, failed, err := p.Mail.MailProof(c.UserContext())
	if err != nil {
		return err
	}
	say := m.Frame.Printer
	told := say.T("mail.never_worked")
	if !worked.IsZero() {
		told = say.DateTime(worked)
	} else if m.State == mail.Ready {
		m.State = mail.Unverified
	}
	m.Facts = append(m.Facts, mail.Fact{Key: "mail.fact.worked", Text: told})
	if !failed.IsZero() {
		m.Facts = append(m.Facts, mail.Fact{Key: "mail.fact.failed", Text: say.DateTime(failed)})
	}
	return nil
}

// mailWorked notes that a check or a test went well; the answer to the person does not wait for it to be kept.
func (p *Panel) mailWorked(ctx context.Context) {
	if p.Mail == nil {
		return
	}
	if err := p.Mail.MailWorks(ctx); err != nil {
		p.Log.WarnContext(ctx, "not noted that e-mail works", "error", err)
	}
}

// mailTrouble has the page say that messages do not leave, by what was just tried or by the last ones; else it leads to what was
// kept before they did.
func (p *Panel) mailTrouble(c *fiber.Ctx, m *mail.IndexModel) (err error) {
	switch {
	case m.State != mail.Ready:
		return nil
	case m.Result.Done && !m.Result.OK:
		m.State = mail.Troubled
		return nil
	case !m.Result.Done && p.Mail != nil:
		if m.Trouble, err = p.Mail.MailTrouble(c.UserContext()); err != nil {
			return err
		}
	}
	if m.Trouble != "" {
		m.State = mail.Troubled
		if strings.HasPrefix(m.Trouble, alert.RevokedPrefix) {
			key := "mail.problem.token_revoked"
			if m.Way == string(alert.MailServer) {
				key = "mail_consent.revoked.smtp"
			}
			m.Revoked = m.Frame.Printer.T(key)
		}
		return nil
	}
	if p.Alerts != nil {
		m.Kept, err = p.Alerts.KeptDeliveries(c.UserContext())
	}
	return err
}

// mailFacts are how e-mail is sent; of what is secret nothing but a hint.
func mailFacts(say i18n.Printer, m alert.Mail, environment bool) []mail.Fact {
	facts := []mail.Fact{
		{Key: "mail.fact.way", Text: say.T("mail.way." + string(m.Way))},
		{Key: "mail.fact.server", Text: net.JoinHostPort(m.Host, strconv.Itoa(m.Port))},
		{Key: "mail.fact.security", Text: say.T("mail.security." + string(m.Security))},
	}
	user := m.User
	if user == "" {
		user = say.T("mail.no_sign_in")
	}
	facts = append(facts, mail.Fact{Key: "mail.fact.user", Text: user})
	switch {
	case environment:
	case m.Way == alert.MailGoogleOAuth && m.Connected:
		facts = append(facts, mail.Fact{Key: "mail.fact.account", Text: say.T("mail.account.connected")})
	case m.Way == alert.MailGoogleOAuth:
		facts = append(facts, mail.Fact{Key: "mail.fact.account", Text: say.T("mail.account.missing")})
	case m.PasswordHint != "":
		facts = append(facts, mail.Fact{Key: "mail.fact.password", Text: say.T("mail.kept_unseen")})
	}
	from := m.From
	if m.Name != "" {
		from = m.Name + " <" + m.From + ">"
	}
	facts = append(facts, mail.Fact{Key: "mail.fact.from", Text: from})
	if m.ReplyTo != "" {
		facts = append(facts, mail.Fact{Key: "mail.fact.reply_to", Text: m.ReplyTo})
	}
	return facts
}
