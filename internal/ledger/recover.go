package ledger

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/usage"
)

// Report is what Recover found.
type Report struct {
	Began, Ended time.Time
	Replayed     int      // finished events given to the sink; it may have had them
	Interrupted  int      // calls that were begun and, as far as the log goes, never finished
	CutBytes     int64    // unreadable end of the log, as a power cut leaves it
	SkippedBytes int64    // unreadable bytes with readable records behind them
	Corrupt      []string // paths of files that were kept for a person to look at
}

// Recover commits what an earlier process left and readies the ledger for records. It reads in order, one batch at a
// time, and removes the old files when all of it is committed. Its error leaves them in place, and it may be called
// again; a log written by a newer version of this program is such an error. Once it has succeeded it does nothing.
func (l *Ledger) Recover(ctx context.Context) (Report, error) {
	if err := l.enter("Recover"); err != nil {
		return Report{}, err
	}
	defer l.leave()
	if l.serving {
		return Report{}, nil
	}
	r := recovery{l: l, report: Report{Began: time.Now()}, told: time.Now(), decoder: newDecoder(), open: make(map[uuid.UUID]usage.Event), keep: make(map[uint64]bool)}
	if err := r.run(ctx); err != nil {
		return r.report, fmt.Errorf("recover the ledger: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.rotate(); err != nil {
		return r.report, fmt.Errorf("recover the ledger: %w", err)
	}
	l.serving = true
	r.report.Ended = time.Now()
	l.report = r.report
	return r.report, nil
}

// recovery is one attempt.
type recovery struct {
	l       *Ledger
	report  Report
	scan    scanner
	decoder decoder
	events  []usage.Event
	open    map[uuid.UUID]usage.Event
	keep    map[uint64]bool
	passed  int64     // bytes of the segments read
	told    time.Time // when progress was last told, or it began
}

const tellEvery = 10 * time.Second

// progress tells of a replay that takes long: nothing is served meanwhile.
func (r *recovery) progress() {
	if time.Since(r.told) < tellEvery {
		return
	}
	r.told = time.Now()
	var all int64
	for _, s := range r.l.left {
		all += s.size
	}
	r.l.opts.Log.Info("recovering the ledger", "bytes", r.passed+r.scan.offset(), "of", all, "replayed", r.report.Replayed)
}

func (r *recovery) run(ctx context.Context) error {
	for i, s := range r.l.left {
		if err := r.replay(ctx, s, i == len(r.l.left)-1); err != nil {
			return fmt.Errorf("%s: %w", r.l.path(s.number), err)
		}
		r.passed += s.size
		r.scan.reset(nil)
	}
	if err := r.commit(ctx); err != nil {
		return err
	}
	// Only now: a call's closed record may stand anywhere in the log.
	if err := r.interrupt(ctx); err != nil {
		return err
	}
	return r.remove()
}

func (r *recovery) replay(ctx context.Context, s segment, last bool) error {
	file, err := os.Open(r.l.path(s.number))
	if err != nil {
		return err
	}
	defer file.Close()
	r.scan.reset(file)
	for {
		record, err := r.scan.next(s.size)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errDamaged):
			d, err := r.scan.skip(s.size)
			if err != nil {
				return err
			}
			r.note(s.number, d, last)
			continue
		case err != nil:
			return err
		}
		err = r.take(ctx, record[headerBytes:])
		if errors.Is(err, errMalformed) {
			r.note(s.number, damage{offset: r.scan.offset() - int64(len(record)), bytes: int64(len(record))}, last)
			continue
		}
		if err != nil {
			return err
		}
	}
}

func (r *recovery) take(ctx context.Context, payload []byte) error {
	var e usage.Event
	if err := r.decoder.decode(payload, &e); err != nil {
		return err
	}
	if k, _, _ := peek(payload); k == opened {
		r.open[e.ID] = e
		return nil
	}
	delete(r.open, e.ID)
	r.report.Replayed++
	return r.add(ctx, e)
}

// note reports damage. A torn end of the log is what a power cut leaves; any other damage keeps the file.
func (r *recovery) note(number uint64, d damage, last bool) {
	if d.toEnd && last {
		r.report.CutBytes += d.bytes
	} else {
		r.report.SkippedBytes += d.bytes
	}
	if d.torn && last {
		r.l.opts.Log.Warn("the ledger's end was cut", "file", r.l.path(number), "offset", d.offset, "bytes", d.bytes)
		return
	}
	if !r.keep[number] {
		r.keep[number] = true
		r.report.Corrupt = append(r.report.Corrupt, r.l.path(number)+corruptSuffix)
	}
	r.l.reportDamage(number, d)
}

func (r *recovery) add(ctx context.Context, e usage.Event) error {
	r.events = append(r.events, e)
	if len(r.events) < r.l.opts.BatchSize {
		return nil
	}
	return r.commit(ctx)
}

func (r *recovery) commit(ctx context.Context) error {
	if len(r.events) == 0 {
		return nil
	}
	err := r.commitHalves(ctx, r.events)
	r.events = r.events[:0]
	r.progress()
	return err
}

// commitHalves tries what is refused again in halves, down to the one event that is the reason, if one is. A database that
// says nothing is not asked again.
func (r *recovery) commitHalves(ctx context.Context, events []usage.Event) error {
	began := time.Now()
	err := r.l.commit(ctx, events)
	if err == nil || ctx.Err() != nil || time.Since(began) > time.Second {
		return err
	}
	if len(events) == 1 {
		return fmt.Errorf("usage event %s: %w", events[0].ID, err)
	}
	half := len(events) / 2
	if err := r.commitHalves(ctx, events[:half]); err != nil {
		return err
	}
	return r.commitHalves(ctx, events[half:])
}

// interrupt commits the calls that were never finished, oldest first.
func (r *recovery) interrupt(ctx context.Context) error {
	left := slices.SortedFunc(maps.Values(r.open), func(a, b usage.Event) int { return a.CreatedAt.Compare(b.CreatedAt) })
	for _, e := range left {
		e.Status = usage.Interrupted
		r.report.Interrupted++
		if err := r.add(ctx, e); err != nil {
			return err
		}
	}
	return r.commit(ctx)
}

// remove takes the old files away, oldest first: what is left after a crash in between is still a whole log's end.
func (r *recovery) remove() error {
	for len(r.l.left) > 0 {
		number := r.l.left[0].number
		if r.keep[number] {
			r.l.committer.damaged[number] = true
		}
		if err := r.l.committer.drop(number); err != nil {
			return err
		}
		r.l.mu.Lock()
		r.l.left = r.l.left[1:]
		r.l.mu.Unlock()
	}
	return nil
}
