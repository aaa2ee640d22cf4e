package handlers

import (
	"errors"
	"regexp"
	"strings"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/money"
)

// readAmount reads a threshold as people type it: 80 or 99,5% for percents, 3 or 2,5 for multiples of the usual, 1.234,56,
// 10 min, 1.000.000. What it cannot read gives the key of what is wrong, which names the value and, as n, how many decimals it may have.
func readAmount(say i18n.Printer, m alert.Metric, u alert.Unit, text string) (n int64, wrong string) {
	switch u {
	case alert.Percent:
		key := "alerts.error.read.percent"
		if m == alert.SuddenChange {
			key = "alerts.error.read.times"
		}
		n, err := say.ParseDecimal(strings.TrimRight(strings.TrimSpace(text), "%×x \u00a0"), decimalsOf(m, u))
		return n, unread(err, key)
	case alert.BRL, alert.USD:
		amount, err := readMoney(say, text, decimalsOf(m, u))
		return int64(amount), unread(err, "alerts.error.read.money")
	case alert.Millis, alert.Seconds:
		d, ok := readDuration(say, text)
		if u == alert.Millis {
			return d.Milliseconds(), unless(ok, "alerts.error.read.duration")
		}
		return int64(d / time.Second), unless(ok && d%time.Second == 0, "alerts.error.read.duration")
	}
	n, err := say.ParseInt(text)
	return n, unless(err == nil, "alerts.error.read.integer")
}

// decimalsOf is how many decimals a threshold may have: percents are kept in hundredths, multiples in ten-thousandths.
func decimalsOf(m alert.Metric, u alert.Unit) int {
	switch {
	case m == alert.SuddenChange && u == alert.Percent:
		return 4
	case u == alert.Percent || u == alert.BRL || u == alert.USD:
		return centDecimals
	}
	return 0
}

func unread(err error, key string) string {
	if errors.Is(err, i18n.ErrTooFine) {
		return "numbers.too_fine"
	}
	return unless(err == nil, key)
}

func unless(ok bool, key string) string {
	if ok {
		return ""
	}
	return key
}

var typedDuration = regexp.MustCompile(`^([0-9][0-9.,]*)\s*([a-zç]*)\.?$`)

// readDuration reads 30, 30 s, 1,5 min, 2 horas. A number alone is seconds.
func readDuration(say i18n.Printer, text string) (time.Duration, bool) {
	found := typedDuration.FindStringSubmatch(strings.ToLower(strings.TrimSpace(strings.ReplaceAll(text, "\u00a0", " "))))
	if found == nil {
		return 0, false
	}
	unit := time.Duration(0)
	switch found[2] {
	case "ms":
		unit = time.Millisecond
	case "", "s", "seg", "segundo", "segundos", "sec", "second", "seconds":
		unit = time.Second
	case "m", "min", "minuto", "minutos", "minute", "minutes":
		unit = time.Minute
	case "h", "hora", "horas", "hour", "hours":
		unit = time.Hour
	case "d", "dia", "dias", "day", "days":
		unit = 24 * time.Hour
	default:
		return 0, false
	}
	thousandths, err := say.ParseDecimal(found[1], 3)
	if err != nil || thousandths > beyondRange {
		return 0, false
	}
	return time.Duration(thousandths) * unit / 1000, true
}

// typedAmount writes a threshold as readAmount reads it.
func typedAmount(say i18n.Printer, m alert.Metric, u alert.Unit, n int64) string {
	switch u {
	case alert.Percent:
		one := int64(100)
		if m == alert.SuddenChange {
			one = alert.Whole
		}
		return typedDecimal(say, n, one)
	case alert.BRL, alert.USD:
		return say.MoneyInput(n)
	case alert.Millis:
		if n%1000 != 0 {
			return typedDecimal(say, n, 1000) + " s"
		}
		return typedSeconds(say, n/1000)
	case alert.Seconds:
		return typedSeconds(say, n)
	}
	return say.Int(n)
}

// typedSeconds uses the largest unit that is exact, since two units are not read back.
func typedSeconds(say i18n.Printer, n int64) string {
	switch {
	case n > 0 && n%3600 == 0:
		return say.Int(n/3600) + " h"
	case n > 0 && n%60 == 0:
		return say.Int(n/60) + " min"
	}
	return say.Int(n) + " s"
}

// typedDecimal leaves out decimals that say nothing.
func typedDecimal(say i18n.Printer, n, one int64) string {
	if n%one == 0 {
		return say.Int(n / one)
	}
	return strings.TrimRight(say.MoneyInput(n*(int64(money.Unit)/one)), "0")
}
