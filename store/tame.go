package store

import (
	"math"
	"slices"

	"github.com/fila-ia/filaia/internal/usage"
)

// maxCallTokens is far above any call, and so far below an overflow that no sum of calls reaches one.
const maxCallTokens = 1 << 40

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
		t.Input, t.Output = within(t.Input, maxCallTokens), within(t.Output, maxCallTokens)
		t.Cached, t.Reasoning = within(t.Cached, t.Input), within(t.Reasoning, t.Output)
	}
	e.HTTPStatus = int(within(int64(e.HTTPStatus), math.MaxInt16))
	e.LatencyMS, e.FirstByteMS = within(e.LatencyMS, math.MaxInt32), within(e.FirstByteMS, math.MaxInt32)
}

func within(v, most int64) int64 { return min(max(v, 0), most) }
