package breaker

import (
	"cmp"
	"slices"
	"time"
)

// Route is one way to answer a call.
type Route struct {
	Priority   int // lowest first
	Weight     int // share among those of one priority; below 1 counts as 1
	Ready      bool
	RetryAfter time.Duration // when not Ready: what Guard.Ready told
}

// Order gives the indexes of the routes to try, in order: lowest priority first, within one priority random by weight.
// Routes that are not ready are left out; when none is, the soonest alone is given, so that its refusal is what the
// caller hears. random gives numbers in [0, 1).
func Order(routes []Route, random func() float64) []int {
	order := make([]int, 0, len(routes))
	for i, r := range routes {
		if r.Ready {
			order = append(order, i)
		}
	}
	if len(order) == 0 && len(routes) > 0 {
		return append(order, soonest(routes))
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(routes[a].Priority, routes[b].Priority) })
	for rest := order; len(rest) > 0; {
		n := 1
		for n < len(rest) && routes[rest[n]].Priority == routes[rest[0]].Priority {
			n++
		}
		shuffle(rest[:n], routes, random)
		rest = rest[n:]
	}
	return order
}

// soonest is the index of the route that is ready first; of equal ones, that of the lowest priority.
func soonest(routes []Route) int {
	best := 0
	for i, r := range routes {
		b := routes[best]
		if cmp.Or(cmp.Compare(r.RetryAfter, b.RetryAfter), cmp.Compare(r.Priority, b.Priority)) < 0 {
			best = i
		}
	}
	return best
}

// shuffle draws one after the other, each with its weight's share of what is left.
func shuffle(group []int, routes []Route, random func() float64) {
	total := 0
	for _, i := range group {
		total += weight(routes[i])
	}
	for at := 0; at < len(group)-1; at++ {
		drawn, n := int(random()*float64(total)), at
		for n < len(group)-1 && drawn >= weight(routes[group[n]]) {
			drawn -= weight(routes[group[n]])
			n++
		}
		group[at], group[n] = group[n], group[at]
		total -= weight(routes[group[at]])
	}
}

func weight(r Route) int { return max(r.Weight, 1) }
