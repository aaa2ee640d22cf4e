package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/gjson"

	"github.com/fila-ia/filaia/internal/openaitest"
)

// simulatorRole is the first argument by which this program is the provider.
const simulatorRole = "simulator"

func runRole(args []string) (was bool, err error) {
	if len(args) != 4 || args[0] != simulatorRole {
		return false, nil
	}
	seed, err := strconv.ParseUint(args[2], 10, 64)
	if err != nil {
		return true, err
	}
	return true, simulate(os.Stdin, os.Stdout, args[1], seed, args[3])
}

// entry is one line of the provider's journal: an answer, or an error, as it counted it.
type entry struct {
	ID        string `json:"id"` // its x-request-id
	User      string `json:"user"`
	Path      string `json:"path"`
	Status    int    `json:"status"`
	Whole     bool   `json:"whole,omitempty"` // sent in full
	In        int64  `json:"in,omitempty"`
	Cached    int64  `json:"cached,omitempty"`
	Out       int64  `json:"out,omitempty"`
	Reasoning int64  `json:"reasoning,omitempty"`
}

// simulate is the provider: it answers at address until its input ends, and writes each answer into a journal before
// the last byte of it is sent. The command "reset" cuts all its connections.
func simulate(in io.Reader, out io.Writer, address string, seed uint64, journal string) error {
	file, err := os.OpenFile(journal, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer file.Close()
	var mu sync.Mutex
	var failed error
	var seen sync.Map
	o := openaitest.Options{
		Listen: address, AnyModel: true,
		Journal: func(e openaitest.Entry) {
			line, _ := json.Marshal(entry{ID: e.ID, User: e.Group, Path: e.Path, Status: e.Status, Whole: e.Whole, In: int64(e.Usage.PromptTokens),
				Cached: int64(e.Usage.CachedTokens), Out: int64(e.Usage.CompletionTokens), Reasoning: int64(e.Usage.ReasoningTokens)})
			mu.Lock()
			defer mu.Unlock()
			if _, err := file.Write(append(line, '\n')); err != nil {
				failed = err
			}
		},
		Group: openaitest.ByUser,
		Script: func(r *openaitest.Request) openaitest.Behaviour {
			user := gjson.GetBytes(r.Body(), "user").String()
			m, ok := parseMarker(user)
			if !ok {
				return openaitest.Behaviour{}
			}
			_, again := seen.LoadOrStore(user, true)
			return m.behaviour(seed, r.Path(), !again)
		},
	}
	server, err := openaitest.New(o)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "ready")
	for lines := bufio.NewScanner(in); lines.Scan(); {
		server.Close()
		if server, err = openaitest.New(o); err != nil {
			return err
		}
		fmt.Fprintln(out, "reset")
	}
	server.Close()
	return failed
}

// simulator is the provider's process.
type simulator struct {
	address, journal string
	process          *process
	in               io.WriteCloser
	out              *bufio.Reader
}

func startSimulator(g *guard, dir string, seed uint64) (*simulator, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &simulator{journal: filepath.Join(dir, "provider.jsonl")}
	if s.address, err = freeAddress(); err != nil {
		return nil, err
	}
	cmd := exec.Command(self, simulatorRole, s.address, strconv.FormatUint(seed, 10), s.journal)
	if s.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if s.process, err = g.start(cmd, filepath.Join(dir, "provider.log")); err != nil {
		return nil, err
	}
	s.out = bufio.NewReader(out)
	_, err = s.out.ReadString('\n')
	return s, err
}

// reset cuts all its connections; calls under way are lost, and those that come meanwhile refused.
func (s *simulator) reset() error {
	if _, err := fmt.Fprintln(s.in, "reset"); err != nil {
		return err
	}
	_, err := s.out.ReadString('\n')
	return err
}

func (s *simulator) stop() error {
	if s == nil || s.process == nil {
		return nil
	}
	s.in.Close()
	select {
	case <-s.process.ended:
	case <-time.After(20 * time.Second):
		s.process.kill()
	}
	if code := s.process.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("the provider ended with code %d", code)
	}
	return nil
}

// readJournal reads what the provider wrote.
func readJournal(path string) ([]entry, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var all []entry
	for line := range strings.Lines(string(text)) {
		var e entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			return nil, fmt.Errorf("journal of the provider: %w in %q", err, line)
		}
		all = append(all, e)
	}
	return all, nil
}
