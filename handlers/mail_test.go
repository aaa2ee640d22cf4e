package handlers

import (
	"context"
	"encoding/json"
	"html"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/config"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/mail"
	"github.com/fila-ia/filaia/internal/mail/mailtest"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// mailPassword is what e-mail is sent with in these tests; it must never be seen again.
const mailPassword = "s3nha-canario-x9Zq"

// mailSite is a site that sends e-mail to a server of the test's own.
type mailSite struct {
	*site
	server *mailtest.Server
	dir    string
}

func newMailSite(t *testing.T, change ...func(*mail.Config)) *mailSite {
	t.Helper()
	s := &mailSite{site: newSite(t), dir: t.TempDir()}
	s.server = mailtest.Start(t, func(c *mailtest.Config) { c.Users = map[string]string{"ana": mailPassword} })
	c := mail.Config{Settings: s.store, Box: s.Credentials, DataDir: s.dir, Now: s.clock.now, Roots: s.server.Roots}
	for _, one := range change {
		one(&c)
	}
	s.Mail, s.Mailer = s.store, mail.New(c)
	return s
}

// serverForm is what the form of the test's server sends.
func (s *mailSite) serverForm() url.Values {
	host, port, _ := net.SplitHostPort(s.server.Addr)
	return url.Values{
		"host": {host}, "port": {port}, "security": {"starttls"}, "auth": {"auto"}, "user": {"ana"}, "password": {mailPassword},
		"from": {"alertas@filaia.example"}, "name": {"FILA-IA"}, "reply_to": {""},
	}
}

func TestOwnersSetUpAServerCheckItAndSendATest(t *testing.T) {
	s := newMailSite(t)
	b := s.as(t, tenancy.Owner)
	b.get("/settings/mail").status(http.StatusOK).has(text("mail.state.none"), text("mail.way.gmail"), text("mail.way.smtp"))
	b.get("/settings/mail/setup/smtp").status(http.StatusOK).has(`value="587"`)
	b.post("/settings/mail/setup/smtp", s.serverForm()).leadsTo("/settings/mail")
	b.get("/settings/mail").status(http.StatusOK).has(text("mail.saved"), text("mail.state.unverified"), text("mail.never_worked"), s.server.Addr, text("mail.kept_unseen")).lacks(mailPassword, "x9Zq")
	b.get("/settings/mail/setup/smtp").has(`value="ana"`, text("mail.help.kept_unseen")).lacks(mailPassword, "x9Zq")
	b.post("/settings/mail/check", nil).status(http.StatusOK).has(text("mail.result.checked"), "TLS 1.3")
	if n := len(s.server.Messages()); n != 0 {
		t.Fatalf("the check sent %d messages", n)
	}
	b.post("/settings/mail/test", nil).status(http.StatusOK).has(text("mail.result.sent", "address", b.user.Email), "250 2.0.0 Ok: queued as M00001")
	if m := s.server.Messages(); len(m) != 1 || m[0].To[0] != b.user.Email || m[0].From != "alertas@filaia.example" || m[0].User != "ana" {
		t.Errorf("%+v", m)
	}
	var kept string
	must(t, s.db.Get(&kept, `SELECT value::text FROM settings WHERE name = 'mail'`))
	if strings.Contains(kept, mailPassword) || strings.Contains(s.log.all(), mailPassword) {
		t.Error("the password can be read")
	}
}

func TestAStoredPasswordStaysWhereItBelongs(t *testing.T) {
	s := newMailSite(t)
	b := s.as(t, tenancy.Owner)
	b.post("/settings/mail/setup/smtp", s.serverForm()).leadsTo("/settings/mail")
	b.post("/settings/mail/setup/smtp", with(s.serverForm(), "password", "", "name", "Avisos")).leadsTo("/settings/mail")
	b.post("/settings/mail/test", nil).has("250 2.0.0")
	form := with(s.serverForm(), "password", "", "host", "mal.example")
	b.post("/settings/mail/setup/smtp", form).status(http.StatusUnprocessableEntity).has(text("mail.error.password_again"), `value="mal.example"`).lacks(mailPassword)
	b.post("/settings/mail/none", nil).leadsTo("/settings/mail")
	b.get("/settings/mail").has(text("mail.stopped"), text("mail.state.none"))
	var sealed int
	must(t, s.db.Get(&sealed, `SELECT count(*) FROM settings WHERE name = 'mail' AND value ? 'sealed'`))
	if sealed != 0 {
		t.Error("what signed in is still there")
	}
}

func TestAFailedCheckSaysWhatToDo(t *testing.T) {
	s := newMailSite(t)
	b := s.as(t, tenancy.Owner)
	b.post("/settings/mail/setup/smtp", with(s.serverForm(), "password", "errada-e-longa")).leadsTo("/settings/mail")
	b.post("/settings/mail/check", nil).status(http.StatusOK).has(text("mail.result.check_failed"), text("mail.problem.sign_in", "user", "ana"), "535 5.7.8").lacks("errada-e-longa")
	b.post("/settings/mail/test", nil).status(http.StatusOK).has(text("mail.result.send_failed"), text("mail.state.troubled"), "535 5.7.8").lacks("errada-e-longa", text("mail.state.ready"))
	if log := s.log.all(); !strings.Contains(log, "mail.problem.sign_in") || strings.Contains(log, "Username and Password") {
		t.Errorf("the log holds the server's words, or not what is wrong: %s", log)
	}
	b.header.Set("HX-Request", "true")
	b.post("/settings/mail/check", nil).status(http.StatusOK).has(`id="mail-result"`, `id="mail-state" hx-swap-oob="true"`, text("mail.state.troubled")).lacks("<html")
}

func TestWhatIsSetUpIsNotCalledReadyBeforeItHasWorked(t *testing.T) {
	s := newMailSite(t)
	b := s.as(t, tenancy.Owner)
	b.post("/settings/mail/setup/smtp", s.serverForm()).leadsTo("/settings/mail")
	b.get("/settings/mail").has(text("mail.state.unverified"), text("mail.never_worked")).lacks(text("mail.state.ready"))
	b.post("/settings/mail/check", nil).has(text("mail.result.checked"), text("mail.state.ready"))
	b.get("/settings/mail").has(text("mail.state.ready"), text("mail.fact.worked")).lacks(text("mail.state.unverified"), text("mail.never_worked"))
	s.clock.pass(time.Microsecond)
	b.post("/settings/mail/setup/smtp", s.serverForm()).leadsTo("/settings/mail") // another server, perhaps
	b.get("/settings/mail").has(text("mail.state.unverified"))
	s.message(t, s.raised(t, "operator", "queue_age", 0), "delivered", "bia@x.example", "250 ok")
	b.get("/settings/mail").has(text("mail.state.ready"))
}

func TestTheSetUpIsNotCalledReadyWhileMessagesDoNotLeave(t *testing.T) {
	s := newMailSite(t)
	b := s.as(t, tenancy.Owner)
	b.post("/settings/mail/setup/smtp", s.serverForm()).leadsTo("/settings/mail")
	id := s.raised(t, "operator", "queue_age", 0)
	s.message(t, id, "pending", "ana@x.example", "535 5.7.8 not <b>you</b>")
	b.get("/settings/mail").has(text("mail.state.troubled"), "535 5.7.8 not &lt;b&gt;you").lacks(text("mail.state.ready"))
	s.subscriber(t, "Padaria", tenancy.Charge).calls(t, 1, 10, 1) // the first steps are over
	b.get("/").has(text("dashboard.mail.fails"), `href="/settings/mail"`).lacks("535 5.7.8")
	s.as(t, tenancy.Manager).get("/").has(text("dashboard.mail.fails.ask"), "part=failed").lacks(text("dashboard.mail.mend"))
	b.post("/settings/mail/test", nil).has(text("mail.state.ready")).lacks(text("mail.state.troubled"))
	s.message(t, id, "delivered", "bia@x.example", "250 ok")
	s.message(t, id, "dead", "gone@x.example", "550 5.1.1 no such user") // others get theirs
	b.get("/settings/mail").has(text("mail.state.ready")).lacks(text("mail.state.troubled"))
	b.get("/").lacks(text("dashboard.mail.fails"))
}

func TestAWithdrawnConsentSaysWhatHappenedAndWhatToDoInBothLanguages(t *testing.T) {
	said := alert.RevokedPrefix + ": the consent was withdrawn or has expired; connect the account again (AADSTS700082: expired)"
	for way, c := range map[string]struct{ key, link string }{
		"gmail_oauth": {"mail.problem.token_revoked", "/settings/mail/google/connect"},
		"smtp":        {"mail_consent.revoked.smtp", "/settings/mail/setup/smtp"},
	} {
		s := newMailSite(t)
		b := s.as(t, tenancy.Owner)
		m := alert.Mail{Way: alert.MailWay(way), Host: "smtp.example", Port: 587, Security: alert.MailSTARTTLS, Auth: alert.MailAuthXOAUTH2, User: "a@x.example", From: "a@x.example"}
		m.Seal(s.Credentials, alert.MailAccess{ClientSecret: "c", RefreshToken: "r"})
		must(t, s.store.SetMailSettings(context.Background(), m))
		id := s.raised(t, "operator", "queue_age", 0)
		s.message(t, id, "pending", "ana@x.example", said)
		for _, lang := range i18n.Langs() {
			_, err := s.db.Exec(`UPDATE users SET language = $1`, string(lang))
			must(t, err)
			words := func(key string) string { return html.EscapeString(i18n.NewPrinter(lang, nil).T(key)) }
			b.get("/settings/mail").has(words("mail.state.troubled"), words(c.key), words("mail_consent.waiting"), c.link, "AADSTS700082").lacks(words("mail.trouble"))
			b.get("/alerts/"+strconv.FormatInt(id, 10)).has(words("mail_consent.log"), "AADSTS700082")
		}
	}
}

func TestWhatIsTypedWrongIsToldAndKept(t *testing.T) {
	s := newMailSite(t)
	b := s.as(t, tenancy.Owner)
	b.post("/settings/mail/setup/smtp", with(s.serverForm(), "from", "Ana <a@x.example>", "port", "muitas")).status(http.StatusUnprocessableEntity).
		has("Ana &lt;a@x.example&gt;", `value="muitas"`, text("error.integer", "value", "muitas")).lacks(mailPassword)
	b.post("/settings/mail/setup/gmail", url.Values{"user": {"a@gmail.example"}, "password": {"minha senha"}}).status(http.StatusUnprocessableEntity).
		has(text("mail.error.app_password"), `value="a@gmail.example"`)
	b.post("/settings/mail/setup/gmail", url.Values{"user": {"a@gmail.example"}, "password": {"abcd efgh ijkl mnop"}}).leadsTo("/settings/mail")
	m, err := s.store.MailSettings(context.Background())
	must(t, err)
	if access, err := m.Open(s.Credentials); err != nil || access.Password != "abcdefghijklmnop" || m.Host != alert.GmailHost {
		t.Errorf("%+v, %v", m, err)
	}
	for _, path := range []string{"/settings/mail/setup/none", "/settings/mail/setup/pombo"} {
		b.get(path).status(http.StatusNotFound)
	}
}

func TestOnlyOwnersSetUpEmail(t *testing.T) {
	s := newMailSite(t)
	for _, role := range []tenancy.Role{tenancy.Manager, tenancy.Viewer} {
		b := s.as(t, role)
		for _, path := range []string{"/settings/mail", "/settings/mail/setup/smtp", "/settings/mail/google/connect", "/settings/mail/google/callback?code=x&state=y"} {
			b.get(path).status(http.StatusForbidden).has(text("mail_access.ask"))
		}
		for _, path := range []string{"/settings/mail/setup/smtp", "/settings/mail/test", "/settings/mail/check", "/settings/mail/none"} {
			if got := b.post(path, s.serverForm()); got.code != http.StatusNotFound && got.code != http.StatusForbidden {
				t.Errorf("%s posts to %s: %d", role, path, got.code)
			}
		}
		b.get("/settings/mail/outbox").status(http.StatusOK).has(text("mail.outbox_empty"))
	}
	b := s.as(t, tenancy.TenantAdmin)
	if got := b.get("/settings/mail/outbox"); got.code != http.StatusSeeOther && got.code != http.StatusNotFound {
		t.Errorf("a customer reads the outbox: %d", got.code)
	}
	if m, err := s.store.MailSettings(context.Background()); err != nil || m.Sends() {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestTheEnvironmentsSetUpIsShownAndNotChanged(t *testing.T) {
	s := newMailSite(t, func(c *mail.Config) {
		c.Environment = &config.SMTP{Host: "mail.example", Port: 587, Security: "starttls", Auth: "auto", User: "u", Password: mailPassword, From: "env@x.example"}
	})
	b := s.as(t, tenancy.Owner)
	b.get("/settings/mail").status(http.StatusOK).has(text("mail.environment"), "mail.example:587", "env@x.example").lacks(mailPassword, text("mail.choose"))
	b.get("/settings/mail/setup/smtp").status(http.StatusConflict)
	b.post("/settings/mail/setup/smtp", s.serverForm()).status(http.StatusConflict)
	b.post("/settings/mail/none", nil).status(http.StatusConflict)
}

func TestKeptMessagesAreShownAndMayDoNothing(t *testing.T) {
	s := newMailSite(t)
	b := s.as(t, tenancy.Owner)
	b.post("/settings/mail/test", nil).status(http.StatusOK).has(text("mail.result.kept"))
	files, err := os.ReadDir(filepath.Join(s.dir, "outbox"))
	must(t, err)
	if len(files) != 1 {
		t.Fatal(files)
	}
	path := "/settings/mail/outbox/" + files[0].Name()
	viewer := s.as(t, tenancy.Viewer)
	viewer.get("/settings/mail/outbox").status(http.StatusOK).has(text("mail.test_subject"), b.user.Email, path)
	viewer.get(path).status(http.StatusOK).has(text("mail.test_subject"), b.user.Name, "Auto-Submitted", `sandbox`, path+"/html")
	html := viewer.get(path + "/html").status(http.StatusOK)
	csp := html.head.Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "style-src 'unsafe-inline'", "img-src data:", "frame-ancestors 'self'", "sandbox"} {
		if !strings.Contains(csp, part) {
			t.Errorf("the frame's policy lacks %s: %s", part, csp)
		}
	}
	if strings.Contains(csp, "script-src") || strings.Contains(csp, "allow-") || html.head.Get("X-Frame-Options") != "SAMEORIGIN" {
		t.Errorf("%s, %s", csp, html.head.Get("X-Frame-Options"))
	}
	if got := viewer.get(path).head; !strings.Contains(got.Get("Content-Security-Policy"), "frame-ancestors 'none'") {
		t.Error("another page may be framed")
	}
	viewer.get(path + "/file").status(http.StatusForbidden)
	file := s.as(t, tenancy.Manager).get(path + "/file").status(http.StatusOK).has("Message-ID: <")
	if !strings.HasPrefix(file.head.Get("Content-Disposition"), "attachment;") || file.head.Get("Content-Type") != "message/rfc822" {
		t.Errorf("%v", file.head)
	}
	must(t, os.WriteFile(filepath.Join(s.dir, "secret.key"), []byte("canario: x\r\n\r\n"), 0o600))
	for _, name := range []string{"..%2fsecret.key", "%2e%2e%2fsecret.key", "..%5csecret.key", "secret.key", "%2fetc%2fpasswd", files[0].Name() + "%00"} {
		for _, rest := range []string{"", "/html", "/file"} {
			viewer.get("/settings/mail/outbox/" + name + rest).status(http.StatusNotFound).lacks("canario")
		}
	}
}

func TestWhoMayOnlyReadEndsNobodysMail(t *testing.T) {
	s := newMailSite(t)
	const name = "20260102T030405.000Z-0191d6a0-6f00-7c00-8000-0000000000aa.eml"
	const link = "https://painel.example/unsubscribe/c4nario.T0ken-x_y"
	raw := "To: a@x.example\r\nSubject: S\r\nList-Unsubscribe: <" + link + ">\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n" +
		"--b\r\nContent-Type: text/plain\r\n\r\nFim: " + link + "\r\n--b\r\nContent-Type: text/html\r\n\r\n<a href=\"" + link + "\">fim</a>\r\n--b--\r\n"
	must(t, os.MkdirAll(filepath.Join(s.dir, "outbox"), 0o700))
	must(t, os.WriteFile(filepath.Join(s.dir, "outbox", name), []byte(raw), 0o600))
	path := "/settings/mail/outbox/" + name
	viewer, manager := s.as(t, tenancy.Viewer), s.as(t, tenancy.Manager)
	viewer.get(path).status(http.StatusOK).has("List-Unsubscribe", "/unsubscribe/…").lacks("c4nario", path+"/file")
	viewer.get(path + "/html").status(http.StatusOK).has("/unsubscribe/…").lacks("c4nario")
	viewer.get(path + "/file").status(http.StatusForbidden).lacks("c4nario")
	manager.get(path).has(link, path+"/file")
	manager.get(path + "/html").has(link)
	manager.get(path + "/file").has(link)
}

// consentPlace stands in for Google.
func consentPlace(t *testing.T, answer map[string]any) (oauth2.Endpoint, *[]url.Values) {
	t.Helper()
	asked := &[]url.Values{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		*asked = append(*asked, r.PostForm)
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(server.Close)
	return oauth2.Endpoint{AuthURL: "https://accounts.google.example/auth", TokenURL: server.URL, AuthStyle: oauth2.AuthStyleInParams}, asked
}

var googleForm = url.Values{"user": {"alertas@gmail.example"}, "client_id": {"123-x.apps.googleusercontent.com"}, "client_secret": {"GOCSPX-canario"}}

func TestAnAccountAtGoogleConsentsOnce(t *testing.T) {
	place, asked := consentPlace(t, map[string]any{"access_token": "a", "refresh_token": "1//canario", "token_type": "Bearer"})
	s := newMailSite(t, func(c *mail.Config) { c.Google = place })
	b := s.as(t, tenancy.Owner)
	b.get("/settings/mail/google/connect").status(http.StatusNotFound) // nothing to connect yet
	b.get("/settings/mail/setup/gmail_oauth").has(siteAddress+"/settings/mail/google/callback", "https://mail.google.com/", text("mail.gmail_oauth.insecure"))
	b.post("/settings/mail/setup/gmail_oauth", googleForm).leadsTo("/settings/mail")
	b.get("/settings/mail").has(text("mail.saved_connect"), text("mail.state.unfinished"), text("mail.connect")).lacks("GOCSPX-canario")

	consent, err := url.Parse(b.get("/settings/mail/google/connect").status(http.StatusSeeOther).head.Get("Location"))
	must(t, err)
	state := consent.Query().Get("state")
	if consent.Host != "accounts.google.example" || consent.Query().Get("redirect_uri") != siteAddress+"/settings/mail/google/callback" || len(state) < 40 {
		t.Fatal(consent)
	}
	for name, query := range map[string]string{
		"no state": "code=c", "another's state": "code=c&state=" + strings.Repeat("A", len(state)), "a changed state": "code=c&state=B" + state[1:], "no code": "state=" + state,
		"a denial": "error=access_denied&state=" + state,
	} {
		b.get("/settings/mail/google/callback?" + query).status(http.StatusUnprocessableEntity)
		if len(*asked) != 0 {
			t.Fatalf("%s is traded for a token", name)
		}
	}
	s.as(t, tenancy.Owner).get("/settings/mail/google/callback?code=c&state=" + state).status(http.StatusUnprocessableEntity).has(text("mail.error.state"))

	b.get("/settings/mail/google/callback?code=c-1&state=" + state).leadsTo("/settings/mail")
	form := (*asked)[0]
	if len(*asked) != 1 || form.Get("code") != "c-1" || form.Get("client_secret") != "GOCSPX-canario" || len(form.Get("code_verifier")) < 43 {
		t.Errorf("%v", *asked)
	}
	b.get("/settings/mail").has(text("mail.state.unverified"), text("mail.account.connected"), text("mail.connect_again")).lacks("1//canario")
	m, err := s.store.MailSettings(context.Background())
	must(t, err)
	if access, err := m.Open(s.Credentials); err != nil || access.RefreshToken != "1//canario" || access.ClientSecret != "GOCSPX-canario" || !m.Ready() {
		t.Errorf("%+v, %v", m, err)
	}
	s.clock.pass(consentTime)
	b.get("/settings/mail/google/callback?code=c-2&state=" + state).status(http.StatusUnprocessableEntity)
	if log := s.log.all(); strings.Contains(log, "1//canario") || strings.Contains(log, "GOCSPX-canario") || strings.Contains(log, state) {
		t.Error("the log tells a secret")
	}
}

func TestAnotherSecretKeyAsksForTheSetUpAnew(t *testing.T) {
	s := newMailSite(t)
	b := s.as(t, tenancy.Owner)
	b.post("/settings/mail/setup/smtp", s.serverForm()).leadsTo("/settings/mail")
	_, err := s.db.Exec(`UPDATE settings SET value = jsonb_set(value, '{sealed}', '"AQID"') WHERE name = 'mail'`)
	must(t, err)
	b.get("/settings/mail").status(http.StatusOK).has(text("mail.sealed"))
	b.post("/settings/mail/setup/smtp", with(s.serverForm(), "password", "")).status(http.StatusUnprocessableEntity)
	b.post("/settings/mail/setup/smtp", s.serverForm()).leadsTo("/settings/mail")
	b.post("/settings/mail/test", nil).has("250 2.0.0")
}

func TestPagesSayWhenNothingSendsEmail(t *testing.T) {
	s := newSite(t)
	s.as(t, tenancy.Owner).get("/settings/mail").status(http.StatusServiceUnavailable).has(text("mail.error.away"))
	if !s.mailReady(context.Background()) {
		t.Error("a process that cannot know says that e-mail is not set up")
	}
	if newMailSite(t).mailReady(context.Background()) {
		t.Error("ready though nothing is set up")
	}
}
