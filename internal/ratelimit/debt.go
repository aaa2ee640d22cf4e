package ratelimit

import "time"

// unit is what one request or token adds to a debt. With it a limit of n a minute pays back exactly n each millisecond,
// so that all figures are whole numbers.
const unit = int64(time.Minute / time.Millisecond)

// Limits above most are held to be most, and debts no larger than mostDebt: Lua's numbers are exact up to there.
const (
	most     = int64(1) << 36
	mostDebt = int64(1) << 53
)

// longest is how many minutes a debt may last: a provider that reports nonsense must not shut a customer out for years.
const longest = int64(24 * time.Hour / time.Minute)

// parallelWait is when a caller without a free place should try again: nobody knows when a call will end.
const parallelWait = time.Second

func (l Limits) requests() int64 { return clamp(l.Requests) }
func (l Limits) tokens() int64   { return clamp(l.Tokens) }
func (l Limits) parallel() int64 { return clamp(l.Parallel) }

func clamp(limit int) int64 { return min(max(int64(limit), 0), most) }

// aged is a debt after so many milliseconds at the limit it was made at, to be held against limit from now on.
func aged(debt, was, limit, elapsed int64) int64 {
	switch {
	case debt == 0 || elapsed > 0 && elapsed >= debt/max(was, 1)+1:
		debt = 0
	case elapsed > 0:
		debt = max(debt-was*elapsed, 0)
	}
	if was != limit {
		// Nobody should wait longer than a minute for having been given another limit.
		debt = min(debt, limit*unit)
	}
	return debt
}

// owe adds to a debt at this limit, or takes from it.
func owe(debt, more, limit int64) int64 {
	return min(max(debt+more, 0), limit*unit*longest, mostDebt)
}

// standing is how one scope stands at one instant.
type standing struct {
	requests, tokens int64 // debts
	calls            int64 // under way
}

// asks is how many tokens the call takes from the scope: one larger than a whole minute's allowance may go when the
// allowance is whole.
func (c *Claim) asks(s *Scope) int64 { return min(c.Tokens, s.Limits.tokens()) }

// refusal is nil where the call fits into all its scopes.
func (c *Claim) refusal(stands *[3]standing) *Refused {
	var last Refused
	for i := range c.Scopes {
		s, at := &c.Scopes[i], &stands[i]
		if n := s.Limits.parallel(); n > 0 && at.calls >= n {
			last.orLonger(Refused{Parallel, s.Kind, s.Limits.Parallel, 1, parallelWait})
		}
		if wait := waitFor(at.requests, s.Limits.requests(), 1); wait > 0 {
			last.orLonger(Refused{Requests, s.Kind, s.Limits.Requests, 1, wait})
		}
		if wait := waitFor(at.tokens, s.Limits.tokens(), c.asks(s)); wait > 0 {
			last.orLonger(Refused{Tokens, s.Kind, s.Limits.Tokens, c.Tokens, wait})
		}
	}
	if last.RetryAfter == 0 {
		return nil
	}
	r := last // only what is refused is allocated
	return &r
}

func (r *Refused) orLonger(other Refused) {
	if other.RetryAfter > r.RetryAfter {
		*r = other
	}
}

// waitFor is how long n more must wait; 0: they may go now.
func waitFor(debt, limit, n int64) time.Duration {
	over := debt + n*unit - limit*unit
	if limit == 0 || over <= 0 {
		return 0
	}
	return payment(over, limit)
}

// payment is how long a debt takes to be gone, in whole milliseconds.
func payment(debt, limit int64) time.Duration {
	return time.Duration((debt+limit-1)/limit) * time.Millisecond
}

// status tells the least that is left of requests and of tokens.
func (c *Claim) status(stands *[3]standing) Status {
	all := unlimited
	for i := range c.Scopes {
		limits, at := c.Scopes[i].Limits, &stands[i]
		if n := limits.requests(); n > 0 {
			tighter(&all.RequestLimit, &all.RequestsLeft, &all.RequestReset, at.requests, n)
		}
		if n := limits.tokens(); n > 0 {
			tighter(&all.TokenLimit, &all.TokensLeft, &all.TokenReset, at.tokens, n)
		}
	}
	return all
}

// tighter replaces limit, left and reset by those of another scope where that has less left; where it has as much, by
// those of the one that takes longer to be whole.
func tighter(limit, left *int, reset *time.Duration, debt, other int64) {
	otherLeft, otherReset := int(max(other*unit-debt, 0)/unit), payment(debt, other)
	if otherLeft < *left || otherLeft == *left && otherReset > *reset || *limit == Unlimited {
		*limit, *left, *reset = int(other), otherLeft, otherReset
	}
}

// held is what an admitted call took from one scope's tokens.
type held struct {
	meter  *meter // in process only
	limit  int64
	tokens int64 // reserved
	debt   int64 // right after
}

// correction is what a call's true tokens change in the scope's debt, so many milliseconds after it was admitted. What
// was reserved in vain is given back only as far as it has not grown back by itself: to give it twice would let more
// through in some minute than the limit.
func (h *held) correction(tokens, elapsed int64) int64 {
	if h.limit == 0 {
		return 0
	}
	more := min(max(tokens, 0), mostDebt/unit) - h.tokens
	if more >= 0 {
		return more * unit
	}
	return -min(-more*unit, aged(h.debt, h.limit, h.limit, elapsed))
}
