package mail

import (
	"bytes"
	"context"
	"net"
	"net/mail"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/mail/mailtest"
)

func contextWith(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithCancel(ctx)
}

// closedPort is one that nothing listens on.
func closedPort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// ours are the headers of every message.
var ours = map[string]bool{
	"Auto-Submitted": true, "Content-Language": true, "Content-Type": true, "Date": true, "From": true, "Message-Id": true, "Mime-Version": true,
	"Reply-To": true, "Subject": true, "To": true, "X-Auto-Response-Suppress": true, "List-Unsubscribe": true, "List-Unsubscribe-Post": true, "Content-Transfer-Encoding": true,
}

// wellFormed fails unless what came over the wire is one message of ours, whatever was put into it.
func wellFormed(t interface{ Errorf(string, ...any) }, m mailtest.Message) {
	head, _, ok := bytes.Cut(m.Data, []byte("\r\n\r\n"))
	if !ok {
		t.Errorf("no end of the head: %q", m.Data)
	}
	for line := range bytes.SplitSeq(head, []byte("\r\n")) {
		if bytes.ContainsAny(line, "\r\n\x00") || len(line) > 998 {
			t.Errorf("a line of the head: %q", line)
		}
	}
	if bytes.Contains(bytes.ReplaceAll(m.Data, []byte("\r\n"), nil), []byte("\n")) || bytes.Contains(bytes.ReplaceAll(m.Data, []byte("\r\n"), nil), []byte("\r")) {
		t.Errorf("a line that does not end as lines of mail do: %q", m.Data)
	}
	read, err := mail.ReadMessage(bytes.NewReader(m.Data))
	if err != nil {
		t.Errorf("%v: %q", err, m.Data)
		return
	}
	for name, values := range read.Header {
		if !ours[name] || len(values) != 1 {
			t.Errorf("header %s: %q", name, values)
		}
	}
	to, err := read.Header.AddressList("To")
	if err != nil || len(to) != 1 || to[0].Address != "ana@cliente.example" {
		t.Errorf("To: %v, %v", to, err)
	}
	from, err := read.Header.AddressList("From")
	if err != nil || len(from) != 1 || from[0].Address != "alertas@filaia.example" {
		t.Errorf("From: %v, %v", from, err)
	}
	if len(m.To) != 1 || m.To[0] != "ana@cliente.example" {
		t.Errorf("envelope: %v", m.To)
	}
}

// hostile are texts that have opened mail programs and servers before.
var hostile = []string{
	"Ana\r\nBcc: bia@x.example", "Ana\nBcc: bia@x.example", "Ana\rBcc: bia@x.example", "Ana\r\n\r\n<script>", "a\x00b", "\r\n.\r\nMAIL FROM:<x@y.example>\r\n",
	`Ana" <bia@x.example>, "`, "bia@x.example, ana", "=?utf-8?q?Banco=0D=0ABcc:_bia@x.example?=", "=?utf-8?b?QmNjOiBiaWFAeC5leGFtcGxl?=",
	"Ana (comentário", `Ana\`, "Ana <bia@x.example>", ";:<>,@[]", strings.Repeat("ã", 3000), strings.Repeat("a", 3000), "\u2028Bcc: x", "\u202eAna",
	"", " ", "\xff\xfe", "Ana\u0085Bcc: x", "%0d%0aBcc: x",
}

func TestNoNameSubjectOrTextBreaksOutOfItsPlace(t *testing.T) {
	s := newStage(t)
	for _, evil := range hostile {
		s.use(alert.MailAccess{}, func(m *alert.Mail) { m.Name = evil })
		d := delivery()
		d.Name = evil
		if _, err := s.Send(s.ctx, d, alert.Notice{Unsubscribe: evil, Name: evil}, alert.Text{Subject: evil, Plain: evil + "\r\n.\r\nQUIT\r\n" + evil, HTML: evil}); err != nil {
			t.Fatalf("%q: %v", evil, err)
		}
	}
	got := s.server.Messages()
	if len(got) != len(hostile) {
		t.Fatalf("%d messages of %d", len(got), len(hostile))
	}
	for i, m := range got {
		wellFormed(t, m)
		if decoded := decode(m.Header("Subject")); strings.ContainsAny(decoded, "\r\n\x00") || strings.HasPrefix(decoded, "Bcc: bia") {
			t.Errorf("%q is read as %q", hostile[i], decoded)
		}
	}
}

func TestNoNameTurnsWhatStandsBesideIt(t *testing.T) {
	s := newStage(t)
	s.use(alert.MailAccess{}, func(m *alert.Mail) { m.Name = "\u202eAI-ALIF" })
	d := delivery()
	d.Name = "Ana\u202e\u2066 moc.live@"
	if _, err := s.Send(s.ctx, d, alert.Notice{}, alert.Text{Subject: "\u200f\u2068مخبز\u2069: 90 %", Plain: "x"}); err != nil {
		t.Fatal(err)
	}
	m := s.server.Messages()[0]
	for header, want := range map[string]string{"From": "AI-ALIF <alertas@filaia.example>", "To": "Ana moc.live@ <ana@cliente.example>", "Subject": "\u2068مخبز\u2069: 90 %"} {
		if got := strings.ReplaceAll(decode(m.Header(header)), `"`, ""); got != want {
			t.Errorf("%s is %q, want %q", header, got, want)
		}
	}
}

func TestWhateverIsWrittenIsOneMessage(t *testing.T) {
	s := newStage(t)
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom(hostile), rapid.Custom(func(t *rapid.T) string {
		return string(rapid.SliceOfN(rapid.SampledFrom([]rune("a \r\n\t\x00:,<>@\"\\=?()é\u2028.")), 0, 60).Draw(t, "runes"))
	}))
	rapid.Check(t, func(t *rapid.T) {
		s.use(alert.MailAccess{}, func(m *alert.Mail) { m.Name = text.Draw(t, "sender") })
		d := delivery()
		d.Name = text.Draw(t, "name")
		l, err := s.write(s.settings.mail, d, alert.Notice{Unsubscribe: text.Draw(t, "link")},
			alert.Text{Subject: text.Draw(t, "subject"), Plain: text.Draw(t, "plain"), HTML: text.Draw(t, "html")})
		if err != nil {
			t.Fatal(err)
		}
		wellFormed(t, mailtest.Message{Data: l.raw, To: []string{l.to}})
	})
}
