package ledger

import (
	"context"
	"fmt"
	"time"
)

// syncGroup is the callers whom one fsync will answer.
type syncGroup struct {
	done              bool
	err               error
	records, finished uint64
}

// awaitSync returns when the caller's record, the last written, is on the disk. The first of those who find no fsync
// under way does it for all who wrote before it began.
func (l *Ledger) awaitSync(k kind) error {
	l.dirty = true
	g := l.group
	g.records++
	if k == closed {
		g.finished++
	}
	for !g.done {
		l.settleSync()
	}
	return g.err
}

// settleSync waits for the fsync that is under way, or else does one. The mutex is held, and let go meanwhile.
func (l *Ledger) settleSync() {
	if l.syncing {
		l.synced.Wait()
	} else {
		l.fsync()
	}
}

// fsync forces what is written to the disk and tells those whom it concerns. The mutex is held, and let go meanwhile.
func (l *Ledger) fsync() {
	g, f, end := l.group, l.file, l.written
	l.group = new(syncGroup)
	l.syncing, l.dirty = true, false
	l.mu.Unlock()
	err := f.Sync()
	l.mu.Lock()
	l.syncing = false
	if err != nil {
		err = fmt.Errorf("sync ledger segment %d: %w", l.last, err)
	}
	if l.opts.Sync == SyncAlways {
		l.answer(g, end, err)
	} else if err != nil && !l.syncFailing {
		l.opts.Log.Error("the ledger does not reach the disk: a power cut may lose records", "error", err)
	}
	l.syncFailing = err != nil
	l.synced.Broadcast()
}

// answer tells the group how its fsync ended. After a failure nobody knows what reached the disk, so all that was not
// acknowledged is withdrawn, with those who have written meanwhile.
func (l *Ledger) answer(g *syncGroup, end int64, err error) {
	g.done, g.err = true, err
	if err == nil {
		l.acknowledge(end, g.records, g.finished)
		return
	}
	l.group.done, l.group.err = true, err
	l.group = new(syncGroup)
	l.dirty = false
	l.written = l.segments[len(l.segments)-1].size
	l.torn = true
	if err := l.heal(); err != nil {
		l.opts.Log.Error("withdraw records from the ledger", "error", err) // tried again before the next record
	}
}

// syncLoop is SyncInterval: one fsync for what was written in the interval after a first record.
func (l *Ledger) syncLoop(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return // Close forces the rest
		case <-l.dirtied:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(l.opts.SyncEvery):
		}
		l.mu.Lock()
		if l.dirty && !l.syncing {
			l.fsync()
		}
		l.mu.Unlock()
	}
}
