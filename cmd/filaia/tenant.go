package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/fila-ia/filaia/internal/config"
	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/store"
)

func tenantCreate(ctx context.Context, w world, args []string) error {
	f := newFlags("tenant create")
	var d tenancy.TenantDraft
	f.StringVar(&d.Name, "name", "", "name of the customer")
	plan := f.String("plan", "", "slug of the plan")
	f.StringVar(&d.Email, "email", "", "where to write to")
	f.StringVar(&d.TaxID, "tax-id", "", "CNPJ or CPF")
	f.StringVar((*string)(&d.Language), "language", "", "that it is written to in: pt-BR or en (default: pt-BR)")
	f.StringVar(&d.TimeZone, "time-zone", "", "IANA time zone (default: FILAIA_TIME_ZONE)")
	f.rates(&d.Rates, " of all its keys together")
	f.IntVar(&d.BillingDay, "billing-day", 1, "day of the month on which periods begin")
	f.need("name", "plan")
	if err := f.parse(w, args); err != nil {
		return err
	}
	if err := f.noRest(); err != nil {
		return err
	}
	return withStore(ctx, w, f, func(ctx context.Context, cfg config.Config, s *store.Store) error {
		if d.TimeZone == "" {
			d.TimeZone = cfg.TimeZone.String()
		}
		var err error
		if d.PlanID, err = planID(ctx, s, *plan); err != nil {
			return err
		}
		tenant, err := s.CreateTenant(ctx, d)
		if err != nil {
			return err
		}
		return f.print(w, map[string]int64{"id": tenant.ID}, []string{"ID"}, [][]string{{id(tenant.ID)}})
	})
}

// planID finds a plan by the slug that was typed.
func planID(ctx context.Context, s *store.Store, slug string) (int64, error) {
	plan, err := s.PlanBySlug(ctx, slug)
	if fault.Is(err, fault.NotFound) {
		return 0, fmt.Errorf("--plan: there is no plan %q; filaia plan list shows them", slug)
	}
	return plan.ID, err
}

// tenantKnown says of a customer that is not there which one was asked for.
func tenantKnown(err error, tenantID int64) error {
	if fault.Is(err, fault.NotFound) {
		return fmt.Errorf("--tenant: there is no customer %d; filaia tenant list shows them", tenantID)
	}
	return err
}

func tenantList(ctx context.Context, w world, args []string) error {
	f := newFlags("tenant list")
	if err := f.parse(w, args); err != nil {
		return err
	}
	if err := f.noRest(); err != nil {
		return err
	}
	type row struct {
		ID     int64  `json:"id"`
		Name   string `json:"name"`
		Email  string `json:"email"`
		TaxID  string `json:"tax_id"`
		Plan   string `json:"plan"`
		Status string `json:"status"`
		Keys   int    `json:"keys"`
		limits
	}
	return withStore(ctx, w, f, func(ctx context.Context, _ config.Config, s *store.Store) error {
		tenants, err := everyPage(ctx, s.ListTenants, tenancy.ListQuery{})
		if err != nil {
			return err
		}
		out, rows := []row{}, [][]string{}
		for _, t := range tenants {
			r := row{t.ID, t.Name, t.Email, t.TaxID, t.PlanName, string(t.Status), t.Keys, limitsOf(t.Rates)}
			out = append(out, r)
			rows = append(rows, []string{id(r.ID), r.Name, r.Email, tenancy.FormatTaxID(r.TaxID), r.Plan, r.Status, strconv.Itoa(r.Keys)})
		}
		return f.print(w, out, []string{"ID", "NAME", "E-MAIL", "TAX ID", "PLAN", "STATUS", "KEYS"}, rows)
	})
}
