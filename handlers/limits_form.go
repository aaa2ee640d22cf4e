package handlers

import (
	"github.com/fila-ia/filaia/internal/i18n"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// How long an answer of the cache may be given again, where nothing else is said, and what a form takes, in minutes.
const (
	usualLifetime = 60
	hour          = 60
	longest       = 30 * 24 * hour
)

// beyondRange stands for any number that no field takes: it must not overflow before it is refused.
const beyondRange = 1 << 31

// rateOf reads a limit that may be left empty. 0 typed is not the same as nothing: it would mean no limit.
func rateOf(f *form, name string, most int64) int {
	n := f.IntOr(name, 0)
	if f.Text(name) != "" && (n < 1 || n > most) {
		f.Reject(name, "error.range", "min", 1, "max", most)
		return 0
	}
	return int(n)
}

// readRates reads the limits a minute and at once, of a plan, of a customer or of a key.
func readRates(f *form) tenancy.Rates {
	const most, mostParallel = 1_000_000_000, 100_000
	return tenancy.Rates{
		RequestsPerMinute: rateOf(f, "rpm", most), TokensPerMinute: rateOf(f, "tpm", most), ParallelCalls: rateOf(f, "parallel", mostParallel),
	}
}

// fillRates puts limits into a form.
func fillRates(say i18n.Printer, values map[string]string, r tenancy.Rates) {
	values["rpm"], values["tpm"] = optionalInt(say, r.RequestsPerMinute), optionalInt(say, r.TokensPerMinute)
	values["parallel"] = optionalInt(say, r.ParallelCalls)
}

func optionalInt(say i18n.Printer, n int) string {
	if n == 0 {
		return ""
	}
	return say.Int(int64(n))
}

// readLifetime reads a time in minutes or in hours, and gives minutes; left empty it is the usual one.
func readLifetime(f *form) int {
	const name = "cache_minutes"
	unit := int64(1)
	if f.Text("cache_unit") == "hours" {
		unit = hour
	}
	if f.Text(name) == "" {
		return usualLifetime
	}
	n := f.IntOr(name, 1)
	if n < 1 || n > longest/unit {
		f.Reject(name, "error.range", "min", 1, "max", longest/unit)
		return usualLifetime
	}
	return int(n * unit)
}

// fillLifetime puts a time into a form, in hours where they are whole.
func fillLifetime(say i18n.Printer, values map[string]string, minutes int) {
	if minutes >= hour && minutes%hour == 0 {
		values["cache_minutes"], values["cache_unit"] = say.Int(int64(minutes/hour)), "hours"
		return
	}
	values["cache_minutes"], values["cache_unit"] = say.Int(int64(minutes)), "minutes"
}
