package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fila-ia/filaia/store"
)

// soak is one run and its parts.
type soak struct {
	opts     options
	dir      string
	began    time.Time
	diary    *diary
	guard    *guard
	pg       *postgres
	redis    *redis
	provider *simulator
	replicas []*replica
	cli      cli
	store    *store.Store
	load     *load
	troubles troubles
	sampler  *sampler
}

// diary is what happened when, told as it happens and kept.
type diary struct {
	mu    sync.Mutex
	began time.Time
	out   io.Writer
	lines []string
}

func (d *diary) log(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	line := fmt.Sprintf("%7.1fs  ", time.Since(d.began).Seconds()) + fmt.Sprintf(format, args...)
	d.lines = append(d.lines, line)
	fmt.Fprintln(d.out, line)
}

// soakFor runs everything and gives what was found. An error is a run that could not be made; what the product did
// wrong stands in the report.
func soakFor(ctx context.Context, o options, out io.Writer) (r *report, err error) {
	s := &soak{opts: o, dir: o.keep, began: time.Now()}
	s.diary = &diary{began: s.began, out: out}
	if s.dir == "" {
		if s.dir, err = os.MkdirTemp("", "filaia-soak-"); err != nil {
			return nil, err
		}
		defer func() {
			if err == nil && r.err() == nil {
				os.RemoveAll(s.dir)
			} else {
				s.diary.log("what was written lies in %s", s.dir)
			}
		}()
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return nil, err
	}
	if err := os.Chmod(s.dir, 0o755); err != nil { // PostgreSQL may run as another user
		return nil, err
	}
	defer func() { err = errors.Join(err, s.endAll()) }()
	if err := s.setUp(ctx); err != nil {
		return nil, err
	}
	return s.run(ctx)
}

// run is the load with its troubles, the settling and the audit.
func (s *soak) run(ctx context.Context) (*report, error) {
	s.sampler = newSampler(s)
	sampling, endSampling := context.WithCancel(ctx)
	defer endSampling()
	var samplers sync.WaitGroup
	samplers.Go(func() { s.sampler.buckets(sampling) })
	samplers.Go(func() { s.sampler.memory(sampling) })

	loading, endLoad := context.WithTimeout(ctx, s.opts.length)
	defer endLoad()
	s.diary.log("customers call: seed %d, %s, %d replicas, %d customers, at most %d calls a second", s.opts.seed, s.opts.length, s.opts.replicas, s.opts.tenants, s.opts.rate)
	start := time.Now()
	var others sync.WaitGroup
	others.Go(func() { s.trouble(loading, start) })
	others.Go(func() { s.administer(loading, start) })
	s.load.run(loading)
	others.Wait()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	s.diary.log("all calls have ended")

	r := &report{Seed: s.opts.seed, Seconds: s.opts.length.Seconds(), Replicas: s.opts.replicas, Tenants: s.opts.tenants, Race: s.opts.race}
	s.settle(ctx, r)
	endSampling()
	samplers.Wait()
	if err := s.checkAlerts(ctx, r); err != nil {
		return nil, err
	}
	s.stopReplicas(r)
	if err := s.audit(ctx, r); err != nil {
		return nil, err
	}
	r.Diary, r.Memory = s.diary.lines, s.sampler.curves(len(s.replicas))
	return r, nil
}

// setUp starts PostgreSQL, Redis, the provider and the replicas, and sells plans.
func (s *soak) setUp(ctx context.Context) (err error) {
	binary, err := s.build(ctx)
	if err != nil {
		return err
	}
	if s.guard, err = newGuard(filepath.Join(s.dir, "processes")); err != nil {
		return err
	}
	if s.pg, err = startPostgres(ctx, s.guard, s.dir); err != nil {
		return err
	}
	if s.provider, err = startSimulator(s.guard, s.dir, s.opts.seed); err != nil {
		return err
	}
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "DATABASE_URL=" + s.pg.url(), "FILAIA_SECRET_KEY=" + strings.Repeat("5a", 32),
		"OPENAI_BASE_URL=http://" + s.provider.address + "/v1", "OPENAI_API_KEY=sk-soak", "FILAIA_LEASE_GRACE=" + s.opts.grace.String(),
		"GORACE=halt_on_error=0 atexit_sleep_ms=0",
	}
	if s.opts.redis {
		if s.redis, err = startRedis(s.guard, s.dir); err != nil {
			return err
		}
		env = append(env, "REDIS_URL="+s.redis.url())
	}
	s.cli = cli{binary: binary, env: append(env, "FILAIA_DATA_DIR="+filepath.Join(s.dir, "cli"))}
	if err := s.cli.run(ctx, nil, "migrate", "up"); err != nil {
		return err
	}
	for n := range s.opts.replicas {
		address, err := freeAddress()
		if err != nil {
			return err
		}
		dir := filepath.Join(s.dir, fmt.Sprintf("replica-%d", n))
		one := &replica{number: n, guard: s.guard, binary: binary, address: address, dir: dir, log: s.diary.log,
			env: append(env[:len(env):len(env)], "FILAIA_LISTEN="+address, "FILAIA_DATA_DIR="+dir)}
		s.replicas = append(s.replicas, one)
		if err := one.start(); err != nil {
			return err
		}
	}
	customers, err := s.cli.sell(ctx, s.opts)
	if err != nil {
		return err
	}
	s.load = &load{opts: s.opts, customers: customers, replicas: s.replicas}
	for _, one := range s.replicas {
		if err := one.ready(ctx, time.Minute); err != nil {
			return err
		}
	}
	if s.store, err = store.Open(ctx, s.pg.url()); err != nil {
		return err
	}
	return s.readers(ctx)
}

// build compiles the product, unless one is given.
func (s *soak) build(ctx context.Context) (string, error) {
	if s.opts.binary != "" {
		return filepath.Abs(s.opts.binary)
	}
	s.diary.log("building the product")
	binary := filepath.Join(s.dir, "filaia")
	args := []string{"build", "-o", binary}
	if s.opts.race {
		args = append(args, "-race")
	}
	out, err := exec.CommandContext(ctx, "go", append(args, "github.com/fila-ia/filaia/cmd/filaia")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build the product: %w: %s", err, out)
	}
	return binary, nil
}

// settle waits until every replica runs and has nothing left to do.
func (s *soak) settle(ctx context.Context, r *report) {
	for _, one := range s.replicas {
		if err := one.ready(ctx, time.Minute); err != nil {
			r.wrong("replicas running after all troubles", err.Error())
		}
	}
	var busy string
	begin := time.Now()
	for deadline := begin.Add(90 * time.Second); time.Now().Before(deadline) && ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
		if busy = s.busy(); busy == "" {
			break
		}
	}
	s.diary.log("settled after %.1fs", time.Since(begin).Seconds())
	r.expect("spools empty, calls ended, holds settled after the load", busy == "", orElse(busy, fmt.Sprintf("within %.1f s", time.Since(begin).Seconds())))
}

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// busy says what a replica still has to do.
func (s *soak) busy() string {
	for _, one := range s.replicas {
		figures, err := one.metrics()
		if err != nil {
			return err.Error()
		}
		for _, name := range []string{"filaia_spool_events", "filaia_calls", "filaia_quota_holds", "filaia_quota_held_tokens"} {
			if n, told := figures[name]; n != 0 || !told {
				return fmt.Sprintf("replica %d: %s is %g, told: %t", one.number, name, n, told)
			}
		}
	}
	return ""
}

// stopReplicas stops all of them as an operator would.
func (s *soak) stopReplicas(r *report) {
	var problems []string
	for _, one := range s.replicas {
		if err := one.stop(90 * time.Second); err != nil {
			problems = append(problems, fmt.Sprintf("replica %d: %v: %s", one.number, err, lastLine(one.logFile())))
		}
	}
	r.expect("clean stop of every replica", len(problems) == 0, orElse(strings.Join(problems, "; "), fmt.Sprint(len(s.replicas))))
}

// endAll ends whatever still runs.
func (s *soak) endAll() error {
	if s.store != nil {
		s.store.Close()
	}
	for _, one := range s.replicas {
		if one.proc != nil {
			one.kill()
		}
	}
	err := errors.Join(s.provider.stop(), s.pg.stop())
	s.redis.stop()
	if s.guard != nil {
		s.guard.stop()
	}
	return err
}
