package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/smtp"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	gosmtp "github.com/emersion/go-smtp"
)

// alerts measures how soon an alert is raised after the call that crosses, and how soon its message is in the mail server; and
// what watching adds to commits.
func (b *bench) alerts(ctx context.Context) (err error) {
	inbox, err := openInbox()
	if err != nil {
		return err
	}
	defer inbox.close()
	p, err := startProduct(ctx, start{dir: filepath.Join(b.dir, "alerting"), binary: b.binary, provider: b.provider.address, operatorKey: "operator-alerts",
		variables: []string{"FILAIA_SMTP_URL=smtp://" + inbox.address + "?from=alertas@filaia.example"}})
	if p != nil {
		defer func() { err = errors.Join(err, p.stop()) }()
	}
	if err != nil {
		return err
	}
	c, err := p.sell(ctx, "alerts", "off", nil)
	if err != nil {
		return err
	}
	if err := p.owner(ctx); err != nil {
		return err
	}
	var bare, raised, delivered times
	for range b.size.alerts {
		one, two, err := p.cross(ctx, c, inbox)
		if err != nil {
			return err
		}
		raised, delivered = append(raised, one), append(delivered, two)
		took, err := inbox.send()
		if err != nil {
			return err
		}
		bare = append(bare, took)
	}
	b.report.plain("alert raised after the call that crosses, slowest", "ms", 0, raised.percentile(100)).atMost(1000)
	b.report.plain("its e-mail delivered, half within; beside a bare SMTP conversation", "ms", bare.percentile(50), delivered.percentile(50))
	b.report.plain("its e-mail delivered, slowest; beside a bare SMTP conversation", "ms", bare.percentile(100), delivered.percentile(100)).atMost(3000)
	return b.alertCommits(ctx)
}

// owner makes who is told.
func (p *product) owner(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, p.binary, "user", "create", "--email", "dona@empresa.com.br", "--name", "Dona", "--role", "owner", "--password-stdin")
	cmd.Env, cmd.Stdin = p.env, strings.NewReader("uma senha bem comprida")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("make an owner: %w: %s", err, out)
	}
	_, err := p.db.ExecContext(ctx, `UPDATE alert_rules SET enabled = false`)
	return err
}

// cross watches for one token more than is used, makes a call, and gives after how many ms the alert was in the database and its
// message in the mail server.
func (p *product) cross(ctx context.Context, c *customer, inbox *inbox) (raised, delivered float64, err error) {
	const watch = `INSERT INTO alert_rules (audience, scope, tenant_id, metric, unit, thresholds, roles)
		SELECT 'operator', 'tenant', $1, 'input_quota', 'tokens', ARRAY[coalesce(max(b.used_in), 0) + 1], '{owner}' FROM quota_buckets b WHERE b.tenant_id = $1`
	if _, err := p.db.ExecContext(ctx, watch, c.tenant); err != nil {
		return 0, 0, err
	}
	had := len(inbox.arrived)
	r, err := load(ctx, loadSpec{Address: p.address, Key: c.key, Connections: 1, Calls: 1})
	if err != nil {
		return 0, 0, err
	}
	start := time.Now()
	p.answered = p.answered.plus(tally{int64(r.Answered), r.Tokens})
	for deadline := start.Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		var told bool
		const newest = `SELECT EXISTS (SELECT FROM alert_events WHERE rule_id = (SELECT max(id) FROM alert_rules))`
		if err := p.db.QueryRowContext(ctx, newest).Scan(&told); err != nil {
			return 0, 0, err
		}
		if told {
			break
		}
		if time.Now().After(deadline) {
			return 0, 0, errors.New("an alert was not raised within 30 s")
		}
	}
	raised = time.Since(start).Seconds() * 1e3
	select {
	case at := <-inbox.arrived:
		return raised, at.Sub(start).Seconds() * 1e3, nil
	case <-time.After(30 * time.Second):
		return 0, 0, fmt.Errorf("a message was not delivered within 30 s; %d waited", had)
	}
}

// inbox is a mail server that only notes when a message has come.
type inbox struct {
	address string
	server  *gosmtp.Server
	arrived chan time.Time
}

func openInbox() (*inbox, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	i := &inbox{address: l.Addr().String(), arrived: make(chan time.Time, 100)}
	i.server = gosmtp.NewServer(gosmtp.BackendFunc(func(*gosmtp.Conn) (gosmtp.Session, error) { return letterbox{i}, nil }))
	i.server.Domain, i.server.ErrorLog = "localhost", quiet{}
	go i.server.Serve(l) //nolint:errcheck // until it is closed
	return i, nil
}

func (i *inbox) close() { i.server.Close() }

// send delivers a message of some size without the product, and gives how many ms it took.
func (i *inbox) send() (float64, error) {
	start := time.Now()
	text := "Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 300)
	if err := smtp.SendMail(i.address, nil, "alertas@filaia.example", []string{"dona@empresa.com.br"}, []byte(text)); err != nil {
		return 0, err
	}
	<-i.arrived
	return time.Since(start).Seconds() * 1e3, nil
}

type letterbox struct{ inbox *inbox }

func (letterbox) Reset()                                 {}
func (letterbox) Logout() error                          { return nil }
func (letterbox) Mail(string, *gosmtp.MailOptions) error { return nil }
func (letterbox) Rcpt(string, *gosmtp.RcptOptions) error { return nil }
func (l letterbox) Data(r io.Reader) error {
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	l.inbox.arrived <- time.Now()
	return nil
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}
