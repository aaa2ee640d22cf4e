package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/fila-ia/filaia/internal/config"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/store"
)

// routesGiven collects --route flags.
type routesGiven []string

func (r *routesGiven) String() string { return strings.Join(*r, " ") }

func (r *routesGiven) Set(text string) error {
	*r = append(*r, text)
	return nil
}

// routes reads PROVIDER[:UPSTREAM[:PRIORITY[:WEIGHT]]]. An upstream name may hold colons: only numbers at the end are
// priority and weight.
func (r routesGiven) routes(ctx context.Context, s *store.Store) ([]tenancy.Route, error) {
	var routes []tenancy.Route
	for i, text := range r {
		slug, rest, _ := strings.Cut(text, ":")
		provider, err := providerOf(ctx, s, "route", slug)
		if err != nil {
			return nil, err
		}
		route := tenancy.Route{ProviderID: provider.ID, Priority: i + 1, Weight: 1, Active: true}
		route.UpstreamModel = rest
		before, last, ok := cutNumber(rest)
		if ok {
			route.UpstreamModel, route.Priority = before, last
			if name, priority, two := cutNumber(before); two {
				route.UpstreamModel, route.Priority, route.Weight = name, priority, last
			}
		}
		routes = append(routes, route)
	}
	return routes, nil
}

// cutNumber takes the number after the last colon off a text.
func cutNumber(text string) (before string, number int, ok bool) {
	at := strings.LastIndexByte(text, ':')
	if at < 0 {
		return text, 0, false
	}
	n, err := strconv.Atoi(text[at+1:])
	return text[:at], n, err == nil
}

func modelFlags(f *flags, d *tenancy.ModelDraft) *routesGiven {
	routes := &routesGiven{}
	f.StringVar(&d.Name, "name", "", "public name, such as gpt-4.1-nano")
	f.StringVar(&d.OwnedBy, "owned-by", d.OwnedBy, "who made it")
	f.Int64Var(&d.MaxOutputTokens, "max-output", d.MaxOutputTokens, "tokens of its longest answer")
	f.BoolVar(&d.Active, "active", d.Active, "whether it is on offer")
	f.BoolVar(&d.Default, "default", d.Default, "make it the default model")
	f.Var(routes, "route", "`PROVIDER[:UPSTREAM[:PRIORITY[:WEIGHT]]]`; may be repeated, then the first goes first unless priorities are given")
	return routes
}

func modelCreate(ctx context.Context, w world, args []string) error {
	f := newFlags("model create")
	d := tenancy.ModelDraft{Active: true, MaxOutputTokens: 16384}
	routes, price := modelFlags(f, &d), priceFlags(f)
	f.need("name", "route", "input-price", "output-price")
	if err := f.parse(w, args); err != nil {
		return err
	}
	if err := f.noRest(); err != nil {
		return err
	}
	p, err := price.read()
	if err != nil {
		return f.tell(err)
	}
	return withStore(ctx, w, f, func(ctx context.Context, _ config.Config, s *store.Store) error {
		if d.Routes, err = routes.routes(ctx, s); err != nil {
			return err
		}
		if err := s.CreateModel(ctx, d, p); err != nil {
			return err
		}
		return f.print(w, map[string]string{"name": d.Name}, []string{"NAME"}, [][]string{{d.Name}})
	})
}

func modelEdit(ctx context.Context, w world, args []string) error {
	f := newFlags("model edit")
	var d tenancy.ModelDraft
	routes := modelFlags(f, &d)
	rename := f.String("rename", "", "another name, while nothing knows this one")
	f.need("name")
	if err := f.parse(w, args); err != nil {
		return err
	}
	if err := f.noRest(); err != nil {
		return err
	}
	return withStore(ctx, w, f, func(ctx context.Context, _ config.Config, s *store.Store) error {
		given := *routes // collected once
		m, err := modelOf(ctx, s, d.Name)
		if err != nil {
			return err
		}
		f.over(func() {
			d = tenancy.ModelDraft{Name: m.Name, OwnedBy: m.OwnedBy, MaxOutputTokens: m.MaxOutputTokens, Active: m.Active, Default: m.Default, Routes: m.Routes}
		})
		if len(given) > 0 {
			if d.Routes, err = given.routes(ctx, s); err != nil {
				return err
			}
		}
		if *rename != "" {
			d.Name = *rename
		}
		if err := s.UpdateModel(ctx, m.Name, d); err != nil {
			return err
		}
		return f.print(w, map[string]string{"name": d.Name}, []string{"NAME"}, [][]string{{d.Name}})
	})
}

// modelOf finds a model by the name that was typed.
func modelOf(ctx context.Context, s *store.Store, name string) (tenancy.Model, error) {
	m, err := s.Model(ctx, name)
	if fault.Is(err, fault.NotFound) {
		return m, fmt.Errorf("--name: there is no model %q; filaia model list shows them", name)
	}
	return m, err
}

type routeShown struct {
	Provider      string      `json:"provider"`
	UpstreamModel string      `json:"upstream_model"`
	Priority      int         `json:"priority"`
	Weight        int         `json:"weight"`
	Active        bool        `json:"active"`
	Price         *priceShown `json:"price"` // that holds now; null: none yet
}

func modelList(ctx context.Context, w world, args []string) error {
	f := newFlags("model list")
	if err := f.parse(w, args); err != nil {
		return err
	}
	if err := f.noRest(); err != nil {
		return err
	}
	type row struct {
		Name      string       `json:"name"`
		OwnedBy   string       `json:"owned_by"`
		MaxOutput int64        `json:"max_output_tokens"`
		Default   bool         `json:"default"`
		Active    bool         `json:"active"`
		Price     *priceShown  `json:"price"`
		Routes    []routeShown `json:"routes"`
		CreatedAt time.Time    `json:"created_at"`
	}
	return withStore(ctx, w, f, func(ctx context.Context, _ config.Config, s *store.Store) error {
		models, err := s.AllModels(ctx)
		if err != nil {
			return err
		}
		slugs, err := providerSlugs(ctx, s)
		if err != nil {
			return err
		}
		out, rows := []row{}, [][]string{}
		for _, m := range models {
			r := row{m.Name, m.OwnedBy, m.MaxOutputTokens, m.Default, m.Active, showPrice(m.Price, slugs), []routeShown{}, m.CreatedAt}
			var routes []string
			for _, route := range m.Routes {
				slug := slugs[route.ProviderID]
				r.Routes = append(r.Routes, routeShown{slug, route.UpstreamModel, route.Priority, route.Weight, route.Active, showPrice(route.Price, slugs)})
				routes = append(routes, fmt.Sprintf("%s:%s:%d:%d", slug, route.UpstreamModel, route.Priority, route.Weight))
			}
			out = append(out, r)
			input, output := "-", "-"
			if r.Price != nil {
				input, output = r.Price.Input, r.Price.Output
			}
			standing := state(m.Active)
			if m.Default {
				standing = "default"
			}
			rows = append(rows, []string{r.Name, standing, input, output, id(r.MaxOutput), strings.Join(routes, " ")})
		}
		return f.print(w, out, []string{"NAME", "STATE", "INPUT US$/M", "OUTPUT US$/M", "MAX OUTPUT", "ROUTES"}, rows)
	})
}

func providerSlugs(ctx context.Context, s *store.Store) (map[int64]string, error) {
	providers, err := s.Providers(ctx)
	slugs := make(map[int64]string, len(providers))
	for _, p := range providers {
		slugs[p.ID] = p.Slug
	}
	return slugs, err
}
