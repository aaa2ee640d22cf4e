package main

import "testing"

func TestACommitsMeasurementIsToldToItsProcessWhole(t *testing.T) {
	want := commitSpec{Dir: "/a b", Events: 12, Rounds: 3, Batch: 500, Replicas: 2}
	var got commitSpec
	if err := got.flags().Parse(want.args()); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestTimesTellTheirPercentiles(t *testing.T) {
	some := times{5, 1, 4, 2, 3}
	if some.percentile(50) != 3 || some.percentile(99) != 4 || some.percentile(100) != 5 || (times{}).percentile(50) != 0 {
		t.Errorf("%v: %v, %v, %v", some, some.percentile(50), some.percentile(99), some.percentile(100))
	}
}
