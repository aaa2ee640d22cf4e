package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/fila-ia/filaia/internal/config"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/secret"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/store"
)

// providerFlags binds what a provider is made of to flags, whose defaults are what the draft holds.
func providerFlags(f *flags, d *tenancy.ProviderDraft) (keyFromStdin *bool) {
	f.StringVar(&d.Slug, "slug", "", "short name for commands, such as azure-br; it never changes")
	f.StringVar(&d.Name, "name", "", "name that people see")
	f.StringVar((*string)(&d.Kind), "kind", "", "openai, azure or compatible")
	f.StringVar(&d.BaseURL, "base-url", "", "address, such as https://api.openai.com/v1 or https://NAME.openai.azure.com")
	f.StringVar(&d.APIVersion, "api-version", "", "Azure's (none: its v1 API)")
	f.BoolVar(&d.Active, "active", d.Active, "whether it answers calls")
	l := &d.Limits
	f.DurationVar(&l.Connect, "connect", l.Connect, "time to connect")
	f.DurationVar(&l.FirstByte, "first-byte", l.FirstByte, "time until the first byte of an answer")
	f.DurationVar(&l.Idle, "idle", l.Idle, "time between two pieces of a stream")
	f.DurationVar(&l.Total, "total", l.Total, "time for a whole call")
	f.IntVar(&l.Retries, "retries", l.Retries, "attempts after the first")
	f.DurationVar(&l.Hedge, "hedge", l.Hedge, "after which a second provider is asked as well (0: never)")
	f.IntVar(&l.MaxParallel, "max-parallel", l.MaxParallel, "calls at once (0: no cap)")
	f.IntVar(&l.MaxWaiting, "max-waiting", l.MaxWaiting, "calls that may wait for a place")
	f.DurationVar(&l.MaxWait, "max-wait", l.MaxWait, "time a call may wait for a place")
	f.IntVar(&l.BreakerFailurePercent, "breaker-failure-percent", l.BreakerFailurePercent, "share of failures that opens the breaker")
	f.IntVar(&l.BreakerMinCalls, "breaker-min-calls", l.BreakerMinCalls, "calls from which that share counts")
	f.DurationVar(&l.BreakerWindow, "breaker-window", l.BreakerWindow, "time over which it is taken")
	f.DurationVar(&l.BreakerSlow, "breaker-slow", l.BreakerSlow, "a later first byte counts as a failure (0: never)")
	f.DurationVar(&l.BreakerOpen, "breaker-open", l.BreakerOpen, "how long an open breaker stays so")
	return f.Bool("key-stdin", false, "read the credential from standard input")
}

func providerCreate(ctx context.Context, w world, args []string) error {
	f := newFlags("provider create")
	d := tenancy.ProviderDraft{Active: true, Limits: tenancy.DefaultProviderLimits()}
	fromStdin := providerFlags(f, &d)
	f.need("slug", "name", "kind", "base-url")
	if err := f.parse(w, args); err != nil {
		return err
	}
	if err := f.noRest(); err != nil {
		return err
	}
	credential, err := credentialFrom(w, *fromStdin)
	if err != nil {
		return err
	}
	if err := d.Validate(false); err != nil { // before a database is started for nothing
		return f.tell(err)
	}
	return withStore(ctx, w, f, func(ctx context.Context, cfg config.Config, s *store.Store) error {
		sealInto(&d, cfg, credential)
		provider, err := s.CreateProvider(ctx, d)
		if err != nil {
			return err
		}
		return printProvider(w, f, provider.ID, provider.Slug)
	})
}

func printProvider(w world, f *flags, providerID int64, slug string) error {
	out := struct {
		ID   int64  `json:"id"`
		Slug string `json:"slug"`
	}{providerID, slug}
	return f.print(w, out, []string{"ID", "SLUG"}, [][]string{{id(providerID), slug}})
}

func providerEdit(ctx context.Context, w world, args []string) error {
	f := newFlags("provider edit")
	d := tenancy.ProviderDraft{Active: true, Limits: tenancy.DefaultProviderLimits()}
	fromStdin := providerFlags(f, &d)
	f.need("slug")
	if err := f.parse(w, args); err != nil {
		return err
	}
	if err := f.noRest(); err != nil {
		return err
	}
	credential, err := credentialFrom(w, *fromStdin)
	if err != nil {
		return err
	}
	return withStore(ctx, w, f, func(ctx context.Context, cfg config.Config, s *store.Store) error {
		p, err := providerOf(ctx, s, "slug", d.Slug)
		if err != nil {
			return err
		}
		f.over(func() {
			d = tenancy.ProviderDraft{Slug: p.Slug, Name: p.Name, Kind: p.Kind, BaseURL: p.BaseURL, APIVersion: p.APIVersion, Active: p.Active, Limits: p.Limits}
		})
		sealInto(&d, cfg, credential)
		if err := s.UpdateProvider(ctx, p.ID, d); err != nil {
			return err
		}
		return printProvider(w, f, p.ID, p.Slug)
	})
}

// providerOf finds a provider by the slug that was typed for a flag.
func providerOf(ctx context.Context, s *store.Store, flagName, slug string) (tenancy.Provider, error) {
	provider, err := s.ProviderBySlug(ctx, slug)
	if fault.Is(err, fault.NotFound) {
		return provider, fmt.Errorf("--%s: there is no provider %q; filaia provider list shows them", flagName, slug)
	}
	return provider, err
}

// credentialFrom reads a credential when asked to; "" means that none was given.
func credentialFrom(w world, fromStdin bool) (string, error) {
	if !fromStdin {
		return "", nil
	}
	credential, err := secretFrom(w.stdin)
	if err != nil {
		return "", err
	}
	credential = strings.TrimSpace(credential)
	if credential == "" {
		return "", errors.New("--key-stdin: nothing came on standard input; pipe the credential in")
	}
	if !tenancy.ValidCredential(credential) {
		return "", errors.New("--key-stdin: a credential is one word of letters, digits and signs; pipe the whole key in, without an ellipsis")
	}
	return credential, nil
}

// sealInto puts a credential, where there is one, into a draft.
func sealInto(d *tenancy.ProviderDraft, cfg config.Config, credential string) {
	if credential != "" {
		d.Credential = secret.New([32]byte(cfg.SecretKey)).Seal([]byte(credential), tenancy.CredentialContext(d.Slug))
		d.Hint = secret.Hint(credential)
	}
}

// limitsShown is a provider's limits as flags take them.
type limitsShown struct {
	Connect               string `json:"connect"`
	FirstByte             string `json:"first_byte"`
	Idle                  string `json:"idle"`
	Total                 string `json:"total"`
	Retries               int    `json:"retries"`
	Hedge                 string `json:"hedge"`
	MaxParallel           int    `json:"max_parallel"`
	MaxWaiting            int    `json:"max_waiting"`
	MaxWait               string `json:"max_wait"`
	BreakerFailurePercent int    `json:"breaker_failure_percent"`
	BreakerMinCalls       int    `json:"breaker_min_calls"`
	BreakerWindow         string `json:"breaker_window"`
	BreakerSlow           string `json:"breaker_slow"`
	BreakerOpen           string `json:"breaker_open"`
}

func showLimits(l tenancy.ProviderLimits) limitsShown {
	return limitsShown{l.Connect.String(), l.FirstByte.String(), l.Idle.String(), l.Total.String(), l.Retries, l.Hedge.String(),
		l.MaxParallel, l.MaxWaiting, l.MaxWait.String(), l.BreakerFailurePercent, l.BreakerMinCalls, l.BreakerWindow.String(),
		l.BreakerSlow.String(), l.BreakerOpen.String()}
}

func providerList(ctx context.Context, w world, args []string) error {
	f := newFlags("provider list")
	if err := f.parse(w, args); err != nil {
		return err
	}
	if err := f.noRest(); err != nil {
		return err
	}
	type row struct {
		ID              int64       `json:"id"`
		Slug            string      `json:"slug"`
		Name            string      `json:"name"`
		Kind            string      `json:"kind"`
		BaseURL         string      `json:"base_url"`
		APIVersion      string      `json:"api_version"`
		KeyHint         string      `json:"key_hint"`
		FromEnvironment bool        `json:"from_environment"`
		Active          bool        `json:"active"`
		Limits          limitsShown `json:"limits"`
	}
	return withStore(ctx, w, f, func(ctx context.Context, _ config.Config, s *store.Store) error {
		providers, err := s.Providers(ctx)
		if err != nil {
			return err
		}
		out, rows := []row{}, [][]string{}
		for _, p := range providers {
			out = append(out, row{p.ID, p.Slug, p.Name, string(p.Kind), p.BaseURL, p.APIVersion, p.CredentialHint, p.FromEnvironment, p.Active, showLimits(p.Limits)})
			address, hint := p.BaseURL, p.CredentialHint
			if p.FromEnvironment && address == "" {
				address = "(environment)"
			}
			if p.FromEnvironment && hint == "" {
				hint = "(environment)"
			}
			rows = append(rows, []string{id(p.ID), p.Slug, p.Name, string(p.Kind), address, hint, state(p.Active)})
		}
		return f.print(w, out, []string{"ID", "SLUG", "NAME", "KIND", "ADDRESS", "KEY", "STATE"}, rows)
	})
}

func state(active bool) string {
	if active {
		return "active"
	}
	return "off"
}
