// Package mailtest gives tests a real SMTP server of their own: on a free loopback port, with STARTTLS or TLS and sign-in,
// and able to refuse, to defer, to hang up and to fall silent at any step when a test wants it to.
package mailtest

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log"
	"net"
	"net/mail"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

// Config is how a server behaves. The zero value offers STARTTLS and wants no sign-in.
type Config struct {
	ImplicitTLS bool              // as on port 465
	NoSTARTTLS  bool              // plain text only
	Names       []string          // of its certificate; 127.0.0.1 and localhost when there are none
	Expired     bool              // its certificate
	Users       map[string]string // passwords for PLAIN and LOGIN by user
	Tokens      map[string]string // access tokens for XOAUTH2 by user
	Mechanisms  []string          // of sign-in; those of Users and Tokens when there are none
	Script      Script            // nil: everything is accepted
}

// Stage is where in a conversation the script is asked.
type Stage string

// The stages. Data is asked when the whole message has come, before it is accepted.
const (
	Connected Stage = "connected"
	Auth      Stage = "auth"
	Mail      Stage = "mail"
	Rcpt      Stage = "rcpt"
	Body      Stage = "body" // before the message is read
	Data      Stage = "data"
)

// Script decides at a stage: nil accepts, Refusal answers, ErrDrop hangs up, ErrHang says nothing more. m is what is known by
// then.
type Script func(stage Stage, m Message) error

// What a script may give besides nil and a Refusal.
var (
	ErrDrop = errors.New("hang up")
	ErrHang = errors.New("say nothing more")
)

// Refusal is an answer such as 550, "5.1.1", "no such user".
func Refusal(code int, enhanced, text string) error {
	e := &smtp.SMTPError{Code: code, EnhancedCode: smtp.NoEnhancedCode, Message: text}
	if parts := strings.Split(enhanced, "."); len(parts) == 3 {
		for i, part := range parts {
			e.EnhancedCode[i] = 0
			for _, digit := range part {
				e.EnhancedCode[i] = e.EnhancedCode[i]*10 + int(digit-'0')
			}
		}
	}
	return e
}

// Message is one that was accepted, as it came over the wire.
type Message struct {
	From      string // of the envelope
	To        []string
	Data      []byte
	MessageID string // as the header gives it, with its angle brackets
	TLS       bool
	User      string // signed in; empty: nobody
	Mechanism string // of the sign-in
	At        time.Time
}

// Header is the head of the message, unfolded and as it was sent otherwise.
func (m Message) Header(name string) string {
	read, err := mail.ReadMessage(bytes.NewReader(m.Data))
	if err != nil {
		return ""
	}
	return read.Header.Get(name)
}

// Server is one server. It is safe for concurrent use.
type Server struct {
	Addr  string         // host:port
	Roots *x509.CertPool // trust its certificate

	config Config
	smtp   *smtp.Server
	closed chan struct{}

	mu       sync.Mutex
	script   Script
	messages []Message
}

// Start runs a server until the test ends.
func Start(t testing.TB, change ...func(*Config)) *Server {
	t.Helper()
	s := &Server{closed: make(chan struct{})}
	for _, c := range change {
		c(&s.config)
	}
	s.script = s.config.Script
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	certificate, roots := certificate(t, s.config.Names, s.config.Expired)
	s.Addr, s.Roots = listener.Addr().String(), roots
	s.smtp = smtp.NewServer(smtp.BackendFunc(s.begin))
	s.smtp.Domain, s.smtp.AllowInsecureAuth, s.smtp.ErrorLog = "mailtest.local", true, log.New(discard{}, "", 0)
	s.smtp.EnableSMTPUTF8 = true
	security := &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	switch {
	case s.config.ImplicitTLS:
		listener = tls.NewListener(listener, security)
	case !s.config.NoSTARTTLS:
		s.smtp.TLSConfig = security
	}
	served := make(chan struct{})
	go func() { defer close(served); _ = s.smtp.Serve(&doorkeeper{listener, s}) }()
	t.Cleanup(func() {
		close(s.closed)
		_ = s.smtp.Close()
		_ = listener.Close() // a server that has not begun to serve knows of none
		<-served
	})
	return s
}

// URL is the address for FILAIA_SMTP_URL, without encryption unless it begins with TLS. The first of Users signs in.
func (s *Server) URL() string {
	u := url.URL{Scheme: "smtp", Host: s.Addr, RawQuery: url.Values{"from": {"alertas@filaia.example"}, "name": {"FILA-IA"}}.Encode()}
	if s.config.ImplicitTLS {
		u.Scheme = "smtps"
	}
	for user, password := range s.config.Users {
		u.User = url.UserPassword(user, password)
		break
	}
	return u.String()
}

// SetScript replaces the script from now on; nil accepts everything.
func (s *Server) SetScript(script Script) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = script
}

// Messages gives what was accepted so far, in that order.
func (s *Server) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// Await gives the messages once there are n of them; it fails the test when that takes longer than the patience.
func (s *Server) Await(t testing.TB, n int, patience time.Duration) []Message {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		if got := s.Messages(); len(got) >= n {
			return got
		} else if time.Now().After(deadline) {
			t.Fatalf("%d messages came within %s, not %d", len(got), patience, n)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// ask follows the script. A connection that is dropped gives no answer any more, whatever is returned.
func (s *Server) ask(stage Stage, m Message, conn net.Conn) error {
	s.mu.Lock()
	script := s.script
	s.mu.Unlock()
	if script == nil {
		return nil
	}
	err := script(stage, m)
	switch {
	case errors.Is(err, ErrHang):
		<-s.closed
		_ = conn.Close()
	case errors.Is(err, ErrDrop):
		_ = conn.Close()
	}
	return err
}

func (s *Server) keep(m Message) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, m)
	return len(s.messages)
}

// doorkeeper asks the script before a connection is greeted.
type doorkeeper struct {
	net.Listener
	server *Server
}

func (d *doorkeeper) Accept() (net.Conn, error) {
	for {
		conn, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		d.server.mu.Lock()
		script := d.server.script
		d.server.mu.Unlock()
		if script == nil {
			return conn, nil
		}
		switch err := script(Connected, Message{}); {
		case err == nil:
			return conn, nil
		case errors.Is(err, ErrHang):
			go func() { <-d.server.closed; _ = conn.Close() }()
		case errors.Is(err, ErrDrop):
			_ = conn.Close()
		default:
			go greetWith(conn, err)
		}
	}
}

// greetWith refuses a connection in the greeting's place, and reads what the client still says: closing on unread bytes
// would take the answer away.
func greetWith(conn net.Conn, err error) {
	defer conn.Close()
	var refusal *smtp.SMTPError
	if errors.As(err, &refusal) {
		_, _ = conn.Write([]byte(answer(refusal)))
	}
	_ = conn.SetReadDeadline(time.Now().Add(time.Second))
	_, _ = conn.Read(make([]byte, 512))
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
