package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail/smtp"

	"github.com/fila-ia/filaia/internal/alert"
)

// conversation is one connection to a server, up to the sign-in and beyond.
type conversation struct {
	client *smtp.Client
	conn   net.Conn
	ctx    context.Context // of this conversation only: when it ends, so does the connection
	stop   func() bool
	times  stepTimes
}

// begin resolves, connects, encrypts and signs in. note is told each step that worked.
func (s *Sender) begin(ctx context.Context, r route, note func(alert.MailStep)) (*conversation, error) {
	token, err := s.token(ctx, r, note)
	if err != nil {
		return nil, err
	}
	conn, err := s.connect(ctx, r, note)
	if err != nil {
		return nil, err
	}
	c := &conversation{conn: conn, stop: func() bool { return true }, times: s.times}
	c.live(ctx)
	err = c.secure(r, &tls.Config{ServerName: strings.TrimSuffix(r.Host, "."), RootCAs: s.Roots, MinVersion: tls.VersionTLS12}, note)
	if err == nil {
		err = c.signIn(r, token, note)
	}
	if err != nil {
		c.drop()
		if r.Auth == alert.MailAuthXOAUTH2 {
			s.tokens.forget() // it may have been withdrawn before its time
		}
		return nil, err
	}
	return c, nil
}

func (s *Sender) connect(ctx context.Context, r route, note func(alert.MailStep)) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.times.connect)
	defer cancel()
	found, err := s.resolve(ctx, r.Host)
	if err != nil || len(found) == 0 {
		return nil, &trouble{Step: stepResolve, Key: "mail.problem.resolve", Args: []any{"host", r.Host}, cause: noSuchHost(err)}
	}
	shown := make([]string, len(found))
	for i, a := range found {
		shown[i] = a.Unmap().String()
	}
	slices.Sort(shown)
	note(alert.MailStep{Name: stepResolve, OK: true, Detail: strings.Join(slices.Compact(shown), ", ")})
	to := net.JoinHostPort(r.Host, strconv.Itoa(r.Port))
	conn, err := s.dial(ctx, "tcp", to)
	if err != nil {
		key := "mail.problem.connect"
		if timeout(err) {
			key = "mail.problem.connect_timeout"
		}
		return nil, &trouble{Step: stepConnect, Key: key, Args: []any{"address", to}, cause: err}
	}
	return conn, nil
}

// secure greets and encrypts.
func (c *conversation) secure(r route, config *tls.Config, note func(alert.MailStep)) error {
	c.within(c.times.command)
	to := net.JoinHostPort(r.Host, strconv.Itoa(r.Port))
	conn, implicit := c.conn, r.Security == alert.MailTLS
	if implicit {
		secured := tls.Client(c.conn, config)
		if err := secured.HandshakeContext(c.ctx); err != nil {
			note(alert.MailStep{Name: stepConnect, OK: true, Detail: to})
			return c.tlsTrouble(r, err)
		}
		conn = secured
	}
	client, err := smtp.NewClient(conn, r.Host)
	if err == nil {
		c.client = client
		client.SkipSMTPUTF8(true) // asked for where it is needed; relays may refuse it further on
		err = client.Hello(hostName())
	}
	if err != nil {
		key := "mail.problem.greeting"
		if timeout(err) {
			key = "mail.problem.greeting_timeout"
		}
		return c.trouble(stepConnect, key, err, "address", to)
	}
	note(alert.MailStep{Name: stepConnect, OK: true, Detail: to})
	if r.Security == alert.MailSTARTTLS {
		if offered, _ := client.Extension("STARTTLS"); !offered {
			return c.trouble(stepTLS, "mail.problem.no_starttls", errors.New("the server offers no STARTTLS, and nothing is sent in the clear"), "host", r.Host)
		}
		if err := client.StartTLS(config); err != nil {
			return c.tlsTrouble(r, err)
		}
	}
	if r.Security != alert.MailPlain {
		state, err := client.GetTLSConnectionState()
		if err != nil || !state.HandshakeComplete {
			return c.tlsTrouble(r, errors.Join(errors.New("the connection is not encrypted"), err))
		}
		note(alert.MailStep{Name: stepTLS, OK: true, Detail: tls.VersionName(state.Version)})
	}
	return nil
}

// signIn proves who sends. token is the access token of XOAUTH2.
func (c *conversation) signIn(r route, token string, note func(alert.MailStep)) error {
	if r.Auth == alert.MailAuthNone || r.User == "" {
		return nil
	}
	c.within(c.times.command)
	_, words := c.client.Extension("AUTH")
	offered := strings.Fields(strings.ToUpper(words))
	how := strings.ToUpper(string(r.Auth))
	if r.Auth == alert.MailAuthAuto {
		how = ""
		for _, one := range []string{"PLAIN", "LOGIN", "CRAM-MD5"} {
			if slices.Contains(offered, one) {
				how = one
				break
			}
		}
	}
	if !slices.Contains(offered, how) {
		cause := fmt.Errorf("the server offers no sign-in by %s, only by: %s", strings.ToUpper(string(r.Auth)), strings.Join(offered, " "))
		return c.trouble(stepSignIn, "mail.problem.no_sign_in", cause, "offered", strings.Join(offered, ", "))
	}
	inClear := r.Security == alert.MailPlain // which the settings ask for
	var auth smtp.Auth
	switch how {
	case "PLAIN":
		auth = smtp.PlainAuth("", r.User, r.access.Password, r.Host, inClear)
	case "LOGIN":
		auth = smtp.LoginAuth(r.User, r.access.Password, r.Host, inClear)
	case "CRAM-MD5":
		auth = smtp.CRAMMD5Auth(r.User, r.access.Password)
	case "XOAUTH2":
		auth = smtp.XOAuth2Auth(r.User, token)
	}
	if err := c.client.Auth(auth); err != nil {
		return c.trouble(stepSignIn, signInKey(r, err), err, "user", r.User)
	}
	note(alert.MailStep{Name: stepSignIn, OK: true, Detail: r.User})
	return nil
}

// give hands the letter over and tells the server's words, for which it waits in long.
func (c *conversation) give(long context.Context, l *letter) (string, error) {
	c.within(c.times.command)
	if l.utf8Envelope() {
		if offered, _ := c.client.Extension("SMTPUTF8"); !offered {
			return "", alert.Refused(fmt.Errorf("%q has characters that this server cannot send to", l.to))
		}
		c.client.SkipSMTPUTF8(false)
	}
	if err := c.client.Mail("<" + l.from + ">"); err != nil {
		return c.refused(stepFrom, err)
	}
	c.within(c.times.command)
	if err := c.client.Rcpt("<" + l.to + ">"); err != nil {
		return c.refused(stepTo, err)
	}
	c.within(c.times.command)
	w, err := c.client.Data()
	if err != nil {
		return c.refused(stepData, err)
	}
	c.within(c.times.data)
	if _, err := w.Write(l.raw); err != nil {
		return c.refused(stepData, err)
	}
	if err := alert.HandOver(c.ctx, c.times.answer); err != nil {
		c.drop() // goodbye would end the message before
		return "", fmt.Errorf("before the end of the message: %w", err)
	}
	c.live(long)
	c.within(c.times.answer)
	if err := w.Close(); err != nil {
		answer, err := c.refused(stepData, err)
		if answer == "" {
			err = alert.Unanswered(err)
		}
		return answer, err
	}
	answer := "250"
	if d, ok := w.(*smtp.DataCloser); ok {
		answer += " " + d.ServerResponse()
	}
	return alert.Answer(answer), nil
}

// refused tells what came of a step for which the message itself may be to blame.
func (c *conversation) refused(step string, err error) (string, error) {
	var said *textproto.Error
	if !errors.As(err, &said) {
		return "", c.trouble(step, "mail.problem.broken", err)
	}
	t := c.trouble(step, refusedKey[step], err)
	if said.Code/100 == 4 {
		t = c.trouble(step, "mail.problem.later", err)
	}
	if forGood(said) {
		t = alert.Refused(t)
	}
	return words(err), t
}

// live lets the connection live as long as ctx, in place of the one before.
func (c *conversation) live(ctx context.Context) {
	c.stop()
	c.ctx, c.stop = ctx, context.AfterFunc(ctx, func() { _ = c.conn.Close() })
}

// within bounds what comes next.
func (c *conversation) within(d time.Duration) { _ = c.conn.SetDeadline(time.Now().Add(d)) }

// end says goodbye; what was given is safe whatever the server answers.
func (c *conversation) end() {
	c.within(c.times.quit)
	_ = c.client.Quit()
	c.drop()
}

func (c *conversation) drop() {
	c.stop()
	_ = c.conn.Close()
}

// deliver sends the letter on a connection of its own. Only the answer to all of it is waited for in long.
func (s *Sender) deliver(short, long context.Context, r route, l *letter) (string, error) {
	c, err := s.begin(short, r, func(alert.MailStep) {})
	if err != nil {
		return words(err), err
	}
	defer c.end()
	return c.give(long, l)
}
