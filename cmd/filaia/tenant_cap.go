package main

import (
	"context"
	"fmt"

	"github.com/fila-ia/filaia/internal/config"
	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/store"
)

// noCap is what takes a cap away.
const noCap = "none"

// tenantCap bounds what a customer is charged above its plan.
func tenantCap(ctx context.Context, w world, args []string) error {
	f := newFlags("tenant cap")
	tenantID := f.Int64("tenant", 0, "id of the customer")
	amount := f.String("cap", "", "R$ that a period may be charged above what the plan includes, such as 500.00, or "+noCap)
	f.need("tenant", "cap")
	if err := f.parse(w, args); err != nil {
		return err
	}
	if err := f.noRest(); err != nil {
		return err
	}
	var limit *money.Micros
	if *amount != noCap {
		read, err := money.Parse(*amount)
		if err != nil {
			return fmt.Errorf("--cap: %q is not accepted; give an amount such as 500.00, or %s", *amount, noCap)
		}
		limit = &read
	}
	return withStore(ctx, w, f, func(ctx context.Context, _ config.Config, s *store.Store) error {
		if err := s.SetSpendCap(ctx, *tenantID, limit); err != nil {
			return tenantKnown(err, *tenantID)
		}
		tenant, err := s.Tenant(ctx, *tenantID)
		if err != nil {
			return err
		}
		set, words := (*string)(nil), noCap
		if limit != nil {
			words = limit.Plain()
			set = &words
		}
		charged := tenant.Allowance.Charged.Plain()
		return f.print(w, map[string]any{"tenant": *tenantID, "spend_cap_brl": set, "charge_brl": charged},
			[]string{"TENANT", "CAP (R$)", "CHARGED (R$)"}, [][]string{{id(*tenantID), words, charged}})
	})
}
