package mail

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/fault"
)

func TestWithoutASetUpMessagesAreKeptAsFiles(t *testing.T) {
	s := newStage(t)
	answer, err := s.send(delivery())
	const name = "20261122T140506.789Z-0191d6a0-6f00-7c00-8000-0000000000aa.eml"
	if err != nil || answer != "outbox/"+name {
		t.Fatalf("%q, %v", answer, err)
	}
	if ready, err := s.MailReady(s.ctx); ready || err != nil {
		t.Errorf("ready: %v, %v", ready, err)
	}
	info, err := os.Stat(filepath.Join(s.outbox, name))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal(info, err)
	}
	l, err := s.Letter(name)
	if err != nil || l.Subject != "90 % da franquia de tokens" || l.To != "ana@cliente.example" || l.Name != "Ana Conceição" ||
		!l.At.Equal(delivery().CreatedAt) || l.HTML != said().HTML || strings.ReplaceAll(l.Text, "\r\n", "\n") != said().Plain {
		t.Errorf("%+v, %v", l, err)
	}
	if len(l.Headers) < 8 || !bytes.HasPrefix(l.Raw, []byte(l.Headers[0][0]+": ")) {
		t.Errorf("%q", l.Headers)
	}
	if n := len(s.server.Messages()); n != 0 {
		t.Errorf("%d messages left", n)
	}
}

func TestTheSameMessageWrittenAgainTakesItsOwnPlace(t *testing.T) {
	s := newStage(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := s.send(delivery()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	files, err := os.ReadDir(s.outbox)
	if err != nil || len(files) != 1 {
		t.Errorf("%v, %v", files, err)
	}
}

func TestTheNewestMessagesComeFirst(t *testing.T) {
	s := newStage(t)
	if letters, total, err := s.Letters(s.ctx, 0, 50); len(letters) != 0 || total != 0 || err != nil {
		t.Errorf("before the first: %v, %d, %v", letters, total, err)
	}
	for i := range 7 {
		d := delivery()
		d.MessageID, d.CreatedAt, d.Recipient = uuid.New(), d.CreatedAt.Add(time.Duration(i)*time.Minute), fmt.Sprintf("p%d@cliente.example", i)
		if _, err := s.send(d); err != nil {
			t.Fatal(err)
		}
	}
	for _, stranger := range []string{"notes.txt", ".draft-1", "20261122T140506.789Z-x.eml", "x.eml"} {
		if err := os.WriteFile(filepath.Join(s.outbox, stranger), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	letters, total, err := s.Letters(s.ctx, 2, 3)
	if err != nil || total != 7 || len(letters) != 3 || !strings.Contains(letters[0].To, "p4@") || !strings.Contains(letters[2].To, "p2@") {
		t.Errorf("%+v, %d, %v", letters, total, err)
	}
	if letters, _, err := s.Letters(s.ctx, 100, 50); err != nil || len(letters) != 0 {
		t.Errorf("beyond the end: %v, %v", letters, err)
	}
}

func TestOnlyTheOutboxsOwnFilesCanBeNamed(t *testing.T) {
	s := newStage(t)
	if _, err := s.send(delivery()); err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(s.DataDir, "secret.key")
	if err := os.WriteFile(outside, []byte("Subject: secret\r\n\r\nx"), 0o600); err != nil {
		t.Fatal(err)
	}
	const link = "20261122T140506.789Z-0191d6a0-6f00-7c00-8000-0000000000bb.eml"
	if err := os.Symlink("../secret.key", filepath.Join(s.outbox, link)); err != nil {
		t.Fatal(err)
	}
	const folder = "20261122T140506.789Z-0191d6a0-6f00-7c00-8000-0000000000cc.eml"
	if err := os.Mkdir(filepath.Join(s.outbox, folder), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.outbox, "secret-notes.eml"), []byte("Subject: secret\r\n\r\nx"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"secret-notes.eml", "../secret.key", "..", "", "/etc/passwd", link, "20261122T140506.789Z-0191d6a0-6f00-7c00-8000-0000000000aa.eml/../../secret.key",
		"20261122T140506.789Z-0191d6a0-6f00-7c00-8000-0000000000aa.eml\x00", "%2e%2e%2fsecret.key", "20261122T140506.789Z-0191d6a0-6f00-7c00-8000-0000000000ff.eml",
	} {
		if l, err := s.Letter(name); !fault.Is(err, fault.NotFound) || strings.Contains(l.Subject, "secret") {
			t.Errorf("%q: %v, %v", name, l.Subject, err)
		}
	}
	if _, err := s.Letter(folder); err == nil {
		t.Error("a folder opens")
	}
}

func TestAFullOrForbiddenOutboxIsTriedAgain(t *testing.T) {
	s := newStage(t)
	if err := os.WriteFile(s.outbox, nil, 0o600); err != nil { // a file where the folder should be
		t.Fatal(err)
	}
	if _, err := s.send(delivery()); err == nil || errors.Is(err, alert.ErrRefused) {
		t.Error(err)
	}
}
