package gateway

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/fila-ia/filaia/internal/tenancy"
)

// Catalogue lists the models on offer.
type Catalogue interface {
	Models(ctx context.Context) ([]tenancy.Model, error)
}

// Models keeps the models on offer in memory.
type Models struct {
	catalogue Catalogue
	list      atomic.Pointer[modelList]
}

type modelList struct {
	all    []tenancy.Model
	byName map[string]*tenancy.Model
}

// NewModels makes an empty list; Reload fills it.
func NewModels(catalogue Catalogue) *Models {
	m := &Models{catalogue: catalogue}
	m.list.Store(&modelList{})
	return m
}

// Reload reads the catalogue; on an error the old list stays.
func (m *Models) Reload(ctx context.Context) error {
	all, err := m.catalogue.Models(ctx)
	if err != nil {
		return fmt.Errorf("load models: %w", err)
	}
	list := &modelList{all: all, byName: make(map[string]*tenancy.Model, len(all))}
	for i := range all {
		list.byName[all[i].Name] = &all[i]
	}
	m.list.Store(list)
	return nil
}

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
	model := m.list.Load().byName[name]
	if model == nil || !caller.Allows(name) {
		return nil, &Refusal{Reason: UnknownModel, Subject: name}
	}
	return model, nil
}
