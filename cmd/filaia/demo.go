package main

import (
	"context"
	"time"

	"github.com/fila-ia/filaia/internal/config"
	"github.com/fila-ia/filaia/internal/demo"
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
	return withStore(ctx, w, func(ctx context.Context, cfg config.Config, s *store.Store) error {
		report, err := demo.Seed(ctx, s, tenancy.NewPasswords(), time.Now(), cfg.TimeZone)
		if err != nil {
			return err
		}
		rows := [][]string{}
		for _, l := range report.Logins {
			rows = append(rows, []string{string(l.Role), l.Customer, l.Email, l.Password})
		}
		return f.print(w, report, []string{"ROLE", "CUSTOMER", "E-MAIL", "PASSWORD (shown only now)"}, rows)
	})
}
