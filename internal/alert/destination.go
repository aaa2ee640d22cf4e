package alert

import (
	"encoding/base64"
	"encoding/json"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/i18n"
)

// Destination is where alerts go besides e-mail: a receiver of signed webhooks, or a room in a chat.
type Destination struct {
	ID        int64
	TenantID  int64 // whose it is; 0: the operator's
	Kind      Channel
	Name      string
	Target    string // what people may see of it: a host, a chat
	Language  i18n.Lang
	Active    bool
	CreatedAt time.Time
	DeletedAt time.Time // zero: it is there
	Sealed    []byte    // its Access; only where it is opened
	Rules     int       // that name it; only in lists
	Failing   bool      // the newest attempt through it did not arrive; only where its owner reads it
}

// RuleUse is a rule that names a destination.
type RuleUse struct {
	ID       int64
	Name     string // empty: by its metric
	Audience Audience
	Metric   Metric
	Enabled  bool
}

// DestinationKinds are the ways besides e-mail, in the order in which people choose them.
func DestinationKinds() []Channel { return []Channel{Slack, Teams, Discord, Telegram, Webhook} }

// Access is what opens a destination. All of it is secret.
type Access struct {
	URL     string          `json:"url,omitempty"`     // of all but Telegram
	Token   string          `json:"token,omitempty"`   // of Telegram's bot
	Chat    string          `json:"chat,omitempty"`    // Telegram's: a number or @name
	Secrets []SigningSecret `json:"secrets,omitempty"` // of webhooks, the newest first
}

// SigningSecret is what webhooks are signed with.
type SigningSecret struct {
	Secret string    `json:"secret"` // "whsec_" and base64, as Standard Webhooks have it
	Until  time.Time `json:"until,omitzero"`
}

// SigningPrefix begins every signing secret.
const SigningPrefix = "whsec_"

// NewSigningSecret makes a secret of 32 random bytes.
func NewSigningSecret(random [32]byte) string {
	return SigningPrefix + base64.StdEncoding.EncodeToString(random[:])
}

// Rotate puts a new signing secret first. The one that was there signs on until overlap has passed; older ones end now.
func (a Access) Rotate(secret string, now time.Time, overlap time.Duration) Access {
	secrets := []SigningSecret{{Secret: secret}}
	if len(a.Secrets) > 0 && overlap > 0 {
		secrets = append(secrets, SigningSecret{Secret: a.Secrets[0].Secret, Until: now.Add(overlap).UTC()})
	}
	a.Secrets = secrets
	return a
}

// Signing are the secrets that hold now.
func (a Access) Signing(now time.Time) []string {
	var holding []string
	for _, s := range a.Secrets {
		if s.Until.IsZero() || now.Before(s.Until) {
			holding = append(holding, s.Secret)
		}
	}
	return holding
}

// Bytes is the access as it is sealed.
func (a Access) Bytes() []byte {
	b, err := json.Marshal(a)
	if err != nil {
		panic(err) // only for times of five-digit years
	}
	return b
}

// ReadAccess is the inverse of Bytes.
func ReadAccess(b []byte) (Access, error) {
	var a Access
	err := json.Unmarshal(b, &a)
	return a, err
}

// SealedAs is the context to which a destination's access is sealed: in a row of another kind or owner it does not open.
func (d Destination) SealedAs() string {
	return "channel:" + string(d.Kind) + ":" + strconv.FormatInt(d.TenantID, 10)
}

// DestinationDraft is a destination as it is typed. Of what is secret, empty means: as it was.
type DestinationDraft struct {
	Kind     Channel
	Name     string
	Language i18n.Lang
	Active   bool
	URL      string
	Token    string
	Chat     string
}

// The longest that is accepted.
const (
	maxDestinationName = 80
	maxDestinationURL  = 2000
)

var (
	botToken     = regexp.MustCompile(`^[0-9]{5,16}:[A-Za-z0-9_-]{30,64}$`)
	telegramChat = regexp.MustCompile(`^(-?[0-9]{1,20}|@[A-Za-z][A-Za-z0-9_]{3,31})$`)
)

// Apply gives the access that the draft makes of the one that was there, and what people may see of it. plain allows
// addresses without TLS. What is wrong is an Invalid error with fields name, kind, language, url, token and chat.
func (d DestinationDraft) Apply(before Access, plain bool) (after Access, target string, err error) {
	var f fault.Form
	f.Check(d.Name != "", "name", "error.required")
	f.Check(utf8.RuneCountInString(d.Name) <= maxDestinationName, "name", "channels.error.name_long", "n", maxDestinationName)
	f.Check(!strings.ContainsFunc(d.Name, func(r rune) bool { return r < ' ' || r == 0x7f || unicode.Is(unicode.Bidi_Control, r) }), "name", "channels.error.name")
	f.Check(slices.Contains(DestinationKinds(), d.Kind), "kind", "channels.error.kind")
	f.Check(slices.Contains(i18n.Langs(), d.Language), "language", "channels.error.language")
	after = before
	if d.Kind == Telegram {
		target = d.applyTelegram(&f, &after)
	} else {
		target = d.applyURL(&f, &after, plain)
	}
	return after, target, f.Err()
}

func (d DestinationDraft) applyTelegram(f *fault.Form, a *Access) string {
	if d.Token != "" {
		f.Check(botToken.MatchString(d.Token), "token", "channels.error.token")
		a.Token = d.Token
	}
	f.Check(a.Token != "", "token", "error.required")
	f.Check(d.Chat == "" || telegramChat.MatchString(d.Chat), "chat", "channels.error.chat")
	f.Check(d.Chat != "", "chat", "error.required")
	a.Chat = d.Chat
	return d.Chat
}

func (d DestinationDraft) applyURL(f *fault.Form, a *Access, plain bool) string {
	if d.URL != "" {
		if key := wrongURL(d.Kind, d.URL, plain); key != "" {
			f.Reject("url", key)
			return ""
		}
		a.URL = d.URL
	}
	f.Check(a.URL != "", "url", "error.required")
	u, err := url.Parse(a.URL)
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(u.Host, map[string]string{"https": ":443", "http": ":80"}[u.Scheme])
}

// wrongURL is the key of what is wrong with an address as it is written; "" is nothing. Where it leads is looked at
// whenever something is sent.
func wrongURL(kind Channel, text string, plain bool) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || len(text) > maxDestinationURL || u.Host == "" || u.Opaque != "" || u.Scheme != "https" && u.Scheme != "http" || strings.ContainsAny(text, " \t\r\n"):
		return "channels.error.url"
	case u.Scheme != "https" && !plain:
		return "channels.error.https"
	case u.User != nil:
		return "channels.error.url_user"
	case u.Fragment != "":
		return "channels.error.url"
	case oddNumber(u.Hostname()):
		return "channels.error.host"
	case kind == Teams && strings.HasSuffix(strings.ToLower(u.Hostname()), ".webhook.office.com"):
		return "channels.error.teams_retired"
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return "channels.error.url"
		}
	}
	return ""
}

// oddNumber tells of a host that some read as an address and others as a name: 2130706433, 0x7f.1, 127.1.
func oddNumber(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return false
	}
	host = strings.TrimSuffix(host, ".")
	last := strings.ToLower(host[strings.LastIndexByte(host, '.')+1:])
	if last == "" {
		return true
	}
	if hex, is := strings.CutPrefix(last, "0x"); is {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(last, "0123456789") == ""
}
