package jobs

import (
	"math/rand/v2"
	"time"

	"github.com/riverqueue/river/rivertype"

	"github.com/fila-ia/filaia/internal/alert"
)

// retries are the waits between attempts: soon at first, for a server that restarts or wants to be asked twice, then over two days
// for one that is away. After the last the message is dead.
func retries() []time.Duration {
	waits := []time.Duration{15 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour}
	for range 11 {
		waits = append(waits, alert.LongestWait)
	}
	return waits
}

// retryPolicy tells River when a job is tried again.
type retryPolicy struct {
	waits []time.Duration
	now   func() time.Time
}

// least is the shortest that NextRetry waits.
func (p retryPolicy) least(job *rivertype.JobRow) time.Duration {
	wait := p.waits[min(max(job.Attempt, 1), len(p.waits))-1]
	return wait - wait/10
}

// NextRetry spreads the waits by a tenth, so that what failed together is not tried together.
func (p retryPolicy) NextRetry(job *rivertype.JobRow) time.Time {
	least := p.least(job)
	return p.now().Add(least + time.Duration(float64(least)*rand.Float64()*2/9))
}
