package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/pglocal"
	"github.com/fila-ia/filaia/store"
	"github.com/fila-ia/filaia/store/storetest"
)

// binary is the program under test, built once, with the race detector.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "filaia-test-")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "filaia")
	build := exec.Command("go", "build", "-race", "-o", binary, ".")
	build.Stderr = os.Stderr
	code := 1
	if build.Run() == nil {
		code = storetest.Run(m)
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// install is a data folder and how its processes are started.
type install struct {
	t       *testing.T
	dir     string
	address string
	env     []string
	as      *syscall.SysProcAttr // another user than ourselves, if any
}

// newInstall makes an empty installation that calls the provider at providerURL; empty: the simulator.
func newInstall(t *testing.T, providerURL string) *install {
	t.Helper()
	i := &install{t: t, dir: t.TempDir(), address: freeAddress(t)}
	if err := os.Chmod(i.dir, 0o711); err != nil {
		t.Fatal(err)
	}
	i.env = []string{"FILAIA_DATA_DIR=" + i.dir, "FILAIA_LISTEN=" + i.address, "PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"),
		"GORACE=atexit_sleep_ms=0"} // the race detector's own pause at every exit: races are told before
	if providerURL != "" {
		i.env = append(i.env, "OPENAI_BASE_URL="+providerURL, "OPENAI_API_KEY=sk-canary-provider")
	}
	return i
}

// given are the ports that were given out.
var given sync.Map

// freeAddress is one that nothing listens on, and that the kernel gives nobody before its server begins to listen, nor while
// that is started anew: it gives connections, and who asks for any port, those from 32768 on.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(12_000))
		if _, taken := given.LoadOrStore(address, true); taken {
			continue
		}
		if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}

func discardLog() *slog.Logger { return slog.New(slog.DiscardHandler) }

func (i *install) url() string { return "http://" + i.address }

// server is a running filaia serve.
type server struct {
	*install
	cmd    *exec.Cmd
	output *lockedBuffer
	ended  chan struct{}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// setupLink is the one-time link; what a server printed may be read a moment after it answers.
var setupLink = regexp.MustCompile(`http\S+/setup\?token=\S+`)

// serve starts the server and waits until it answers. It is stopped when the test ends.
func (i *install) serve() *server {
	i.t.Helper()
	s := &server{install: i, cmd: exec.Command(binary, "serve"), output: &lockedBuffer{}, ended: make(chan struct{})}
	s.cmd.Env, s.cmd.Stdout, s.cmd.Stderr = i.env, s.output, s.output
	if err := s.cmd.Start(); err != nil {
		i.t.Fatal(err)
	}
	go func() { _ = s.cmd.Wait(); close(s.ended) }()
	i.t.Cleanup(func() {
		s.stop()
		i.keepsSecrets("the server's output", s.output.String())
		if strings.Contains(s.output.String(), "DATA RACE") {
			i.t.Errorf("the server has a data race:\n%s", s.output)
		}
		if i.t.Failed() {
			i.t.Logf("server's output:\n%s", tail(s.output.String(), 6000))
		}
	})
	eventually(i.t, "the server answers", func() bool {
		select {
		case <-s.ended:
			i.t.Fatalf("the server ended:\n%s", s.output)
		default:
		}
		res, err := http.Get(i.url() + "/readyz")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	return s
}

// fullKey is an API key's secret; its hint has an ellipsis in the middle.
var fullKey = regexp.MustCompile(`fia_live_[0-9A-Za-z]{20,}`)

// keepsSecrets fails the test when a text that may end up in a log holds a key, a password, the provider's key or
// anything of a prompt.
func (i *install) keepsSecrets(where, text string) {
	i.t.Helper()
	for _, secret := range []string{"sk-canary-provider", password, "pães cabem", strings.Repeat("5a", 32)} {
		if strings.Contains(text, secret) {
			i.t.Errorf("%s tells the secret %q", where, secret)
		}
	}
	if key := fullKey.FindString(text); key != "" {
		i.t.Errorf("%s tells the API key %s", where, key)
	}
}

func tail(text string, n int) string { return text[max(0, len(text)-n):] }

// stop ends the server as a person would, and waits for it.
func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(2 * time.Minute):
		s.t.Error("the server did not stop")
		s.kill()
	}
}

// kill ends the server like a power switch.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.ended
}

// run runs a command that must succeed, and reads its JSON into answer.
func (i *install) run(answer any, args ...string) {
	i.t.Helper()
	out, errText, err := i.try("", args...)
	if err != nil {
		i.t.Fatalf("filaia %s: %v: %s", strings.Join(args, " "), err, errText)
	}
	if answer != nil {
		if err := json.Unmarshal([]byte(out), answer); err != nil {
			i.t.Fatalf("filaia %s: %v in %q", strings.Join(args, " "), err, out)
		}
	}
}

// try runs a command.
func (i *install) try(stdin string, args ...string) (out, errText string, err error) {
	i.t.Helper()
	cmd := exec.Command(binary, args...)
	var o, e bytes.Buffer
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = i.env, strings.NewReader(stdin), &o, &e
	err = cmd.Run()
	return o.String(), e.String(), err
}

// customer makes a plan, a tenant on it and a key.
func (i *install) customer(slug string, planFlags ...string) (tenant int64, key string) {
	i.t.Helper()
	i.run(nil, append([]string{"plan", "create", "--slug", slug, "--name", slug, "--price", "10", "--json"}, planFlags...)...)
	var made struct {
		ID int64 `json:"id"`
	}
	i.run(&made, "tenant", "create", "--name", "Cliente "+slug, "--plan", slug, "--json")
	var k struct {
		Key string `json:"key"`
	}
	i.run(&k, "key", "create", "--tenant", fmt.Sprint(made.ID), "--json")
	return made.ID, k.Key
}

// figures are what filaia usage tells.
type figures struct {
	Requests, Failures                    int64
	InputTokens, OutputTokens             int64
	LimitInput, LimitOutput, CachedTokens int64
}

func (i *install) usage(tenant int64) figures {
	i.t.Helper()
	var u struct {
		Requests int64 `json:"requests"`
		Failures int64 `json:"failures"`
		In       int64 `json:"input_tokens"`
		Out      int64 `json:"output_tokens"`
		LimitIn  int64 `json:"limit_input"`
		LimitOut int64 `json:"limit_output"`
	}
	i.run(&u, "usage", "--tenant", fmt.Sprint(tenant), "--json")
	return figures{Requests: u.Requests, Failures: u.Failures, InputTokens: u.In, OutputTokens: u.Out, LimitInput: u.LimitIn, LimitOutput: u.LimitOut}
}

// databaseURL is the address of the installation's database, which then runs until the test ends.
func (i *install) databaseURL() string {
	i.t.Helper()
	pg, err := pglocal.Start(context.Background(), i.dir, discardLog())
	if err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() {
		if err := pg.Stop(context.Background()); err != nil {
			i.t.Error(err)
		}
	})
	return pg.URL(pglocal.Database)
}

// database opens the installation's database beside the server.
func (i *install) database() *store.Store {
	i.t.Helper()
	s, err := store.Open(context.Background(), i.databaseURL())
	if err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() { s.Close() })
	return s
}

// eventually polls until a state is reached.
func eventually(t *testing.T, what string, reached func() bool) {
	t.Helper()
	within(t, 2*time.Minute, what, reached)
}

// within polls until a state is reached, for so long at most.
func within(t *testing.T, limit time.Duration, what string, reached func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if reached() {
			return
		}
	}
	t.Fatalf("waited in vain: %s", what)
}

// reply is an answer of /v1.
type reply struct {
	status int
	header http.Header
	body   string
	err    error // the connection broke
}

var client = &http.Client{Timeout: 2 * time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 256}}

// chat posts a body to chat completions; a stream is read to its end.
func (i *install) chat(key, body string) reply { return i.chatNoting(key, body, nil) }

// chatNoting is chat that tells begun when the first bytes of the answer have come.
func (i *install) chatNoting(key, body string, begun chan<- struct{}) reply {
	req, err := http.NewRequest(http.MethodPost, i.url()+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		return reply{err: err}
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		return reply{err: err}
	}
	defer res.Body.Close()
	from := bufio.NewReader(res.Body)
	if begun != nil {
		_, _ = from.Peek(1) // an error comes again below
		begun <- struct{}{}
	}
	text, err := io.ReadAll(from)
	return reply{res.StatusCode, res.Header, string(text), err}
}

// events gives the data of a stream's events.
func events(body string) []string {
	var list []string
	for s := bufio.NewScanner(strings.NewReader(body)); s.Scan(); {
		if data, ok := strings.CutPrefix(s.Text(), "data: "); ok {
			list = append(list, data)
		}
	}
	return slices.Clip(list)
}
