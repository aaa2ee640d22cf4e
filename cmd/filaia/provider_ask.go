package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/fila-ia/filaia/internal/config"
	"github.com/fila-ia/filaia/internal/probe"
	"github.com/fila-ia/filaia/internal/secret"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/store"
)

// onProvider runs a command that takes a provider's slug.
func onProvider(ctx context.Context, w world, f *flags, args []string, fn func(context.Context, config.Config, *store.Store, tenancy.Provider) error) error {
	slug := f.String("slug", "", "slug of the provider")
	f.need("slug")
	if err := f.parse(w, args); err != nil {
		return err
	}
	if err := f.noRest(); err != nil {
		return err
	}
	return withStore(ctx, w, f, func(ctx context.Context, cfg config.Config, s *store.Store) error {
		provider, err := providerOf(ctx, s, "slug", *slug)
		if err != nil {
			return err
		}
		return fn(ctx, cfg, s, provider)
	})
}

// targetOf opens a provider's credential. The one from the environment takes from there what it has none of its own of.
func targetOf(cfg config.Config, p tenancy.Provider) (probe.Target, error) {
	t := probe.Target{Kind: p.Kind, BaseURL: p.BaseURL, APIVersion: p.APIVersion}
	if p.Credential != nil {
		key, err := secret.New([32]byte(cfg.SecretKey)).Open(p.Credential, tenancy.CredentialContext(p.Slug))
		if err != nil {
			return t, fmt.Errorf("provider %s: %w", p.Slug, err)
		}
		t.APIKey = string(key)
	}
	if !p.FromEnvironment {
		return t, nil
	}
	if t.BaseURL == "" && t.APIKey == "" && cfg.Simulated() {
		return t, errors.New("OPENAI_API_KEY: no key is given, so the built-in simulator answers; give one there, or with provider edit --key-stdin")
	}
	if t.BaseURL == "" {
		t.BaseURL = cfg.OpenAIURL
	}
	if t.APIKey == "" {
		t.APIKey = cfg.OpenAIKey
	}
	return t, nil
}

func providerTest(ctx context.Context, w world, args []string) error {
	f := newFlags("provider test")
	return onProvider(ctx, w, f, args, func(ctx context.Context, cfg config.Config, _ *store.Store, p tenancy.Provider) error {
		target, err := targetOf(cfg, p)
		if err != nil {
			return err
		}
		begin := time.Now()
		models, err := probe.Models(ctx, target)
		if err != nil {
			return err
		}
		out := struct {
			Slug         string `json:"slug"`
			Models       int    `json:"models"`
			Milliseconds int64  `json:"milliseconds"`
		}{p.Slug, len(models), time.Since(begin).Milliseconds()}
		return f.print(w, out, []string{"SLUG", "MODELS", "MILLISECONDS"}, [][]string{{p.Slug, strconv.Itoa(out.Models), id(out.Milliseconds)}})
	})
}

func providerImport(ctx context.Context, w world, args []string) error {
	f := newFlags("provider import")
	models := f.String("models", "", "only these, comma-separated (none: all that the provider lists)")
	return onProvider(ctx, w, f, args, func(ctx context.Context, cfg config.Config, s *store.Store, p tenancy.Provider) error {
		names := list(*models)
		if len(names) == 0 {
			if p.Kind == tenancy.AzureProvider {
				return errors.New("--models: Azure lists what may be deployed, not your deployments; name them")
			}
			target, err := targetOf(cfg, p)
			if err != nil {
				return err
			}
			if names, err = probe.Models(ctx, target); err != nil {
				return err
			}
		}
		added, err := s.ImportModels(ctx, p.ID, names)
		if err != nil {
			return err
		}
		out := struct {
			Slug  string   `json:"slug"`
			Added []string `json:"added"`
		}{p.Slug, append([]string{}, added...)}
		rows := [][]string{}
		for _, name := range added {
			rows = append(rows, []string{name})
		}
		return f.print(w, out, []string{"ADDED (what is new is off until it has a price)"}, rows)
	})
}

func providerDelete(ctx context.Context, w world, args []string) error {
	f := newFlags("provider delete")
	return onProvider(ctx, w, f, args, func(ctx context.Context, _ config.Config, s *store.Store, p tenancy.Provider) error {
		if err := s.DeleteProvider(ctx, p.ID); err != nil {
			return err
		}
		out := map[string]any{"slug": p.Slug, "deleted": true}
		return f.print(w, out, []string{"SLUG", "STATE"}, [][]string{{p.Slug, "deleted"}})
	})
}
