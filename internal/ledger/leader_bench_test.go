package ledger

import (
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// leader is the way that the ledger does not go: who finds nobody writing writes for all who have come meanwhile.
type leader struct {
	mu      sync.Mutex
	f       *os.File
	end     int64
	writing bool
	batch   *leaderBatch
	spare   []byte
}

type leaderBatch struct {
	records []byte
	done    chan struct{}
	err     error
}

func (l *leader) write(p []byte) error {
	l.mu.Lock()
	if l.batch == nil {
		l.batch = &leaderBatch{records: l.spare[:0], done: make(chan struct{})}
		l.spare = nil
	}
	mine := l.batch
	mine.records = append(mine.records, p...)
	if l.writing {
		l.mu.Unlock()
		<-mine.done
		return mine.err
	}
	l.writing = true
	for l.batch != nil {
		b := l.batch
		l.batch = nil
		if l.end > 16<<20 {
			l.end = 0
		}
		at := l.end
		l.end += int64(len(b.records))
		l.mu.Unlock()
		_, b.err = l.f.WriteAt(b.records, at)
		close(b.done)
		l.mu.Lock()
		l.spare = b.records
	}
	l.writing = false
	l.mu.Unlock()
	return mine.err
}

// BenchmarkLeaderWrites is BenchmarkBareWrites with a leader instead of a mutex held while writing.
func BenchmarkLeaderWrites(b *testing.B) {
	e := call(1)
	begun, _ := appendRecord(nil, opened, opening(e))
	finished, _ := appendRecord(nil, closed, e)
	f, err := os.Create(filepath.Join(b.TempDir(), "log"))
	must(b, err)
	defer f.Close()
	l := &leader{f: f}
	b.SetParallelism(32)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := l.write(begun); err != nil {
				b.Error(err)
			}
			if err := l.write(finished); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkCallsAtARate is what 64 callers wait for the ledger, each of whom makes a call every 32 ms: 2,000 a second.
func BenchmarkCallsAtARate(b *testing.B) {
	for _, policy := range []struct {
		name string
		sync Sync
	}{{"os", SyncOS}, {"interval", SyncInterval}, {"always", SyncAlways}} {
		b.Run(policy.name, func(b *testing.B) {
			l, _ := running(b, b.TempDir(), Options{Sink: swallow{}, Sync: policy.sync})
			const callers, every = 64, 32 * time.Millisecond
			var left atomic.Int64
			left.Store(int64(b.N))
			waited := make([][]time.Duration, callers)
			var all sync.WaitGroup
			b.ResetTimer()
			for n := range callers {
				all.Go(func() {
					time.Sleep(every * time.Duration(n) / callers)
					for tick := time.NewTicker(every); left.Add(-1) >= 0; <-tick.C {
						e := call(1)
						began := time.Now()
						if l.Begin(opening(e)) != nil || l.Finish(e) != nil {
							b.Error("refused")
						}
						waited[n] = append(waited[n], time.Since(began))
					}
				})
			}
			all.Wait()
			times := slices.Concat(waited...)
			slices.Sort(times)
			for name, share := range map[string]int{"p50": 500, "p99": 990, "p99.9": 999} {
				b.ReportMetric(float64(times[len(times)*share/1000].Nanoseconds())/1e3, "µs-"+name)
			}
		})
	}
}
