package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"

	"github.com/fila-ia/filaia/internal/breaker"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// Models keeps the models on offer, their routes and their providers in memory.
type Models struct {
	catalogue Catalogue
	log       *slog.Logger
	houses    houses
	list      atomic.Pointer[modelList]
}

type modelList struct {
	all    []tenancy.Model
	byName map[string]*offer
	bySlug map[string]*House
}

// offer is a model with the routes that can be taken.
type offer struct {
	tenancy.Model
	routes []route
}

type route struct {
	tenancy.Route
	house *House
}

// order gives the routes as a call should try them: by priority, by chance within one, without those
// that refuse now.
func (o *offer) order() []route {
	if len(o.routes) < 2 {
		return o.routes
	}
	choices := make([]breaker.Route, len(o.routes))
	for i, r := range o.routes {
		ready, wait := r.house.Guard.Ready(r.UpstreamModel)
		choices[i] = breaker.Route{Priority: r.Priority, Weight: r.Weight, Ready: ready, RetryAfter: wait}
	}
	routes := make([]route, 0, len(o.routes))
	for _, i := range breaker.Order(choices, rand.Float64) {
		routes = append(routes, o.routes[i])
	}
	return routes
}

// NewModels makes an empty list; Reload fills it. connect opens the client of a provider; changed hears of breakers.
func NewModels(catalogue Catalogue, connect func(tenancy.Provider) (Upstream, error), changed func(breaker.Change), log *slog.Logger) *Models {
	m := &Models{catalogue: catalogue, log: log, houses: houses{connect: connect, changed: changed}}
	m.houses.life, m.houses.end = context.WithCancel(context.Background())
	m.list.Store(&modelList{})
	return m
}

// Reload reads the catalogue; on an error the old list stays. A provider that cannot be connected, such as one whose
// credential was sealed under another key, is left out alone and told of in the log.
func (m *Models) Reload(ctx context.Context) error {
	models, err := m.catalogue.Models(ctx)
	if err != nil {
		return fmt.Errorf("load models: %w", err)
	}
	providers, err := m.catalogue.Providers(ctx)
	if err != nil {
		return fmt.Errorf("load providers: %w", err)
	}
	forces, err := m.catalogue.BreakerForces(ctx)
	if err != nil {
		return fmt.Errorf("load forced breakers: %w", err)
	}
	open, failed := m.houses.update(providers, forces)
	if failed != nil {
		m.log.Error("providers that cannot be used", "error", failed)
	}
	list := &modelList{all: models, byName: make(map[string]*offer, len(models)), bySlug: make(map[string]*House, len(open))}
	for i := range models {
		o := &offer{Model: models[i]}
		for _, r := range models[i].Routes {
			if house := open[r.ProviderID]; house != nil {
				o.routes = append(o.routes, route{r, house})
			}
		}
		list.byName[o.Name] = o
	}
	for _, house := range open {
		list.bySlug[house.Provider.Slug] = house
	}
	m.list.Store(list)
	return nil
}

// Houses lists the providers in use, for the operations page.
func (m *Models) Houses() []*House { return m.houses.list() }

// Abort breaks off every call under way at every provider.
func (m *Models) Abort() { m.houses.abort() }

// Allowed lists what a caller may use.
func (m *Models) Allowed(caller *tenancy.Caller) []tenancy.Model {
	var models []tenancy.Model
	for _, model := range m.list.Load().all {
		if caller.Allows(model.Name) {
			models = append(models, model)
		}
	}
	return models
}

// Find gives a model that the caller may use, or refuses with UnknownModel: whether a model exists that the plan does
// not have is nobody's business.
func (m *Models) Find(caller *tenancy.Caller, name string) (*tenancy.Model, error) {
	o, err := m.find(caller, name)
	if err != nil {
		return nil, err
	}
	return &o.Model, nil
}

func (m *Models) find(caller *tenancy.Caller, name string) (*offer, error) {
	o := m.list.Load().byName[name]
	if o == nil || !caller.Allows(name) {
		return nil, &Refusal{Reason: UnknownModel, Subject: name}
	}
	return o, nil
}

// Reached is the way to a model's first provider.
type Reached struct {
	Provider      *tenancy.Provider
	UpstreamModel string
	Price         tenancy.Price
}

// Reach gives the way that calls of a model take first; false where there is none.
func (m *Models) Reach(name string) (Reached, bool) {
	o := m.list.Load().byName[name]
	if o == nil || len(o.routes) == 0 {
		return Reached{}, false
	}
	r := o.routes[0]
	return Reached{&r.house.Provider, r.UpstreamModel, r.Price}, true
}
