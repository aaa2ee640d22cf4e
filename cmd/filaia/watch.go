package main

import (
	"context"
	"log/slog"
	"time"
)

// watchEvery is how often the watch looks; what changes slowly it looks at less often by itself.
const watchEvery = 5 * time.Second

// watch raises the alerts that no commit of usage raises, on whichever replica looks first.
type watch struct {
	chores []chore
	log    *slog.Logger

	failed map[string]string // what each chore's last error said, until it succeeds
}

// newWatch makes a watch that does the chores at every look, one after the other: a failed one keeps no other from its turn.
func newWatch(log *slog.Logger, chores ...chore) *watch {
	return &watch{chores: chores, log: log, failed: map[string]string{}}
}

// Run looks until ctx ends.
func (w *watch) Run(ctx context.Context) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		for _, c := range w.chores {
			w.note(ctx, c.name, c.do(ctx))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// note logs how a chore ended: an error once for as long as it says the same, since it would come back every few seconds.
func (w *watch) note(ctx context.Context, name string, err error) {
	if ctx.Err() != nil {
		return
	}
	was := w.failed[name]
	if err == nil {
		if was != "" {
			w.log.Info("watching for alerts again", "job", name)
		}
		delete(w.failed, name)
		return
	}
	if text := err.Error(); text != was {
		w.failed[name] = text
		w.log.Error("watch for alerts", "job", name, "error", err)
	}
}
