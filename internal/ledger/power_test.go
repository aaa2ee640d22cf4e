package ledger

import (
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/usage"
)

// volatileDisk makes files of which a power cut leaves what an fsync has confirmed.
type volatileDisk struct {
	mu    sync.Mutex
	files map[string]*volatileFile
}

type volatileFile struct {
	file
	d               *volatileDisk
	written, synced int64
}

func (d *volatileDisk) begin(path string, room int64) (file, error) {
	f, err := beginFile(path, room)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.files[path] = &volatileFile{file: f, d: d}
	return d.files[path], err
}

func (f *volatileFile) WriteAt(p []byte, at int64) (int, error) {
	n, err := f.file.WriteAt(p, at)
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.written = max(f.written, at+int64(n))
	return n, err
}

func (f *volatileFile) Sync() error {
	f.d.mu.Lock()
	begun := f.written
	f.d.mu.Unlock()
	err := f.file.Sync()
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.synced = max(f.synced, begun)
	return err
}

// cutPower copies what a power cut would leave at this moment.
func (d *volatileDisk) cutPower(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	d.mu.Lock()
	defer d.mu.Unlock()
	for path, f := range d.files {
		b, err := os.ReadFile(path)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, filepath.Base(path)), b[:f.synced], 0o600))
	}
	return dir
}

func TestAlwaysLosesNoAcknowledgedRecordToAPowerCut(t *testing.T) {
	d := &volatileDisk{files: map[string]*volatileFile{}}
	l, _ := recovered(t, t.TempDir(), Options{Sink: &table{}, Sync: SyncAlways, SegmentBytes: 32 << 10, begin: d.begin})
	var mu sync.Mutex
	acknowledged := make(map[uuid.UUID]usage.Event)
	note := func(e usage.Event) {
		mu.Lock()
		defer mu.Unlock()
		acknowledged[e.ID] = e
	}
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(acknowledged)
	}
	over := make(chan struct{})
	var callers sync.WaitGroup
	for n := range 16 {
		callers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-over:
					return
				default:
				}
				e := call(i)
				must(t, l.Begin(opening(e)))
				note(interrupted(e))
				if n > 0 || i%5 > 0 {
					must(t, l.Finish(e))
					note(*e)
				}
			}
		})
	}
	for range 10 {
		goal := count() + 100
		eventually(t, "calls are acknowledged", func() bool { return count() >= goal })
		mu.Lock()
		want := maps.Clone(acknowledged) // first: what is acknowledged from now on may be there
		mu.Unlock()
		sink := &table{}
		report := recoverAndClose(t, d.cutPower(t), sink)
		has := make(map[uuid.UUID]usage.Event)
		for _, e := range sink.all() {
			has[e.ID] = e
		}
		for id, w := range want {
			// A call that was under way may have finished before the power went.
			if got, there := has[id]; !there || got != w && w.Status != usage.Interrupted {
				t.Fatalf("there %v: %+v, acknowledged %+v; %+v", there, got, w, report)
			}
		}
	}
	close(over)
	callers.Wait()
}
