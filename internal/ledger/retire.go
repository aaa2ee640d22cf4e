package ledger

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/uuid"
)

// pin notes that a call is in flight and the segment being read holds its opened record.
func (c *committer) pin(id uuid.UUID) {
	_, inFlight := c.open[id]
	if _, again := c.carried[id]; again {
		delete(c.carried, id)
		if !inFlight {
			return // it finished while its record was carried
		}
	}
	c.unpin(id)
	c.open[id] = c.number
	c.pins[c.number]++
}

// unpin notes that a call is no longer in flight. Its closed record is read, though maybe not committed; retire comes
// after the commit.
func (c *committer) unpin(id uuid.UUID) {
	number, inFlight := c.open[id]
	if !inFlight {
		return
	}
	delete(c.open, id)
	if c.pins[number]--; c.pins[number] == 0 {
		delete(c.pins, number)
	}
}

// retire removes the oldest segments, as long as all they hold is committed and no call they opened is in flight.
func (c *committer) retire() {
	for {
		number := c.oldest()
		if number >= c.number || c.pins[number] > 0 {
			return
		}
		if err := c.drop(number); err != nil {
			c.l.opts.Log.Error("remove ledger segment", "error", err) // tried again after the next commit
			return
		}
		c.l.mu.Lock()
		c.l.segments = c.l.segments[1:]
		c.l.mu.Unlock()
	}
}

func (c *committer) oldest() uint64 {
	c.l.mu.Lock()
	defer c.l.mu.Unlock()
	return c.l.segments[0].number
}

// drop removes a segment, or keeps it under another name where it was damaged.
func (c *committer) drop(number uint64) error {
	path := c.l.path(number)
	if !c.damaged[number] {
		return os.Remove(path)
	}
	if err := os.Rename(path, path+corruptSuffix); err != nil {
		return err
	}
	delete(c.damaged, number)
	if info, err := os.Stat(path + corruptSuffix); err == nil {
		c.l.keep(segment{number: number, size: info.Size()})
	}
	return nil
}

// A call that lasts very long, or whose Finish never came, would hold back every segment since it began. Once this many
// have followed, what is still in flight in the oldest is written again at the log's end, and the oldest may go.
const longestTrain = 8

// carry writes the oldest segment's records of calls in flight again. It tries once for each segment reached.
func (c *committer) carry() {
	number := c.oldest()
	if c.number < number+longestTrain || c.tried == c.number {
		return
	}
	c.tried = c.number
	if err := c.carryFrom(number); err != nil {
		c.l.opts.Log.Error("carry calls in flight out of the oldest ledger segment", "segment", number, "error", err)
	}
}

func (c *committer) carryFrom(number uint64) error {
	file, err := os.Open(c.l.path(number))
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	var scan scanner
	scan.reset(file)
	for left := c.pins[number]; left > 0; {
		record, err := scan.next(info.Size())
		switch {
		case errors.Is(err, errDamaged):
			if _, err := scan.skip(info.Size()); err != nil {
				return err
			}
			continue
		case errors.Is(err, io.EOF):
			return fmt.Errorf("%d of them are not there", left)
		case err != nil:
			return err
		}
		k, id, err := peek(record[headerBytes:])
		if at, inFlight := c.open[id]; err != nil || k != opened || !inFlight || at != number {
			continue
		}
		if _, already := c.carried[id]; !already {
			if err := c.l.again(record); err != nil {
				return err
			}
			c.carried[id] = struct{}{}
		}
		left--
	}
	return nil
}

// again appends an opened record that is in the log already.
func (l *Ledger) again(record []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.write(opened, false, record)
}
