package cache

import (
	"container/list"
	"math"
	"slices"
	"sync"
	"time"
)

// vectors are the texts of stored answers, as points. Only those in one bucket are compared: of one tenant, endpoint,
// request without its text, and with the same words that turn a meaning. The texts themselves are not kept.
type vectors struct {
	max int64 // bytes

	mu      sync.Mutex
	bytes   int64
	count   int64
	buckets map[key]*list.Element
	used    *list.List // of *bucket, the latest in front
}

type bucket struct {
	key    key
	tenant int64
	points []*point // the newest last; never changed in place, so that it can be read without the lock
}

// point is one text. It is never changed.
type point struct {
	vector   []float32 // of length 1
	wording  wording
	target   key // its answer
	storedAt time.Time
	expires  time.Time
}

// maxBucket is how many points a question is compared with, the newest: a millisecond's work.
const maxBucket = 1000

// pointSize is what a point takes besides its vector, a bucket of its own included.
const pointSize = 400

func (p *point) size() int64 { return pointSize + 4*int64(len(p.vector)) }

func newVectors(maxBytes int64) *vectors {
	return &vectors{max: maxBytes, buckets: map[key]*list.Element{}, used: list.New()}
}

// in gives the points of a bucket.
func (v *vectors) in(k key) []*point {
	v.mu.Lock()
	defer v.mu.Unlock()
	e := v.buckets[k]
	if e == nil {
		return nil
	}
	v.used.MoveToFront(e)
	return e.Value.(*bucket).points
}

// add puts a point in, in place of another of the same answer, and makes room for it.
func (v *vectors) add(k key, tenant int64, p *point) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if p.size() > v.max {
		return
	}
	e := v.buckets[k]
	if e == nil {
		e = v.used.PushFront(&bucket{key: k, tenant: tenant})
		v.buckets[k] = e
	}
	v.used.MoveToFront(e)
	points := append(without(e.Value.(*bucket).points, func(o *point) bool { return o.target == p.target }), p)
	v.set(e, points[max(len(points)-maxBucket, 0):])
	for v.bytes > v.max {
		oldest := v.used.Back()
		points := oldest.Value.(*bucket).points
		v.set(oldest, slices.Clone(points[(len(points)+1)/2:]))
	}
}

// drop takes out points that are gone.
func (v *vectors) drop(gone func(*bucket, *point) bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, e := range v.buckets {
		b := e.Value.(*bucket)
		if keep := without(b.points, func(p *point) bool { return gone(b, p) }); len(keep) < len(b.points) {
			v.set(e, keep)
		}
	}
}

// forget takes one answer's point out of a bucket.
func (v *vectors) forget(k, target key) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if e := v.buckets[k]; e != nil {
		v.set(e, without(e.Value.(*bucket).points, func(p *point) bool { return p.target == target }))
	}
}

// set gives a bucket its points and keeps the account. An empty bucket is taken out.
func (v *vectors) set(e *list.Element, points []*point) {
	b := e.Value.(*bucket)
	for _, p := range b.points {
		v.bytes -= p.size()
	}
	for _, p := range points {
		v.bytes += p.size()
	}
	v.count += int64(len(points) - len(b.points))
	b.points = points
	if len(points) == 0 {
		v.used.Remove(e)
		delete(v.buckets, b.key)
	}
}

// without makes a new slice of the points that are not gone.
func without(points []*point, gone func(*point) bool) []*point {
	kept := make([]*point, 0, len(points)+1)
	for _, p := range points {
		if !gone(p) {
			kept = append(kept, p)
		}
	}
	return kept
}

func (v *vectors) tell(s *Stats) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s.Vectors, s.VectorBytes = v.count, v.bytes
}

// unit gives a vector the length 1; false where it has none.
func unit(vector []float32) ([]float32, bool) {
	var sum float64
	for _, x := range vector {
		sum += float64(x) * float64(x)
	}
	if length := math.Sqrt(sum); length > 0 && !math.IsInf(length, 0) {
		u := make([]float32, len(vector))
		for i, x := range vector {
			u[i] = float32(float64(x) / length)
		}
		return u, true
	}
	return nil, false // NaN comes here, too
}

// dot is the cosine of two vectors of length 1; -1 where they are of different spaces. Four sums at a time let the
// processor work on all of them.
func dot(a, b []float32) float32 {
	if len(a) != len(b) {
		return -1
	}
	var s0, s1, s2, s3 float32
	for len(a) >= 4 && len(b) >= 4 {
		s0 += a[0] * b[0]
		s1 += a[1] * b[1]
		s2 += a[2] * b[2]
		s3 += a[3] * b[3]
		a, b = a[4:], b[4:]
	}
	for i := range a {
		s0 += a[i] * b[i]
	}
	return s0 + s1 + s2 + s3
}
