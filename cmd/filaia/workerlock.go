package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// lockPause is how long a worker waits before it asks again whether the one before it has ended.
const lockPause = 200 * time.Millisecond

// lockWorker waits until no other worker runs on the data folder: each takes back the messages of its name that an earlier one
// was at, and would send those of a living one twice. The lock goes with release, or with the process.
func lockWorker(ctx context.Context, dir string, log *slog.Logger) (release func() error, err error) {
	path := filepath.Join(dir, "worker.lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("FILAIA_DATA_DIR: %s cannot be written; give a folder that this user may write", path)
	}
	for said := false; ; said = true {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f.Close, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
		}
		if !said {
			log.Warn("another worker runs on this folder; waiting until it has ended", "folder", dir)
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), f.Close())
		case <-time.After(lockPause):
		}
	}
}
