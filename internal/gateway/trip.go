package gateway

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/fila-ia/filaia/internal/breaker"
)

// maxPause bounds the wait before an attempt: a provider that asks for more is not tried again in this call.
const maxPause = 10 * time.Second

// trip is a call on its way over the routes of its model.
type trip struct {
	call   *Call
	routes []route
	at     int         // of the last attempt; -1: there was none
	left   int         // attempts
	tries  int         // attempts made
	shut   uint64      // routes that are not tried again, as bits
	due    []time.Time // before which a route is not tried again; nil: none has failed
	hedged bool        // two attempts have been made at once
}

// maxRoutes is what the bits of a trip have room for.
const maxRoutes = 64

func newTrip(c *Call) *trip {
	routes := c.offer.order()
	if c.keeper != "" { // nobody else knows what is continued
		routes = slices.DeleteFunc(slices.Clone(routes), func(r route) bool { return r.house.Provider.Slug != c.keeper })
	}
	t := &trip{call: c, routes: routes[:min(len(routes), maxRoutes)], at: -1, left: 1}
	if len(routes) > 0 {
		t.left += routes[0].house.Provider.Limits.Retries
	}
	return t
}

var (
	errNoRoute = errors.New("no provider is set up for the model")
	errTried   = errors.New("every attempt has failed")
)

// next waits for a place on the next route that lets the call through. The soonest refusal is told where none does.
func (t *trip) next() (*route, breaker.Pass, error) {
	if t.left == 0 {
		return nil, breaker.Pass{}, errTried
	}
	t.left--
	var refused *Refusal
	life := t.call.g.Models.houses.life
	for asked := t.shut; ; {
		n, wait := t.soonest(asked)
		if n < 0 || !sleep(life, wait) {
			break
		}
		asked |= 1 << n
		r := &t.routes[n]
		pass, err := r.house.Guard.Enter(life, t.call.event.TenantID, r.UpstreamModel)
		if err == nil {
			t.at, t.tries = n, t.tries+1
			return r, pass, nil
		}
		refused = sooner(refused, err)
	}
	if refused == nil {
		refused = &Refusal{Reason: ProviderAway, Cause: errNoRoute}
	}
	return nil, breaker.Pass{}, refused
}

// soonest is the route to ask now, or first, and in how long: those after the last attempt's before it and those before
// that. n is -1 where none is left that was not asked.
func (t *trip) soonest(asked uint64) (n int, wait time.Duration) {
	n = -1
	for k := range t.routes {
		i := (t.at + 1 + k) % len(t.routes)
		if asked&(1<<i) != 0 {
			continue
		}
		if w := t.spared(i); n < 0 || w < wait {
			n, wait = i, w
		}
	}
	return n, wait
}

// spared is how long a route is still not to be tried again.
func (t *trip) spared(n int) time.Duration {
	if t.due == nil || t.due[n].IsZero() {
		return 0
	}
	return max(t.due[n].Sub(t.call.g.Now()), 0)
}

// failed notes how an attempt ended.
func (t *trip) failed(r *route, v verdict) {
	n := t.index(r)
	wait := breaker.Backoff(t.tries-1, v.wait, rand.Float64)
	if v.elsewhere || wait > maxPause {
		t.shut |= 1 << n
		return
	}
	if t.due == nil {
		t.due = make([]time.Time, len(t.routes))
	}
	t.due[n] = t.call.g.Now().Add(wait)
}

func (t *trip) index(r *route) int {
	for i := range t.routes {
		if &t.routes[i] == r {
			return i
		}
	}
	return -1 // never: routes come from here
}

// sooner gives the refusal after which trying again makes sense first; r may be nil.
func sooner(r *Refusal, err error) *Refusal {
	var guard *breaker.Refused
	next := &Refusal{Reason: ProviderAway, Cause: err}
	if errors.As(err, &guard) {
		next.RetryAfter = guard.RetryAfter
		if guard.Reason == breaker.LineFull || guard.Reason == breaker.WaitedTooLong {
			next.Reason = ProviderBusy
		}
	}
	if r == nil || next.RetryAfter < r.RetryAfter {
		return next
	}
	return r
}

// sleep waits; false when ctx has ended.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
