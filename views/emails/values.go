package emails

import (
	"math/bits"
	"strings"
	"time"

	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/money"
)

// whole is a hundred percent.
const whole = 10_000

// percent writes hundredths of a percent.
func percent(p i18n.Printer, hundredths int64) string { return p.Percent(float64(hundredths) / whole) }

// roughly is percent without decimals, for subjects.
func roughly(p i18n.Printer, hundredths int64) string {
	if hundredths < 100 {
		return percent(p, hundredths)
	}
	return p.Percent(float64(hundredths/100) / 100)
}

// tenths writes a multiple, of which whole is one, with at most one decimal: 3 or 3,2. It is cut.
func tenths(p i18n.Printer, part int64) string {
	if rest := part / 1000 % 10; rest != 0 {
		return p.Decimal(float64(part/1000)/10, 1)
	}
	return p.Int(part / whole)
}

// share is used as a part of limit in hundredths of a percent, cut; 0 without a limit.
func share(used, limit int64) int64 {
	if used <= 0 || limit <= 0 {
		return 0
	}
	high, low := bits.Mul64(uint64(used), whole)
	if high >= uint64(limit) {
		return 1<<63 - 1
	}
	part, _ := bits.Div64(high, low, uint64(limit))
	return int64(min(part, 1<<63-1))
}

// brl writes reais as bills and pages do: rounded to cents.
func brl(p i18n.Printer, m money.Micros) string { return p.Money(int64(m), "BRL") }

func usd(p i18n.Printer, micros int64) string { return p.Money(micros, "USD") }

// capLeft is what the cap still allows; with what is charged, as both are written, it adds up to the cap.
func (a *Alert) capLeft() money.Micros {
	const cent = 10_000
	return max(a.Cap-(a.Charged+cent/2)/cent*cent, 0)
}

func tokens(p i18n.Printer, n int64) string { return p.T("emails.tokens", "n", n) }

// moment writes when something is; at midnight the day alone.
func moment(p i18n.Printer, t time.Time) string {
	if p.Clock(t) == "00:00" {
		return p.Date(t)
	}
	return p.DateTime(t)
}

// lastDay writes the end of a period, which is when the next one starts: as the last day that is still of it, where days are whole.
func lastDay(p i18n.Printer, end time.Time) string {
	if p.Clock(end) == "00:00" {
		return p.Date(end.Add(-time.Second))
	}
	return p.DateTime(end)
}

func seconds(n int64) time.Duration { return time.Duration(min(n, 1e9)) * time.Second }

func millis(n int64) time.Duration { return time.Duration(min(n, 1e12)) * time.Millisecond }

// lasting writes a length of time that stays on one line.
func lasting(p i18n.Printer, d time.Duration) string {
	return strings.ReplaceAll(p.Duration(d), " ", "\u00a0")
}

// quantity writes a threshold or a value in its unit.
func quantity(p i18n.Printer, unit string, n int64) string {
	switch unit {
	case "percent":
		return percent(p, n)
	case "tokens":
		return tokens(p, n)
	case "brl":
		return brl(p, money.Micros(n))
	case "usd":
		return usd(p, n)
	case "ms":
		return lasting(p, millis(n))
	case "seconds":
		return lasting(p, seconds(n))
	case "days":
		return p.T("emails.days", "n", n)
	}
	return p.Int(n)
}
