package main

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	_ "github.com/lib/pq" // the servers are asked directly

	"github.com/fila-ia/filaia/internal/pglocal"
)

// postgres is a PostgreSQL of the test's own, on a port of its own, that can be killed, frozen and promoted.
type postgres struct {
	t    *testing.T
	dir  string
	port string
	args []string // settings of this server alone
	cmd  *exec.Cmd
}

// newPostgres makes and starts a server with an empty database "filaia".
func newPostgres(t *testing.T, settings ...string) *postgres {
	t.Helper()
	pg := emptyPostgres(t, settings...)
	pg.run("initdb", "--username=filaia", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-D", pg.dir)
	pg.start()
	pg.exec(`CREATE DATABASE filaia`)
	return pg
}

func emptyPostgres(t *testing.T, settings ...string) *postgres {
	t.Helper()
	_, port, _ := net.SplitHostPort(freeAddress(t))
	pg := &postgres{t: t, dir: filepath.Join(t.TempDir(), "pg"), port: port, args: settings}
	if err := os.Mkdir(pg.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if as := postgresUser(t); as != nil {
		err := filepath.WalkDir(filepath.Dir(filepath.Dir(pg.dir)), func(path string, _ fs.DirEntry, _ error) error { return os.Chmod(path, 0o755) })
		if err == nil {
			err = os.Chmod(pg.dir, 0o700)
		}
		if err == nil {
			err = os.Chown(pg.dir, int(as.Uid), int(as.Gid))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return pg
}

// postgresUser is who PostgreSQL runs as where we are root, as which it refuses to.
func postgresUser(t *testing.T) *syscall.Credential {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// program is one of PostgreSQL's programs, as its user.
func (pg *postgres) program(name string, args ...string) *exec.Cmd {
	pg.t.Helper()
	found, err := pglocal.Installed(context.Background())
	if err != nil {
		pg.t.Fatal(err)
	}
	cmd := exec.Command(found[0].Program(name), args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: postgresUser(pg.t)}
	return cmd
}

func (pg *postgres) run(name string, args ...string) {
	pg.t.Helper()
	if out, err := pg.program(name, args...).CombinedOutput(); err != nil {
		pg.t.Fatalf("%s: %v: %s", name, err, out)
	}
}

// start starts the server and waits until it answers. It ends with the test.
func (pg *postgres) start() {
	pg.t.Helper()
	args := []string{"-D", pg.dir}
	for _, s := range append([]string{"listen_addresses=127.0.0.1", "unix_socket_directories=", "port=" + pg.port, "max_connections=120",
		"fsync=off", "shared_buffers=32MB", "log_min_messages=warning"}, pg.args...) {
		args = append(args, "-c", s)
	}
	pg.cmd = pg.program("postgres", args...)
	var log bytes.Buffer
	pg.cmd.Stderr = &log
	if err := pg.cmd.Start(); err != nil {
		pg.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func(cmd *exec.Cmd) { _ = cmd.Wait(); close(ended) }(pg.cmd)
	pg.t.Cleanup(func() { pg.end(syscall.SIGQUIT) })
	db := pg.open("postgres")
	defer db.Close()
	eventually(pg.t, "PostgreSQL answers", func() bool {
		select {
		case <-ended:
			pg.t.Fatalf("PostgreSQL ended: %s", log.String())
		default:
		}
		return db.Ping() == nil
	})
}

// end signals the server's parent and waits until nobody listens any more.
func (pg *postgres) end(s syscall.Signal) {
	pg.t.Helper()
	_ = pg.cmd.Process.Signal(s) // it may have ended
	eventually(pg.t, "PostgreSQL ends", func() bool { return pg.cmd.Process.Signal(syscall.Signal(0)) != nil && !pg.listens() })
}

func (pg *postgres) listens() bool {
	c, err := net.Dial("tcp", "127.0.0.1:"+pg.port)
	if err == nil {
		c.Close()
	}
	return err == nil
}

// freeze stops every process of the server; thaw lets them go on.
func (pg *postgres) freeze() (thaw func()) {
	pg.t.Helper()
	stop := func(to syscall.Signal) {
		for _, pid := range append([]int{pg.cmd.Process.Pid}, children(pg.cmd.Process.Pid)...) {
			_ = syscall.Kill(pid, to) // a child may have ended
		}
	}
	_ = pg.cmd.Process.Signal(syscall.SIGSTOP) // first: it would make others
	stop(syscall.SIGSTOP)
	pg.t.Cleanup(func() { stop(syscall.SIGCONT) })
	return func() { stop(syscall.SIGCONT) }
}

// children are the processes that a process has started.
func children(pid int) (list []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 && fields[1] == strconv.Itoa(pid) {
			child, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			list = append(list, child)
		}
	}
	return list
}

// urlOf is the address of the database filaia on these servers, of which one is the primary.
func urlOf(servers ...*postgres) string {
	var hosts, ports []string
	for _, pg := range servers {
		hosts, ports = append(hosts, "127.0.0.1"), append(ports, pg.port)
	}
	return fmt.Sprintf("postgres://filaia@/filaia?host=%s&port=%s&sslmode=disable", strings.Join(hosts, ","), strings.Join(ports, ","))
}

func (pg *postgres) open(database string) *sql.DB {
	pg.t.Helper()
	db, err := sql.Open("postgres", fmt.Sprintf("postgres://filaia@127.0.0.1:%s/%s?sslmode=disable&connect_timeout=2", pg.port, database))
	if err != nil {
		pg.t.Fatal(err)
	}
	return db
}

func (pg *postgres) exec(statement string) {
	pg.t.Helper()
	db := pg.open("postgres")
	defer db.Close()
	if _, err := db.Exec(statement); err != nil {
		pg.t.Fatal(err)
	}
}

// standby makes a second server that follows this one; from then on nothing is committed that it does not have.
func (pg *postgres) standby() *postgres {
	pg.t.Helper()
	second := emptyPostgres(pg.t)
	second.run("pg_basebackup", "-h", "127.0.0.1", "-p", pg.port, "-U", "filaia", "-d", "application_name=standby", "-D", second.dir,
		"--checkpoint=fast", "--no-sync", "--write-recovery-conf")
	second.start()
	pg.exec(`ALTER SYSTEM SET synchronous_standby_names = 'standby'`)
	pg.exec(`SELECT pg_reload_conf()`)
	db := pg.open("postgres")
	defer db.Close()
	eventually(pg.t, "the standby is synchronous", func() bool {
		var state string
		return db.QueryRow(`SELECT sync_state FROM pg_stat_replication`).Scan(&state) == nil && state == "sync"
	})
	return second
}
