package gateway

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/fila-ia/filaia/internal/tenancy"
)

// ThrottleStore counts how often providers said 429.
type ThrottleStore interface {
	// AddThrottled adds to what is counted.
	AddThrottled(ctx context.Context, counts []tenancy.Throttled) error
}

// ThrottleBook counts the 429s of providers, those too that a retry or a fallback hid from the caller.
type ThrottleBook struct {
	store ThrottleStore
	log   *slog.Logger

	mu     sync.Mutex
	counts map[throttledMinute]int64 // not written yet
}

type throttledMinute struct{ provider, minute int64 } // in Unix minutes

const (
	throttlesEvery = time.Second
	throttlesTime  = 5 * time.Second
	maxThrottles   = 10_000 // minutes of providers that wait while the database is away
)

// NewThrottleBook makes an empty book; Run writes it.
func NewThrottleBook(store ThrottleStore, log *slog.Logger) *ThrottleBook {
	return &ThrottleBook{store: store, log: log, counts: map[throttledMinute]int64{}}
}

// Add counts one, without waiting for the database.
func (b *ThrottleBook) Add(provider int64, at time.Time) {
	if b != nil {
		b.add(throttledMinute{provider, at.Unix() / 60}, 1)
	}
}

func (b *ThrottleBook) add(m throttledMinute, n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, met := b.counts[m]; met || len(b.counts) < maxThrottles {
		b.counts[m] += n
	}
}

// Run writes what was counted until ctx ends, and then the rest.
func (b *ThrottleBook) Run(ctx context.Context) error {
	return writeEvery(ctx, throttlesEvery, b.write)
}

// write writes what was counted, and takes it back when the database fails.
func (b *ThrottleBook) write(ctx context.Context) {
	b.mu.Lock()
	counts := b.counts
	if len(counts) == 0 {
		b.mu.Unlock()
		return
	}
	b.counts = map[throttledMinute]int64{}
	b.mu.Unlock()
	list := make([]tenancy.Throttled, 0, len(counts))
	for m, n := range counts {
		list = append(list, tenancy.Throttled{ProviderID: m.provider, Minute: time.Unix(m.minute*60, 0).UTC(), Count: n})
	}
	timed, cancel := context.WithTimeout(ctx, throttlesTime)
	defer cancel()
	if err := b.store.AddThrottled(timed, list); err != nil {
		b.log.Warn("what providers refused could not be counted; trying on", "count", len(list), "error", err)
		for m, n := range counts {
			b.add(m, n)
		}
	}
}
