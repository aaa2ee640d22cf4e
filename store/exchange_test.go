package store

import (
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
)

func TestTheNewestRateUpToADayHolds(t *testing.T) {
	o := openOffice(t)
	day := func(d int) time.Time { return time.Date(2026, 11, d, 0, 0, 0, 0, time.UTC) }
	_, err := o.ExchangeRate(o.ctx, o.at)
	o.refused(err, fault.NotFound, "rates.error.not_found")
	o.must(o.SetExchangeRate(o.ctx, tenancy.ExchangeRate{Day: day(20), BRL: 5_430_000, Source: " PTAX "}))
	o.must(o.SetExchangeRate(o.ctx, tenancy.ExchangeRate{Day: day(23), BRL: 5_500_000}))
	o.must(o.SetExchangeRate(o.ctx, tenancy.ExchangeRate{Day: day(23), BRL: 5_600_000, Source: "banco"}))
	saoPaulo, err := time.LoadLocation("America/Sao_Paulo")
	o.must(err)
	for name, c := range map[string]struct {
		at   time.Time
		want tenancy.ExchangeRate
	}{
		"the day itself":                    {day(20), tenancy.ExchangeRate{Day: day(20), BRL: 5_430_000, Source: "PTAX"}},
		"a day without one":                 {day(22).Add(23 * time.Hour), tenancy.ExchangeRate{Day: day(20), BRL: 5_430_000, Source: "PTAX"}},
		"the 22nd in São Paulo, 23rd UTC":   {day(23).Add(time.Hour).In(saoPaulo), tenancy.ExchangeRate{Day: day(20), BRL: 5_430_000, Source: "PTAX"}},
		"corrected, and long after":         {day(30), tenancy.ExchangeRate{Day: day(23), BRL: 5_600_000, Source: "banco"}},
		"the day in a zone ahead of London": {time.Date(2026, 11, 23, 1, 0, 0, 0, time.FixedZone("", 3*3600)), tenancy.ExchangeRate{Day: day(23), BRL: 5_600_000, Source: "banco"}},
	} {
		if got, err := o.ExchangeRate(o.ctx, c.at); err != nil || got != c.want {
			t.Errorf("%s: %+v %v, want %+v", name, got, err, c.want)
		}
	}
	_, err = o.ExchangeRate(o.ctx, day(19))
	o.refused(err, fault.NotFound, "rates.error.not_found")
	all, err := o.ExchangeRates(o.ctx, 10)
	o.must(err)
	if len(all) != 2 || all[0].Day != day(23) || all[1].Day != day(20) {
		t.Fatalf("%+v", all)
	}
	if all, err = o.ExchangeRates(o.ctx, 1); err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	if o.audited("exchange_rate.set", "exchange_rate:2026-11-23") != 2 {
		t.Fatal("not in the audit log")
	}
	for _, bad := range []tenancy.ExchangeRate{{BRL: 1}, {Day: day(1)}, {Day: day(1), BRL: -1}, {Day: day(1), BRL: 1001 * reais}} {
		if err := o.SetExchangeRate(o.ctx, bad); !fault.Is(err, fault.Invalid) {
			t.Errorf("accepted %+v: %v", bad, err)
		}
	}
}

func TestTheCachesSettingsHaveADefaultAndAreKept(t *testing.T) {
	o := openOffice(t)
	if got, err := o.CacheSettings(o.ctx); err != nil || got != (tenancy.CacheSettings{Threshold: 0.95}) {
		t.Fatal(got, err)
	}
	want := tenancy.CacheSettings{EmbeddingModel: "text-embedding-3-small", Threshold: 0.9}
	o.must(o.SetCacheSettings(o.ctx, want))
	if got, err := o.CacheSettings(o.ctx); err != nil || got != want {
		t.Fatal(got, err)
	}
	o.refused(o.SetCacheSettings(o.ctx, tenancy.CacheSettings{Threshold: 0.4}), fault.Invalid, "models.error.threshold")
	o.refused(o.SetCacheSettings(o.ctx, tenancy.CacheSettings{Threshold: 1.1}), fault.Invalid, "models.error.threshold")
	o.refused(o.SetCacheSettings(o.ctx, tenancy.CacheSettings{EmbeddingModel: "nada", Threshold: 0.9}), fault.Invalid, "models.error.not_offered")
	if o.audited("cache.change", "settings:cache") != 1 {
		t.Fatal("not in the audit log")
	}
}
