package usage

import "testing"

func TestSuccessRateSaysNothingOfNoCalls(t *testing.T) {
	if _, ok := (Totals{}).SuccessRate(); ok {
		t.Error("a rate of no calls")
	}
	rate, ok := Totals{Requests: 200, Failures: 1}.SuccessRate()
	if !ok || rate != 0.995 {
		t.Errorf("rate %v %v, want 0.995", rate, ok)
	}
}

func TestAddSumsEveryField(t *testing.T) {
	a := Totals{1, 2, Tokens{3, 4, 5, 6}, 7, 8, 9, 10, 11, 12, 13}
	want := Totals{2, 4, Tokens{6, 8, 10, 12}, 14, 16, 18, 20, 22, 24, 26}
	if got := a.Add(a); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestAPartHalvesEveryField(t *testing.T) {
	whole := Totals{2, 4, Tokens{6, 8, 10, 12}, 14, 16, 18, 20, 22, 24, 26}
	if got, want := whole.part(1, 2), (Totals{1, 2, Tokens{3, 4, 5, 6}, 7, 8, 9, 10, 11, 12, 13}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestHitRateSaysNothingWhereTheCacheWasNotAsked(t *testing.T) {
	if _, ok := (Totals{Requests: 9}).HitRate(); ok {
		t.Error("a rate of no look-ups")
	}
	if rate, ok := (Totals{Requests: 9, CacheLookups: 4, CacheHits: 3}).HitRate(); !ok || rate != 0.75 {
		t.Errorf("rate %v %v, want 0.75", rate, ok)
	}
}

func TestChangeSaysNothingWithoutABefore(t *testing.T) {
	if _, ok := Change(5, 0); ok {
		t.Error("a change from nothing")
	}
	if ratio, ok := Change(75, 100); !ok || ratio != -0.25 {
		t.Errorf("%v %v, want -0.25", ratio, ok)
	}
}
