package pglocal

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func TestStartOnAFreshFolderGivesADatabaseThatAnswers(t *testing.T) {
	t.Parallel()
	s := use(t, folder(t))
	expect(t, s, `SELECT current_database() || ' ' || current_user || ' ' || rolsuper FROM pg_roles WHERE rolname = current_user`, "filaia filaia false")
	expect(t, s, `SELECT pg_encoding_to_char(encoding) || ' ' || datcollate FROM pg_database WHERE datname = 'filaia'`, "UTF8 C")
	expect(t, s, `SELECT 'JOÃO' ILIKE 'joão'`, "true")
	expect(t, s, `SHOW timezone`, "UTC")
	do(t, s, `CREATE TABLE plans (id int)`)
	do(t, s, `CREATE ROLE pglocal_reader; GRANT pglocal_reader TO CURRENT_USER; SET ROLE pglocal_reader`)
}

func TestOnlyAThrowawayServerMayLoseCommits(t *testing.T) {
	t.Parallel()
	kept, thrown := use(t, folder(t)), use(t, folder(t), Throwaway())
	for _, name := range []string{"fsync", "full_page_writes", "synchronous_commit", "data_checksums"} {
		expect(t, kept, `SHOW `+name, "on")
		expect(t, thrown, `SHOW `+name, "off")
	}
}

func TestTheServerRunsUntilItsLastUserStops(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	first := use(t, dir)
	do(t, first, `CREATE TABLE kept AS SELECT 7 AS n`)
	pid := serverOf(t, dir)
	second := use(t, dir)
	if got := serverOf(t, dir); got != pid {
		t.Fatalf("the second user started process %d beside %d", got, pid)
	}
	stop(t, first)
	expect(t, second, `SELECT n FROM kept`, "7")
	stop(t, second)
	if runs(dir) {
		t.Error("the server runs after its last user stopped")
	}
	expect(t, use(t, dir), `SELECT n FROM kept`, "7")
}

func TestStopTwiceDoesNothingMore(t *testing.T) {
	t.Parallel()
	s := use(t, folder(t))
	stop(t, s)
	stop(t, s)
}

func TestProcessesThatStartAtOnceShareOneServer(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	helpers := make([]*helper, 4)
	var all sync.WaitGroup
	for i := range helpers {
		all.Go(func() { helpers[i] = launchHelper(t, dir, nil) })
	}
	all.Wait()
	pid := serverOf(t, dir)
	for i, h := range helpers {
		if h.said != "ready: 42" {
			t.Fatalf("process %d says %q", i, h.said)
		}
		if got := serverOf(t, dir); got != pid {
			t.Fatalf("server %d became %d while there were users", pid, got)
		}
		h.leave(t)
	}
	if runs(dir) {
		t.Error("the server runs after its last user left")
	}
}

func TestTheServerOutlivesAKilledOwnerAndIsTakenOver(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	owner := startHelper(t, dir, nil)
	pid := serverOf(t, dir)
	owner.kill() // with its whole process group
	if got := serverOf(t, dir); got != pid {
		t.Fatalf("server %d became %d", pid, got)
	}
	s := use(t, dir)
	if got := serverOf(t, dir); got != pid {
		t.Errorf("server %d was not taken over but replaced by %d", pid, got)
	}
	expect(t, s, `SELECT 1`, "1")
	stop(t, s)
	if runs(dir) {
		t.Error("the server runs after its last user stopped")
	}
}

func TestStartRecoversAKilledServer(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	before := use(t, dir)
	do(t, before, `CREATE TABLE kept AS SELECT 7 AS n`)
	pid := serverOf(t, dir)
	syscall.Kill(pid, syscall.SIGKILL)
	after := use(t, dir)
	if got := serverOf(t, dir); got == pid {
		t.Fatal("the killed server still serves")
	}
	expect(t, after, `SELECT n FROM kept`, "7")
}

func TestRunStartsAKilledServerAgain(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	s := use(t, dir)
	ctx, cancel := context.WithCancel(contextFor(t))
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	pid := serverOf(t, dir)
	syscall.Kill(pid, syscall.SIGKILL)
	eventually(t, "another server answers", func() bool {
		now, alive := s.cluster.postmaster()
		return alive && now != pid && ask(ctx, s, `SELECT 1`) == "1"
	})
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestRunEndsAfterStopAndStartsNothing(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	s := use(t, dir)
	stop(t, s)
	if err := s.Run(contextFor(t)); err != nil {
		t.Errorf("Run: %v", err)
	}
	if runs(dir) {
		t.Error("Run started the server after Stop")
	}
}

func TestAFailedStartLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Start(over, dir, quiet(), Throwaway()); !errors.Is(err, context.Canceled) {
		t.Errorf("Start after the end gives %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "pg.new-*")); runs(dir) || len(left) > 0 {
		t.Errorf("left behind: a server %v, %v", runs(dir), left)
	}
	use(t, dir) // and the next one is not hindered
}

func TestAnInterruptedFirstStartIsClearedAway(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	half := filepath.Join(dir, "pg.new-123", "base")
	if err := os.MkdirAll(half, 0o700); err != nil {
		t.Fatal(err)
	}
	expect(t, use(t, dir), `SELECT 1`, "1")
	if _, err := os.Stat(half); !os.IsNotExist(err) {
		t.Errorf("the half-made cluster is still there: %v", err)
	}
}

func TestALongDataFolderIsReachedByAShortPath(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(folder(t), strings.Repeat("longo", 25))
	s := use(t, dir)
	second := startHelper(t, dir, nil)
	short := s.socket.path
	if !fitsSocket(short) {
		t.Errorf("the socket is at %s", short)
	}
	address, err := url.Parse(s.URL("x"))
	if err != nil || address.Query().Get("host") != short {
		t.Errorf("URL is %v, %v", address, err)
	}
	stop(t, s)
	if _, err := os.Lstat(filepath.Dir(short)); !os.IsNotExist(err) {
		t.Errorf("%s is left behind: %v", short, err)
	}
	second.leave(t)
	if runs(dir) {
		t.Error("the server runs after its last user stopped")
	}
}

func TestAnOrdinaryUserRunsTheServerThemselves(t *testing.T) {
	t.Parallel()
	as, home := ordinaryUser(t)
	dir := filepath.Join(home, "data")
	h := startHelper(t, dir, as)
	if as != nil {
		// Root comes to the same folder: it joins, and may stop the server of the other account as the last one.
		s := use(t, dir)
		h.leave(t)
		expect(t, s, `SELECT 1`, "1")
		stop(t, s)
	} else {
		h.leave(t)
	}
	if runs(dir) {
		t.Error("the server runs after its last user stopped")
	}
}
