package ledger

import (
	"os"
	"slices"
	"time"
)

// Stats is where the ledger stands, counted since the start.
type Stats struct {
	Finished  uint64        // events written
	Committed uint64        // of these, events that the sink has
	OldestAge time.Duration // since the oldest event not committed yet finished; 0 when there is none
	InFlight  int           // calls begun and not finished, as last read by Run
	Stalled   bool          // the last attempt to commit failed
	Segments  int
	Bytes     int64

	Refusing     bool  // no further file could be begun: calls are refused, those under way end
	SyncFailing  bool  // the last fsync failed: a power cut may lose what is written
	DamagedBytes int64 // what could not be read back since the start, as opposed to what Recover found
	KeptFiles    int   // damaged files that were kept for a person to look at, and have not been taken away
	KeptBytes    int64
}

// Lag is the number of events that wait to be committed.
func (s Stats) Lag() uint64 { return s.Finished - s.Committed }

// Stats is cheap enough for every scrape and every refresh of a page. Before Recover it shows what was found.
func (l *Ledger) Stats() Stats {
	files, bytes := l.countKept()
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Stats{
		Finished: l.finished, Committed: l.committed, InFlight: l.inFlight, Stalled: l.stalled,
		Segments: len(l.left) + len(l.segments), Refusing: l.refusal != nil, SyncFailing: l.syncFailing,
		DamagedBytes: l.damage, KeptFiles: files, KeptBytes: bytes,
	}
	if !l.oldest.IsZero() {
		s.OldestAge = max(0, time.Since(l.oldest))
	}
	for _, segments := range [][]segment{l.left, l.segments} {
		for _, seg := range segments {
			s.Bytes += seg.size
		}
	}
	return s
}

// Recovered gives what the Recover that succeeded has found; its Ended is zero before.
func (l *Ledger) Recovered() Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.report
}

// keep notes a file that was set aside.
func (l *Ledger) keep(s segment) {
	l.keptMu.Lock()
	defer l.keptMu.Unlock()
	l.kept = append(l.kept, s)
}

// countKept looks which of the files that were set aside are still there: a person may have taken them away.
func (l *Ledger) countKept() (files int, bytes int64) {
	l.keptMu.Lock()
	kept := slices.Clone(l.kept)
	l.keptMu.Unlock()
	for _, s := range kept {
		if _, err := os.Lstat(l.path(s.number) + corruptSuffix); err == nil {
			files++
			bytes += s.size
		}
	}
	return files, bytes
}

func (l *Ledger) setOldest(at time.Time) {
	l.mu.Lock()
	l.oldest = at
	l.mu.Unlock()
}
