package mail

import (
	"bytes"
	"errors"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/config"
	"github.com/fila-ia/filaia/internal/mail/mailtest"
)

var ana = map[string]string{"ana": "s3nha forte"}

func TestAMessageArrivesWithEveryWayToSignInAndEncrypt(t *testing.T) {
	for name, c := range map[string]struct {
		server    func(*mailtest.Config)
		mail      func(*alert.Mail)
		access    alert.MailAccess
		mechanism string
		clear     bool
	}{
		"STARTTLS, no sign-in":   {server: func(*mailtest.Config) {}, mail: func(*alert.Mail) {}},
		"STARTTLS, automatic":    {server: func(c *mailtest.Config) { c.Users = ana }, mail: func(m *alert.Mail) { m.User = "ana" }, access: alert.MailAccess{Password: ana["ana"]}, mechanism: "PLAIN"},
		"TLS, PLAIN":             {server: func(c *mailtest.Config) { c.Users, c.ImplicitTLS = ana, true }, mail: func(m *alert.Mail) { m.User, m.Security, m.Auth = "ana", alert.MailTLS, alert.MailAuthPlain }, access: alert.MailAccess{Password: ana["ana"]}, mechanism: "PLAIN"},
		"STARTTLS, LOGIN":        {server: func(c *mailtest.Config) { c.Users = ana }, mail: func(m *alert.Mail) { m.User, m.Auth = "ana", alert.MailAuthLogin }, access: alert.MailAccess{Password: ana["ana"]}, mechanism: "LOGIN"},
		"automatic, LOGIN only":  {server: func(c *mailtest.Config) { c.Users, c.Mechanisms = ana, []string{"LOGIN"} }, mail: func(m *alert.Mail) { m.User = "ana" }, access: alert.MailAccess{Password: ana["ana"]}, mechanism: "LOGIN"},
		"XOAUTH2":                {server: func(c *mailtest.Config) { c.Tokens = map[string]string{"ana": "ya29.t"} }, mail: func(m *alert.Mail) { m.User, m.Auth = "ana", alert.MailAuthXOAUTH2 }, access: alert.MailAccess{Password: "ya29.t"}, mechanism: "XOAUTH2"},
		"in the clear, LOGIN":    {server: func(c *mailtest.Config) { c.Users, c.NoSTARTTLS = ana, true }, mail: func(m *alert.Mail) { m.User, m.Auth, m.Security = "ana", alert.MailAuthLogin, alert.MailPlain }, access: alert.MailAccess{Password: ana["ana"]}, mechanism: "LOGIN", clear: true},
		"in the clear, no users": {server: func(c *mailtest.Config) { c.NoSTARTTLS = true }, mail: func(m *alert.Mail) { m.Security = alert.MailPlain }, clear: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, c.server)
			s.use(c.access, c.mail)
			answer, err := s.send(delivery())
			if err != nil || answer != "250 2.0.0 Ok: queued as M00001" {
				t.Fatalf("%q, %v", answer, err)
			}
			got := s.server.Messages()
			if len(got) != 1 || got[0].From != "alertas@filaia.example" || !slices.Equal(got[0].To, []string{"ana@cliente.example"}) ||
				got[0].Mechanism != c.mechanism || got[0].TLS == c.clear {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestTheEnvironmentWinsOverWhatIsKept(t *testing.T) {
	s := newStage(t, func(c *mailtest.Config) { c.NoSTARTTLS = true })
	s.settings.mail = alert.Mail{Way: alert.MailServer, Host: "elsewhere.example", Port: 1, From: "x@y.example"}
	s.Environment = &config.SMTP{Host: "127.0.0.1", Port: 25, Security: "plain", Auth: "auto", From: "env@filaia.example"}
	if _, err := s.send(delivery()); err != nil {
		t.Fatal(err)
	}
	if got := s.server.Messages(); got[0].From != "env@filaia.example" {
		t.Errorf("%+v", got)
	}
	if m, environment, err := s.InForce(s.ctx); err != nil || !environment || m.Host != "127.0.0.1" {
		t.Errorf("%+v, %v, %v", m, environment, err)
	}
}

func TestAChangeOfTheSettingsHoldsForTheNextMessage(t *testing.T) {
	s := newStage(t)
	s.use(alert.MailAccess{})
	if _, err := s.send(delivery()); err != nil {
		t.Fatal(err)
	}
	s.use(alert.MailAccess{}, func(m *alert.Mail) { m.From = "novo@filaia.example" })
	if _, err := s.send(delivery()); err != nil {
		t.Fatal(err)
	}
	if got := s.server.Messages(); got[1].From != "novo@filaia.example" {
		t.Errorf("%+v", got)
	}
}

func TestRefusalsAreTriedAgainOnlyWhereThatMayHelp(t *testing.T) {
	for name, c := range map[string]struct {
		stage   mailtest.Stage
		refusal error
		good    bool
		answer  string
	}{
		"an unknown recipient":              {mailtest.Rcpt, mailtest.Refusal(550, "5.1.1", "No such user here"), true, "550 5.1.1 No such user here"},
		"a recipient that is no mailbox":    {mailtest.Rcpt, mailtest.Refusal(553, "5.1.3", "mailbox name not allowed"), true, "553 5.1.3 mailbox name not allowed"},
		"an address that is no address":     {mailtest.Rcpt, mailtest.Refusal(501, "5.1.3", "Bad recipient address syntax"), true, "501 5.1.3 Bad recipient address syntax"},
		"greylisting":                       {mailtest.Rcpt, mailtest.Refusal(451, "4.7.1", "Greylisted, come back"), false, "451 4.7.1 Greylisted, come back"},
		"a full mailbox for the time being": {mailtest.Rcpt, mailtest.Refusal(452, "4.2.2", "over quota"), false, "452 4.2.2 over quota"},
		"a sender that is blocked":          {mailtest.Mail, mailtest.Refusal(550, "5.7.1", "sender blocked"), true, "550 5.7.1 sender blocked"},
		"no sign-in":                        {mailtest.Mail, mailtest.Refusal(530, "5.7.0", "Authentication Required"), false, "530 5.7.0 Authentication Required"},
		"a command that is not known":       {mailtest.Mail, mailtest.Refusal(501, "5.5.4", "Syntax error"), false, "501 5.5.4 Syntax error"},
		"Google's limit of a day":           {mailtest.Mail, mailtest.Refusal(550, "5.4.5", "Daily user sending limit exceeded"), false, "550 5.4.5 Daily user sending limit exceeded"},
		"before the message":                {mailtest.Body, mailtest.Refusal(421, "4.3.2", "shutting down"), false, "421 4.3.2 shutting down"},
		"a message that is spam":            {mailtest.Data, mailtest.Refusal(554, "5.7.1", "looks like spam"), true, "554 5.7.1 looks like spam"},
		"a message for which there is no room": {mailtest.Data, mailtest.Refusal(452, "4.3.1", "insufficient storage"), false,
			"452 4.3.1 insufficient storage"},
		"a greeting that refuses":  {mailtest.Connected, mailtest.Refusal(554, "5.7.1", "no service for you"), false, "554 5.7.1 no service for you"},
		"a server that shuts down": {mailtest.Connected, mailtest.Refusal(421, "4.3.2", "shutting down"), false, "421 4.3.2 shutting down"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			s.use(alert.MailAccess{})
			s.server.SetScript(func(stage mailtest.Stage, _ mailtest.Message) error {
				if stage == c.stage {
					return c.refusal
				}
				return nil
			})
			answer, err := s.send(delivery())
			if err == nil || errors.Is(err, alert.ErrRefused) != c.good || answer != c.answer {
				t.Errorf("%q, %v (for good: %v)", answer, err, errors.Is(err, alert.ErrRefused))
			}
			if n := len(s.server.Messages()); n != 0 {
				t.Errorf("%d messages were taken", n)
			}
		})
	}
}

func TestAMessageThatWasDeferredArrivesAtTheNextAttemptAsTheSame(t *testing.T) {
	s := newStage(t)
	s.use(alert.MailAccess{})
	var asked atomic.Int32
	var first atomic.Value
	s.server.SetScript(func(stage mailtest.Stage, m mailtest.Message) error {
		if stage == mailtest.Data && asked.Add(1) == 1 {
			first.Store(m.MessageID)
			return mailtest.Refusal(451, "4.7.1", "Greylisted")
		}
		return nil
	})
	if _, err := s.send(delivery()); err == nil {
		t.Fatal("it was taken at once")
	}
	if answer, err := s.send(delivery()); err != nil || !strings.HasPrefix(answer, "250 ") {
		t.Fatal(answer, err)
	}
	got := s.server.Messages()
	if len(got) != 1 || got[0].MessageID != first.Load() || got[0].MessageID != "<0191d6a0-6f00-7c00-8000-0000000000aa@filaia.example>" {
		t.Errorf("%v, first %v", got[0].MessageID, first.Load())
	}
}

func TestAMessageKeepsItsIDThoughTheSenderIsChanged(t *testing.T) {
	const id = "0191d6a0-6f00-7c00-8000-0000000000aa@"
	for url, want := range map[string][2]string{
		"https://painel.padaria.com.br:8443": {"painel.padaria.com.br", "painel.padaria.com.br"}, "https://são.com.br": {"xn--so-sia.com.br", "xn--so-sia.com.br"},
		"http://192.0.2.1:8080": {"um.example", "dois.example"}, "http://[2001:db8::1]": {"um.example", "dois.example"}, "http://localhost:8080": {"um.example", "dois.example"}, "": {"um.example", "dois.example"},
	} {
		s := newStage(t)
		for i, from := range []string{"a@um.example", "a@dois.example"} {
			s.use(alert.MailAccess{}, func(m *alert.Mail) { m.From = from })
			if _, err := s.Send(s.ctx, delivery(), alert.Notice{PublicURL: url}, said()); err != nil {
				t.Fatal(err)
			}
			if got := s.server.Messages()[i].MessageID; got != "<"+id+want[i]+">" {
				t.Errorf("%s from %s: %s, want %s", url, from, got, want[i])
			}
		}
	}
}

func TestServersThatHangUpOrFallSilentAreTriedAgain(t *testing.T) {
	for _, stage := range []mailtest.Stage{mailtest.Connected, mailtest.Auth, mailtest.Mail, mailtest.Rcpt, mailtest.Body, mailtest.Data} {
		for what, behaviour := range map[string]error{"hangs up": mailtest.ErrDrop, "says nothing": mailtest.ErrHang} {
			t.Run(what+" at "+string(stage), func(t *testing.T) {
				t.Parallel()
				s := newStage(t, func(c *mailtest.Config) { c.Users = ana })
				s.use(alert.MailAccess{Password: ana["ana"]}, func(m *alert.Mail) { m.User = "ana" })
				s.times = stepTimes{connect: patience, command: patience, data: patience, quit: patience, whole: patience, answer: patience}
				if behaviour == mailtest.ErrHang {
					s.times = stepTimes{connect: patience, command: 300 * time.Millisecond, data: 300 * time.Millisecond, quit: 50 * time.Millisecond, whole: patience, answer: 300 * time.Millisecond}
				}
				s.server.SetScript(func(at mailtest.Stage, _ mailtest.Message) error {
					if at == stage {
						return behaviour
					}
					return nil
				})
				answer, err := s.send(delivery())
				if err == nil || errors.Is(err, alert.ErrRefused) {
					t.Errorf("%q, %v", answer, err)
				}
				if stage != mailtest.Body && errors.Is(err, alert.ErrUnanswered) != (stage == mailtest.Data) { // a short message is sent before it is known that nobody reads it
					t.Errorf("taken for a message that may have arrived, or not: %v", err)
				}
				if n := len(s.server.Messages()); n != 0 {
					t.Errorf("%d messages", n)
				}
			})
		}
	}
}

func TestTheCallersTimeEndsASilentConversation(t *testing.T) {
	s := newStage(t)
	s.use(alert.MailAccess{})
	ctx, cancel := contextWith(s.ctx)
	s.server.SetScript(func(stage mailtest.Stage, _ mailtest.Message) error {
		if stage == mailtest.Rcpt {
			cancel()
			return mailtest.ErrHang
		}
		return nil
	})
	_, err := s.Send(ctx, delivery(), alert.Notice{}, said())
	if !errors.Is(err, ctx.Err()) || errors.Is(err, alert.ErrRefused) {
		t.Error(err)
	}
}

func TestNothingIsSentToAServerThatCannotProveItselfOrEncrypt(t *testing.T) {
	const password = "s3nha forte"
	for name, c := range map[string]struct {
		server func(*mailtest.Config)
		mail   func(*alert.Mail)
		roots  bool
		key    string
	}{
		"a wrong name":            {func(c *mailtest.Config) { c.Names = []string{"outro.example"} }, func(*alert.Mail) {}, true, "mail.problem.tls_name"},
		"a wrong name, TLS":       {func(c *mailtest.Config) { c.Names, c.ImplicitTLS = []string{"outro.example"}, true }, func(m *alert.Mail) { m.Security = alert.MailTLS }, true, "mail.problem.tls_name"},
		"signed by itself":        {func(*mailtest.Config) {}, func(*alert.Mail) {}, false, "mail.problem.tls_authority"},
		"an expired certificate":  {func(c *mailtest.Config) { c.Expired = true }, func(*alert.Mail) {}, true, "mail.problem.tls_expired"},
		"no STARTTLS":             {func(c *mailtest.Config) { c.NoSTARTTLS = true }, func(*alert.Mail) {}, true, "mail.problem.no_starttls"},
		"TLS where there is none": {func(*mailtest.Config) {}, func(m *alert.Mail) { m.Security = alert.MailTLS }, true, "mail.problem.tls_none"},
	} {
		t.Run(name, func(t *testing.T) {
			heard := make(chan string, 10)
			s := newStage(t, c.server, func(c *mailtest.Config) {
				c.Users = map[string]string{"ana": password}
				c.Script = func(stage mailtest.Stage, _ mailtest.Message) error {
					if stage != mailtest.Connected {
						heard <- string(stage)
					}
					return nil
				}
			})
			if !c.roots {
				s.Roots = nil
			}
			s.use(alert.MailAccess{Password: password}, func(m *alert.Mail) { m.User = "ana" }, c.mail)
			_, err := s.send(delivery())
			if err == nil || errors.Is(err, alert.ErrRefused) {
				t.Fatal(err)
			}
			if step := s.Explain(err); step.Key != c.key || step.Name != stepTLS {
				t.Errorf("%+v", step)
			}
			if len(heard) != 0 {
				t.Errorf("the server heard %s", <-heard)
			}
		})
	}
}

func TestWhatIsNoAddressIsRefusedForGoodAndNamed(t *testing.T) {
	s := newStage(t)
	s.use(alert.MailAccess{})
	for _, to := range []string{
		"", "ana", "ana@", "@cliente.example", "ana@cliente.example, bia@cliente.example", "Ana <ana@cliente.example>",
		"ana@cliente.example\r\nRCPT TO:<bia@x.example>", "ana\x00@cliente.example", "ana@cliente.example>\r\nDATA", `"a b"@cliente.example`,
		"ana@exa mple.com", strings.Repeat("a", 65) + "@x.example", "ana@-.example", "ana@cliente.example\n", "ana@cliente..example",
	} {
		d := delivery()
		d.Recipient = to
		_, err := s.send(d)
		if !errors.Is(err, alert.ErrRefused) {
			t.Errorf("%q: %v", to, err)
		} else if start := to[:min(3, len(to))]; !strings.Contains(err.Error(), strings.TrimFunc(start, func(r rune) bool { return r < ' ' || r == '"' })) || strings.ContainsAny(err.Error(), "\r\n") {
			t.Errorf("%q is not named: %q", to, err)
		}
	}
	if n := len(s.server.Messages()); n != 0 {
		t.Errorf("%d messages", n)
	}
}

func TestAddressesBeyondASCIIAreSaidAsTheServerUnderstandsThem(t *testing.T) {
	s := newStage(t)
	s.use(alert.MailAccess{})
	d := delivery()
	d.Recipient = "ana@ação.example"
	if _, err := s.send(d); err != nil {
		t.Fatal(err)
	}
	d.Recipient = "josé@ação.example"
	if _, err := s.send(d); err != nil {
		t.Fatal(err)
	}
	got := s.server.Messages()
	if got[0].To[0] != "ana@xn--ao-siaa.example" && !strings.HasPrefix(got[0].To[0], "ana@xn--") {
		t.Error(got[0].To)
	}
	if !strings.HasPrefix(got[1].To[0], "josé@xn--") {
		t.Error(got[1].To)
	}
}

func TestTheMessageIsTheOneThatWasWritten(t *testing.T) {
	s := newStage(t)
	s.use(alert.MailAccess{})
	n := alert.Notice{SentAt: time.Date(2026, 11, 22, 14, 6, 0, 0, time.UTC), Zone: time.FixedZone("", -3*3600), Unsubscribe: "https://filaia.example/unsubscribe?t=a.b-c_d"}
	if _, err := s.Send(s.ctx, delivery(), n, said()); err != nil {
		t.Fatal(err)
	}
	m := s.server.Messages()[0]
	for name, want := range map[string]string{
		"Date": "Sun, 22 Nov 2026 11:06:00 -0300", "From": `"FILA-IA" <alertas@filaia.example>`, "Reply-To": "<ajuda@filaia.example>",
		"To": "=?utf-8?q?Ana_Concei=C3=A7=C3=A3o?= <ana@cliente.example>", "Auto-Submitted": "auto-generated", "Content-Language": "pt-BR",
		"List-Unsubscribe": "<https://filaia.example/unsubscribe?t=a.b-c_d>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
		"Message-Id": "<0191d6a0-6f00-7c00-8000-0000000000aa@filaia.example>", "Subject": "90 % da franquia de tokens", "Mime-Version": "1.0",
		"Precedence": "", "User-Agent": "", "X-Mailer": "",
	} {
		if got := m.Header(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	l, err := readLetter(m.Data)
	if err != nil || strings.TrimSpace(strings.ReplaceAll(l.Text, "\r", "")) != said().Plain || strings.TrimSpace(l.HTML) != said().HTML {
		t.Errorf("%q, %q, %v", l.Text, l.HTML, err)
	}
	if !strings.HasPrefix(m.Header("Content-Type"), "multipart/alternative") || bytes.Index(m.Data, []byte("text/plain")) > bytes.Index(m.Data, []byte("text/html")) {
		t.Errorf("the best alternative does not come last:\n%s", m.Data)
	}
}

func TestATeamsMessageHasNothingToUnsubscribeFrom(t *testing.T) {
	s := newStage(t)
	s.use(alert.MailAccess{})
	for _, link := range []string{"", "javascript:alert(1)", "https://x.example/a>\r\nBcc: b@x.example", "https://x.example/a> <https://y.example", "http://10.0.0.1/u?t=1"} {
		if _, err := s.Send(s.ctx, delivery(), alert.Notice{Unsubscribe: link}, said()); err != nil {
			t.Fatal(err)
		}
	}
	for i, m := range s.server.Messages() {
		last := i == 4
		if (m.Header("List-Unsubscribe") != "") != last || m.Header("List-Unsubscribe-Post") != "" || m.Header("Bcc") != "" {
			t.Errorf("message %d:\n%s", i, m.Data)
		}
	}
}

func TestASendersTroubleDoesNotTellThePassword(t *testing.T) {
	const password = "s3nha-canario"
	s := newStage(t, func(c *mailtest.Config) { c.Users = ana })
	for _, how := range []alert.MailAuth{alert.MailAuthPlain, alert.MailAuthLogin, alert.MailAuthXOAUTH2} {
		s.use(alert.MailAccess{Password: password}, func(m *alert.Mail) { m.User, m.Auth = "ana", how })
		answer, err := s.send(delivery())
		if err == nil || errors.Is(err, alert.ErrRefused) || strings.Contains(err.Error()+answer, password) {
			t.Errorf("%s: %q, %v", how, answer, err)
		}
	}
}

func TestAServerThatIsAwayIsTriedAgain(t *testing.T) {
	s := newStage(t)
	s.use(alert.MailAccess{})
	s.dial = (&net.Dialer{}).DialContext
	s.settings.mail.Host, s.settings.mail.Port = "127.0.0.1", closedPort(t)
	_, err := s.send(delivery())
	if step := s.Explain(err); err == nil || errors.Is(err, alert.ErrRefused) || step.Name != stepConnect || step.Key != "mail.problem.connect" {
		t.Errorf("%v, %+v", err, step)
	}
}
