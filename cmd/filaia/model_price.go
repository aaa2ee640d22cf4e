package main

import (
	"context"
	"fmt"
	"time"

	"github.com/fila-ia/filaia/internal/config"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/store"
)

// pricesGiven is a price as it is typed.
type pricesGiven struct{ input, cached, output, reasoning, request *string }

func priceFlags(f *flags) pricesGiven {
	return pricesGiven{
		input:     f.String("input-price", "", "US$ a million input tokens, such as 0.20"),
		cached:    f.String("cached-price", "", "US$ a million of those that the provider had cached (none: as input)"),
		output:    f.String("output-price", "", "US$ a million output tokens"),
		reasoning: f.String("reasoning-price", "", "US$ a million of those spent on reasoning (none: as output)"),
		request:   f.String("request-price", "0", "US$ a call, whatever its tokens"),
	}
}

func (g pricesGiven) read() (tenancy.Price, error) {
	var form fault.Form
	or := func(field, text string, otherwise money.Micros) money.Micros {
		if text == "" {
			return otherwise
		}
		return amount(&form, field, text)
	}
	p := tenancy.Price{Input: amount(&form, "input_price", *g.input), Output: amount(&form, "output_price", *g.output)}
	p.CachedInput = or("cached_input_price", *g.cached, p.Input)
	p.Reasoning = or("reasoning_price", *g.reasoning, p.Output)
	p.Request = amount(&form, "request_price", *g.request)
	if err := form.Err(); err != nil {
		return p, err
	}
	return p, p.Validate()
}

func modelPrice(ctx context.Context, w world, args []string) error {
	f := newFlags("model price")
	name := f.String("name", "", "name of the model")
	provider := f.String("provider", "", "slug of the provider whose price it is (none: of every one without its own)")
	since := f.String("since", "", "from when on, RFC 3339 such as 2027-01-31T00:00:00Z (default: now)")
	given := priceFlags(f)
	f.need("name", "input-price", "output-price")
	if err := f.parse(w, args); err != nil {
		return err
	}
	if err := f.noRest(); err != nil {
		return err
	}
	p, err := given.read()
	if err != nil {
		return f.tell(err)
	}
	if *since != "" {
		if p.Since, err = time.Parse(time.RFC3339, *since); err != nil {
			return fmt.Errorf("--since: %q is no time; give RFC 3339, such as 2027-01-31T00:00:00Z", *since)
		}
	}
	return withStore(ctx, w, f, func(ctx context.Context, _ config.Config, s *store.Store) error {
		m, err := modelOf(ctx, s, *name)
		if err != nil {
			return err
		}
		if *provider != "" {
			house, err := providerOf(ctx, s, "provider", *provider)
			if err != nil {
				return err
			}
			p.ProviderID = house.ID
		}
		if err := s.SetPrice(ctx, m.Name, p); err != nil {
			return err
		}
		return printPrices(ctx, w, f, s, m.Name)
	})
}

func modelPrices(ctx context.Context, w world, args []string) error {
	f := newFlags("model prices")
	name := f.String("name", "", "name of the model")
	f.need("name")
	if err := f.parse(w, args); err != nil {
		return err
	}
	if err := f.noRest(); err != nil {
		return err
	}
	return withStore(ctx, w, f, func(ctx context.Context, _ config.Config, s *store.Store) error {
		m, err := modelOf(ctx, s, *name)
		if err != nil {
			return err
		}
		return printPrices(ctx, w, f, s, m.Name)
	})
}

// priceShown is in US$, a million tokens each, and a call.
type priceShown struct {
	Provider  string    `json:"provider"` // "": every one without its own
	Since     time.Time `json:"since"`
	Input     string    `json:"input_price"`
	Cached    string    `json:"cached_price"`
	Output    string    `json:"output_price"`
	Reasoning string    `json:"reasoning_price"`
	Request   string    `json:"request_price"`
}

func showPrice(p tenancy.Price, slugs map[int64]string) *priceShown {
	if p.Since.IsZero() {
		return nil
	}
	return &priceShown{slugs[p.ProviderID], p.Since, p.Input.Plain(), p.CachedInput.Plain(), p.Output.Plain(), p.Reasoning.Plain(), p.Request.Plain()}
}

// printPrices shows a model's history, the newest first.
func printPrices(ctx context.Context, w world, f *flags, s *store.Store, model string) error {
	prices, err := s.Prices(ctx, model)
	if err != nil {
		return err
	}
	slugs, err := providerSlugs(ctx, s)
	if err != nil {
		return err
	}
	out, rows := []*priceShown{}, [][]string{}
	for _, price := range prices {
		p := showPrice(price, slugs)
		out = append(out, p)
		rows = append(rows, []string{p.Since.Format(time.RFC3339), p.Provider, p.Input, p.Cached, p.Output, p.Reasoning, p.Request})
	}
	return f.print(w, out, []string{"SINCE", "PROVIDER", "INPUT", "CACHED", "OUTPUT", "REASONING", "CALL"}, rows)
}
