// Package storetest hands out migrated PostgreSQL databases to tests, a fresh one for each.
//
// A package that uses it says so once:
//
//	func TestMain(m *testing.M) { os.Exit(storetest.Run(m)) }
//
// The first call of DB starts a private cluster that belongs to this test binary and migrates one database; every test gets a
// copy of that. FILAIA_TEST_DATABASE_URL names a server to use instead; its role must be allowed to create databases and roles.
package storetest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/fila-ia/filaia/migrations"
)

// ServerVariable names the environment variable with the address of a server to use.
const ServerVariable = "FILAIA_TEST_DATABASE_URL"

// startPatience bounds starting, migrating and copying. It only matters when something hangs.
const startPatience = 2 * time.Minute

// shared is the server of this test binary: testing gives its TestMain no other way to reach the tests.
var shared server

// Run runs the tests, then ends the server that they may have started, also when they failed. It returns the exit code.
func Run(m *testing.M) int {
	shared.open()
	code := m.Run()
	if err := shared.close(); err != nil {
		fmt.Fprintln(os.Stderr, "storetest:", err)
		return 1
	}
	return code
}

// DB is the address of a fresh, migrated database, for lib/pq. It is dropped when the test ends.
func DB(t testing.TB) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startPatience)
	defer cancel()
	name, err := shared.create(ctx)
	if err != nil {
		t.Fatalf("storetest: %v", err)
	}
	t.Cleanup(func() {
		if err := shared.drop(name); err != nil {
			t.Errorf("storetest: %v", err)
		}
	})
	return shared.address(name)
}

// Open is an open pool on a database of its own, as from DB. It is closed when the test ends.
func Open(t testing.TB) *sqlx.DB {
	t.Helper()
	db, err := sqlx.Open("postgres", DB(t))
	if err != nil {
		t.Fatalf("storetest: %v", err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// server makes the databases. What is below mu is set by the first test that asks.
type server struct {
	mu       sync.Mutex
	isOpen   bool
	started  bool
	err      error // why it did not start; every test gets to see it
	admin    *sql.DB
	address  func(database string) string
	stop     func() error
	template string
	made     int
}

func (s *server) open() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.isOpen = true
}

// create copies the template and returns the new database's name.
func (s *server) create(ctx context.Context) (string, error) {
	s.mu.Lock()
	if !s.started {
		s.err = s.start(ctx)
		s.started = true
	}
	err := s.err
	s.made++
	name := fmt.Sprintf("%s_%d", s.template, s.made)
	s.mu.Unlock()
	if err != nil {
		return "", err
	}
	// Copying the files is quicker than writing the copy through the log, where nothing is synced to disk.
	_, err = s.admin.ExecContext(ctx, `CREATE DATABASE `+pq.QuoteIdentifier(name)+` TEMPLATE `+pq.QuoteIdentifier(s.template)+` STRATEGY file_copy`)
	if err != nil {
		return "", fmt.Errorf("create %s: %w", name, err)
	}
	return name, nil
}

func (s *server) drop(name string) error {
	for deadline := time.Now().Add(dropPatience); ; time.Sleep(50 * time.Millisecond) {
		_, err := s.admin.Exec(`DROP DATABASE IF EXISTS ` + pq.QuoteIdentifier(name) + ` WITH (FORCE)`)
		if err == nil {
			return nil
		}
		// The server's own vacuum may be at work in it, which we may not end.
		var refused *pq.Error
		if !errors.As(err, &refused) || refused.Code.Name() != "insufficient_privilege" || time.Now().After(deadline) {
			return fmt.Errorf("drop %s: %w", name, err)
		}
	}
}

// dropPatience is how long a vacuum of a small database can take on a busy machine.
const dropPatience = 30 * time.Second

func (s *server) start(ctx context.Context) (err error) {
	if !s.isOpen {
		return errors.New("this package needs `func TestMain(m *testing.M) { os.Exit(storetest.Run(m)) }`")
	}
	base := os.Getenv(ServerVariable)
	if base == "" {
		var p *private
		if p, err = startPrivate(ctx); err != nil {
			return err
		}
		base, s.stop = p.server.URL("postgres"), p.stop
	}
	if s.address, err = addresses(base); err != nil {
		return err
	}
	if s.admin, err = sql.Open("postgres", base); err != nil {
		return fmt.Errorf("%s: %w", ServerVariable, err)
	}
	s.template = "filaia_test_" + strings.ToLower(rand.Text()[:8]) // others may test on the same server
	return s.migrate(ctx)
}

// migrate makes the template.
func (s *server) migrate(ctx context.Context) error {
	conn, err := s.admin.Conn(ctx)
	if err != nil {
		return fmt.Errorf("reach the server: %w", err)
	}
	defer conn.Close()
	// Migrations touch roles, which all databases of a server share.
	const one = `SELECT pg_advisory_lock(hashtext('filaia storetest'))`
	if _, err := conn.ExecContext(ctx, one); err != nil {
		return fmt.Errorf("lock the server: %w", err)
	}
	defer conn.ExecContext(ctx, `SELECT pg_advisory_unlock_all()`) //nolint:errcheck // the connection's end unlocks as well
	if _, err := conn.ExecContext(ctx, `CREATE DATABASE `+pq.QuoteIdentifier(s.template)); err != nil {
		return fmt.Errorf("create the template: %w", err)
	}
	db, err := sql.Open("postgres", s.address(s.template))
	if err != nil {
		return err
	}
	defer db.Close()
	return migrations.Up(ctx, db)
}

// close ends what the tests started.
func (s *server) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.isOpen = false
	var err error
	if s.admin != nil {
		if s.stop == nil && s.template != "" { // a server of somebody else: leave it as it was
			err = s.drop(s.template)
		}
		s.admin.Close()
	}
	if s.stop != nil {
		err = errors.Join(err, s.stop())
	}
	return err
}

// addresses tells the address of each database on the server that base names as a URL.
func addresses(base string) (func(database string) string, error) {
	u, err := url.Parse(base)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		return nil, fmt.Errorf("%s must be a URL such as postgres://user:password@host:5432/postgres", ServerVariable)
	}
	return func(database string) string {
		to := *u
		to.Path = "/" + database
		return to.String()
	}, nil
}
