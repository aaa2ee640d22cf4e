package main

import (
	"context"
	"time"

	"github.com/fila-ia/filaia/handlers"
	"github.com/fila-ia/filaia/internal/breaker"
	"github.com/fila-ia/filaia/internal/ratelimit"
	"github.com/fila-ia/filaia/internal/usage"
)

// operations shows the panel how the gateway of this process stands.
type operations struct {
	core  *core
	grace time.Duration // how long a replica may be silent
}

// Providers tells how the breakers of each provider stand.
func (o operations) Providers() map[int64]breaker.Snapshot {
	snapshots := map[int64]breaker.Snapshot{}
	for _, house := range o.core.gate.Models.Houses() {
		snapshots[house.Provider.ID] = house.Guard.Snapshot()
	}
	return snapshots
}

// Self tells how this process stands, as its next heartbeat will tell the others.
func (o operations) Self() handlers.SelfState {
	s := o.core.ledger.Stats()
	return handlers.SelfState{Name: o.core.replica, Vitals: o.core.vitals(), Refusing: s.Refusing, SyncFailing: s.SyncFailing, Stalled: s.Stalled}
}

// Audit compares the books of what is usually audited, and keeps what was found.
func (o operations) Audit(ctx context.Context) error {
	scope := usage.RecentScope(time.Now())
	scope.Grace = o.grace
	a, err := o.core.store.RunAudit(ctx, scope)
	if err != nil {
		return err
	}
	if err := o.core.store.SaveAudit(ctx, a); err != nil {
		return err
	}
	o.core.audited(*a)
	return nil
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
