package openaitest

import (
	"net"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"
)

// connections knows the open connections, so that Close can end them.
type connections struct {
	mu   sync.Mutex
	open map[net.Conn]struct{}
	all  sync.WaitGroup
}

// track is fasthttp's ConnState hook.
func (c *connections) track(conn net.Conn, state fasthttp.ConnState) {
	if state != fasthttp.StateNew && state != fasthttp.StateClosed {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if state == fasthttp.StateClosed {
		delete(c.open, conn)
		c.all.Done()
		return
	}
	if c.open == nil {
		c.open = make(map[net.Conn]struct{})
	}
	c.open[conn] = struct{}{}
	c.all.Add(1)
}

// closeAll closes what is open and waits for its handlers. No new connection may come.
func (c *connections) closeAll() {
	c.mu.Lock()
	for conn := range c.open {
		conn.Close()
	}
	c.mu.Unlock()
	c.all.Wait()
}

// reset closes a connection so that the other end sees it reset rather than ended, after all that was written to it.
func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		awaitSent(tcp)
		tcp.SetLinger(0)
	}
	conn.Close()
}

// awaitSent returns once the other end has acknowledged what was written: a reset drops what is still on its way. A reader that
// takes nothing is waited for a second.
func awaitSent(conn *net.TCPConn) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	for deadline := time.Now().Add(time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		unsent := 0
		raw.Control(func(fd uintptr) { unsent, err = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ) })
		if err != nil || unsent == 0 {
			return
		}
	}
}

// awaitGone returns once the other end has closed the connection, or Close has. It must be the only reader; whatever
// it reads is lost, so the connection is good for nothing afterwards.
func awaitGone(conn net.Conn) {
	var b [1]byte
	for {
		if _, err := conn.Read(b[:]); err != nil {
			return
		}
	}
}
