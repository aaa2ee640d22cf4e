package ratelimit

import (
	"context"
	"slices"
	"time"
)

const (
	// flushEvery is how long corrections are collected before Redis is told.
	flushEvery = 20 * time.Millisecond
	// probeEvery is how long a Redis that was away is left alone between two tries; longer, up to longestHold, where it
	// went away again within relapse, lest one that only half works be called back and forth all the time.
	probeEvery  = 250 * time.Millisecond
	longestHold = 30 * time.Second
	relapse     = time.Minute
	// flushSize bounds how many scopes are told at once, so that callers' questions get in between.
	flushSize = 100
	// farewell bounds the last flush.
	farewell = 2 * time.Second
)

// Run tells Redis what came of the calls, keeps the places of long ones, and finds out when a Redis that was away is
// back. It returns when ctx ends, after a last flush; calls should have ended before.
func (l *Limiter) Run(ctx context.Context) error {
	if l.redis == nil {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	var probed time.Time
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
			defer cancel()
			if l.circuit.Load().mode == Redis || l.probe(last) {
				l.flush(last)
			}
			return nil
		case <-tick.C:
		}
		if c := l.circuit.Load(); c.mode == Fallback {
			if time.Since(probed) < c.hold {
				continue
			}
			back := l.probe(ctx)
			probed = time.Now()
			if !back {
				continue
			}
		}
		now := l.clock()
		l.queue.renew(now, now+l.redis.renew.Milliseconds())
		l.flush(ctx)
	}
}

// flush tells Redis all that waits now.
func (l *Limiter) flush(ctx context.Context) {
	seen := l.circuit.Load()
	if seen.mode != Redis {
		return
	}
	for keys := range slices.Chunk(l.queue.keys(), flushSize) {
		if ctx.Err() != nil || !l.tell(ctx, seen, keys) {
			return
		}
	}
}

// tell tells Redis of these scopes.
func (l *Limiter) tell(ctx context.Context, seen *circuit, keys []memberKey) bool {
	told, questions := make([]carried, 0, len(keys)), make([]question, 0, len(keys))
	for _, key := range keys {
		c := l.queue.take(key)
		if c.news == nil && len(c.ended) == 0 {
			continue // a caller's question carries it, or did
		}
		q := l.redis.newQuestion(toTell, "", 0)
		q.about(l.redis, c.member, c.correction)
		told, questions = append(told, c), append(questions, q)
	}
	if len(told) == 0 {
		return true
	}
	heard := true
	for i, err := range l.redis.askAll(ctx, questions) {
		l.queue.release(told[i], err == nil)
		if err != nil && heard {
			l.trip(seen, told[i].member.tenant, err)
		}
		heard = heard && err == nil
	}
	return heard
}

// probe asks a Redis that was away as a call would, for the tenant whose call found it away: in a cluster others may
// still be served. It is back only when it also takes the answer down.
func (l *Limiter) probe(ctx context.Context) bool {
	seen := l.circuit.Load()
	q := l.redis.newQuestion(toTake, l.redis.newID(), 0)
	q.about(l.redis, member{seen.tenant, Scope{Limits: Limits{Requests: 1 << 30}}}, correction{})
	if _, _, err := l.redis.ask(ctx, q); err != nil {
		l.failures.Add(1)
		return false
	}
	away := l.now().Sub(seen.since)
	if l.circuit.CompareAndSwap(seen, &circuit{mode: Redis, since: l.now(), hold: seen.hold}) {
		l.log.Info("rate limits: Redis is back and counts for all replicas again", "away", away.Round(time.Millisecond))
	}
	return true
}
