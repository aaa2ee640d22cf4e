package mailtest

import (
	"bytes"
	"crypto/subtle"
	"fmt"
	"io"
	"net/mail"
	"strings"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// session is one connection's conversation.
type session struct {
	server *Server
	conn   *smtp.Conn
	m      Message
}

func (s *Server) begin(c *smtp.Conn) (smtp.Session, error) {
	_, secure := c.TLSConnectionState()
	return &session{server: s, conn: c, m: Message{TLS: secure}}, nil
}

func (s *session) Reset() {
	s.m = Message{TLS: s.m.TLS, User: s.m.User, Mechanism: s.m.Mechanism}
}

func (s *session) Logout() error { return nil }

func (s *session) ask(stage Stage) error { return s.server.ask(stage, s.m, s.conn.Conn()) }

// wantsSignIn tells whether nothing is taken from strangers.
func (s *session) wantsSignIn() bool {
	return len(s.server.config.Users)+len(s.server.config.Tokens) > 0
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if s.wantsSignIn() && s.m.User == "" {
		return Refusal(530, "5.7.0", "Authentication Required")
	}
	s.m.From = from
	return s.ask(Mail)
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.m.To = append(s.m.To, to)
	return s.ask(Rcpt)
}

func (s *session) Data(r io.Reader) error {
	if err := s.ask(Body); err != nil {
		return err
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.m.Data, s.m.At = data, time.Now()
	if read, err := mail.ReadMessage(bytes.NewReader(data)); err == nil {
		s.m.MessageID = read.Header.Get("Message-Id")
	}
	if err := s.ask(Data); err != nil {
		return err
	}
	return Refusal(250, "2.0.0", fmt.Sprintf("Ok: queued as M%05d", s.server.keep(s.m)))
}

func (s *session) AuthMechanisms() []string {
	c := &s.server.config
	if len(c.Mechanisms) > 0 {
		return c.Mechanisms
	}
	var offered []string
	if len(c.Users) > 0 {
		offered = append(offered, "PLAIN", "LOGIN")
	}
	if len(c.Tokens) > 0 {
		offered = append(offered, "XOAUTH2")
	}
	return offered
}

func (s *session) Auth(mechanism string) (sasl.Server, error) {
	switch mechanism {
	case "PLAIN":
		return sasl.NewPlainServer(func(_, user, password string) error { return s.signIn(mechanism, user, password) }), nil
	case "LOGIN":
		return &login{session: s}, nil
	case "XOAUTH2":
		return &xoauth2{session: s}, nil
	}
	return nil, smtp.ErrAuthUnknownMechanism
}

func (s *session) signIn(mechanism, user, password string) error {
	s.m.User, s.m.Mechanism = user, mechanism
	if err := s.ask(Auth); err != nil {
		s.m.User = ""
		return err
	}
	known := s.server.config.Users
	if mechanism == "XOAUTH2" {
		known = s.server.config.Tokens
	}
	if want, ok := known[user]; !ok || subtle.ConstantTimeCompare([]byte(want), []byte(password)) == 0 {
		s.m.User = ""
		return Refusal(535, "5.7.8", "Username and Password not accepted")
	}
	return nil
}

// login is AUTH LOGIN, which asks for one thing after the other.
type login struct {
	*session
	asked int
	user  string
}

func (l *login) Next(response []byte) (challenge []byte, done bool, err error) {
	if l.asked == 0 && response != nil {
		l.asked = 1 // the user came with the command
	}
	l.asked++
	switch l.asked {
	case 1:
		return []byte("Username:"), false, nil
	case 2:
		l.user = string(response)
		return []byte("Password:"), false, nil
	}
	return nil, true, l.signIn("LOGIN", l.user, string(response))
}

// xoauth2 is Google's: a failure is told in a challenge, which the client answers with an empty line, and then refused.
type xoauth2 struct {
	*session
	refusal error
}

func (x *xoauth2) Next(response []byte) (challenge []byte, done bool, err error) {
	if x.refusal != nil {
		return nil, false, x.refusal
	}
	fields := map[string]string{}
	for part := range strings.SplitSeq(string(response), "\x01") {
		name, value, _ := strings.Cut(part, "=")
		fields[name] = value
	}
	if x.refusal = x.signIn("XOAUTH2", fields["user"], strings.TrimPrefix(fields["auth"], "Bearer ")); x.refusal != nil {
		return []byte(`{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}`), false, nil
	}
	return nil, true, nil
}
