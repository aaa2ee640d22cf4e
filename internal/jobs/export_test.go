package jobs

import (
	"context"
	"database/sql"
	"log/slog"
	"time"

	"github.com/riverqueue/river"

	"github.com/fila-ia/filaia/internal/alert"
)

// NewQuick is New with other waits between attempts, and without the pauses that River makes so that many servers do not start at
// one instant.
func NewQuick(o Options, waits ...time.Duration) (*Runner, error) {
	r, err := newRunner(o, waits, func(c *river.Config) {
		c.TestOnly, c.SoftStopTimeout = true, 100*time.Millisecond
		c.FetchCooldown, c.FetchPollInterval = 10*time.Millisecond, 10*time.Millisecond
		for name, q := range c.Queues {
			q.FetchPollInterval = 0
			c.Queues[name] = q
		}
	})
	if err == nil {
		r.mend = 50 * time.Millisecond
	}
	return r, err
}

// Retries are the waits of New.
func Retries() []time.Duration { return retries() }

// RetryPolicy is that of New.
func RetryPolicy(now func() time.Time) river.ClientRetryPolicy { return retryPolicy{retries(), now} }

// Enqueue makes jobs as a Runner does.
func (r *Runner) Enqueue(ctx context.Context, tx *sql.Tx, work []alert.Work) ([]int64, error) {
	return r.enqueue(ctx, tx, work)
}

// RecordFor is how long it tries to write down how an attempt went; to be called before Run.
func (r *Runner) RecordFor(d time.Duration) { r.note = d }

// Round is one look at what there is to do.
func (r *Runner) Round(ctx context.Context, lost bool) error { return r.round(ctx, lost) }

// Quiet is how River's log is passed on.
func Quiet(log *slog.Logger) *slog.Logger { return quiet(log) }
