package ledger

import (
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/usage"
)

// disk makes files that fail as it is told. Its fields are set before use or through the atomics.
type disk struct {
	room      atomic.Int64 // bytes that may still be written
	full      atomic.Bool  // no further file can be begun
	begun     atomic.Int64 // how often one was asked for
	syncs     atomic.Int64
	failSyncs atomic.Int64 // how many more fsyncs fail
	stuck     atomic.Bool  // torn ends cannot be cut
	onSync    func()
}

func newDisk(room int64) *disk {
	d := &disk{}
	d.room.Store(room)
	return d
}

func (d *disk) begin(path string, room int64) (file, error) {
	d.begun.Add(1)
	if d.full.Load() {
		return nil, syscall.ENOSPC
	}
	f, err := beginFile(path, room)
	return diskFile{f, d}, err
}

type diskFile struct {
	file
	d *disk
}

func (f diskFile) WriteAt(p []byte, off int64) (int, error) {
	if left := f.d.room.Add(-int64(len(p))); left < 0 {
		fits := max(0, int64(len(p))+left)
		n, err := f.file.WriteAt(p[:fits], off)
		return n, errors.Join(syscall.ENOSPC, err)
	}
	return f.file.WriteAt(p, off)
}

func (f diskFile) Truncate(size int64) error {
	if f.d.stuck.Load() {
		return syscall.EIO
	}
	return f.file.Truncate(size)
}

func (f diskFile) Reserve(room int64) error {
	if f.d.full.Load() {
		return syscall.ENOSPC
	}
	return f.file.Reserve(room)
}

func (f diskFile) Sync() error {
	f.d.syncs.Add(1)
	if f.d.onSync != nil {
		f.d.onSync()
	}
	if f.d.failSyncs.Add(-1) >= 0 {
		return syscall.EIO
	}
	return f.file.Sync()
}

const plenty = 1 << 40

func TestConcurrentCallsAllArriveOnce(t *testing.T) {
	for name, opts := range map[string]Options{
		"left to the system": {Sync: SyncOS}, "synced at intervals": {Sync: SyncInterval}, "synced each": {Sync: SyncAlways},
	} {
		t.Run(name, func(t *testing.T) {
			sink := &table{}
			opts.Sink, opts.SegmentBytes = sink, 64<<10
			dir := t.TempDir()
			l, stop := running(t, dir, opts)
			want := together(t, l, 16, 100)
			flushed(t, l)
			checkSame(t, sink.all(), want)
			must(t, stop())
			if s := l.Stats(); s.Finished != uint64(len(want)) || s.Lag() != 0 || s.InFlight != 0 || s.OldestAge != 0 {
				t.Errorf("after all is committed: %+v", s)
			}
			must(t, l.Close())
			if left := files(t, dir); len(left) > 0 {
				t.Errorf("a drained ledger leaves %v", left)
			}
		})
	}
}

// together makes callers times calls calls and gives what was acknowledged: the finished event, or the interrupted one
// where Finish failed.
func together(t testing.TB, l *Ledger, callers, calls int) map[uuid.UUID]usage.Event {
	t.Helper()
	var mu sync.Mutex
	acknowledged := make(map[uuid.UUID]usage.Event)
	note := func(e usage.Event) {
		mu.Lock()
		defer mu.Unlock()
		acknowledged[e.ID] = e
	}
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for i := range calls {
				e := call(i)
				if l.Begin(opening(e)) != nil {
					continue
				}
				note(interrupted(e))
				if l.Finish(e) == nil {
					note(*e)
				}
			}
		})
	}
	all.Wait()
	return acknowledged
}

func checkSame(t testing.TB, got []usage.Event, want map[uuid.UUID]usage.Event) {
	t.Helper()
	byID := make(map[uuid.UUID]usage.Event)
	for _, e := range got {
		byID[e.ID] = e
	}
	if len(byID) != len(got) {
		t.Fatalf("%d events for %d ids", len(got), len(byID))
	}
	if maps.Equal(byID, want) {
		return
	}
	for id, w := range want {
		if g, there := byID[id]; !there || g != w {
			t.Fatalf("%d events, want %d; one there %v:\n got %+v\nwant %+v", len(byID), len(want), there, g, w)
		}
	}
	t.Fatalf("%d events, want %d", len(byID), len(want))
}

func TestFullDiskRefusesExactlyWhatDidNotFit(t *testing.T) {
	for name, policy := range map[string]Sync{"left to the system": SyncOS, "synced each": SyncAlways} {
		t.Run(name, func(t *testing.T) {
			sink, d, dir := &table{}, newDisk(60_000), t.TempDir()
			l, _ := recovered(t, dir, Options{Sink: sink, Sync: policy, SegmentBytes: 20_000, begin: d.begin})
			want := together(t, l, 8, 100)
			if len(want) == 0 || len(want) == 800 {
				t.Fatalf("%d of 800 calls were begun: the disk did not become full in between", len(want))
			}
			d.room.Store(plenty) // someone makes room
			maps.Copy(want, together(t, l, 8, 20))

			abandon(t, l)
			_, report := recovered(t, dir, Options{Sink: sink})
			checkSame(t, sink.all(), want)
			if report.CutBytes+report.SkippedBytes != 0 {
				t.Errorf("refused records left something behind: %+v", report)
			}
		})
	}
}

func TestTornEndThatCannotBeCutRefusesRecordsUntilItCan(t *testing.T) {
	sink, d, dir := &table{}, newDisk(plenty), t.TempDir()
	l, _ := recovered(t, dir, Options{Sink: sink, begin: d.begin})
	first, second, third := call(1), call(2), call(3)
	must(t, l.Finish(first))
	d.stuck.Store(true)
	d.room.Store(20)
	if err := l.Finish(second); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("a record that did not fit: %v", err)
	}
	d.room.Store(plenty)
	if err := l.Finish(second); !errors.Is(err, syscall.EIO) {
		t.Fatalf("a record behind a torn end: %v", err)
	}
	d.stuck.Store(false)
	must(t, l.Finish(third))
	abandon(t, l)
	recovered(t, dir, Options{Sink: sink})
	same(t, sink.all(), []usage.Event{*first, *third})
}

func TestWithoutAFurtherFileNothingBeginsButAllFinishes(t *testing.T) {
	sink, d := &table{}, newDisk(plenty)
	l, _ := running(t, t.TempDir(), Options{Sink: sink, SegmentBytes: 8_000, begin: d.begin})
	d.full.Store(true)
	want := make(map[uuid.UUID]usage.Event)
	var refusal error
	for i := 0; refusal == nil; i++ {
		e := call(i)
		if refusal = l.Begin(opening(e)); refusal == nil {
			want[e.ID] = *e
		}
	}
	if !errors.Is(refusal, syscall.ENOSPC) {
		t.Fatal(refusal)
	}
	for _, once := range []*usage.Event{answered(1), call(1)} {
		if err := l.Once(once); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("an answer of the cache took the room of calls under way: %v", err)
		}
	}
	ways := 0
	for id, e := range want { // whoever answered in the end: what was begun has its room
		e.Cache = usage.Cache(ways % 4)
		ways++
		must(t, l.Finish(&e))
		want[id] = e
	}
	tried := d.begun.Load()
	for range 100 {
		if err := l.Begin(call(1)); !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
	if n := d.begun.Load() - tried; n > 50 {
		t.Errorf("100 calls asked a full disk for a file %d times", n)
	}
	d.full.Store(false)
	e := call(1)
	want[e.ID] = *e
	eventually(t, "calls are begun again", func() bool { return l.Begin(opening(e)) == nil })
	must(t, l.Finish(e))
	hit := answered(2)
	want[hit.ID] = *hit
	must(t, l.Once(hit))
	flushed(t, l)
	checkSame(t, sink.all(), want)
}

func TestATornEndDoesNotCostTheRoomOfCallsUnderWay(t *testing.T) {
	for name, taken := range map[string]bool{"there still": false, "taken by others": true} {
		t.Run(name, func(t *testing.T) {
			d, dir := newDisk(plenty), t.TempDir()
			l, _ := recovered(t, dir, Options{Sink: &table{}, SegmentBytes: 1 << 20, begin: d.begin})
			must(t, l.Begin(opening(call(1))))
			d.full.Store(taken)
			d.room.Store(20)
			if err := l.Begin(call(2)); !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			d.room.Store(plenty)
			var info syscall.Stat_t
			must(t, syscall.Stat(l.path(l.last), &info))
			if reserved := info.Blocks*512 >= 1<<20+1<<18; info.Size != l.written || reserved == taken {
				t.Errorf("%d bytes of records in a file of %d, which has %d of the disk", l.written, info.Size, info.Blocks*512)
			}
			must(t, l.Finish(call(1)))
		})
	}
}

func TestBeginFileReservesItsRoom(t *testing.T) {
	path := filepath.Join(t.TempDir(), "segment")
	f, err := beginFile(path, 1<<20)
	must(t, err)
	must(t, f.Close())
	var info syscall.Stat_t
	must(t, syscall.Stat(path, &info))
	if info.Size != 0 || info.Blocks*512 < 1<<20 {
		t.Errorf("size %d with %d bytes reserved, want an empty file with 1 MiB", info.Size, info.Blocks*512)
	}
	if _, err := beginFile(path, 1<<60); err == nil {
		t.Error("more room than any disk has was reserved")
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that could not be begun stays: %v", err)
	}
}

func TestFailedSyncWithdrawsWhatItDidNotConfirm(t *testing.T) {
	sink, d, dir := &table{}, newDisk(plenty), t.TempDir()
	l, _ := recovered(t, dir, Options{Sink: sink, Sync: SyncAlways, begin: d.begin})
	kept := call(1)
	must(t, l.Finish(kept))
	d.failSyncs.Store(1)
	if n := acknowledged(meetInSync(t, l, d, 5)); n != 0 {
		t.Errorf("%d of one caller whose fsync failed and 5 who wrote meanwhile were acknowledged", n)
	}
	d.onSync = nil
	if s := l.Stats(); s.Finished != 1 {
		t.Errorf("%d events count as written, want 1", s.Finished)
	}
	abandon(t, l)
	again, report := recovered(t, dir, Options{Sink: sink, Sync: SyncAlways})
	same(t, sink.all(), []usage.Event{*kept})
	if report.CutBytes+report.SkippedBytes != 0 {
		t.Errorf("refused records left something behind: %+v", report)
	}
	must(t, again.Finish(call(2)))
}

func TestCallersWhoComeTogetherShareOneSync(t *testing.T) {
	d := newDisk(plenty)
	l, _ := recovered(t, t.TempDir(), Options{Sink: &table{}, Sync: SyncAlways, begin: d.begin})
	if n := acknowledged(meetInSync(t, l, d, 20)); n != 21 || l.Stats().Finished != 21 {
		t.Errorf("%d callers were acknowledged, %+v", n, l.Stats())
	}
	if n := d.syncs.Load(); n != 2 {
		t.Errorf("%d fsyncs for one caller and 20 behind it, want 2", n)
	}
}

// meetInSync has one caller of Finish in an fsync while others write, lets it end, and gives what each was told.
func meetInSync(t *testing.T, l *Ledger, d *disk, others int) (told []error) {
	t.Helper()
	entered, gate := make(chan struct{}, others+1), make(chan struct{})
	d.onSync = func() { entered <- struct{}{}; <-gate }
	before := l.Stats().Finished
	told = make([]error, others+1)
	var all sync.WaitGroup
	all.Go(func() { told[others] = l.Finish(call(1)) })
	<-entered
	for i := range others {
		all.Go(func() { told[i] = l.Finish(call(1)) })
	}
	eventually(t, "all others have written", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.group.records == uint64(others)
	})
	if after := l.Stats().Finished; after != before {
		t.Errorf("%d events count as written before the disk has them", after-before)
	}
	close(gate)
	all.Wait()
	return told
}

func acknowledged(errs []error) (n int) {
	for _, err := range errs {
		if err == nil {
			n++
		}
	}
	return n
}

func TestIntervalSyncsWhatWasWrittenWithoutHoldingCallers(t *testing.T) {
	d := newDisk(plenty)
	d.failSyncs.Store(plenty)
	var seen logs
	l, stop := running(t, t.TempDir(), Options{Sink: &table{}, Sync: SyncInterval, Log: seen.logger(), begin: d.begin})
	for range 3 {
		before := d.syncs.Load()
		must(t, l.Finish(call(1)))
		eventually(t, "the record is synced", func() bool { return d.syncs.Load() > before })
	}
	must(t, stop())
	if n := seen.count("does not reach the disk"); n != 1 {
		t.Errorf("a disk that fails three times is reported %d times", n)
	}
}

func TestRecordsAreRefusedOutsideRecoverAndClose(t *testing.T) {
	l := open(t, t.TempDir(), Options{Sink: &table{}})
	if err := l.Begin(call(1)); !errors.Is(err, ErrClosed) {
		t.Errorf("before Recover: %v", err)
	}
	if err := l.Run(t.Context()); err == nil {
		t.Error("Run before Recover did not fail")
	}
	_, err := l.Recover(t.Context())
	must(t, err)
	must(t, l.Begin(call(1)))
	must(t, l.Close())
	if err := l.Finish(call(1)); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestOpenRefusesAFolderInUse(t *testing.T) {
	dir := t.TempDir()
	l, _ := recovered(t, dir, Options{Sink: &table{}})
	ask := func() string {
		child := exec.CommandContext(context.Background(), os.Args[0])
		child.Env = append(os.Environ(), "LEDGER_TEST_CHILD=lock", "LEDGER_TEST_DIR="+dir)
		out, err := child.CombinedOutput()
		must(t, err)
		return strings.TrimSpace(string(out))
	}
	if got, want := ask(), "the ledger folder "+dir+" is in use by another process"; got != want {
		t.Errorf("the second process gets %q, want %q", got, want)
	}
	must(t, l.Close())
	if got := ask(); got != "open" {
		t.Errorf("once the folder is free the second process gets %q", got)
	}
}

func lockingChild(dir string) {
	if _, err := Open(dir, Options{Sink: &table{}}); err != nil {
		os.Stdout.WriteString(err.Error())
		return
	}
	os.Stdout.WriteString("open")
}

func TestOpenRefusesOptionsThatCannotWork(t *testing.T) {
	for name, opts := range map[string]Options{"no sink": {}, "unknown policy": {Sink: &table{}, Sync: SyncAlways + 1}} {
		if _, err := Open(t.TempDir(), opts); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestListSegmentsKnowsItsOwnFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"00000012.log", "00000003.log", "00000040.log.corrupt", "lock", "7.log", "+0000009.log", "a.log", "100000000.log"} {
		must(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	found, err := listSegments(dir)
	must(t, err)
	var numbers []uint64
	for _, s := range found.segments {
		numbers = append(numbers, s.number)
	}
	if want := []uint64{3, 12, 100000000}; !slices.Equal(numbers, want) || found.last != 100000000 || len(found.kept) != 1 || found.kept[0].number != 40 {
		t.Errorf("found %v, %+v, want %v", numbers, found, want)
	}
}
