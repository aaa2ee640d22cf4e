package ledger

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// file is what is written to; an osFile but for tests.
type file interface {
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	Reserve(room int64) error // takes so many bytes of the disk for it, from its start
	Sync() error
}

type osFile struct{ *os.File }

func (f osFile) Reserve(room int64) error { return reserve(f.File, room) }

// segment is one file of the log.
type segment struct {
	number uint64
	size   int64 // bytes of acknowledged records
	born   time.Time
}

const (
	segmentSuffix = ".log"
	corruptSuffix = ".corrupt" // kept for a person to look at; never read again
)

func segmentName(number uint64) string { return fmt.Sprintf("%08d%s", number, segmentSuffix) }

// lockFolder takes the folder for this process; the kernel lets it go when the process dies.
func lockFolder(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the ledger folder: %w", err)
	}
	switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return nil, errors.Join(fmt.Errorf("the ledger folder %s is in use by another process", dir), f.Close())
	case err != nil:
		return nil, errors.Join(fmt.Errorf("lock the ledger folder %s: %w", dir, err), f.Close())
	}
	return f, nil
}

// listing is what a folder holds.
type listing struct {
	segments []segment // of the log, in order
	kept     []segment // damaged ones, kept for a person to look at
	last     uint64    // highest number in use, kept ones included
}

func listSegments(dir string) (found listing, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return listing{}, err
	}
	for _, entry := range entries {
		name, corrupt := strings.CutSuffix(entry.Name(), corruptSuffix)
		digits, isLog := strings.CutSuffix(name, segmentSuffix)
		number, err := strconv.ParseUint(digits, 10, 64)
		if !isLog || err != nil || segmentName(number) != name {
			continue
		}
		info, err := entry.Info()
		if err != nil {
			return listing{}, err
		}
		found.last = max(found.last, number)
		s := segment{number: number, size: info.Size()}
		if corrupt {
			found.kept = append(found.kept, s)
		} else {
			found.segments = append(found.segments, s)
		}
	}
	slices.SortFunc(found.segments, func(a, b segment) int { return cmp.Compare(a.number, b.number) })
	return found, nil
}

// beginFile makes an empty file with room bytes of the disk reserved for it.
func beginFile(path string, room int64) (file, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := reserve(f, room); err != nil {
		return nil, errors.Join(fmt.Errorf("reserve %d bytes for %s: %w", room, path, err), f.Close(), os.Remove(path))
	}
	return osFile{f}, nil
}

// syncFolder makes a new file's name survive a power cut.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
