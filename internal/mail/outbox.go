package mail

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/fault"
)

// nameTime begins a file's name, so that names are in the order of time.
const nameTime = "20060102T150405.000Z"

// letterName is what our files are called; nothing else is shown or opened.
var letterName = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}\.[0-9]{3}Z-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.eml$`)

// draftPrefix begins the names of files that are being written.
const draftPrefix = ".draft-"

// keep writes the letter into the outbox. It appears whole or not at all; the same message written again takes its own place.
func (s *Sender) keep(l *letter) (string, error) {
	name := l.at.Format(nameTime) + "-" + l.id.String() + ".eml"
	if err := s.writeFile(name, l.raw); err != nil {
		return "", fmt.Errorf("keep message %s: %w", l.id, err)
	}
	s.prune(time.Now()) // as files are dated
	return alert.KeptPrefix + name, nil
}

func (s *Sender) writeFile(name string, raw []byte) error {
	if err := os.MkdirAll(s.outbox, 0o700); err != nil {
		return err
	}
	draft, err := os.CreateTemp(s.outbox, draftPrefix+"*")
	if err != nil {
		return err
	}
	defer os.Remove(draft.Name())
	_, err = draft.Write(raw)
	if err == nil {
		err = draft.Sync()
	}
	if err = errors.Join(err, draft.Close()); err != nil {
		return err
	}
	return os.Rename(draft.Name(), filepath.Join(s.outbox, name))
}

// Letters gives some of the kept messages of this server, the newest first, and how many there are.
func (s *Sender) Letters(_ context.Context, skip, most int) (letters []alert.Letter, total int, err error) {
	files, err := os.ReadDir(s.outbox)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("list the outbox: %w", err)
	}
	names := make([]string, 0, len(files))
	for _, f := range files {
		if letterName.MatchString(f.Name()) {
			names = append(names, f.Name())
		}
	}
	slices.Sort(names)
	slices.Reverse(names)
	total = len(names)
	names = names[min(skip, total):min(skip+most, total)]
	for _, name := range names {
		if l, err := s.Letter(name); err == nil { // it may be gone by now
			letters = append(letters, l.Letter)
		}
	}
	return letters, total, nil
}

// maxLetter is how much of a file is read; ours are far smaller.
const maxLetter = 8 << 20

// Letter reads a kept message. Only what the outbox itself has written can be named.
func (s *Sender) Letter(name string) (alert.OpenLetter, error) {
	missing := fault.New(fault.NotFound, "mail.error.no_letter")
	if !letterName.MatchString(name) {
		return alert.OpenLetter{}, missing
	}
	root, err := os.OpenRoot(s.outbox)
	if err != nil {
		return alert.OpenLetter{}, missing.Because(err)
	}
	defer root.Close()
	f, err := root.Open(name)
	if err != nil {
		return alert.OpenLetter{}, missing.Because(err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxLetter))
	if err != nil {
		return alert.OpenLetter{}, fmt.Errorf("read %s: %w", name, err)
	}
	l, err := readLetter(raw)
	if err != nil {
		return l, fmt.Errorf("read %s: %w", name, err)
	}
	l.File = name
	l.At, err = time.Parse(nameTime, name[:strings.IndexByte(name, '-')])
	return l, err
}

// readLetter takes a message apart.
func readLetter(raw []byte) (alert.OpenLetter, error) {
	l := alert.OpenLetter{Raw: raw}
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return l, err
	}
	for _, name := range headerOrder(raw) {
		l.Headers = append(l.Headers, [2]string{name, decode(m.Header.Get(name))})
	}
	l.To, l.Subject = decode(m.Header.Get("To")), decode(m.Header.Get("Subject"))
	if to, err := m.Header.AddressList("To"); err == nil && len(to) > 0 {
		l.To, l.Name = to[0].Address, to[0].Name
	}
	return l, readPart(&l, m.Header.Get("Content-Type"), m.Header.Get("Content-Transfer-Encoding"), m.Body)
}

// decode gives a header's value as people read it.
func decode(value string) string {
	words := &mime.WordDecoder{}
	if text, err := words.DecodeHeader(value); err == nil {
		return text
	}
	return value
}

// headerOrder gives the names of the headers as they stand.
func headerOrder(raw []byte) []string {
	var names []string
	lines := bufio.NewScanner(bytes.NewReader(raw))
	lines.Buffer(nil, maxLetter)
	for lines.Scan() && lines.Text() != "" {
		if name, _, ok := strings.Cut(lines.Text(), ":"); ok && !strings.ContainsAny(name, " \t") {
			names = append(names, name)
		}
	}
	return names
}

func readPart(l *alert.OpenLetter, contentType, encoding string, body io.Reader) error {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		kind = "text/plain"
	}
	if strings.HasPrefix(kind, "multipart/") {
		parts := multipart.NewReader(body, params["boundary"])
		for {
			part, err := parts.NextRawPart()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if err := readPart(l, part.Header.Get("Content-Type"), part.Header.Get("Content-Transfer-Encoding"), part); err != nil {
				return err
			}
		}
	}
	if strings.EqualFold(encoding, "quoted-printable") {
		body = quotedprintable.NewReader(body)
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	switch kind {
	case "text/plain":
		l.Text = string(text)
	case "text/html":
		l.HTML = string(text)
	}
	return nil
}
