package main

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/fila-ia/filaia/internal/config"
)

// logger writes the log, and flush what is not written yet.
func logger(cfg config.Config, w io.Writer) (log *slog.Logger, flush func()) {
	lines := &lineBuffer{to: w}
	if cfg.JSONLog {
		return slog.New(urgent{slog.NewJSONHandler(lines, nil), lines}), lines.flush
	}
	text := newTextLines(lines)
	return slog.New(urgentLines{urgent{text, lines}, text}), lines.flush
}

// lineBuffer gathers lines for a moment, because a write for each call is a tenth of what the call costs. A process that
// is killed loses what was said in that moment; what was counted is in the ledger.
type lineBuffer struct {
	to io.Writer

	mu   sync.Mutex
	buf  []byte
	late *time.Timer
}

const (
	lineBytes = 64 << 10
	lineTime  = 100 * time.Millisecond
)

// Write keeps the line, and writes all when there are many.
func (b *lineBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case len(b.buf)+len(p) > lineBytes:
		b.write()
	case len(b.buf) > 0:
	case b.late == nil:
		b.late = time.AfterFunc(lineTime, b.flush)
	default:
		b.late.Reset(lineTime)
	}
	b.buf = append(b.buf, p...)
	return len(p), nil
}

func (b *lineBuffer) flush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.write()
}

func (b *lineBuffer) write() {
	if len(b.buf) > 0 {
		_, _ = b.to.Write(b.buf) // a log that cannot be written has nowhere to say so
		b.buf = b.buf[:0]
	}
}

// urgent writes warnings and errors at once.
type urgent struct {
	slog.Handler
	lines *lineBuffer
}

// Handle writes the record.
func (u urgent) Handle(ctx context.Context, r slog.Record) error {
	err := u.Handler.Handle(ctx, r)
	if r.Level >= slog.LevelWarn {
		u.lines.flush()
	}
	return err
}

// urgentLines is urgent over a handler that writes lines without a record.
type urgentLines struct {
	urgent
	text textLines
}

// HandleLine writes the line.
func (u urgentLines) HandleLine(ctx context.Context, at time.Time, level slog.Level, message string, attrs []slog.Attr) error {
	err := u.text.HandleLine(ctx, at, level, message, attrs)
	if level >= slog.LevelWarn {
		u.lines.flush()
	}
	return err
}

// WithAttrs keeps the way warnings go.
func (u urgent) WithAttrs(attrs []slog.Attr) slog.Handler {
	return urgent{u.Handler.WithAttrs(attrs), u.lines}
}

// WithGroup keeps the way warnings go.
func (u urgent) WithGroup(name string) slog.Handler {
	return urgent{u.Handler.WithGroup(name), u.lines}
}
