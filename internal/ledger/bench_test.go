package ledger

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/usage"
)

// swallow is a Sink that costs nothing.
type swallow struct{}

func (swallow) CommitUsage(context.Context, []usage.Event) error { return nil }

// BenchmarkBeginFinish is what one call costs the hot path; "committed" has the committer running beside it.
func BenchmarkBeginFinish(b *testing.B) {
	for _, policy := range []struct {
		name string
		sync Sync
	}{{"os", SyncOS}, {"interval", SyncInterval}, {"always", SyncAlways}} {
		b.Run(policy.name, func(b *testing.B) {
			l, _ := running(b, b.TempDir(), Options{Sink: swallow{}, Sync: policy.sync})
			b.SetParallelism(32)
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				e := call(1)
				begun := opening(e)
				for n := int64(0); pb.Next(); n++ {
					e.Tokens.Input, e.Served.Input = n, n
					if err := l.Begin(begun); err != nil {
						b.Error(err)
					}
					if err := l.Finish(e); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

// BenchmarkBareWrites is the baseline of BenchmarkBeginFinish: two writes of records as long, made before, under a mutex.
func BenchmarkBareWrites(b *testing.B) {
	e := call(1)
	begun, _ := appendRecord(nil, opened, opening(e))
	finished, _ := appendRecord(nil, closed, e)
	f, err := os.Create(filepath.Join(b.TempDir(), "log"))
	must(b, err)
	defer f.Close()
	var mu sync.Mutex
	end := int64(0)
	write := func(p []byte) {
		mu.Lock()
		defer mu.Unlock()
		if end > 16<<20 {
			if err := f.Truncate(0); err != nil {
				b.Error(err)
			}
			end = 0
		}
		n, err := f.WriteAt(p, end)
		if err != nil {
			b.Error(err)
		}
		end += int64(n)
	}
	b.SetParallelism(32)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			write(begun)
			write(finished)
		}
	})
}

// BenchmarkEncode is the part of it that does not touch the log.
func BenchmarkEncode(b *testing.B) {
	e := call(1)
	var scratch [usualBytes]byte
	b.ReportAllocs()
	for b.Loop() {
		if _, err := appendRecord(scratch[:0], closed, e); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReadBack is the committer's pace: calls a second from the files to a Sink that costs nothing.
func BenchmarkReadBack(b *testing.B) {
	const calls = 20_000
	l, _ := recovered(b, b.TempDir(), Options{Sink: swallow{}, SegmentAge: time.Hour})
	c := &l.committer
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		for i := range calls {
			e := call(i)
			if err := l.Begin(opening(e)); err != nil {
				b.Fatal(err)
			}
			if err := l.Finish(e); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
		for c.more = true; c.more; {
			if err := c.advance(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(calls*float64(b.N)/b.Elapsed().Seconds(), "calls/s")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(calls*b.N), "ns/call")
}
