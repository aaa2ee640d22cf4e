package money

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseReadsWhatBrazilianManagersType(t *testing.T) {
	for text, want := range map[string]Micros{
		"99,90": 99_900_000, "R$ 1.234,56": 1_234_560_000, "1.234.567": 1_234_567_000_000, "199.90": 199_900_000,
		"0,0001": 100, "0.0001": 100, "-0,01": -10_000, "R$\u00a010": 10_000_000, "0.125": 125_000, "0,125": 125_000, "1.234,567": 1_234_567_000,
	} {
		if got, err := Parse(text); err != nil || got != want {
			t.Errorf("Parse(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
}

func TestParseRefusesWhatIsAmbiguousOrNoAmount(t *testing.T) {
	for _, text := range []string{"", "1.234", "1,234", "1,2,3", "12.34,5", "abc", "1,", ".", "1,0000001", "1e3", "--1", "1234567890123"} {
		if got, err := Parse(text); err == nil {
			t.Errorf("Parse(%q) = %d, want an error", text, got)
		}
	}
}

func TestPlainIsReadBackAsTheSameAmount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := Micros(rapid.Int64Range(-1e15, 1e15).Draw(t, "micros"))
		text := strings.Replace(m.Plain(), ".", ",", 1)
		if _, frac, _ := strings.Cut(text, ","); len(frac) == 3 {
			text += "0" // three decimals alone look like thousands
		}
		if got, err := Parse(text); err != nil || got != m {
			t.Fatalf("%d → %q → %d, %v", m, text, got, err)
		}
	})
}

func TestCostRoundsOncePerSumHalfToEven(t *testing.T) {
	for _, c := range []struct {
		terms []Term
		want  Micros
	}{
		{[]Term{{20, 200_000}, {10, 800_000}}, 12},
		{[]Term{{1, 500_000}}, 0},                 // half, to even
		{[]Term{{3, 500_000}}, 2},                 // one and a half
		{[]Term{{1, 250_000}, {1, 350_000}}, 1},   // summed before rounding
		{[]Term{{1_000_000_000, 200_000}}, 200e6}, // US$ 200
		{[]Term{{-5, 200_000}}, 0},
	} {
		if got := Cost(c.terms...); got != c.want {
			t.Errorf("Cost(%v) = %d, want %d", c.terms, got, c.want)
		}
	}
}
