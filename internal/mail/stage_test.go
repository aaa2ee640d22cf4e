package mail

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/mail/mailtest"
	"github.com/fila-ia/filaia/internal/secret"
)

// patience bounds what a test waits for; it matters only when something hangs.
const patience = time.Minute

// kept are settings in memory. While they are away nothing can be written.
type kept struct {
	turn sync.Mutex
	mu   sync.Mutex
	mail alert.Mail
	away bool
	read func() // before they are read; nil: nothing
}

func (k *kept) MailSettings(context.Context) (alert.Mail, error) {
	if k.read != nil {
		k.read()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.mail, nil
}

func (k *kept) MailTurn(ctx context.Context, do func(context.Context) error) error {
	k.turn.Lock()
	defer k.turn.Unlock()
	return do(ctx)
}

func (k *kept) RenewMail(_ context.Context, before alert.Mail, renewed []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.away {
		return errors.New("connection refused")
	}
	if bytes.Equal(before.Sealed, k.mail.Sealed) && bytes.Equal(before.Renewed, k.mail.Renewed) {
		k.mail.Renewed = renewed
	}
	return nil
}

// refreshToken is the one that is kept.
func (k *kept) refreshToken(t *testing.T) string {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	a, err := k.mail.Open(box)
	if err != nil {
		t.Fatal(err)
	}
	return a.RefreshToken
}

func (k *kept) be(away bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.away = away
}

var box = secret.New([32]byte{1})

// stage is a sender with its settings and a server that it reaches under any name.
type stage struct {
	*Sender
	settings *kept
	server   *mailtest.Server
	ctx      context.Context
}

func newStage(t *testing.T, change ...func(*mailtest.Config)) *stage {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	t.Cleanup(cancel)
	s := &stage{settings: &kept{}, server: mailtest.Start(t, change...), ctx: ctx}
	s.Sender = New(Config{Settings: s.settings, Box: box, DataDir: t.TempDir(), Roots: s.server.Roots})
	s.dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, s.server.Addr)
	}
	s.resolve = func(context.Context, string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil
	}
	return s
}

// use sets how mail is sent: to the stage's server, with what the change says.
func (s *stage) use(access alert.MailAccess, change ...func(*alert.Mail)) {
	host, port, _ := net.SplitHostPort(s.server.Addr)
	n, _ := strconv.Atoi(port)
	m := alert.Mail{Way: alert.MailServer, Host: host, Port: n, Security: alert.MailSTARTTLS, Auth: alert.MailAuthAuto,
		From: "alertas@filaia.example", Name: "FILA-IA", ReplyTo: "ajuda@filaia.example"}
	for _, c := range change {
		c(&m)
	}
	m.Seal(box, access)
	s.settings.mail = m
}

func delivery() alert.Delivery {
	return alert.Delivery{
		MessageID: uuid.MustParse("0191d6a0-6f00-7c00-8000-0000000000aa"), Kind: alert.OneAlert, Channel: alert.Email,
		Recipient: "ana@cliente.example", Name: "Ana Conceição", Language: "pt-BR",
		CreatedAt: time.Date(2026, 11, 22, 14, 5, 6, 789e6, time.UTC),
	}
}

func said() alert.Text {
	return alert.Text{Subject: "90 % da franquia de tokens", Plain: "Olá, Ana.\nRestam 10 %.", HTML: "<p>Olá, <b>Ana</b>. Restam 10 %.</p>"}
}

func (s *stage) send(d alert.Delivery) (string, error) {
	return s.Send(s.ctx, d, alert.Notice{SentAt: time.Date(2026, 11, 22, 14, 6, 0, 0, time.UTC)}, said())
}
