package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	v1 "github.com/fila-ia/filaia/handlers/v1"
	"github.com/fila-ia/filaia/internal/config"
	"github.com/fila-ia/filaia/internal/jobs"
	"github.com/fila-ia/filaia/internal/usage"
	"github.com/fila-ia/filaia/store"
)

// shutdownTime is what calls under way get to end before their connections are cut.
const shutdownTime = 30 * time.Second

func serve(ctx context.Context, w world, args []string) error {
	f := newFlags("serve")
	role := f.String("role", "all", "all, api (calls and pages) or worker (upkeep only)")
	if err := f.parse(w, args); err != nil {
		return err
	}
	if err := f.noRest(); err != nil {
		return err
	}
	if *role != "all" && *role != "api" && *role != "worker" {
		return fmt.Errorf("--role: %q is not accepted; give all, api or worker", *role)
	}
	cfg, err := config.Load(w.getenv)
	if err != nil {
		return err
	}
	log, flush := logger(cfg, w.stderr)
	defer flush()
	if *role == "worker" {
		return serveWorker(ctx, cfg, log)
	}
	// Taken first: a port in use is told before anything is started.
	listener, err := listen(cfg.Listen)
	if err != nil {
		return err
	}
	defer listener.Close()
	return serveAPI(ctx, w, cfg, log, listener, *role == "all")
}

func listen(address string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("FILAIA_LISTEN: %s is in use by another program; give another port or stop it", address)
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("FILAIA_LISTEN: this user may not listen on %s; give a port above 1023", address)
	case err != nil:
		return nil, fmt.Errorf("FILAIA_LISTEN: cannot listen on %s: %w", address, err)
	}
	return listener, nil
}

// serveWorker runs the upkeep alone, beside other replicas that answer calls.
func serveWorker(ctx context.Context, cfg config.Config, log *slog.Logger) (err error) {
	name, err := replicaName(cfg.DataDir)
	if err != nil {
		return err
	}
	release, err := lockWorker(ctx, cfg.DataDir, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	db, err := openDatabase(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer db.close(log)
	if err := prepare(ctx, db.Store); err != nil {
		return err
	}
	messenger, err := newMessenger(cfg, db.Store, name+"-worker", log) // a server may run on the same folder
	if err != nil {
		return err
	}
	log.Info("worker started")
	workers, ctx := errgroup.WithContext(ctx)
	lookAfter(ctx, workers, cfg, db.Store, messenger, func(usage.Audit) {}, log)
	return workers.Wait()
}

// lookAfter has the database and the other replicas looked after, and people told of alerts; audited hears of the newest audit.
func lookAfter(ctx context.Context, workers *errgroup.Group, cfg config.Config, s *store.Store, messenger *jobs.Runner, audited func(usage.Audit), log *slog.Logger) {
	workers.Go(func() error { return messenger.Run(ctx) })
	workers.Go(func() error { return (&upkeep{s, cfg.LeaseGrace, audited, log}).Run(ctx) })
	workers.Go(func() error { return s.Reaper(cfg.LeaseGrace, log, time.Now).Run(ctx) })
	workers.Go(func() error {
		return newLookout(log, chore{"look at periods", s.RaiseDue}, chore{"watch", s.Watcher(cfg.TimeZone, time.Now).Watch}).Run(ctx)
	})
}

// heapFloor keeps the garbage collector from running every few megabytes: little lives here, but every call leaves
// kilobytes behind. It is never written to, so that it takes addresses and no memory, and lets garbage grow by as much.
const heapFloor = 16 << 20

// serveAPI runs everything. What starts first stops last: listener, streams, workers, leases, pool, PostgreSQL.
func serveAPI(ctx context.Context, w world, cfg config.Config, log *slog.Logger, listener net.Listener, withUpkeep bool) error {
	floor := make([]byte, heapFloor)
	defer runtime.KeepAlive(floor)
	db, err := openDatabase(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer db.close(log)
	if err := prepare(ctx, db.Store); err != nil {
		return err
	}
	core, err := openCore(ctx, cfg, db, log)
	if err != nil {
		return err
	}
	defer core.close(log)
	site := newSite(cfg, db, core, log)
	messenger, err := newMessenger(cfg, db.Store, core.replica, log)
	if err != nil {
		return err
	}
	if err := announce(ctx, w, cfg, db); err != nil {
		return err
	}

	// Workers outlive the listener: what the last calls record must still be committed.
	working, stopWorking := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWorking()
	workers, working := errgroup.WithContext(working)
	workers.Go(func() error { return core.ledger.Run(working) })
	workers.Go(func() error { return core.quota.Run(working) })
	workers.Go(func() error { return core.gate.Run(working) })
	workers.Go(func() error { return core.gate.Rates.Run(working) })
	workers.Go(func() error { return core.gate.Cache.Run(working) })
	workers.Go(func() error { return core.refusals.Run(working) })
	workers.Go(func() error { return core.addresses.Run(working) })
	workers.Go(func() error { return core.throttles.Run(working) })
	workers.Go(func() error { return core.breakers.Run(working) })
	workers.Go(func() error { return listenChanges(working, db, core, site, messenger.Wake, log) })
	workers.Go(func() error { return site.panel.Run(working) })
	if db.local != nil {
		workers.Go(func() error { return db.local.Run(working) })
	}
	if withUpkeep {
		lookAfter(working, workers, cfg, db.Store, messenger, core.audited, log)
	}
	served := make(chan error, 1)
	clients := cutStalled(v1.Linger(listener), stallTime)
	go func() { served <- site.app.Listener(clients) }()
	log.Info("serving", "address", listener.Addr().String(), "simulated_provider", cfg.Simulated())

	select {
	case err = <-served:
	case <-ctx.Done():
	case <-working.Done():
	}
	log.Info("stopping")
	clients.dismiss()
	site.stop(core, log)
	stopWorking()
	return errors.Join(err, workers.Wait())
}
