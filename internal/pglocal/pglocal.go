// Package pglocal keeps a private PostgreSQL for an installation that was given no DATABASE_URL.
//
// The cluster lives in <data folder>/pg and is reached only through the unix socket inside that folder: no TCP port, and
// the folder's mode keeps other accounts out. Beside it lie pg.lock and pg.users (who starts, who uses) and pg.log.
//
// Several processes share one data folder: the running server and short commands. The first to come starts PostgreSQL, the
// last to leave stops it. PostgreSQL runs in a session of its own, so neither Ctrl-C nor the kill -9 of one of our
// processes reaches it; the next process takes it over.
package pglocal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/lib/pq"
)

// Database is what Start creates when it is missing, and Role is who owns it. The role may create databases and roles but is
// no superuser: what an SQL injection could reach ends at the database.
const (
	Database = "filaia"
	Role     = "filaia"
)

const (
	superuser  = "postgres"
	socketPort = "5432" // only the suffix of the socket's file name
	pollEvery  = 20 * time.Millisecond
	watchEvery = time.Second
)

// Server is one process's use of the private PostgreSQL. Its methods may be called from several goroutines.
type Server struct {
	cluster cluster
	logFile string
	log     *slog.Logger
	opts    options

	gate    *fileLock // exclusive while someone starts or stops PostgreSQL
	users   *fileLock // shared while someone uses it
	socket  *socketDir
	stopped atomic.Bool
}

type options struct {
	throwaway bool
	places    func(context.Context) []string
}

// Option changes how Start works.
type Option func(*options)

// Throwaway is for tests: nothing is synced to disk and Stop does not wait for a checkpoint. A crash may lose the data.
func Throwaway() Option { return func(o *options) { o.throwaway = true } }

// Start gives the private PostgreSQL of dataDir, ready to be queried: it makes the folder, the cluster, its role and its
// database where they are missing, and reuses the server when it already runs. It waits until ctx ends, and returns
// ErrNoBinaries when PostgreSQL is not installed. The errors are one line each and may be shown to the operator.
func Start(ctx context.Context, dataDir string, log *slog.Logger, opts ...Option) (*Server, error) {
	dir, err := filepath.Abs(dataDir)
	if err != nil {
		return nil, fmt.Errorf("data folder %s: %w", dataDir, err)
	}
	s := &Server{cluster: cluster{dir: filepath.Join(dir, "pg")}, logFile: filepath.Join(dir, "pg.log"), log: log}
	s.opts.places = searchPlaces
	for _, o := range opts {
		o(&s.opts)
	}
	if err := s.open(dir); err != nil {
		return nil, err
	}
	if err := s.enter(ctx); err != nil {
		s.release()
		return nil, err
	}
	return s, nil
}

// open prepares the data folder, the lock files and the short way to the socket.
func (s *Server) open(dir string) (err error) {
	if err := makeWritable(dir); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			s.release()
		}
	}()
	if s.gate, err = openLock(filepath.Join(dir, "pg.lock")); err != nil {
		return notWritable(dir, err)
	}
	if s.users, err = openLock(filepath.Join(dir, "pg.users")); err != nil {
		return notWritable(dir, err)
	}
	s.socket, err = openSocketDir(s.cluster.dir)
	return err
}

// enter counts this process among the users and brings the server up.
func (s *Server) enter(ctx context.Context) error {
	return s.gate.hold(ctx, func() error {
		if err := share(s.users.f); err != nil {
			return err
		}
		err := s.ensure(ctx)
		if err == nil {
			err = s.provision(ctx)
		}
		if err == nil {
			return nil
		}
		// Ctx may be over already, and what was started must not be left behind.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		return errors.Join(err, s.leave(ctx))
	})
}

// leave shuts the server down when nobody else uses it. The caller holds the gate.
func (s *Server) leave(ctx context.Context) error {
	last, err := s.users.tryExclusive()
	if err != nil || !last {
		return err
	}
	return s.shutdown(ctx)
}

// URL is the address of a database on this server, for lib/pq as well as for libpq's own programs.
func (s *Server) URL(database string) string { return s.address(Role, database) }

func (s *Server) address(user, database string) string {
	query := url.Values{"host": {s.socket.path}, "port": {socketPort}, "user": {user}, "sslmode": {"disable"}}
	return (&url.URL{Scheme: "postgres", Path: "/" + database, RawQuery: query.Encode()}).String()
}

// Run watches the server and starts it again when it is gone, killed from outside. It returns nil when ctx ends or after Stop.
func (s *Server) Run(ctx context.Context) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if s.stopped.Load() {
			return nil
		}
		boundLog(s.logFile)
		if _, alive := s.cluster.postmaster(); alive {
			continue
		}
		s.log.Warn("the private PostgreSQL is gone; starting it again", "folder", s.cluster.dir)
		err := s.gate.hold(ctx, func() error {
			if s.stopped.Load() {
				return nil
			}
			return s.ensure(ctx)
		})
		if err != nil && ctx.Err() == nil {
			s.log.Error("the private PostgreSQL does not start", "error", err)
		}
	}
}

// Stop leaves the server, and shuts it down when nobody else uses it. A ctx that ends earlier does not undo the shutdown,
// which PostgreSQL completes on its own. Further calls do nothing.
func (s *Server) Stop(ctx context.Context) error {
	if s.stopped.Swap(true) {
		return nil
	}
	defer s.release()
	return s.gate.hold(ctx, func() error { return s.leave(ctx) })
}

func (s *Server) release() {
	s.gate.close()
	s.users.close()
	s.socket.close()
}

// provision creates the role and the database where they are missing. The caller holds the gate.
func (s *Server) provision(ctx context.Context) error {
	db, err := sql.Open("postgres", s.address(superuser, superuser))
	if err != nil {
		return fmt.Errorf("private PostgreSQL: %w", err)
	}
	defer db.Close()
	for _, step := range []struct{ check, name, create string }{
		{`SELECT count(*) FROM pg_roles WHERE rolname = $1`, Role,
			`CREATE ROLE ` + pq.QuoteIdentifier(Role) + ` LOGIN CREATEDB CREATEROLE`},
		{`SELECT count(*) FROM pg_database WHERE datname = $1`, Database,
			`CREATE DATABASE ` + pq.QuoteIdentifier(Database) + ` OWNER ` + pq.QuoteIdentifier(Role)},
	} {
		var found int
		if err := db.QueryRowContext(ctx, step.check, step.name).Scan(&found); err != nil {
			return fmt.Errorf("look for %s in the private PostgreSQL: %w", step.name, err)
		}
		if found > 0 {
			continue
		}
		if _, err := db.ExecContext(ctx, step.create); err != nil {
			return fmt.Errorf("create %s in the private PostgreSQL: %w", step.name, err)
		}
	}
	return nil
}
