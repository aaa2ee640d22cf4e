package pglocal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// errGone says that the server process ended while somebody waited for it.
var errGone = errors.New("PostgreSQL ended")

// takeoverPatience is how long the remains of a killed server may hinder a new one: its backends end by themselves.
const takeoverPatience = 15 * time.Second

// ensure returns when the server answers, starting it where it does not run. The caller holds the gate.
func (s *Server) ensure(ctx context.Context) error {
	deadline := time.Now().Add(takeoverPatience)
	for {
		var err error
		if _, alive := s.cluster.postmaster(); alive {
			err = s.awaitReady(ctx, func() bool { _, alive := s.cluster.postmaster(); return alive })
		} else {
			err = s.launch(ctx)
		}
		if !errors.Is(err, errGone) || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(5 * pollEvery):
		}
	}
}

// launch makes the cluster where there is none, starts the server and waits until it answers.
func (s *Server) launch(ctx context.Context) error {
	inst, as, err := s.prepare(ctx)
	if err != nil {
		return err
	}
	boundLog(s.logFile)
	out, err := os.OpenFile(s.logFile, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return notWritable(filepath.Dir(s.logFile), err)
	}
	defer out.Close()
	begin, _ := out.Seek(0, io.SeekEnd)

	cmd := exec.Command(inst.Program("postgres"), settings(inst.Major, s.opts.throwaway)...) // outlives ctx
	cmd.Stdout, cmd.Stderr = out, out
	if err := start(cmd, s.cluster.dir, as); err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	done := make(chan struct{})
	go func() {
		cmd.Wait() //nolint:errcheck // reaped; its log says why it ended
		close(done)
	}()
	running := func() bool {
		select {
		case <-done:
			return false
		default:
			return true
		}
	}
	err = s.awaitReady(ctx, running)
	if err == nil {
		s.log.Info("started the private PostgreSQL", "version", inst.Major, "folder", s.cluster.dir)
		return nil
	}
	cmd.Process.Signal(syscall.SIGQUIT) //nolint:errcheck // it may have ended already
	<-done
	if !errors.Is(err, errGone) {
		return err
	}
	return s.explain(out, begin)
}

// prepare finds the programs and the account, makes the cluster where there is none, and clears what a killed server left.
func (s *Server) prepare(ctx context.Context) (Installation, *account, error) {
	found, err := installedIn(ctx, s.opts.places(ctx))
	if err != nil {
		return Installation{}, nil, err
	}
	made, err := s.cluster.major()
	if err != nil {
		return Installation{}, nil, err
	}
	inst, err := choose(found, made, s.cluster.dir)
	if err != nil {
		return Installation{}, nil, err
	}
	as, err := s.cluster.account()
	if err != nil {
		return Installation{}, nil, err
	}
	if made == 0 {
		s.log.Info("making a private PostgreSQL", "version", inst.Major, "folder", s.cluster.dir)
		return inst, as, s.cluster.create(ctx, inst, as, s.opts.throwaway)
	}
	if ownedByRoot(s.cluster.dir) { // copied or restored by root
		if err := as.give(s.cluster.dir); err != nil {
			return Installation{}, nil, fmt.Errorf("give %s to the user of PostgreSQL: %w", s.cluster.dir, err)
		}
	}
	return inst, as, s.cluster.clearStale()
}

// explain says why the server ended, from what it logged since begin. It is errGone where another try may succeed.
func (s *Server) explain(log io.ReaderAt, begin int64) error {
	text, _ := io.ReadAll(io.NewSectionReader(log, begin, 64<<10))
	reason := lastError(string(text))
	if strings.Contains(reason, "still in use") || strings.Contains(reason, `"postmaster.pid" already exists`) {
		return fmt.Errorf("%w: %s", errGone, reason)
	}
	return fmt.Errorf("PostgreSQL does not start on %s: %s (see %s)", s.cluster.dir, reason, s.logFile)
}

// awaitReady returns nil when the server answers a query, errGone when it is no longer alive.
func (s *Server) awaitReady(ctx context.Context, alive func() bool) error {
	db, err := sql.Open("postgres", s.address(superuser, superuser))
	if err != nil {
		return fmt.Errorf("private PostgreSQL: %w", err)
	}
	defer db.Close()
	for nextNote := time.Now().Add(5 * time.Second); ; {
		err := db.PingContext(ctx)
		if err == nil {
			return nil
		}
		if !alive() {
			return errGone
		}
		if time.Now().After(nextNote) {
			s.log.Info("waiting for the private PostgreSQL", "folder", s.cluster.dir, "state", err)
			nextNote = time.Now().Add(5 * time.Second)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for PostgreSQL on %s: %w (it said: %v)", s.cluster.dir, ctx.Err(), err)
		case <-time.After(pollEvery):
		}
	}
}

// shutdown ends the server and waits until it is gone. The caller holds the gate and is the last user.
func (s *Server) shutdown(ctx context.Context) error {
	pid, alive := s.cluster.postmaster()
	if !alive {
		return nil
	}
	signal := syscall.SIGINT // fast: clients are cut off, everything is written
	if s.opts.throwaway {
		signal = syscall.SIGQUIT // immediate: nothing is written
	}
	if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stop PostgreSQL (process %d): %w", pid, err)
	}
	for {
		if now, alive := s.cluster.postmaster(); !alive || now != pid {
			s.log.Info("stopped the private PostgreSQL", "folder", s.cluster.dir)
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("stop PostgreSQL (process %d): %w", pid, ctx.Err())
		case <-time.After(pollEvery):
		}
	}
}

// postmaster is the process that postmaster.pid names, and whether it lives and really serves this folder.
func (c cluster) postmaster() (pid int, alive bool) {
	text, err := os.ReadFile(filepath.Join(c.dir, "postmaster.pid"))
	if err != nil {
		return 0, false
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err = strconv.Atoi(strings.TrimSpace(first))
	if err != nil || pid <= 0 {
		return 0, false
	}
	return pid, serves(pid, c.dir)
}

// clearStale removes the postmaster.pid of a killed server when a process of another kind has its number today: PostgreSQL
// would take that for a running server and refuse to start, which happens after a restart of a container.
func (c cluster) clearStale() error {
	pid, alive := c.postmaster()
	if pid == 0 || alive || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return nil // PostgreSQL itself deals with the number of no process
	}
	if err := os.Remove(filepath.Join(c.dir, "postmaster.pid")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the stale postmaster.pid: %w", err)
	}
	return nil
}
