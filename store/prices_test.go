package store

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/store/storetest"
)

func TestAProvidersOwnPriceGoesBeforeTheOneOfAll(t *testing.T) {
	o := openOffice(t)
	a, b := o.provider("a"), o.provider("b")
	o.must(o.CreateModel(o.ctx, modelDraft("llama", a.ID, b.ID), usd(1, 2)))
	own := usd(7, 8)
	own.ProviderID = b.ID
	o.must(o.SetPrice(o.ctx, "llama", own))
	o.at = o.at.Add(time.Hour)
	o.must(o.SetPrice(o.ctx, "llama", usd(3, 4))) // newer, yet not the provider's
	m := o.model("llama")
	if m.Price.Input != 3*money.Unit || m.Routes[0].Price.Input != 3*money.Unit || m.Routes[0].Price.ProviderID != 0 ||
		m.Routes[1].Price.Input != 7*money.Unit || m.Routes[1].Price.ProviderID != b.ID {
		t.Fatalf("%+v", m)
	}
	if n := o.audited("price.set", modelSubject("llama")); n != 3 {
		t.Fatalf("%d prices in the audit log, want 3", n)
	}
}

func TestAPriceOfLaterTakesEffectByItself(t *testing.T) {
	o := openOffice(t)
	a := o.provider("a")
	o.must(o.CreateModel(o.ctx, modelDraft("llama", a.ID), usd(1, 2)))
	if next, err := o.NextPriceAt(o.ctx); err != nil || !next.IsZero() {
		t.Fatal(next, err)
	}
	later := usd(9, 9)
	later.Since = o.at.AddDate(0, 0, 2)
	o.must(o.SetPrice(o.ctx, "llama", later))
	sooner := usd(5, 5)
	sooner.Since = o.at.AddDate(0, 0, 1)
	o.must(o.SetPrice(o.ctx, "llama", sooner))
	o.refused(o.SetPrice(o.ctx, "llama", sooner), fault.Conflict, "models.error.price_taken")
	for _, want := range []money.Micros{1, 5, 9} {
		if got := o.model("llama").Routes[0].Price.Input; got != want*money.Unit {
			t.Fatalf("on %v the price is %v, want %v", o.at, got, want)
		}
		next, err := o.NextPriceAt(o.ctx)
		o.must(err)
		if want == 9 {
			if !next.IsZero() {
				t.Fatalf("next price at %v, want none", next)
			}
			break
		}
		o.at = next
	}
	prices, err := o.Prices(o.ctx, "llama")
	o.must(err)
	if len(prices) != 3 || !prices[0].Since.Equal(later.Since) || !prices[1].Since.Equal(sooner.Since) || prices[2].Input != money.Unit {
		t.Fatalf("history: %+v", prices)
	}
}

func TestAPriceNeverBeginsInThePast(t *testing.T) {
	o := openOffice(t)
	a := o.provider("a")
	o.must(o.CreateModel(o.ctx, modelDraft("llama", a.ID), usd(1, 2)))
	o.at = o.at.Add(time.Hour)
	for _, ago := range []time.Duration{2 * time.Minute, 2 * time.Hour} {
		p := usd(9, 9)
		p.Since = o.at.Add(-ago)
		o.refused(o.SetPrice(o.ctx, "llama", p), fault.Conflict, "models.error.price_in_past")
	}
	thisMinute := usd(3, 3)
	thisMinute.Since = o.at.Add(-30 * time.Second)
	o.must(o.SetPrice(o.ctx, "llama", thisMinute))
	if p := o.model("llama").Price; !p.Since.Equal(o.at) || p.Input != 3*money.Unit {
		t.Fatalf("a form's minute is now: %+v", p)
	}
	o.must(o.SetPrice(o.ctx, "llama", usd(4, 4))) // at the same instant
	o.at = o.at.Add(time.Millisecond)
	if p := o.model("llama").Price; p.Input != 4*money.Unit {
		t.Fatalf("the last one holds: %+v", p)
	}
	if prices, err := o.Prices(o.ctx, "llama"); err != nil || len(prices) != 3 {
		t.Fatal(prices, err)
	}
}

func TestPricesOfManyAtOnceAreAllKept(t *testing.T) {
	o := openOffice(t)
	for _, err := range together(6, func() error { return o.SetPrice(o.ctx, "gpt-4.1", usd(1, 1)) }) {
		o.must(err)
	}
	if prices, err := o.Prices(o.ctx, "gpt-4.1"); err != nil || len(prices) != 7 {
		t.Fatal(len(prices), err)
	}
}

func TestAPriceIsRefusedForWhatDoesNotExistOrMakesNoSense(t *testing.T) {
	o := openOffice(t)
	o.refused(o.SetPrice(o.ctx, "nada", usd(1, 1)), fault.NotFound, modelMissing)
	p := usd(1, 1)
	p.ProviderID = 999
	o.refused(o.SetPrice(o.ctx, "gpt-4.1", p), fault.NotFound, providerMissing)
	o.refused(o.SetPrice(o.ctx, "gpt-4.1", tenancy.Price{Output: -1}), fault.Invalid, "models.error.price_range")
	o.refused(o.CreateModel(o.ctx, modelDraft("x"), tenancy.Price{Request: 200_000 * money.Unit}), fault.Invalid, "models.error.price_range")
}

func TestAModelIsNotOfferedOnARouteWithoutAPrice(t *testing.T) {
	o := openOffice(t)
	a, b := o.provider("a"), o.provider("b")
	only := usd(1, 1)
	only.ProviderID = a.ID
	o.refused(o.CreateModel(o.ctx, modelDraft("llama", a.ID, b.ID), only), fault.Conflict, "models.error.no_price")
	later := usd(1, 1)
	later.Since = o.at.Add(time.Hour)
	o.refused(o.CreateModel(o.ctx, modelDraft("llama", a.ID), later), fault.Conflict, "models.error.no_price")
	o.must(o.CreateModel(o.ctx, modelDraft("llama", a.ID), only))
	free := modelDraft("gratis", a.ID)
	o.must(o.CreateModel(o.ctx, free, tenancy.Price{})) // nothing, and said so
}

func TestEveryChangeThatReplicasKeepInMemoryIsTold(t *testing.T) {
	dsn := storetest.DB(t)
	s, err := Open(context.Background(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	told := make(chan struct{}, 100)
	ctx, stop := context.WithCancel(context.Background())
	listening := make(chan error, 1)
	go func() {
		listening <- Listen(ctx, dsn, Changes{Callers: func(int64) {}, Models: func() { told <- struct{}{} }, Usage: func() {},
			Recalled: func(int64, string) {}}, slog.New(slog.DiscardHandler))
	}()
	defer func() {
		stop()
		if err := <-listening; err != nil {
			t.Error(err)
		}
	}()
	heard := func(what string) {
		t.Helper()
		select {
		case <-told:
		case <-time.After(time.Minute):
			t.Fatalf("nobody hears of %s", what)
		}
	}
	heard("the start")
	var provider tenancy.Provider
	steps := []struct {
		name string
		do   func() error
	}{
		{"a provider", func() (err error) { provider, err = s.CreateProvider(ctx, providerDraft("casa")); return err }},
		{"a price", func() error { return s.SetPrice(ctx, "gpt-4.1", usd(1, 1)) }},
		{"a forced breaker", func() error { return s.ForceBreaker(ctx, provider.ID, "", "forced_open") }},
		{"the cache's settings", func() error { return s.SetCacheSettings(ctx, tenancy.CacheSettings{Threshold: 0.9}) }},
		{"a route", func() error { _, err := s.ImportModels(ctx, provider.ID, []string{"gpt-4.1"}); return err }},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		heard(step.name)
		for len(told) > 0 {
			<-told
		}
	}
}
