// Package store is all SQL: one file an aggregate, statements beside the methods that run them.
//
// Row structs stay private; what goes in and out are the types of internal/tenancy, internal/usage and internal/quota.
// Constraint violations become fault kinds by constraint name. Customer-facing reads go through ForTenant.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// Store reads and writes the database. It is safe for concurrent use.
type Store struct {
	db      *sqlx.DB
	patient *sql.DB  // waits for long statements
	commits *sqlx.DB // of usage, which never stand in line behind pages and calls
	now     func() time.Time
	clock   func(time.Time) time.Time // what time it is when the database says that it is this

	lookedUnder atomic.Int64 // the version of the rules of alerts under which all open periods were looked at
}

// MaxConnections is what one process takes of PostgreSQL's max_connections; it leaves room for other replicas.
const MaxConnections = 16

// Open connects to the database at a lib/pq DSN and checks that it answers. A call on the Store ends with its context, and
// with an error when PostgreSQL says nothing for silenceLimit.
func Open(ctx context.Context, dsn string) (*Store, error) {
	config, err := pq.NewConfig(several(dsn))
	if err != nil {
		return nil, fmt.Errorf("database address: %w", err)
	}
	bounds := sessionBounds(config)
	db := sql.OpenDB(&connector{config: config, silence: silenceLimit, setup: bounds})
	db.SetMaxOpenConns(MaxConnections)
	db.SetMaxIdleConns(MaxConnections / 2)
	db.SetConnMaxIdleTime(5 * time.Minute)
	if err := db.PingContext(ctx); err != nil {
		db.Close()
		return nil, fmt.Errorf("reach the database: %w", err)
	}
	s := New(db, time.Now)
	s.patient = sql.OpenDB(&connector{config: config})
	s.patient.SetMaxIdleConns(-1) // seldom used
	// Its statements differ only in how many rows they bring: planning them for that is work for nothing.
	const planOnce = `SET plan_cache_mode = force_generic_plan`
	s.commits = sqlx.NewDb(sql.OpenDB(&connector{config: config, silence: silenceLimit, setup: bounds + planOnce}), "postgres")
	s.commits.SetMaxIdleConns(1)
	return s, nil
}

// New wraps an open database. now is frozen once per transaction, so that a transaction has one time.
func New(db *sql.DB, now func() time.Time) *Store {
	x := sqlx.NewDb(db, "postgres")
	return &Store{db: x, patient: db, commits: x, now: now, clock: time.Time.UTC}
}

// DB gives a pool to what runs its own SQL, such as migrations, whose statements may take as long as their context lets them.
func (s *Store) DB() *sql.DB { return s.patient }

// Ping tells whether the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.db.PingContext(ctx) }

// Close releases the connections.
func (s *Store) Close() error { return errors.Join(s.db.Close(), s.patient.Close(), s.commits.Close()) }
