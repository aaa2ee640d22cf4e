// Package redistest gives tests a real Redis (or Valkey) of their own: on a free loopback port, without persistence,
// and able to die, come back and fall silent when a test wants it to.
package redistest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience bounds starting and stopping. It only matters when something hangs.
const patience = 30 * time.Second

// Server is one server program. Its methods are for the goroutine of the test.
type Server struct {
	t    testing.TB
	dir  string
	port int
	args []string

	server *exec.Cmd // nil while stopped
	ended  chan struct{}
	guard  *exec.Cmd
	alive  io.WriteCloser // the guard acts when this closes
}

// Start runs a server until the test ends.
func Start(t testing.TB) *Server {
	t.Helper()
	return start(t)
}

// StartCluster runs a server that is a Redis Cluster of one node: it refuses commands whose keys have different slots,
// and scripts that touch keys that were not declared.
func StartCluster(t testing.TB) *Server {
	t.Helper()
	s := start(t, "--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(freePort(t)))
	if answer := s.ask("CLUSTER ADDSLOTSRANGE 0 16383"); answer != "+OK" {
		t.Fatalf("redistest: slots of the cluster: %q", answer)
	}
	s.await("cluster_state:ok", func() bool { return strings.Contains(s.ask("CLUSTER INFO"), "cluster_state:ok") })
	return s
}

func start(t testing.TB, args ...string) *Server {
	t.Helper()
	s := &Server{t: t, dir: t.TempDir(), port: freePort(t), args: args}
	t.Cleanup(s.Stop)
	s.Restart()
	return s
}

// URL is the address: redis://127.0.0.1:port/0.
func (s *Server) URL() string { return "redis://" + s.Addr() + "/0" }

// Addr is the address as host:port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// Stop kills the server; its data are gone. A stopped server stays stopped.
func (s *Server) Stop() {
	if s.server == nil {
		return
	}
	_ = s.server.Process.Kill()
	<-s.ended
	s.server = nil
	_, _ = io.WriteString(s.alive, "stopped\n")
	_ = s.alive.Close()
	_ = s.guard.Wait()
}

// Restart starts the server anew, empty, on the same port; one that runs is killed first.
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	s.await("server", func() bool {
		if s.server == nil {
			if err := s.launch(); err != nil {
				s.t.Fatalf("redistest: %v", err)
			}
		}
		select {
		case <-s.ended: // somebody else has the port: wait until it is free
			s.Stop()
			return false
		default:
			return strings.Contains(s.ask("INFO server"), "\nprocess_id:"+strconv.Itoa(s.server.Process.Pid)+"\r")
		}
	})
}

// Stall stops the server in its tracks: connections are still accepted, but nothing is answered.
func (s *Server) Stall() { s.signal(syscall.SIGSTOP) }

// Resume lets a stalled server go on; it then does what it was sent meanwhile.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.server.Process.Signal(sig); err != nil {
		s.t.Fatalf("redistest: %v: %v", sig, err)
	}
}

// endServer kills process $1 when its input ends without a word: a panic in a test, its timeout or a kill run no code of ours.
const endServer = `read -r _ || kill -9 "$1"`

func (s *Server) launch() error {
	path, err := program()
	if err != nil {
		return err
	}
	args := append([]string{"--bind", "127.0.0.1", "--port", strconv.Itoa(s.port), "--dir", s.dir, "--save", "", "--appendonly", "no"}, s.args...)
	server := exec.Command(path, args...)
	if err := server.Start(); err != nil {
		return err
	}
	guard := exec.Command("sh", "-c", endServer, "sh", strconv.Itoa(server.Process.Pid))
	guard.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C is meant for the tests
	alive, err := guard.StdinPipe()
	if err == nil {
		err = guard.Start()
	}
	if err != nil {
		_ = server.Process.Kill()
		_ = server.Wait()
		return fmt.Errorf("guard: %w", err)
	}
	s.server, s.ended, s.guard, s.alive = server, make(chan struct{}), guard, alive
	go func(ended chan<- struct{}) {
		_ = server.Wait() // says only how it was ended
		close(ended)
	}(s.ended)
	return nil
}

func program() (string, error) {
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("neither redis-server nor valkey-server is installed")
}

// freePort is one that nobody listened on a moment ago.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("redistest: %v", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// await polls until the server is as it should be.
func (s *Server) await(what string, reached func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(patience); !reached(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("redistest: no %s from %s", what, s.Addr())
		}
	}
}

// ask sends one inline command on a connection of its own and gives the answer without its last line end, or "" when
// there is none.
func (s *Server) ask(command string) string {
	conn, err := net.DialTimeout("tcp", s.Addr(), time.Second)
	if err != nil {
		return ""
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := io.WriteString(conn, command+"\r\n"); err != nil {
		return ""
	}
	r := bufio.NewReader(conn)
	line, _ := r.ReadString('\n')
	line = strings.TrimRight(line, "\r\n")
	if size, isBulk := strings.CutPrefix(line, "$"); isBulk {
		n, _ := strconv.Atoi(size)
		body := make([]byte, max(n, 0))
		if _, err := io.ReadFull(r, body); err != nil {
			return ""
		}
		return string(body)
	}
	return line
}
