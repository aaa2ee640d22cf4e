package store

import (
	"errors"
	"sync"

	"github.com/fila-ia/filaia/internal/usage"
)

// A bucket is locked from when it is read until the commit is on the disk, and other replicas that commit calls of the same
// customer wait for it. So that they do not wait for the rows of events too, these are written first. What they are charged
// depends on what was used before, which only the lock tells for certain: it is judged by what this replica saw last, which
// is right but for the few batches in which somebody else's calls pass what the plan includes. Then all is done again.

// errMisjudged rolls back a batch whose charges turned out to be others.
var errMisjudged = errors.New("charges were misjudged")

// judgement is how the periods in which excess is charged stood when this replica last saw them.
type judgement struct {
	mu   sync.Mutex
	seen map[int64]account
}

// mostSeen bounds the memory: then all is forgotten, and each period misjudged once more at most.
const mostSeen = 10_000

// judge is what the events are likely to be charged; nothing where nothing is known.
func (c *UsageCommitter) judge(events []usage.Event) []int64 {
	j := &c.judgement
	j.mu.Lock()
	defer j.mu.Unlock()
	accounts := map[int64]*account{}
	for i := range events {
		id := events[i].PeriodID
		if a, known := j.seen[id]; known && accounts[id] == nil {
			accounts[id] = &a
		}
	}
	return charge(events, accounts)
}

// learn keeps how the accounts stand after a commit.
func (c *UsageCommitter) learn(accounts map[int64]*account) {
	j := &c.judgement
	j.mu.Lock()
	defer j.mu.Unlock()
	for id, a := range accounts {
		if a.OveragePrice == 0 {
			delete(j.seen, id)
			continue
		}
		if j.seen == nil || len(j.seen) >= mostSeen {
			j.seen = map[int64]account{}
		}
		j.seen[id] = account{
			PeriodID: id, LimitIn: a.LimitIn, UsedIn: a.UsedIn, LimitOut: a.LimitOut, UsedOut: a.UsedOut, OveragePrice: a.OveragePrice,
		}
	}
}
