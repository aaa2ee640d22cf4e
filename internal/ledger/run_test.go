package ledger

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/usage"
)

var errAway = errors.New("the database is away")

func finish(t testing.TB, l *Ledger, calls int) []usage.Event {
	t.Helper()
	made := make([]usage.Event, calls)
	for i := range made {
		e := call(i)
		must(t, l.Begin(opening(e)))
		must(t, l.Finish(e))
		made[i] = *e
	}
	return made
}

func TestSinkThatWasAwayGetsAllInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen logs
		sink := &table{refuse: errAway}
		l, _ := running(t, t.TempDir(), Options{Sink: sink, SegmentBytes: 16 << 10, Log: seen.logger()})
		want := finish(t, l, 100)
		time.Sleep(time.Hour) // of the bubble's clock
		want = append(want, finish(t, l, 2500)...)
		time.Sleep(time.Hour)
		if n := sink.tried(); n < 1000 || n > 4000 {
			t.Errorf("%d attempts in two hours, want one every 2.5 to 5 s", n)
		}
		s := l.Stats()
		if !s.Stalled || s.Lag() != 2600 || s.OldestAge.Round(time.Minute) != 2*time.Hour || s.Segments < 10 {
			t.Errorf("while the sink is away: %+v", s)
		}
		if n := seen.count("usage events wait in the ledger"); n != 1 {
			t.Errorf("the outage was reported %d times", n)
		}

		sink.set(nil, nil)
		flushed(t, l)
		same(t, sink.all(), want)
		synctest.Wait() // the last file has aged meanwhile
		if s := l.Stats(); s.Stalled || s.Lag() != 0 || s.OldestAge != 0 || s.Segments != 1 {
			t.Errorf("once the sink is back: %+v", s)
		}
		if n := seen.count("usage events are committed again"); n != 1 {
			t.Errorf("the end of the outage was reported %d times", n)
		}
		for _, n := range sink.batches {
			if n > 1000 {
				t.Errorf("a batch of %d events", n)
			}
		}
	})
}

func TestSpoolDoesNotGrowInMemory(t *testing.T) {
	sink := &table{refuse: errAway}
	l, stop := running(t, t.TempDir(), Options{Sink: sink, SegmentBytes: 1 << 20})
	finish(t, l, 2000)
	eventually(t, "a first attempt", func() bool { return sink.tried() > 0 })
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for i := range 50_000 {
		e := call(i)
		must(t, l.Begin(opening(e)))
		must(t, l.Finish(e))
	}
	grown := int64(heap()) - int64(before)
	if spooled := l.Stats().Bytes; spooled < 8<<20 || grown > spooled/8 {
		t.Errorf("memory grew by %d bytes while %d were spooled", grown, spooled)
	}
	if err := stop(); !errors.Is(err, errAway) {
		t.Errorf("Run ends with %v, want it to say what stays", err)
	}
}

func TestSinkThatCommitsAndReportsAnErrorIsGivenTheSameAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &table{deny: errAway}
		l, _ := running(t, t.TempDir(), Options{Sink: sink, BatchSize: 10})
		synctest.Wait() // Run is idle, and will wait for a full batch
		want := finish(t, l, 25)
		time.Sleep(time.Minute)
		same(t, sink.all(), want[:10])
		if len(sink.batches) < 3 {
			t.Fatalf("the batch came %d times", len(sink.batches))
		}
		sink.set(nil, nil)
		flushed(t, l)
		same(t, sink.all(), want)
	})
}

// picky refuses batches with an event that it does not like, and with too many for its time.
type picky struct {
	table
	dislike uuid.UUID
	most    int
}

func (p *picky) CommitUsage(ctx context.Context, events []usage.Event) error {
	p.mu.Lock()
	dislike := p.dislike
	p.mu.Unlock()
	if p.most > 0 && len(events) > p.most {
		return context.DeadlineExceeded
	}
	if slices.ContainsFunc(events, func(e usage.Event) bool { return e.ID == dislike }) {
		return errAway
	}
	return p.table.CommitUsage(ctx, events)
}

func (p *picky) hate(id uuid.UUID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dislike = id
}

func TestASinkTooSlowForABatchGetsSmallerOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &picky{most: 3}
		l, _ := running(t, t.TempDir(), Options{Sink: sink, BatchSize: 100})
		want := finish(t, l, 1000)
		must(t, l.Flush(t.Context()))
		same(t, sink.all(), want)
		if s := l.Stats(); s.Lag() != 0 || s.Stalled {
			t.Errorf("%+v", s)
		}
	})
}

func TestAnEventThatIsRefusedIsNamedAndHoldsBackNoneBeforeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen logs
		sink := &picky{}
		l, _ := running(t, t.TempDir(), Options{Sink: sink, BatchSize: 100, Log: seen.logger()})
		bad := call(0)
		sink.hate(bad.ID)
		want := finish(t, l, 77)
		must(t, l.Finish(bad))
		after := finish(t, l, 50)
		time.Sleep(10 * time.Minute)
		same(t, sink.all(), want)
		if n := seen.count(bad.ID.String()); n != 1 {
			t.Errorf("the event is named %d times:\n%s", n, seen.b.String())
		}
		if age := l.Stats().OldestAge.Round(time.Minute); age != 10*time.Minute {
			t.Errorf("the oldest that waits is %s old", age)
		}
		sink.hate(uuid.Nil) // the program was mended
		flushed(t, l)
		same(t, sink.all(), slices.Concat(want, []usage.Event{*bad}, after))
	})
}

func TestBatchGoesWhenItIsOldOrFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &table{}
		l, _ := running(t, t.TempDir(), Options{Sink: sink, BatchSize: 10, BatchAge: 80 * time.Millisecond})
		time.Sleep(time.Minute) // idle
		finish(t, l, 1)
		time.Sleep(30 * time.Millisecond)
		finish(t, l, 2)
		time.Sleep(49 * time.Millisecond)
		if got := sink.all(); len(got) != 0 {
			t.Fatalf("%d events went before the batch was 80 ms old", len(got))
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		if got := sink.all(); len(got) != 3 {
			t.Fatalf("%d events were there after 81 ms, want 3", len(got))
		}
		time.Sleep(time.Minute)
		finish(t, l, 10)
		synctest.Wait()
		if want := []int{3, 10}; !slices.Equal(sink.batches, want) {
			t.Fatalf("batches of %v, want %v, the full one at once", sink.batches, want)
		}
	})
}

func TestIdleLedgerDoesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &table{}
		l, _ := running(t, t.TempDir(), Options{Sink: sink})
		finish(t, l, 1)
		flushed(t, l)
		time.Sleep(time.Hour)
		synctest.Wait()
		l.mu.Lock()
		defer l.mu.Unlock()
		if wait := l.committer.patience(0, time.Now()); wait >= 0 {
			t.Errorf("an idle ledger will wake in %v", wait)
		}
		if n := sink.tried(); n != 1 {
			t.Errorf("%d commits of one event", n)
		}
	})
}

func TestFlushHurriesAndGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &table{}
		l, _ := running(t, t.TempDir(), Options{Sink: sink, BatchAge: time.Hour})
		flushed(t, l) // nothing to wait for
		want := finish(t, l, 3)
		began := time.Now()
		flushed(t, l)
		same(t, sink.all(), want)
		if waited := time.Since(began); waited > 0 {
			t.Errorf("Flush waited %v for the batch's age", waited)
		}

		sink.set(errAway, nil)
		finish(t, l, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := l.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Flush with the sink away: %v", err)
		}
		sink.set(nil, nil)
		flushed(t, l)
	})
}

func TestRunDrainsWhenItIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &table{}
		l, stop := running(t, t.TempDir(), Options{Sink: sink, BatchSize: 10, BatchAge: time.Hour})
		want := finish(t, l, 5)
		synctest.Wait()
		must(t, stop())
		same(t, sink.all(), want)
	})
}

func TestRunDrainsWhatCameBehindABatchThatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &table{refuse: errAway}
		l, stop := running(t, t.TempDir(), Options{Sink: sink})
		want := finish(t, l, 5)
		time.Sleep(time.Minute)
		want = append(want, finish(t, l, 5)...)
		sink.set(nil, nil)
		must(t, stop())
		same(t, sink.all(), want)
	})
}

func TestRunGivesUpOnASinkThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &table{}
		hangs := &hanging{table: sink}
		dir := t.TempDir()
		l, stop := running(t, dir, Options{Sink: hangs, CommitTimeout: time.Minute, DrainTimeout: 3 * time.Second})
		want := finish(t, l, 5)
		time.Sleep(10 * time.Minute)
		if n := hangs.attempts.Load(); n < 5 {
			t.Errorf("%d attempts in ten minutes: one that hangs is not given up", n)
		}
		began := time.Now()
		if err := stop(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Run ends with %v", err)
		}
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("Run took %v to end, want the 3 s of DrainTimeout", took)
		}
		must(t, l.Close())
		recovered(t, dir, Options{Sink: sink})
		same(t, sink.all(), want)
	})
}

type hanging struct {
	*table
	attempts atomic.Int64
}

func (h *hanging) CommitUsage(ctx context.Context, _ []usage.Event) error {
	h.attempts.Add(1)
	<-ctx.Done()
	return ctx.Err()
}

// What the cache answers is one record: it is committed, and after a crash replayed, as any other call.
func TestCallsThatWereNeverBegunAreCommittedAndReplayed(t *testing.T) {
	sink, dir := &table{}, t.TempDir()
	l, stop := running(t, dir, Options{Sink: sink, BatchSize: 10, SegmentBytes: 4 << 10})
	want := make(map[uuid.UUID]usage.Event)
	record := func(calls int) {
		for i := range calls {
			e, record := answered(i), l.Once
			if i%3 == 0 {
				e, record = call(i), l.Finish
				must(t, l.Begin(opening(e)))
			}
			must(t, record(e))
			want[e.ID] = *e
		}
	}
	record(100)
	flushed(t, l)
	checkSame(t, sink.all(), want)
	if s := l.Stats(); s.InFlight != 0 || s.Lag() != 0 || s.Finished != 100 {
		t.Errorf("%+v", s)
	}
	eventually(t, "committed files go", func() bool { return len(files(t, dir)) == 1 })

	must(t, stop())
	record(50)
	abandon(t, l)
	_, report := recovered(t, dir, Options{Sink: sink})
	checkSame(t, sink.all(), want)
	if report.Interrupted != 0 || report.Replayed < 50 {
		t.Errorf("%+v", report)
	}
}
