package gateway

import (
	"bytes"
	"context"
	"time"

	"github.com/fila-ia/filaia/internal/breaker"
)

// race makes an attempt, and one at another provider as well when no answer has come within the first one's Hedge. The
// first success wins; where both fail, the later failure is told. A call is hedged once at most.
func race[A head](ctx context.Context, t *trip, first try[A], message func(string) *Message, s sender[A]) try[A] {
	ended := make(chan try[A], 2)
	cancelFirst := begin(ctx, t.call, first, message, s, ended)
	timer := time.NewTimer(first.route.house.Provider.Limits.Hedge)
	defer timer.Stop()
	select {
	case only := <-ended:
		return only
	case <-timer.C:
	}
	other := t.elsewhere(first.route)
	if other == nil {
		return <-ended
	}
	t.hedged = true
	cancelSecond := begin(ctx, t.call, try[A]{route: other, waits: true}, message, s, ended)
	a := <-ended
	if !a.retry { // it is the call's: the other is broken off or, where it is a whole one, let go when it comes
		if a.route == other {
			cancelFirst()
		} else {
			cancelSecond()
		}
		id := t.call.event.RequestID
		go func() { lose(t.call.g, <-ended, s, id) }()
		return a
	}
	b := <-ended
	switch { // one that found no place was no attempt
	case a.waits:
		return b
	case b.waits:
		return a
	case a.err == nil:
		s.drop(a.answer)
	}
	t.tries++
	t.failed(a.route, a.verdict)
	return b
}

// begin makes an attempt beside others. Its body is a copy: the request's memory is used again when the call is over,
// and the attempt may not be.
func begin[A head](ctx context.Context, c *Call, a try[A], message func(string) *Message, s sender[A], ended chan<- try[A]) context.CancelFunc {
	ctx, cancel := context.WithCancel(ctx)
	life, g, tenant := c.g.Models.houses.life, c.g, c.event.TenantID
	m := message(a.route.UpstreamModel)
	m.Body = bytes.Clone(m.Body)
	go func() {
		defer func() { ended <- a }()
		if a.waits {
			defer context.AfterFunc(life, cancel)()
			var err error
			if a.pass, err = a.route.house.Guard.Enter(ctx, tenant, a.route.UpstreamModel); err != nil {
				a.retry = true
				return
			}
			a.waits = false
		}
		a.run(ctx, g, s, m)
	}()
	return cancel
}

// elsewhere is the next route to another provider that could be taken now, or nil.
func (t *trip) elsewhere(than *route) *route {
	for k := 1; k < len(t.routes); k++ {
		n := (t.at + k) % len(t.routes)
		r := &t.routes[n]
		if r.house.Provider.ID != than.house.Provider.ID && t.shut&(1<<n) == 0 && t.spared(n) == 0 {
			return r
		}
	}
	return nil
}

// lose lets go of an attempt that another overtook. What it cost is nowhere told as the call's: the log has it.
func lose[A head](g *Gateway, a try[A], s sender[A], id string) {
	if a.waits {
		return
	}
	status := 0 // broken off, or failed
	if a.err == nil {
		status = a.answer.Status()
		s.drop(a.answer)
	}
	a.pass.Leave(breaker.Neutral)
	g.Log.Info("hedged call: another provider was asked as well, and may charge for it", "id", id,
		"provider", a.route.house.Provider.Slug, "status", status, "error", a.err)
}
