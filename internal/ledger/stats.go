package ledger

import "time"

// Stats is where the ledger stands, counted since the start.
type Stats struct {
	Finished  uint64        // events written
	Committed uint64        // of these, events that the sink has
	OldestAge time.Duration // since the oldest event not committed yet finished; 0 when there is none
	InFlight  int           // calls begun and not finished, as last read by Run
	Stalled   bool          // the last attempt to commit failed
	Segments  int
	Bytes     int64
}

// Lag is the number of events that wait to be committed.
func (s Stats) Lag() uint64 { return s.Finished - s.Committed }

// Stats is cheap enough for every scrape and every refresh of a page. Before Recover it shows what was found.
func (l *Ledger) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Stats{
		Finished: l.finished, Committed: l.committed, InFlight: l.inFlight, Stalled: l.stalled,
		Segments: len(l.left) + len(l.segments),
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

func (l *Ledger) setOldest(at time.Time) {
	l.mu.Lock()
	l.oldest = at
	l.mu.Unlock()
}
