package store

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lib/pq"

	"github.com/fila-ia/filaia/store/storetest"
)

// proxy is a network to the database that can be made to swallow everything: it goes on accepting connections and bytes.
type proxy struct {
	network, server string
	dsn             string // by way of the proxy

	mu     sync.Mutex
	frozen chan struct{} // closed when it thaws; nil while it flows
}

func startProxy(t *testing.T, dsn string) *proxy {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	query, p := u.Query(), &proxy{network: "tcp", server: u.Host}
	if dir := query.Get("host"); filepath.IsAbs(dir) {
		port := query.Get("port")
		if port == "" {
			port = "5432"
		}
		p.network, p.server = "unix", filepath.Join(dir, ".s.PGSQL."+port)
		query.Set("sslmode", "disable")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	query.Del("host")
	query.Del("port")
	u.Host, u.RawQuery = listener.Addr().String(), query.Encode()
	p.dsn = u.String()
	t.Cleanup(func() {
		listener.Close()
		p.thaw()
	})
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go p.connect(client)
		}
	}()
	return p
}

func (p *proxy) connect(client net.Conn) {
	defer client.Close()
	server, err := net.Dial(p.network, p.server)
	if err != nil {
		return
	}
	defer server.Close()
	go p.pass(server, client)
	p.pass(client, server)
}

func (p *proxy) pass(to, from net.Conn) {
	defer to.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		p.await()
		_, failed := to.Write(buf[:n])
		if err != nil || failed != nil {
			return
		}
	}
}

// await blocks while the proxy is frozen. Nobody who freezes it waits for what is being written: its reader may be the
// one who does.
func (p *proxy) await() {
	p.mu.Lock()
	frozen := p.frozen
	p.mu.Unlock()
	if frozen != nil {
		<-frozen
	}
}

func (p *proxy) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozen = make(chan struct{})
}

func (p *proxy) thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen != nil {
		close(p.frozen)
		p.frozen = nil
	}
}

// ends waits for a call that would otherwise last for ever. It must be well below silenceLimit.
func ends(t *testing.T, what string, call func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- call() }()
	select {
	case err := <-done:
		return err
	case <-time.After(20 * time.Second):
		t.Fatalf("%s still waits", what)
		return nil
	}
}

func TestNoCallOutlivesItsContextOnAFrozenDatabase(t *testing.T) {
	dsn := storetest.DB(t)
	const many = `SELECT repeat('x', 10000) FROM generate_series(1, 10000)`
	soon := func(t *testing.T) context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	for name, call := range map[string]func(*testing.T, *Store, *proxy) error{
		"a query": func(t *testing.T, s *Store, p *proxy) error {
			p.freeze()
			rows, err := s.db.QueryContext(soon(t), `SELECT $1::int`, 1)
			if err == nil {
				rows.Close()
			}
			return err
		},
		"a ping": func(t *testing.T, s *Store, p *proxy) error {
			p.freeze()
			return s.Ping(soon(t))
		},
		"a new connection": func(t *testing.T, s *Store, p *proxy) error {
			s.db.SetMaxIdleConns(-1)
			p.freeze()
			return s.Ping(soon(t))
		},
		"a transaction": func(t *testing.T, s *Store, p *proxy) error {
			return s.inTx(soon(t), func(tx *tx) error {
				p.freeze()
				_, err := tx.Exec(`UPDATE settings SET value = value`)
				return err
			})
		},
		"a commit": func(t *testing.T, s *Store, p *proxy) error {
			return s.inTx(soon(t), func(*tx) error {
				p.freeze()
				return nil
			})
		},
		"rows half read": func(t *testing.T, s *Store, p *proxy) error {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			rows, err := s.db.QueryContext(ctx, many)
			if err != nil {
				return err
			}
			defer rows.Close()
			for n := 0; rows.Next(); n++ {
				if n == 10 {
					p.freeze()
					cancel()
				}
			}
			return rows.Err()
		},
		"a statement without a limit": func(t *testing.T, s *Store, p *proxy) error {
			if err := s.DB().Ping(); err != nil {
				return err
			}
			conn, err := s.DB().Conn(t.Context())
			if err != nil {
				return err
			}
			defer conn.Close()
			p.freeze()
			_, err = conn.ExecContext(soon(t), `SELECT 1`)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startProxy(t, dsn)
			s, err := Open(t.Context(), p.dsn)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if err := ends(t, name, func() error { return call(t, s, p) }); err == nil {
				t.Fatal("it succeeds")
			}
			p.thaw()
			if err := ends(t, "the next call", func() error { return s.Ping(t.Context()) }); err != nil {
				t.Fatalf("the next call: %v", err)
			}
		})
	}
}

// impatient opens a pool for which a database is dead after a short silence.
func impatient(t *testing.T, dsn string, silence time.Duration) *sql.DB {
	t.Helper()
	config, err := pq.NewConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(&connector{config: config, silence: silence})
	t.Cleanup(func() { db.Close() })
	return db
}

func TestASilentDatabaseIsGivenUpWithoutAContext(t *testing.T) {
	p := startProxy(t, storetest.DB(t))
	db := impatient(t, p.dsn, 2*time.Second)
	query := func() error {
		var one int
		return db.QueryRow(`SELECT $1::int`, 1).Scan(&one)
	}
	if err := query(); err != nil {
		t.Fatal(err)
	}
	p.freeze()
	if err := ends(t, "a query", query); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("it ends with %v", err)
	}
	if n := db.Stats().OpenConnections; n != 0 {
		t.Errorf("%d dead connections are kept", n)
	}
	p.thaw()
	if err := ends(t, "the next query", query); err != nil {
		t.Fatal(err)
	}
}

func TestAnAnswerMayTakeLongerThanTheLimitAsLongAsItComes(t *testing.T) {
	t.Parallel()
	db := impatient(t, storetest.DB(t), 5*time.Second)
	if _, err := db.Exec(`DO $$ BEGIN FOR i IN 1..12 LOOP RAISE NOTICE 'still here'; PERFORM pg_sleep(0.5); END LOOP; END $$`); err != nil {
		t.Fatal(err)
	}
}

func TestACancelledQueryEndsInTheDatabaseAsWell(t *testing.T) {
	dsn := storetest.DB(t)
	s, err := Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const runs = `SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)' AND state = 'active'`
	var running int
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { _, err := s.db.ExecContext(ctx, `SELECT pg_sleep(600)`); ended <- err }()
	for deadline := time.Now().Add(time.Minute); running == 0; time.Sleep(5 * time.Millisecond) {
		if err := s.db.Get(&running, runs); err != nil || time.Now().After(deadline) {
			t.Fatalf("the query never runs: %v", err)
		}
	}
	cancel()
	err = <-ended
	var refused *pq.Error
	if !errors.As(err, &refused) || refused.Code.Name() != "query_canceled" {
		t.Fatalf("the query ends with %v", err)
	}
	if err := s.db.Get(&running, runs); err != nil || running != 0 {
		t.Fatalf("%d run on, %v", running, err)
	}
}

func TestADatabaseThatNeverGreetsIsReportedWithinTheConnectTimeout(t *testing.T) {
	t.Parallel()
	p := startProxy(t, storetest.DB(t))
	p.freeze()
	for name, dsn := range map[string]string{"ours": p.dsn, "of the address": p.dsn + "&connect_timeout=1"} {
		if !strings.Contains(dsn, "?") {
			dsn = strings.Replace(dsn, "&", "?", 1)
		}
		err := ends(t, name, func() error {
			s, err := Open(t.Context(), dsn)
			if err == nil {
				s.Close()
			}
			return err
		})
		if own := errors.Is(err, errNoConnection); err == nil || own != (name == "ours") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
