package main

import (
	"context"
	"fmt"
	"time"

	"github.com/fila-ia/filaia/internal/config"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/store"
)

type rateShown struct {
	Day    string `json:"day"`
	BRL    string `json:"brl"` // what one US$ costs in R$
	Source string `json:"source"`
}

func showRate(r tenancy.ExchangeRate) rateShown {
	return rateShown{r.Day.Format(time.DateOnly), r.BRL.Plain(), r.Source}
}

func (r rateShown) row() []string { return []string{r.Day, r.BRL, r.Source} }

func rateSet(ctx context.Context, w world, args []string) error {
	f := newFlags("rate set")
	day := f.String("day", "", "date from which it holds, such as 2026-11-22")
	brl := f.String("brl", "", "R$ for one US$, such as 5.43")
	var r tenancy.ExchangeRate
	f.StringVar(&r.Source, "source", "", "who says so, such as PTAX")
	f.need("day", "brl")
	if err := f.parse(w, args); err != nil {
		return err
	}
	if err := f.noRest(); err != nil {
		return err
	}
	var err error
	if r.Day, err = time.Parse(time.DateOnly, *day); err != nil {
		return fmt.Errorf("--day: %q is no date; give one such as 2026-11-22", *day)
	}
	var form fault.Form
	r.BRL = amount(&form, "brl", *brl)
	if err := form.Err(); err != nil {
		return f.tell(err)
	}
	return withStore(ctx, w, f, func(ctx context.Context, _ config.Config, s *store.Store) error {
		if err := s.SetExchangeRate(ctx, r); err != nil {
			return err
		}
		out := showRate(r)
		return f.print(w, out, []string{"DAY", "R$", "SOURCE"}, [][]string{out.row()})
	})
}

func rateList(ctx context.Context, w world, args []string) error {
	f := newFlags("rate list")
	limit := f.Int("limit", 30, "how many days, the newest first")
	if err := f.parse(w, args); err != nil {
		return err
	}
	if err := f.noRest(); err != nil {
		return err
	}
	if *limit < 1 {
		return fmt.Errorf("--limit: %d is not accepted; give a number above 0", *limit)
	}
	return withStore(ctx, w, f, func(ctx context.Context, _ config.Config, s *store.Store) error {
		rates, err := s.ExchangeRates(ctx, *limit)
		if err != nil {
			return err
		}
		out, rows := []rateShown{}, [][]string{}
		for _, r := range rates {
			shown := showRate(r)
			out, rows = append(out, shown), append(rows, shown.row())
		}
		return f.print(w, out, []string{"DAY", "R$", "SOURCE"}, rows)
	})
}
