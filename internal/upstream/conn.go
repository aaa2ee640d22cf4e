package upstream

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// errStale is a pooled connection that the provider has ended meanwhile. Nothing of a call was written to it.
var errStale = errors.New("the provider has ended the idle connection")

// conn is a connection of whole answers, below TLS. It mends two things of fasthttp's:
//
//   - A reset within a body is taken for the body's end: half an answer would be given as a whole one, and the dead
//     connection to the next call. Read tells it as an end in the middle.
//   - A pooled connection is written to without a look at whether it still lives, and a call that was written must not
//     be written again. SetWriteDeadline, with which fasthttp begins every call, looks.
//
// And every call sets two deadlines, minutes ahead, each of which costs as much as reading the answer's head: see lazy.
type conn struct {
	net.Conn
	raw    syscall.RawConn
	peek   func(fd uintptr) // made once: one for each call would be garbage
	alive  bool             // what peek saw
	used   bool             // it was read from; a new one that has ended is no reason to dial again
	forget func() bool      // ends the wait for Abort

	reads, writes lazy
}

// lazy is a deadline. It is set late: one that was set for an earlier call may pass during this one, and only then is
// this one's set in its place.
type lazy struct{ set, asked time.Time }

// ask notes the deadline and tells whether it must be set now.
func (l *lazy) ask(t time.Time) bool {
	l.asked = t
	if l.set.IsZero() || t.Before(l.set) { // which none is, too
		l.set = t
		return true
	}
	return false
}

// renew tells whether what failed has failed by a deadline before the one that was asked for, which must be set then.
func (l *lazy) renew(err error) bool {
	if !l.set.Before(l.asked) || !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	l.set = l.asked
	return true
}

// newConn wraps a connection, which is closed when life ends.
func newConn(life context.Context, tcp *net.TCPConn) (*conn, error) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: tcp, raw: raw}
	c.peek = func(fd uintptr) { c.alive = alive(fd) }
	// Not a deadline: fasthttp would set a later one.
	c.forget = context.AfterFunc(life, func() { tcp.Close() })
	return c, nil
}

// Read reads; a reset is no end.
func (c *conn) Read(p []byte) (int, error) {
	c.used = true
	n, err := c.Conn.Read(p)
	for err != nil && n == 0 && c.reads.renew(err) {
		if err = c.Conn.SetReadDeadline(c.reads.set); err == nil {
			n, err = c.Conn.Read(p)
		}
	}
	if errors.Is(err, syscall.ECONNRESET) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Write writes all of p.
func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	for err != nil && c.writes.renew(err) {
		if err = c.Conn.SetWriteDeadline(c.writes.set); err == nil {
			var more int
			more, err = c.Conn.Write(p[n:])
			n += more
		}
	}
	return n, err
}

// SetReadDeadline limits what is read from now on.
func (c *conn) SetReadDeadline(t time.Time) error {
	if c.reads.ask(t) {
		return c.Conn.SetReadDeadline(t)
	}
	return nil
}

// SetWriteDeadline begins a call, or fails with errStale.
func (c *conn) SetWriteDeadline(t time.Time) error {
	if c.writes.ask(t) {
		if err := c.Conn.SetWriteDeadline(t); err != nil {
			return err
		}
	}
	if c.used && c.stale() {
		return errStale
	}
	return nil
}

// stale tells whether a connection that should be silent has ended, or says something: nobody asked it.
func (c *conn) stale() bool {
	return c.raw.Control(c.peek) != nil || !c.alive
}

// Close closes the connection.
func (c *conn) Close() error {
	c.forget()
	return c.Conn.Close()
}
