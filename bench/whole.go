package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// What the same figures were before there were rate limits, breakers and a cache: see docs/benchmarks.md.
const (
	onceSteady, onceSteadyAll = 1.77, 2.24
	onceFast, onceFastAll     = 2.73, 3.50
	growth                    = 1.10 // how much more a call may cost since
)

var errNoHits = errors.New("calls that the cache should have answered went to the provider")

// whole measures answers in one piece: each connection calling as fast as it is answered, and then all sides at the
// same rate. A call costs less CPU the more of them come at once, so that only figures of one rate compare exactly.
func (b *bench) whole(ctx context.Context) error {
	size, r, sides := b.size, b.report, b.sides()
	fast, err := b.rounds(ctx, size.rounds, loadSpec{Connections: size.connections, Calls: size.calls}, sides...)
	if err != nil {
		return err
	}
	answered := b.product.answered.Calls
	proxyNow, proxyPeak, err := memory(b.proxy.pid)
	if err != nil {
		return err
	}
	now, peak, err := memory(b.gateway.pid)
	if err != nil {
		return err
	}
	const sustained = 0.6 // of what the gateway can: it must keep up also while a neighbour is busy
	rate := max(100, int(fast[1].median(perSecond)*sustained)/100*100)
	steady, err := b.rounds(ctx, size.rounds, loadSpec{
		Connections: size.connections, Calls: int(size.steadyFor.Seconds() * float64(rate)), Rate: rate,
	}, sides...)
	if err != nil {
		return err
	}
	if fast[2].median(hits) != 1 || steady[2].median(hits) != 1 {
		return errNoHits
	}
	at := fmt.Sprintf("CPU per call at %d calls/s", rate)
	b.compare(at, steady, onceSteady, onceSteadyAll)
	b.compare("CPU per call at full speed", fast, onceFast, onceFastAll)
	r.ratio("CPU per cache hit at full speed", "ms", pair{fast[0], fast[2]}, ownCPU).below(1)
	r.ratio(fmt.Sprintf("CPU per cache hit at %d calls/s", rate), "ms", pair{steady[0], steady[2]}, ownCPU).below(1)
	r.ratio("the same with PostgreSQL", "ms", pair{steady[0], steady[2]}, allCPU)
	r.ratio(fmt.Sprintf("calls/s at full speed, %d connections", size.connections), "", pair{fast[0], fast[1]}, perSecond)
	r.ratio("cache hits/s at full speed", "", pair{fast[0], fast[2]}, perSecond)
	r.plain(fmt.Sprintf("memory after %d calls", answered), "MB", proxyNow, now).below(80)
	r.plain("memory at its peak", "MB", proxyPeak, peak)
	return nil
}

// compare reports what a call costs, and how that stands to what it cost once.
func (b *bench) compare(name string, all []series, once, onceAll float64) {
	r, both := b.report, pair{all[0], all[1]}
	own := r.ratio(name, "ms", both, ownCPU)
	own.atMost(1.7)
	with := r.ratio(name+", with PostgreSQL", "ms", both, allCPU)
	with.atMost(2.5)
	if b.before == nil {
		r.ratios("… this ratio, and what it was before limits and cache", once, own.Compared).atMost(growth)
		r.ratios("… and with PostgreSQL", onceAll, with.Compared).atMost(growth)
		return
	}
	since := pair{all[3], all[1]}
	r.ratio("… beside the build before", "ms", since, ownCPU).atMost(growth)
	r.ratio("… and with PostgreSQL", "ms", since, allCPU).atMost(growth)
}

// open measures what time the gateway adds, at a rate that does not depend on how fast answers come.
func (b *bench) open(ctx context.Context) error {
	if err := b.provider.setLatency(b.size.latency); err != nil {
		return err
	}
	all, err := b.rounds(ctx, b.size.openRounds, loadSpec{
		Connections: min(b.size.openCalls, 4*b.size.connections), Calls: b.size.openCalls, Rate: b.size.openRate,
	}, b.proxy, b.gateway)
	if err != nil {
		return err
	}
	both := pair{all[0], all[1]}
	const quiet = 5 * time.Millisecond // what an idle machine adds at most, through the bare proxy
	b.report.Busy = both.proxy.median(p99) > (b.size.latency+quiet).Seconds()*1e3
	at := fmt.Sprintf(" at %d calls/s, provider %s", b.size.openRate, b.size.latency)
	b.report.added("p50"+at, "ms", both, p50)
	b.report.added("p99"+at, "ms", both, p99).below(1)
	return b.provider.setLatency(0)
}
