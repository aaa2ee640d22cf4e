package main

import (
	"bytes"
	"log/slog"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestTextLinesAreThoseOfSlog(t *testing.T) {
	text := rapid.OneOf(rapid.SampledFrom([]string{"", "POST", "/v1/chat/completions", "a b", "a=b", `"a"`, `a\b`, "ação", "a\nb", "\x7f", "<&>", "µ"}), rapid.String())
	attr := rapid.Custom(func(t *rapid.T) slog.Attr {
		key := rapid.OneOf(rapid.SampledFrom([]string{"id", "status", "took"}), text).Draw(t, "key")
		switch rapid.IntRange(0, 8).Draw(t, "kind") {
		case 0:
			return slog.Int64(key, rapid.Int64().Draw(t, "int"))
		case 1:
			return slog.Bool(key, rapid.Bool().Draw(t, "bool"))
		case 2:
			return slog.Duration(key, time.Duration(rapid.Int64().Draw(t, "duration")))
		case 3:
			return slog.Any(key, nil)
		case 4:
			return slog.Float64(key, rapid.Float64().Draw(t, "float"))
		case 5:
			return slog.Group(key, slog.Int("n", 1), slog.String("s", text.Draw(t, "text")))
		case 6:
			return slog.Time(key, time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "time"), 0))
		}
		return slog.String(key, text.Draw(t, "text"))
	})
	rapid.Check(t, func(t *rapid.T) {
		zone := time.FixedZone("", rapid.SampledFrom([]int{0, -3 * 3600, 5*3600 + 1800}).Draw(t, "zone"))
		at := time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "seconds"), rapid.Int64Range(0, 1e9-1).Draw(t, "nanoseconds")).In(zone)
		if rapid.IntRange(0, 9).Draw(t, "no time") == 0 {
			at = time.Time{}
		}
		r := slog.NewRecord(at, slog.Level(rapid.IntRange(-6, 10).Draw(t, "level")), text.Draw(t, "message"), 0)
		attrs := rapid.SliceOfN(attr, 0, 14).Draw(t, "attrs")
		r.AddAttrs(attrs...)
		var want, got bytes.Buffer
		if err := slog.NewTextHandler(&want, &slog.HandlerOptions{Level: slog.Level(-100)}).Handle(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		lines := &lineBuffer{to: &got}
		if err := newTextLines(lines).Handle(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if err := newTextLines(lines).HandleLine(t.Context(), r.Time, r.Level, r.Message, attrs); err != nil {
			t.Fatal(err)
		}
		if lines.flush(); got.String() != want.String()+want.String() {
			t.Fatalf("got  %q\nwant twice %q", got.String(), want.String())
		}
	})
}

func TestLineOfACallIsWrittenWithoutSlog(t *testing.T) {
	line, ok := appendHead(nil, time.Now(), slog.LevelInfo, "call")
	for _, a := range []slog.Attr{slog.String("id", "req_0190"), slog.String("path", "/v1/chat/completions"), slog.Int("status", 200), slog.Duration("took", 1500),
		slog.Int64("tenant", 1), slog.String("model", "gpt-4.1-nano"), slog.Bool("stream", false)} {
		line, ok = appendAttr(line, a, ok)
	}
	if !ok {
		t.Errorf("left to slog: %s", line)
	}
}
