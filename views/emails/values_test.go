package emails

import (
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/money"
)

func TestAPercentageIsNeverRoundedUp(t *testing.T) {
	pt := i18n.NewPrinter(i18n.PtBR, nil)
	for _, c := range []struct {
		hundredths      int64
		exactly, rougly string
	}{
		{9999, "99,9%", "99%"}, {10_000, "100%", "100%"}, {7999, "79,9%", "79%"}, {8012, "80,1%", "80%"}, {8000, "80%", "80%"}, {12_345, "123,4%", "123%"}, {5, "< 0,1%", "< 0,1%"}, {0, "0%", "0%"},
	} {
		if got := percent(pt, c.hundredths); got != c.exactly {
			t.Errorf("percent(%d) = %q, want %q", c.hundredths, got, c.exactly)
		}
		if got := roughly(pt, c.hundredths); got != c.rougly {
			t.Errorf("roughly(%d) = %q, want %q", c.hundredths, got, c.rougly)
		}
	}
	en := i18n.NewPrinter(i18n.En, nil)
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(10, 10_000_000).Draw(t, "hundredths")
		for _, write := range []func(i18n.Printer, int64) string{percent, roughly} {
			text := strings.NewReplacer("%", "", ",", "").Replace(write(en, n))
			if strings.HasPrefix(text, "< ") {
				continue
			}
			if shown, err := strconv.ParseFloat(text, 64); err != nil || int64(shown*100+0.5) > n || int64(shown*100+0.5) <= n-100 {
				t.Fatalf("%d hundredths read as %s%%", n, text)
			}
		}
	})
}

func TestOneTokenBelowTheLimitDoesNotReadAsAllOfIt(t *testing.T) {
	text := render(t, message(i18n.PtBR, true, quotaAlert(2_999_999, 9000)))
	text.lacks(t, "(100%)", "100% dos", "100,0%", "recusadas agora")
	text.wants(t, "99,9%", "1 token")
	if want := "Você usou 99,9% dos tokens de entrada do plano Pro"; text.Subject != want {
		t.Errorf("subject %q", text.Subject)
	}
}

func TestWhatIsChargedAndWhatIsLeftAddUpToTheCap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := Alert{Cap: money.Micros(rapid.Int64Range(0, 100_000).Draw(t, "cents") * 10_000)}
		a.Charged = money.Micros(rapid.Int64Range(0, int64(a.Cap)).Draw(t, "charged"))
		en := i18n.NewPrinter(i18n.En, nil)
		plain := strings.NewReplacer("R$", "", "\u00a0", "", " ", "", ",", "")
		charged, err := strconv.ParseFloat(plain.Replace(brl(en, a.Charged)), 64)
		left, err2 := strconv.ParseFloat(plain.Replace(brl(en, a.capLeft())), 64)
		if err != nil || err2 != nil || math.Abs(charged+left-float64(a.Cap)/1e6) > 0.001 && a.Charged >= 10_000 {
			t.Fatalf("%v and %v of %v (%v, %v)", charged, left, a.Cap, err, err2)
		}
	})
}

func TestQuantitiesCarryTheirUnit(t *testing.T) {
	pt := i18n.NewPrinter(i18n.PtBR, nil)
	for _, c := range []struct {
		unit string
		n    int64
		want string
	}{
		{"tokens", 1_234_567, "1.234.567 tokens"}, {"tokens", 1, "1 token"}, {"usd", 10_500_000, "US$\u00a010,50"}, {"ms", 21_340, "21,3 s"}, {"seconds", 720, "12 min"}, {"days", 1, "1 dia"}, {"days", 60, "60 dias"}, {"count", 1200, "1.200"},
		{"seconds", 1 << 62, "11574 d 1 h"},
	} {
		if got := quantity(pt, c.unit, c.n); strings.NewReplacer("11.574", "11574", "\u00a0", " ").Replace(got) != strings.ReplaceAll(c.want, "\u00a0", " ") {
			t.Errorf("%d %s = %q, want %q", c.n, c.unit, got, c.want)
		}
	}
}

func TestMidnightIsADayAndAnyOtherTimeAMoment(t *testing.T) {
	pt := i18n.NewPrinter(i18n.PtBR, saoPaulo)
	midnight := time.Date(2026, 12, 1, 3, 0, 0, 0, time.UTC)
	if got := moment(pt, midnight); got != "01/12/2026" {
		t.Errorf("midnight in São Paulo = %q", got)
	}
	if got := moment(i18n.NewPrinter(i18n.PtBR, nil), midnight); got != "01/12/2026 03:00" {
		t.Errorf("the same in UTC = %q", got)
	}
	if got := lastDay(pt, midnight); got != "30/11/2026" {
		t.Errorf("a period that ends at midnight ends on %q", got)
	}
	if got := lastDay(i18n.NewPrinter(i18n.PtBR, nil), midnight); got != "01/12/2026 03:00" {
		t.Errorf("a period that ends within a day ends at %q", got)
	}
}

func TestTheChartShowsTheNewestTwoWeeksInProportion(t *testing.T) {
	p := i18n.NewPrinter(i18n.PtBR, nil)
	var days []Day
	for i := range 20 {
		days = append(days, Day{time.Date(2026, 11, 1+i, 0, 0, 0, 0, saoPaulo), int64(i) * 1000, 0})
	}
	days[19].Output = 19_000 // the highest: half input, half output
	days[10] = Day{Day: days[10].Day}
	days[9] = Day{days[9].Day, 1, 0}
	c := newChart(p, days)
	if len(c.bars) != 14 || c.bars[0].day != "7" || c.bars[13].date != "20/11" || !c.bars[13].today {
		t.Fatalf("bars %+v", c.bars)
	}
	last := c.bars[13]
	if last.input != chartHeight/2 || last.output != chartHeight/2 {
		t.Errorf("the highest day %+v", last)
	}
	if c.bars[4].input != 0 || c.bars[3].input != 1 {
		t.Errorf("a day without tokens %+v, a day with one %+v", c.bars[4], c.bars[3])
	}
	if newChart(p, nil) != nil || newChart(p, []Day{{}, {}}) != nil {
		t.Error("a chart of nothing is drawn")
	}
}
