package ledger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/usage"
)

// committer reads the log behind the writers. It belongs to Run's goroutine, and takes the ledger's mutex only for
// what both sides see.
type committer struct {
	l        *Ledger
	file     *os.File // the segment being read
	number   uint64   // its number; 0 before the first
	limit    int64    // where its acknowledged records end, as last seen
	scan     scanner
	decoder  decoder
	read     uint64        // records read since the start
	finished uint64        // finished events among them
	events   []usage.Event // the batch in hand, not committed yet
	done     int           // events at its beginning that are committed all the same
	part     int           // how many of it are tried next; 0: all
	streak   int           // commits since one failed, or since part changed
	more     bool          // the batch was full before the log's end
	reached  time.Time     // when the log's end was: what has come since is younger

	open    map[uuid.UUID]uint64   // calls in flight, and the segment that holds their opened record
	pins    map[uint64]int         // the same, counted by segment: it may not go
	carried map[uuid.UUID]struct{} // calls whose opened record was written again and not read again yet
	tried   uint64                 // segment being read when records were last carried
	damaged map[uint64]bool        // segments that are kept aside instead of being removed
}

func newCommitter(l *Ledger) committer {
	return committer{
		l: l, decoder: newDecoder(), events: make([]usage.Event, 0, l.opts.BatchSize),
		open: make(map[uuid.UUID]uint64), pins: make(map[uint64]int),
		carried: make(map[uuid.UUID]struct{}), damaged: make(map[uint64]bool),
	}
}

// advance takes one step: it reads a batch unless one is in hand, has it committed and lets go what is no longer
// needed. On an error the batch stays in hand.
func (c *committer) advance(ctx context.Context) error {
	if len(c.events) == 0 {
		c.done = 0
		if err := c.gather(); err != nil {
			return err
		}
	}
	for c.done < len(c.events) {
		if err := c.commitPart(ctx); err != nil {
			c.l.setOldest(finishedAt(&c.events[c.done]))
			return err
		}
	}
	c.settle()
	return nil
}

const longStreak = 8

// commitPart commits the batch, or as much of it as is tried at a time after failures: half as many after each, twice as
// many after a streak of successes. So a database that is too slow for a batch gets on, and an event that it refuses for its
// content is found, told of, and has all before it committed.
func (c *committer) commitPart(ctx context.Context) error {
	rest := c.events[c.done:]
	try := rest
	if c.part > 0 {
		try = rest[:min(c.part, len(rest))]
	}
	err := c.l.commit(ctx, try)
	if err == nil {
		c.done += len(try)
		if c.streak++; c.streak == longStreak {
			c.streak = 0
			if c.part *= 2; c.part >= cap(c.events) {
				c.part = 0
			}
		}
		return nil
	}
	c.part, c.streak = max(len(try)/2, 1), 0
	if len(try) == 1 {
		err = fmt.Errorf("usage event %s: %w", try[0].ID, err)
	}
	return err
}

// commit is one attempt.
func (l *Ledger) commit(ctx context.Context, events []usage.Event) error {
	ctx, cancel := context.WithTimeout(ctx, l.opts.CommitTimeout)
	defer cancel()
	if err := l.opts.Sink.CommitUsage(ctx, events); err != nil {
		return fmt.Errorf("commit %d usage events: %w", len(events), err)
	}
	return nil
}

// gather reads on until the batch is full or the log ends.
func (c *committer) gather() error {
	for len(c.events) < cap(c.events) {
		record, err := c.scan.next(c.limit)
		switch {
		case err == nil:
			c.read++
			err = c.take(record[headerBytes:])
			if err != nil {
				c.report(damage{offset: c.scan.offset() - int64(len(record)), bytes: int64(len(record))})
			}
		case errors.Is(err, io.EOF):
			if end, err := c.goOn(); end || err != nil {
				c.more = false
				return c.unlessInHand(err)
			}
		case errors.Is(err, errDamaged):
			d, err := c.scan.skip(c.limit)
			if err != nil {
				return c.unlessInHand(err)
			}
			c.report(d)
		default:
			return c.unlessInHand(err)
		}
	}
	c.more = true
	return nil
}

// unlessInHand keeps a read error back while there are events to commit first: the next read will find it again.
func (c *committer) unlessInHand(err error) error {
	if err != nil && len(c.events) > 0 {
		c.more = true
		return nil
	}
	return err
}

// goOn finds what to read at the end of what was known: more of the segment, or the next one. end is the log's end.
func (c *committer) goOn() (end bool, err error) {
	c.l.mu.Lock()
	segments := c.l.segments
	index := 0
	if c.number > 0 {
		index = int(c.number - segments[0].number)
		if size := segments[index].size; size > c.limit {
			c.limit = size
			c.l.mu.Unlock()
			return false, nil
		}
		index++
	}
	if index == len(segments) {
		// Counted anew: records lost to damage were never read.
		c.read, c.finished = c.l.records, c.l.finished
		c.l.mu.Unlock()
		c.reached = time.Now()
		return true, nil
	}
	next := segments[index]
	c.l.mu.Unlock()

	file, err := os.Open(c.l.path(next.number))
	if err != nil {
		return false, fmt.Errorf("read the ledger: %w", err)
	}
	if err := c.close(); err != nil {
		c.l.opts.Log.Error("close ledger segment", "segment", c.number, "error", err)
	}
	c.file, c.number, c.limit = file, next.number, next.size
	c.scan.reset(file)
	return false, nil
}

// take notes what a record says.
func (c *committer) take(payload []byte) error {
	k, id, err := peek(payload)
	if err != nil {
		return err
	}
	if k == opened {
		c.pin(id)
		return nil
	}
	c.finished++
	c.events = c.events[:len(c.events)+1]
	if err := c.decoder.decode(payload, &c.events[len(c.events)-1]); err != nil {
		c.events = c.events[:len(c.events)-1]
		return err
	}
	c.unpin(id)
	return nil
}

func (c *committer) report(d damage) {
	c.damaged[c.number] = true
	c.l.mu.Lock()
	c.l.damage += d.bytes
	c.l.mu.Unlock()
	c.l.reportDamage(c.number, d)
}

func (l *Ledger) reportDamage(number uint64, d damage) {
	l.opts.Log.Error("unreadable records in the ledger: the file will be kept",
		"file", l.path(number)+corruptSuffix, "offset", d.offset, "bytes", d.bytes)
}

// settle lets go what is committed: whole segments, those who wait in Flush, the batch.
func (c *committer) settle() {
	c.retire()
	c.carry()

	l := c.l
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settled, l.committed, l.inFlight = c.read, c.finished, len(c.open)
	switch n := len(c.events); {
	case l.committed == l.finished:
		l.oldest = time.Time{}
	case n > 0:
		l.oldest = finishedAt(&c.events[n-1]) // what is left finished later
	}
	c.events = c.events[:0]
	l.answerFlushes()
}

func finishedAt(e *usage.Event) time.Time {
	return e.CreatedAt.Add(time.Duration(e.LatencyMS) * time.Millisecond)
}

func (c *committer) close() error {
	if c.file == nil {
		return nil
	}
	defer func() { c.file = nil }()
	return c.file.Close()
}
