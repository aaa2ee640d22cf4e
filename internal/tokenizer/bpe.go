package tokenizer

import (
	"container/heap"
	"math"
)

// scanLimit is the piece length in bytes up to which a plain scan for the next merge beats a heap.
const scanLimit = 96

// unmergeable is the rank of a pair that is not in the vocabulary; no token has it.
const unmergeable = math.MaxUint32

// part is one token in the making.
type part struct {
	start int
	// rank is the rank of the token which this part and the next would form, or unmergeable.
	rank uint32
}

// merge splits a piece that is no token itself into tokens: it begins with single bytes and joins, again and again, the
// neighbours that form the lowest-ranked token, the leftmost first (byte-pair encoding). It returns one part per token,
// appended to parts; their ranks mean nothing any more.
func (e *encoding) merge(piece string, parts []part) []part {
	if len(piece) > scanLimit {
		return e.mergeLong(piece, parts)
	}
	for i := range len(piece) {
		parts = append(parts, part{start: i, rank: e.rank(piece, i, i+2)})
	}
	for {
		best, lowest := -1, uint32(unmergeable)
		for i := range parts {
			if parts[i].rank < lowest {
				best, lowest = i, parts[i].rank
			}
		}
		if best < 0 {
			return parts
		}
		parts = append(parts[:best+1], parts[best+2:]...)
		parts[best].rank = e.pairRank(piece, parts, best)
		if best > 0 {
			parts[best-1].rank = e.pairRank(piece, parts, best-1)
		}
	}
}

// pairRank is the rank of parts[i] joined with its right neighbour.
func (e *encoding) pairRank(piece string, parts []part, i int) uint32 {
	switch {
	case i+1 >= len(parts):
		return unmergeable
	case i+2 == len(parts):
		return e.rank(piece, parts[i].start, len(piece))
	}
	return e.rank(piece, parts[i].start, parts[i+2].start)
}

// rank is the rank of piece[from:to], unmergeable when that is no token or reaches beyond the end.
func (e *encoding) rank(piece string, from, to int) uint32 {
	if to <= len(piece) {
		if r, ok := e.ranks[piece[from:to]]; ok {
			return r
		}
	}
	return unmergeable
}

// node is a part in a list linked by byte offsets; mergeLong removes from its middle in constant time.
type node struct {
	prev, next int
	rank       uint32
}

// mergeLong does what merge does in O(n log n): a run of 1 MB without a space is a legal request.
func (e *encoding) mergeLong(piece string, parts []part) []part {
	end := len(piece)
	nodes := make([]node, end)
	pairs := make(pairHeap, 0, end)
	rankAt := func(i int) uint32 {
		next := nodes[i].next
		if next == end {
			return unmergeable
		}
		return e.rank(piece, i, nodes[next].next)
	}
	for i := range nodes {
		nodes[i] = node{prev: i - 1, next: i + 1, rank: e.rank(piece, i, i+2)}
		if nodes[i].rank != unmergeable {
			pairs = append(pairs, pair{nodes[i].rank, i})
		}
	}
	heap.Init(&pairs)
	for len(pairs) > 0 {
		p := heap.Pop(&pairs).(pair)
		if nodes[p.start].rank != p.rank {
			continue // An older entry: one side has been merged since.
		}
		gone := nodes[p.start].next
		after := nodes[gone].next
		nodes[gone].rank = unmergeable
		nodes[p.start].next = after
		if after < end {
			nodes[after].prev = p.start
		}
		for _, i := range [2]int{p.start, nodes[p.start].prev} {
			if i < 0 {
				continue
			}
			if nodes[i].rank = rankAt(i); nodes[i].rank != unmergeable {
				heap.Push(&pairs, pair{nodes[i].rank, i})
			}
		}
	}
	for i := 0; i < end; i = nodes[i].next {
		parts = append(parts, part{start: i})
	}
	return parts
}

// pair is a possible merge: the token rank it would make and where its left part starts.
type pair struct {
	rank  uint32
	start int
}

// pairHeap orders possible merges by rank, then from left to right.
type pairHeap []pair

func (h pairHeap) Len() int      { return len(h) }
func (h pairHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h pairHeap) Less(i, j int) bool {
	return h[i].rank < h[j].rank || h[i].rank == h[j].rank && h[i].start < h[j].start
}
func (h *pairHeap) Push(p any) { *h = append(*h, p.(pair)) }
func (h *pairHeap) Pop() any {
	last := len(*h) - 1
	p := (*h)[last]
	*h = (*h)[:last]
	return p
}
