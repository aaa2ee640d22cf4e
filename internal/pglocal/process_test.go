package pglocal

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestTheServerOpensNoTCPPort(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	s := use(t, dir)
	expect(t, s, `SHOW listen_addresses`, "")
	if ports := tcpSocketsOf(t, serverOf(t, dir)); ports > 0 {
		t.Errorf("the server holds %d TCP or UDP sockets", ports)
	}
}

func TestOnlyItsOwnAccountReachesTheSocket(t *testing.T) {
	t.Parallel()
	home := openFolder(t) // every account may come as far as the cluster
	s := use(t, home)
	for _, path := range []string{s.cluster.dir, filepath.Join(s.cluster.dir, ".s.PGSQL."+socketPort)} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	conn, err := net.Dial("unix", filepath.Join(s.socket.path, ".s.PGSQL."+socketPort))
	if err != nil {
		t.Fatalf("we ourselves: %v", err)
	}
	conn.Close()
}

func TestTheServerKnowsNothingOfOurEnvironment(t *testing.T) {
	t.Setenv("FILAIA_SECRET_KEY", "not for others")
	dir := folder(t)
	s := use(t, dir)
	do(t, s, `CREATE TABLE t (email text UNIQUE); INSERT INTO t VALUES ('ana@example.com')`)
	if got := ask(contextFor(t), s, `INSERT INTO t VALUES ('ana@example.com')`); !strings.Contains(got, "duplicate") {
		t.Fatalf("the second insert gives %q", got)
	}
	environment, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(serverOf(t, dir)), "environ"))
	if err == nil && bytes.Contains(environment, []byte("FILAIA")) {
		t.Errorf("environment: %q", environment)
	}
	log, err := os.ReadFile(filepath.Join(dir, "pg.log"))
	if err != nil || !bytes.Contains(log, []byte("ready to accept")) || bytes.Contains(log, []byte("ana@")) {
		t.Errorf("log: %v\n%s", err, log)
	}
}

func TestANumberTakenByAnotherProgramIsNoServer(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	s := use(t, dir)
	do(t, s, `CREATE TABLE kept AS SELECT 7 AS n`)
	pidFile := filepath.Join(dir, "pg", "postmaster.pid")
	content, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	stop(t, s)

	as, err := s.cluster.account()
	if err != nil {
		t.Fatal(err)
	}
	other := exec.Command("sleep", "600")
	other.SysProcAttr = &syscall.SysProcAttr{}
	if as != nil { // PostgreSQL believes in a process of its own account only
		other.SysProcAttr.Credential = &syscall.Credential{Uid: as.uid, Gid: as.gid}
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { other.Process.Kill(); other.Wait() }()
	_, rest, _ := strings.Cut(string(content), "\n")
	if err := os.WriteFile(pidFile, []byte(strconv.Itoa(other.Process.Pid)+"\n"+rest), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := as.give(pidFile); err != nil {
		t.Fatal(err)
	}

	expect(t, use(t, dir), `SELECT n FROM kept`, "7")
	if err := other.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the other program: %v", err)
	}
}

func TestAClusterThatRootRestoredIsGivenBack(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	s := use(t, dir)
	do(t, s, `CREATE TABLE kept AS SELECT 7 AS n`)
	stop(t, s)
	// Where we are not root this changes nothing and shows that the cluster starts again.
	if err := (&account{uid: uint32(os.Geteuid()), gid: uint32(os.Getegid())}).give(s.cluster.dir); err != nil {
		t.Fatal(err)
	}
	expect(t, use(t, dir), `SELECT n FROM kept`, "7")
}

func TestTheLogStartsAnewWhenItIsLong(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pg.log")
	server, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	server.WriteString("short\n")
	boundLog(path)
	server.Write(bytes.Repeat([]byte("x"), logLimit))
	boundLog(path)
	server.WriteString("goes on\n")
	now, err := os.ReadFile(path)
	if err != nil || string(now) != "goes on\n" {
		t.Errorf("the log is %.20q, %v", now, err)
	}
	if old, err := os.ReadFile(path + ".1"); err != nil || !bytes.HasPrefix(old, []byte("short\nxxx")) {
		t.Errorf("the older log is %.20q, %v", old, err)
	}
}
