package store

import (
	"bytes"
	"encoding/base64"
	"reflect"
	"strings"
	"testing"

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
