package main

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"time"
)

// textLines writes lines as slog's text handler does, to the byte. The line of a call is plain words and numbers; these
// it writes itself, in half the time, and leaves the rest to slog.
type textLines struct {
	slog.Handler
	lines   *lineBuffer
	buffers *sync.Pool // of *[]byte
}

func newTextLines(lines *lineBuffer) textLines {
	return textLines{slog.NewTextHandler(lines, nil), lines, &sync.Pool{New: func() any { return new([]byte) }}}
}

// Handle writes the record.
func (t textLines) Handle(ctx context.Context, r slog.Record) error {
	buffer := t.buffers.Get().(*[]byte)
	defer t.buffers.Put(buffer)
	b, ok := appendHead((*buffer)[:0], r.Time, r.Level, r.Message)
	r.Attrs(func(a slog.Attr) bool {
		b, ok = appendAttr(b, a, ok)
		return ok
	})
	return t.end(ctx, buffer, b, ok, func() slog.Record { return r })
}

// HandleLine writes what would be a record of these, without one.
func (t textLines) HandleLine(ctx context.Context, at time.Time, level slog.Level, message string, attrs []slog.Attr) error {
	buffer := t.buffers.Get().(*[]byte)
	defer t.buffers.Put(buffer)
	b, ok := appendHead((*buffer)[:0], at, level, message)
	for _, a := range attrs {
		b, ok = appendAttr(b, a, ok)
	}
	return t.end(ctx, buffer, b, ok, func() slog.Record {
		r := slog.NewRecord(at, level, message, 0)
		r.AddAttrs(attrs...)
		return r
	})
}

// end writes the line, or leaves the record to slog where the line cannot be.
func (t textLines) end(ctx context.Context, buffer *[]byte, line []byte, ok bool, record func() slog.Record) error {
	line = append(line, '\n')
	*buffer = line
	if !ok {
		return t.Handler.Handle(ctx, record())
	}
	_, err := t.lines.Write(line)
	return err
}

// appendHead begins a line. Like those below, it is not ok where there is anything that has to be quoted or resolved.
func appendHead(b []byte, at time.Time, level slog.Level, message string) (_ []byte, ok bool) {
	if at.IsZero() || !isWord(message) {
		return b, false
	}
	b = appendTime(append(b, "time="...), at)
	b = append(append(b, " level="...), level.String()...)
	return append(append(b, " msg="...), message...), true
}

func appendAttr(b []byte, a slog.Attr, before bool) (_ []byte, ok bool) {
	if !before || !isWord(a.Key) {
		return b, false
	}
	return appendValue(append(append(append(b, ' '), a.Key...), '='), a.Value)
}

// appendTime writes RFC 3339 with milliseconds. There is a fast way to write it without them.
func appendTime(b []byte, t time.Time) []byte {
	const seconds = len("2006-01-02T15:04:05")
	var room [len(time.RFC3339)]byte
	whole := t.AppendFormat(room[:0], time.RFC3339)
	if len(whole) < seconds || whole[seconds-3] != ':' { // of a year that has no four digits
		return t.AppendFormat(b, "2006-01-02T15:04:05.000Z07:00")
	}
	ms := t.Nanosecond() / int(time.Millisecond)
	b = append(append(b, whole[:seconds]...), '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
	return append(b, whole[seconds:]...)
}

func appendValue(b []byte, v slog.Value) (_ []byte, ok bool) {
	switch v.Kind() {
	case slog.KindString:
		return append(b, v.String()...), isWord(v.String())
	case slog.KindInt64:
		return strconv.AppendInt(b, v.Int64(), 10), true
	case slog.KindBool:
		return strconv.AppendBool(b, v.Bool()), true
	case slog.KindDuration:
		return append(b, v.Duration().String()...), true
	}
	return b, false
}

// isWord tells that a text is written as it is: no space, no sign that means something, nothing beyond ASCII.
func isWord(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\' {
			return false
		}
	}
	return s != ""
}
