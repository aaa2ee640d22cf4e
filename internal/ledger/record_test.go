package ledger

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/usage"
)

func number(t *rapid.T, name string) int64 {
	return rapid.OneOf(rapid.Int64(), rapid.SampledFrom([]int64{0, 1, -1, math.MaxInt64, math.MinInt64})).Draw(t, name)
}

func anyEvent(t *rapid.T) usage.Event {
	text := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
		rapid.SampledFrom([]string{"", strings.Repeat("x", 127), strings.Repeat("y", 128), strings.Repeat("z", 70_000)}))
	e := usage.Event{
		CreatedAt: time.Unix(number(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanoseconds")).UTC(),
		TenantID:  number(t, "tenant"), KeyID: number(t, "key"), PeriodID: number(t, "period"),
		Model: text.Draw(t, "model"), Endpoint: text.Draw(t, "endpoint"),
		Status: usage.Status(rapid.IntRange(0, int(usage.Interrupted)).Draw(t, "status")), HTTPStatus: int(number(t, "http")),
		Streamed: rapid.Bool().Draw(t, "streamed"), Estimated: rapid.Bool().Draw(t, "estimated"), Held: rapid.Bool().Draw(t, "held"),
		Tokens: usage.Tokens{
			Input: number(t, "input"), Cached: number(t, "cached"),
			Output: number(t, "output"), Reasoning: number(t, "reasoning"),
		},
		CostUSD: money.Micros(number(t, "cost")), LatencyMS: number(t, "latency"), FirstByteMS: number(t, "first byte"),
		RequestID: text.Draw(t, "request"), ProviderID: text.Draw(t, "provider id"),
		Cache: usage.Cache(rapid.IntRange(0, int(usage.CacheCoalesced)).Draw(t, "cache")), SavedUSD: money.Micros(number(t, "saved")),
		Served:   usage.Tokens{Input: number(t, "served input"), Output: number(t, "served output")},
		Provider: text.Draw(t, "provider"), Object: text.Draw(t, "object"),
	}
	if rapid.Bool().Draw(t, "billed as served") {
		e.Served, e.SavedUSD = usage.Tokens{Input: e.Tokens.Input, Output: e.Tokens.Output}, 0
	}
	copy(e.ID[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
	return e
}

func TestRecordRoundTripKeepsEveryField(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anyEvent(t)
		d := newDecoder()
		var got usage.Event
		record, err := appendRecord([]byte("before"), closed, &want)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.decode(record[len("before")+headerBytes:], &got); err != nil || got != want {
			t.Fatalf("finished (%v):\n got %+v\nwant %+v", err, got, want)
		}

		record, err = appendRecord(nil, opened, &want)
		if err != nil {
			t.Fatal(err)
		}
		begun := *opening(&want)
		begun.Estimated, begun.Held = want.Estimated, want.Held
		if err := d.decode(record[headerBytes:], &got); err != nil || got != begun {
			t.Fatalf("begun (%v):\n got %+v\nwant %+v", err, got, begun)
		}
	})
}

func TestDecodeRefusesWhatIsNoPayload(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := anyEvent(t)
		record, err := appendRecord(nil, rapid.SampledFrom([]kind{opened, closed}).Draw(t, "kind"), &e)
		if err != nil {
			t.Fatal(err)
		}
		payload := record[headerBytes:]
		d := newDecoder()
		var got usage.Event
		if err := d.decode(payload[:rapid.IntRange(0, len(payload)-1).Draw(t, "cut")], &got); !errors.Is(err, errMalformed) {
			t.Fatalf("cut payload: %v", err)
		}
		if err := d.decode(append(payload, 0), &got); !errors.Is(err, errMalformed) {
			t.Fatalf("payload with something behind it: %v", err)
		}
		// Whatever stands there, an error is all that happens.
		_ = d.decode(append([]byte{byte(rapid.IntRange(first, version).Draw(t, "version")), byte(closed)}, rapid.SliceOf(rapid.Byte()).Draw(t, "noise")...), &got)
	})
}

func TestAppendRecordRefusesWhatCouldNotBeReadBack(t *testing.T) {
	huge, unknown, newer := call(1), call(2), call(3)
	huge.Model = strings.Repeat("m", maxPayload)
	unknown.Status, newer.Cache = usage.Interrupted+1, usage.CacheCoalesced+1
	for name, e := range map[string]*usage.Event{"a status of another version": unknown, "a cache outcome of another version": newer} {
		if _, err := appendRecord(nil, closed, e); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	if _, err := appendRecord(nil, opened, huge); err == nil {
		t.Error("text without end was accepted before the call was made")
	}
}

// A provider may say anything, and its call has been made: nothing it says keeps the call from being recorded.
func TestTextsWithoutEndAreCutWhenTheCallHasBeenMade(t *testing.T) {
	sink := &table{}
	l, _ := running(t, t.TempDir(), Options{Sink: sink})
	e := call(1)
	must(t, l.Begin(opening(e)))
	e.ProviderID, e.Object = strings.Repeat("p", 3*maxPayload), strings.Repeat("o", maxPayload)
	must(t, l.Finish(e))
	flushed(t, l)
	got := sink.all()[0]
	if !strings.HasPrefix(e.ProviderID, got.ProviderID) || len(got.ProviderID) < 100_000 || !strings.HasPrefix(e.Object, got.Object) || got.Object == "" {
		t.Errorf("%d bytes of an id, %d of another", len(got.ProviderID), len(got.Object))
	}
	if got.ProviderID, got.Object = e.ProviderID, e.Object; got != *e {
		t.Errorf("%+v", got)
	}
}

func TestDecoderForgetsNamesThatClientsMakeUp(t *testing.T) {
	d := newDecoder()
	for i := range 3 * maxNames {
		d.name([]byte{byte(i), byte(i >> 8), byte(i >> 16)})
	}
	if len(d.names) > maxNames {
		t.Errorf("%d names are kept", len(d.names))
	}
}

// An ordinary call pays for the newer fields with the provider's name alone.
func TestOrdinaryRecordIsShort(t *testing.T) {
	e := call(1200)
	plain, err := appendRecord(nil, closed, e)
	must(t, err)
	e.Provider, e.Cache = "", usage.CacheBypass
	bare, err := appendRecord(nil, closed, e)
	must(t, err)
	if got, want := len(plain)-len(bare), len("openai"); got != want {
		t.Errorf("%d bytes more, want %d", got, want)
	}
}

func TestDecodeRefusesFlagsThatItsVersionDoesNotHave(t *testing.T) {
	for name, c := range map[string]struct {
		version, flags byte
		kind           kind
	}{
		"a cache outcome in version 1": {first, cacheMask, opened}, "an object of a call that has just begun": {version, stored, opened},
		"served tokens of a call that has just begun": {version, apart, opened}, "an eighth flag": {version, 1 << 7, closed},
	} {
		record, err := appendRecord(nil, c.kind, call(1))
		must(t, err)
		payload := record[headerBytes:]
		f := fields{payload: payload, at: peekBytes}
		for range 5 { // seconds, nanoseconds, tenant, key, period
			f.unsigned()
		}
		payload[0], payload[f.at] = c.version, c.flags
		d := newDecoder()
		var got usage.Event
		if err := d.decode(payload, &got); !errors.Is(err, errMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
