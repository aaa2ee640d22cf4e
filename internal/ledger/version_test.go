package ledger

import (
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/usage"
)

// firstVersion is what testdata/version1.log holds, a spool that version 1 of the records was written into by the program of
// that time: two calls that finished, in another order than they were begun, and one that never did. The file is never
// written again.
func firstVersion() (finished []usage.Event, interrupted usage.Event) {
	at := time.Date(2026, 11, 22, 21, 0, 0, 123_456_789, time.UTC)
	id := func(n byte) uuid.UUID {
		u := uuid.MustParse("019aad3b-1c80-7000-8000-000000000000")
		u[15] = n
		return u
	}
	failed := usage.Event{
		ID: id(2), CreatedAt: at.Add(time.Second), TenantID: 8, KeyID: 80, PeriodID: 800, Model: "gpt-4.1-mini", Endpoint: "responses",
		Status: usage.Failed, HTTPStatus: 503, LatencyMS: 12, RequestID: "req_0198c0ffee0198c0ffef",
	}
	full := usage.Event{
		ID: id(1), CreatedAt: at, TenantID: 7, KeyID: 70, PeriodID: 700, Model: "gpt-4.1-nano", Endpoint: "chat.completions",
		Status: usage.Aborted, HTTPStatus: 200, Streamed: true, Held: true, Estimated: true,
		Tokens: usage.Tokens{Input: 1200, Cached: 1024, Output: 340, Reasoning: 64}, CostUSD: 512, LatencyMS: 830, FirstByteMS: 310,
		RequestID: "req_0198c0ffee0198c0ffee", ProviderID: "req_provider_1",
		Served: usage.Tokens{Input: 1200, Output: 340}, // what was billed was what was served
	}
	open := usage.Event{
		ID: id(3), CreatedAt: at.Add(2 * time.Second), TenantID: 7, KeyID: 70, PeriodID: 700, Model: "gpt-4.1-nano",
		Endpoint: "chat.completions", Status: usage.Interrupted, Streamed: true, Held: true, RequestID: "req_0198c0ffee0198c0fff0",
	}
	return []usage.Event{failed, full}, open
}

func TestASpoolOfTheFirstVersionIsReplayedExactly(t *testing.T) {
	b, err := os.ReadFile("testdata/version1.log")
	must(t, err)
	want, interrupted := firstVersion()
	sink := &table{}
	report := recoverAndClose(t, left(t, b), sink)
	same(t, sink.all(), append(want, interrupted))
	if report.Replayed != 2 || report.Interrupted != 1 || report.Corrupt != nil {
		t.Errorf("%+v", report)
	}
}

// As after an update of the program: the old process's file, and behind it what a new one wrote before it died too.
func TestSpoolsOfBothVersionsAreReplayedTogether(t *testing.T) {
	b, err := os.ReadFile("testdata/version1.log")
	must(t, err)
	want, interrupted := firstVersion()
	hit, plain := answered(1), call(2)
	plain.Object = "resp_68e1"
	newer, _ := spool(t, func(l *Ledger, _ func()) {
		must(t, l.Finish(hit))
		must(t, l.Begin(opening(plain)))
		must(t, l.Finish(plain))
	})
	for name, segments := range map[string][][]byte{"two files": {b, newer}, "one file": {slices.Concat(b, newer)}} {
		t.Run(name, func(t *testing.T) {
			sink := &table{}
			recoverAndClose(t, left(t, segments...), sink)
			same(t, sink.all(), append(slices.Clone(want), *hit, *plain, interrupted))
		})
	}
}
