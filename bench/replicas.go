package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"
)

// fleetSize is how many replicas share one customer's quota.
const fleetSize = 3

// replicas measures what it costs that several replicas spend one quota to the token: the same calls to one replica, to
// three for one customer, and to three for three customers, who share nothing. Each round uses all but the last hundredth
// of a quota that is just large enough.
func (b *bench) replicas(ctx context.Context) (err error) {
	fleet, stop, err := b.startFleet(ctx)
	defer func() { err = errors.Join(err, stop()) }()
	if err != nil {
		return err
	}
	type way struct {
		replicas, quotas int
		perSecond, cpu   []float64
	}
	ways := []*way{{replicas: 1, quotas: 1}, {replicas: fleetSize, quotas: 1}, {replicas: fleetSize, quotas: fleetSize}}
	for round := range b.size.replicaRounds {
		for n, w := range ways {
			var keys []string
			for i := range w.quotas {
				c, err := b.quota(ctx, fmt.Sprintf("quota-%d-%d-%d", round, n, i), b.size.replicaCalls/w.quotas)
				if err != nil {
					return err
				}
				keys = append(keys, c.key)
			}
			rate, cpu, err := b.spend(ctx, fleet[:w.replicas], keys)
			if err != nil {
				return err
			}
			w.perSecond, w.cpu = append(w.perSecond, rate), append(w.cpu, cpu)
		}
	}
	rate := func(w *way) float64 { return median(w.perSecond) }
	one, hot, apart := ways[0], ways[1], ways[2]
	r := b.report
	r.add(row{Name: fmt.Sprintf("calls/s until 1 %% is left: one replica, %d on one quota", fleetSize), Baseline: rate(one), Gateway: rate(hot),
		Compared: rate(hot) / rate(one), Kind: kindRatio, Rounds: len(one.perSecond)}).atLeast(0.9)
	r.add(row{Name: fmt.Sprintf("… %d replicas, each with a quota to itself, and on one", fleetSize), Baseline: rate(apart), Gateway: rate(hot),
		Compared: rate(hot) / rate(apart), Kind: kindRatio, Rounds: len(one.perSecond)}).atLeast(0.9)
	r.add(row{Name: "… CPU per call of gateways and PostgreSQL", Unit: "ms", Baseline: median(apart.cpu), Gateway: median(hot.cpu),
		Compared: median(hot.cpu) / median(apart.cpu), Kind: kindRatio, Rounds: len(one.perSecond)})
	return nil
}

// startFleet starts replicas beside the product, which is the first of them.
func (b *bench) startFleet(ctx context.Context) (fleet []*product, stop func() error, err error) {
	fleet = []*product{b.product}
	stop = func() (err error) {
		for _, p := range fleet[1:] {
			err = errors.Join(err, p.stop())
		}
		return err
	}
	for len(fleet) < fleetSize {
		p, err := startProduct(ctx, start{
			dir: filepath.Join(b.dir, fmt.Sprintf("replica-%d", len(fleet))), binary: b.binary, provider: b.provider.address,
			operatorKey: operatorKey, beside: b.product,
		})
		if p != nil {
			fleet = append(fleet, p)
		}
		if err != nil {
			return fleet, stop, err
		}
	}
	return fleet, stop, nil
}

// quota sells exactly so many calls.
func (b *bench) quota(ctx context.Context, slug string, calls int) (*customer, error) {
	return b.product.sellPlan(ctx, slug, "off", []string{
		"--input-tokens", fmt.Sprint(calls * promptTokens), "--output-tokens", fmt.Sprint(calls * completionTokens),
	}, nil)
}

// spend has the replicas answer 99 of 100 calls of the keys' quotas, as fast as they can, and tells how many a second and
// what CPU time each took, in ms.
func (b *bench) spend(ctx context.Context, fleet []*product, keys []string) (perSecond, cpuPerCall float64, err error) {
	before, err := fleetCPU(fleet)
	if err != nil {
		return 0, 0, err
	}
	calls := b.size.replicaCalls * 99 / 100 / len(fleet)
	results, errs := make([]loadResult, len(fleet)), make([]error, len(fleet))
	began := time.Now()
	var group sync.WaitGroup
	for i, p := range fleet {
		group.Go(func() {
			results[i], errs[i] = load(ctx, loadSpec{
				Address: p.address, Key: keys[i%len(keys)], Connections: b.size.connections / len(fleet), Calls: calls, MaxTokens: completionTokens,
			})
		})
	}
	group.Wait()
	took := time.Since(began)
	if err := errors.Join(errs...); err != nil {
		return 0, 0, err
	}
	for _, r := range results {
		b.product.answered = b.product.answered.plus(tally{int64(r.Answered), r.Tokens})
	}
	if err := b.product.committed(ctx); err != nil {
		return 0, 0, err
	}
	after, err := fleetCPU(fleet)
	all := float64(calls * len(fleet))
	return all / took.Seconds(), (after - before).Seconds() * 1e3 / all, err
}

// fleetCPU is the CPU time of all replicas and of PostgreSQL.
func fleetCPU(fleet []*product) (sum time.Duration, err error) {
	own, database, err := fleet[0].cpu()
	sum = own + database
	for _, p := range fleet[1:] {
		one, oneErr := cpu(p.cmd.Process.Pid)
		sum, err = sum+one, errors.Join(err, oneErr)
	}
	return sum, err
}
