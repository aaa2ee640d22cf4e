package alert

import (
	"cmp"
	"encoding/json"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/secret"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// MailWay is how e-mail leaves the installation.
type MailWay string

// The ways. With none, messages are kept as files of each server.
const (
	MailNone        MailWay = "none"
	MailGmail       MailWay = "gmail"       // an account at Google with an app password
	MailGoogleOAuth MailWay = "gmail_oauth" // an account at Google that consented
	MailServer      MailWay = "smtp"        // any other server
)

// MailWays are all, in the order in which people choose them.
func MailWays() []MailWay { return []MailWay{MailGmail, MailGoogleOAuth, MailServer, MailNone} }

// MailSecurity is how the connection is encrypted.
type MailSecurity string

// The securities. MailPlain sends in the clear, as is usual on one's own machine only.
const (
	MailSTARTTLS MailSecurity = "starttls"
	MailTLS      MailSecurity = "tls"
	MailPlain    MailSecurity = "plain"
)

// MailSecurities are all, the usual one first.
func MailSecurities() []MailSecurity { return []MailSecurity{MailSTARTTLS, MailTLS, MailPlain} }

// MailAuth is how one signs in.
type MailAuth string

// The sign-ins.
const (
	MailAuthAuto    MailAuth = "auto" // what the server offers; none without a user
	MailAuthPlain   MailAuth = "plain"
	MailAuthLogin   MailAuth = "login"
	MailAuthXOAUTH2 MailAuth = "xoauth2"
	MailAuthNone    MailAuth = "none"
)

// MailAuths are all, the usual one first.
func MailAuths() []MailAuth {
	return []MailAuth{MailAuthAuto, MailAuthPlain, MailAuthLogin, MailAuthXOAUTH2, MailAuthNone}
}

// Mail is how e-mail is sent and who it comes from. The zero value is MailNone.
type Mail struct {
	Way      MailWay      `json:"way"`
	Host     string       `json:"host,omitempty"`
	Port     int          `json:"port,omitempty"`
	Security MailSecurity `json:"security,omitempty"`
	Auth     MailAuth     `json:"auth,omitempty"`
	User     string       `json:"user,omitempty"`
	From     string       `json:"from,omitempty"`
	Name     string       `json:"name,omitempty"`     // beside From
	ReplyTo  string       `json:"reply_to,omitempty"` // empty: From
	ClientID string       `json:"client_id,omitempty"`
	TokenURL string       `json:"token_url,omitempty"` // of a server of one's own; empty with XOAUTH2: the password is the token
	Sealed   []byte       `json:"sealed,omitempty"`    // a MailAccess
	Renewed  []byte       `json:"renewed,omitempty"`   // a refresh token that came since then, sealed

	PasswordHint     string `json:"password_hint,omitempty"`      // "…"; empty: there is none
	ClientSecretHint string `json:"client_secret_hint,omitempty"` // "…aB3x", or "…"; empty: there is none
	Connected        bool   `json:"connected,omitempty"`          // there is a refresh token
}

// MailAccess is what signs in. All of it is secret.
type MailAccess struct {
	Password     string `json:"password,omitempty"`
	ClientSecret string `json:"client_secret,omitempty"`
	RefreshToken string `json:"refresh_token,omitempty"`
}

// MailSealedAs is the context to which a MailAccess is sealed, MailRenewedAs that of a refresh token that came later.
const (
	MailSealedAs  = "mail"
	MailRenewedAs = "mail refresh token"
)

// GmailHost and GmailPort are where Google takes messages.
const (
	GmailHost = "smtp.gmail.com"
	GmailPort = 587
)

// Sends tells whether messages leave the machine at all.
func (m Mail) Sends() bool { return m.Way != "" && m.Way != MailNone }

// Ready tells whether all that is needed to send has been given.
func (m Mail) Ready() bool { return m.Sends() && (m.Way != MailGoogleOAuth || m.Connected) }

// Google tells whether the messages go through Google.
func (m Mail) Google() bool { return m.Way == MailGmail || m.Way == MailGoogleOAuth }

// Seal puts the access into m, with the hints of it that people may see.
func (m *Mail) Seal(box *secret.Box, a MailAccess) {
	m.Connected = a.RefreshToken != ""
	m.PasswordHint, m.ClientSecretHint, m.Sealed, m.Renewed = "", mailHint(a.ClientSecret), nil, nil
	if a.Password != "" {
		m.PasswordHint = "…" // of what people make up, or of sixteen letters, four would be many
	}
	if a == (MailAccess{}) {
		return
	}
	b, err := json.Marshal(a)
	if err != nil {
		panic(err) // only for what is no text
	}
	m.Sealed = box.Seal(b, MailSealedAs)
}

// Open is the inverse of Seal.
func (m Mail) Open(box *secret.Box) (MailAccess, error) {
	var a MailAccess
	if len(m.Sealed) == 0 {
		return a, nil
	}
	b, err := box.Open(m.Sealed, MailSealedAs)
	if err != nil {
		return a, err
	}
	if err := json.Unmarshal(b, &a); err != nil || len(m.Renewed) == 0 {
		return a, err
	}
	newest, err := box.Open(m.Renewed, MailRenewedAs)
	a.RefreshToken = string(newest)
	return a, err
}

func mailHint(text string) string {
	if text == "" {
		return ""
	}
	return secret.Hint(text)
}

// MailDraft is what a form gives. Of what is secret, empty means: as it was.
type MailDraft struct {
	Mail
	MailAccess
}

// The longest that is accepted.
const (
	maxMailName   = 80
	maxMailUser   = 254
	maxMailSecret = 4000
)

var (
	appPassword  = regexp.MustCompile(`^[a-z]{16}$`)
	googleClient = regexp.MustCompile(`^[A-Za-z0-9._-]{10,200}$`)
)

// Apply gives the settings and the access that the draft makes of those that were there. A password does not go to another
// server or user than it was given for. What is wrong is an Invalid error with the fields of the JSON names above.
func (d MailDraft) Apply(before Mail, access MailAccess) (Mail, MailAccess, error) {
	var f fault.Form
	m := Mail{Way: d.Way, Name: strings.TrimSpace(d.Name), ReplyTo: strings.TrimSpace(d.ReplyTo)}
	if !accept(&f, "way", MailWays(), d.Way) {
		return m, MailAccess{}, f.Err()
	}
	if d.Way == MailNone {
		return Mail{Way: MailNone}, MailAccess{}, nil
	}
	f.Check(utf8.RuneCountInString(m.Name) <= maxMailName, "name", "error.too_long", "max", maxMailName)
	f.Check(!hasControl(m.Name), "name", "mail.error.control")
	f.Check(m.ReplyTo == "" || tenancy.ValidEmail(m.ReplyTo), "reply_to", "error.email", "value", short(m.ReplyTo))
	var kept MailAccess
	switch d.Way {
	case MailGmail:
		kept = d.applyGmail(&f, &m, before, access)
	case MailGoogleOAuth:
		kept = d.applyGoogle(&f, &m, before, access)
	case MailServer:
		kept = d.applyServer(&f, &m, before, access)
	}
	return m, kept, f.Err()
}

func (d MailDraft) applyGmail(f *fault.Form, m *Mail, before Mail, access MailAccess) MailAccess {
	d.atGoogle(f, m)
	password := strings.ToLower(strings.Join(strings.Fields(strings.ReplaceAll(d.Password, "\u00a0", " ")), ""))
	if password == "" && before.Way == MailGmail && before.User == m.User {
		password = access.Password
	}
	f.Check(password != "", "password", "error.required")
	f.Check(password == "" || appPassword.MatchString(password), "password", "mail.error.app_password")
	return MailAccess{Password: password}
}

func (d MailDraft) applyGoogle(f *fault.Form, m *Mail, before Mail, access MailAccess) MailAccess {
	d.atGoogle(f, m)
	m.Auth, m.ClientID = MailAuthXOAUTH2, strings.TrimSpace(d.ClientID)
	same := before.Way == MailGoogleOAuth && before.ClientID == m.ClientID
	kept := MailAccess{ClientSecret: strings.TrimSpace(d.ClientSecret)}
	if kept.ClientSecret == "" && same {
		kept.ClientSecret = access.ClientSecret
	}
	if same && before.User == m.User {
		kept.RefreshToken = access.RefreshToken // it was given to this client by this account
	}
	f.Check(m.ClientID != "", "client_id", "error.required")
	f.Check(m.ClientID == "" || googleClient.MatchString(m.ClientID), "client_id", "mail.error.client_id")
	f.Check(kept.ClientSecret != "", "client_secret", "error.required")
	f.Check(len(kept.ClientSecret) <= maxMailSecret && !hasControl(kept.ClientSecret), "client_secret", "mail.error.control")
	return kept
}

// atGoogle fills in what is the same for all who send through Google; there messages come from the account itself.
func (d MailDraft) atGoogle(f *fault.Form, m *Mail) {
	m.Host, m.Port, m.Security, m.Auth = GmailHost, GmailPort, MailSTARTTLS, MailAuthPlain
	m.User = strings.ToLower(strings.TrimSpace(d.User))
	m.From = m.User
	f.Check(m.User != "", "user", "error.required")
	f.Check(m.User == "" || tenancy.ValidEmail(m.User), "user", "error.email", "value", short(m.User))
}

func (d MailDraft) applyServer(f *fault.Form, m *Mail, before Mail, access MailAccess) MailAccess {
	m.Host, m.Port, m.User = strings.ToLower(strings.TrimSpace(d.Host)), d.Port, strings.TrimSpace(d.User)
	m.Security, m.Auth, m.From = cmp.Or(d.Security, MailSTARTTLS), cmp.Or(d.Auth, MailAuthAuto), strings.TrimSpace(d.From)
	f.Check(m.Host != "", "host", "error.required")
	f.Check(m.Host == "" || MailHost(m.Host), "host", "mail.error.host", "value", short(m.Host))
	f.Check(m.Port >= 1 && m.Port <= 65535, "port", "mail.error.port")
	accept(f, "security", MailSecurities(), m.Security)
	accept(f, "auth", MailAuths(), m.Auth)
	f.Check(m.From != "", "from", "error.required")
	f.Check(m.From == "" || tenancy.ValidEmail(m.From), "from", "error.email", "value", short(m.From))
	f.Check(len(m.User) <= maxMailUser && !hasControl(m.User), "user", "mail.error.control")
	if m.Auth == MailAuthNone {
		m.User = ""
	}
	wanted := m.Auth != MailAuthAuto && m.Auth != MailAuthNone
	f.Check(m.User != "" || !wanted, "user", "error.required")
	if m.User == "" {
		return MailAccess{}
	}
	f.Check(m.Security != MailPlain || Loopback(m.Host), "security", "mail.error.plain_password")
	same := before.Way == MailServer && before.Host == m.Host && before.User == m.User
	if m.Auth == MailAuthXOAUTH2 && strings.TrimSpace(d.TokenURL) != "" {
		return d.applyTokens(f, m, same && before.TokenURL == strings.TrimSpace(d.TokenURL), access)
	}
	kept := MailAccess{Password: d.Password}
	if kept.Password == "" && same {
		kept.Password = access.Password
	}
	if kept.Password == "" && access.Password != "" && before.Way == MailServer {
		f.Reject("password", "mail.error.password_again")
	} else {
		f.Check(kept.Password != "", "password", "error.required")
	}
	f.Check(len(kept.Password) <= maxMailSecret && !hasControl(kept.Password), "password", "mail.error.control")
	return kept
}

// applyTokens is for servers besides Google's whose access tokens come from a place of their own.
func (d MailDraft) applyTokens(f *fault.Form, m *Mail, same bool, access MailAccess) MailAccess {
	m.TokenURL, m.ClientID = strings.TrimSpace(d.TokenURL), strings.TrimSpace(d.ClientID)
	u, err := url.Parse(m.TokenURL)
	f.Check(err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil && len(m.TokenURL) <= 2000, "token_url", "mail.error.token_url")
	kept := MailAccess{ClientSecret: strings.TrimSpace(d.ClientSecret), RefreshToken: strings.TrimSpace(d.RefreshToken)}
	if same {
		kept.ClientSecret = cmp.Or(kept.ClientSecret, access.ClientSecret)
		kept.RefreshToken = cmp.Or(kept.RefreshToken, access.RefreshToken)
	}
	f.Check(m.ClientID != "", "client_id", "error.required")
	f.Check(len(m.ClientID) <= 200 && !hasControl(m.ClientID), "client_id", "mail.error.control")
	f.Check(kept.RefreshToken != "", "refresh_token", "error.required")
	f.Check(len(kept.RefreshToken) <= maxMailSecret && !hasControl(kept.RefreshToken), "refresh_token", "mail.error.control")
	f.Check(len(kept.ClientSecret) <= maxMailSecret && !hasControl(kept.ClientSecret), "client_secret", "mail.error.control")
	return kept
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?)*\.?$`)

// MailHost tells whether text is the name or the address of a machine.
func MailHost(text string) bool {
	if _, err := netip.ParseAddr(text); err == nil {
		return true
	}
	return len(text) <= 253 && hostName.MatchString(text)
}

// Loopback tells whether a host is this machine.
func Loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func hasControl(text string) bool { return strings.ContainsFunc(text, unicode.IsControl) }

// MailStep is one thing that was tried when the connection was checked.
type MailStep struct {
	Name   string // "resolve", "connect", "tls", "sign_in", "token"
	OK     bool
	Detail string // what was found, or the other side's words
	Key    string // what is wrong, as a message; empty when it is OK
	Args   []any
}

// Letter is a message that is kept as a file.
type Letter struct {
	File    string // its name
	At      time.Time
	To      string // the address
	Name    string // of the person; may be empty
	Subject string
}

// OpenLetter is a letter with what is in it.
type OpenLetter struct {
	Letter
	Headers    [][2]string // name and value, decoded, in the order of the file
	Text, HTML string
	Raw        []byte
}
