package breaker

import (
	"errors"
	"testing"

	"pgregory.net/rapid"
)

// crowd is a line and, beside it, a plain account of who waits in it.
type crowd struct {
	line
	calls []standing                // who wait, in the order they came
	turns map[int64]map[int64]int64 // of a waiting tenant: turns that each other had meanwhile
}

type standing struct {
	*waiter
	tenant int64
}

func (c *crowd) of(tenant int64) (n int) {
	for _, s := range c.calls {
		if s.tenant == tenant {
			n++
		}
	}
	return n
}

func (c *crowd) most() (n int) {
	for _, s := range c.calls {
		n = max(n, c.of(s.tenant))
	}
	return n
}

// gone takes call i out of the account.
func (c *crowd) gone(i int) standing {
	s := c.calls[i]
	c.calls = append(c.calls[:i:i], c.calls[i+1:]...)
	if c.of(s.tenant) == 0 {
		delete(c.turns, s.tenant)
	}
	return s
}

// served checks that it was the turn of call i.
func (c *crowd) served(t *rapid.T, i int) {
	for _, older := range c.calls[:i] {
		if older.tenant == c.calls[i].tenant {
			t.Fatalf("tenant %d: a newer call before an older", older.tenant)
		}
	}
	tenant := c.gone(i).tenant
	delete(c.turns, tenant)
	for _, s := range c.calls {
		if c.turns[s.tenant] == nil {
			c.turns[s.tenant] = map[int64]int64{}
		}
	}
	for other, turns := range c.turns {
		if turns[tenant]++; turns[tenant] > 1 && other != tenant {
			t.Fatalf("tenant %d waited while tenant %d had two turns", other, tenant)
		}
	}
}

func (c *crowd) join(t *rapid.T) {
	tenant := rapid.Int64Range(1, 4).Draw(t, "tenant")
	waited, mine, most, free := len(c.calls), c.of(tenant), c.most(), c.free()
	w, err := c.line.join(tenant)
	evicted := c.evicted(t)
	switch {
	case w == nil && err == nil:
		if waited > 0 || !free {
			t.Fatalf("took a place while %d waited (free: %v)", waited, free)
		}
	case err != nil:
		var r *Refused
		if !errors.As(err, &r) || r.Reason != LineFull || r.RetryAfter <= 0 {
			t.Fatal(err)
		}
		if waited < int(c.room) || most >= mine+2 {
			t.Fatalf("tenant %d refused with %d of its own, %d at most, %d waiting for %d", tenant, mine, most, waited, c.room)
		}
	default:
		if evicted != 0 && (waited < int(c.room) || evicted == tenant || c.of(evicted)+1 != most || most < mine+2) {
			t.Fatalf("tenant %d (%d waiting) displaced one of tenant %d (now %d)", tenant, mine, evicted, c.of(evicted))
		}
		c.calls = append(c.calls, standing{w, tenant})
	}
}

// evicted gives the tenant whose call had to make room, if any did.
func (c *crowd) evicted(t *rapid.T) int64 {
	for i, s := range c.calls {
		if s.place != nil {
			continue
		}
		if r := <-s.answer; r == nil || r.Reason != LineFull {
			t.Fatalf("answered %v by a newcomer", r)
		}
		for _, newer := range c.calls[i+1:] {
			if newer.tenant == s.tenant {
				t.Fatal("not the newest was displaced")
			}
		}
		return c.gone(i).tenant
	}
	return 0
}

func (c *crowd) leave(t *rapid.T) {
	if c.taken.Load() == 0 {
		t.Skip("nobody is in")
	}
	c.line.leave()
}

// barge joins while a place is free that its leaver has not offered to those who wait yet.
func (c *crowd) barge(t *rapid.T) {
	if c.taken.Load() == 0 || len(c.calls) == 0 {
		t.Skip("nobody waits")
	}
	c.taken.Add(-1)
	free, served := c.free(), false
	w, err := c.line.join(5)
	if w == nil && err == nil {
		t.Fatal("went before those who wait")
	}
	for i := 0; i < len(c.calls); i++ {
		if s := c.calls[i]; s.place == nil && len(s.answer) == 1 {
			if r := <-s.answer; r != nil {
				c.gone(i)
			} else {
				c.served(t, i)
				served = true
			}
			i--
		}
	}
	if served != free {
		t.Fatalf("served: %v, a place was free: %v", served, free)
	}
	if w != nil {
		c.calls = append(c.calls, standing{w, 5})
	}
}

func (c *crowd) abandon(t *rapid.T) {
	if len(c.calls) == 0 {
		t.Skip("nobody waits")
	}
	i := rapid.IntRange(0, len(c.calls)-1).Draw(t, "who")
	if !c.line.abandon(c.calls[i].waiter) {
		t.Fatal("was answered")
	}
	if c.line.abandon(c.calls[i].waiter) {
		t.Fatal("left twice")
	}
	c.gone(i)
}

func (c *crowd) resize(t *rapid.T) {
	limit := max(int(c.limit.Load())+rapid.SampledFrom([]int{-2, -1, 1}).Draw(t, "more"), 1)
	c.line.resize(&Settings{MaxParallel: limit, MaxWaiting: rapid.IntRange(0, 8).Draw(t, "room")})
}

// check takes out who was served (one at most, by any of the actions), and checks what holds at every moment.
func (c *crowd) check(t *rapid.T) {
	for i := 0; i < len(c.calls); i++ {
		if c.calls[i].place == nil {
			if r := <-c.calls[i].answer; r != nil {
				t.Fatalf("refused while it waited: %v", r)
			}
			c.served(t, i)
			i--
		}
	}
	limit, taken, waiting := c.limit.Load(), c.taken.Load(), c.waiting.Load()
	if int(waiting) != len(c.calls) || c.line.turns.Len() != len(c.queues) {
		t.Fatalf("%d wait, %d are counted; %d turns, %d queues", len(c.calls), waiting, c.line.turns.Len(), len(c.queues))
	}
	if waiting > 0 && taken < limit {
		t.Fatalf("%d wait while %d of %d places are taken", waiting, taken, limit)
	}
}

func TestLineIsFairAndForgetsNobody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &crowd{turns: map[int64]map[int64]int64{}}
		c.line.resize(&Settings{MaxParallel: 2, MaxWaiting: 6})
		highest := int64(2)
		t.Repeat(map[string]func(*rapid.T){
			"join": c.join, "join too": c.join, "leave": c.leave, "abandon": c.abandon, "resize": c.resize,
			"barge": c.barge,
			"": func(t *rapid.T) {
				highest = max(highest, c.limit.Load())
				if c.taken.Load() > highest {
					t.Fatalf("%d taken, never more than %d places", c.taken.Load(), highest)
				}
				c.check(t)
			},
		})
		// Everybody leaves; everybody who waited gets in.
		for c.taken.Load() > 0 {
			c.line.leave()
			c.check(t)
		}
		if len(c.calls) > 0 {
			t.Fatalf("%d still wait", len(c.calls))
		}
	})
}
