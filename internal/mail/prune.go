package mail

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// What is kept of the outbox, which would fill the disk of an installation whose e-mail is never set up.
const (
	maxLetters = 500
	letterAge  = 30 * 24 * time.Hour
	draftAge   = time.Hour // of a message whose writer was killed
)

// prune drops what the outbox keeps no longer. It goes by when files were written: a message may have been made long before. What
// cannot be dropped now is tried when the next message is written.
func (s *Sender) prune(now time.Time) {
	files, err := os.ReadDir(s.outbox)
	if err != nil {
		return
	}
	var letters []os.FileInfo
	for _, f := range files {
		info, err := f.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue // gone by now, or none of ours
		}
		switch {
		case letterName.MatchString(f.Name()):
			letters = append(letters, info)
		case strings.HasPrefix(f.Name(), draftPrefix) && now.Sub(info.ModTime()) > draftAge:
			_ = os.Remove(filepath.Join(s.outbox, f.Name()))
		}
	}
	slices.SortFunc(letters, func(a, b os.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	for i, l := range letters {
		if i >= maxLetters || now.Sub(l.ModTime()) > letterAge {
			_ = os.Remove(filepath.Join(s.outbox, l.Name()))
		}
	}
}
