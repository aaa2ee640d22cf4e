package gateway

import (
	"context"
	"encoding/binary"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/fila-ia/filaia/internal/tenancy"
)

// AddressStore keeps from where keys are used.
type AddressStore interface {
	// NoteKeyUses may get the same one again.
	NoteKeyUses(ctx context.Context, uses []tenancy.KeyUse) error
}

// AddressBook notes from where keys are used. A call from an address that is known costs a look into memory; the others are
// written in batches.
type AddressBook struct {
	store   AddressStore
	log     *slog.Logger
	shelves [addressShelves]addressShelf

	mu      sync.Mutex
	waiting []tenancy.KeyUse // not written yet
}

const (
	addressShelves = 64
	// shelfRoom is how many a shelf remembers: all together a few megabytes. One that is full begins anew, and what is used
	// on is written again.
	shelfRoom    = 2048
	maxUses      = 20_000 // that wait while the database is away
	useBatch     = 1_000
	usesEvery    = time.Second
	usesTime     = 5 * time.Second
	addressEvery = 12 * time.Hour // after which a known one is written again, so that it is not forgotten
)

type addressShelf struct {
	mu   sync.RWMutex
	seen map[keyAddress]int64 // when it was noted, in Unix seconds
}

type keyAddress struct {
	key     int64
	address [16]byte
}

// NewAddressBook makes an empty book; Run writes it.
func NewAddressBook(store AddressStore, log *slog.Logger) *AddressBook {
	b := &AddressBook{store: store, log: log}
	for i := range b.shelves {
		b.shelves[i].seen = map[keyAddress]int64{}
	}
	return b
}

// shelf finds where a pair is kept: all of a key's calls from one address meet in one, but not those of all keys.
func (b *AddressBook) shelf(p *keyAddress) *addressShelf {
	h := uint64(p.key) ^ binary.LittleEndian.Uint64(p.address[:8]) ^ binary.LittleEndian.Uint64(p.address[8:])
	return &b.shelves[h*0x9e3779b97f4a7c15>>58]
}

// Add notes a call's key and address, without waiting for the database.
func (b *AddressBook) Add(caller *tenancy.Caller, address netip.Addr, at time.Time) {
	if b == nil || !address.IsValid() {
		return
	}
	address = tenancy.NetworkOf(address)
	pair, now := keyAddress{caller.KeyID, address.As16()}, at.Unix()
	s := b.shelf(&pair)
	s.mu.RLock()
	noted, known := s.seen[pair]
	s.mu.RUnlock()
	if known && now-noted < int64(addressEvery/time.Second) {
		return
	}
	if s.note(pair, noted, now) {
		b.add(tenancy.KeyUse{KeyID: caller.KeyID, TenantID: caller.TenantID, Address: address, At: at})
	}
}

// note remembers a pair; false: another call was first.
func (s *addressShelf) note(pair keyAddress, was, now int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	noted, known := s.seen[pair]
	if known && noted != was {
		return false
	}
	if !known && len(s.seen) >= shelfRoom {
		clear(s.seen)
	}
	s.seen[pair] = now
	return true
}

func (b *AddressBook) add(u tenancy.KeyUse) {
	b.mu.Lock()
	full := len(b.waiting) >= maxUses
	if !full {
		b.waiting = append(b.waiting, u)
	}
	b.mu.Unlock()
	if full { // it is noted with its next use
		pair := keyAddress{u.KeyID, u.Address.As16()}
		s := b.shelf(&pair)
		s.mu.Lock()
		delete(s.seen, pair)
		s.mu.Unlock()
	}
}

// Run writes what was noted until ctx ends, and then the rest.
func (b *AddressBook) Run(ctx context.Context) error { return writeEvery(ctx, usesEvery, b.write) }

// writeEvery writes a book again and again until ctx ends, and then what is left.
func writeEvery(ctx context.Context, pause time.Duration, write func(context.Context)) error {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			write(context.WithoutCancel(ctx))
			return nil
		case <-tick.C:
			write(ctx)
		}
	}
}

// write writes batches until none is left or the database fails.
func (b *AddressBook) write(ctx context.Context) {
	for {
		b.mu.Lock()
		batch := b.waiting[:min(len(b.waiting), useBatch):len(b.waiting)]
		b.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		timed, cancel := context.WithTimeout(ctx, usesTime)
		err := b.store.NoteKeyUses(timed, batch)
		cancel()
		if err != nil {
			b.log.Warn("from where keys are used could not be written; trying on", "count", len(batch), "error", err)
			return
		}
		b.mu.Lock()
		b.waiting = b.waiting[len(batch):]
		if len(b.waiting) == 0 {
			b.waiting = nil
		}
		b.mu.Unlock()
	}
}
