package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	_ "github.com/lib/pq"
)

// product is the real binary, serving from a data folder of its own with its private PostgreSQL, and one customer
// with a key.
type product struct {
	dir, binary string
	env         []string
	address     string
	cmd         *exec.Cmd
	ended       chan error
	db          *sql.DB
	postmaster  int
	tenant      string
	key         string
}

// build compiles the product into dir.
func build(ctx context.Context, dir string) (string, error) {
	binary := filepath.Join(dir, "filaia")
	out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "github.com/fila-ia/filaia/cmd/filaia").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the product: %w: %s", err, out)
	}
	return binary, nil
}

// startProduct serves before a provider. Its log goes to a file, as it would in production. The caller must stop it,
// also after an error.
func startProduct(ctx context.Context, dir, binary, provider string) (*product, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	p := &product{dir: dir, binary: binary, address: address, ended: make(chan error, 1)}
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); !strings.HasPrefix(name, "FILAIA_") && !strings.HasPrefix(name, "OPENAI_") && !strings.HasPrefix(name, "DATABASE_URL") {
			p.env = append(p.env, variable)
		}
	}
	p.env = append(p.env, "FILAIA_LISTEN="+address, "FILAIA_DATA_DIR="+p.data(),
		"OPENAI_BASE_URL=http://"+provider+"/v1", "OPENAI_API_KEY="+operatorKey)
	log, err := os.Create(p.log())
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd = exec.Command(binary, "serve")
	p.cmd.Env, p.cmd.Stderr, p.cmd.Stdout = p.env, log, log
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the product: %w", err)
	}
	go func() { p.ended <- p.cmd.Wait() }()
	if err := p.ready(ctx); err != nil {
		return p, err
	}
	return p, p.sell(ctx)
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func (p *product) data() string { return filepath.Join(p.dir, "data") }
func (p *product) log() string  { return filepath.Join(p.dir, "filaia.log") }

// ready waits until the product answers and connects to its database.
func (p *product) ready(ctx context.Context) error {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		res, err := http.Get("http://" + p.address + "/readyz")
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				break
			}
		}
		select {
		case err := <-p.ended:
			p.ended <- err
			return fmt.Errorf("the product did not start: %s", p.lastLog())
		case <-ctx.Done():
			return ctx.Err()
		default:
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the product is not ready after a minute: %s", p.lastLog())
		}
	}
	pidFile, err := os.ReadFile(filepath.Join(p.data(), "pg", "postmaster.pid"))
	if err != nil {
		return fmt.Errorf("find the private PostgreSQL: %w", err)
	}
	first, _, _ := strings.Cut(string(pidFile), "\n")
	if p.postmaster, err = strconv.Atoi(first); err != nil {
		return fmt.Errorf("find the private PostgreSQL: %w", err)
	}
	p.db, err = sql.Open("postgres", fmt.Sprintf("host='%s' user=filaia dbname=filaia sslmode=disable", filepath.Join(p.data(), "pg")))
	if err != nil {
		return err
	}
	p.db.SetMaxOpenConns(1)
	return nil
}

func (p *product) lastLog() string {
	text, _ := os.ReadFile(p.log())
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1]
}

// sell makes a plan with limits that are checked at every call and never reached, a customer and a key.
func (p *product) sell(ctx context.Context) error {
	var made struct {
		ID  int64
		Key string
	}
	const plenty = "1000000000"
	err := p.command(ctx, &made, "plan", "create", "--slug", "benchmark", "--name", "Benchmark", "--price", "0", "--overage", "block",
		"--input-tokens", plenty+"00", "--output-tokens", plenty+"00", "--rpm", plenty, "--tpm", plenty, "--parallel", "100000")
	if err != nil {
		return err
	}
	if err := p.command(ctx, &made, "tenant", "create", "--name", "Benchmark", "--plan", "benchmark"); err != nil {
		return err
	}
	p.tenant = fmt.Sprint(made.ID)
	if err := p.command(ctx, &made, "key", "create", "--tenant", p.tenant); err != nil {
		return err
	}
	p.key = made.Key
	return nil
}

// command runs one of the product's commands and reads its JSON.
func (p *product) command(ctx context.Context, out any, words ...string) error {
	cmd := exec.CommandContext(ctx, p.binary, append(words, "--json")...)
	cmd.Env = p.env
	text, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = errors.New(strings.TrimSpace(string(exit.Stderr)))
		}
		return fmt.Errorf("filaia %s: %w", strings.Join(words[:2], " "), err)
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("filaia %s: %w", strings.Join(words[:2], " "), err)
	}
	return nil
}

// recorded is what the product says that its customer used.
type recorded struct {
	Requests int64 `json:"requests"`
	Failures int64 `json:"failures"`
	Input    int64 `json:"input_tokens"`
	Output   int64 `json:"output_tokens"`
}

func (p *product) usage(ctx context.Context) (r recorded, err error) {
	return r, p.command(ctx, &r, "usage", "--tenant", p.tenant)
}

// committed waits until so many calls are in the database: a call's work is done then, not when it is answered.
func (p *product) committed(ctx context.Context, calls int64) error {
	var seen int64
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		const count = `SELECT coalesce(sum(requests), 0) FROM usage_hourly`
		if err := p.db.QueryRowContext(ctx, count).Scan(&seen); err != nil {
			return fmt.Errorf("count what is committed: %w", err)
		}
		if seen >= calls {
			return nil
		}
	}
	return fmt.Errorf("%d calls were answered and after 30 s only %d are committed", calls, seen)
}

// cpu is the CPU time of the product's process and of its PostgreSQL.
func (p *product) cpu() (gateway, database time.Duration, err error) {
	if gateway, err = cpu(p.cmd.Process.Pid); err != nil {
		return 0, 0, err
	}
	database, err = familyCPU(p.postmaster)
	return gateway, database, err
}

// stop ends the product and, where it did not do that itself, its PostgreSQL.
func (p *product) stop() error {
	if p.db != nil {
		p.db.Close()
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(time.Minute):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
	if p.postmaster == 0 {
		return nil
	}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if _, err := readStat(p.postmaster); err != nil {
			return nil
		}
		_ = syscall.Kill(p.postmaster, syscall.SIGINT) // a fast shutdown
	}
	return fmt.Errorf("the private PostgreSQL, process %d, does not stop", p.postmaster)
}
