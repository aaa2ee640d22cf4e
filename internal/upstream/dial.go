package upstream

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"time"
)

// dialer opens connections to the provider: TCP and, for https, TLS, both within one time limit. Its errors are unsent.
type dialer struct {
	tcp    net.Dialer
	limit  time.Duration
	life   context.Context
	whole  *tls.Config // nil: no TLS
	stream *tls.Config
}

func newDialer(life context.Context, limit time.Duration, u *url.URL) *dialer {
	d := &dialer{tcp: net.Dialer{KeepAlive: keepAlive}, limit: limit, life: life}
	if u.Scheme == "https" {
		d.whole = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: u.Hostname()}
		d.stream = d.whole.Clone()
		d.stream.NextProtos = []string{"h2", "http/1.1"} // fasthttp speaks the latter only
	}
	return d
}

// dial opens a connection, for whole answers or for streams.
func (d *dialer) dial(ctx context.Context, addr string, whole bool) (net.Conn, error) {
	deadline := time.Now().Add(d.limit)
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	defer context.AfterFunc(d.life, cancel)()
	nc, err := d.open(ctx, addr, whole)
	if err == nil {
		return nc, nil
	}
	if !time.Now().Before(deadline) { // before ctx has noticed, perhaps
		err = &passed{"connect", d.limit}
	}
	return nil, &unsent{err}
}

func (d *dialer) open(ctx context.Context, addr string, whole bool) (net.Conn, error) {
	nc, err := d.tcp.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if !whole {
		return shake(ctx, nc, d.stream)
	}
	c, err := newConn(d.life, nc.(*net.TCPConn))
	if err != nil {
		nc.Close()
		return nil, err
	}
	secured, err := shake(ctx, c, d.whole)
	c.used = false // by a call
	return secured, err
}

// shake puts TLS upon a connection, where there is to be any.
func shake(ctx context.Context, nc net.Conn, conf *tls.Config) (net.Conn, error) {
	if conf == nil {
		return nc, nil
	}
	t := tls.Client(nc, conf)
	if err := t.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, err
	}
	return t, nil
}

// pingEvery is how long an HTTP/2 connection may be silent before it is asked for a sign of life: a dead one would
// take with it every stream that is put on it, until their first byte is overdue.
const pingEvery = 30 * time.Second

func newTransport(d *dialer, firstByte time.Duration) *http.Transport {
	dial := func(ctx context.Context, _, addr string) (net.Conn, error) { return d.dial(ctx, addr, false) }
	return &http.Transport{
		DialContext:           dial,
		DialTLSContext:        dial,
		ForceAttemptHTTP2:     true,
		HTTP2:                 &http.HTTP2Config{SendPingTimeout: pingEvery, PingTimeout: pingEvery / 2},
		MaxIdleConnsPerHost:   512,
		IdleConnTimeout:       keepAlive,
		ResponseHeaderTimeout: firstByte,
		DisableCompression:    true, // bytes pass unchanged
		// Each open stream keeps both; a piece has some 200 bytes, and what is larger passes them by.
		ReadBufferSize:  2 << 10,
		WriteBufferSize: 2 << 10,
	}
}
