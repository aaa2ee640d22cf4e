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
	a := Totals{1, 2, Tokens{3, 4, 5, 6}, 7, 8}
	want := Totals{2, 4, Tokens{6, 8, 10, 12}, 14, 16}
	if got := a.Add(a); got != want {
		t.Errorf("%+v, want %+v", got, want)
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
