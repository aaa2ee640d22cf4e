// Command dashboard measures what panel and portal read, over as many usage events as it is told to make up. The events
// lie in a private PostgreSQL with the product's settings, with the rollups, periods and buckets that belong to them; each
// read is the store's own, called as pages call it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/fila-ia/filaia/internal/pglocal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "dashboard:", err)
		os.Exit(1)
	}
}

// run makes the data, unless they are there from a run before, and prints the table. A slow read is no error.
func run(ctx context.Context, args []string) error {
	w := usual
	f := flag.NewFlagSet("dashboard", flag.ContinueOnError)
	f.Int64Var(&w.events, "events", w.events, "usage events to make up; fifty million take 25 GB")
	runs := f.Int("runs", 20, "times that each read is made")
	cold := f.Bool("cold", true, "also read once after PostgreSQL and the system have forgotten what they had in memory")
	dir := f.String("dir", "", "folder of the database, which is kept and used again; empty: one that is removed")
	if err := f.Parse(args); err != nil {
		return err
	}
	if w.events < 1000 || *runs < 1 {
		return errors.New("a thousand events and one run are the least")
	}
	if runtime.GOOS != "linux" {
		return errors.New("CPU time is read from /proc, which only Linux has")
	}
	if *dir == "" {
		made, err := os.MkdirTemp("", "filaia-dashboard-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(made)
		*dir = made
	}
	return measure(ctx, w, *dir, *runs, *cold)
}

func measure(ctx context.Context, w world, dir string, runs int, cold bool) (err error) {
	db, err := open(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.close()) }()
	began := time.Now()
	made, err := w.load(ctx, db.sql, func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "%6.1f s  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	})
	if err != nil {
		return fmt.Errorf("make up data: %w", err)
	}
	r := report{World: w, Loading: made}
	if r.Sizes, r.Settings, err = describe(ctx, db.sql); err != nil {
		return err
	}
	if cold {
		if err := r.readCold(ctx, db, w); err != nil {
			return err
		}
	}
	if err := r.readWarm(ctx, db, w, runs); err != nil {
		return err
	}
	return r.print(os.Stdout)
}

// start starts the private PostgreSQL. Nothing that is made up needs to outlive a crash: it is not synced.
func start(ctx context.Context, dir string) (*pglocal.Server, error) {
	return pglocal.Start(ctx, dir, slog.New(slog.DiscardHandler), pglocal.Throwaway())
}
