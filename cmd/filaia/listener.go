package main

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// stallTime is how long a client may read nothing of its answer.
const stallTime = time.Minute

// stallLooks is how often, within that time, it is looked whether the client has read. The kernel says by itself that a
// connection can be written to only when a third of its buffer is free; a slow client may take longer for that.
const stallLooks = 4

// cutStalled ends connections of clients that read nothing for limit: each would hold its call, the tokens kept for it
// and its place among the tenant's parallel calls for ever. The server's own limit would cover a whole stream. Clients
// that are slow, but read on, are served.
func cutStalled(l net.Listener, limit time.Duration) *stallListener {
	return &stallListener{Listener: l, look: limit / stallLooks, silent: map[*stallConn]struct{}{}}
}

type stallListener struct {
	net.Listener
	look time.Duration

	mu     sync.Mutex
	silent map[*stallConn]struct{} // connections that have said nothing yet
	over   bool                    // there are no new ones any more
}

// Accept gives the next connection.
func (l *stallListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &stallConn{Conn: conn, from: l, look: l.look}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return nil, errors.Join(net.ErrClosed, conn.Close())
	}
	l.silent[c] = struct{}{}
	return c, nil
}

// dismiss ends the connections that have said nothing yet, such as those that browsers open ahead. The server takes them for
// calls under way and would wait for them when it stops.
func (l *stallListener) dismiss() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	for c := range l.silent {
		_ = c.Conn.SetReadDeadline(time.Unix(1, 0)) // who waits for it need not wait for the other side
		_ = c.Conn.Close()
	}
	clear(l.silent)
}

// heard notes that a connection has said something, or ended.
func (l *stallListener) heard(c *stallConn) {
	l.mu.Lock()
	delete(l.silent, c)
	l.mu.Unlock()
}

// stallConn sets deadlines only where the one that is set is too far off what is asked for: to set one costs more than the
// rest of a call's or an event's work here, and every call and event asks for its own.
type stallConn struct {
	net.Conn
	from        *stallListener
	heard       bool // something, by the one that reads
	look        time.Duration
	read, write time.Time // the deadlines that are set
}

// Read notes the first of what comes.
func (c *stallConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if !c.heard {
		c.heard = true
		c.from.heard(c)
	}
	return n, err
}

// Close ends the connection.
func (c *stallConn) Close() error {
	c.from.heard(c)
	return c.Conn.Close()
}

// near tells whether a deadline will do for a later one.
func (c *stallConn) near(set, asked time.Time) bool {
	early := asked.Sub(set)
	return 0 <= early && early < c.look/16
}

// SetReadDeadline sets the server's limit, or one that is a little sooner.
func (c *stallConn) SetReadDeadline(t time.Time) error {
	if c.near(c.read, t) {
		return nil
	}
	c.read = t
	return c.Conn.SetReadDeadline(t)
}

// Write writes all of p, or fails with os.ErrDeadlineExceeded.
func (c *stallConn) Write(p []byte) (n int, err error) {
	for stalled := 0; stalled < stallLooks; stalled++ {
		if next := time.Now().Add(c.look); !c.near(c.write, next) {
			if err = c.SetWriteDeadline(next); err != nil {
				return n, err
			}
			c.write = next
		}
		var wrote int
		wrote, err = c.Conn.Write(p[n:])
		n += wrote
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		c.write = time.Time{} // it has passed
		if wrote > 0 {
			stalled = -1
		}
	}
	return n, err
}
