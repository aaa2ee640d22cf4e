package ledger

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Run commits events until ctx is done, and then what is left, within DrainTimeout. While the Sink fails it tries again
// for ever and drops nothing. An error tells of events that stay on the disk, for the next Recover.
func (l *Ledger) Run(ctx context.Context) error {
	if err := l.enter("Run"); err != nil {
		return err
	}
	defer l.leave()
	l.mu.Lock()
	serving := l.serving
	l.mu.Unlock()
	if !serving {
		return errors.New("ledger: Run before Recover")
	}

	var syncing sync.WaitGroup
	defer syncing.Wait()
	if l.opts.Sync == SyncInterval {
		syncing.Go(func() { l.syncLoop(ctx) })
	}
	c := &l.committer
	for ctx.Err() == nil {
		c.persist(ctx)
		if !c.more {
			c.await(ctx)
		}
	}
	return c.drain(context.WithoutCancel(ctx))
}

func (c *committer) drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.l.opts.DrainTimeout)
	defer cancel()
	for {
		inHand := len(c.events) > 0 // then more may have come since it was read
		if err := c.advance(ctx); err != nil {
			return fmt.Errorf("%d usage events stay in the ledger: %w", c.l.Stats().Lag(), err)
		}
		if !inHand && !c.more {
			return nil
		}
	}
}

// singleOut is more attempts than it takes to come down from a full batch to the one event that is refused, if one is.
const singleOut = 30

// The wait between attempts doubles from the first to the longest; jitter keeps replicas apart.
const (
	firstRetry   = 100 * time.Millisecond
	longestRetry = 5 * time.Second
)

// persist takes one step, with as many attempts as it needs, unless ctx is done. The log gets one line when commits
// begin to fail and one when they work again.
func (c *committer) persist(ctx context.Context) {
	l := c.l
	wait, failures := firstRetry, 0
	for {
		before := c.done
		err := c.advance(ctx)
		if err == nil {
			if l.stall(false) {
				l.opts.Log.Info("usage events are committed again")
			}
			return
		}
		if ctx.Err() != nil {
			return
		}
		if l.stall(true) {
			l.opts.Log.Error("usage events wait in the ledger", "error", err)
		}
		if failures++; failures == singleOut {
			l.opts.Log.Error("usage events still wait in the ledger", "error", err)
		}
		if c.done > before {
			wait = firstRetry // some of it went
		}
		jittered := wait/2 + rand.N(wait/2+1)
		wait = min(2*wait, longestRetry)
		select {
		case <-ctx.Done():
			return
		case <-time.After(jittered):
		}
	}
}

// stall notes whether commits fail, and tells whether that is news.
func (l *Ledger) stall(now bool) (news bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	news = l.stalled != now
	l.stalled = now
	return news
}

// await blocks until records are there that are old enough, or enough; until ctx is done; or until the file being
// written has aged and is let go. With nothing to do nothing runs.
func (c *committer) await(ctx context.Context) {
	since, idle := c.reached, false
	for ctx.Err() == nil {
		c.l.mu.Lock()
		fresh := c.l.records - c.read
		if idle && fresh > 0 {
			since, idle = time.Now(), false
		}
		wait := c.patience(fresh, since)
		c.l.mu.Unlock()
		if wait == 0 {
			return
		}
		idle = fresh == 0
		c.sleep(ctx, wait)
	}
}

// patience says how long to wait for a batch, 0 when it is time, negative for as long as nothing comes, and sets the
// number of records that ends the wait. The mutex is held.
func (c *committer) patience(fresh uint64, since time.Time) time.Duration {
	l := c.l
	full := 2 * uint64(l.opts.BatchSize) // a call is two records
	if fresh == 0 {
		l.wakeAt = c.read + 1
		return l.letAge()
	}
	if fresh >= full || len(l.flushes) > 0 {
		return 0
	}
	l.wakeAt = c.read + full
	return max(0, l.opts.BatchAge-time.Since(since))
}

// letAge begins a new file once the one being written is older than SegmentAge and all in it is committed, so that
// events committed long ago are not replayed after a crash: by then they may have left the database. It gives the time
// until then, 0 when it has just been done, negative when the file is empty.
func (l *Ledger) letAge() time.Duration {
	current := l.segments[len(l.segments)-1]
	if current.size == 0 {
		return -1
	}
	if wait := l.opts.SegmentAge - time.Since(current.born); wait > 0 {
		return wait
	}
	if l.syncing || l.dirty || l.torn || l.rotate() != nil {
		return l.opts.SegmentAge // no hurry
	}
	return 0
}

func (c *committer) sleep(ctx context.Context, wait time.Duration) {
	var due <-chan time.Time
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-ctx.Done():
	case <-c.l.wake:
	case <-due:
	}
}

// flush is one caller of Flush: done is closed when the committer is done with so many records.
type flush struct {
	records uint64
	done    chan struct{}
}

// Flush waits until everything finished so far is committed, and hurries Run on. The error is ctx's.
func (l *Ledger) Flush(ctx context.Context) error {
	l.mu.Lock()
	if l.settled >= l.records {
		l.mu.Unlock()
		return nil
	}
	f := &flush{records: l.records, done: make(chan struct{})}
	l.flushes = append(l.flushes, f)
	signal(l.wake)
	l.mu.Unlock()
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flushes = slices.DeleteFunc(l.flushes, func(other *flush) bool { return other == f })
	return fmt.Errorf("wait for the ledger to be committed: %w", ctx.Err())
}

func (l *Ledger) answerFlushes() {
	l.flushes = slices.DeleteFunc(l.flushes, func(f *flush) bool {
		if l.settled < f.records {
			return false
		}
		close(f.done)
		return true
	})
}
