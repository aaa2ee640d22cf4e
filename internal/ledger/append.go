package ledger

import (
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/fila-ia/filaia/internal/usage"
)

const (
	usualBytes = 512      // a new buffer: any ordinary record fits
	keptBytes  = 64 << 10 // a giant's buffer is not kept

	rotateAgain = 100 * time.Millisecond // a full disk takes its time to say no, and everyone waits for that
)

// Begin records that the provider is about to be called. On an error nothing was recorded: the call must not be made.
func (l *Ledger) Begin(e *usage.Event) error { return l.append(opened, false, e) }

// Finish records the outcome of a call that was begun. On an error nothing was recorded, and Finish may be called again at
// any time; until then the call counts as in flight, and after a restart as interrupted.
func (l *Ledger) Finish(e *usage.Event) error { return l.append(closed, true, e) }

// Once records a call that was never begun, such as one that the cache answers: it has spent nothing yet, and leaves the
// room that is reserved to calls under way. On an error nothing was recorded: the answer must not be given.
func (l *Ledger) Once(e *usage.Event) error { return l.append(closed, false, e) }

func (l *Ledger) append(k kind, late bool, e *usage.Event) error {
	buffer := l.buffers.Get().(*[]byte) // not on the stack: what is summed or written through an interface escapes
	defer l.buffers.Put(buffer)
	record, err := appendRecord((*buffer)[:0], k, e)
	if err != nil {
		return err
	}
	if cap(record) <= keptBytes {
		*buffer = record
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.write(k, late, record)
}

// write puts one record behind the last; late, also behind the rotation mark. The mutex is held; it is let go while this
// waits for an fsync.
func (l *Ledger) write(k kind, late bool, record []byte) error {
	if err := l.makeRoom(late, int64(len(record))); err != nil {
		return err
	}
	n, err := l.file.WriteAt(record, l.written)
	if err == nil && n < len(record) {
		err = io.ErrShortWrite
	}
	if err != nil {
		l.torn = true
		return errors.Join(fmt.Errorf("append to ledger segment %d: %w", l.last, err), l.heal())
	}
	l.written += int64(n)
	if l.opts.Sync == SyncAlways {
		return l.awaitSync(k)
	}
	if l.opts.Sync == SyncInterval && !l.dirty {
		l.dirty = true
		signal(l.dirtied)
	}
	finished := uint64(0)
	if k == closed {
		finished = 1
	}
	l.acknowledge(l.written, 1, finished)
	return nil
}

// acknowledge lets the committer see what is written up to end.
func (l *Ledger) acknowledge(end int64, records, finished uint64) {
	if finished > 0 && l.finished == l.committed {
		l.oldest = time.Now()
	}
	l.segments[len(l.segments)-1].size = end
	l.records += records
	l.finished += finished
	if l.records >= l.wakeAt {
		l.wakeAt = math.MaxUint64
		signal(l.wake)
	}
}

// makeRoom readies the file for a record of so many bytes: whole behind its last record, and below the rotation mark
// unless there is no further file and the record is late.
func (l *Ledger) makeRoom(late bool, bytes int64) error {
	if !l.serving {
		return ErrClosed
	}
	if err := l.heal(); err != nil {
		return err
	}
	for l.written > 0 && l.written+bytes > l.opts.SegmentBytes {
		// A file is left only when all in it is acknowledged, or refused.
		if l.syncing || l.dirty {
			l.settleSync()
			if !l.serving {
				return ErrClosed
			}
			continue
		}
		if time.Since(l.refusedAt) > rotateAgain {
			if l.refusal = l.rotate(); l.refusal != nil {
				l.refusedAt = time.Now()
			}
		}
		if l.refusal != nil && !late {
			return l.refusal
		}
		// What was begun may finish behind the mark: room is reserved there.
		break
	}
	return l.heal()
}

// heal takes away what a failed write left, so that whoever reads the log finds only whole records.
func (l *Ledger) heal() error {
	if !l.torn {
		return nil
	}
	if err := l.file.Truncate(l.written); err != nil {
		return fmt.Errorf("cut the torn end of ledger segment %d: %w", l.last, err)
	}
	l.torn = false
	// The cut gave back the room that was reserved behind it. Where others took it meanwhile, the record that needs it says so.
	_ = l.file.Reserve(l.opts.room())
	return nil
}

// rotate begins the next file. On an error the ledger stays with the file it has.
func (l *Ledger) rotate() error {
	number := l.last + 1
	next, err := l.opts.begin(l.path(number), l.opts.room())
	if err != nil {
		return fmt.Errorf("begin ledger segment %d: %w", number, err)
	}
	if l.opts.Sync != SyncOS {
		if err := syncFolder(l.dir); err != nil {
			return errors.Join(fmt.Errorf("begin ledger segment %d: %w", number, err), next.Close())
		}
	}
	if l.file != nil {
		if err := l.file.Close(); err != nil {
			l.opts.Log.Error("close ledger segment", "segment", l.last, "error", err)
		}
	}
	l.file, l.last, l.written = next, number, 0
	l.segments = append(l.segments, segment{number: number, born: time.Now()})
	return nil
}

// signal wakes whoever waits on the channel, which holds one; it never blocks.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
