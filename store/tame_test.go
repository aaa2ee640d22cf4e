package store

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
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

// TestNothingInAnEventHoldsBackThoseBehindIt: each of these would be refused by an index, a column or a sum.
func TestNothingInAnEventHoldsBackThoseBehindIt(t *testing.T) {
	chance := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 40_000) // that does not compress
	for i := range noise {
		noise[i] = byte(chance.IntN(256))
	}
	for name, spoil := range map[string]func(*usage.Event){
		"a giant model":          func(e *usage.Event) { e.Model = string(noise) },
		"a model in two ways":    func(e *usage.Event) { e.Model = "gpt-4.1\x00-nano\xff" },
		"a model of backslashes": func(e *usage.Event) { e.Model = `\.` + "\n\\N\t\\" },
		"giant texts": func(e *usage.Event) {
			e.Endpoint, e.RequestID, e.ProviderID, e.Provider, e.Object = string(noise), string(noise), string(noise), string(noise), string(noise)
		},
		"an odd object":        func(e *usage.Event) { e.Object = "resp\x00\xff" },
		"a time before all":    func(e *usage.Event) { e.CreatedAt = time.Unix(math.MinInt64/2, 0) },
		"a time after all":     func(e *usage.Event) { e.CreatedAt = time.Unix(1<<42, 5) },
		"no time":              func(e *usage.Event) { e.CreatedAt = time.Time{} },
		"giant costs":          func(e *usage.Event) { e.CostUSD, e.SavedUSD = math.MaxInt64, math.MaxInt64 },
		"negative costs":       func(e *usage.Event) { e.CostUSD, e.SavedUSD = math.MinInt64, math.MinInt64 },
		"an unknown tenant":    func(e *usage.Event) { e.TenantID, e.Object = -9, "resp_of_nobody" },
		"an unknown key":       func(e *usage.Event) { e.KeyID = 999_999 },
		"ids beyond all sense": func(e *usage.Event) { e.TenantID, e.KeyID = math.MaxInt64, math.MinInt64 },
		"no id":                func(e *usage.Event) { e.ID = uuid.Nil },
	} {
		t.Run(name, func(t *testing.T) {
			s := openShop(t, charging(100, 100))
			before, spoilt, twin, after := s.call(1, 1), s.call(2, 2), s.call(4, 4), s.call(8, 8)
			spoil(&spoilt)
			spoil(&twin)
			twin.ID[15]++
			if err := s.committer().CommitUsage(t.Context(), []usage.Event{before, spoilt, twin, after}); err != nil {
				t.Fatal(err)
			}
			if err := s.committer().CommitUsage(t.Context(), []usage.Event{after, twin}); err != nil {
				t.Fatal(err)
			}
			if b := s.bucket(t); b.UsedIn != 15 || b.UsedOut != 15 {
				t.Errorf("used %d and %d, want 15 and 15", b.UsedIn, b.UsedOut)
			}
			s.audit(t)
		})
	}
}

func TestAnEventOfAPeriodThatIsGoneIsKeptAndHoldsNothingBack(t *testing.T) {
	s := openShop(t, charging(100, 100))
	stray, good := s.call(2, 2), s.call(1, 1)
	stray.PeriodID = 999_999
	if err := s.committer().CommitUsage(t.Context(), []usage.Event{stray, good}); err != nil {
		t.Fatal(err)
	}
	var events, hours int64
	const sums = `SELECT (SELECT sum(input_tokens) FROM usage_events), (SELECT sum(input_tokens) FROM usage_hourly)`
	if err := s.db.QueryRow(sums).Scan(&events, &hours); err != nil {
		t.Fatal(err)
	}
	if b := s.bucket(t); events != 3 || hours != 3 || b.UsedIn != 1 {
		t.Errorf("%d tokens in events, %d in hours, %d of the period", events, hours, b.UsedIn)
	}
}
