// Package webhook sends alerts where they go besides e-mail: to receivers of signed webhooks (Standard Webhooks), to incoming
// webhooks of Slack, Microsoft Teams and Discord, and to Telegram.
//
// The addresses are typed by customers too, so nothing here may reach into the operator's own network: every connection is
// looked at when it is made, by the address that was resolved; no redirect is followed and no proxy asked.
package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/i18n"
)

// Doors opens destinations.
type Doors interface {
	// Door gives a destination and what opens it. It is a fault of kind NotFound for one that does not exist or was deleted.
	Door(ctx context.Context, id int64) (alert.Destination, alert.Access, error)
}

// Config is what a Sender needs. Doors is required.
type Config struct {
	Doors    Doors
	Private  bool             // addresses of private networks, and without TLS, are allowed
	Telegram string           // where Telegram's bots are; empty: https://api.telegram.org
	Now      func() time.Time // nil: time.Now
}

const (
	telegramAPI = "https://api.telegram.org"
	sendTime    = 10 * time.Second // for all of one attempt
	answerBytes = 64 << 10         // read of an answer
)

// Sender delivers alerts. It is safe for concurrent use.
type Sender struct {
	Config
	client *http.Client
}

// New makes a Sender; it starts nothing.
func New(c Config) *Sender {
	if c.Telegram == "" {
		c.Telegram = telegramAPI
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Sender{Config: c, client: newClient(c.Private)}
}

// Send delivers a message to the destination that d.ChannelID names. The answer is what the other side said, for people, in
// d.Language and without secrets; so is the error. An error that is alert.ErrRefused need not be tried again.
func (s *Sender) Send(ctx context.Context, d alert.Delivery, n alert.Notice, t alert.Text) (answer string, err error) {
	say := i18n.NewPrinter(d.Language, n.Zone)
	to, access, err := s.Doors.Door(ctx, d.ChannelID)
	if err != nil {
		return s.noDoor(say, d, err)
	}
	hide := secretsOf(access)
	switch {
	case to.TenantID != 0 && to.TenantID != d.TenantID:
		return refuse(say.T("channels.answer.foreign"))
	case !to.Active && d.Kind != alert.TestNotice:
		return refuse(say.T("channels.answer.inactive"))
	}
	m, err := s.compose(to.Kind, access, d, n, t)
	if err != nil {
		return refuse(hide.scrub(err.Error()))
	}
	ctx, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, m.url, bytes.NewReader(m.body))
	if err != nil || r.URL.Scheme != "https" && !s.Private {
		return refuse(say.T("channels.error.https"))
	}
	r.Header = m.header
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	r.Header.Set("User-Agent", "FILA-IA-Webhooks/1 (+https://www.standardwebhooks.com)")
	reply, err := s.client.Do(r)
	if err != nil {
		return failed(ctx, say, hide, r.URL.Hostname(), err)
	}
	defer reply.Body.Close()
	// What was accepted stays accepted when the rest of the answer does not come.
	body, _ := io.ReadAll(io.LimitReader(reply.Body, answerBytes))
	return judge(say, hide, to.Kind, reply, body, s.Now())
}

// noDoor tells of a destination that cannot be opened: one that is gone is never there again, a database that is away is.
func (s *Sender) noDoor(say i18n.Printer, d alert.Delivery, err error) (string, error) {
	if errors.Is(err, ErrGone) {
		return refuse(say.T("channels.answer.deleted"))
	}
	if errors.Is(err, ErrSealed) {
		return refuse(say.T("channels.answer.sealed"))
	}
	return "", fmt.Errorf("open channel %d: %w", d.ChannelID, err)
}

// refuse is an attempt that must not be repeated.
func refuse(words string) (string, error) { return words, alert.Refused(errors.New(words)) }

// message is what is posted.
type message struct {
	url    string
	header http.Header
	body   []byte
}

func (s *Sender) compose(kind alert.Channel, a alert.Access, d alert.Delivery, n alert.Notice, t alert.Text) (message, error) {
	m := message{url: a.URL, header: http.Header{}}
	var err error
	switch kind {
	case alert.Webhook:
		if m.body, err = payload(d, n, t); err == nil {
			err = sign(m.header, d.MessageID.String(), s.Now(), m.body, a.Signing(s.Now()))
		}
	case alert.Slack:
		m.body, err = slack(n, t)
	case alert.Teams:
		m.body, err = teams(n, t)
	case alert.Discord:
		m.body, err = discord(n, t)
	case alert.Telegram:
		m.url = s.Telegram + "/bot" + a.Token + "/sendMessage"
		m.body, err = telegram(n, t, a.Chat)
	default:
		err = fmt.Errorf("no way to send by %q", kind)
	}
	return m, err
}
