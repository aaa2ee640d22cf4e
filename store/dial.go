package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lib/pq"
)

// How long a PostgreSQL that says nothing is waited for: one that stands still, or is beyond a network that swallows
// everything, looks exactly like one that is busy.
const (
	silenceLimit  = 35 * time.Second // for the next bytes of an answer; a commit of the ledger may take 30 s
	listenSilence = time.Minute      // for news; pings are answered every 15 s
	connectLimit  = 10 * time.Second // for a connection, with its greetings
	cancelLimit   = 2 * time.Second  // for the end of a call whose context has ended
)

// connector opens connections on which no call outlives its context by more than cancelLimit. By itself lib/pq reads on when a
// context has ended: it dials again to ask the server to cancel the query, and waits for the query's answer however long
// that takes.
type connector struct {
	config  pq.Config
	silence time.Duration // 0: for ever, as long as the context lasts
	setup   string        // statements for each new connection; may be empty
}

// idleLimit is how long a transaction may stand still before PostgreSQL ends it with its connection. A process that is
// stopped, or cut off, between two statements would otherwise keep its locks, which other replicas wait for, for as long as it
// likes. Between two statements of a process that is well lie milliseconds.
const idleLimit = 10 * time.Second

// sessionBounds are statements by which PostgreSQL gives up a client that is gone, within half a minute, for what the
// address does not set itself. They are no parameters of the start of a connection: poolers refuse to connect with those that
// they do not know. PostgreSQL ignores those of TCP on a Unix socket.
func sessionBounds(config pq.Config) string {
	var set strings.Builder
	for _, b := range [...]struct{ name, value string }{
		{"idle_in_transaction_session_timeout", strconv.FormatInt(idleLimit.Milliseconds(), 10)},
		{"tcp_keepalives_idle", "10"}, // s
		{"tcp_keepalives_interval", "5"},
		{"tcp_keepalives_count", "3"},
		{"tcp_user_timeout", "25000"}, // ms, for what was sent and not received
	} {
		if _, own := config.Runtime[b.name]; !own {
			fmt.Fprintf(&set, "SET %s = %s; ", b.name, b.value)
		}
	}
	return set.String()
}

// several completes the address of a database on several hosts, of which one is the primary. What it does not say itself is
// that only the primary will do, since a standby writes nothing, and that no host that stands still may use up connectLimit alone.
func several(dsn string) string {
	config, err := pq.NewConfig(dsn)
	if err != nil || len(config.Multi) == 0 {
		return dsn
	}
	u, err := url.Parse(dsn)
	if err != nil || u.Scheme == "" {
		return dsn
	}
	query := u.Query()
	if config.TargetSessionAttrs == "" {
		query.Set("target_session_attrs", string(pq.TargetSessionAttrsReadWrite))
	}
	if config.ConnectTimeout == 0 {
		each := connectLimit / time.Duration(len(config.Multi)+1)
		query.Set("connect_timeout", strconv.Itoa(max(int(each.Seconds()), 1)))
	}
	u.RawQuery = query.Encode()
	return u.String()
}

var errNoConnection = errors.New("PostgreSQL did not answer within " + connectLimit.String())

// Connect opens a connection with a dialer of its own: what lib/pq dials with it later is a request to cancel.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, connectLimit, errNoConnection)
	defer cancel()
	inner, err := pq.NewConnectorConfig(c.config.Clone())
	if err != nil {
		return nil, err
	}
	d := &dialer{silence: c.silence}
	inner.Dialer(d)
	stop := context.AfterFunc(ctx, func() { d.endBy(time.Now()) })
	conn, err := inner.Connect(ctx)
	if !stop() { // the greetings were cut short, or are about to be
		if err == nil {
			conn.Close()
		}
		return nil, fmt.Errorf("connect: %w", context.Cause(ctx))
	}
	if err != nil {
		return nil, err
	}
	d.establish()
	l := &link{conn.(queries), d}
	if c.setup != "" {
		if _, err := l.ExecContext(ctx, c.setup, nil); err != nil {
			l.Close()
			return nil, fmt.Errorf("set up a connection: %w", err)
		}
	}
	return l, nil
}

// queries is what database/sql uses of a connection of lib/pq.
type queries interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
	driver.NamedValueChecker
}

// link is a connection that can be ended while a call is on it.
type link struct {
	queries
	dialer *dialer
}

// Driver is for database/sql.
func (c *connector) Driver() driver.Driver { return &pq.Driver{} }

// dialer dials one connection, and then the requests to cancel what runs on it.
type dialer struct {
	silence time.Duration

	mu          sync.Mutex
	established bool
	main        *wire
	end         time.Time // when everything dialed ends; zero: it does not
}

// DialContext connects. Once the connection is established, lib/pq dials for one reason: the context of the call on it has
// ended. From then on the call has cancelLimit to end, and the connection with it, which lib/pq would not use again either.
func (d *dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	d.mu.Lock()
	cancels := d.established
	d.mu.Unlock()
	limit := connectLimit
	if cancels {
		limit = cancelLimit
		d.endBy(time.Now().Add(cancelLimit))
	}
	c, err := (&net.Dialer{Timeout: limit}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	w := &wire{Conn: c, silence: d.silence, end: d.end}
	if !cancels {
		d.main = w
	}
	return w, nil
}

// Dial and DialTimeout make it a pq.Dialer; lib/pq prefers DialContext.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialTimeout is Dial within a time.
func (d *dialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

func (d *dialer) establish() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.established = true
}

// endBy lets whatever is dialed or will be end at a moment.
func (d *dialer) endBy(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.end = earliest(d.end, t)
	if d.main != nil {
		d.main.endBy(d.end)
	}
}

// wire is a network connection that is closed once it has kept silent for too long, or its end has come.
type wire struct {
	net.Conn
	silence time.Duration

	mu        sync.Mutex
	end       time.Time
	handshake time.Time // set by lib/pq while it connects, for connect_timeout
}

func (w *wire) Read(b []byte) (int, error) {
	if err := w.arm(w.silence, w.Conn.SetReadDeadline); err != nil {
		return 0, err
	}
	n, err := w.Conn.Read(b)
	return n, w.given(err)
}

func (w *wire) Write(b []byte) (int, error) {
	if err := w.arm(silenceLimit, w.Conn.SetWriteDeadline); err != nil { // a healthy server reads even while it is busy
		return 0, err
	}
	n, err := w.Conn.Write(b)
	return n, w.given(err)
}

// arm sets the deadline of one read or write. The lock keeps it from undoing an end that is being set.
func (w *wire) arm(silence time.Duration, set func(time.Time) error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := earliest(w.end, w.handshake)
	if silence > 0 {
		t = earliest(t, time.Now().Add(silence))
	}
	return set(t)
}

// given closes a connection that was given up: an answer that came now would be taken for that of the next query.
func (w *wire) given(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		w.Conn.Close()
	}
	return err
}

// endBy also ends what is being read or written.
func (w *wire) endBy(t time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end = earliest(w.end, t)
	_ = w.Conn.SetDeadline(w.end) // fails where the connection is closed already
}

// SetDeadline is called by lib/pq for connect_timeout, and with zero once it is connected.
func (w *wire) SetDeadline(t time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.handshake = t
	return w.Conn.SetDeadline(earliest(t, w.end))
}

// earliest is the earlier of two moments, of which zero is none.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
