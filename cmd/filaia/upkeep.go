package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/fila-ia/filaia/internal/usage"
	"github.com/fila-ia/filaia/store"
)

// upkeepEvery is how often a server looks after its database. Each chore is cheap where there is nothing to do, and
// harmless where another replica does it at the same time.
const upkeepEvery = 10 * time.Minute

// auditTime is what an hourly audit may take: PostgreSQL may say nothing for long, and for ever.
const auditTime = 30 * time.Minute

// upkeep looks after the database.
type upkeep struct {
	store *store.Store
	grace time.Duration     // how long a replica may be silent
	told  func(usage.Audit) // hears of the newest audit, whoever ran it
	log   *slog.Logger
}

// chore is one thing that upkeep does.
type chore struct {
	name string // as the log says it
	do   func(context.Context) error
}

// Run makes partitions ahead, puts old ones aside, sweeps what has expired and audits the books, until ctx ends.
func (u *upkeep) Run(ctx context.Context) error {
	tick := time.NewTicker(upkeepEvery)
	defer tick.Stop()
	for {
		for _, c := range u.chores() {
			if err := c.do(ctx); err != nil && ctx.Err() == nil {
				u.log.Error("upkeep failed", "job", c.name, "error", err)
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
func (u *upkeep) chores() []chore {
	s := u.store
	return []chore{
		{"make partitions", func(ctx context.Context) error { return makePartitions(ctx, s) }},
		{"sweep replicas", s.SweepReplicas},
		{"fold usage", s.FoldUsage},
		{"sweep minutes", counted(s.SweepMinutes)},
		{"sweep sessions", counted(s.SweepSessions)},
		{"sweep refusals", counted(s.SweepRefusals)},
		{"sweep responses", counted(s.SweepResponses)},
		{"sweep breakers", counted(s.SweepBreakerChanges)},
		{"sweep what was watched", counted(s.SweepWatched)},
		{"sweep audits", counted(s.SweepAudits)},
		{"sweep alerts", counted(s.SweepAlerts)},
		{"put old months aside", u.detach},
		{"audit", u.audit},
	}
}

// counted is a job whose count nobody asks for.
func counted(job func(context.Context) (int64, error)) func(context.Context) error {
	return func(ctx context.Context) error { _, err := job(ctx); return err }
}

func (u *upkeep) detach(ctx context.Context) error {
	names, err := u.store.DetachMonths(ctx)
	for _, name := range names {
		u.log.Info("the single calls of a month were put aside", "table", "usage_archive."+name)
	}
	if errors.Is(err, store.ErrBusy) {
		u.log.Info("no moment was found to put a month aside; trying again later", "error", err)
		return nil
	}
	return err
}

// audit compares the books once an hour, on one replica, and says loudly what does not agree.
func (u *upkeep) audit(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, auditTime)
	defer cancel()
	scope := usage.RecentScope(time.Now())
	scope.Grace = u.grace
	a, err := u.store.AuditHourly(ctx, scope)
	if err != nil {
		return err
	}
	if a != nil && a.Differences > 0 {
		checks := []any{"audit", a.ID, "differences", a.Differences}
		for _, c := range a.Checks {
			if c.Differences > 0 {
				checks = append(checks, c.Name, c.Differences)
			}
		}
		u.log.Error("the books do not agree; filaia audit lists what differs", checks...)
	}
	newest, err := u.store.LatestAudits(ctx, 1)
	if err == nil && len(newest) > 0 {
		u.told(newest[0])
	}
	return err
}
