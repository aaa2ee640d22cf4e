package store

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/fila-ia/filaia/internal/usage"
)

func TestNoFigureKeepsAnEventFromBeingCommitted(t *testing.T) {
	s := openShop(t, charging(1000, 1000))
	figure := rapid.OneOf(rapid.Int64(), rapid.SampledFrom([]int64{-1, 0, 1, math.MinInt64, math.MaxInt64}))
	rapid.Check(t, func(t *rapid.T) {
		var batch []usage.Event
		for range rapid.IntRange(1, 4).Draw(t, "n") {
			e := s.call(0, 0)
			for _, v := range []*int64{
				&e.Tokens.Input, &e.Tokens.Cached, &e.Tokens.Output, &e.Tokens.Reasoning, &e.Served.Input, &e.Served.Output,
				&e.LatencyMS, &e.FirstByteMS,
			} {
				*v = figure.Draw(t, "figure")
			}
			e.HTTPStatus, e.Cache = int(figure.Draw(t, "status")), usage.Cache(rapid.IntRange(0, 3).Draw(t, "cache"))
			batch = append(batch, e)
		}
		if err := s.committer().CommitUsage(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	})
	s.audit(t)
}

func TestTamedLeavesOrdinaryEventsAndTheCallersSliceAlone(t *testing.T) {
	good, bad := usage.Event{Tokens: usage.Tokens{Input: 5, Cached: 5}}, usage.Event{Tokens: usage.Tokens{Input: -5, Cached: 2}}
	same := []usage.Event{good, good}
	if got := tamed(same); &got[0] != &same[0] {
		t.Error("ordinary events were copied")
	}
	given := []usage.Event{good, bad}
	got := tamed(given)
	if given[1] != bad || got[0] != good || got[1] != (usage.Event{}) {
		t.Errorf("given %+v, got %+v", given, got)
	}
}
