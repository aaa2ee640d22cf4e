package handlers

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/views/mail"
)

// consentTime is how long a person may take at Google.
const consentTime = 15 * time.Minute

func (p *Panel) googleRedirect(c *fiber.Ctx) string {
	return p.panelURL(c) + mail.Path + "/google/callback"
}

// connectGoogle leads to the page at Google where the account's owner consents.
func (p *Panel) connectGoogle(c *fiber.Ctx) error {
	now, _, err := p.googleNow(c)
	if err != nil {
		return err
	}
	state := p.consentState(at(c).bound, p.Now().Add(consentTime))
	return c.Redirect(p.Mailer.Consent(now, p.googleRedirect(c), state, p.verifier(state)), fiber.StatusSeeOther)
}

// googleNow is what is kept, if it is an account at Google that may consent.
func (p *Panel) googleNow(c *fiber.Ctx) (alert.Mail, alert.MailAccess, error) {
	if err := p.mailIsOurs(c); err != nil {
		return alert.Mail{}, alert.MailAccess{}, err
	}
	now, access, err := p.mailNow(c)
	if err == nil && now.Way != alert.MailGoogleOAuth {
		err = fault.New(fault.NotFound, "problem.no_page")
	}
	return now, access, err
}

// googleCalls is where Google leads back to.
func (p *Panel) googleCalls(c *fiber.Ctx) error {
	now, access, err := p.googleNow(c)
	if err != nil {
		return err
	}
	state := c.Query("state")
	switch {
	case !p.knowsConsent(state, at(c).bound):
		return p.notConnected(c, fault.New(fault.Invalid, "mail.error.state"))
	case c.Query("error") != "" || c.Query("code") == "":
		return p.notConnected(c, fault.New(fault.Invalid, "mail.error.denied"))
	}
	refresh, err := p.Mailer.Connect(c.UserContext(), now, access, p.googleRedirect(c), c.Query("code"), p.verifier(state))
	if err != nil {
		return p.notConnected(c, err)
	}
	access.RefreshToken = refresh
	now.Seal(p.Credentials, access)
	if err := p.Mail.SetMailSettings(c.UserContext(), now); err != nil {
		return err
	}
	return p.done(c, mail.Path, "mail.connected", "user", now.User)
}

// notConnected shows on the page of e-mail why the account is not connected.
func (p *Panel) notConnected(c *fiber.Ctx, err error) error {
	var f *fault.Error
	if !errors.As(err, &f) {
		return err
	}
	p.Log.WarnContext(c.UserContext(), "account at Google not connected", "request_id", at(c).RequestID, "error", err)
	say := at(c).Say
	c.Status(fiber.StatusUnprocessableEntity)
	return p.mailPage(c, mail.Result{Done: true, Title: say.T("mail.state.unfinished"), Text: say.T(f.Key, f.Args...)})
}

// consentState is what Google gives back, so that only who began can end it: when it ends, a random part, and a proof that both
// were made for this session.
func (p *Panel) consentState(session string, until time.Time) string {
	state := binary.BigEndian.AppendUint64(nil, uint64(until.Unix()))
	state = append(state, rand.Text()...)
	return base64.RawURLEncoding.EncodeToString(append(state, p.consentProof(session, state)...))
}

func (p *Panel) consentProof(session string, state []byte) []byte {
	mac := hmac.New(sha256.New, p.derive("mail consent"))
	mac.Write([]byte(session + "\x00"))
	mac.Write(state)
	return mac.Sum(nil)
}

func (p *Panel) knowsConsent(text, session string) bool {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) < 8+sha256.Size || session == "" {
		return false
	}
	state, proof := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	return hmac.Equal(proof, p.consentProof(session, state)) && p.Now().Unix() < int64(binary.BigEndian.Uint64(state))
}

// verifier proves to Google that the code comes from who asked (RFC 7636). It follows from the state, so nothing is kept.
func (p *Panel) verifier(state string) string {
	mac := hmac.New(sha256.New, p.derive("mail consent verifier"))
	mac.Write([]byte(state))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
