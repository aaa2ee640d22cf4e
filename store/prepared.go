package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// prepared are the statements of a transaction that is run again and again: PostgreSQL parses and plans them once a
// connection, and each is one question and one answer.
type prepared struct {
	db     *sqlx.DB
	mu     sync.Mutex
	ready  map[string]*sqlx.Stmt
	wanted []string // met in a transaction and not prepared yet: there it would take a second connection
}

func newPrepared(db *sqlx.DB) *prepared { return &prepared{db: db, ready: map[string]*sqlx.Stmt{}} }

// statement is nil for a query that is met for the first time.
func (p *prepared) statement(query string) *sqlx.Stmt {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, known := p.ready[query]
	if !known {
		p.ready[query] = nil
		p.wanted = append(p.wanted, query)
	}
	return s
}

// prepare readies what was met since the last time.
func (p *prepared) prepare(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.wanted) > 0 {
		query := p.wanted[0]
		s, err := p.db.PreparexContext(ctx, query)
		if err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
		p.ready[query], p.wanted = s, p.wanted[1:]
	}
	return nil
}

// ExecContext uses the prepared statement where the transaction has some.
func (t *tx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if t.prepared != nil && len(args) > 0 {
		if s := t.prepared.statement(query); s != nil {
			return t.StmtxContext(ctx, s).ExecContext(ctx, args...)
		}
	}
	return t.Tx.ExecContext(ctx, query, args...)
}

// SelectContext uses the prepared statement where the transaction has some.
func (t *tx) SelectContext(ctx context.Context, dest any, query string, args ...any) error {
	if t.prepared != nil {
		if s := t.prepared.statement(query); s != nil {
			return t.StmtxContext(ctx, s).SelectContext(ctx, dest, args...)
		}
	}
	return t.Tx.SelectContext(ctx, dest, query, args...)
}

// inCommit runs fn in a transaction of the pool for commits of usage, with statements prepared there. Where they do not fit
// the tables any more it fails once a connection: the next prepares them anew.
func (s *Store) inCommit(ctx context.Context, p *prepared, fn func(*tx) error) (err error) {
	if err := p.prepare(ctx); err != nil {
		return err
	}
	conn, err := p.db.Connx(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() {
		if outdated(err) {
			_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // which takes it out of the pool
		}
		if closed := conn.Close(); closed != nil && !errors.Is(closed, sql.ErrConnDone) {
			err = errors.Join(err, closed)
		}
	}()
	t, err := conn.BeginTxx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer t.Rollback() //nolint:errcheck // after a commit it does nothing
	if err := fn(&tx{Tx: t, now: s.now().UTC().Truncate(time.Microsecond), conn: conn, prepared: p}); err != nil {
		return err
	}
	if err := t.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// outdated tells of a failure of what was prepared on a connection, which would come back as long as that lasts: a
// migration changed the type of a column, or what is between us and PostgreSQL gave us another of its connections.
func outdated(err error) bool {
	var refused *pq.Error
	if !errors.As(err, &refused) {
		return false
	}
	switch refused.Code.Name() {
	case "feature_not_supported", // "cached plan must not change result type"
		"invalid_sql_statement_name", "duplicate_prepared_statement":
		return true
	}
	return false
}
