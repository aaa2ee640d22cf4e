package tenancy

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/usage"
)

func TestModelDraftsTellEveryRejectedField(t *testing.T) {
	good := func() *ModelDraft {
		return &ModelDraft{Name: " gpt-4.1 ", MaxOutputTokens: 100, Active: true, Routes: []Route{
			{ProviderID: 1, Priority: 1, Weight: 1}, {ProviderID: 1, UpstreamModel: "gpt-4.1-2025", Priority: 100, Weight: 1000},
		}}
	}
	if d := good(); d.Validate() != nil || d.Name != "gpt-4.1" || d.Routes[0].UpstreamModel != "gpt-4.1" {
		t.Fatalf("%+v: %v", d, d.Validate())
	}
	for name, c := range map[string]struct {
		change func(*ModelDraft)
		want   []string
	}{
		"nothing filled in":     {func(d *ModelDraft) { *d = ModelDraft{} }, []string{"name", "max_output_tokens"}},
		"a space in the name":   {func(d *ModelDraft) { d.Name = "gpt 4" }, []string{"name"}},
		"a default that is off": {func(d *ModelDraft) { d.Default, d.Active = true, false }, []string{"default"}},
		"the same route twice":  {func(d *ModelDraft) { d.Routes[1].UpstreamModel = "" }, []string{"routes"}},
		"no provider":           {func(d *ModelDraft) { d.Routes[0].ProviderID = 0 }, []string{"routes"}},
		"no priority":           {func(d *ModelDraft) { d.Routes[0].Priority = 0 }, []string{"routes"}},
		"too much weight":       {func(d *ModelDraft) { d.Routes[1].Weight = 1001 }, []string{"routes"}},
	} {
		d := good()
		c.change(d)
		if got := rejectedFields(t, d.Validate()); !slices.Equal(got, c.want) {
			t.Errorf("%s: rejected %v, want %v", name, got, c.want)
		}
	}
}

func TestPricesAndRatesTellEveryRejectedField(t *testing.T) {
	p := Price{Input: -1, Reasoning: maxPrice*money.Unit + 1}
	if got := rejectedFields(t, p.Validate()); !slices.Equal(got, []string{"input_price", "reasoning_price"}) {
		t.Errorf("rejected %v", got)
	}
	r := ExchangeRate{BRL: -1}
	if got := rejectedFields(t, r.Validate()); !slices.Equal(got, []string{"day", "brl"}) {
		t.Errorf("rejected %v", got)
	}
	if r = (ExchangeRate{Day: time.Unix(0, 0), BRL: 5_430_000}); r.Validate() != nil {
		t.Error(r.Validate())
	}
}

// Cached tokens are part of the input and reasoning tokens of the output: none is paid for twice.
func TestEveryTokenIsPaidForOnceAtItsOwnPrice(t *testing.T) {
	p := Price{Input: 2_000_000, CachedInput: 500_000, Output: 8_000_000, Reasoning: 10_000_000, Request: 40_000}
	got := p.Cost(usage.Tokens{Input: 1_000_000, Cached: 400_000, Output: 100_000, Reasoning: 30_000})
	// 0.6 × 2 + 0.4 × 0.5 + 0.07 × 8 + 0.03 × 10 + 0.04
	if want := money.Micros(1_200_000 + 200_000 + 560_000 + 300_000 + 40_000); got != want {
		t.Errorf("cost %d, want %d", got, want)
	}
	rapid.Check(t, func(t *rapid.T) {
		in, out := rapid.Int64Range(0, 1e9).Draw(t, "in"), rapid.Int64Range(0, 1e9).Draw(t, "out")
		tokens := usage.Tokens{Input: in, Cached: rapid.Int64Range(0, in).Draw(t, "cached"), Output: out, Reasoning: rapid.Int64Range(0, out).Draw(t, "reasoning")}
		price := money.Micros(rapid.Int64Range(0, 1e9).Draw(t, "price"))
		same := Price{Input: price, CachedInput: price, Output: price, Reasoning: price}
		if got, want := same.Cost(tokens), money.Cost(money.Term{Tokens: in + out, PerMillion: price}); got != want {
			t.Fatalf("one price for all: %d, want %d", got, want)
		}
	})
}

func TestConvertGivesReais(t *testing.T) {
	r := ExchangeRate{BRL: 5_432_100}
	for usd, want := range map[money.Micros]money.Micros{
		0: 0, money.Unit: 5_432_100, -money.Unit: -5_432_100, 1: 5, 1_000 * money.Unit: 5_432_100_000,
	} {
		if got := r.Convert(usd); got != want {
			t.Errorf("US$ %d are R$ %d, want %d", usd, got, want)
		}
	}
}
