package breaker

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func seeded() func() float64 { return rand.New(rand.NewPCG(3, 4)).Float64 }

func TestOrderFollowsPriorityAndWeight(t *testing.T) {
	routes := []Route{
		{Priority: 2, Weight: 1000, Ready: true},
		{Priority: 1, Weight: 6, Ready: true},
		{Priority: 1, Weight: 3, Ready: true},
		{Priority: 1, Weight: 0, Ready: true}, // counts as 1
		{Priority: 0, Weight: 1, Ready: false},
	}
	const rounds = 100_000
	var first, second [5]int
	random := seeded()
	for range rounds {
		order := Order(routes, random)
		if len(order) != 4 || order[3] != 0 {
			t.Fatalf("%v", order)
		}
		first[order[0]]++
		second[order[1]]++
	}
	near := func(what string, got int, want float64) {
		t.Helper()
		if share := float64(got) / rounds; math.Abs(share-want) > 0.01 {
			t.Errorf("%s: %.3f of the draws, want %.3f", what, share, want)
		}
	}
	near("6 of 10 first", first[1], 0.6)
	near("3 of 10 first", first[2], 0.3)
	near("1 of 10 first", first[3], 0.1)
	near("6 second", second[1], 0.3*6/7+0.1*6/9)
	near("3 second", second[2], 0.6*3/4+0.1*3/9)
}

func TestOrderGivesTheSoonestWhenNoneIsReady(t *testing.T) {
	routes := []Route{
		{Priority: 0, RetryAfter: time.Minute},
		{Priority: 3, RetryAfter: time.Second},
		{Priority: 2, RetryAfter: time.Second},
	}
	if got := Order(routes, seeded()); !slices.Equal(got, []int{2}) {
		t.Fatalf("%v", got)
	}
	if got := Order(nil, seeded()); len(got) != 0 {
		t.Fatalf("%v", got)
	}
}

func TestOrderHasEachReadyRouteOnceByPriority(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		routes := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Route {
			return Route{rapid.IntRange(-1, 2).Draw(t, "p"), rapid.IntRange(-1, 5).Draw(t, "w"), rapid.Bool().Draw(t, "r"), 0}
		}), 0, 8).Draw(t, "routes")
		order := Order(routes, func() float64 { return rapid.Float64Range(0, 0.999999).Draw(t, "random") })
		var ready []int
		for i, r := range routes {
			if r.Ready {
				ready = append(ready, i)
			}
		}
		if len(ready) == 0 {
			if len(order) != min(len(routes), 1) {
				t.Fatalf("%v of none ready", order)
			}
			return
		}
		if !slices.IsSortedFunc(order, func(a, b int) int { return routes[a].Priority - routes[b].Priority }) {
			t.Fatalf("%v is not by priority", order)
		}
		slices.Sort(order)
		if !slices.Equal(order, ready) {
			t.Fatalf("%v, ready are %v", order, ready)
		}
	})
}
