package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"
)

// sizes say how much is measured.
type sizes struct {
	rounds      int
	warmup      int // calls of each side before the first round
	calls       int // whole answers a round
	connections int
	rate        int // calls per second of the open loop
	openCalls   int
	latency     time.Duration // of the provider in the open loop
	streams     int           // a round
	atOnce      int           // streams at once
}

var (
	full = sizes{rounds: 5, warmup: 2000, calls: 40_000, connections: 64,
		rate: 500, openCalls: 3500, latency: 50 * time.Millisecond, streams: 600, atOnce: 200}
	short = sizes{rounds: 3, warmup: 1000, calls: 8000, connections: 64,
		rate: 500, openCalls: 1000, latency: 50 * time.Millisecond, streams: 200, atOnce: 200}
)

// bench is everything that a measurement runs.
type bench struct {
	size           sizes
	provider       provider
	proxy, gateway *side
	product        *product
	report         *report
}

// measure starts everything, measures, and stops everything.
func measure(ctx context.Context, size sizes) (r *report, err error) {
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
	binary, err := build(ctx, dir)
	if err != nil {
		return nil, err
	}
	p, err := startProduct(ctx, dir, binary, served.address)
	if p != nil {
		defer func() { err = errors.Join(err, p.stop()) }()
	}
	if err != nil {
		return nil, err
	}
	b := &bench{
		size: size, provider: provider{served}, product: p,
		report: &report{Date: time.Now().UTC().Truncate(time.Second), CPUs: runtime.NumCPU(), Rounds: size.rounds},
		proxy: &side{
			name: "proxy", address: bare.address, key: proxyKey, pid: bare.pid,
			cpu:    func() (own, database time.Duration, err error) { own, err = cpu(bare.pid); return own, 0, err },
			settle: func(context.Context, int64) error { return nil },
		},
		gateway: &side{name: "gateway", address: p.address, key: p.key, pid: p.cmd.Process.Pid, cpu: p.cpu, settle: p.committed},
	}
	return b.report, b.run(ctx)
}

func (b *bench) run(ctx context.Context) error {
	if _, _, err := b.rounds(ctx, 1, loadSpec{Connections: b.size.connections, Calls: b.size.warmup}); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{b.whole, b.open, b.streams, b.books} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// rounds measures both sides in turn, so that a noisy neighbour troubles both.
func (b *bench) rounds(ctx context.Context, n int, spec loadSpec) (proxy, gateway series, err error) {
	for range n {
		one, err := b.proxy.measure(ctx, spec)
		if err != nil {
			return nil, nil, err
		}
		proxy = append(proxy, one)
		if one, err = b.gateway.measure(ctx, spec); err != nil {
			return nil, nil, err
		}
		gateway = append(gateway, one)
	}
	return proxy, gateway, nil
}

// whole measures answers in one piece, each connection calling as fast as it is answered.
func (b *bench) whole(ctx context.Context) error {
	proxy, gateway, err := b.rounds(ctx, b.size.rounds, loadSpec{Connections: b.size.connections, Calls: b.size.calls})
	if err != nil {
		return err
	}
	proxyNow, proxyPeak, err := memory(b.proxy.pid)
	if err != nil {
		return err
	}
	now, peak, err := memory(b.gateway.pid)
	if err != nil {
		return err
	}
	r := b.report
	r.ratio("CPU per call", "ms", proxy.median(ownCPU), gateway.median(ownCPU)).atMost(2)
	r.ratio("CPU per call, with PostgreSQL", "ms", proxy.median(ownCPU), gateway.median(allCPU)).atMost(3)
	r.ratio(fmt.Sprintf("calls per second, %d connections", b.size.connections), "", proxy.median(perSecond), gateway.median(perSecond))
	r.plain(fmt.Sprintf("memory after %d calls", b.gateway.answered), "MB", proxyNow, now).below(80)
	r.plain("memory at its peak", "MB", proxyPeak, peak)
	return nil
}

// open measures answers in one piece at a rate that does not depend on how fast they come.
func (b *bench) open(ctx context.Context) error {
	if err := b.provider.setLatency(b.size.latency); err != nil {
		return err
	}
	proxy, gateway, err := b.rounds(ctx, b.size.rounds, loadSpec{
		Connections: min(b.size.openCalls, 4*b.size.connections), Calls: b.size.openCalls, Rate: b.size.rate,
	})
	if err != nil {
		return err
	}
	at := fmt.Sprintf(" at %d calls/s, provider %s", b.size.rate, b.size.latency)
	b.report.added("p50"+at, "ms", proxy.median(p50), gateway.median(p50))
	b.report.added("p99"+at, "ms", proxy.median(p99), gateway.median(p99)).below(1)
	return b.provider.setLatency(0)
}

// streams measures answers in pieces.
func (b *bench) streams(ctx context.Context) error {
	proxy, gateway, err := b.rounds(ctx, min(b.size.rounds, 3), loadSpec{Stream: true, Connections: b.size.atOnce, Calls: b.size.streams})
	if err != nil {
		return err
	}
	of := fmt.Sprintf(", %d at once", b.size.atOnce)
	b.report.ratio("CPU per stream of "+fmt.Sprint(streamChunks)+" chunks"+of, "ms", proxy.median(ownCPU), gateway.median(ownCPU))
	b.report.added("first byte p99"+of, "ms", proxy.median(firstByteP99), gateway.median(firstByteP99))
	return nil
}

// books compares what the callers got, what the provider gave and what the product recorded.
func (b *bench) books(ctx context.Context) error {
	given, err := b.provider.stats(operatorKey)
	if err != nil {
		return err
	}
	used, err := b.product.usage(ctx)
	if err != nil {
		return err
	}
	b.report.Books = books{
		Answered: tally{b.gateway.answered, b.gateway.tokens},
		Provider: tally{given.Answered, given.PromptTokens + given.CompletionTokens},
		Recorded: tally{used.Requests, used.Input + used.Output},
		Failures: used.Failures,
	}
	return nil
}
