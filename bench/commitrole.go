package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/fila-ia/filaia/internal/pglocal"
	"github.com/fila-ia/filaia/migrations"
	"github.com/fila-ia/filaia/store"
)

// commitRole measures in this process.
func commitRole(args []string) (r commitResult, err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	spec := commitSpec{Events: 100_000, Rounds: 3, Replicas: 1}
	if err := spec.flags().Parse(args); err != nil {
		return r, err
	}
	h, err := openHouse(ctx, spec)
	if h != nil {
		defer func() { err = errors.Join(err, h.close()) }()
	}
	if err != nil {
		return r, err
	}
	for range spec.Rounds {
		bare, err := h.measure(ctx, h.copyAll)
		if err != nil {
			return r, err
		}
		own, err := h.measure(ctx, h.commitAll)
		if err != nil {
			return r, err
		}
		r.Bare, r.Ledger = append(r.Bare, bare), append(r.Ledger, own)
	}
	return r, h.audit(ctx)
}

// house is a private cluster with customers.
type house struct {
	spec       commitSpec
	server     *pglocal.Server
	postmaster int
	super      *sql.DB // may ask for checkpoints
	plain      *sql.DB // of the role of the product
	store      *store.Store
	accounts   []account
	committed  int64
}

func openHouse(ctx context.Context, spec commitSpec) (*house, error) {
	h := &house{spec: spec}
	var err error
	if h.server, err = pglocal.Start(ctx, spec.Dir, slog.New(slog.DiscardHandler)); err != nil {
		return nil, err
	}
	if err := h.connect(ctx); err != nil {
		return h, err
	}
	return h, h.sell(ctx)
}

func (h *house) connect(ctx context.Context) (err error) {
	pidFile, err := os.ReadFile(filepath.Join(h.spec.Dir, "pg", "postmaster.pid"))
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(string(pidFile), "\n")
	if h.postmaster, err = strconv.Atoi(first); err != nil {
		return err
	}
	url := h.server.URL(pglocal.Database)
	if h.super, err = sql.Open("postgres", strings.Replace(url, "user="+pglocal.Role, "user=postgres", 1)); err != nil {
		return err
	}
	if h.plain, err = sql.Open("postgres", url); err != nil {
		return err
	}
	if h.store, err = store.Open(ctx, url); err != nil {
		return err
	}
	if err := migrations.Up(ctx, h.store.DB()); err != nil {
		return err
	}
	const bare = `CREATE TABLE bare AS SELECT * FROM usage_events LIMIT 0` // it has neither indexes nor checks
	if _, err := h.store.DB().ExecContext(ctx, bare); err != nil {
		return err
	}
	return h.store.EnsurePartitions(ctx, time.Now(), time.Now())
}

func (h *house) close() error {
	var errs []error
	if h.store != nil {
		errs = append(errs, h.store.Close())
	}
	for _, db := range []*sql.DB{h.plain, h.super} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(append(errs, h.server.Stop(context.Background()))...)
}

// spent is the CPU time so far, of this process and of PostgreSQL.
func (h *house) spent() (own, database time.Duration, err error) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0, 0, err
	}
	database, err = familyCPU(h.postmaster)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), database, err
}

// measure charges a round with all that it causes, up to a checkpoint behind it.
func (h *house) measure(ctx context.Context, round func(context.Context, []spool) (times, error)) (s commitSample, err error) {
	spools, err := h.fill(ctx)
	if err != nil {
		return s, err
	}
	if _, err := h.super.ExecContext(ctx, `CHECKPOINT`); err != nil {
		return s, err
	}
	own, database, err := h.spent()
	if err != nil {
		return s, err
	}
	start := time.Now()
	batches, err := round(ctx, spools)
	if err != nil {
		return s, err
	}
	seconds := time.Since(start).Seconds()
	if _, err := h.super.ExecContext(ctx, `CHECKPOINT`); err != nil {
		return s, err
	}
	ownAfter, databaseAfter, err := h.spent()
	if err != nil {
		return s, err
	}
	events := float64(h.spec.Events)
	each := func(d time.Duration) float64 { return d.Seconds() * 1e6 / events }
	own, database = ownAfter-own, databaseAfter-database
	return commitSample{
		PerSecond: events / seconds, OwnCPU: each(own), AllCPU: each(own + database),
		P50: batches.percentile(50), P99: batches.percentile(99), Batches: len(batches),
	}, nil
}

// audit compares the books with what was spooled.
func (h *house) audit(ctx context.Context) error {
	const query = `SELECT (SELECT count(*) FROM usage_events), (SELECT sum(requests) FROM usage_hourly),
		(SELECT sum(input_tokens + output_tokens) FROM usage_events), (SELECT sum(input_tokens + output_tokens) FROM usage_hourly),
		(SELECT sum(used_in + used_out) FROM quota_buckets)`
	var events, requests, tokens, hourly, used int64
	if err := h.super.QueryRowContext(ctx, query).Scan(&events, &requests, &tokens, &hourly, &used); err != nil {
		return err
	}
	if events != h.committed || requests != h.committed || tokens != hourly || tokens != used {
		return fmt.Errorf("the books do not balance: %d events of %d, %d in hours; %d tokens, %d in hours, %d used",
			events, h.committed, requests, tokens, hourly, used)
	}
	return nil
}
