package cache

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// redis keeps entries in Redis, which all replicas share. A tenant's keys have one hash tag, so that they are in one
// place in a cluster, and all keys begin with the installation's space: <space>cache:{t42}:g is the generation of its
// entries, …:c:<generation>:<sum> an entry, and …:n:<generation>:<sum> another name of one. A generation is drawn by chance, never counted: should Redis forget
// it, a count would begin anew and bring back what was purged.
type redis struct {
	client  rueidis.Client
	space   string
	codec   codec
	now     func() time.Time
	fuse    *fuse
	errors  atomic.Int64
	refused atomic.Bool // it was said that Redis refuses something
	// patience bounds every command of a call.
	patience time.Duration

	mu          sync.RWMutex
	generations map[int64]uint64 // as last seen; every look-up checks it
}

// redisPatience bounds every command: a slow cache is worse than none. redisRest is for how long it is then left alone.
// A purge is waited for: somebody wants to know that it was done.
const (
	redisPatience = 100 * time.Millisecond
	redisRest     = time.Second
	purgePatience = 5 * time.Second
)

func newRedis(client rueidis.Client, space string, codec codec, now func() time.Time, fuse *fuse) *redis {
	return &redis{client: client, space: space, codec: codec, now: now, fuse: fuse, patience: redisPatience, generations: map[int64]uint64{}}
}

func (r *redis) prefix(tenant int64) string {
	return r.space + "cache:{t" + strconv.FormatInt(tenant, 10) + "}:"
}

func (r *redis) generationKey(tenant int64) string { return r.prefix(tenant) + "g" }

func (r *redis) nameOf(q *Question, kind string, k *key) string {
	return r.prefix(q.tenant) + kind + ":" + strconv.FormatUint(q.generation, 36) + ":" + base64.RawURLEncoding.EncodeToString(k[:])
}

// do sends commands. ok is false where there is no answer to all of them.
func (r *redis) do(ctx context.Context, cmds ...rueidis.Completed) (results []rueidis.RedisResult, ok bool) {
	if !r.fuse.whole() {
		return nil, false
	}
	limited, cancel := context.WithTimeout(ctx, r.patience)
	defer cancel()
	if len(cmds) == 1 {
		results = []rueidis.RedisResult{r.client.Do(limited, cmds[0])}
	} else {
		results = r.client.DoMulti(limited, cmds...)
	}
	ok = true
	for _, result := range results {
		err := result.NonRedisError()
		if r.fuse.heed(ctx, err); err != nil {
			r.errors.Add(1)
			return nil, false
		}
		// An error of its own, such as a full memory, is an answer: what can be read can still be read.
		if err := result.Error(); err != nil && !rueidis.IsRedisNil(err) {
			r.errors.Add(1)
			ok = false
			if !r.refused.Swap(true) {
				r.fuse.log.Warn("cache: refused", "part", r.fuse.part, "err", err)
			}
		}
	}
	return results, ok
}

func (r *redis) known(tenant int64) uint64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.generations[tenant]
}

func (r *redis) learn(q *Question, generation uint64) {
	q.generation = generation
	r.mu.Lock()
	r.generations[q.tenant] = generation
	r.mu.Unlock()
}

// settle learns the tenant's generation, and draws one where there is none.
func (r *redis) settle(ctx context.Context, q *Question) {
	q.asked = true
	var drawn [8]byte
	_, _ = rand.Read(drawn[:]) // never fails
	fresh := binary.BigEndian.Uint64(drawn[:]) | 1
	name := r.generationKey(q.tenant)
	results, ok := r.do(ctx,
		r.client.B().Set().Key(name).Value(strconv.FormatUint(fresh, 36)).Nx().Build(), r.client.B().Get().Key(name).Build())
	if !ok {
		return
	}
	if generation, ok := asGeneration(results[1].ToMessage()); ok {
		r.learn(q, generation)
	}
}

func asGeneration(m rueidis.RedisMessage, err error) (uint64, bool) {
	if err != nil {
		return 0, false
	}
	text, err := m.ToString()
	if err != nil {
		return 0, false
	}
	generation, err := strconv.ParseUint(text, 36, 64)
	return generation, err == nil && generation != 0
}

// find makes one round trip, where another replica has not purged the tenant since the last one.
func (r *redis) find(ctx context.Context, q *Question, notBefore time.Time) (*Entry, How) {
	q.asked, q.generation = true, r.known(q.tenant)
	if q.generation == 0 {
		if r.settle(ctx, q); q.generation == 0 {
			return nil, Missed
		}
	}
	for range 2 {
		values, ok := r.read(ctx, q)
		if !ok {
			q.generation = 0 // unknown: nothing is stored either
			return nil, Missed
		}
		generation, ok := asGeneration(values[0], nil)
		if !ok {
			r.settle(ctx, q)
			return nil, Missed
		}
		if generation == q.generation {
			return r.choose(ctx, q, values[1:], notBefore)
		}
		r.learn(q, generation)
	}
	return nil, Missed
}

// read gets the generation, the entry and its name.
func (r *redis) read(ctx context.Context, q *Question) ([]rueidis.RedisMessage, bool) {
	names := append(make([]string, 0, 3), r.generationKey(q.tenant), r.nameOf(q, "c", &q.exact))
	if q.hasAlias() {
		names = append(names, r.nameOf(q, "n", &q.alias))
	}
	results, ok := r.do(ctx, r.client.B().Mget().Key(names...).Build())
	if !ok {
		return nil, false
	}
	values, err := results[0].ToArray()
	return values, err == nil && len(values) == len(names)
}

func (r *redis) choose(ctx context.Context, q *Question, values []rueidis.RedisMessage, notBefore time.Time) (*Entry, How) {
	if e := r.open(&values[0], notBefore); e != nil {
		return e, ByExact
	}
	if len(values) > 1 && !values[1].IsNil() {
		if target, err := values[1].ToString(); err == nil && len(target) == len(key{}) {
			if e := r.fetch(ctx, q, key([]byte(target)), notBefore); e != nil {
				return e, ByNormalised
			}
		}
	}
	return nil, Missed
}

func (r *redis) fetch(ctx context.Context, q *Question, k key, notBefore time.Time) *Entry {
	if q.generation == 0 {
		return nil
	}
	results, ok := r.do(ctx, r.client.B().Get().Key(r.nameOf(q, "c", &k)).Build())
	if !ok {
		return nil
	}
	m, err := results[0].ToMessage()
	if err != nil {
		return nil
	}
	return r.open(&m, notBefore)
}

func (r *redis) open(m *rueidis.RedisMessage, notBefore time.Time) *Entry {
	if m.IsNil() {
		return nil
	}
	b, err := m.AsBytes()
	if err != nil {
		return nil
	}
	e, err := r.codec.unmarshal(b)
	if err != nil {
		r.errors.Add(1)
		return nil
	}
	if e.StoredAt.Before(notBefore) {
		return nil
	}
	return e
}

func (r *redis) put(ctx context.Context, q *Question, e *Entry, ttl time.Duration) bool {
	if q.generation == 0 {
		return false
	}
	entry := e.own(r.now())
	ttl = max(ttl, time.Millisecond)
	cmds := []rueidis.Completed{
		r.client.B().Set().Key(r.nameOf(q, "c", &q.exact)).Value(rueidis.BinaryString(r.codec.marshal(&entry))).Px(ttl).Build(),
	}
	if q.hasAlias() {
		cmds = append(cmds, r.client.B().Set().Key(r.nameOf(q, "n", &q.alias)).Value(rueidis.BinaryString(q.exact[:])).Px(ttl).Build())
	}
	_, ok := r.do(ctx, cmds...)
	return ok
}

// purge forgets the generation: what was stored under it is not found any more, wherever it is asked for, and expires.
func (r *redis) purge(ctx context.Context, tenant int64) error {
	ctx, cancel := context.WithTimeout(ctx, purgePatience)
	defer cancel()
	if err := r.client.Do(ctx, r.client.B().Del().Key(r.generationKey(tenant)).Build()).Error(); err != nil {
		return fmt.Errorf("purge the cache of tenant %d: %w", tenant, err)
	}
	return nil
}

func (r *redis) sweep() {} // Redis does

func (r *redis) tell(s *Stats) { s.RedisErrors = r.errors.Load() }
