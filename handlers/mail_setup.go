package handlers

import (
	"net/url"
	"slices"
	"strconv"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/views/mail"
)

// mailWay is the way that the path names, if it is one to set up.
func (p *Panel) mailWay(c *fiber.Ctx) (alert.MailWay, error) {
	way := alert.MailWay(c.Params("way"))
	if way == alert.MailNone || !slices.Contains(alert.MailWays(), way) {
		return "", fault.New(fault.NotFound, "problem.no_page")
	}
	return way, p.mailIsOurs(c)
}

// mailIsOurs refuses a set-up that would not count.
func (p *Panel) mailIsOurs(c *fiber.Ctx) error {
	mailer, err := p.mailer()
	if err != nil {
		return err
	}
	_, environment, err := mailer.InForce(c.UserContext())
	if err == nil && environment {
		return fault.New(fault.Conflict, "mail.error.environment")
	}
	return err
}

// mailNow is what is kept, opened. What does not open is as if it were not there: it has to be typed again.
func (p *Panel) mailNow(c *fiber.Ctx) (alert.Mail, alert.MailAccess, error) {
	now, err := p.Mail.MailSettings(c.UserContext())
	if err != nil {
		return now, alert.MailAccess{}, err
	}
	access, err := now.Open(p.Credentials)
	if err != nil {
		return alert.Mail{Way: alert.MailNone, Name: now.Name, ReplyTo: now.ReplyTo}, alert.MailAccess{}, nil
	}
	return now, access, nil
}

func (p *Panel) editMail(c *fiber.Ctx) error {
	way, err := p.mailWay(c)
	if err != nil {
		return err
	}
	now, _, err := p.mailNow(c)
	if err != nil {
		return err
	}
	m := p.mailForm(c, way, now)
	m.Values = map[string]string{"port": "587", "security": string(alert.MailSTARTTLS), "auth": string(alert.MailAuthAuto), "name": now.Name, "reply_to": now.ReplyTo}
	if now.Way == way {
		m.Values = map[string]string{
			"user": now.User, "host": now.Host, "port": strconv.Itoa(now.Port), "security": string(now.Security), "auth": string(now.Auth), "from": now.From,
			"name": now.Name, "reply_to": now.ReplyTo, "client_id": now.ClientID, "token_url": now.TokenURL,
		}
		m.Tokens = now.TokenURL != ""
	}
	return p.render(c, mail.FormPage(m), nil)
}

// mailForm is the form's page without its values.
func (p *Panel) mailForm(c *fiber.Ctx, way alert.MailWay, now alert.Mail) mail.FormModel {
	m := mail.FormModel{Frame: p.frame(c, at(c).Say.T("mail.way."+string(way)), "mail"), Way: string(way), Redirect: p.googleRedirect(c), Hints: map[string]string{}}
	if u, err := url.Parse(m.Redirect); way == alert.MailGoogleOAuth && err == nil {
		m.Insecure = u.Scheme != "https" && !alert.Loopback(u.Hostname())
	}
	if now.Way != way {
		return m
	}
	m.Hints["password"], m.Hints["client_secret"] = now.PasswordHint, now.ClientSecretHint
	if now.Connected {
		m.Hints["refresh_token"] = "…"
	}
	return m
}

func (p *Panel) updateMail(c *fiber.Ctx) error {
	way, err := p.mailWay(c)
	if err != nil {
		return err
	}
	now, access, err := p.mailNow(c)
	if err != nil {
		return err
	}
	f := readForm(c)
	d := readMail(f, way)
	after, given, err := d.Apply(now, access)
	if err = f.Join(err); err == nil {
		after.Seal(p.Credentials, given)
		if err = p.Mail.SetMailSettings(c.UserContext(), after); err == nil && after.Ready() {
			return p.done(c, mail.Path, "mail.saved")
		} else if err == nil {
			return p.done(c, mail.Path, "mail.saved_connect")
		}
	}
	if !rejected(err) {
		return err
	}
	m := p.mailForm(c, way, now)
	m.Values, m.Tokens = map[string]string{}, d.TokenURL != "" || d.RefreshToken != "" || d.ClientSecret != ""
	for _, name := range []string{"user", "host", "port", "security", "auth", "from", "name", "reply_to", "client_id", "token_url"} {
		m.Values[name] = f.Text(name)
	}
	m.Errors, m.Error = fieldErrors(at(c).Say, err)
	return p.invalid(c, mail.FormPage(m), nil)
}

func readMail(f *form, way alert.MailWay) alert.MailDraft {
	d := alert.MailDraft{
		Mail: alert.Mail{Way: way, User: f.Text("user"), Name: f.Text("name"), ReplyTo: f.Text("reply_to"), ClientID: f.Text("client_id")},
		MailAccess: alert.MailAccess{
			Password: f.Secret("password"), ClientSecret: f.Text("client_secret"), RefreshToken: f.Text("refresh_token"),
		},
	}
	if way == alert.MailServer {
		d.Host, d.Port, d.From, d.TokenURL = f.Text("host"), f.small("port"), f.Text("from"), f.Text("token_url")
		d.Security, d.Auth = alert.MailSecurity(f.Text("security")), alert.MailAuth(f.Text("auth"))
	}
	return d
}

// stopMail keeps messages as files again, and forgets what signed in.
func (p *Panel) stopMail(c *fiber.Ctx) error {
	if err := p.mailIsOurs(c); err != nil {
		return err
	}
	if err := p.Mail.SetMailSettings(c.UserContext(), alert.Mail{Way: alert.MailNone}); err != nil {
		return err
	}
	return p.done(c, mail.Path, "mail.stopped")
}
