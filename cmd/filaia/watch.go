package main

import (
	"context"
	"log/slog"
	"time"
)

// watchEvery is how often the watch looks; what changes slowly it looks at less often by itself.
const watchEvery = 5 * time.Second

// lookout raises the alerts that no commit of usage raises, on whichever replica looks first.
type lookout struct {
	chores []chore
	log    *slog.Logger

	failed map[string]string // what each chore's last error said, until it succeeds
}

// newLookout makes one that does the chores at every look, one after the other: a failed one keeps no other from its turn.
func newLookout(log *slog.Logger, chores ...chore) *lookout {
	return &lookout{chores: chores, log: log, failed: map[string]string{}}
}

// Run looks until ctx ends.
func (l *lookout) Run(ctx context.Context) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		for _, c := range l.chores {
			l.note(ctx, c.name, bounded(ctx, c.do))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// lookTime is what one chore may take: the next one waits for it.
const lookTime = 2 * time.Minute

func bounded(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	return do(ctx)
}

// note logs how a chore ended: an error once for as long as it says the same, since it would come back every few seconds.
func (l *lookout) note(ctx context.Context, name string, err error) {
	if ctx.Err() != nil {
		return
	}
	was := l.failed[name]
	if err == nil {
		if was != "" {
			l.log.Info("watching for alerts again", "job", name)
		}
		delete(l.failed, name)
		return
	}
	if text := err.Error(); text != was {
		l.failed[name] = text
		l.log.Error("watch for alerts", "job", name, "error", err)
	}
}
