package mail

import (
	"bytes"
	"cmp"
	"fmt"
	"net/mail"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	gomail "github.com/wneessen/go-mail"
	"golang.org/x/net/idna"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// letter is a message as it goes over the wire.
type letter struct {
	id       uuid.UUID
	at       time.Time // when the message was made, the same for every attempt
	from, to string    // of the envelope, without angle brackets
	raw      []byte
}

// utf8Envelope tells whether an address cannot be said in ASCII.
func (l *letter) utf8Envelope() bool { return !ascii(l.from) || !ascii(l.to) }

// defaultSender is who files come from while no address is set up.
const defaultSender = "filaia@localhost"

// The longest that headers hold, in characters.
const maxSubject, maxName = 250, 120

// write makes the message. A recipient that is no address is refused for good.
func (s *Sender) write(m alert.Mail, d alert.Delivery, n alert.Notice, t alert.Text) (*letter, error) {
	to, ok := address(d.Recipient)
	if !ok {
		return nil, alert.Refused(fmt.Errorf("%q is no e-mail address", alert.Answer(d.Recipient)))
	}
	from, ok := address(cmp.Or(m.From, defaultSender))
	if !ok {
		return nil, fmt.Errorf("%q, which messages come from, is no e-mail address", alert.Answer(m.From))
	}
	at := d.CreatedAt
	if at.IsZero() {
		at = s.Now()
	}
	sent := n.SentAt
	if sent.IsZero() {
		sent = s.Now()
	}
	if n.Zone != nil {
		sent = sent.In(n.Zone)
	}
	l := &letter{id: d.MessageID, at: at.UTC(), from: from, to: to}
	g := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	g.SetMessageIDWithValue(d.MessageID.String() + "@" + place(n.PublicURL, from))
	g.SetDateWithValue(sent)
	// From is always the address that signs in or was set up, whose domain signs (DKIM) and is allowed to send (SPF).
	g.FromMailAddress(&mail.Address{Name: cmp.Or(person(m.Name), "FILA-IA"), Address: from})
	g.ToMailAddress(&mail.Address{Name: person(d.Name), Address: to})
	if reply, ok := address(m.ReplyTo); ok {
		g.ReplyToMailAddress(&mail.Address{Address: reply})
	}
	g.Subject(line(t.Subject, maxSubject))
	g.SetGenHeader("Auto-Submitted", "auto-generated")
	g.SetGenHeader("X-Auto-Response-Suppress", "All") // what Exchange heeds instead
	g.SetGenHeader("Content-Language", line(string(d.Language), 16))
	unsubscribe(g, n.Unsubscribe)
	g.SetBodyString(gomail.TypeTextPlain, text(t.Plain))
	if t.HTML != "" {
		g.AddAlternativeString(gomail.TypeTextHTML, text(t.HTML))
	}
	var raw bytes.Buffer
	if _, err := g.WriteTo(&raw); err != nil {
		return nil, fmt.Errorf("write message %s: %w", d.MessageID, err)
	}
	l.raw = raw.Bytes()
	return l, nil
}

// place is what makes a message's id unique beyond this installation: its address, which stays the same for all attempts while the sender
// may be changed between two of them. An installation that has no name takes the sender's domain.
func place(publicURL, from string) string {
	if u, err := url.Parse(publicURL); err == nil && strings.Contains(u.Hostname(), ".") {
		_, notName := netip.ParseAddr(u.Hostname())
		if host, err := idna.Lookup.ToASCII(u.Hostname()); err == nil && notName != nil {
			return host
		}
	}
	return from[strings.LastIndexByte(from, '@')+1:]
}

// unsubscribe lets mail programs show a button (RFC 2369), which works with one click over https only (RFC 8058).
func unsubscribe(g *gomail.Msg, link string) {
	u, err := url.Parse(link)
	if err != nil || u.Host == "" || strings.ContainsAny(link, "<> \",") {
		return
	}
	switch u.Scheme {
	case "https":
		_ = g.SetListUnsubscribeOneClick(link) // fails for other schemes only
	case "http":
		g.SetListUnsubscribe(u.String())
	}
}

// address is text as it stands in an envelope: with its domain in ASCII.
func address(text string) (string, bool) {
	if !tenancy.ValidEmail(text) || strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }) {
		return "", false
	}
	at := strings.LastIndexByte(text, '@')
	if at < 1 || at > 64 {
		return "", false
	}
	domain, err := idna.Lookup.ToASCII(text[at+1:])
	if err != nil || domain == "" {
		return "", false
	}
	return text[:at+1] + domain, true
}

// person is a name beside an address. Backslashes are left alone by the encoding of names beyond ASCII, and break it.
func person(name string) string { return line(strings.ReplaceAll(name, `\`, "/"), maxName) }

// line is text that cannot end its header, be taken for an encoded word or turn around what stands beside it.
func line(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.IsSpace(r) || r == '\u2028' || r == '\u2029' || turns(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\ufffd"))
	text = strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "=?", "= ?")
	if utf8.RuneCountInString(text) > most {
		text = string([]rune(text)[:most-1]) + "…"
	}
	return text
}

// turns tells whether a mark changes the direction of what follows. Those that set a name apart (FSI … PDI) do not.
func turns(r rune) bool {
	return unicode.Is(unicode.Bidi_Control, r) && r != '\u2068' && r != '\u2069'
}

// text is a body without what some servers refuse a message for.
func text(body string) string {
	body = strings.ReplaceAll(strings.ReplaceAll(strings.ToValidUTF8(body, "\ufffd"), "\r\n", "\n"), "\r", "\n")
	return strings.ReplaceAll(body, "\x00", "")
}

func ascii(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r > unicode.MaxASCII })
}

// hostName is how the server is greeted.
func hostName() string {
	name, err := os.Hostname()
	if err != nil || !alert.MailHost(name) {
		return "localhost"
	}
	return name
}
