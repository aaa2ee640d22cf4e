package gateway

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/fila-ia/filaia/internal/breaker"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// Catalogue lists the models on offer, who answers for them, and what an operator decided about breakers.
type Catalogue interface {
	Models(ctx context.Context) ([]tenancy.Model, error)
	Providers(ctx context.Context) ([]tenancy.Provider, error)
	BreakerForces(ctx context.Context) ([]tenancy.BreakerForce, error)
}

// House is one provider: how it is reached, and the guard that stands before it.
type House struct {
	Provider tenancy.Provider
	Upstream Upstream
	Guard    *breaker.Guard
}

// houses keeps the providers that calls may go to, by id.
type houses struct {
	connect func(tenancy.Provider) (Upstream, error)
	changed func(breaker.Change)
	life    context.Context // ends with abort: nobody waits for a provider any more
	end     context.CancelFunc

	mu       sync.Mutex
	open     map[int64]*House
	replaced []replaced
	guards   map[int64]*breaker.Guard // of the providers that are switched off, too
	forced   map[forceKey]string
}

// replaced is the way to a provider that was changed or taken out. Calls that began with it may be under way until then.
type replaced struct {
	Upstream
	until time.Time
}

type forceKey struct {
	provider int64
	model    string
}

// update connects new and changed providers and lets go of those that are no more. A provider that cannot be connected is
// left out and told of; the others go on. Calls under way keep what they began with.
func (h *houses) update(list []tenancy.Provider, forces []tenancy.BreakerForce) (map[int64]*House, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.life.Err() != nil {
		return h.open, nil // nothing is connected any more
	}
	var failed error
	open := make(map[int64]*House, len(list))
	guards := make(map[int64]*breaker.Guard, len(list))
	for _, p := range list {
		guards[p.ID] = h.guard(p)
		if !p.Active {
			continue
		}
		house, err := h.house(p, guards[p.ID])
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("provider %s: %w", p.Slug, err))
			continue
		}
		open[p.ID] = house
	}
	h.replace(open)
	h.guards = guards
	h.force(forces)
	return open, failed
}

// replace lets go of the ways that are not taken any more.
func (h *houses) replace(open map[int64]*House) {
	now := time.Now()
	h.replaced = slices.DeleteFunc(h.replaced, func(r replaced) bool { return now.After(r.until) })
	for id, old := range h.open {
		if same := open[id]; same != nil && same.Upstream == old.Upstream {
			continue
		}
		old.Upstream.Close() // its calls under way go on; only idle connections go
		l := old.Provider.Limits
		h.replaced = append(h.replaced, replaced{old.Upstream, now.Add(time.Duration(1+l.Retries) * l.Total)})
	}
	h.open = open
}

// useOld notes that a way which was let go of is taken once more, so that abort still ends what is under way there.
func (h *houses) useOld(old *House) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.life.Err() != nil {
		old.Upstream.Abort()
		return
	}
	last := replaced{old.Upstream, time.Now().Add(old.Provider.Limits.Total)}
	h.replaced = slices.DeleteFunc(h.replaced, func(r replaced) bool { return r.Upstream == last.Upstream })
	h.replaced = append(h.replaced, last)
}

// guard gives the provider's guard: the same for as long as there is the provider, so that what it knows of calls and
// failures outlives every change.
func (h *houses) guard(p tenancy.Provider) *breaker.Guard {
	if g := h.guards[p.ID]; g != nil {
		g.Update(guardSettings(p.Limits))
		return g
	}
	return breaker.New(p.ID, guardSettings(p.Limits), h.changed)
}

// house gives the provider's house: the same where nothing changed.
func (h *houses) house(p tenancy.Provider, g *breaker.Guard) (*House, error) {
	if old := h.open[p.ID]; old != nil && reflect.DeepEqual(old.Provider, p) {
		return old, nil
	}
	client, err := h.connect(p)
	if err != nil {
		return nil, err
	}
	return &House{p, client, g}, nil
}

// force carries out what operators decided, and gives back what they no longer decide.
func (h *houses) force(forces []tenancy.BreakerForce) {
	now := make(map[forceKey]string, len(forces))
	for _, f := range forces {
		now[forceKey{f.ProviderID, f.Model}] = f.State
	}
	for key := range h.forced {
		if guard := h.guards[key.provider]; guard != nil && now[key] == "" {
			guard.Force(key.model, breaker.Closed)
		}
	}
	for key, state := range now {
		if guard := h.guards[key.provider]; guard != nil {
			guard.Force(key.model, breaker.State(state))
		}
	}
	h.forced = now
}

// abort breaks off every call under way.
func (h *houses) abort() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.end()
	for _, house := range h.open {
		house.Upstream.Abort()
	}
	for _, r := range h.replaced {
		r.Abort()
	}
}

// list gives the houses by name.
func (h *houses) list() []*House {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []*House
	for _, house := range h.open {
		list = append(list, house)
	}
	slices.SortFunc(list, func(a, b *House) int { return int(a.Provider.ID - b.Provider.ID) })
	return list
}

func guardSettings(l tenancy.ProviderLimits) breaker.Settings {
	s := breaker.DefaultSettings()
	s.FailurePercent, s.MinCalls, s.Window, s.SlowAfter, s.OpenFor =
		l.BreakerFailurePercent, l.BreakerMinCalls, l.BreakerWindow, l.BreakerSlow, l.BreakerOpen
	s.MaxParallel, s.MaxWaiting, s.MaxWait = l.MaxParallel, l.MaxWaiting, l.MaxWait
	return s
}
