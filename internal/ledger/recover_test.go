package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/usage"
)

// spool writes records into a fresh folder's only segment and gives the file's bytes and each record's end.
func spool(t *testing.T, write func(l *Ledger, end func())) (b []byte, ends []int) {
	t.Helper()
	dir := t.TempDir()
	l, _ := recovered(t, dir, Options{Sink: &table{}})
	write(l, func() { ends = append(ends, int(l.written)) })
	abandon(t, l)
	b, err := os.ReadFile(filepath.Join(dir, segmentName(1)))
	must(t, err)
	return b, ends
}

func finished(t *testing.T, calls int) (b []byte, ends []int, made []usage.Event) {
	t.Helper()
	b, ends = spool(t, func(l *Ledger, end func()) {
		for i := range calls {
			e := call(i)
			must(t, l.Finish(e))
			made = append(made, *e)
			end()
		}
	})
	return b, ends, made
}

// left puts files as an earlier process would have left them into a fresh folder.
func left(t *testing.T, segments ...[]byte) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for i, b := range segments {
		must(t, os.WriteFile(filepath.Join(dir, segmentName(uint64(i+1))), b, 0o600))
	}
	return dir
}

// recoverAndClose recovers without leaving the ledger open, for loops.
func recoverAndClose(t *testing.T, dir string, sink Sink) Report {
	t.Helper()
	var seen logs
	l, err := Open(dir, Options{Sink: sink, Log: seen.logger()})
	must(t, err)
	report, err := l.Recover(t.Context())
	must(t, err)
	must(t, l.Close())
	if loud := report.CutBytes+report.SkippedBytes > 0; loud != (seen.count("level=") > 0) {
		t.Fatalf("%+v, and in the log:\n%s", report, seen.b.String())
	}
	return report
}

func TestRecoverTellsFinishedFromInterrupted(t *testing.T) {
	sink, dir := &table{}, t.TempDir()
	l, _ := recovered(t, dir, Options{Sink: sink, SegmentBytes: 1 << 10})
	want := make(map[uuid.UUID]usage.Event)
	var open []*usage.Event
	for i := range 30 {
		e := call(i)
		e.Streamed = i%2 == 0
		must(t, l.Begin(opening(e)))
		if i%3 == 0 {
			want[e.ID] = interrupted(e)
			continue
		}
		want[e.ID] = *e
		open = append(open, e)
	}
	for _, e := range open {
		must(t, l.Finish(e))
	}
	abandon(t, l)

	again, report := recovered(t, dir, Options{Sink: sink, BatchSize: 7})
	checkSame(t, sink.all(), want)
	if report.Replayed != 20 || report.Interrupted != 10 || report.CutBytes+report.SkippedBytes != 0 || report.Corrupt != nil {
		t.Errorf("%+v", report)
	}
	if got := sink.all(); slices.IndexFunc(got, func(e usage.Event) bool { return e.Status == usage.Interrupted }) != 20 {
		t.Error("interrupted calls were committed before finished ones")
	}
	if got := files(t, dir); len(got) != 1 {
		t.Errorf("old segments stay: %v", got)
	}
	if report, err := again.Recover(t.Context()); err != nil || report.Replayed != 0 {
		t.Errorf("a second Recover: %+v, %v", report, err)
	}
}

func TestTailCutAnywhereLosesOnlyTheLastRecord(t *testing.T) {
	b, ends, made := finished(t, 4)
	for cut := ends[2]; cut <= ends[3]; cut++ {
		sink := &table{}
		dir := left(t, b[:cut])
		report := recoverAndClose(t, dir, sink)
		want, lost := made[:3], int64(cut-ends[2])
		if cut == ends[3] {
			want, lost = made, 0
		}
		same(t, sink.all(), want)
		if report.CutBytes != lost || report.SkippedBytes != 0 || report.Replayed != len(want) || report.Corrupt != nil {
			t.Fatalf("cut at %d of %d: %+v", cut-ends[2], ends[3]-ends[2], report)
		}
		if got := files(t, dir); len(got) != 0 {
			t.Fatalf("files stay: %v", got)
		}
	}
}

func TestZerosAtTheEndAreACutTail(t *testing.T) {
	b, _, made := finished(t, 2)
	sink := &table{}
	report := recoverAndClose(t, left(t, append(b, make([]byte, 4096)...)), sink)
	same(t, sink.all(), made)
	if report.CutBytes != 4096 || report.Corrupt != nil {
		t.Errorf("%+v", report)
	}
}

func TestFlippedByteLosesOnlyItsRecordAndKeepsTheFile(t *testing.T) {
	b, ends, made := finished(t, 4)
	for at := ends[1]; at < ends[3]; at++ {
		hit := 2 // the record that is hit
		if at >= ends[2] {
			hit = 3
		}
		changed := slices.Clone(b)
		changed[at] ^= 0xff
		sink := &table{}
		dir := left(t, changed)
		report := recoverAndClose(t, dir, sink)
		same(t, sink.all(), slices.Delete(slices.Clone(made), hit, hit+1))
		size := int64(ends[hit] - ends[hit-1])
		want := Report{Replayed: 3, SkippedBytes: size}
		if hit == 3 {
			want = Report{Replayed: 3, CutBytes: size}
		}
		if report.Replayed != want.Replayed || report.SkippedBytes != want.SkippedBytes || report.CutBytes != want.CutBytes {
			t.Fatalf("byte %d of record %d: %+v, want %+v", at-ends[hit-1], hit, report, want)
		}
		// A last record whose length leads behind the file's end looks as if it had been cut, and keeps nothing.
		if hit == 2 || len(report.Corrupt) > 0 {
			kept, err := os.ReadFile(report.Corrupt[0])
			must(t, err)
			if !slices.Equal(kept, changed) {
				t.Fatalf("%v is not the file as it was", report.Corrupt)
			}
		}
	}
}

func TestHoleInAnOlderSegmentDoesNotHideTheRest(t *testing.T) {
	first, ends, made := finished(t, 6)
	second, _, after := finished(t, 2)
	clear(first[ends[1]+5 : ends[3]-5]) // as a page that never reached the disk
	sink := &table{}
	dir := left(t, first[:len(first)-3], second)
	report := recoverAndClose(t, dir, sink)
	same(t, sink.all(), slices.Concat(made[:2], made[4:5], after))
	if report.CutBytes != 0 || report.SkippedBytes != int64(ends[3]-ends[1]+len(first)-3-ends[4]) {
		t.Errorf("%+v", report)
	}
	if got, want := files(t, dir), []string{segmentName(1) + corruptSuffix}; !slices.Equal(got, want) {
		t.Errorf("left %v, want %v", got, want)
	}
	// A kept file's number is not given again.
	l, _ := recovered(t, dir, Options{Sink: sink})
	if l.last != 2 {
		t.Errorf("the next segment is %d", l.last)
	}
}

func TestWhatWasFoundAndKeptIsTold(t *testing.T) {
	first, ends, _ := finished(t, 3)
	first[ends[0]+headerBytes+20] ^= 1 // in the second record
	second, _, _ := finished(t, 2)
	dir := left(t, first, second[:len(second)-5])
	l := open(t, dir, Options{Sink: &table{}})
	if got := l.Recovered(); !got.Ended.IsZero() {
		t.Errorf("before Recover: %+v", got)
	}
	began := time.Now()
	report, err := l.Recover(t.Context())
	must(t, err)
	got := l.Recovered()
	if got.Replayed != 3 || got.CutBytes == 0 || got.SkippedBytes != int64(ends[1]-ends[0]) || !slices.Equal(got.Corrupt, report.Corrupt) ||
		got.Began.Before(began) || got.Ended.Before(got.Began) {
		t.Errorf("%+v", got)
	}
	kept := filepath.Join(dir, segmentName(1)+corruptSuffix)
	if !slices.Equal(got.Corrupt, []string{kept}) {
		t.Errorf("kept %v, want %s", got.Corrupt, kept)
	}
	count := func(l *Ledger, files int, bytes int64) {
		t.Helper()
		if s := l.Stats(); s.KeptFiles != files || s.KeptBytes != bytes || s.DamagedBytes != 0 {
			t.Errorf("want %d files of %d bytes: %+v", files, bytes, s)
		}
	}
	count(l, 1, int64(len(first)))
	must(t, l.Close())
	l, _ = recovered(t, dir, Options{Sink: &table{}})
	count(l, 1, int64(len(first)))
	must(t, os.Remove(kept)) // a person has looked at it
	count(l, 0, 0)
}

func TestRecoverNamesTheEventThatIsRefused(t *testing.T) {
	b, _, made := finished(t, 25)
	sink := &picky{dislike: made[17].ID}
	l := open(t, left(t, b), Options{Sink: sink, BatchSize: 10})
	if _, err := l.Recover(t.Context()); !errors.Is(err, errAway) || !strings.Contains(err.Error(), made[17].ID.String()) {
		t.Fatalf("Recover: %v", err)
	}
	same(t, sink.all(), made[:17])
	sink.hate(uuid.Nil)
	if report, err := l.Recover(t.Context()); err != nil || report.Replayed != 25 {
		t.Fatalf("%+v, %v", report, err)
	}
	same(t, sink.all(), made)
}

func TestALongRecoveryTellsHowFarItIs(t *testing.T) {
	b, _, _ := finished(t, 30)
	dir := left(t, b, b[:len(b)/2])
	synctest.Test(t, func(t *testing.T) {
		var seen logs
		recovered(t, dir, Options{Sink: slow{}, BatchSize: 1, Log: seen.logger()})
		if n := seen.count("recovering the ledger"); n < 3 || n > 5 {
			t.Errorf("told %d times in 45 s:\n%s", n, seen.b.String())
		}
	})
}

type slow struct{}

func (slow) CommitUsage(context.Context, []usage.Event) error {
	time.Sleep(time.Second)
	return nil
}

func TestRecordsInsideDamagedTextAreNotBelieved(t *testing.T) {
	forged := call(666)
	inner, err := appendRecord(nil, closed, forged)
	must(t, err)
	b, ends := spool(t, func(l *Ledger, end func()) {
		e := call(1)
		e.Model = string(inner)
		must(t, l.Finish(e))
		end()
		must(t, l.Finish(call(2)))
	})
	b[ends[0]-1] ^= 1
	sink := &table{}
	recoverAndClose(t, left(t, b), sink)
	if got := sink.all(); len(got) != 1 || got[0].ID == forged.ID {
		t.Errorf("%d events, the first %+v", len(got), got[0])
	}
}

func TestRecoverLeavesANewerVersionsLogAlone(t *testing.T) {
	b, ends, _ := finished(t, 2)
	b[ends[0]+headerBytes] = version + 1
	binary.LittleEndian.PutUint32(b[ends[0]+4:], crc32.Checksum(b[ends[0]+headerBytes:], castagnoli))
	dir := left(t, b)
	l := open(t, dir, Options{Sink: &table{}})
	if _, err := l.Recover(t.Context()); !errors.Is(err, errNewer) || !strings.Contains(err.Error(), segmentName(1)) {
		t.Fatalf("Recover: %v", err)
	}
	if err := l.Begin(call(1)); !errors.Is(err, ErrClosed) {
		t.Errorf("Begin: %v", err)
	}
	kept, err := os.ReadFile(filepath.Join(dir, segmentName(1)))
	if err != nil || !slices.Equal(kept, b) {
		t.Errorf("the file is not as it was: %v", err)
	}
}

func TestRecoverWithTheSinkAwayKeepsAllAndMayBeCalledAgain(t *testing.T) {
	b, _, made := finished(t, 25)
	for name, sink := range map[string]*table{"refused": {refuse: errAway}, "committed and denied": {deny: errAway}} {
		t.Run(name, func(t *testing.T) {
			dir := left(t, b)
			l := open(t, dir, Options{Sink: sink, BatchSize: 10})
			if _, err := l.Recover(t.Context()); !errors.Is(err, errAway) {
				t.Fatalf("Recover: %v", err)
			}
			if s := l.Stats(); s.Bytes != int64(len(b)) || s.Segments != 1 {
				t.Errorf("what waits is not shown: %+v", s)
			}
			sink.set(nil, nil)
			report, err := l.Recover(t.Context())
			if err != nil || report.Replayed != 25 {
				t.Fatalf("%+v, %v", report, err)
			}
			same(t, sink.all(), made)
		})
	}
}
