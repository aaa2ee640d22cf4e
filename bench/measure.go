package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// sizes say how much is measured.
type sizes struct {
	rounds      int
	warmup      int // calls of each side before the first round
	calls       int // whole answers a round
	connections int

	steadyFor time.Duration // a round at the same rate for all

	openRounds int
	openRate   int // calls per second
	openCalls  int // a round
	latency    time.Duration

	streamRounds int
	streams      int // a round
	atOnce       int

	held      int           // streams that are held open
	heldFew   int           // and before them
	heldPause time.Duration // before each of their chunks

	redisRounds int

	replicaRounds, replicaCalls int // calls that a quota is for: about those of the Enterprise plan

	commitRounds, commitEvents int // events a round

	alerts       int // that are raised one after the other
	alertBatches int // of 1,000 events

	questions, mixWarmup, mixCalls int
}

var (
	full = sizes{
		rounds: 5, warmup: 2000, calls: 40_000, connections: 64, steadyFor: 3 * time.Second,
		openRounds: 7, openRate: 500, openCalls: 1000, latency: 50 * time.Millisecond,
		streamRounds: 3, streams: 600, atOnce: 200,
		held: 600, heldFew: 100, heldPause: 80 * time.Millisecond,
		redisRounds:   3,
		replicaRounds: 3, replicaCalls: 90_000,
		commitRounds: 3, commitEvents: 150_000,
		alerts: 30, alertBatches: 100,
		questions: 5000, mixWarmup: 10_000, mixCalls: 20_000,
	}
	short = sizes{
		rounds: 3, warmup: 1000, calls: 8000, connections: 64, steadyFor: time.Second,
		openRounds: 3, openRate: 500, openCalls: 500, latency: 50 * time.Millisecond,
		streamRounds: 1, streams: 400, atOnce: 200,
		held: 250, heldFew: 50, heldPause: 40 * time.Millisecond,
		redisRounds:   1,
		replicaRounds: 1, replicaCalls: 90_000,
		commitRounds: 1, commitEvents: 40_000,
		alerts: 10, alertBatches: 30,
		questions: 5000, mixWarmup: 10_000, mixCalls: 10_000,
	}
)

// bench is everything that a measurement runs.
type bench struct {
	size           sizes
	dir, binary    string
	provider       provider
	product        *product
	proxy, gateway *side
	hits           *side // the gateway, answering from its cache
	exact, smart   *side // and with the keys of customers who ask a mix of questions
	before         *side // another build of the product; may be nil
	report         *report
}

// measure starts everything, measures, and stops everything. before is another build of the product, or empty; only, one
// step or all.
func measure(ctx context.Context, size sizes, before, only string) (r *report, err error) {
	dir, err := os.MkdirTemp("", "filaia-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	served, err := startServer(roleProvider)
	if err != nil {
		return nil, err
	}
	defer served.stop()
	bare, err := startServer(roleProxy, served.address)
	if err != nil {
		return nil, err
	}
	defer bare.stop()
	b := &bench{
		size: size, dir: dir, provider: provider{served},
		proxy:  &side{name: "proxy", address: bare.address, key: proxyKey, pid: bare.pid},
		report: &report{Date: time.Now().UTC().Truncate(time.Second), CPUs: runtime.NumCPU()},
	}
	if b.binary, err = build(ctx, dir); err != nil {
		return nil, err
	}
	b.product, err = startProduct(ctx, start{dir: filepath.Join(dir, "gateway"), binary: b.binary, provider: served.address, operatorKey: operatorKey})
	if b.product != nil {
		defer func() { err = errors.Join(err, b.product.stop()) }()
	}
	if err != nil {
		return nil, err
	}
	if err := b.customers(ctx); err != nil {
		return nil, err
	}
	if before != "" {
		old, err := startProduct(ctx, start{dir: filepath.Join(dir, "before"), binary: before, provider: served.address, operatorKey: "operator-before"})
		if old != nil {
			defer func() { _ = old.stop() }()
		}
		if err != nil {
			return nil, fmt.Errorf("the build before: %w", err)
		}
		c, err := old.sell(ctx, "benchmark", "", nil)
		if err != nil {
			return nil, fmt.Errorf("the build before: %w", err)
		}
		b.before = old.side("the build before", c)
	}
	return b.report, b.run(ctx, only)
}

// customers makes the keys with which the gateway is measured.
func (b *bench) customers(ctx context.Context) error {
	p := b.product
	c, err := p.sell(ctx, "benchmark", "off", limited)
	if err != nil {
		return err
	}
	b.gateway = p.side("gateway", c)
	if err := p.issue(ctx, c, "exact", limited); err != nil {
		return err
	}
	b.hits = p.side("gateway's cache", c)
	if c, err = p.sell(ctx, "mix-exact", "exact", limited); err != nil {
		return err
	}
	b.exact = p.side("mix, exact", c)
	if c, err = p.sell(ctx, "mix-smart", "smart", limited); err != nil {
		return err
	}
	b.smart = p.side("mix, smart", c)
	return nil
}

// run takes the steps, or only the one that is named.
func (b *bench) run(ctx context.Context, only string) error {
	steps := []struct {
		name string
		do   func(context.Context) error
	}{
		{"memory", b.hold}, {"whole", b.whole}, {"open", b.open}, {"streams", b.streams}, {"mix", b.mixed}, {"redis", b.redis},
		{"replicas", b.replicas},
		{"commits", b.commits}, {"alerts", b.alerts},
	}
	if err := b.warm(ctx); err != nil {
		return err
	}
	for _, step := range steps {
		if only != "" && only != step.name {
			continue
		}
		if err := step.do(ctx); err != nil {
			return err
		}
	}
	return b.balance(ctx, b.product)
}

// warm makes a few calls of each kind: what is read and made once is no call's.
func (b *bench) warm(ctx context.Context) error {
	sides := b.sides()
	if _, err := b.rounds(ctx, 1, loadSpec{Connections: b.size.connections, Calls: b.size.warmup}, sides...); err != nil {
		return err
	}
	_, err := b.rounds(ctx, 1, loadSpec{Connections: 10, Calls: 20, Stream: true}, b.proxy, b.gateway)
	return err
}

// sides are those whose whole answers are compared.
func (b *bench) sides() []*side {
	sides := []*side{b.proxy, b.gateway, b.hits}
	if b.before != nil {
		sides = append(sides, b.before)
	}
	return sides
}

// rounds measures the sides in turn, so that a noisy neighbour troubles all.
func (b *bench) rounds(ctx context.Context, n int, spec loadSpec, sides ...*side) ([]series, error) {
	all := make([]series, len(sides))
	for range n {
		for i, s := range sides {
			one, err := s.measure(ctx, spec)
			if err != nil {
				return nil, err
			}
			all[i] = append(all[i], one)
		}
	}
	return all, nil
}

// balance compares what the callers of a product got, what the provider gave and what the product recorded.
func (b *bench) balance(ctx context.Context, p *product) error {
	given, err := b.provider.stats(p.operatorKey)
	if err != nil {
		return err
	}
	one, err := p.books(ctx, tally{given.Answered, given.PromptTokens + given.CompletionTokens})
	b.report.Books = b.report.Books.plus(one)
	return err
}
