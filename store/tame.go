package store

import (
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fila-ia/filaia/internal/usage"
)

// These are far above any call, and so far below an overflow that no sum of calls, or price of its tokens, reaches one.
const (
	maxCallCost = 1 << 46 // US$ micros

	maxModel = 500 // bytes; a name that does not fit into an index row would fail the commit for ever

	firstSecond, lastSecond = -62135596800, 253402300799 // of the years 1 to 9999, as PostgreSQL and a line of COPY hold them
)

// tamed brings figures that the tables refuse into their ranges: a provider may report anything, and one event that
// cannot be committed would hold back all that follow it. Events that are as they should be are given back as they are.
func tamed(events []usage.Event) []usage.Event {
	copied := false
	for i := range events {
		e := events[i]
		tame(&e)
		if e == events[i] {
			continue
		}
		if !copied {
			events, copied = slices.Clone(events), true
		}
		events[i] = e
	}
	return events
}

func tame(e *usage.Event) {
	for _, t := range []*usage.Tokens{&e.Tokens, &e.Served} {
		t.Input, t.Output = within(t.Input, usage.MostTokens), within(t.Output, usage.MostTokens)
		t.Cached, t.Reasoning = within(t.Cached, t.Input), within(t.Reasoning, t.Output)
	}
	e.HTTPStatus = int(within(int64(e.HTTPStatus), math.MaxInt16))
	e.LatencyMS, e.FirstByteMS = within(e.LatencyMS, math.MaxInt32), within(e.FirstByteMS, math.MaxInt32)
	e.CostUSD, e.SavedUSD = min(max(e.CostUSD, 0), maxCallCost), min(max(e.SavedUSD, 0), maxCallCost)
	if at := e.CreatedAt.Unix(); at < firstSecond || at > lastSecond {
		e.CreatedAt = time.Unix(min(max(at, firstSecond), lastSecond), 0)
	}
	e.Model = storable(e.Model, maxModel)
}

// storable is what PostgreSQL's text can hold of s, up to so many bytes. Two names that become one are then one row of
// the hours here as they are there.
func storable(s string, most int) string {
	s = strings.ToValidUTF8(s, "")
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "")
	}
	if len(s) > most {
		for most > 0 && !utf8.RuneStart(s[most]) {
			most--
		}
		s = s[:most]
	}
	return s
}

func within(v, most int64) int64 { return min(max(v, 0), most) }
