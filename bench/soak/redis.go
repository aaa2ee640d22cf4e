package main

import (
	"errors"
	"net"
	"os/exec"
	"path/filepath"
	"time"
)

// redis is a Redis (or Valkey) of the run's own, on loopback and without persistence.
type redis struct {
	guard   *guard
	program string
	dir     string
	address string
	server  *process
}

func startRedis(g *guard, dir string) (*redis, error) {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		if program, err = exec.LookPath("valkey-server"); err != nil {
			return nil, errors.New("neither redis-server nor valkey-server is installed; -redis=false does without")
		}
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	r := &redis{guard: g, program: program, dir: dir, address: address}
	return r, r.start()
}

func (r *redis) url() string { return "redis://" + r.address + "/0" }

// start starts it, empty, and waits until it takes connections.
func (r *redis) start() (err error) {
	host, port, _ := net.SplitHostPort(r.address)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if r.server == nil || !r.server.running() {
			cmd := exec.Command(r.program, "--bind", host, "--port", port, "--dir", r.dir, "--save", "", "--appendonly", "no")
			if r.server, err = r.guard.start(cmd, filepath.Join(r.dir, "redis.log")); err != nil {
				return err
			}
		}
		conn, err := net.DialTimeout("tcp", r.address, time.Second)
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(deadline) {
			return err
		}
	}
}

func (r *redis) stop() {
	if r != nil && r.server != nil {
		r.server.kill()
	}
}
