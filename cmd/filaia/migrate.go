package main

import (
	"context"
	"log/slog"
	"strconv"

	"github.com/fila-ia/filaia/internal/config"
	"github.com/fila-ia/filaia/migrations"
)

func migrateUp(ctx context.Context, w world, args []string) error {
	return migrate(ctx, w, "migrate up", args, func(ctx context.Context, db *database) error {
		return prepare(ctx, db.Store)
	})
}

func migrateDown(ctx context.Context, w world, args []string) error {
	return migrate(ctx, w, "migrate down", args, func(ctx context.Context, db *database) error {
		return migrations.Down(ctx, db.DB())
	})
}

func migrateStatus(ctx context.Context, w world, args []string) error {
	return migrate(ctx, w, "migrate status", args, func(context.Context, *database) error { return nil })
}

// migrate does something to the schema and prints how it then stands.
func migrate(ctx context.Context, w world, name string, args []string, do func(context.Context, *database) error) error {
	f := newFlags(name)
	if err := f.parse(w, args); err != nil {
		return err
	}
	if err := f.noRest(); err != nil {
		return err
	}
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
	if err := do(ctx, db); err != nil {
		return err
	}
	states, err := migrations.Status(ctx, db.DB())
	if err != nil {
		return err
	}
	var rows [][]string
	for _, s := range states {
		rows = append(rows, []string{strconv.FormatInt(s.Version, 10), s.Name, strconv.FormatBool(s.Applied)})
	}
	return f.print(w, states, []string{"VERSION", "NAME", "APPLIED"}, rows)
}
