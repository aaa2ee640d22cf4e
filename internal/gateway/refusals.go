package gateway

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/fila-ia/filaia/internal/tenancy"
)

// RefusalStore keeps refusals in the database.
type RefusalStore interface {
	InsertRefusals(ctx context.Context, rows []tenancy.Refusal) error
	// OwnRefusal gives fault.NotFound for one that is unknown or another tenant's.
	OwnRefusal(ctx context.Context, tenantID int64, id uuid.UUID) (tenancy.Refusal, error)
}

// RefusalBook writes refusals to the database in batches, so that refusing costs a call no database.
type RefusalBook struct {
	store RefusalStore
	log   *slog.Logger

	mu      sync.Mutex
	waiting []tenancy.Refusal // not written yet, the oldest first
	lost    int64
	minute  map[int64]int // refusals in this minute, by tenant
	spared  int64         // of them, beyond what is kept
}

// NewRefusalBook makes an empty book; Run writes it.
func NewRefusalBook(store RefusalStore, log *slog.Logger) *RefusalBook {
	return &RefusalBook{store: store, log: log, minute: map[int64]int{}}
}

const (
	maxRefusals   = 50_000 // that wait while the database is away: the oldest go first
	refusalBatch  = 2_000
	refusalsEvery = 100 * time.Millisecond
	refusalsTime  = 5 * time.Second

	// refusalsKept is how many of a tenant's are kept in a minute: enough to see why, and a loop that is refused without end
	// must not fill the database.
	refusalsKept = 600
)

// Add notes a refusal, without waiting for the database; false: this minute has had enough of the tenant's.
func (b *RefusalBook) Add(r tenancy.Refusal) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.minute[r.TenantID] == refusalsKept {
		b.spared++
		return false
	}
	b.minute[r.TenantID]++
	if len(b.waiting) >= maxRefusals {
		b.waiting = slices.Clone(b.waiting[refusalBatch:]) // what is being written stays as it is
		b.lost += refusalBatch
	}
	b.waiting = append(b.waiting, r)
	return true
}

// nextMinute counts anew, and tells of those that were not kept.
func (b *RefusalBook) nextMinute() {
	b.mu.Lock()
	spared := b.spared
	b.spared = 0
	clear(b.minute)
	b.mu.Unlock()
	if spared > 0 {
		b.log.Warn("refusals were not kept: some tenants had too many in a minute", "count", spared, "kept_per_tenant", refusalsKept)
	}
}

// Find gives one of a tenant's refusals.
func (b *RefusalBook) Find(ctx context.Context, tenantID int64, id uuid.UUID) (tenancy.Refusal, error) {
	b.mu.Lock()
	for i := range b.waiting {
		if r := b.waiting[i]; r.ID == id && r.TenantID == tenantID {
			b.mu.Unlock()
			return r, nil
		}
	}
	b.mu.Unlock()
	return b.store.OwnRefusal(ctx, tenantID, id)
}

// Run writes what was noted until ctx ends, and then the rest.
func (b *RefusalBook) Run(ctx context.Context) error {
	tick := time.NewTicker(refusalsEvery)
	defer tick.Stop()
	minute := time.NewTicker(time.Minute)
	defer minute.Stop()
	for {
		select {
		case <-ctx.Done():
			b.write(context.WithoutCancel(ctx))
			b.nextMinute()
			return nil
		case <-minute.C:
			b.nextMinute()
		case <-tick.C:
			b.write(ctx)
		}
	}
}

// write writes batches until none is left or the database fails.
func (b *RefusalBook) write(ctx context.Context) {
	for {
		b.mu.Lock()
		batch := b.waiting[:min(len(b.waiting), refusalBatch):len(b.waiting)]
		lost := b.lost
		b.lost = 0
		b.mu.Unlock()
		if lost > 0 {
			b.log.Error("refusals were not kept: the database is away for too long", "count", lost)
		}
		if len(batch) == 0 {
			return
		}
		timed, cancel := context.WithTimeout(ctx, refusalsTime)
		err := b.store.InsertRefusals(timed, batch)
		cancel()
		if err != nil {
			b.log.Warn("refusals could not be written; trying on", "count", len(batch), "error", err)
			return
		}
		b.drop(batch[len(batch)-1].ID)
	}
}

// drop lets go of what was written, up to one.
func (b *RefusalBook) drop(last uuid.UUID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.waiting {
		if b.waiting[i].ID == last {
			b.waiting = slices.Clone(b.waiting[i+1:])
			return
		}
	}
}
