package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// streams measures answers in pieces: many that start in one instant, again and again, and as many at once whose starts
// are spread.
func (b *bench) streams(ctx context.Context) error {
	size, r := b.size, b.report
	burst, err := b.rounds(ctx, size.streamRounds, loadSpec{Stream: true, Connections: size.atOnce, Calls: size.streams}, b.proxy, b.gateway)
	if err != nil {
		return err
	}
	// A stream takes a second and a bit.
	spread, err := b.rounds(ctx, size.streamRounds, loadSpec{
		Stream: true, Connections: 2 * size.atOnce, Calls: size.streams, Rate: size.atOnce * int(time.Second) / int(streamChunks*chunkPause),
	}, b.proxy, b.gateway)
	if err != nil {
		return err
	}
	const most = 1.5
	for _, load := range []struct {
		name string
		all  []series
	}{{"starting together", burst}, {"starts spread", spread}} {
		of, both := fmt.Sprintf("%d streams at once, %s", size.atOnce, load.name), pair{load.all[0], load.all[1]}
		r.ratio(fmt.Sprintf("CPU per stream of %d chunks, %s", streamChunks, of), "ms", both, ownCPU).atMost(most)
		r.added("first byte p99, "+of, "ms", both, firstByteP99).below(2)
	}
	return nil
}

// hold reads what memory an open stream takes: the difference between many and few, because the first ones also bring
// what is there once. It comes first: memory that other calls have left would be used again, and not be seen.
func (b *bench) hold(ctx context.Context) error {
	if err := b.provider.setPause(b.size.heldPause); err != nil {
		return err
	}
	var took [2]float64
	for i, s := range []*side{b.proxy, b.gateway} {
		few, err := s.open(ctx, b.size.heldFew)
		if err != nil {
			return err
		}
		many, err := s.open(ctx, b.size.held)
		if err != nil {
			return err
		}
		took[i] = (many - few) * 1024 / float64(b.size.held-b.size.heldFew)
	}
	b.report.plain(fmt.Sprintf("memory per open stream, %d at once", b.size.held), "KB", took[0], took[1]).below(60)
	return b.provider.setPause(0)
}

// open holds streams open and gives the resident memory in MB meanwhile.
func (s *side) open(ctx context.Context, streams int) (float64, error) {
	watching, stop := context.WithCancel(ctx)
	seen := make(chan float64, 1)
	go func() { seen <- usualMemory(watching, s.pid) }()
	_, err := s.measure(ctx, loadSpec{Stream: true, Connections: streams, Calls: streams})
	stop()
	return <-seen, err
}

// usualMemory is the median of a process's resident memory in MB until ctx ends.
func usualMemory(ctx context.Context, pid int) float64 {
	var samples []float64
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			if len(samples) == 0 {
				return 0
			}
			slices.Sort(samples)
			return samples[len(samples)/2]
		case <-tick.C:
			if now, _, err := memory(pid); err == nil {
				samples = append(samples, now)
			}
		}
	}
}
