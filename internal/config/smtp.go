package config

import (
	"net"
	"net/mail"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// SMTP is how e-mail is sent when the environment says so.
type SMTP struct {
	Host     string
	Port     int
	Security string // starttls, tls or plain
	Auth     string // auto, plain, login, xoauth2 (the password is the access token) or none
	User     string
	Password string
	From     string // an address
	Name     string // beside From
	ReplyTo  string // empty: From
}

const smtpAccepted = "smtp://user:password@host:587?from=alerts@example.com&name=FILA-IA&reply_to=help@example.com with STARTTLS, or smtps://…:465 with TLS; " +
	"user and password percent-encoded; besides auth=auto|plain|login|xoauth2|none and, for smtp://, security=starttls|plain"

// smtp gives nil where nothing is set.
func (e *env) smtp(name string) *SMTP {
	value := e.text(name, "")
	if value == "" {
		return nil
	}
	s, ok := parseSMTP(value)
	if !ok {
		e.fail(name, redactedSMTP(value), smtpAccepted)
		return nil
	}
	return s
}

// redactedSMTP keeps a password out of an error even where what was given is no URL, or holds it in an unexpected place.
func redactedSMTP(value string) string {
	u, err := url.Parse(value)
	if err != nil || u.Host == "" || u.Opaque != "" || strings.Contains(u.Host+u.Path+u.RawQuery+u.Fragment, "@") && u.User == nil || strings.Contains(u.Path+u.Fragment, "@") {
		return "…"
	}
	return u.Scheme + "://…@" + u.Host
}

func parseSMTP(value string) (*SMTP, bool) {
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "smtp" && u.Scheme != "smtps" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.Fragment != "" {
		return nil, false
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, false
	}
	for name, values := range q {
		if len(values) != 1 || !slices.Contains([]string{"from", "name", "reply_to", "auth", "security"}, name) {
			return nil, false
		}
	}
	password, _ := u.User.Password()
	s := &SMTP{
		Host: u.Hostname(), Port: 587, Security: q.Get("security"), Auth: q.Get("auth"), User: u.User.Username(), Password: password,
		From: q.Get("from"), Name: q.Get("name"), ReplyTo: q.Get("reply_to"),
	}
	if s.From == "" {
		s.From = s.User // where the user is an address
	}
	if s.Auth == "" {
		s.Auth = "auto"
	}
	return s, s.secured(u.Scheme) && s.ported(u.Port()) && s.valid()
}

// secured chooses the encryption: in the clear to this machine only, unless it is asked for.
func (s *SMTP) secured(scheme string) bool {
	if scheme == "smtps" {
		given := s.Security
		s.Security = "tls"
		return given == "" || given == "tls"
	}
	if ip := net.ParseIP(s.Host); s.Security == "" && (s.Host == "localhost" || ip != nil && ip.IsLoopback()) {
		s.Security = "plain"
	}
	if s.Security == "" {
		s.Security = "starttls"
	}
	return s.Security == "starttls" || s.Security == "plain"
}

func (s *SMTP) ported(port string) bool {
	if s.Security == "tls" {
		s.Port = 465
	}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return false
		}
		s.Port = int(n)
	}
	return true
}

func (s *SMTP) valid() bool {
	for _, text := range []string{s.Host, s.User, s.Password, s.From, s.Name, s.ReplyTo} {
		if strings.ContainsFunc(text, unicode.IsControl) {
			return false
		}
	}
	signsIn := s.Auth != "auto" && s.Auth != "none"
	return slices.Contains([]string{"auto", "plain", "login", "xoauth2", "none"}, s.Auth) && !(signsIn && s.User == "") &&
		(s.User == "") == (s.Password == "") && bareAddress(s.From) && (s.ReplyTo == "" || bareAddress(s.ReplyTo))
}

func bareAddress(text string) bool {
	a, err := mail.ParseAddress(text)
	return err == nil && a.Address == text
}
