package ratelimit

import "sync"

// shardCount spreads tenants over locks. One lock covers all scopes of a call, as they belong to one tenant.
const shardCount = 64

// sweepSize is how many meters a shard keeps before the idle ones are forgotten.
const sweepSize = 160

// memory counts in process.
type memory struct{ shards [shardCount]shard }

type shard struct {
	mu      sync.Mutex
	meters  map[owner]*meter
	sweepAt int
}

// owner is who a meter belongs to.
type owner struct {
	kind ScopeKind
	id   int64
}

// meter is the state of one scope.
type meter struct {
	at                         int64 // milliseconds of the limiter's clock
	requestLimit, tokenLimit   int64 // that the debts were made at
	requests, tokens, parallel int64
}

// bring brings the debts to now, and to the limits that hold now.
func (m *meter) bring(now int64, limits Limits) {
	elapsed := now - m.at
	requests, tokens := limits.requests(), limits.tokens()
	m.requests = aged(m.requests, m.requestLimit, requests, elapsed)
	m.tokens = aged(m.tokens, m.tokenLimit, tokens, elapsed)
	m.at, m.requestLimit, m.tokenLimit = now, requests, tokens
}

func (m *meter) standing() standing { return standing{m.requests, m.tokens, m.parallel} }

// idle tells whether a new meter would say the same.
func (m *meter) idle(now int64) bool {
	elapsed := now - m.at
	return m.parallel == 0 && aged(m.requests, m.requestLimit, m.requestLimit, elapsed) == 0 &&
		aged(m.tokens, m.tokenLimit, m.tokenLimit, elapsed) == 0
}

func (m *memory) shard(tenant int64) *shard { return &m.shards[uint64(tenant)%shardCount] }

// acquire takes the call from all its scopes, or from none. It fills in the ticket, and how the scopes then stand.
func (m *memory) acquire(t *Ticket, stands *[3]standing, c *Claim, now int64) *Refused {
	t.at, t.shard = now, m.shard(c.Tenant)
	t.shard.mu.Lock()
	defer t.shard.mu.Unlock()
	t.shard.makeRoom(now)
	for i := range c.Scopes {
		if s := &c.Scopes[i]; s.Limits != (Limits{}) {
			t.held[i].meter = t.shard.meter(s)
			t.held[i].meter.bring(now, s.Limits)
			stands[i] = t.held[i].meter.standing()
		}
	}
	if refused := c.refusal(stands); refused != nil {
		return refused
	}
	for i := range c.Scopes {
		if h := &t.held[i]; h.meter != nil {
			h.take(c.asks(&c.Scopes[i]))
			stands[i] = h.meter.standing()
		}
	}
	return nil
}

// take counts a call that was admitted.
func (h *held) take(tokens int64) {
	m := h.meter
	m.parallel++
	if m.requestLimit > 0 {
		m.requests = owe(m.requests, unit, m.requestLimit)
	}
	if m.tokenLimit > 0 {
		m.tokens = owe(m.tokens, tokens*unit, m.tokenLimit)
	}
	h.limit, h.tokens, h.debt = m.tokenLimit, tokens, m.tokens
}

// look tells how the call's scopes stand.
func (m *memory) look(c *Claim, now int64) (stands [3]standing) {
	sh := m.shard(c.Tenant)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for i := range c.Scopes {
		s := &c.Scopes[i]
		if meter := sh.meters[owner{s.Kind, s.ID}]; meter != nil && s.Limits != (Limits{}) {
			meter.bring(now, s.Limits)
			stands[i] = meter.standing()
		}
	}
	return stands
}

// done ends a call that was counted in process.
func (t *Ticket) done(tokens, now int64) {
	t.shard.mu.Lock()
	defer t.shard.mu.Unlock()
	for i := range t.held {
		h := &t.held[i]
		if h.meter == nil {
			continue
		}
		h.meter.parallel--
		if more := h.correction(tokens, now-t.at); more != 0 {
			h.meter.settle(now, more)
		}
	}
}

// settle corrects the debt of tokens.
func (m *meter) settle(now, more int64) {
	elapsed := now - m.at
	m.requests = aged(m.requests, m.requestLimit, m.requestLimit, elapsed)
	m.tokens = owe(aged(m.tokens, m.tokenLimit, m.tokenLimit, elapsed), more, m.tokenLimit)
	m.at = now
}

func (sh *shard) meter(s *Scope) *meter {
	who := owner{s.Kind, s.ID}
	m := sh.meters[who]
	if m == nil {
		if sh.meters == nil {
			sh.meters = map[owner]*meter{}
		}
		m = &meter{}
		sh.meters[who] = m
	}
	return m
}

// makeRoom forgets the idle meters once there are many. It must come before a call's meters are looked up: one of them
// might be idle.
func (sh *shard) makeRoom(now int64) {
	if len(sh.meters) < max(sh.sweepAt, sweepSize) {
		return
	}
	for who, m := range sh.meters {
		if m.idle(now) {
			delete(sh.meters, who)
		}
	}
	sh.sweepAt = 2 * len(sh.meters)
}
