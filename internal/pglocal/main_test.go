package pglocal

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// helperFolder makes the test binary a second process of the program: it uses the private PostgreSQL of that data folder,
// prints a line when it may, and leaves when its input ends.
const helperFolder = "PGLOCAL_TEST_HELPER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(helperFolder); dir != "" {
		os.Exit(beHelper(dir))
	}
	os.Exit(m.Run())
}

func beHelper(dir string) int {
	signal.Ignore(syscall.SIGINT)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := Start(ctx, dir, quiet(), Throwaway())
	if err != nil {
		fmt.Println("failed:", err)
		return 1
	}
	fmt.Println("ready:", ask(ctx, s, `SELECT 6 * 7`))
	io.Copy(io.Discard, os.Stdin)
	if err := s.Stop(ctx); err != nil {
		fmt.Println("failed:", err)
		return 1
	}
	return 0
}

// patience is only a bound for what would otherwise hang.
const patience = 2 * time.Minute

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func contextFor(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// use starts or joins the private PostgreSQL of dir and leaves it at the end of the test, whatever the test did to it.
func use(t *testing.T, dir string, opts ...Option) *Server {
	t.Helper()
	s, err := Start(contextFor(t), dir, quiet(), opts...)
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	t.Cleanup(func() { stop(t, s) })
	return s
}

func stop(t *testing.T, s *Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Errorf("Stop: %v", err)
	}
}

// folder is a fresh data folder; a server that a failing test leaves in it is ended.
func folder(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	t.Cleanup(func() {
		c := cluster{dir: filepath.Join(dir, "pg")}
		if pid, alive := c.postmaster(); alive {
			t.Errorf("a server (process %d) was left running", pid)
			syscall.Kill(pid, syscall.SIGQUIT)
			eventually(t, "the server ends", func() bool { _, alive := c.postmaster(); return !alive })
		}
	})
	return dir
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(pollEvery) {
		if time.Now().After(end) {
			t.Fatalf("never seen: %s", what)
		}
	}
}

// ask returns the one value that a query on the program's database gives, or the error's text.
func ask(ctx context.Context, s *Server, query string) string {
	db, err := sql.Open("postgres", s.URL(Database))
	if err != nil {
		return err.Error()
	}
	defer db.Close()
	var value string
	if err := db.QueryRowContext(ctx, query).Scan(&value); err != nil {
		return err.Error()
	}
	return value
}

func do(t *testing.T, s *Server, statement string) {
	t.Helper()
	db, err := sql.Open("postgres", s.URL(Database))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(contextFor(t), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func expect(t *testing.T, s *Server, query, want string) {
	t.Helper()
	if got := ask(contextFor(t), s, query); got != want {
		t.Errorf("%s\ngives %q, want %q", query, got, want)
	}
}

// serverOf is the process that serves dir now.
func serverOf(t *testing.T, dir string) int {
	t.Helper()
	pid, alive := cluster{dir: filepath.Join(dir, "pg")}.postmaster()
	if !alive {
		t.Fatalf("no server runs on %s", dir)
	}
	return pid
}

func runs(dir string) bool {
	_, alive := cluster{dir: filepath.Join(dir, "pg")}.postmaster()
	return alive
}

// helper is a second process of the program, in a process group of its own.
type helper struct {
	cmd  *exec.Cmd
	in   io.Closer
	said string
}

// startHelper runs this test binary as a user of dir and waits for its first line.
func startHelper(t *testing.T, dir string, as *syscall.Credential) *helper {
	t.Helper()
	h := launchHelper(t, dir, as)
	if h.said != "ready: 42" {
		t.Fatalf("the helper says %q", h.said)
	}
	return h
}

func launchHelper(t *testing.T, dir string, as *syscall.Credential) *helper {
	t.Helper()
	h := &helper{cmd: exec.Command(testBinary(t, as))}
	h.cmd.Env = append(os.Environ(), helperFolder+"="+dir)
	h.cmd.Dir = "/"
	h.cmd.Stderr = os.Stderr
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: as}
	in, err := h.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := h.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	h.in = in
	t.Cleanup(func() { h.kill() })
	line, _ := bufio.NewReader(out).ReadString('\n')
	h.said = strings.TrimSpace(line)
	return h
}

// leave lets the helper stop as it should.
func (h *helper) leave(t *testing.T) {
	t.Helper()
	h.in.Close()
	if err := h.cmd.Wait(); err != nil {
		t.Errorf("the helper: %v", err)
	}
}

// kill ends the helper and its process group at once, as kill -9 or a closed terminal would.
func (h *helper) kill() {
	if h.cmd.ProcessState == nil {
		syscall.Kill(-h.cmd.Process.Pid, syscall.SIGKILL)
		h.cmd.Wait()
	}
}

// ordinaryUser is somebody who is not root, with a folder of theirs; nil stands for ourselves where we are not root.
func ordinaryUser(t *testing.T) (as *syscall.Credential, home string) {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil, t.TempDir()
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.ParseUint(nobody.Uid, 10, 32)
	gid, _ := strconv.ParseUint(nobody.Gid, 10, 32)
	home = openFolder(t)
	if err := os.Chown(home, int(uid), int(gid)); err != nil {
		t.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, home
}

// openFolder is a fresh folder that every account can walk down to; those of testing.T are closed.
func openFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pglocal-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// testBinary is this program, copied for another account to where it may be run.
func testBinary(t *testing.T, as *syscall.Credential) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if as == nil {
		return self
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(openFolder(t), "pglocal.test")
	writeProgram(t, path, program)
	return path
}

// writeProgram writes a file to run. A process forked while it is open would hold it open for writing: "text file busy".
func writeProgram(t *testing.T, path string, content []byte) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, content, 0o755); err != nil {
		t.Fatal(err)
	}
}
