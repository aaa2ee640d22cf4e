package mail

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/mail/mailtest"
)

func names(steps []alert.MailStep) string {
	var all string
	for _, s := range steps {
		mark := "+"
		if !s.OK {
			mark = "-"
		}
		all += mark + s.Name + " "
	}
	return all
}

func TestACheckTellsEveryStepAndSendsNothing(t *testing.T) {
	s := newStage(t, func(c *mailtest.Config) { c.Users = ana })
	s.use(alert.MailAccess{Password: ana["ana"]}, func(m *alert.Mail) { m.User = "ana" })
	steps, err := s.Check(s.ctx)
	if err != nil || names(steps) != "+resolve +connect +tls +sign_in " || steps[0].Detail != "192.0.2.1" || steps[2].Detail != "TLS 1.3" {
		t.Errorf("%+v, %v", steps, err)
	}
	if n := len(s.server.Messages()); n != 0 {
		t.Errorf("%d messages", n)
	}
}

func TestACheckSaysWhatIsWrongAndWhere(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*stage)
		steps  string
		key    string
	}{
		"no such name": {func(s *stage) {
			s.resolve = func(context.Context, string) ([]netip.Addr, error) {
				return nil, &net.DNSError{Err: "no such host", Name: "smtp.x.example", IsNotFound: true}
			}
		}, "-resolve ", "mail.problem.resolve"},
		"nobody listens": {func(s *stage) {
			s.dial = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("connection refused") }
		}, "+resolve -connect ", "mail.problem.connect"},
		"no answer to the connection": {func(s *stage) {
			s.dial = func(context.Context, string, string) (net.Conn, error) { return nil, context.DeadlineExceeded }
		}, "+resolve -connect ", "mail.problem.connect_timeout"},
		"a silent server": {func(s *stage) {
			s.times.command = 200 * time.Millisecond
			s.server.SetScript(func(mailtest.Stage, mailtest.Message) error { return mailtest.ErrHang })
		}, "+resolve -connect ", "mail.problem.greeting_timeout"},
		"a wrong password": {func(s *stage) {
			s.use(alert.MailAccess{Password: "errada"}, func(m *alert.Mail) { m.User = "ana" })
		}, "+resolve +connect +tls -sign_in ", "mail.problem.sign_in"},
		"a wrong app password": {func(s *stage) {
			s.use(alert.MailAccess{Password: "errada"}, func(m *alert.Mail) { m.Way, m.User = alert.MailGmail, "ana" })
		}, "+resolve +connect +tls -sign_in ", "mail.problem.gmail"},
		"too many sign-ins": {func(s *stage) {
			s.server.SetScript(func(stage mailtest.Stage, _ mailtest.Message) error {
				if stage == mailtest.Auth {
					return mailtest.Refusal(454, "4.7.0", "Too many login attempts")
				}
				return nil
			})
		}, "+resolve +connect +tls -sign_in ", "mail.problem.sign_in_later"},
		"another way to sign in": {func(s *stage) {
			s.use(alert.MailAccess{Password: "x"}, func(m *alert.Mail) { m.User, m.Auth = "ana", alert.MailAuthXOAUTH2 })
		}, "+resolve +connect +tls -sign_in ", "mail.problem.no_sign_in"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, func(c *mailtest.Config) { c.Users = ana })
			s.use(alert.MailAccess{Password: ana["ana"]}, func(m *alert.Mail) { m.User = "ana" })
			c.change(s)
			steps, err := s.Check(s.ctx)
			if err != nil || names(steps) != c.steps || steps[len(steps)-1].Key != c.key {
				t.Errorf("%+v, %v", steps, err)
			}
		})
	}
}

func TestNothingThatIsSetUpIsChecked(t *testing.T) {
	s := newStage(t)
	if steps, err := s.Check(s.ctx); err == nil {
		t.Errorf("%+v", steps)
	}
}
