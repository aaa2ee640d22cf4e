package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/fila-ia/filaia/internal/config"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/store"
)

func planCreate(ctx context.Context, w world, args []string) error {
	f := newFlags("plan create")
	slug, name := f.String("slug", "", "short name for commands, such as basico"), f.String("name", "", "name that customers see")
	price := f.String("price", "", "R$ a month, such as 99.90")
	var t tenancy.Terms
	f.Int64Var(&t.InputTokens, "input-tokens", 0, "input tokens included")
	f.Int64Var(&t.OutputTokens, "output-tokens", 0, "output tokens included")
	overage := f.String("overage", "", "above the included tokens: block or charge")
	overagePrice := f.String("overage-price", "0", "R$ a token above, such as 0.0001, with --overage charge")
	var rates tenancy.Rates
	f.rates(&rates, "")
	cache := f.String("cache", string(tenancy.CacheOff), "answer from the cache: off, exact (the same request) or smart (the same question in other words, too)")
	f.IntVar(&t.CacheMinutes, "cache-minutes", 60, "how long an answer may be given again, 1 to 43200")
	f.IntVar(&t.CacheBilled, "cache-billed-percent", 0, "percent of the tokens served from the cache that are billed")
	models := f.String("models", "", "allowed models, comma-separated (none: all)")
	draft := f.Bool("draft", false, "do not publish yet")
	f.need("slug", "name", "price", "input-tokens", "output-tokens", "overage")
	if err := f.parse(w, args); err != nil {
		return err
	}
	if err := f.noRest(); err != nil {
		return err
	}
	var form fault.Form
	t.Price = amount(&form, "price", *price)
	t.OveragePrice = amount(&form, "overage_price", *overagePrice)
	t.Overage, t.AllowedModels, t.Cache = tenancy.Overage(*overage), list(*models), tenancy.CacheMode(*cache)
	t.RequestsPerMinute, t.TokensPerMinute, t.ParallelCalls = rates.RequestsPerMinute, rates.TokensPerMinute, rates.ParallelCalls
	form.Check(t.CacheMinutes > 0, "cache_minutes", "error.range", "min", 1, "max", 43_200) // 0 would mean the usual time
	if err := form.Err(); err != nil {
		return f.tell(err)
	}
	return withStore(ctx, w, f, func(ctx context.Context, _ config.Config, s *store.Store) error {
		if err := knownModels(ctx, s, t.AllowedModels); err != nil {
			return err
		}
		plan, err := s.CreatePlan(ctx, tenancy.PlanDraft{Slug: *slug, Name: *name, Terms: t}, !*draft)
		if err != nil {
			return err
		}
		version := plan.Published
		if *draft {
			version = plan.Draft
		}
		out := struct {
			ID      int64  `json:"id"`
			Slug    string `json:"slug"`
			Version int    `json:"version"`
		}{plan.ID, plan.Slug, version.Number}
		return f.print(w, out, []string{"ID", "SLUG", "VERSION"}, [][]string{{id(plan.ID), plan.Slug, strconv.Itoa(version.Number)}})
	})
}

func amount(form *fault.Form, field, text string) money.Micros {
	m, err := money.Parse(text)
	form.Check(err == nil, field, "error.money", "value", text)
	return m
}

// knownModels rejects names that are not on offer: a typing mistake would lock customers out.
func knownModels(ctx context.Context, s *store.Store, names []string) error {
	if len(names) == 0 {
		return nil
	}
	models, err := s.Models(ctx)
	if err != nil {
		return err
	}
	var offered []string
	for _, m := range models {
		offered = append(offered, m.Name)
	}
	for _, name := range names {
		if !slices.Contains(offered, name) {
			return fmt.Errorf("--models: %q is not on offer; give any of %s", name, strings.Join(offered, ", "))
		}
	}
	return nil
}

func id(n int64) string { return strconv.FormatInt(n, 10) }

func planList(ctx context.Context, w world, args []string) error {
	f := newFlags("plan list")
	if err := f.parse(w, args); err != nil {
		return err
	}
	if err := f.noRest(); err != nil {
		return err
	}
	type row struct {
		ID           int64  `json:"id"`
		Slug         string `json:"slug"`
		Name         string `json:"name"`
		Version      int    `json:"version"` // 0: only a draft
		Price        string `json:"price"`
		InputTokens  int64  `json:"input_tokens"`
		OutputTokens int64  `json:"output_tokens"`
		Overage      string `json:"overage"`
		OveragePrice string `json:"overage_price"`
		RPM          int    `json:"rpm"`
		TPM          int    `json:"tpm"`
		Parallel     int    `json:"parallel"`
		Cache        string `json:"cache"`
		CacheMinutes int    `json:"cache_minutes"`
		CacheBilled  int    `json:"cache_billed_percent"`
		Subscribers  int    `json:"subscribers"`
		Archived     bool   `json:"archived"`
	}
	return withStore(ctx, w, f, func(ctx context.Context, _ config.Config, s *store.Store) error {
		plans, err := everyPage(ctx, s.ListPlans, tenancy.ListQuery{})
		if err != nil {
			return err
		}
		out, rows := []row{}, [][]string{}
		for _, p := range plans {
			r := row{ID: p.ID, Slug: p.Slug, Name: p.Name, Subscribers: p.Subscribers, Archived: p.ArchivedAt != nil}
			v := p.Published
			if v == nil {
				v = p.Draft
			} else {
				r.Version = v.Number
			}
			if v != nil {
				t := v.Terms
				r.Price, r.InputTokens, r.OutputTokens, r.Overage = t.Price.Plain(), t.InputTokens, t.OutputTokens, string(t.Overage)
				r.OveragePrice, r.RPM, r.TPM, r.Parallel = t.OveragePrice.Plain(), t.RequestsPerMinute, t.TokensPerMinute, t.ParallelCalls
				r.Cache, r.CacheMinutes, r.CacheBilled = string(t.Cache), t.CacheMinutes, t.CacheBilled
			}
			out = append(out, r)
			rows = append(rows, []string{id(r.ID), r.Slug, r.Name, strconv.Itoa(r.Version), r.Price, id(r.InputTokens), id(r.OutputTokens),
				r.Overage, strconv.Itoa(r.Subscribers)})
		}
		return f.print(w, out, []string{"ID", "SLUG", "NAME", "VERSION", "PRICE", "INPUT", "OUTPUT", "OVERAGE", "SUBSCRIBERS"}, rows)
	})
}

// everyPage reads a list to its end.
func everyPage[T any](ctx context.Context, read func(context.Context, tenancy.ListQuery) (tenancy.Page[T], error), q tenancy.ListQuery) ([]T, error) {
	var all []T
	for q.Page = 1; ; q.Page++ {
		page, err := read(ctx, q)
		if err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if len(page.Items) == 0 || len(all) >= page.Total {
			return all, nil
		}
	}
}
