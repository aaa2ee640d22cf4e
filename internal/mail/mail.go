// Package mail sends messages by SMTP, or keeps them as files where nothing is set up.
//
// How it is sent is read anew for every message, so that a change of the settings holds on all replicas at once. The
// environment (FILAIA_SMTP_URL) wins over what is kept.
package mail

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"time"

	"golang.org/x/oauth2"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/config"
	"github.com/fila-ia/filaia/internal/secret"
)

// Settings keeps how e-mail is sent.
type Settings interface {
	MailSettings(ctx context.Context) (alert.Mail, error)
	// MailTurn does what only one replica may be at.
	MailTurn(ctx context.Context, do func(context.Context) error) error
	// RenewMail keeps a sealed refresh token in place of the one in before, unless that is not what is kept any more.
	RenewMail(ctx context.Context, before alert.Mail, renewed []byte) error
}

// Config is what a Sender stands on.
type Config struct {
	Settings    Settings
	Box         *secret.Box  // opens what is sealed
	Environment *config.SMTP // nil: Settings say
	DataDir     string       // messages are kept in its folder outbox
	Now         func() time.Time
	Roots       *x509.CertPool  // nil: the system's
	Google      oauth2.Endpoint // the zero value: where it is
}

// Sender sends. It is safe for concurrent use.
type Sender struct {
	Config
	outbox  string
	tokens  *tokens
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	limit   func(context.Context, time.Duration) (context.Context, context.CancelFunc)
	times   stepTimes
}

// stepTimes bound what each step may take.
type stepTimes struct {
	connect, command, data, quit time.Duration
	whole                        time.Duration // all but the answer to the whole message
	answer                       time.Duration
}

// New makes a sender; it opens nothing.
func New(c Config) *Sender {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Google == (oauth2.Endpoint{}) {
		c.Google = google()
	}
	return &Sender{
		Config: c, outbox: filepath.Join(c.DataDir, "outbox"),
		tokens: &tokens{endpoint: c.Google, client: &http.Client{Timeout: 15 * time.Second, CheckRedirect: notFurther}},
		dial:   (&net.Dialer{}).DialContext,
		resolve: func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		},
		limit: context.WithTimeout,
		// RFC 5321 would wait for minutes at each step; an alert had better be tried again, unless the server has all of it.
		times: stepTimes{
			connect: 15 * time.Second, command: 30 * time.Second, data: 30 * time.Second, quit: 2 * time.Second,
			whole: 45 * time.Second, answer: alert.LongestAnswer,
		},
	}
}

// notFurther keeps what signs in from wherever a place that gives tokens would lead: 307 and 308 have it posted again.
func notFurther(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// google is where consent is given and tokens are had.
func google() oauth2.Endpoint {
	return oauth2.Endpoint{
		AuthURL: "https://accounts.google.com/o/oauth2/v2/auth", TokenURL: "https://oauth2.googleapis.com/token", AuthStyle: oauth2.AuthStyleInParams,
	}
}

// route is how a message goes, with what signs in.
type route struct {
	alert.Mail
	access alert.MailAccess
}

// InForce tells how e-mail is sent now, and whether the environment says so. What is secret stays sealed.
func (s *Sender) InForce(ctx context.Context) (m alert.Mail, environment bool, err error) {
	if s.Environment != nil {
		return fromEnvironment(s.Environment).Mail, true, nil
	}
	m, err = s.Settings.MailSettings(ctx)
	return m, false, err
}

// MailReady tells whether messages leave the machine: something is set up, and nothing of it is missing.
func (s *Sender) MailReady(ctx context.Context) (bool, error) {
	m, _, err := s.InForce(ctx)
	return m.Ready(), err
}

func fromEnvironment(c *config.SMTP) route {
	r := route{alert.Mail{
		Way: alert.MailServer, Host: c.Host, Port: c.Port, Security: alert.MailSecurity(c.Security), Auth: alert.MailAuth(c.Auth),
		User: c.User, From: c.From, Name: c.Name, ReplyTo: c.ReplyTo,
	}, alert.MailAccess{Password: c.Password}}
	if c.Password != "" {
		r.PasswordHint = "…"
	}
	return r
}

// route reads how messages go now.
func (s *Sender) route(ctx context.Context) (route, error) {
	if s.Environment != nil {
		return fromEnvironment(s.Environment), nil
	}
	m, err := s.Settings.MailSettings(ctx)
	if err != nil {
		return route{}, fmt.Errorf("read how e-mail is sent: %w", err)
	}
	access, err := m.Open(s.Box)
	if err != nil {
		return route{}, fmt.Errorf("open what e-mail is sent with: %w", err)
	}
	return route{m, access}, nil
}

var errNotConnected = errors.New("e-mail: the Google account is not connected yet; it is done on the page of e-mail settings")

// Send gives the message to the server in force, or keeps it as a file, and tells the server's own words, also beside an
// error. What the server refuses for good is alert.ErrRefused; what the settings are to blame for is not, as they will be
// mended. A server that has all of the message and does not answer is alert.ErrUnanswered; the time for that is its own.
func (s *Sender) Send(ctx context.Context, d alert.Delivery, n alert.Notice, t alert.Text) (answer string, err error) {
	short, cancel := s.limit(ctx, s.times.whole)
	defer cancel()
	r, err := s.route(short)
	if err != nil {
		return "", err
	}
	if r.Sends() && !r.Ready() {
		return "", errNotConnected
	}
	l, err := s.write(r.Mail, d, n, t)
	if err != nil {
		return "", err
	}
	if !r.Sends() {
		return s.keep(l)
	}
	return s.deliver(short, ctx, r, l)
}
