package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	_ "github.com/lib/pq"

	"github.com/fila-ia/filaia/internal/pglocal"
)

// postgres is a PostgreSQL of the run's own, on loopback and durable, as replicas on several machines would share one.
type postgres struct {
	guard    *guard
	programs pglocal.Installation
	dir, log string
	address  string
	as       *syscall.Credential // nil: ourselves
	server   *process
}

// role is who owns the database. As in production it is no superuser.
const role = "filaia"

func startPostgres(ctx context.Context, g *guard, dir string) (*postgres, error) {
	found, err := pglocal.Installed(ctx)
	if err != nil {
		return nil, err
	}
	p := &postgres{guard: g, programs: found[0], dir: filepath.Join(dir, "pg"), log: filepath.Join(dir, "postgres.log")}
	if p.address, err = freeAddress(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return nil, err
	}
	if os.Geteuid() == 0 { // PostgreSQL refuses to run as root
		u, err := user.Lookup("postgres")
		if err != nil {
			return nil, err
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		p.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(p.dir, uid, gid); err != nil {
			return nil, err
		}
	}
	init := p.command("initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-D", p.dir)
	if out, err := init.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("make a cluster: %w: %s", err, out)
	}
	if err := p.start(ctx); err != nil {
		return nil, err
	}
	return p, p.provision(ctx)
}

func (p *postgres) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(p.programs.Program(program), args...)
	cmd.Dir, cmd.Env = "/", []string{"LC_ALL=C", "PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.as}
	return cmd
}

// start starts the server, after a kill with its recovery, and waits until it answers.
func (p *postgres) start(ctx context.Context) (err error) {
	host, port, _ := net.SplitHostPort(p.address)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if p.server == nil || !p.server.running() { // what a killed one left may hinder for a moment
			p.server, err = p.guard.start(p.command("postgres", "-D", p.dir, "-c", "listen_addresses="+host, "-c", "port="+port,
				"-c", "unix_socket_directories=", "-c", "shared_buffers=64MB", "-c", "max_connections=200", "-c", "timezone=UTC"), p.log)
			if err != nil {
				return err
			}
		}
		if err = p.ping(ctx); err == nil {
			return nil
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			return fmt.Errorf("start PostgreSQL: %w", err)
		}
	}
}

func (p *postgres) ping(ctx context.Context) error {
	db, err := p.open("postgres", "postgres")
	if err != nil {
		return err
	}
	defer db.Close()
	return db.PingContext(ctx)
}

// url is the address of the database for the product.
func (p *postgres) url() string { return p.urlOf(role, role) }

func (p *postgres) urlOf(user, database string) string {
	return fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", user, p.address, database)
}

func (p *postgres) open(user, database string) (*sql.DB, error) {
	return sql.Open("postgres", p.urlOf(user, database)+"&connect_timeout=5")
}

func (p *postgres) provision(ctx context.Context) error {
	db, err := p.open("postgres", "postgres")
	if err != nil {
		return err
	}
	defer db.Close()
	for _, statement := range []string{`CREATE ROLE ` + role + ` LOGIN CREATEDB CREATEROLE`, `CREATE DATABASE ` + role + ` OWNER ` + role} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("provision PostgreSQL: %w", err)
		}
	}
	return nil
}

// kill ends every process of the server at once, as a power cut does.
func (p *postgres) kill() {
	p.signalAll(syscall.SIGKILL)
	<-p.server.ended
}

// freeze stops every process; the server goes on listening, but answers nothing. thaw lets them go on.
func (p *postgres) freeze() (thaw func()) {
	stopped := p.signalAll(syscall.SIGSTOP)
	return func() {
		for _, pid := range stopped {
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
	}
}

// signalAll signals every process. The first is stopped before they are listed: it would make others, and when it is
// gone they are nobody's children.
func (p *postgres) signalAll(s syscall.Signal) []int {
	_ = syscall.Kill(p.server.pid, syscall.SIGSTOP)
	all := family(p.server.pid)
	for _, pid := range all {
		_ = syscall.Kill(pid, s) // one that has ended meanwhile is no matter
	}
	return all
}

func (p *postgres) stop() error {
	if p == nil || p.server == nil || !p.server.running() {
		return nil
	}
	p.server.signal(syscall.SIGINT) // fast: clients are cut off, everything is written
	select {
	case <-p.server.ended:
		return nil
	case <-time.After(time.Minute):
		p.kill()
		return errors.New("PostgreSQL did not stop")
	}
}
