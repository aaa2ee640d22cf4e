package store

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/secret"
)

func TestMailIsKeptAsFilesUntilItIsSetUp(t *testing.T) {
	p := openOffice(t)
	m, err := p.MailSettings(p.ctx)
	if err != nil || m.Way != alert.MailNone || m.Sends() || m.Ready() {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestWhatMailSignsInWithIsSealedInTheDatabase(t *testing.T) {
	p := openOffice(t)
	const password = "senha-canario-1234"
	box := secret.New([32]byte{7})
	want := alert.Mail{Way: alert.MailServer, Host: "mail.example", Port: 587, Security: alert.MailSTARTTLS, Auth: alert.MailAuthAuto, User: "u", From: "a@x.example"}
	want.Seal(box, alert.MailAccess{Password: password})
	for range 2 { // the second time it is there already
		if err := p.SetMailSettings(p.ctx, want); err != nil {
			t.Fatal(err)
		}
	}
	got, err := p.MailSettings(p.ctx)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v", got, err)
	}
	if access, err := got.Open(box); err != nil || access.Password != password {
		t.Errorf("what was sealed opens as %+v, %v", access, err)
	}
	if _, err := got.Open(secret.New([32]byte{8})); err == nil {
		t.Error("another key opens it")
	}
	for _, query := range []string{`SELECT value::text FROM settings`, `SELECT details::text FROM audit_log`} {
		var rows []string
		if err := p.db.SelectContext(p.ctx, &rows, query); err != nil {
			t.Fatal(err)
		}
		all := strings.Join(rows, "\n")
		if strings.Contains(all, password) || strings.Contains(all, base64.StdEncoding.EncodeToString([]byte(password))) {
			t.Errorf("%s tells the password", query)
		}
		if strings.Contains(query, "audit") && (bytes.Contains([]byte(all), []byte("sealed")) || !strings.Contains(all, "mail.example")) {
			t.Errorf("the log of changes: %s", all)
		}
	}
}

func TestARenewedRefreshTokenTakesThePlaceOfTheOneThatWasRead(t *testing.T) {
	p := openOffice(t)
	box := secret.New([32]byte{7})
	read := func() alert.Mail {
		t.Helper()
		m, err := p.MailSettings(p.ctx)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	renew := func(before alert.Mail, token, want string) {
		t.Helper()
		if err := p.RenewMail(p.ctx, before, box.Seal([]byte(token), alert.MailRenewedAs)); err != nil {
			t.Fatal(err)
		}
		if a, err := read().Open(box); err != nil || a.RefreshToken != want || a.ClientSecret != "canario-c" {
			t.Errorf("after %s: %+v, %v; want %s", token, a, err, want)
		}
	}
	m := alert.Mail{Way: alert.MailGoogleOAuth, User: "a@x.example", ClientID: "id"}
	m.Seal(box, alert.MailAccess{ClientSecret: "canario-c", RefreshToken: "canario-0"})
	if err := p.SetMailSettings(p.ctx, m); err != nil {
		t.Fatal(err)
	}
	var set, after string
	get := func(into *string, query string) {
		t.Helper()
		if err := p.db.GetContext(p.ctx, into, query); err != nil {
			t.Fatal(err)
		}
	}
	get(&set, `SELECT updated_at || ' ' || (SELECT count(*) FROM audit_log) FROM settings WHERE name = 'mail'`)
	first := read()
	renew(first, "canario-1", "canario-1")
	second := read()
	renew(second, "canario-2", "canario-2")
	renew(first, "canario-late", "canario-2")
	renew(second, "canario-late", "canario-2")
	if get(&after, `SELECT updated_at || ' ' || (SELECT count(*) FROM audit_log) FROM settings WHERE name = 'mail'`); after != set {
		t.Errorf("a renewal is told as a change: %s, was %s", after, set)
	}
	var kept string
	if get(&kept, `SELECT string_agg(value::text, '') FROM settings`); strings.Contains(kept, "canario") {
		t.Errorf("kept in the clear: %s", kept)
	}
	third := read()
	m.Seal(box, alert.MailAccess{ClientSecret: "canario-c", RefreshToken: "canario-consented"})
	if err := p.SetMailSettings(p.ctx, m); err != nil {
		t.Fatal(err)
	}
	renew(third, "canario-late", "canario-consented")
}

func TestOneAtATimeHasTheTurnToRenew(t *testing.T) {
	p := openOffice(t)
	inside, most := 0, 0
	var mu sync.Mutex
	count := func(by int) {
		mu.Lock()
		defer mu.Unlock()
		inside += by
		most = max(most, inside)
	}
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			for range 3 {
				err := p.MailTurn(p.ctx, func(context.Context) error {
					count(1)
					defer count(-1)
					return p.RenewMail(p.ctx, alert.Mail{}, nil)
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if most != 1 {
		t.Errorf("%d at a time", most)
	}
	broken := errors.New("broken")
	if err := p.MailTurn(p.ctx, func(context.Context) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	ended, end := context.WithCancel(p.ctx)
	err := p.MailTurn(p.ctx, func(context.Context) error {
		time.AfterFunc(20*time.Millisecond, end)
		return p.MailTurn(ended, func(context.Context) error { return nil })
	})
	if err == nil {
		t.Error("two had the turn")
	}
}
