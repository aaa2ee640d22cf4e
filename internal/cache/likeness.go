package cache

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"
)

// Embedder turns texts into vectors whose cosine tells how much alike they are.
type Embedder interface {
	// Name tells embedders apart, such as by provider, model and dimensions: vectors of two names are never compared.
	Name() string
	// Embed gives the vector of a text and the tokens that were spent on it, also with an error.
	Embed(ctx context.Context, text string) (vector []float32, tokens int64, err error)
}

// DefaultThreshold is the cosine from which two texts are taken for alike. Texts that say the same in nearly the same
// words lie above 0.95 with current models; much that asks for something else lies between 0.85 and 0.93, and a wrong
// answer costs more than a second one.
const DefaultThreshold = 0.95

// likenessRule is who embeds and what is alike.
type likenessRule struct {
	Embedder
	threshold float32
}

// Configure replaces embedder and threshold (0: DefaultThreshold) while the cache is used. Without an embedder nothing
// is compared.
func (c *Cache) Configure(embedder Embedder, threshold float64) {
	if embedder == nil {
		c.likeness.Store(nil)
		c.vectors.drop(func(*bucket, *point) bool { return true })
		return
	}
	if !(threshold > 0) {
		threshold = DefaultThreshold
	}
	old := c.likeness.Swap(&likenessRule{embedder, float32(threshold)})
	if old != nil && old.Name() != embedder.Name() {
		c.vectors.drop(func(*bucket, *point) bool { return true }) // nobody will ask for them
	}
}

const (
	embedPatience = 3 * time.Second
	embedRest     = 10 * time.Second // for how long an embedder that failed is left alone
	maxTries      = 3                // how many alike answers are looked for that may have gone
)

// bucketOf says which points q may be compared with. The name of the embedder is part of it, so that no vector of
// another is ever there, and so is the generation: what was purged is not there either.
func (q *Question) bucketOf(rule *likenessRule) key {
	if q.meaning == nil {
		q.meaning = meaningOf(q.text)
	}
	b := binary.BigEndian.AppendUint64([]byte{alike}, q.generation)
	b = append(append(b, q.rest[:]...), rule.Name()...)
	return sha256.Sum256(append(append(b, 0), q.meaning.turns...))
}

// FindAlike looks again, as Find does, and then for an answer to a text like this one. It is for the leader of a
// flight: another may have stored the answer since it was looked for, and one caller's embedding serves all.
// embeddedTokens is what was spent.
func (c *Cache) FindAlike(ctx context.Context, q *Question, maxAge time.Duration) (e *Entry, how How, embeddedTokens int64) {
	if e, how = c.find(ctx, q, maxAge); e == nil {
		if e, embeddedTokens = c.findAlike(ctx, q, maxAge); e != nil {
			how = ByLikeness
		}
	}
	if e != nil {
		c.count.misses.Add(-1) // as Find took it for
		c.count.found[how].Add(1)
	}
	return e, how, embeddedTokens
}

func (c *Cache) findAlike(ctx context.Context, q *Question, maxAge time.Duration) (*Entry, int64) {
	rule := c.likeness.Load()
	if q.text == "" || rule == nil || maxAge <= 0 || !q.asked {
		return nil, 0
	}
	bucket := q.bucketOf(rule)
	points := c.vectors.in(bucket)
	if len(points) == 0 {
		return nil, 0 // nothing to compare with: no reason to embed
	}
	tokens := c.embed(ctx, q, rule)
	if q.vector == nil {
		return nil, tokens
	}
	now := c.now()
	for _, candidate := range q.like(points, rule.threshold, now, now.Add(-maxAge)) {
		if e := c.shelf.fetch(ctx, q, candidate.target, now.Add(-maxAge)); e != nil {
			return e, tokens
		}
		c.vectors.forget(bucket, candidate.target)
	}
	return nil, tokens
}

// like gives the points alike, the most alike first, no more than are worth trying.
func (q *Question) like(points []*point, threshold float32, now, notBefore time.Time) []*point {
	type scored struct {
		*point
		cosine float32
	}
	var best []scored
	for _, p := range slices.Backward(points) {
		if !p.expires.After(now) || p.storedAt.Before(notBefore) || p.wording.swapped(q.meaning.wording) {
			continue
		}
		// Rounding must not make a text unlike itself where the threshold is 1.
		if cosine := dot(p.vector, q.vector) + 1e-6; cosine >= threshold {
			best = append(best, scored{p, cosine})
		}
	}
	slices.SortStableFunc(best, func(a, b scored) int {
		if a.cosine > b.cosine {
			return -1
		}
		return 1
	})
	var chosen []*point
	for _, s := range best[:min(len(best), maxTries)] {
		chosen = append(chosen, s.point)
	}
	return chosen
}

// embed gives q its vector, unless it has it. An embedder that fails is no reason to fail.
func (c *Cache) embed(ctx context.Context, q *Question, rule *likenessRule) (tokens int64) {
	if q.vector != nil && q.embedder == rule.Name() {
		return 0
	}
	q.vector = nil
	if !c.embedFuse.whole() {
		return 0
	}
	limited, cancel := context.WithTimeout(ctx, embedPatience)
	defer cancel()
	vector, tokens, err := rule.Embed(limited, q.text)
	c.embedFuse.heed(ctx, err)
	if err != nil {
		c.count.embedErrors.Add(1)
		return tokens
	}
	if u, ok := unit(vector); ok {
		q.vector, q.embedder = u, rule.Name()
	}
	return tokens
}

// Learn makes an answer that was stored findable for texts like its own. It may call the embedder, so it is for the
// time when the client has its answer. embeddedTokens is what was spent.
func (c *Cache) Learn(ctx context.Context, q *Question) (embeddedTokens int64) {
	rule := c.likeness.Load()
	if q.text == "" || rule == nil || q.keptUntil.IsZero() {
		return 0
	}
	embeddedTokens = c.embed(ctx, q, rule)
	if q.vector == nil {
		return embeddedTokens
	}
	bucket := q.bucketOf(rule)
	c.vectors.add(bucket, q.tenant, &point{
		vector: q.vector, wording: q.meaning.wording, target: q.exact, storedAt: q.storedAt, expires: q.keptUntil,
	})
	return embeddedTokens
}
