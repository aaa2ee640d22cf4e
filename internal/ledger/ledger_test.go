package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/usage"
)

// TestMain lets the test binary be the other process: the one that is killed, or that asks for a folder in use.
func TestMain(m *testing.M) {
	if child, known := children[os.Getenv("LEDGER_TEST_CHILD")]; known {
		child(os.Getenv("LEDGER_TEST_DIR"))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

var children = map[string]func(dir string){"crash": crashingChild, "lock": lockingChild}

// table is a Sink that keeps the first event of each id, as the database does.
type table struct {
	mu       sync.Mutex
	events   []usage.Event
	index    map[uuid.UUID]int
	batches  []int
	attempts int
	refuse   error // said before anything is kept
	deny     error // said after the batch was kept
}

func (s *table) CommitUsage(_ context.Context, events []usage.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempts++
	if s.refuse != nil {
		return s.refuse
	}
	s.batches = append(s.batches, len(events))
	for _, e := range events {
		s.keep(e)
	}
	return s.deny
}

func (s *table) keep(e usage.Event) {
	if s.index == nil {
		s.index = make(map[uuid.UUID]int)
	}
	if _, known := s.index[e.ID]; !known {
		s.index[e.ID] = len(s.events)
		s.events = append(s.events, e)
	}
}

func (s *table) set(refuse, deny error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse, s.deny = refuse, deny
}

func (s *table) all() []usage.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.events)
}

func (s *table) tried() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.attempts
}

// logs collects log lines.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

func (l *logs) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// call makes the n-th call; the event is what it finishes with.
func call(n int) *usage.Event {
	return &usage.Event{
		ID: uuid.Must(uuid.NewV7()), CreatedAt: time.Now().UTC().Round(0), TenantID: 7, KeyID: 70, PeriodID: 700,
		Model: "gpt-4.1-nano", Endpoint: "chat.completions", HTTPStatus: 200,
		Tokens: usage.Tokens{Input: int64(n), Cached: 3, Output: int64(n) * 2, Reasoning: 1},
		Served: usage.Tokens{Input: int64(n), Output: int64(n) * 2}, Cache: usage.CacheMiss, Provider: "openai",
		CostUSD: 1234, LatencyMS: 321, FirstByteMS: 45,
		RequestID: "req_0198c0ffee0198c0ffee", ProviderID: "req_provider_" + fmt.Sprint(n),
	}
}

func opening(e *usage.Event) *usage.Event {
	return &usage.Event{
		ID: e.ID, CreatedAt: e.CreatedAt, TenantID: e.TenantID, KeyID: e.KeyID, PeriodID: e.PeriodID,
		Model: e.Model, Endpoint: e.Endpoint, Streamed: e.Streamed, RequestID: e.RequestID, Cache: e.Cache,
	}
}

// answered makes the n-th call that the cache answers.
func answered(n int) *usage.Event {
	e := call(n)
	e.Served, e.Tokens, e.Cache = usage.Tokens{Input: 1200, Output: 340}, usage.Tokens{}, usage.CacheHit
	e.CostUSD, e.SavedUSD, e.ProviderID, e.Provider = 0, 376, "", ""
	return e
}

func interrupted(e *usage.Event) usage.Event {
	i := *opening(e)
	i.Status = usage.Interrupted
	return i
}

func open(t testing.TB, dir string, opts Options) *Ledger {
	t.Helper()
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	l, err := Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// recovered opens the folder and recovers what is there.
func recovered(t testing.TB, dir string, opts Options) (*Ledger, Report) {
	t.Helper()
	l := open(t, dir, opts)
	report, err := l.Recover(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return l, report
}

// running recovers and runs a ledger. stop ends Run and gives its error; it is called at the test's end in any case.
func running(t testing.TB, dir string, opts Options) (l *Ledger, stop func() error) {
	t.Helper()
	l, _ = recovered(t, dir, opts)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { _ = stop() })
	return l, stop
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func flushed(t testing.TB, l *Ledger) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	must(t, l.Flush(ctx))
}

// eventually polls until the condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for tick := time.NewTicker(time.Millisecond); !holds(); <-tick.C {
		if ctx.Err() != nil {
			t.Fatalf("never came true: %s", what)
		}
	}
}

// abandon lets the folder go as a killed process does: nothing is drained, nothing is removed.
func abandon(t testing.TB, l *Ledger) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	must(t, errors.Join(l.file.Close(), l.lock.Close()))
	l.serving, l.lock = false, nil
}

func files(t testing.TB, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		if e.Name() != "lock" {
			names = append(names, e.Name())
		}
	}
	return names
}

func same(t testing.TB, got, want []usage.Event) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d events, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("event %d:\n got %+v\nwant %+v", i, got[i], want[i])
		}
	}
}
