package main

import (
	"context"
	"time"

	"github.com/fila-ia/filaia/handlers"
	"github.com/fila-ia/filaia/internal/breaker"
	"github.com/fila-ia/filaia/internal/ratelimit"
)

// operations shows the panel how the gateway of this process stands.
type operations struct{ core *core }

// Providers tells how the breakers of each provider stand.
func (o operations) Providers() map[int64]breaker.Snapshot {
	snapshots := map[int64]breaker.Snapshot{}
	for _, house := range o.core.gate.Models.Houses() {
		snapshots[house.Provider.ID] = house.Guard.Snapshot()
	}
	return snapshots
}

// Limiter tells where limits are counted.
func (o operations) Limiter() handlers.LimiterState {
	health, away := o.core.gate.Rates.Health(), time.Time{}
	if health.Mode == ratelimit.Fallback {
		away = health.Since
	}
	return handlers.LimiterState{Shared: health.Mode != ratelimit.Memory, Away: away}
}

// Cache tells what the cache holds, and what it did since the start.
func (o operations) Cache() handlers.CacheState {
	s := o.core.gate.Cache.Stats()
	hits := s.ByExact + s.ByNormalised + s.ByLikeness + s.Coalesced
	return handlers.CacheState{
		Shared: o.core.redis != nil, Unhealthy: o.core.gate.Cache.Health() != nil, Hits: hits, Lookups: hits + s.Misses - s.Coalesced,
		Entries: s.Entries, Bytes: s.Bytes + s.VectorBytes,
	}
}

// Simulating tells whether the simulator answers for a provider.
func (o operations) Simulating() bool { return o.core.houses.simulates() }

// PurgeCache forgets a tenant's answers: no replica finds them any more, and here they take no room.
func (o operations) PurgeCache(ctx context.Context, tenantID int64) error {
	if err := o.core.store.PurgeCache(ctx, tenantID); err != nil {
		return err
	}
	return o.core.gate.Cache.Purge(ctx, tenantID)
}
