package cache

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// memory keeps entries in process, bounded by bytes. What goes first is decided by SIEVE (Zhang et al., NSDI '24): a
// hit only sets a mark, and what nobody asked for twice does not push out what many did.
type memory struct {
	codec  codec
	now    func() time.Time
	shards []shard

	mu          sync.RWMutex
	generations map[int64]uint64 // of tenants that were purged
}

type shard struct {
	mu        sync.Mutex
	nodes     map[key]*node
	newest    *node
	oldest    *node
	hand      *node
	bytes     int64
	max       int64
	evictions atomic.Int64
}

// node is an entry, or another name of one.
type node struct {
	newer, older *node
	key          key
	tenant       int64
	generation   uint64
	expires      int64 // Unix nanoseconds
	size         int64
	entry        *Entry // nil for a name
	target       key    // whose name it is
	zipped       bool
	seen         bool
}

// nodeSize is what a node takes besides its body: node, Entry, its strings' rounding and its place in the map.
const nodeSize = 400

func newMemory(maxBytes int64, maxEntry int, codec codec, now func() time.Time) *memory {
	n := 16
	for n > 1 && maxBytes/int64(n) < 4*int64(maxEntry) {
		n /= 2
	}
	m := &memory{codec: codec, now: now, shards: make([]shard, n), generations: map[int64]uint64{}}
	for i := range m.shards {
		m.shards[i].nodes, m.shards[i].max = map[key]*node{}, maxBytes/int64(n)
	}
	return m
}

func (m *memory) shard(k *key) *shard { return &m.shards[int(k[0])%len(m.shards)] }

// settle learns the tenant's generation. Entries of another are not found.
func (m *memory) settle(_ context.Context, q *Question) {
	m.mu.RLock()
	q.generation, q.asked = m.generations[q.tenant], true
	m.mu.RUnlock()
}

func (m *memory) find(ctx context.Context, q *Question, notBefore time.Time) (*Entry, How) {
	m.settle(ctx, q)
	if e := m.open(m.look(q, &q.exact, notBefore)); e != nil {
		return e, ByExact
	}
	if q.hasAlias() {
		if name := m.look(q, &q.alias, time.Time{}); name != nil {
			if e := m.fetch(ctx, q, name.target, notBefore); e != nil {
				return e, ByNormalised
			}
		}
	}
	return nil, Missed
}

func (m *memory) fetch(_ context.Context, q *Question, k key, notBefore time.Time) *Entry {
	return m.open(m.look(q, &k, notBefore))
}

// look gives the node of a key, which is never changed but for what its shard's lock guards.
func (m *memory) look(q *Question, k *key, notBefore time.Time) *node {
	now := m.now().UnixNano()
	s := m.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.nodes[*k]
	if n == nil {
		return nil
	}
	if n.expires <= now || n.generation != q.generation {
		if n.expires <= now {
			s.remove(n)
		}
		return nil
	}
	if n.entry != nil && n.entry.StoredAt.Before(notBefore) {
		return nil
	}
	n.seen = true
	return n
}

// open gives a node's entry in the clear.
func (m *memory) open(n *node) *Entry {
	if n == nil || n.entry == nil || !n.zipped {
		if n == nil {
			return nil
		}
		return n.entry
	}
	e := *n.entry
	var err error
	if e.Body, err = m.codec.unpack(e.Body); err != nil {
		return nil
	}
	return &e
}

func (m *memory) put(_ context.Context, q *Question, e *Entry, ttl time.Duration) bool {
	expires := m.now().UnixNano() + min(int64(ttl), math.MaxInt64/4)
	n := &node{key: q.exact, tenant: q.tenant, generation: q.generation, expires: expires}
	entry := e.own(m.now())
	entry.Body, n.zipped = m.codec.pack(e.Body)
	n.entry = &entry
	n.size = nodeSize + int64(len(entry.Body)+len(entry.ContentType)+len(entry.Model))
	if !m.shard(&n.key).add(n) {
		return false
	}
	if q.hasAlias() {
		name := &node{key: q.alias, tenant: q.tenant, generation: q.generation, expires: expires, target: q.exact, size: nodeSize}
		m.shard(&name.key).add(name)
	}
	return true
}

func (m *memory) purge(_ context.Context, tenant int64) error {
	m.mu.Lock()
	m.generations[tenant]++ // what is still being answered was asked before, and is not found any more
	m.mu.Unlock()
	m.drop(func(n *node) bool { return n.tenant == tenant })
	return nil
}

// sweep drops what has expired.
func (m *memory) sweep() {
	now := m.now().UnixNano()
	m.drop(func(n *node) bool { return n.expires <= now })
}

func (m *memory) drop(gone func(*node) bool) {
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		for n := s.oldest; n != nil; {
			next := n.newer
			if gone(n) {
				s.remove(n)
			}
			n = next
		}
		s.mu.Unlock()
	}
}

func (m *memory) tell(s *Stats) {
	for i := range m.shards {
		shard := &m.shards[i]
		shard.mu.Lock()
		s.Bytes += shard.bytes
		s.Entries += int64(len(shard.nodes))
		shard.mu.Unlock()
		s.Evictions += shard.evictions.Load()
	}
}

// add puts a node in, in place of another of its key, and makes room for it.
func (s *shard) add(n *node) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.nodes[n.key]; old != nil {
		s.remove(old)
	}
	if n.size > s.max {
		return false
	}
	for s.bytes+n.size > s.max {
		s.evict()
	}
	s.nodes[n.key] = n
	s.bytes += n.size
	n.older = s.newest
	if s.newest != nil {
		s.newest.newer = n
	} else {
		s.oldest = n
	}
	s.newest = n
	return true
}

// evict drops the next node, from old to new and round again, that nobody asked for since the hand passed it last.
func (s *shard) evict() {
	n := s.hand
	if n == nil {
		n = s.oldest
	}
	for n.seen {
		n.seen = false
		if n = n.newer; n == nil {
			n = s.oldest
		}
	}
	s.hand = n.newer
	s.remove(n)
	s.evictions.Add(1)
}

func (s *shard) remove(n *node) {
	if s.hand == n {
		s.hand = n.newer
	}
	if n.newer != nil {
		n.newer.older = n.older
	} else {
		s.newest = n.older
	}
	if n.older != nil {
		n.older.newer = n.newer
	} else {
		s.oldest = n.newer
	}
	delete(s.nodes, n.key)
	s.bytes -= n.size
	n.newer, n.older = nil, nil
}
