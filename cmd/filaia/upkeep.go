package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/fila-ia/filaia/store"
)

// upkeepEvery is how often a server looks after its database. Each job is cheap where there is nothing to do, and
// harmless where another replica does it at the same time.
const upkeepEvery = 10 * time.Minute

// chore is one thing that upkeep does.
type chore struct {
	name string // as the log says it
	do   func(context.Context) error
}

// upkeep makes partitions ahead and sweeps what has expired, until ctx ends.
func upkeep(ctx context.Context, s *store.Store, log *slog.Logger) error {
	tick := time.NewTicker(upkeepEvery)
	defer tick.Stop()
	for {
		for _, c := range chores(s) {
			if err := c.do(ctx); err != nil && ctx.Err() == nil {
				log.Error("upkeep failed", "job", c.name, "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// chores are done in this order, one after the other: a failed one does not keep the others from their turn.
func chores(s *store.Store) []chore {
	return []chore{
		{"make partitions", func(ctx context.Context) error { return makePartitions(ctx, s) }},
		{"sweep replicas", s.SweepReplicas},
		{"fold usage", s.FoldUsage},
		{"sweep minutes", counted(s.SweepMinutes)},
		{"sweep sessions", counted(s.SweepSessions)},
		{"sweep refusals", counted(s.SweepRefusals)},
		{"sweep responses", counted(s.SweepResponses)},
		{"sweep breakers", counted(s.SweepBreakerChanges)},
	}
}

// counted is a job whose count nobody asks for.
func counted(job func(context.Context) (int64, error)) func(context.Context) error {
	return func(ctx context.Context) error { _, err := job(ctx); return err }
}
