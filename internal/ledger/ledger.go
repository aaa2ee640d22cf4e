// Package ledger is the durable spool of usage events, and the committer that moves them to the database.
//
// A call is one Begin, before the provider is asked, and one Finish, before the last byte is sent; one that the cache
// answers is one Once instead. All return only when the record is in the log, so that a kill -9 loses nothing; Options.Sync
// says what a power cut may take. Run reads the log back behind the writers and hands batches to the Sink, however long
// that was away; memory holds one batch. Recover replays what an earlier process left, this version of the program or one
// before it: finished events as they are, calls that were begun and never finished as usage.Interrupted. An event may
// reach the Sink more than once, and the Sink counts each id once: together they make it exactly once.
//
// The log is a folder of numbered files. Writers append under one mutex: a write to the page cache takes less than half
// a microsecond, and a leader that wrote for those who wait was measured a third slower, for it parks and wakes them.
// So each caller also gets the error of its own record. Only SyncAlways gathers callers, who then share one fsync.
//
// Each file's blocks are reserved when it is begun, with room beyond the rotation mark. A full disk therefore shows when
// the next file cannot be begun: Begin is refused, before anything is spent, and so is what the cache would answer, while
// calls under way still Finish.
package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/fila-ia/filaia/internal/usage"
)

// Sink is where events are committed, in the order in which the calls finished. An id may come again, in a later
// batch or twice in one: the first wins, the rest must change nothing. An error means that the batch comes again, for
// ever, so the content of an event is no reason for one. The slice is used again after the call; its strings are not.
type Sink interface {
	CommitUsage(ctx context.Context, events []usage.Event) error
}

// Sync says when records are forced to the disk. No process's death loses a record under any of them.
type Sync uint8

// The policies: what a power cut may take.
const (
	SyncOS       Sync = iota // what the operating system had not written yet, some 30 s
	SyncInterval             // what was written within Options.SyncEvery
	SyncAlways               // nothing; callers wait for the disk, those who come together for one fsync
)

// ErrClosed is returned to callers outside the time between Recover and Close.
var ErrClosed = errors.New("the ledger is not open for records: Recover has not succeeded, or Close was called")

// Options configure a Ledger. Zero values stand for the defaults; Sink is required.
type Options struct {
	Sink Sink
	Log  *slog.Logger // default slog.Default()
	Sync Sync

	SyncEvery     time.Duration // of SyncInterval, from a first record to the fsync; default 100 ms
	SegmentBytes  int64         // size at which the next file begins; default 16 MiB
	SegmentAge    time.Duration // age at which a file whose events are all committed is let go; default 10 min
	BatchSize     int           // most events in one commit; default 1,000
	BatchAge      time.Duration // longest wait for a batch to fill; default 50 ms
	CommitTimeout time.Duration // of one call of the Sink; default 30 s
	DrainTimeout  time.Duration // of what Run still commits once its context is done; default 10 s

	begin func(path string, room int64) (file, error) // how tests make a disk fail
}

func (o *Options) setDefaults() error {
	if o.Sink == nil {
		return errors.New("ledger: no sink")
	}
	if o.Sync > SyncAlways {
		return fmt.Errorf("ledger: unknown sync policy %d", o.Sync)
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.begin == nil {
		o.begin = beginFile
	}
	orDefault(&o.SyncEvery, 100*time.Millisecond)
	orDefault(&o.SegmentBytes, 16<<20)
	orDefault(&o.SegmentAge, 10*time.Minute)
	orDefault(&o.BatchSize, 1000)
	orDefault(&o.BatchAge, 50*time.Millisecond)
	orDefault(&o.CommitTimeout, 30*time.Second)
	orDefault(&o.DrainTimeout, 10*time.Second)
	return nil
}

// room is what is reserved for a file: up to the mark, and for calls under way behind it.
func (o *Options) room() int64 { return o.SegmentBytes + o.SegmentBytes/4 }

func orDefault[T int | int64 | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

// Ledger is one open spool folder. Begin, Finish, Once, Flush and Stats may be called by many at once.
type Ledger struct {
	dir       string
	opts      Options
	lock      *os.File
	committer committer // of Recover, Run and Close, which never overlap
	wake      chan struct{}
	dirtied   chan struct{}
	buffers   sync.Pool // of *[]byte, in which records are encoded

	keptMu sync.Mutex // taken behind mu
	kept   []segment  // damaged ones, set aside under another name

	mu        sync.Mutex
	serving   bool
	busy      bool      // Recover or Run is under way
	left      []segment // by an earlier process; empty once recovered
	damage    int64     // bytes that could not be read back since the start
	report    Report    // of the Recover that succeeded
	segments  []segment // of this process, oldest first; records go to the last
	last      uint64    // highest number given to a file
	file      file      // of the last segment
	written   int64     // end of the last record in file; beyond the segment's size while it waits for an fsync
	refusal   error     // why the next file could not be begun
	refusedAt time.Time
	torn      bool // something lies behind written that must go before the next record

	dirty   bool // written since the last fsync began; not kept under SyncOS
	syncing bool // an fsync is under way, without the mutex
	synced  sync.Cond
	group   *syncGroup // who will be answered by the next fsync; of SyncAlways

	syncFailing bool

	records   uint64    // appended since the start
	finished  uint64    // finished events among them
	settled   uint64    // records behind which the committer is done
	committed uint64    // finished events the sink has
	wakeAt    uint64    // value of records at which the committer wants to be woken
	oldest    time.Time // when the oldest uncommitted event finished; zero when there is none
	inFlight  int
	stalled   bool
	flushes   []*flush
}

// Open takes the folder, made if need be, for this process alone. Nothing is read or accepted before Recover.
func Open(dir string, opts Options) (*Ledger, error) {
	if err := opts.setDefaults(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the ledger folder: %w", err)
	}
	if opts.Sync != SyncOS { // the folder itself must survive a power cut
		if err := syncFolder(filepath.Dir(dir)); err != nil {
			return nil, fmt.Errorf("make the ledger folder: %w", err)
		}
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return nil, err
	}
	found, err := listSegments(dir)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("list the ledger folder: %w", err), lock.Close())
	}
	l := &Ledger{
		dir: dir, opts: opts, lock: lock, left: found.segments, kept: found.kept, last: found.last, wakeAt: 1,
		wake: make(chan struct{}, 1), dirtied: make(chan struct{}, 1), group: new(syncGroup),
	}
	l.synced.L = &l.mu
	l.buffers.New = func() any { return new(make([]byte, 0, usualBytes)) }
	l.committer = newCommitter(l)
	return l, nil
}

// Close ends the ledger after Run has returned. What is committed is removed, the rest stays for the next Recover.
func (l *Ledger) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy {
		return errors.New("ledger: closed before Run or Recover returned")
	}
	if l.lock == nil {
		return nil
	}
	wasServing := l.serving
	l.serving = false
	for l.syncing || l.dirty {
		l.settleSync()
	}
	var errs []error
	if wasServing {
		errs = append(errs, l.file.Close(), l.committer.close())
		if l.settled == l.records && len(l.committer.open) == 0 {
			for _, s := range l.segments {
				errs = append(errs, l.committer.drop(s.number))
			}
		}
	}
	errs = append(errs, l.lock.Close())
	l.lock = nil
	return errors.Join(errs...)
}

func (l *Ledger) path(number uint64) string { return filepath.Join(l.dir, segmentName(number)) }

// enter makes Recover and Run exclude each other.
func (l *Ledger) enter(what string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy || l.lock == nil {
		return fmt.Errorf("ledger: %s on a ledger that is closed, or already in Recover or Run", what)
	}
	l.busy = true
	return nil
}

func (l *Ledger) leave() {
	l.mu.Lock()
	l.busy = false
	l.mu.Unlock()
}
