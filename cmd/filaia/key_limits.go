package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/fila-ia/filaia/internal/config"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/store"
)

// ofThePlan is the word for a key without a cache mode of its own.
const (
	ofThePlan = "plan"
	cacheHelp = "answer from the cache: plan (as the plan says), off, exact or smart"
)

func keyCache(word string) tenancy.CacheMode {
	if word == ofThePlan {
		return ""
	}
	return tenancy.CacheMode(word)
}

// limits are what lists print of a customer's or a key's own limits; 0 means none.
type limits struct {
	RPM      int `json:"rpm"`
	TPM      int `json:"tpm"`
	Parallel int `json:"parallel"`
}

func limitsOf(r tenancy.Rates) limits {
	return limits{r.RequestsPerMinute, r.TokensPerMinute, r.ParallelCalls}
}

// keyLimits changes what a key may do beside its plan; only the flags given change.
func keyLimits(ctx context.Context, w world, args []string) error {
	f := newFlags("key limits")
	which := f.Int64("id", 0, "id of the key")
	var rates tenancy.Rates
	f.rates(&rates, " of this key alone")
	cache := f.String("cache", ofThePlan, cacheHelp)
	f.need("id")
	if err := f.parse(w, args); err != nil {
		return err
	}
	if err := f.noRest(); err != nil {
		return err
	}
	return withStore(ctx, w, f, func(ctx context.Context, _ config.Config, s *store.Store) error {
		key, err := s.Key(ctx, *which)
		if fault.Is(err, fault.NotFound) {
			return fmt.Errorf("there is no key %d; filaia key list shows them", *which)
		}
		if err != nil {
			return err
		}
		f.over(func() { *which, rates, *cache = key.ID, key.Rates, cmp.Or(string(key.Cache), ofThePlan) })
		if err := s.UpdateKeyLimits(ctx, key.ID, rates, keyCache(*cache)); err != nil {
			return err
		}
		out := struct {
			ID int64 `json:"id"`
			limits
			Cache string `json:"cache"`
		}{key.ID, limitsOf(rates), *cache}
		return f.print(w, out, []string{"ID", "RPM", "TPM", "PARALLEL", "CACHE"},
			[][]string{{id(key.ID), id(int64(rates.RequestsPerMinute)), id(int64(rates.TokensPerMinute)), id(int64(rates.ParallelCalls)), *cache}})
	})
}
