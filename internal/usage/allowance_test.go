package usage

import (
	"testing"

	"github.com/fila-ia/filaia/internal/money"
)

func TestAllowanceChargesOnlyTheExcessOfASoftPlan(t *testing.T) {
	a := Allowance{OveragePrice: 100, Input: Meter{Used: 1_400_000, Limit: 1_000_000}, Output: Meter{Used: 100, Limit: 500_000}}
	if got, want := a.Charge(), 40*money.Unit; got != want {
		t.Errorf("charge %d, want %d", got, want)
	}
	a.Hard = true
	if got := a.Charge(); got != 0 {
		t.Errorf("a hard plan charges %d", got)
	}
}

func TestMeterNeverLeavesLessThanNothing(t *testing.T) {
	m := Meter{Used: 12, Limit: 10}
	if m.Remaining() != 0 || m.Excess() != 2 || m.Ratio() != 1.2 {
		t.Errorf("remaining %d excess %d ratio %v", m.Remaining(), m.Excess(), m.Ratio())
	}
}

func TestAllowanceRatioIsTheFullerMeters(t *testing.T) {
	a := Allowance{Input: Meter{Used: 1, Limit: 10}, Output: Meter{Used: 9, Limit: 10}}
	if got := a.Ratio(); got != 0.9 {
		t.Errorf("ratio %v, want 0.9", got)
	}
	if got := (Meter{Used: 5}).Ratio(); got != 1 {
		t.Errorf("use without a limit has ratio %v, want full", got)
	}
}
