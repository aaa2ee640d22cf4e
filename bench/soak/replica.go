package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// replica is one process of the product, with a data folder of its own. One that ends by itself is started again, as
// systemd would: without its database it cannot start.
type replica struct {
	number  int
	guard   *guard
	binary  string
	address string
	dir     string
	env     []string
	log     func(format string, args ...any)

	mu       sync.Mutex
	wanted   bool
	proc     *process
	starts   int
	exits    []exit // that nobody asked for
	watching sync.WaitGroup
}

// exit is an end that nobody asked for, and the last that the process said.
type exit struct {
	at      time.Time
	started time.Time
	said    string
}

func (r *replica) logFile() string { return filepath.Join(r.dir, "filaia.log") }

// start starts the process and keeps it running until stop or kill.
func (r *replica) start() error {
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wanted = true
	return r.launch()
}

// launch starts it once. The caller holds the lock.
func (r *replica) launch() error {
	cmd := exec.Command(r.binary, "serve")
	cmd.Env = r.env
	p, err := r.guard.start(cmd, r.logFile())
	if err != nil {
		return err
	}
	r.proc = p
	r.starts++
	r.watching.Add(1)
	go r.watch(p, time.Now())
	return nil
}

// watch starts it again when it ends unasked.
func (r *replica) watch(p *process, started time.Time) {
	defer r.watching.Done()
	<-p.ended
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.wanted || r.proc != p {
		return
	}
	said := lastLine(r.logFile())
	r.exits = append(r.exits, exit{time.Now(), started, said})
	r.log("replica %d ended by itself: %s", r.number, said)
	r.mu.Unlock()
	time.Sleep(300 * time.Millisecond)
	r.mu.Lock()
	if r.wanted && r.proc == p {
		if err := r.launch(); err != nil {
			r.log("replica %d does not start: %v", r.number, err)
		}
	}
}

// take makes the process ours to end: it is not started again.
func (r *replica) take() *process {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wanted = false
	return r.proc
}

func (r *replica) kill()                             { r.take().kill() }
func (r *replica) stop(patience time.Duration) error { return r.take().stop(patience) }

// freeze stops the process in its tracks; thaw lets it go on.
func (r *replica) freeze() { r.signal(syscall.SIGSTOP) }
func (r *replica) thaw()   { r.signal(syscall.SIGCONT) }

func (r *replica) signal(s syscall.Signal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.proc.signal(s)
}

func (r *replica) pid() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.proc == nil || !r.proc.running() {
		return 0
	}
	return r.proc.pid
}

var probe = &http.Client{Timeout: 5 * time.Second}

// ready waits until it answers and reaches its database.
func (r *replica) ready(ctx context.Context, patience time.Duration) error {
	var last error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		res, err := probe.Get("http://" + r.address + "/readyz")
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
			err = fmt.Errorf("status %d", res.StatusCode)
		}
		if last = err; ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return fmt.Errorf("replica %d is not ready within %s: %w; it said %s", r.number, patience, last, lastLine(r.logFile()))
}

// metrics reads the figures that it tells at /metrics.
func (r *replica) metrics() (map[string]float64, error) {
	res, err := probe.Get("http://" + r.address + "/metrics")
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	figures := map[string]float64{}
	for lines := bufio.NewScanner(res.Body); lines.Scan(); {
		name, text, _ := strings.Cut(lines.Text(), " ")
		if value, err := strconv.ParseFloat(text, 64); err == nil {
			figures[name] = value
		}
	}
	if len(figures) == 0 {
		return nil, fmt.Errorf("replica %d tells no metrics: status %d", r.number, res.StatusCode)
	}
	return figures, nil
}

func lastLine(path string) string {
	text, _ := os.ReadFile(path)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	line := lines[len(lines)-1]
	return line[:min(len(line), 300)]
}
