package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/fila-ia/filaia/internal/usage"
)

// machine is a ledger, what it promised, and what the sink was given, through any number of lives.
type machine struct {
	dir    string
	policy Sync
	opts   Options
	l      *Ledger
	files  map[string]*trackedFile
	full   bool // no further file can be begun
	room   int  // bytes that can still be written; negative: any number

	begun    map[uuid.UUID]usage.Event // acknowledged by Begin in this life, not yet by Finish
	want     map[uuid.UUID]usage.Event // what the sink must have in the end
	has      map[uuid.UUID]usage.Event // the first of each id that it was given
	moods    []error                   // what the next commits end with; nil: well
	lost     bool                      // an answer was lost in this life, so that the same may come again
	cut      map[uuid.UUID]int         // how often each id was given as interrupted since it was last cleared
	problems []string
}

var errLost = errors.New("the answer was lost")

func (m *machine) CommitUsage(_ context.Context, events []usage.Event) error {
	mood := error(nil)
	if len(m.moods) > 0 {
		mood, m.moods = m.moods[0], m.moods[1:]
	}
	if mood != nil && mood != errLost {
		return mood
	}
	for _, e := range events {
		first, known := m.has[e.ID]
		if !known {
			m.has[e.ID] = e
		} else if e.Status != usage.Interrupted && first != e {
			m.problems = append(m.problems, fmt.Sprintf("two contents of one call: %+v and %+v", first, e))
		}
		if e.Status == usage.Interrupted {
			m.cut[e.ID]++
		}
	}
	m.lost = m.lost || mood == errLost
	return mood
}

// trackedFile knows what of it an fsync has confirmed.
type trackedFile struct {
	file
	m               *machine
	written, synced int64
}

func (m *machine) begin(path string, room int64) (file, error) {
	if m.full {
		return nil, syscall.ENOSPC
	}
	f, err := beginFile(path, room)
	if err != nil {
		return nil, err
	}
	m.files[path] = &trackedFile{file: f, m: m}
	return m.files[path], nil
}

func (f *trackedFile) WriteAt(p []byte, at int64) (int, error) {
	fits := len(p)
	if f.m.room >= 0 {
		fits = min(fits, f.m.room)
		f.m.room -= fits
	}
	n, err := f.file.WriteAt(p[:fits], at)
	f.written = max(f.written, at+int64(n))
	if err == nil && n < len(p) {
		err = syscall.ENOSPC
	}
	return n, err
}

func (f *trackedFile) Truncate(size int64) error {
	f.written, f.synced = min(f.written, size), min(f.synced, size)
	return f.file.Truncate(size)
}

func (f *trackedFile) Sync() error {
	if f.m.room == 0 { // as some file systems say it: only now
		return syscall.ENOSPC
	}
	f.synced = f.written
	return nil
}

// start opens the folder and recovers it, with as many attempts and lives as it takes.
func (m *machine) start(t *rapid.T) {
	m.full, m.room = false, -1
	for {
		m.files = make(map[string]*trackedFile)
		l, err := Open(m.dir, m.opts)
		check(t, err)
		m.l = l
		clear(m.cut)
		m.lost = false
		m.moods = m.moods[:0]
		for range rapid.IntRange(0, 3).Draw(t, "commits until one fails while recovering") {
			m.moods = append(m.moods, nil)
		}
		m.moods = append(m.moods, rapid.SampledFrom([]error{nil, nil, errAway, errLost}).Draw(t, "mood"))
		_, err = l.Recover(t.Context())
		if err == nil {
			break
		}
		if !errors.Is(err, errAway) && !errors.Is(err, errLost) {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "again in this life") {
			clear(m.cut)
			m.moods, m.lost = nil, false
			_, err = l.Recover(t.Context())
			check(t, err)
			break
		}
		check(t, l.Close())
	}
	m.moods = nil
	// What was begun is interrupted, each once; what had finished may be given as such, to no effect.
	for id, e := range m.begun {
		if n := m.cut[id]; n != 1 && !(n > 1 && m.lost) {
			t.Fatalf("call %s was begun, and given %d times as interrupted", id, m.cut[id])
		}
		m.want[id] = interrupted(&e)
	}
	for id := range m.cut {
		if _, known := m.want[id]; !known {
			t.Fatalf("call %s was never begun, and is interrupted", id)
		}
	}
	clear(m.begun)
	m.compare(t, true)
}

// compare holds what the sink has against what it must have, or may have so far.
func (m *machine) compare(t *rapid.T, all bool) {
	for _, p := range m.problems {
		t.Fatal(p)
	}
	for id, e := range m.has {
		if w, promised := m.want[id]; !promised || w != e {
			t.Fatalf("the sink has %+v, promised %v %+v", e, promised, w)
		}
	}
	if all && !maps.Equal(m.has, m.want) {
		t.Fatalf("the sink has %d of %d calls", len(m.has), len(m.want))
	}
}

func check(t *rapid.T, err error) {
	if err != nil {
		t.Fatal(err)
	}
}

func (m *machine) anyBegun(t *rapid.T) usage.Event {
	ids := slices.SortedFunc(maps.Keys(m.begun), func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
	if len(ids) == 0 {
		t.Skip("no call is under way")
	}
	return m.begun[rapid.SampledFrom(ids).Draw(t, "call")]
}

// die ends a life as kill -9 does, or a power cut, and leaves what they leave at the log's end.
func (m *machine) die(t *rapid.T) {
	check(t, errors.Join(m.l.file.Close(), m.l.committer.close(), m.l.lock.Close()))
	path := m.l.path(m.l.last)
	f := m.files[path]
	info, err := os.Stat(path)
	check(t, err)
	end := info.Size()
	if m.policy == SyncAlways && rapid.Bool().Draw(t, "the power is cut") {
		for path, f := range m.files { // what is left of older files was confirmed as a whole
			if info, err := os.Stat(path); err == nil && path != m.l.path(m.l.last) && info.Size() != f.synced {
				t.Fatalf("%s was left with %d of %d bytes confirmed", path, f.synced, info.Size())
			}
		}
		end = rapid.Int64Range(f.synced, end).Draw(t, "end")
		check(t, os.Truncate(path, end))
	}
	var tail []byte
	switch rapid.IntRange(0, 2).Draw(t, "tail") {
	case 1: // of a write under way
		tail, err = appendRecord(nil, closed, call(99))
		check(t, err)
		tail = tail[:rapid.IntRange(0, len(tail)-1).Draw(t, "of the record")]
	case 2: // of a size that reached the disk before its bytes
		tail = make([]byte, rapid.IntRange(0, 5000).Draw(t, "zeros"))
	}
	out, err := os.OpenFile(path, os.O_WRONLY, 0)
	check(t, err)
	_, err = out.WriteAt(tail, end)
	check(t, errors.Join(err, out.Close()))
}

// TestEveryPromiseIsKeptThroughAnyNumberOfLives is the ledger as a state machine: whatever happens in whatever order,
// what Finish acknowledged reaches the sink as it was, what only Begin acknowledged becomes interrupted, and nothing else.
func TestEveryPromiseIsKeptThroughAnyNumberOfLives(t *testing.T) {
	root := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(root, "")
		check(t, err)
		defer os.RemoveAll(dir)
		m := &machine{
			dir: filepath.Join(dir, "spool"), policy: rapid.SampledFrom([]Sync{SyncOS, SyncAlways}).Draw(t, "policy"),
			begun: map[uuid.UUID]usage.Event{}, want: map[uuid.UUID]usage.Event{}, has: map[uuid.UUID]usage.Event{}, cut: map[uuid.UUID]int{},
		}
		m.opts = Options{
			Sink: m, Sync: m.policy, Log: slog.New(slog.DiscardHandler), begin: m.begin,
			SegmentBytes: rapid.Int64Range(300, 3000).Draw(t, "segment"), BatchSize: rapid.IntRange(1, 6).Draw(t, "batch"),
		}
		m.start(t)
		n := 0
		commit := func(t *rapid.T) {
			before := m.l.Stats()
			err := m.l.committer.advance(t.Context())
			if failing := errors.Is(err, errAway) || errors.Is(err, errLost); err != nil && !failing {
				t.Fatal(err)
			}
			if after := m.l.Stats(); after.Committed < before.Committed || after.Committed > after.Finished {
				t.Fatalf("from %+v to %+v", before, after)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"begin": func(t *rapid.T) {
				for range rapid.IntRange(1, 8).Draw(t, "calls") {
					n++
					e := *call(n)
					e.Streamed = n%3 == 0
					if m.l.Begin(opening(&e)) == nil {
						m.begun[e.ID] = e
					}
				}
			},
			"finish": func(t *rapid.T) {
				e := m.anyBegun(t)
				if m.l.Finish(&e) == nil {
					delete(m.begun, e.ID)
					m.want[e.ID] = e
				}
			},
			"go on for a while": func(t *rapid.T) { // so that what is under way is carried along
				for range rapid.IntRange(10, 40).Draw(t, "calls") {
					n++
					e := *call(n)
					if m.l.Begin(opening(&e)) != nil {
						break
					}
					m.begun[e.ID] = e
					if m.l.Finish(&e) == nil {
						delete(m.begun, e.ID)
						m.want[e.ID] = e
					}
					commit(t)
				}
			},
			"answer from the cache": func(*rapid.T) {
				n++
				if e := answered(n); m.l.Once(e) == nil {
					m.want[e.ID] = *e
				}
			},
			"commit": func(t *rapid.T) { m.moods = nil; commit(t) },
			"fail to commit": func(t *rapid.T) {
				m.moods = []error{rapid.SampledFrom([]error{errAway, errLost}).Draw(t, "how")}
				commit(t)
			},
			"fill the disk": func(t *rapid.T) { m.full, m.room = true, rapid.IntRange(-1, 400).Draw(t, "room") },
			"make room":     func(*rapid.T) { m.full, m.room, m.l.refusedAt = false, -1, m.l.refusedAt.Add(-rotateAgain) },
			"die":           func(t *rapid.T) { m.die(t); m.start(t) },
			"stop": func(t *rapid.T) {
				m.full, m.room, m.moods = false, -1, nil
				check(t, m.l.committer.drain(t.Context()))
				check(t, m.l.Close())
				m.start(t)
			},
			"": func(t *rapid.T) { m.compare(t, false) },
		})
		m.die(t)
		m.start(t)
		check(t, m.l.Close())
		if left := files(&testing.T{}, m.dir); len(left) != 0 {
			t.Fatalf("a ledger with nothing under way leaves %v", left)
		}
	})
}
