package openaitest

import (
	"hash/maphash"
	"sync"

	"github.com/tidwall/gjson"
)

// OpenAI reuses the work of a prompt that begins like an earlier one, from 1,024 tokens on and in steps of 128.
const (
	cacheFrom = 1_024
	cacheStep = 128
	// maxPrompts bounds the memory: the cache is emptied when it is full.
	maxPrompts = 4_096
)

// promptCache remembers the token counts of long prompts by a hash of their messages.
type promptCache struct {
	mu   sync.Mutex
	seed maphash.Seed
	seen map[uint64]int
}

// cached returns how many of a prompt's tokens were seen in an earlier one, and remembers this one.
func (p *promptCache) cached(model string, messages []gjson.Result, tokens int) int {
	if tokens < cacheFrom {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seen == nil || len(p.seen) >= maxPrompts {
		p.seed, p.seen = maphash.MakeSeed(), make(map[uint64]int)
	}
	var h maphash.Hash
	h.SetSeed(p.seed)
	h.WriteString(model)
	known := 0
	for _, message := range messages {
		h.WriteString(message.Raw)
		known = max(known, p.seen[h.Sum64()])
	}
	p.seen[h.Sum64()] = tokens
	if known < cacheFrom {
		return 0
	}
	return min(known, tokens-1) / cacheStep * cacheStep
}
