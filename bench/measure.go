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

	steadyFor time.Duration // a round at the same rate for both

	openRounds int
	openRate   int // calls per second
	openCalls  int // a round
	latency    time.Duration

	streamRounds int
	streams      int // a round
	atOnce       int
}

var (
	full = sizes{
		rounds: 5, warmup: 2000, calls: 40_000, connections: 64, steadyFor: 3 * time.Second,
		openRounds: 9, openRate: 500, openCalls: 1000, latency: 50 * time.Millisecond,
		streamRounds: 3, streams: 600, atOnce: 200,
	}
	short = sizes{
		rounds: 3, warmup: 1000, calls: 8000, connections: 64, steadyFor: time.Second,
		openRounds: 3, openRate: 500, openCalls: 500, latency: 50 * time.Millisecond,
		streamRounds: 1, streams: 200, atOnce: 200,
	}
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
		report: &report{Date: time.Now().UTC().Truncate(time.Second), CPUs: runtime.NumCPU()},
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
	if _, err := b.rounds(ctx, 1, loadSpec{Connections: b.size.connections, Calls: b.size.warmup}); err != nil {
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
func (b *bench) rounds(ctx context.Context, n int, spec loadSpec) (both pair, err error) {
	for range n {
		one, err := b.proxy.measure(ctx, spec)
		if err != nil {
			return both, err
		}
		both.proxy = append(both.proxy, one)
		if one, err = b.gateway.measure(ctx, spec); err != nil {
			return both, err
		}
		both.gateway = append(both.gateway, one)
	}
	return both, nil
}

// whole measures answers in one piece: each connection calling as fast as it is answered, and then both sides at the
// same rate. A call costs less CPU the more of them come at once, so that only figures of one rate compare exactly.
func (b *bench) whole(ctx context.Context) error {
	size, r := b.size, b.report
	fast, err := b.rounds(ctx, size.rounds, loadSpec{Connections: size.connections, Calls: size.calls})
	if err != nil {
		return err
	}
	answered := b.gateway.answered
	proxyNow, proxyPeak, err := memory(b.proxy.pid)
	if err != nil {
		return err
	}
	now, peak, err := memory(b.gateway.pid)
	if err != nil {
		return err
	}
	const sustained = 0.6 // of what the gateway can: it must keep up also while a neighbour is busy
	rate := max(100, int(fast.gateway.median(perSecond)*sustained)/100*100)
	steady, err := b.rounds(ctx, size.rounds, loadSpec{
		Connections: size.connections, Calls: int(size.steadyFor.Seconds() * float64(rate)), Rate: rate,
	})
	if err != nil {
		return err
	}
	for _, load := range []struct {
		name   string
		rounds pair
	}{{fmt.Sprintf(" at %d calls/s", rate), steady}, {" at full speed", fast}} {
		r.ratio("CPU per call"+load.name, "ms", load.rounds, ownCPU).atMost(2)
		r.ratio("CPU per call"+load.name+", with PostgreSQL", "ms", load.rounds, allCPU).atMost(3)
	}
	r.ratio(fmt.Sprintf("calls/s at full speed, %d connections", size.connections), "", fast, perSecond)
	r.plain(fmt.Sprintf("memory after %d calls", answered), "MB", proxyNow, now).below(80)
	r.plain("memory at its peak", "MB", proxyPeak, peak)
	return nil
}

// open measures what time the gateway adds, at a rate that does not depend on how fast answers come.
func (b *bench) open(ctx context.Context) error {
	if err := b.provider.setLatency(b.size.latency); err != nil {
		return err
	}
	both, err := b.rounds(ctx, b.size.openRounds, loadSpec{
		Connections: min(b.size.openCalls, 4*b.size.connections), Calls: b.size.openCalls, Rate: b.size.openRate,
	})
	if err != nil {
		return err
	}
	const quiet = 5 * time.Millisecond // what an idle machine adds at most, through the bare proxy
	b.report.Busy = both.proxy.median(p99) > (b.size.latency+quiet).Seconds()*1e3
	at := fmt.Sprintf(" at %d calls/s, provider %s", b.size.openRate, b.size.latency)
	b.report.added("p50"+at, "ms", both, p50)
	b.report.added("p99"+at, "ms", both, p99).below(1)
	return b.provider.setLatency(0)
}

// streams measures answers in pieces.
func (b *bench) streams(ctx context.Context) error {
	both, err := b.rounds(ctx, b.size.streamRounds, loadSpec{Stream: true, Connections: b.size.atOnce, Calls: b.size.streams})
	if err != nil {
		return err
	}
	b.report.ratio(fmt.Sprintf("CPU per stream of %d chunks, %d at once", streamChunks, b.size.atOnce), "ms", both, ownCPU)
	b.report.added(fmt.Sprintf("first byte p99, %d streams at once", b.size.atOnce), "ms", both, firstByteP99)
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
