package main

import (
	"errors"
	"net"
	"os"
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
func cutStalled(l net.Listener, limit time.Duration) net.Listener {
	return stallListener{l, limit / stallLooks}
}

type stallListener struct {
	net.Listener
	look time.Duration
}

// Accept gives the next connection.
func (l stallListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return stallConn{conn, l.look}, nil
}

type stallConn struct {
	net.Conn
	look time.Duration
}

// Write writes all of p, or fails with os.ErrDeadlineExceeded.
func (c stallConn) Write(p []byte) (n int, err error) {
	for stalled := 0; stalled < stallLooks; stalled++ {
		if err = c.SetWriteDeadline(time.Now().Add(c.look)); err != nil {
			return n, err
		}
		var wrote int
		wrote, err = c.Conn.Write(p[n:])
		n += wrote
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		if wrote > 0 {
			stalled = -1
		}
	}
	return n, err
}
