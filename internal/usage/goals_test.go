package usage

import "testing"

func TestGoalReachedStaysWithinItsBar(t *testing.T) {
	g := Goal{From: 10, To: 25}
	for actual, want := range map[int64]float64{-3: 0, 0: 0, 10: 0.4, 25: 1, 99: 1} {
		if got := g.Reached(actual); got != want {
			t.Errorf("%d reaches %v, want %v", actual, got, want)
		}
	}
	if got := (Goal{}).Reached(0); got != 1 {
		t.Errorf("no target is reached to %v, want 1", got)
	}
}
