package mail

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
)

// kept puts a file into the outbox that was written some time ago.
func (s *stage) kept(t *testing.T, name string, ago time.Duration) string {
	t.Helper()
	path, at := filepath.Join(s.outbox, name), time.Now().Add(-ago)
	if err := os.MkdirAll(s.outbox, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("Subject: x\r\n\r\nx"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
	return path
}

func there(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func TestTheOutboxKeepsTheNewestMessagesOfAMonth(t *testing.T) {
	s := newStage(t)
	const day = 24 * time.Hour
	letter := func(at string, ago time.Duration) string {
		return s.kept(t, at+"T000000.000Z-"+uuid.NewString()+".eml", ago)
	}
	old, young, made := letter("20261101", 31*day), letter("20261102", 29*day), letter("20200101", time.Minute)
	stranger, torn, draft := s.kept(t, "notes.txt", 99*day), s.kept(t, draftPrefix+"1", day), s.kept(t, draftPrefix+"2", time.Minute)
	if _, err := s.send(delivery()); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{old: false, young: true, made: true, stranger: true, torn: false, draft: true} {
		if there(path) != want {
			t.Errorf("%s is there: %v", path, !want)
		}
	}
	for range maxLetters {
		letter("20261120", time.Hour)
	}
	d := delivery()
	d.MessageID, d.CreatedAt = uuid.New(), d.CreatedAt.AddDate(-1, 0, 0) // it was put off for long
	answer, err := s.send(d)
	if err != nil {
		t.Fatal(err)
	}
	if _, total, err := s.Letters(s.ctx, 0, 1); err != nil || total != maxLetters {
		t.Errorf("%d messages are kept (%v), want %d", total, err, maxLetters)
	}
	if !there(filepath.Join(s.DataDir, answer)) || there(young) || !there(stranger) {
		t.Error("not the oldest ones went")
	}
}
