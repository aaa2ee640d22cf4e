package breaker

import (
	"sync"
	"sync/atomic"
)

// changes are told outside all locks, in order and once each: whoever finds none telling tells what has come up, also
// for those who add meanwhile.
type changes struct {
	provider int64
	tell     func(Change)
	untold   atomic.Int32 // length of queue, for the many calls that change nothing

	mu      sync.Mutex
	queue   []Change
	telling bool
}

func (o *changes) add(c Change) {
	if o.tell == nil {
		return
	}
	c.Provider = o.provider
	o.mu.Lock()
	defer o.mu.Unlock()
	o.queue = append(o.queue, c)
	o.untold.Add(1)
}

func (o *changes) flush() {
	if o.untold.Load() == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.telling {
		return
	}
	o.telling = true
	defer func() { o.telling = false }() // also when tell panics: others must still be told
	for len(o.queue) > 0 {
		c := o.queue[0]
		o.queue = o.queue[1:]
		o.untold.Add(-1)
		o.tellOne(c)
	}
}

func (o *changes) tellOne(c Change) {
	o.mu.Unlock()
	defer o.mu.Lock()
	o.tell(c)
}
