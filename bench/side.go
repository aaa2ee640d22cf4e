package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// side is one way to the provider: through the bare proxy, or through the gateway with some key.
type side struct {
	name, address, key string
	pid                int
	product            *product // nil: the bare proxy
}

// spent is the CPU time so far: of the process, and of its PostgreSQL.
func (s *side) spent() (own, database time.Duration, err error) {
	if s.product != nil {
		return s.product.cpu()
	}
	own, err = cpu(s.pid)
	return own, 0, err
}

// sample is one round of one load on one side.
type sample struct {
	ownCPU, allCPU float64 // ms a call; all: with the gateway's database
	perSecond      float64
	p50, p99       float64 // ms until the last byte
	firstByteP99   float64 // ms
	hits           float64 // the share that the cache answered
}

// measure makes one load and charges what it cost.
func (s *side) measure(ctx context.Context, spec loadSpec) (sample, error) {
	spec.Address, spec.Key = s.address, s.key
	ownBefore, databaseBefore, err := s.spent()
	if err != nil {
		return sample{}, err
	}
	r, err := load(ctx, spec)
	if err != nil {
		return sample{}, fmt.Errorf("%s: %w", s.name, err)
	}
	if p := s.product; p != nil {
		p.answered = p.answered.plus(tally{int64(r.Answered), r.Tokens})
		p.saved += int64(r.Hits + r.Shared)
		if err := p.committed(ctx); err != nil { // a call's work is done then, not when it is answered
			return sample{}, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	own, database, err := s.spent()
	if err != nil {
		return sample{}, err
	}
	own, database = own-ownBefore, database-databaseBefore
	perCall := func(d time.Duration) float64 { return d.Seconds() * 1e3 / float64(r.Answered) }
	return sample{
		ownCPU: perCall(own), allCPU: perCall(own + database), perSecond: float64(r.Answered) / r.Seconds,
		p50: r.P50, p99: r.P99, firstByteP99: r.FirstByteP99, hits: float64(r.Hits) / float64(r.Answered),
	}, nil
}

// series is the rounds of one load on one side.
type series []sample

// pair is the rounds of one load on a baseline and on the gateway.
type pair struct{ proxy, gateway series }

// median takes one figure of each round.
func (s series) median(figure func(sample) float64) float64 {
	values := make([]float64, len(s))
	for i, one := range s {
		values[i] = figure(one)
	}
	return median(values)
}

func median(values []float64) float64 {
	slices.Sort(values)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}

func ownCPU(s sample) float64       { return s.ownCPU }
func allCPU(s sample) float64       { return s.allCPU }
func perSecond(s sample) float64    { return s.perSecond }
func p50(s sample) float64          { return s.p50 }
func p99(s sample) float64          { return s.p99 }
func firstByteP99(s sample) float64 { return s.firstByteP99 }
func hits(s sample) float64         { return s.hits }
