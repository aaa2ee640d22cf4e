package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/fila-ia/filaia/internal/config"
	"github.com/fila-ia/filaia/internal/demo"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/store"
)

func demoSeed(ctx context.Context, w world, args []string) error {
	f := newFlags("demo seed")
	if err := f.parse(w, args); err != nil {
		return err
	}
	if err := f.noRest(); err != nil {
		return err
	}
	return withStore(ctx, w, f, func(ctx context.Context, cfg config.Config, s *store.Store) error {
		return seed(ctx, w, f, cfg, s)
	})
}

func seed(ctx context.Context, w world, f *flags, cfg config.Config, s *store.Store) error {
	report, err := demo.Seed(ctx, s, tenancy.NewPasswords(), time.Now(), cfg.TimeZone)
	if err != nil {
		return err
	}
	type login struct {
		Role     tenancy.Role `json:"role"`
		Customer string       `json:"customer"` // empty for the team
		Email    string       `json:"email"`
		Password string       `json:"password"`
	}
	type access struct {
		Customer string `json:"customer"`
		Key      string `json:"key"`
	}
	out := struct {
		Customers int      `json:"customers"`
		Calls     int      `json:"calls"`
		Logins    []login  `json:"logins"`
		Keys      []access `json:"keys"`
	}{Customers: report.Customers, Calls: report.Calls}
	rows := [][]string{}
	for _, l := range report.Logins {
		out.Logins = append(out.Logins, login(l))
		rows = append(rows, []string{string(l.Role), l.Customer, l.Email, l.Password})
	}
	for _, k := range report.Keys {
		out.Keys = append(out.Keys, access{k.Customer, k.Secret.Reveal()})
	}
	return f.print(w, out, []string{"ROLE", "CUSTOMER", "E-MAIL", "PASSWORD (shown only now)"}, rows)
}

// demoServe seeds an empty installation, then serves it with the simulator and lets some customers call.
func demoServe(ctx context.Context, w world, args []string) error {
	f := newFlags("demo serve")
	if err := f.parse(w, args); err != nil {
		return err
	}
	if err := f.noRest(); err != nil {
		return err
	}
	// Made-up customers must not spend real money.
	getenv := w.getenv
	w.getenv = func(name string) string {
		if strings.HasPrefix(name, "OPENAI_") {
			return ""
		}
		return getenv(name)
	}
	var keys []tenancy.Secret
	var address string
	err := withStore(ctx, w, f, func(ctx context.Context, cfg config.Config, s *store.Store) error {
		address = cfg.Listen
		if err := seed(ctx, w, f, cfg, s); err != nil && !fault.Is(err, fault.Conflict) {
			return err
		}
		var err error
		keys, err = liveKeys(ctx, s)
		return err
	})
	if err != nil {
		return err
	}
	go callWhenReady(ctx, "http://"+address, keys)
	return serve(ctx, w, nil)
}

// liveCustomers is how many customers call during the demonstration.
const liveCustomers = 5

// liveKeys makes a key for some customers. Those of an earlier demonstration are revoked: their secrets are gone.
func liveKeys(ctx context.Context, s *store.Store) ([]tenancy.Secret, error) {
	old, err := everyPage(ctx, s.ListKeys, tenancy.ListQuery{Search: demo.LiveKeyName, Status: string(tenancy.KeyActive)})
	if err != nil {
		return nil, err
	}
	for _, key := range old {
		if err := s.RevokeKey(ctx, key.ID); err != nil {
			return nil, err
		}
	}
	tenants, err := everyPage(ctx, s.ListTenants, tenancy.ListQuery{Status: string(tenancy.TenantActive)})
	if err != nil {
		return nil, err
	}
	var secrets []tenancy.Secret
	for _, tenant := range tenants[:min(liveCustomers, len(tenants))] {
		_, secret, err := s.CreateKey(ctx, tenancy.KeyDraft{TenantID: tenant.ID, Name: demo.LiveKeyName})
		if err != nil {
			return nil, fmt.Errorf("key of %s: %w", tenant.Name, err)
		}
		secrets = append(secrets, secret)
	}
	return secrets, nil
}

// callWhenReady waits for the server and then calls it until ctx ends.
func callWhenReady(ctx context.Context, url string, keys []tenancy.Secret) {
	for ctx.Err() == nil {
		res, err := http.Get(url + "/readyz")
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				demo.Live(ctx, url+"/v1", keys, slog.New(slog.DiscardHandler))
				return
			}
		}
		time.Sleep(200 * time.Millisecond)
	}
}
