package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// The parts of a measurement run in processes of their own, so that the CPU and the memory of one can be told from
// those of the others: this program starts itself again with a role as its first argument. A role that serves tells its
// address on standard output and ends with standard input, so it cannot outlive who started it.
const (
	roleProvider = "provider"
	roleProxy    = "proxy"
	roleLoad     = "load"
	roleCommit   = "commit"
)

// runRole runs a role when args ask for one.
func runRole(args []string) (was bool, err error) {
	if len(args) == 0 {
		return false, nil
	}
	switch args[0] {
	case roleProvider:
		return true, providerRole(os.Stdin, os.Stdout)
	case roleProxy:
		return true, proxyRole(os.Stdin, os.Stdout, args[1])
	case roleLoad:
		result, err := loadRole(args[1:])
		if err != nil {
			return true, err
		}
		return true, json.NewEncoder(os.Stdout).Encode(result)
	case roleCommit:
		result, err := commitRole(args[1:])
		if err != nil {
			return true, err
		}
		return true, json.NewEncoder(os.Stdout).Encode(result)
	}
	return false, nil
}

// server is a role that serves.
type server struct {
	address string
	pid     int
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
}

func startServer(args ...string) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, args...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the %s: %w", args[0], err)
	}
	s := &server{cmd: cmd, in: in, out: bufio.NewReader(out), pid: cmd.Process.Pid}
	line, err := s.out.ReadString('\n')
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("start the %s: it told no address", args[0])
	}
	s.address = strings.TrimSpace(line)
	return s, nil
}

// ask writes a command and reads the answer, a line of JSON.
func (s *server) ask(command string, answer any) error {
	if _, err := fmt.Fprintln(s.in, command); err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	line, err := s.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, answer)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	return nil
}

func (s *server) stop() {
	s.in.Close()
	_ = s.cmd.Wait()
}

// load runs one load in a process of its own.
func load(ctx context.Context, spec loadSpec) (loadResult, error) {
	var r loadResult
	self, err := os.Executable()
	if err != nil {
		return r, err
	}
	cmd := exec.CommandContext(ctx, self, append([]string{roleLoad}, spec.args()...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &r)
	}
	if err != nil {
		return r, fmt.Errorf("run the load: %w", errors.Join(ctx.Err(), err))
	}
	return r, r.err(spec)
}
