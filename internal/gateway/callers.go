package gateway

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// Directory finds callers in the database.
type Directory interface {
	// CallerByHash gives fault.NotFound for a key that does not exist or is revoked.
	CallerByHash(ctx context.Context, hash [32]byte) (*tenancy.Caller, error)
}

// How long what is known of a caller is believed. Changes are heard of at once; this stands behind it.
const (
	callerTTL     = 30 * time.Second
	unknownTTL    = 5 * time.Second
	awayTTL       = time.Second // while the database cannot be asked
	maxUnknown    = 10_000      // unknown keys remembered, so that guessing keys costs us no database
	lookupLimit   = 3 * time.Second
	knownPatience = time.Second // how long a known caller waits for news of itself
)

// Callers authenticates keys from memory and asks the database about those it does not know.
type Callers struct {
	directory Directory
	now       func() time.Time
	loads     singleflight.Group

	mu         sync.RWMutex
	known      map[[32]byte]entry
	unknown    int    // entries of known without a caller
	generation uint64 // grows with every Forget: what was loaded before it is not kept after it
}

type entry struct {
	hash   [32]byte
	caller *tenancy.Caller // nil: there is no such key
	until  time.Time
}

// NewCallers makes an empty cache before a directory.
func NewCallers(directory Directory, now func() time.Time) *Callers {
	return &Callers{directory: directory, now: now, known: map[[32]byte]entry{}}
}

// Authenticate tells who calls with this secret. Only the secret's hash is compared or kept.
func (c *Callers) Authenticate(ctx context.Context, secret string) (*tenancy.Caller, error) {
	if secret == "" {
		return nil, &Refusal{Reason: NoKey}
	}
	if !strings.HasPrefix(secret, tenancy.KeyPrefix) {
		return nil, &Refusal{Reason: UnknownKey}
	}
	hash := sha256.Sum256([]byte(secret))
	now := c.now()
	c.mu.RLock()
	e, hit := c.known[hash]
	c.mu.RUnlock()
	hit = hit && subtle.ConstantTimeCompare(e.hash[:], hash[:]) == 1
	if !hit || !e.fresh(now) {
		var err error
		if e, err = c.load(ctx, hash, e); err != nil {
			return nil, &Refusal{Reason: DatabaseAway, Cause: err}
		}
	}
	switch caller := e.caller; {
	case caller == nil:
		return nil, &Refusal{Reason: UnknownKey}
	case !caller.ExpiresAt.IsZero() && !now.Before(caller.ExpiresAt):
		return nil, &Refusal{Reason: ExpiredKey, Caller: caller}
	case caller.TenantStatus != tenancy.TenantActive:
		return nil, &Refusal{Reason: TenantInactive, Subject: string(caller.TenantStatus), Caller: caller}
	default:
		return caller, nil
	}
}

func (e entry) fresh(now time.Time) bool {
	return now.Before(e.until) && (e.caller == nil || now.Before(e.caller.PeriodEndsAt))
}

// load asks the database, once for all who ask for the same key at the same time. While the database is away or does
// not answer, what was known of a caller goes on to be believed until its period ends: the quota it holds is still exact.
func (c *Callers) load(ctx context.Context, hash [32]byte, old entry) (entry, error) {
	believable, patience := old.caller != nil && c.now().Before(old.caller.PeriodEndsAt), lookupLimit
	if believable {
		patience = knownPatience
	}
	flight := string(hash[:])
	found := c.loads.DoChan(flight, func() (any, error) { return c.lookUp(ctx, hash) })
	// The lookup's own limit does not hold where the database is reached and says nothing: drivers wait for it.
	timer := time.NewTimer(patience)
	defer timer.Stop()
	var err error
	select {
	case result := <-found:
		if err = result.Err; err == nil {
			return result.Val.(entry), nil
		}
	case <-timer.C:
		err = errNoAnswer
		c.loads.Forget(flight) // who asks next must not wait for this one
	}
	if !believable {
		return entry{}, err
	}
	c.believe(old)
	return old, nil
}

var errNoAnswer = errors.New("the database does not answer")

// lookUp asks the database and keeps what it says.
func (c *Callers) lookUp(ctx context.Context, hash [32]byte) (entry, error) {
	c.mu.RLock()
	generation := c.generation
	c.mu.RUnlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookupLimit)
	defer cancel()
	caller, err := c.directory.CallerByHash(ctx, hash)
	e := entry{hash: hash, caller: caller, until: c.now().Add(callerTTL)}
	switch {
	case fault.Is(err, fault.NotFound):
		e.caller, e.until = nil, c.now().Add(unknownTTL)
	case err != nil:
		return entry{}, err
	}
	c.keep(e, generation)
	return e, nil
}

// believe lets an entry live on for a moment, unless anything was heard of it meanwhile.
func (c *Callers) believe(old entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known[old.hash] == old {
		old.until = c.now().Add(awayTTL)
		c.known[old.hash] = old
	}
}

func (c *Callers) keep(e entry, generation uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.generation != generation {
		return // something changed while it was loaded: it serves this call and is asked for again
	}
	if old, ok := c.known[e.hash]; ok && old.caller == nil {
		c.unknown--
	}
	if e.caller == nil {
		if c.unknown >= maxUnknown {
			c.dropUnknown()
		}
		c.unknown++
	}
	c.known[e.hash] = e
}

func (c *Callers) dropUnknown() {
	for hash, e := range c.known {
		if e.caller == nil {
			delete(c.known, hash)
		}
	}
	c.unknown = 0
}

// Forget drops what is known of a tenant's callers. 0 means that any may have changed: then all are asked for
// again, but kept for the case that the database does not answer.
func (c *Callers) Forget(tenantID int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.generation++
	c.dropUnknown()
	for hash, e := range c.known {
		switch {
		case tenantID == 0:
			e.until = time.Time{}
			c.known[hash] = e
		case e.caller.TenantID == tenantID:
			delete(c.known, hash)
		}
	}
}
