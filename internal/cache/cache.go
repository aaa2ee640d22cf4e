// Package cache answers calls from earlier answers: to the same question (Exact), and to one that says the same in
// other words (Smart). Entries are in process or in Redis; a tenant's never answer another tenant.
//
// One call goes like this. Ask makes the question; Find looks for its answer. Where there is none, Join makes the
// caller the leader of a flight, or a follower of one that is under way. A leader looks again with FindAlike (by then
// another may have stored the answer; now texts are compared, too), calls the provider, feeds the flight, stores a
// complete and successful answer with Store, and only then ends the flight, so that whoever comes next finds one or the
// other. Learn comes last, when the client has its answer.
//
// What the provider said is not all that makes an answer worth keeping: one that was cut because the gateway itself
// lowered the limit of tokens must not be stored.
package cache

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// How says how an answer was found.
type How uint8

// The ways to find an answer: by the same request, by a text that is spelt otherwise, by a text that is alike.
const (
	Missed How = iota
	ByExact
	ByNormalised
	ByLikeness
)

// String is the way in a word, for logs and metrics.
func (h How) String() string { return [...]string{"missed", "exact", "normalised", "likeness"}[h] }

// Options of a cache. Zero values give the defaults.
type Options struct {
	MaxBytes int64          // of entries in process, keys included; 256 MiB
	MaxEntry int            // the largest body that is stored, in bytes; 1 MiB
	Redis    rueidis.Client // nil: entries are in process
	Space    string         // what all keys in Redis begin with: installations that share one differ in it; "filaia:"
	Embedder Embedder       // nil: texts are not compared by likeness
	// Threshold is the cosine from which texts are alike; DefaultThreshold.
	Threshold float64
	// MaxVectorBytes bounds the vectors in process; 64 MiB, 10,000 texts of 1,536 dimensions. It is in bytes because
	// the model, and with it the dimensions, can be changed while running.
	MaxVectorBytes int64
	Now            func() time.Time
	Log            *slog.Logger
}

// shelf is where entries are.
type shelf interface {
	// settle learns the generation of the tenant's entries.
	settle(ctx context.Context, q *Question)
	// find settles and looks for an entry by its key and by its other name.
	find(ctx context.Context, q *Question, notBefore time.Time) (*Entry, How)
	// fetch gives an entry by its key, for a question that is settled.
	fetch(ctx context.Context, q *Question, k key, notBefore time.Time) *Entry
	put(ctx context.Context, q *Question, e *Entry, ttl time.Duration) bool
	purge(ctx context.Context, tenant int64) error
	sweep()
	tell(*Stats)
}

// Cache is safe for concurrent use.
type Cache struct {
	shelf     shelf
	vectors   *vectors
	likeness  atomic.Pointer[likenessRule]
	askers    sync.Pool
	flights   flights
	now       func() time.Time
	maxEntry  int
	redisFuse *fuse
	embedFuse *fuse
	count     counts
}

type counts struct {
	found                          [ByLikeness + 1]atomic.Int64
	misses, stores, coalesced      atomic.Int64
	embedErrors, tooLarge, cutDown atomic.Int64
}

// New makes a cache. It starts nothing; Run keeps it tidy.
func New(o Options) (*Cache, error) {
	if o.MaxBytes <= 0 {
		o.MaxBytes = 256 << 20
	}
	if o.MaxEntry <= 0 {
		o.MaxEntry = 1 << 20
	}
	if o.MaxVectorBytes <= 0 {
		o.MaxVectorBytes = 64 << 20
	}
	if o.Space == "" {
		o.Space = "filaia:"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	codec, err := newCodec(o.MaxEntry)
	if err != nil {
		return nil, fmt.Errorf("make a cache: %w", err)
	}
	c := &Cache{vectors: newVectors(o.MaxVectorBytes), now: o.Now, maxEntry: o.MaxEntry}
	c.askers.New = func() any { return newAsker() }
	c.flights.open, c.flights.max = map[key]*Flight{}, flightFactor*o.MaxEntry
	c.flights.room.Store(flightRoom)
	c.redisFuse = &fuse{part: "redis", rest: redisRest, now: o.Now, log: o.Log}
	c.embedFuse = &fuse{part: "embedder", rest: embedRest, now: o.Now, log: o.Log}
	if o.Redis != nil {
		c.shelf = newRedis(o.Redis, o.Space, codec, o.Now, c.redisFuse)
	} else {
		c.shelf = newMemory(o.MaxBytes, o.MaxEntry, codec, o.Now)
	}
	c.Configure(o.Embedder, o.Threshold)
	return c, nil
}

// Find looks for the answer of q by its key and, in Smart mode, by its normalised text. An answer older than maxAge is
// none. Redis away is a miss, never an error.
func (c *Cache) Find(ctx context.Context, q *Question, maxAge time.Duration) (*Entry, How) {
	e, how := c.find(ctx, q, maxAge)
	if e == nil {
		c.count.misses.Add(1)
	} else {
		c.count.found[how].Add(1)
	}
	return e, how
}

func (c *Cache) find(ctx context.Context, q *Question, maxAge time.Duration) (*Entry, How) {
	if maxAge <= 0 {
		return nil, Missed
	}
	return c.shelf.find(ctx, q, c.now().Add(-min(maxAge, math.MaxInt64/4)))
}

// Store keeps the answer of q for ttl. e must be complete and successful; nothing of it is kept, all is copied. Not
// stored are bodies that are empty or above the limit, and streams without their end. A question that was found in vain
// is stored under the generation of that time, so that a purge in between holds.
func (c *Cache) Store(ctx context.Context, q *Question, e *Entry, ttl time.Duration) {
	switch {
	case ttl <= 0 || len(e.Body) == 0:
		return
	case len(e.Body) > c.maxEntry:
		c.count.tooLarge.Add(1)
		return
	case e.Stream && !q.stream(e.Body):
		c.count.cutDown.Add(1)
		return
	}
	if !q.asked {
		c.shelf.settle(ctx, q)
	}
	if !c.shelf.put(ctx, q, e, ttl) {
		return
	}
	q.storedAt = c.now()
	q.keptUntil = q.storedAt.Add(min(ttl, math.MaxInt64/4))
	c.count.stores.Add(1)
}

// Purge makes all entries of a tenant unfindable at once, on all replicas, those of calls under way included. In
// process they are gone; in Redis they expire.
func (c *Cache) Purge(ctx context.Context, tenant int64) error {
	c.vectors.drop(func(b *bucket, _ *point) bool { return b.tenant == tenant })
	return c.shelf.purge(ctx, tenant)
}

// sweepEvery is how often what has expired is taken out; it is not found before, either.
const sweepEvery = time.Minute

// Run takes out what has expired, until ctx ends.
func (c *Cache) Run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			c.sweep()
		}
	}
}

func (c *Cache) sweep() {
	now := c.now()
	c.shelf.sweep()
	c.vectors.drop(func(_ *bucket, p *point) bool { return !p.expires.After(now) })
}

// Health is why Redis is not used at the moment, or nil.
func (c *Cache) Health() error { return c.redisFuse.health() }

// Stats are figures since the start, but for those said to be of now.
type Stats struct {
	ByExact, ByNormalised, ByLikeness int64 // answers found
	Misses                            int64 // questions without, those that were coalesced included
	Coalesced                         int64 // callers that followed another's call
	Stores                            int64
	TooLarge, CutDown                 int64 // answers not stored: above the limit, streams without their end
	Evictions                         int64 // in process, for want of room
	EmbedErrors, RedisErrors          int64

	Bytes, Entries       int64 // now, in process; an entry found by two names counts twice
	Vectors, VectorBytes int64 // now
	Flights              int64 // now
}

// Stats tells the figures.
func (c *Cache) Stats() (s Stats) {
	n := &c.count
	s.ByExact, s.ByNormalised, s.ByLikeness = n.found[ByExact].Load(), n.found[ByNormalised].Load(), n.found[ByLikeness].Load()
	s.Misses, s.Coalesced, s.Stores = n.misses.Load(), n.coalesced.Load(), n.stores.Load()
	s.TooLarge, s.CutDown, s.EmbedErrors = n.tooLarge.Load(), n.cutDown.Load(), n.embedErrors.Load()
	s.Flights = c.flights.len()
	c.shelf.tell(&s)
	c.vectors.tell(&s)
	return s
}
