package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/fila-ia/filaia/internal/pglocal"
)

// private is a cluster in a temporary folder.
type private struct {
	dir    string
	server *pglocal.Server
	guard  *exec.Cmd
	alive  io.Closer // the guard acts when this closes
}

func startPrivate(ctx context.Context) (p *private, err error) {
	p = &private{}
	if p.dir, err = os.MkdirTemp("", "filaia-test-"); err != nil {
		return nil, err
	}
	if err = p.watch(); err == nil {
		p.server, err = pglocal.Start(ctx, p.dir, slog.New(slog.DiscardHandler), pglocal.Throwaway())
	}
	if err != nil {
		return nil, errors.Join(err, p.stop())
	}
	return p, nil
}

// cleanUp ends the server of folder $1 and removes the folder once its input ends.
const cleanUp = `read -r _
pid=$(head -n 1 "$1/pg/postmaster.pid" 2>/dev/null) && kill -QUIT "$pid"
left=200
while [ -e "$1/pg/postmaster.pid" ] && [ $left -gt 0 ]; do sleep 0.05; left=$((left - 1)); done
rm -rf "$1"`

// watch starts a guard that cleans up when this process is gone: a panic in a test, its timeout or a kill run no code of ours.
func (p *private) watch() error {
	p.guard = exec.Command("sh", "-c", cleanUp, "sh", p.dir)
	p.guard.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C is meant for the tests
	alive, err := p.guard.StdinPipe()
	if err != nil {
		return err
	}
	p.alive = alive
	if err := p.guard.Start(); err != nil {
		return fmt.Errorf("guard of the test server: %w", err)
	}
	return nil
}

func (p *private) stop() error {
	var err error
	if p.server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		err = p.server.Stop(ctx)
	}
	if p.guard != nil && p.guard.Process != nil {
		p.alive.Close()
		err = errors.Join(err, p.guard.Wait())
	}
	return err
}
