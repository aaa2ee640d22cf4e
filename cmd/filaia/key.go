package main

import (
	"cmp"
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

func keyCreate(ctx context.Context, w world, args []string) error {
	f := newFlags("key create")
	var d tenancy.KeyDraft
	f.Int64Var(&d.TenantID, "tenant", 0, "id of the customer")
	f.StringVar(&d.Name, "name", "API", "name to tell keys apart")
	plan := f.String("plan", "", "slug of a plan of the key's own (default: the customer's)")
	expires := f.String("expires", "", "when it stops working, RFC 3339 such as 2027-01-31T00:00:00Z (default: never)")
	models := f.String("models", "", "allowed models, comma-separated (none: those of the plan)")
	f.rates(&d.Rates, " of this key alone")
	cache := f.String("cache", ofThePlan, cacheHelp)
	f.need("tenant")
	if err := f.parse(w, args); err != nil {
		return err
	}
	if err := f.noRest(); err != nil {
		return err
	}
	d.Cache = keyCache(*cache)
	if *expires != "" {
		at, err := time.Parse(time.RFC3339, *expires)
		if err != nil {
			return fmt.Errorf("--expires: %q is no time; give RFC 3339, such as 2027-01-31T00:00:00Z", *expires)
		}
		d.ExpiresAt = &at
	}
	d.AllowedModels = list(*models)
	return withStore(ctx, w, f, func(ctx context.Context, _ config.Config, s *store.Store) (err error) {
		if err := knownModels(ctx, s, d.AllowedModels); err != nil {
			return err
		}
		if *plan != "" {
			if d.PlanID, err = planID(ctx, s, *plan); err != nil {
				return err
			}
		}
		key, secret, err := s.CreateKey(ctx, d)
		if err != nil {
			return tenantKnown(err, d.TenantID)
		}
		out := struct {
			ID  int64  `json:"id"`
			Key string `json:"key"`
		}{key.ID, secret.Reveal()}
		return f.print(w, out, []string{"ID", "KEY (shown only now)"}, [][]string{{id(key.ID), secret.Reveal()}})
	})
}

func keyList(ctx context.Context, w world, args []string) error {
	f := newFlags("key list")
	tenant := f.Int64("tenant", 0, "only keys of this customer")
	if err := f.parse(w, args); err != nil {
		return err
	}
	if err := f.noRest(); err != nil {
		return err
	}
	type row struct {
		ID       int64    `json:"id"`
		TenantID int64    `json:"tenant_id"`
		Tenant   string   `json:"tenant"`
		Name     string   `json:"name"`
		Hint     string   `json:"hint"`
		Plan     string   `json:"plan"`
		Models   []string `json:"models"`
		State    string   `json:"state"`
		Cache    string   `json:"cache"` // plan: as the plan says
		limits
		ExpiresAt  *time.Time `json:"expires_at"`
		LastUsedAt *time.Time `json:"last_used_at"`
	}
	return withStore(ctx, w, f, func(ctx context.Context, _ config.Config, s *store.Store) error {
		keys, err := everyPage(ctx, s.ListKeys, tenancy.ListQuery{TenantID: *tenant})
		if err != nil {
			return err
		}
		out, rows := []row{}, [][]string{}
		for _, k := range keys {
			state := string(k.State(time.Now()))
			out = append(out, row{ID: k.ID, TenantID: k.TenantID, Tenant: k.TenantName, Name: k.Name, Hint: k.Hint, Plan: k.PlanName, Models: k.AllowedModels,
				State: state, Cache: cmp.Or(string(k.Cache), ofThePlan), limits: limitsOf(k.Rates), ExpiresAt: k.ExpiresAt, LastUsedAt: k.LastUsedAt})
			rows = append(rows, []string{id(k.ID), k.TenantName, k.Name, k.Hint, k.PlanName, strings.Join(k.AllowedModels, ","), state})
		}
		return f.print(w, out, []string{"ID", "TENANT", "NAME", "KEY", "PLAN", "MODELS", "STATE"}, rows)
	})
}

func keyRevoke(ctx context.Context, w world, args []string) error {
	f := newFlags("key revoke")
	which := f.Int64("id", 0, "id of the key; it may also stand alone")
	if err := f.parse(w, args); err != nil {
		return err
	}
	if *which == 0 && len(f.rest) == 1 {
		n, err := strconv.ParseInt(f.rest[0], 10, 64)
		if err != nil {
			return fmt.Errorf("%q is no key id; filaia key list shows them", f.rest[0])
		}
		*which, f.rest = n, nil
	}
	if err := f.noRest(); err != nil {
		return err
	}
	if *which == 0 {
		return fmt.Errorf("give the id of the key; filaia key list shows them")
	}
	return withStore(ctx, w, f, func(ctx context.Context, _ config.Config, s *store.Store) error {
		err := s.RevokeKey(ctx, *which)
		if fault.Is(err, fault.NotFound) {
			return fmt.Errorf("there is no key %d; filaia key list shows them", *which)
		}
		if err != nil {
			return err
		}
		out := map[string]any{"id": *which, "revoked": true}
		return f.print(w, out, []string{"ID", "STATE"}, [][]string{{id(*which), string(tenancy.KeyRevoked)}})
	})
}
