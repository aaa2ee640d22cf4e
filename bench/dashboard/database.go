package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	_ "github.com/lib/pq" // the driver
	"golang.org/x/sys/unix"

	"github.com/fila-ia/filaia/internal/pglocal"
	"github.com/fila-ia/filaia/migrations"
	"github.com/fila-ia/filaia/store"
)

// database is the private PostgreSQL of a folder.
type database struct {
	dir    string
	server *pglocal.Server
	sql    *sql.DB
}

func open(ctx context.Context, dir string) (*database, error) {
	d := &database{dir: dir}
	if err := d.start(ctx); err != nil {
		return nil, err
	}
	if err := migrations.Up(ctx, d.sql); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

func (d *database) start(ctx context.Context) (err error) {
	if d.server, err = start(ctx, d.dir); err != nil {
		return err
	}
	d.sql, err = sql.Open("postgres", d.server.URL(pglocal.Database))
	return err
}

func (d *database) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return errors.Join(d.sql.Close(), d.server.Stop(ctx))
}

// store reads with a clock that stands at the end of the data.
func (d *database) store(end time.Time) *store.Store {
	return store.New(d.sql, func() time.Time { return end })
}

// forget starts PostgreSQL anew and has the system drop what it keeps of its files in memory.
func (d *database) forget(ctx context.Context) error {
	if err := d.close(); err != nil {
		return err
	}
	err := filepath.WalkDir(filepath.Join(d.dir, "pg", "base"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return forget(f)
	})
	if err != nil {
		return fmt.Errorf("drop files from memory: %w", err)
	}
	return d.start(ctx)
}

// cpu is the CPU time of this process and of the PostgreSQL process that serves its only connection.
func (d *database) cpu(ctx context.Context) (time.Duration, error) {
	var pid int
	if err := d.sql.QueryRowContext(ctx, `SELECT pg_backend_pid()`).Scan(&pid); err != nil {
		return 0, err
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", pid)) // nanoseconds on a CPU come first
	if err != nil {
		return 0, err
	}
	ns, _, _ := strings.Cut(string(text), " ")
	server, err := strconv.ParseInt(ns, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
	}
	var own unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &own); err != nil {
		return 0, err
	}
	return time.Duration(server + own.Utime.Nano() + own.Stime.Nano()), nil
}

// describe gives the sizes of the tables that grow with use, indexes included, and the settings that decide speed.
func describe(ctx context.Context, db *sql.DB) (sizes []size, settings []string, err error) {
	const query = `SELECT regexp_replace(relname, '^usage_events_.*', 'usage_events'), sum(reltuples)::bigint,
			sum(pg_table_size(oid))::bigint, sum(pg_indexes_size(oid))::bigint
		FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
			AND (relname LIKE 'usage%' OR relname IN ('refusals', 'billing_periods', 'api_keys', 'tenants')) GROUP BY 1 ORDER BY 3 DESC`
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var s size
		if err := rows.Scan(&s.Table, &s.Rows, &s.Bytes, &s.IndexBytes); err != nil {
			return nil, nil, err
		}
		sizes = append(sizes, s)
	}
	for _, name := range []string{"server_version", "shared_buffers", "work_mem", "effective_cache_size", "random_page_cost", "parallel_setup_cost", "jit"} {
		var value string
		if err := db.QueryRowContext(ctx, `SELECT current_setting($1)`, name).Scan(&value); err != nil {
			return nil, nil, err
		}
		settings = append(settings, name+" "+value)
	}
	return sizes, settings, rows.Err()
}
