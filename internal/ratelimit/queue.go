package ratelimit

import (
	"maps"
	"slices"
	"sync"
)

// queue holds what Redis has not been told yet: the true tokens of calls that ended, and which calls ended or are still
// under way. It merges per scope, so that it holds no more than the scopes and calls that were under way in Redis.
type queue struct {
	mu      sync.Mutex
	waiting map[memberKey]*news
	number  int64 // of the last correction
	// A ring of the calls that hold places, the one to renew first behind it.
	underWay call
}

type memberKey struct {
	tenant, id int64
	kind       ScopeKind
}

func (m *member) key() memberKey { return memberKey{m.tenant, m.scope.ID, m.scope.Kind} }

// news is what Redis has not heard of one scope.
type news struct {
	member member
	debt   int64
	alive  []string // calls under way
	ended  []string // calls that are not
	// sent is what Redis was told but has not confirmed. It is told again unchanged, under its number, until Redis
	// confirms it: whether it arrived the first time, only Redis knows.
	sent correction
	busy bool // a question carries sent just now
}

// correction is what Redis is told of one scope. Which calls ended may be told twice and in any order.
type correction struct {
	number int64
	debt   int64
	alive  []string
	ended  []string
}

func (c *correction) empty() bool { return c.debt == 0 && len(c.alive) == 0 }

// carried is what one question tells of a scope.
type carried struct {
	correction
	member member
	news   *news // where the question carries what was sent: it must be confirmed
}

// of gives the news of a scope, to be added to. The lock must be held.
func (q *queue) of(m member) *news {
	n := q.waiting[m.key()]
	if n == nil {
		if q.waiting == nil {
			q.waiting = map[memberKey]*news{}
		}
		n = &news{}
		q.waiting[m.key()] = n
	}
	n.member = m
	return n
}

// take gives what the next question about a scope is to tell. Only one question at a time carries debts and calls under
// way, so that they arrive in order. What ended goes with the next question, as a caller whose call ended expects its
// place to be free; but never past news that the same call is under way.
func (q *queue) take(key memberKey) (c carried) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := q.waiting[key]
	if n == nil || n.busy && len(n.sent.alive) > 0 {
		return c
	}
	c.member = n.member
	if !n.busy {
		if n.sent.empty() && (n.debt != 0 || len(n.alive) > 0) {
			q.number++
			n.sent = correction{number: q.number, debt: n.debt, alive: n.alive}
			n.debt, n.alive = 0, nil
		}
		c.correction, c.news, n.busy = n.sent, n, true
	}
	c.ended, n.ended = n.ended, nil
	return c
}

// release is called for what take gave, once the question was answered (heard) or failed.
func (q *queue) release(c carried, heard bool) {
	if c.news == nil && len(c.ended) == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if !heard && len(c.ended) > 0 {
		n := q.of(c.member)
		n.ended = append(n.ended, c.ended...)
	}
	n := c.news
	if n == nil {
		return
	}
	n.busy = false
	if heard {
		n.sent = correction{}
	}
	if n.sent.empty() && n.debt == 0 && len(n.alive)+len(n.ended) == 0 {
		delete(q.waiting, n.member.key())
	}
}

// began notes a call that Redis admitted, so that its places are renewed.
func (q *queue) began(c *call) {
	if !c.holdsPlace() {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.link(c)
}

// ended notes what a call leaves to be told.
func (q *queue) ended(t *Ticket, tokens, now int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	t.call.unlink()
	for i := range t.call.scopes {
		m, debt := t.call.scopes[i], t.held[i].correction(tokens, now-t.at)
		if debt == 0 && m.scope.Limits.parallel() == 0 {
			continue
		}
		n := q.of(m)
		n.debt += debt
		if m.scope.Limits.parallel() > 0 {
			n.ended = append(n.ended, t.call.id)
		}
	}
}

// forsake gives up the places of a call that Redis may have admitted without our hearing of it.
func (q *queue) forsake(c *call) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range c.scopes {
		if m.scope.Limits.parallel() > 0 {
			n := q.of(m)
			n.ended = append(n.ended, c.id)
		}
	}
}

// renew notes that calls are still under way whose time has come, and says when theirs comes again.
func (q *queue) renew(now, again int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for c := q.underWay.after; c != nil && c != &q.underWay && c.renewAt <= now; c = q.underWay.after {
		for _, m := range c.scopes {
			if m.scope.Limits.parallel() > 0 {
				n := q.of(m)
				n.alive = append(n.alive, c.id)
			}
		}
		c.unlink()
		c.renewAt = again
		q.link(c)
	}
}

// keys gives the scopes that Redis is to be told of.
func (q *queue) keys() []memberKey {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		return nil
	}
	return slices.AppendSeq(make([]memberKey, 0, len(q.waiting)), maps.Keys(q.waiting))
}

func (q *queue) link(c *call) {
	end := &q.underWay
	if end.after == nil {
		end.before, end.after = end, end
	}
	c.before, c.after = end.before, end
	c.before.after, end.before = c, c
}

func (c *call) unlink() {
	if c.after != nil {
		c.before.after, c.after.before = c.after, c.before
		c.before, c.after = nil, nil
	}
}

func (c *call) holdsPlace() bool {
	for i := range c.scopes {
		if c.scopes[i].scope.Limits.parallel() > 0 {
			return true
		}
	}
	return false
}
