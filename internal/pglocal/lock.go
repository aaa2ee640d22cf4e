package pglocal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// fileLock is an advisory lock on a file. The kernel drops it with the process, however that ends; Go opens files
// close-on-exec, so PostgreSQL does not inherit it.
type fileLock struct {
	f    *os.File
	turn chan struct{} // a file lock does not part two goroutines that use one open file
}

func openLock(path string) (*fileLock, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	return &fileLock{f: f, turn: make(chan struct{}, 1)}, nil
}

// hold runs fn while nobody else, in this process or another, holds this lock; it waits for it until ctx ends.
func (l *fileLock) hold(ctx context.Context, fn func() error) error {
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return fmt.Errorf("wait for %s: %w", l.f.Name(), ctx.Err())
	}
	for {
		got, err := l.tryExclusive()
		if err != nil {
			return err
		}
		if got {
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("another process is starting or stopping PostgreSQL (%s is locked): %w", l.f.Name(), ctx.Err())
		case <-time.After(pollEvery):
		}
	}
	defer syscall.Flock(int(l.f.Fd()), syscall.LOCK_UN) //nolint:errcheck // closing the file unlocks as well
	return fn()
}

// share locks a file beside others, without waiting. Nobody holds pg.users exclusively but behind the gate.
func share(f *os.File) error {
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return nil
}

// tryExclusive tells whether nobody else held the lock. A shared lock of ours may be lost when somebody did.
func (l *fileLock) tryExclusive() (bool, error) {
	err := syscall.Flock(int(l.f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("lock %s: %w", l.f.Name(), err)
	}
	return true, nil
}

func (l *fileLock) close() {
	if l == nil {
		return
	}
	// Closing alone would leave the lock with a child that is being forked just now and has not yet become its program.
	syscall.Flock(int(l.f.Fd()), syscall.LOCK_UN) //nolint:errcheck // the close below is what remains
	l.f.Close()
}
