package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	_ "github.com/lib/pq"
)

// product is the real binary, serving from a data folder of its own with its private PostgreSQL.
type product struct {
	start
	env        []string
	address    string
	cmd        *exec.Cmd
	ended      chan error
	db         *sql.DB
	postmaster int
	customers  []*customer

	answered tally // to the callers
	saved    int64 // calls among them that were answered without a provider
}

// start says how to run a product.
type start struct {
	dir         string
	binary      string
	provider    string   // its address
	operatorKey string   // by which the provider counts
	variables   []string // more of the environment
	beside      *product // whose database it shares; nil: its own
}

// customer is a tenant and a key.
type customer struct{ tenant, key string }

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
func startProduct(ctx context.Context, how start) (*product, error) {
	if err := os.MkdirAll(how.dir, 0o755); err != nil { // PostgreSQL may run as another user
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	p := &product{start: how, address: address, ended: make(chan error, 1)}
	for _, variable := range os.Environ() {
		switch name, _, _ := strings.Cut(variable, "="); {
		case strings.HasPrefix(name, "FILAIA_"), strings.HasPrefix(name, "OPENAI_"), strings.HasPrefix(name, "DATABASE_URL"), strings.HasPrefix(name, "REDIS_URL"):
		default:
			p.env = append(p.env, variable)
		}
	}
	p.env = append(p.env, "FILAIA_LISTEN="+address, "FILAIA_DATA_DIR="+p.data(),
		"OPENAI_BASE_URL=http://"+p.provider+"/v1", "OPENAI_API_KEY="+p.operatorKey)
	p.env = append(p.env, p.variables...)
	if p.beside != nil {
		p.env = append(p.env, "DATABASE_URL="+p.beside.databaseURL(), "FILAIA_SECRET_KEY_FILE="+filepath.Join(p.beside.data(), "secret.key"))
	}
	log, err := os.Create(p.log())
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd = exec.Command(p.binary, "serve")
	p.cmd.Env, p.cmd.Stderr, p.cmd.Stdout = p.env, log, log
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the product: %w", err)
	}
	go func() { p.ended <- p.cmd.Wait() }()
	return p, p.ready(ctx)
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

// databaseURL is how others reach the product's private PostgreSQL.
func (p *product) databaseURL() string {
	return "postgres:///filaia?user=filaia&sslmode=disable&host=" + url.QueryEscape(filepath.Join(p.data(), "pg"))
}

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
	if p.beside != nil {
		return nil
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

const plenty = "1000000000"

// limited are limits that are checked at every call and never reached, of a plan, a customer or a key.
var limited = []string{"--rpm", plenty, "--tpm", plenty, "--parallel", "100000"}

// sell makes a plan with all limits, a customer and a key. cache is the key's; limits are those of customer and key.
func (p *product) sell(ctx context.Context, slug, cache string, limits []string) (*customer, error) {
	plan := append([]string{"--input-tokens", plenty + "00", "--output-tokens", plenty + "00"}, limited...)
	return p.sellPlan(ctx, slug, cache, plan, limits)
}

func (p *product) sellPlan(ctx context.Context, slug, cache string, plan, limits []string) (*customer, error) {
	var made struct {
		ID  int64
		Key string
	}
	create := []string{"plan", "create", "--slug", slug, "--name", slug, "--price", "0", "--overage", "block"}
	if err := p.command(ctx, &made, append(create, plan...)...); err != nil {
		return nil, err
	}
	if err := p.command(ctx, &made, append([]string{"tenant", "create", "--name", slug, "--plan", slug}, limits...)...); err != nil {
		return nil, err
	}
	c := &customer{tenant: fmt.Sprint(made.ID)}
	p.customers = append(p.customers, c)
	return c, p.issue(ctx, c, cache, limits)
}

// issue makes a key for a customer, in place of the one that c names.
func (p *product) issue(ctx context.Context, c *customer, cache string, limits []string) error {
	words := append([]string{"key", "create", "--tenant", c.tenant}, limits...)
	if cache != "" {
		words = append(words, "--cache", cache)
	}
	var made struct{ Key string }
	err := p.command(ctx, &made, words...)
	c.key = made.Key
	return err
}

// side is the way through the product with a customer's key.
func (p *product) side(name string, c *customer) *side {
	return &side{name: name, address: p.address, key: c.key, pid: p.cmd.Process.Pid, product: p}
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

// books tells what the product recorded, beside what its callers and the provider counted.
func (p *product) books(ctx context.Context, given tally) (books, error) {
	b := books{Answered: p.answered, Provider: given, Saved: p.saved}
	for _, c := range p.customers {
		var used struct {
			Requests int64 `json:"requests"`
			Failures int64 `json:"failures"`
			Input    int64 `json:"input_tokens"`
			Output   int64 `json:"output_tokens"`
		}
		if err := p.command(ctx, &used, "usage", "--tenant", c.tenant); err != nil {
			return b, err
		}
		b.Recorded.Calls += used.Requests
		b.Billed.Tokens += used.Input + used.Output
		b.Failures += used.Failures
	}
	const query = `SELECT coalesce(sum(requests - cache_hits), 0), coalesce(sum(served_input + served_output), 0) FROM usage_hourly`
	if err := p.db.QueryRowContext(ctx, query).Scan(&b.Billed.Calls, &b.Recorded.Tokens); err != nil {
		return b, fmt.Errorf("read the records: %w", err)
	}
	return b, nil
}

// committed waits until all calls that were answered are in the database.
func (p *product) committed(ctx context.Context) error {
	var seen int64
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		const count = `SELECT coalesce(sum(requests), 0) FROM usage_hourly`
		if err := p.db.QueryRowContext(ctx, count).Scan(&seen); err != nil {
			return fmt.Errorf("count what is committed: %w", err)
		}
		if seen >= p.answered.Calls {
			return nil
		}
	}
	return fmt.Errorf("%d calls were answered and after 30 s only %d are committed", p.answered.Calls, seen)
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
