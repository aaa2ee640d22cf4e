// Package breaker decides whether a call may go to a provider now, and in which order providers are tried.
//
// A Guard stands before one provider. It has a circuit breaker for each model, a pause of the model that the provider
// itself asked for with a 429, and a cap on parallel calls with a bounded line behind it that is fair among tenants. Routes are
// ordered by Order; how long to wait before a retry is told by Backoff. The package knows no HTTP.
//
// The breaker's states are kept by failsafe-go, which reads the wall clock by itself; so does all of the package, so that
// there are not two clocks. A test that moves time does so with testing/synctest.
package breaker

import (
	"context"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Guard stands before one provider. It is safe for concurrent use.
type Guard struct {
	settings atomic.Pointer[Settings]
	circuits atomic.Pointer[map[string]*circuit]
	line     line
	changes  changes

	mu     sync.Mutex // before every circuit's
	forAll mode       // what Force made of all models; closed: nothing
}

// New makes the guard of a provider. changed may be nil; it is called outside all locks, once for every change and in
// their order, by the call that caused it or by one that is telling of an earlier change already.
func New(provider int64, s Settings, changed func(Change)) *Guard {
	g := &Guard{changes: changes{provider: provider, tell: changed}}
	s = s.filled()
	g.settings.Store(&s)
	g.circuits.Store(&map[string]*circuit{})
	g.line.resize(&s)
	return g
}

// Update takes new settings. States stay; a breaker that is open begins its delay again where OpenFor or Probes
// changed, and a window begins empty where Window changed.
func (g *Guard) Update(s Settings) {
	s = s.filled()
	g.mu.Lock()
	defer g.mu.Unlock()
	was := g.settings.Swap(&s)
	if *was == s {
		return
	}
	for _, c := range *g.circuits.Load() {
		c.apply(was, &s)
	}
	g.line.resize(&s)
}

// maxModels bounds the breakers of a guard; models beyond share one.
const maxModels = 1024

// otherModels is the breaker that models beyond the bound share.
const otherModels = "*"

// circuit gives the model's breaker, making it at its first call.
func (g *Guard) circuit(model string) *circuit {
	if c := (*g.circuits.Load())[model]; c != nil {
		return c
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	known := *g.circuits.Load()
	if len(known) >= maxModels && known[model] == nil {
		model = otherModels
	}
	if c := known[model]; c != nil {
		return c
	}
	model = strings.Clone(model) // it may lie in a request's memory
	c := newCircuit(model, g.settings.Load(), g.forAll, time.Now())
	grown := maps.Clone(known)
	grown[model] = c
	g.circuits.Store(&grown)
	return c
}

// Ready tells whether Enter would let a call go or wait in line, without taking anything; otherwise, when to ask again.
func (g *Guard) Ready(model string) (bool, time.Duration) {
	c := g.circuit(model)
	d := c.pause.left()
	if d == 0 {
		d = c.ready(g.settings.Load())
	}
	return d == 0, d
}

// Enter lets a call go, waiting in the tenant's line for a place where there is a cap. It fails with *Refused, or with
// ctx's error where ctx ended in the line. Exactly one Leave of the Pass must follow.
func (g *Guard) Enter(ctx context.Context, tenant int64, model string) (Pass, error) {
	s := g.settings.Load()
	p := Pass{g: g, c: g.circuit(model)}
	// Nobody stands in line for a closed door.
	if err := refusal(p.c, s); err != nil {
		return Pass{}, err
	}
	waited, err := g.line.enter(ctx, tenant, s.MaxWait)
	if err != nil {
		return Pass{}, err
	}
	if waited { // and the door may have closed meanwhile
		if d := p.c.pause.left(); d > 0 {
			g.line.leave()
			return Pass{}, &Refused{Throttled, d}
		}
	}
	if d := p.c.admit(&p, s); d > 0 {
		g.line.leave()
		return Pass{}, &Refused{CircuitOpen, d}
	}
	if s.MaxParallel > 0 {
		p.since = time.Now().UnixNano()
	}
	g.changes.flush()
	return p, nil
}

func refusal(c *circuit, s *Settings) error {
	if d := c.pause.left(); d > 0 {
		return &Refused{Throttled, d}
	}
	if d := c.ready(s); d > 0 {
		return &Refused{CircuitOpen, d}
	}
	return nil
}

// Force holds the breaker of a model open or closed by hand, whatever its calls tell, or gives it back to the automatic
// with Closed; other states are ignored. The empty model means all, those to come too, but for those that have an order of
// their own: whichever of two orders came first, the outcome is the same. A breaker forced closed counts on.
func (g *Guard) Force(model string, to State) {
	m, ok := map[State]mode{ForcedOpen: forcedOpen, ForcedClosed: forcedClosed, Closed: closed}[to]
	if !ok {
		return
	}
	if model != "" {
		g.order(m, g.circuit(model))
	} else {
		g.order(m, nil)
	}
	g.changes.flush()
}

// order takes note of an order for one circuit, or for all (nil), and carries it out.
func (g *Guard) order(m mode, one *circuit) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if one != nil {
		one.own = m
	} else {
		g.forAll = m
	}
	for _, c := range *g.circuits.Load() {
		if c.own.forced() {
			c.force(c.own, &g.changes)
		} else {
			c.force(g.forAll, &g.changes)
		}
	}
}
