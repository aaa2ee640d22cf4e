package jobs

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// quietLog passes River's warnings and errors on, each of them once in repeatAfter: in an outage of the database River
// complains at every poll.
type quietLog struct {
	slog.Handler
	said *said
}

const repeatAfter = 30 * time.Second

type said struct {
	mu sync.Mutex
	at map[string]time.Time
}

func quiet(log *slog.Logger) *slog.Logger {
	return slog.New(quietLog{log.Handler(), &said{at: map[string]time.Time{}}})
}

// Enabled is for slog.
func (q quietLog) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && q.Handler.Enabled(ctx, level)
}

// Handle is for slog.
func (q quietLog) Handle(ctx context.Context, r slog.Record) error {
	q.said.mu.Lock()
	again := !q.said.at[r.Message].IsZero() && r.Time.Sub(q.said.at[r.Message]) < repeatAfter
	if !again {
		q.said.at[r.Message] = r.Time
	}
	q.said.mu.Unlock()
	if again {
		return nil
	}
	return q.Handler.Handle(ctx, r)
}

// WithAttrs is for slog.
func (q quietLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return quietLog{q.Handler.WithAttrs(attrs), q.said}
}

// WithGroup is for slog.
func (q quietLog) WithGroup(name string) slog.Handler {
	return quietLog{q.Handler.WithGroup(name), q.said}
}
