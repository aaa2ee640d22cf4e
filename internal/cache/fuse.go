package cache

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// fuse keeps a part that is away from slowing every call: it is tried once in a while only, by one caller.
type fuse struct {
	part  string
	rest  time.Duration
	now   func() time.Time
	log   *slog.Logger
	until atomic.Int64 // Unix nanoseconds; 0: whole
	last  atomic.Pointer[error]
}

// whole tells whether the part may be used now.
func (f *fuse) whole() bool {
	until := f.until.Load()
	if until == 0 {
		return true
	}
	now := f.now().UnixNano()
	return now >= until && f.until.CompareAndSwap(until, now+int64(f.rest))
}

// heed takes the outcome of a use. ctx is the caller's: that it has ended says nothing of the part.
func (f *fuse) heed(ctx context.Context, err error) {
	if err == nil {
		if f.until.Load() != 0 && f.until.Swap(0) != 0 {
			f.log.Info("cache: works again", "part", f.part)
		}
		return
	}
	if ctx.Err() != nil {
		return
	}
	f.last.Store(&err)
	if f.until.Swap(f.now().Add(f.rest).UnixNano()) == 0 {
		f.log.Warn("cache: goes without", "part", f.part, "err", err)
	}
}

// health is why the part is not used, or nil.
func (f *fuse) health() error {
	if f.until.Load() == 0 {
		return nil
	}
	return *f.last.Load()
}
