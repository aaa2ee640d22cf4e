package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// endAll kills the processes whose numbers lie in folder $1 when its input ends without a word: a kill or a panic of
// this program runs no code of ours.
const endAll = `read -r _ || kill -9 $(cat "$1"/* 2>/dev/null) 2>/dev/null`

// guard knows the processes of a run.
type guard struct {
	dir   string
	cmd   *exec.Cmd
	alive io.WriteCloser
}

func newGuard(dir string) (*guard, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	g := &guard{dir: dir, cmd: exec.Command("sh", "-c", endAll, "sh", dir)}
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C is meant for us
	var err error
	if g.alive, err = g.cmd.StdinPipe(); err == nil {
		err = g.cmd.Start()
	}
	return g, err
}

func (g *guard) stop() {
	_, _ = io.WriteString(g.alive, "stopped\n")
	g.alive.Close()
	_ = g.cmd.Wait()
}

// process is one that runs, or has ended.
type process struct {
	cmd   *exec.Cmd
	pid   int
	ended chan struct{} // closed when it has
}

// start starts a process in a session of its own, since signals of the terminal are meant for us. Its output goes to
// the end of the file log.
func (g *guard) start(cmd *exec.Cmd, log string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	if cmd.Stdout == nil {
		cmd.Stdout = out
	}
	cmd.Stderr = out
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setsid = true
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(cmd.Path), err)
	}
	p := &process{cmd: cmd, pid: cmd.Process.Pid, ended: make(chan struct{})}
	note := filepath.Join(g.dir, strconv.Itoa(p.pid))
	if err := os.WriteFile(note, []byte(strconv.Itoa(p.pid)+"\n"), 0o644); err != nil {
		return nil, errors.Join(err, cmd.Process.Kill())
	}
	go func() {
		_ = cmd.Wait() // how it ended is in ProcessState
		os.Remove(note)
		close(p.ended)
	}()
	return p, nil
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// signal sends one, unless the process has ended.
func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// kill ends it like a power switch, and waits.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.ended
}

// stop ends it politely, and otherwise after patience.
func (p *process) stop(patience time.Duration) error {
	p.signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.kill()
		return fmt.Errorf("process %d did not end within %s of the signal", p.pid, patience)
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("process %d ended with code %d", p.pid, code)
	}
	return nil
}

// family is a process and those that it started, it first.
func family(pid int) []int {
	list := []int{pid}
	all, _ := filepath.Glob("/proc/[0-9]*/stat") // the only error is a bad pattern
	for _, path := range all {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		// The name, in parentheses, may hold anything; after it come the state and the parent.
		f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if len(f) > 1 && f[1] == strconv.Itoa(pid) {
			child, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			list = append(list, child)
		}
	}
	return list
}

// memory is the resident memory of a process in MB; 0 when it is gone.
func memory(pid int) float64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(string(text), "\nVmRSS:")
	f := strings.Fields(rest)
	if len(f) == 0 {
		return 0
	}
	kB, _ := strconv.ParseFloat(f[0], 64)
	return kB / 1024
}

// freeAddress is one on loopback that nobody listened on a moment ago, and that the kernel gives nobody while a replica is started
// anew: what it gives begins at 32768.
func freeAddress() (address string, err error) {
	for range 100 {
		address = fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(12_000))
		var l net.Listener
		if l, err = net.Listen("tcp", address); err == nil {
			return address, l.Close()
		}
	}
	return "", err
}
