package ledger

import (
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/usage"
)

func TestSegmentsGoOnceTheyAreCommitted(t *testing.T) {
	sink, dir := &table{refuse: errAway}, t.TempDir()
	l, _ := running(t, dir, Options{Sink: sink, SegmentBytes: 4 << 10})
	want := finish(t, l, 200)
	if n := len(files(t, dir)); n < 10 || n != l.Stats().Segments {
		t.Fatalf("%d files, %+v", n, l.Stats())
	}
	for _, name := range files(t, dir) {
		info, err := os.Stat(dir + "/" + name)
		must(t, err)
		if info.Size() > 4<<10 {
			t.Errorf("%s has %d bytes", name, info.Size())
		}
	}
	sink.set(nil, nil)
	flushed(t, l)
	same(t, sink.all(), want)
	if got := files(t, dir); len(got) != 1 {
		t.Errorf("after all is committed %v are left", got)
	}
}

func TestCallInFlightKeepsItsSegment(t *testing.T) {
	sink, dir := &table{}, t.TempDir()
	l, stop := running(t, dir, Options{Sink: sink, SegmentBytes: 2 << 10})
	long, longer := call(1), call(2)
	must(t, l.Begin(opening(long)))
	must(t, l.Begin(opening(longer)))
	segments := func() int { flushed(t, l); return l.Stats().Segments }
	for l.Stats().Segments < 3 {
		finish(t, l, 1)
	}
	if segments() != 3 || files(t, dir)[0] != segmentName(1) {
		t.Fatalf("with two calls of the first segment in flight: %v", files(t, dir))
	}
	must(t, l.Finish(long))
	if segments(); files(t, dir)[0] != segmentName(1) || l.Stats().InFlight != 1 {
		t.Fatalf("with one call of the first segment in flight: %v", files(t, dir))
	}
	must(t, l.Finish(longer))
	if got := segments(); got != 1 {
		t.Fatalf("with no call in flight %d segments stay: %v", got, files(t, dir))
	}

	last := call(3)
	must(t, l.Begin(opening(last)))
	must(t, stop())
	must(t, l.Close())
	_, report := recovered(t, dir, Options{Sink: sink})
	if got := sink.all(); report.Interrupted != 1 || got[len(got)-1] != interrupted(last) {
		t.Errorf("%+v, last %+v", report, got[len(got)-1])
	}
}

// Most of these calls are never finished: what they hold back must stay bounded, and none may vanish.
func TestCallsThatNeverEndAreCarriedAlong(t *testing.T) {
	sink, dir := &table{}, t.TempDir()
	l, stop := running(t, dir, Options{Sink: sink, SegmentBytes: 4 << 10})
	want := make(map[uuid.UUID]usage.Event)
	for range 5 {
		e := call(1)
		must(t, l.Begin(opening(e)))
		want[e.ID] = interrupted(e)
	}
	slow := call(2)
	must(t, l.Begin(opening(slow)))
	want[slow.ID] = *slow
	for range 40 {
		for _, e := range finish(t, l, 30) {
			want[e.ID] = e
		}
		flushed(t, l)
		if n := l.Stats().Segments; n > 3*longestTrain {
			t.Fatalf("%d segments are held back", n)
		}
	}
	if l.last < 4*longestTrain || files(t, dir)[0] == segmentName(1) {
		t.Fatalf("%d segments written, %v left: nothing was carried", l.last, files(t, dir))
	}
	if n := l.Stats().InFlight; n != 6 {
		t.Errorf("%d calls in flight, want 6", n)
	}
	must(t, l.Finish(slow))
	flushed(t, l)
	must(t, stop())
	must(t, l.Close())
	_, report := recovered(t, dir, Options{Sink: sink})
	checkSame(t, sink.all(), want)
	if report.Interrupted != 5 {
		t.Errorf("%+v, want 5 interrupted", report)
	}
}

func TestRecordCarriedBehindItsOwnEndPinsNothing(t *testing.T) {
	sink, dir := &table{}, t.TempDir()
	l, _ := recovered(t, dir, Options{Sink: sink})
	c := &l.committer
	e := call(1)
	must(t, l.Begin(opening(e)))
	must(t, c.advance(t.Context()))
	// The call finishes after the committer has seen it in flight, and before its record is written again.
	must(t, l.Finish(e))
	must(t, c.carryFrom(c.number))
	must(t, c.advance(t.Context()))
	if len(c.open)+len(c.pins)+len(c.carried) != 0 {
		t.Errorf("in flight %v, pins %v, carried %v", c.open, c.pins, c.carried)
	}
	abandon(t, l)
	recovered(t, dir, Options{Sink: sink})
	same(t, sink.all(), []usage.Event{*e})
}

func TestAgedSegmentIsLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink, dir := &table{}, t.TempDir()
		l, _ := running(t, dir, Options{Sink: sink, SegmentAge: time.Hour})
		want := finish(t, l, 3)
		time.Sleep(59 * time.Minute)
		synctest.Wait()
		if got := files(t, dir); !slices.Equal(got, []string{segmentName(1)}) {
			t.Fatalf("before its time: %v", got)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if s := l.Stats(); s.Segments != 1 || s.Bytes != 0 || !slices.Equal(files(t, dir), []string{segmentName(2)}) {
			t.Fatalf("after an hour: %+v, %v", s, files(t, dir))
		}
		want = append(want, finish(t, l, 1)...)
		flushed(t, l)
		same(t, sink.all(), want)
	})
}

// A segment whose bytes change behind the writer's back, as a failing disk changes them.
func TestDamageBehindTheWritersIsReportedAndKept(t *testing.T) {
	var seen logs
	sink, dir := &table{}, t.TempDir()
	l, _ := recovered(t, dir, Options{Sink: sink, SegmentBytes: 4 << 10, Log: seen.logger()})
	var made [5][]usage.Event // by segment
	for l.last < 4 {
		e := call(1)
		must(t, l.Finish(e))
		made[l.last] = append(made[l.last], *e)
	}
	path := dir + "/" + segmentName(1)
	b, err := os.ReadFile(path)
	must(t, err)
	b[headerBytes+30] ^= 1 // in the first record
	must(t, os.WriteFile(path, b, 0o600))
	must(t, os.Truncate(dir+"/"+segmentName(2), 10)) // nearly all of the second segment
	c := &l.committer
	for c.more = true; c.more; {
		must(t, c.advance(t.Context()))
	}
	same(t, sink.all(), slices.Concat(made[1][1:], made[3], made[4]))
	if s := l.Stats(); s.Lag() != 0 {
		t.Errorf("what is lost counts as lag: %+v", s)
	}
	if n := seen.count("unreadable records"); n != 2 {
		t.Errorf("damage in two places was reported %d times", n)
	}
	if got, want := files(t, dir), []string{segmentName(1) + corruptSuffix, segmentName(2) + corruptSuffix, segmentName(4)}; !slices.Equal(got, want) {
		t.Errorf("left %v, want %v", got, want)
	}
	if s := l.Stats(); s.KeptFiles != 2 || s.KeptBytes != int64(len(b)+10) || s.DamagedBytes <= 10 {
		t.Errorf("the damage is not told: %+v", s)
	}
	more := call(1)
	must(t, l.Finish(more))
	must(t, c.advance(t.Context()))
	if got := sink.all(); got[len(got)-1] != *more {
		t.Errorf("after the damage nothing more arrives: %+v", got[len(got)-1])
	}
	// The last file is damaged, too, and let go by Close.
	path = dir + "/" + segmentName(4)
	b, err = os.ReadFile(path)
	must(t, err)
	must(t, l.Finish(call(2)))
	must(t, os.Truncate(path, int64(len(b))))
	must(t, c.advance(t.Context()))
	must(t, l.Close())
	if got := files(t, dir); len(got) != 3 || got[2] != segmentName(4)+corruptSuffix {
		t.Errorf("left %v", got)
	}
}
