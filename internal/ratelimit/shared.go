package ratelimit

import "context"

// acquireShared asks Redis. It fills in the ticket, and how the scopes then stand; ok is false where it has to be decided
// in process.
func (l *Limiter) acquireShared(ctx context.Context, seen *circuit, t *Ticket, stands *[3]standing, c *Claim) (refused *Refused, ok bool) {
	t.at, t.call = l.clock(), &call{id: l.redis.newID()}
	for i, s := range c.Scopes {
		if s.Limits != (Limits{}) {
			t.call.scopes[i] = member{c.Tenant, s}
		}
	}
	t.call.renewAt = t.at + l.redis.renew.Milliseconds()
	fits, ok := l.askShared(ctx, seen, toTake, t.call.id, stands, c)
	if !ok {
		l.queue.forsake(t.call)
		*t = Ticket{}
		return nil, false
	}
	if !fits {
		if refused = c.refusal(stands); refused == nil {
			refused = &Refused{Kind: Requests, RetryAfter: parallelWait} // the script and we disagree: it decides
		}
		return refused, true
	}
	for i := range c.Scopes {
		if n := c.Scopes[i].Limits.tokens(); n > 0 {
			t.held[i] = held{limit: n, tokens: c.asks(&c.Scopes[i]), debt: stands[i].tokens}
		}
	}
	l.queue.began(t.call)
	return nil, true
}

// askShared makes the one round trip of a call, and takes along what Redis is still to be told of its scopes.
func (l *Limiter) askShared(ctx context.Context, seen *circuit, purpose, id string, stands *[3]standing, c *Claim) (fits, ok bool) {
	q := l.redis.newQuestion(purpose, id, c.Tokens)
	var told [3]carried
	for i, s := range c.Scopes {
		if s.Limits == (Limits{}) {
			continue
		}
		m := member{c.Tenant, s}
		told[i] = l.queue.take(m.key())
		q.about(l.redis, m, told[i].correction)
	}
	a, trips, err := l.redis.ask(ctx, q)
	l.roundTrips.Add(trips)
	for _, c := range told {
		l.queue.release(c, err == nil)
	}
	if err != nil {
		l.trip(seen, c.Tenant, err)
		return false, false
	}
	for i, s := range c.Scopes {
		if s.Limits != (Limits{}) {
			stands[i], a.stands = a.stands[0], a.stands[1:]
		}
	}
	return a.fits, true
}
