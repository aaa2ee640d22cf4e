package cache

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
)

// The ends of a flight that are not the leader's own error.
var (
	// ErrFlightTooLarge: the answer is larger than can be held for those who follow. Who has relayed none of it calls for
	// himself.
	ErrFlightTooLarge = errors.New("cache: the answer is too large to be shared")
	// ErrLeaderGone: the leader ended without an answer. Who has relayed nothing joins again.
	ErrLeaderGone = errors.New("cache: the call that was to be shared was given up")
)

// flightFactor is how many times MaxEntry a flight may hold and still be joined. One that grows beyond feeds those who
// have joined, who may have passed on its beginning and could not ask anew, within the room that all such flights have
// together.
const (
	flightFactor = 4
	flightRoom   = 64 << 20 // bytes
)

// Head is what is known before the first byte of an answer's body.
type Head struct {
	Status      int
	ContentType string
	Stream      bool
}

// Flight is one call to the provider that several callers share. The leader calls Head, Write and, whatever happens,
// End; followers Wait, read, and Leave. None of the leader's methods ever waits for a follower.
type Flight struct {
	flights *flights
	key     key

	mu        sync.Mutex
	head      Head
	hasHead   bool
	buf       []byte        // only ever appended to, so that its beginning can be read without the lock
	changed   chan struct{} // closed at the next change; nil where nobody waits
	ended     bool
	err       error // io.EOF at a clean end
	followers int
	grown     int  // bytes taken of the room for flights that nobody may join any more
	landed    bool // nobody may join any more
}

// flights are the calls under way, in this process.
type flights struct {
	max  int          // bytes of a flight that can be joined
	room atomic.Int64 // bytes that are left for what flights hold beyond
	mu   sync.Mutex
	open map[key]*Flight
}

func (fs *flights) len() int64 {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return int64(len(fs.open))
}

// Join gives the flight of q, in Smart mode also that of another spelling. The leader must see to it that End is called
// (defer f.End(cache.ErrLeaderGone)); a follower must call Leave.
func (c *Cache) Join(q *Question) (f *Flight, leader bool) {
	k := q.exact
	if q.hasAlias() {
		k = q.alias
	}
	fs := &c.flights
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f = fs.open[k]; f != nil {
		f.mu.Lock()
		f.followers++
		f.mu.Unlock()
		c.count.coalesced.Add(1)
		return f, false
	}
	f = &Flight{flights: fs, key: k}
	fs.open[k] = f
	return f, true
}

// land takes the flight out of the table: who comes now begins anew.
func (fs *flights) land(f *Flight) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.open[f.key] == f {
		delete(fs.open, f.key)
	}
}

// Head tells the followers what is coming. Only the first counts.
func (f *Flight) Head(status int, contentType string, stream bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.hasHead && !f.ended {
		f.head, f.hasHead = Head{status, strings.Clone(contentType), stream}, true
		f.wake()
	}
}

// Write appends to the body. It never fails: an answer too large ends the flight, not the call.
func (f *Flight) Write(p []byte) (int, error) {
	if f.outgrows(len(p)) {
		f.flights.land(f) // before the followers are counted: nobody may join one that is given up for want of any
	}
	if !f.append(p) {
		f.End(ErrFlightTooLarge)
	}
	return len(p), nil
}

// outgrows tells whether n bytes more make the flight too large to be joined.
func (f *Flight) outgrows(n int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.landed = f.landed || len(f.buf)+n > f.flights.max
	return f.landed
}

// append tells whether there was somebody to write for, and room.
func (f *Flight) append(p []byte) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return true
	}
	if f.landed {
		if f.followers == 0 {
			return false
		}
		f.grown += len(p)
		if f.flights.room.Add(-int64(len(p))) < 0 {
			return false
		}
	}
	f.buf = append(f.buf, p...)
	f.wake()
	return true
}

// forget gives back the room of a flight that nobody will read. Requires mu.
func (f *Flight) forget() {
	if f.landed && f.followers == 0 {
		f.flights.room.Add(int64(f.grown))
		f.buf, f.grown = nil, 0
	}
}

// End ends the flight, cleanly where err is nil. Only the first time counts, so that it can be deferred. An answer to
// be stored is stored before.
func (f *Flight) End(err error) {
	f.flights.land(f)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ended {
		return
	}
	switch {
	case err == nil && f.hasHead:
		err = io.EOF
	case err == nil:
		err = ErrLeaderGone
	case errors.Is(err, io.EOF): // not to be taken for a clean end
		err = io.ErrUnexpectedEOF
	}
	f.ended, f.err, f.landed = true, err, true
	f.forget()
	f.wake()
}

// Serve feeds a whole flight from an answer that was found.
func (f *Flight) Serve(e *Entry) {
	f.Head(200, e.ContentType, e.Stream)
	_, _ = f.Write(e.Body)
	f.End(nil)
}

// Followers is how many callers wait for the answer: with some, a leader whose client has left reads on.
func (f *Flight) Followers() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.followers
}

// Leave ends a follower's part. It is called once by each.
func (f *Flight) Leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.followers--
	if f.ended {
		f.forget()
	}
}

// Wait gives the head when there is one, the flight's error, or that of ctx.
func (f *Flight) Wait(ctx context.Context) (Head, error) {
	for {
		f.mu.Lock()
		switch {
		case f.ended && (!f.hasHead || errors.Is(f.err, ErrFlightTooLarge)):
			defer f.mu.Unlock()
			return Head{}, f.err
		case f.hasHead:
			defer f.mu.Unlock()
			return f.head, nil
		}
		changed := f.change()
		f.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return Head{}, ctx.Err()
		}
	}
}

// Reader reads the body from its beginning, as it comes: io.EOF at a clean end, the flight's error or that of ctx
// otherwise. Each follower has one or several of his own.
func (f *Flight) Reader(ctx context.Context) io.Reader { return &flightReader{f: f, ctx: ctx} }

type flightReader struct {
	f   *Flight
	ctx context.Context // of this one reading, which it does not outlive
	at  int
}

// Read waits for at least one byte.
func (r *flightReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		fresh, changed, err := r.f.since(r.at)
		if len(fresh) > 0 {
			n := copy(p, fresh)
			r.at += n
			return n, nil
		}
		if err != nil {
			return 0, err
		}
		select {
		case <-changed:
		case <-r.ctx.Done():
			return 0, r.ctx.Err()
		}
	}
}

// since gives the body from at on; where there is none yet, what to wait for, or why there will be none.
func (f *Flight) since(at int) (fresh []byte, changed <-chan struct{}, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case at < len(f.buf):
		return f.buf[at:len(f.buf):len(f.buf)], nil, nil
	case f.ended:
		return nil, nil, f.err
	}
	return nil, f.change(), nil
}

// change is closed at the next change. Both need the lock.
func (f *Flight) change() <-chan struct{} {
	if f.changed == nil {
		f.changed = make(chan struct{})
	}
	return f.changed
}

func (f *Flight) wake() {
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}
