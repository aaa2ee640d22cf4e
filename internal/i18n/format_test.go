package i18n

import (
	"math"
	"testing"
	"time"
)

func TestNumbersReadAsPeopleOfEachLanguageWriteThem(t *testing.T) {
	pt, en := NewPrinter(PtBR, nil), NewPrinter(En, nil)
	cases := []struct{ name, got, want string }{
		{"int", pt.Int(1234567), "1.234.567"},
		{"int en", en.Int(1234567), "1,234,567"},
		{"negative int", pt.Int(-1000), "-1.000"},
		{"least int", pt.Int(math.MinInt64), "-9.223.372.036.854.775.808"},
		{"compact exact below a thousand", pt.Compact(999), "999"},
		{"compact thousands", pt.Compact(1234), "1,2\u00a0mil"},
		{"compact millions", pt.Compact(1234567), "1,2\u00a0mi"},
		{"compact millions en", en.Compact(1234567), "1.2M"},
		{"compact drops a zero decimal", pt.Compact(3_000_000), "3\u00a0mi"},
		{"compact carries into the next unit", pt.Compact(999_999), "1\u00a0mi"},
		{"compact above a hundred", en.Compact(123_456), "123K"},
		{"compact negative", pt.Compact(-1_500_000_000), "-1,5\u00a0bi"},
		{"decimal", pt.Decimal(1234.5, 2), "1.234,50"},
		{"decimal that rounds to zero has no sign", pt.Decimal(-0.001, 2), "0,00"},
		{"percent", pt.Percent(0.873), "87,3%"},
		{"percent that binary fractions miss", pt.Percent(0.29), "29%"},
		{"percent cut", pt.Percent(0.67799), "67,7%"},
		{"percent not yet at a limit", en.Percent(0.79999), "79.9%"},
		{"percent whole", en.Percent(0.5), "50%"},
		{"percent not yet whole", pt.Percent(0.9999), "99,9%"},
		{"percent hardly begun", pt.Percent(0.00001), "< 0,1%"},
		{"percent above whole", en.Percent(1.25), "125%"},
	}
	check(t, cases)
}

func TestMoneyFollowsTheBrazilianRules(t *testing.T) {
	pt, en := NewPrinter(PtBR, nil), NewPrinter(En, nil)
	check(t, []struct{ name, got, want string }{
		{"reais", pt.Money(1_234_567_500_000, "BRL"), "R$\u00a01.234.567,50"},
		{"negative", pt.Money(-10_000, "BRL"), "-R$\u00a00,01"},
		{"zero", pt.Money(0, "BRL"), "R$\u00a00,00"},
		{"dollars", pt.Money(200_000, "USD"), "US$\u00a00,20"},
		{"reais in English", en.Money(1_234_567_500_000, "BRL"), "R$\u00a01,234,567.50"},
		{"token price", pt.Money(100, "BRL"), "R$\u00a00,0001"},
		{"one micro", pt.Money(1, "BRL"), "R$\u00a00,000001"},
		{"rounds to cents", pt.Money(99_995_000, "BRL"), "R$\u00a0100,00"},
		{"rounds away from zero", pt.Money(-1_005_000, "BRL"), "-R$\u00a01,01"},
		{"price keeps decimals", pt.Price(12_500, "BRL"), "R$\u00a00,0125"},
		{"least amount", pt.Money(math.MinInt64, "BRL"), "-R$\u00a09.223.372.036.854,78"},
		{"field", pt.MoneyInput(1_234_560_000), "1.234,56"},
		{"field of a token price", pt.MoneyInput(100), "0,0001"},
		{"field en with three decimals stays unambiguous", en.MoneyInput(1_234_000), "1.2340"},
	})
}

func TestMomentsAreShownInThePersonsZone(t *testing.T) {
	zone, err := time.LoadLocation("America/Sao_Paulo")
	if err != nil {
		t.Fatal(err)
	}
	pt, en := NewPrinter(PtBR, zone), NewPrinter(En, zone)
	now := time.Date(2026, 11, 22, 17, 5, 0, 0, time.UTC)
	ago := func(d time.Duration) string { return pt.Relative(now.Add(-d), now) }
	check(t, []struct{ name, got, want string }{
		{"date and time", pt.DateTime(now), "22/11/2026 14:05"},
		{"date and time en", en.DateTime(now), "22 Nov 2026 14:05"},
		{"late evening belongs to the local day", pt.Date(time.Date(2026, 3, 1, 2, 30, 0, 0, time.UTC)), "28/02/2026"},
		{"month", pt.Month(now), "novembro de 2026"},
		{"month en", en.Month(now), "November 2026"},
		{"now", ago(20 * time.Second), "agora"},
		{"minutes", ago(3 * time.Minute), "há 3\u00a0min"},
		{"minutes en", en.Relative(now.Add(-3*time.Minute), now), "3\u00a0min ago"},
		{"hours", ago(2*time.Hour + 59*time.Minute), "há 2\u00a0h"},
		{"yesterday", ago(24 * time.Hour), "ontem às 14:05"},
		{"days", ago(72 * time.Hour), "há 3\u00a0dias"},
		{"beyond a week", ago(30 * 24 * time.Hour), "23/10/2026"},
		{"ahead", pt.Relative(now.Add(5*24*time.Hour), now), "em 5\u00a0dias"},
		{"tomorrow", en.Relative(now.Add(25*time.Hour), now), "tomorrow at 15:05"},
		{"milliseconds", pt.Duration(350 * time.Millisecond), "350\u00a0ms"},
		{"seconds", pt.Duration(1400 * time.Millisecond), "1,4\u00a0s"},
		{"just below a minute", pt.Duration(time.Minute - time.Millisecond), "59,9\u00a0s"},
		{"minutes and seconds", pt.Duration(125 * time.Second), "2\u00a0min 5\u00a0s"},
		{"hours and minutes", pt.Duration(200 * time.Minute), "3\u00a0h 20\u00a0min"},
		{"days and hours", pt.Duration(98 * time.Hour), "4\u00a0d 2\u00a0h"},
	})
}

func check(t *testing.T, cases []struct{ name, got, want string }) {
	t.Helper()
	for _, c := range cases {
		if c.got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, c.got, c.want)
		}
	}
}
