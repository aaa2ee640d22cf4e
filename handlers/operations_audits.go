package handlers

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/fila-ia/filaia/internal/tenancy"
)

// auditTime is what an audit that a person asked for may take.
const auditTime = 15 * time.Minute

// auditor carries out audits of the books that people ask for, one at a time, beside the requests that ask.
type auditor struct {
	audit func(context.Context) error
	now   func() time.Time
	log   *slog.Logger
	asked chan tenancy.Actor // holds one: a second is not taken while one is under way

	mu     sync.Mutex
	since  time.Time // when the one under way was asked for; zero: none is
	failed time.Time // when the newest failed; zero: it did not
}

func newAuditor(audit func(context.Context) error, now func() time.Time, log *slog.Logger) *auditor {
	return &auditor{audit: audit, now: now, log: log, asked: make(chan tenancy.Actor, 1)}
}

// ask has the books audited. While an audit is under way it does nothing.
func (a *auditor) ask(by tenancy.Actor) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.since.IsZero() {
		a.since, a.failed = a.now(), time.Time{}
		a.asked <- by
	}
}

// state tells since when an audit is under way, and when the newest failed.
func (a *auditor) state() (since, failed time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.since, a.failed
}

// run audits whenever it was asked for, until ctx ends.
func (a *auditor) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case by := <-a.asked:
			a.once(tenancy.WithActor(ctx, by))
		}
	}
}

func (a *auditor) once(ctx context.Context) {
	timed, cancel := context.WithTimeout(ctx, auditTime)
	defer cancel()
	err := a.audit(timed)
	if err != nil && ctx.Err() == nil {
		a.log.Error("an audit of the books failed", "by", tenancy.ActorOf(ctx).Label, "error", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.since = time.Time{}
	if err != nil {
		a.failed = a.now()
	}
}
