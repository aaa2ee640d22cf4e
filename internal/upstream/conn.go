package upstream

import (
	"context"
	"errors"
	"io"
	"net"
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
type conn struct {
	net.Conn
	raw    syscall.RawConn
	peek   func(fd uintptr) // made once: one for each call would be garbage
	alive  bool             // what peek saw
	used   bool             // it was read from; a new one that has ended is no reason to dial again
	forget func() bool      // ends the wait for Abort
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
	if errors.Is(err, syscall.ECONNRESET) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// SetWriteDeadline begins a call, or fails with errStale.
func (c *conn) SetWriteDeadline(t time.Time) error {
	if err := c.Conn.SetWriteDeadline(t); err != nil || !c.used {
		return err
	}
	if c.stale() {
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
