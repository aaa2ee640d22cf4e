package v1

import (
	"io"
	"net"
	"sync/atomic"
	"time"
)

// How much of what a client is still sending is read after it was answered, and for how long.
const (
	lingerTime  = 10 * time.Second
	lingerBytes = 64 << 20
)

// Linger lets clients read the answer to a request that was not read to its end, such as a body that is too large. If
// the connection were closed at once, what they go on sending would be answered with a reset, and that takes the answer
// with it (RFC 9112 §9.6): SDKs would see a broken connection, and try again.
func Linger(l net.Listener) net.Listener { return lingerListener{l} }

type lingerListener struct{ net.Listener }

// Accept gives the next connection.
func (l lingerListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if tcp, ok := conn.(*net.TCPConn); ok {
		return &lingerConn{TCPConn: tcp}, err
	}
	return conn, err
}

type lingerConn struct {
	*net.TCPConn
	over atomic.Bool // the client has ended it, or we have
}

// Read notes the end: then there is nobody to wait for.
func (c *lingerConn) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	if err != nil {
		c.over.Store(true)
	}
	return n, err
}

// Close ends our side, and the connection when the client has ended its own.
func (c *lingerConn) Close() error {
	if c.over.Swap(true) || c.CloseWrite() != nil {
		return c.TCPConn.Close()
	}
	go func() {
		defer c.TCPConn.Close()
		if c.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
			_, _ = io.CopyN(io.Discard, c.TCPConn, lingerBytes)
		}
	}()
	return nil
}
