package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/fila-ia/filaia/internal/config"
	"github.com/fila-ia/filaia/internal/pglocal"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/migrations"
	"github.com/fila-ia/filaia/store"
)

// database is the open database, and the private server where there is one.
type database struct {
	*store.Store
	dsn   string
	local *pglocal.Server // nil with DATABASE_URL
}

// openDatabase connects to DATABASE_URL, or to the data folder's own PostgreSQL, starting it if nobody has.
func openDatabase(ctx context.Context, cfg config.Config, log *slog.Logger) (*database, error) {
	db := &database{dsn: cfg.DatabaseURL}
	if db.dsn == "" {
		local, err := pglocal.Start(ctx, cfg.DataDir, log)
		if err != nil {
			return nil, err
		}
		db.local, db.dsn = local, local.URL(pglocal.Database)
	}
	var err error
	if db.Store, err = store.Open(ctx, db.dsn); err != nil {
		db.stopLocal(log)
		if db.local == nil {
			err = fmt.Errorf("DATABASE_URL: %w", err)
		}
		return nil, err
	}
	return db, nil
}

func (db *database) stopLocal(log *slog.Logger) {
	if db.local == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := db.local.Stop(ctx); err != nil {
		log.Error("stop PostgreSQL", "error", err)
	}
}

// close disconnects, and stops the private server when nobody else uses it.
func (db *database) close(log *slog.Logger) {
	if err := db.Store.Close(); err != nil {
		log.Error("close the database", "error", err)
	}
	db.stopLocal(log)
}

// withStore runs an administration command on the migrated database; its changes are put down to the command line, and
// what it rejects is said as flags.
func withStore(ctx context.Context, w world, f *flags, fn func(context.Context, config.Config, *store.Store) error) error {
	cfg, err := config.Load(w.getenv)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(w.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	db, err := openDatabase(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer db.close(log)
	if err := prepare(ctx, db.Store); err != nil {
		return err
	}
	return f.tell(fn(tenancy.WithActor(ctx, tenancy.Actor{Label: "command line"}), cfg, db.Store))
}

// prepare brings the schema up to date and makes the partitions of the months to come.
func prepare(ctx context.Context, s *store.Store) error {
	if err := migrations.Up(ctx, s.DB()); err != nil {
		return err
	}
	err := makePartitions(ctx, s)
	if errors.Is(err, store.ErrBusy) {
		return nil // those of months to come; the upkeep makes them, and no call is lost without them
	}
	return err
}

func makePartitions(ctx context.Context, s *store.Store) error {
	now := time.Now().UTC()
	if err := s.EnsurePartitions(ctx, now.AddDate(0, -1, 0), now.AddDate(0, 3, 0)); err != nil {
		return fmt.Errorf("make partitions: %w", err)
	}
	return nil
}

// secretFrom reads a password from standard input: one line, without its end.
func secretFrom(r io.Reader) (string, error) {
	b, err := io.ReadAll(io.LimitReader(r, 4096))
	if err != nil {
		return "", fmt.Errorf("read the password from standard input: %w", err)
	}
	for len(b) > 0 && (b[len(b)-1] == '\n' || b[len(b)-1] == '\r') {
		b = b[:len(b)-1]
	}
	return string(b), nil
}
