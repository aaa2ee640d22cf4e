package main

import (
	"context"
	"errors"

	"github.com/fila-ia/filaia/internal/config"
	"github.com/fila-ia/filaia/internal/tenancy"
	"github.com/fila-ia/filaia/store"
)

func userCreate(ctx context.Context, w world, args []string) error {
	f := newFlags("user create")
	var d tenancy.UserDraft
	f.StringVar(&d.Email, "email", "", "e-mail address, the sign-in name")
	f.StringVar(&d.Name, "name", "", "name of the person")
	role := f.String("role", "", "owner, manager, viewer, tenant_admin or tenant_viewer")
	f.Int64Var(&d.TenantID, "tenant", 0, "id of the customer, for tenant roles")
	fromStdin := f.Bool("password-stdin", false, "read the password from standard input")
	f.need("email", "name", "role")
	if err := f.parse(w, args); err != nil {
		return err
	}
	if err := f.noRest(); err != nil {
		return err
	}
	if !*fromStdin {
		return errors.New("--password-stdin is required: pipe the password in, so that it is in no history and no process list")
	}
	d.Role = tenancy.Role(*role)
	var err error
	if d.Password, err = secretFrom(w.stdin); err != nil {
		return err
	}
	if err := d.Validate(); err != nil {
		return f.tell(err)
	}
	hash, err := tenancy.NewPasswords().Hash(ctx, d.Password)
	if err != nil {
		return err
	}
	return withStore(ctx, w, f, func(ctx context.Context, _ config.Config, s *store.Store) error {
		user, err := s.CreateUser(ctx, d, hash)
		if err != nil {
			return tenantKnown(err, d.TenantID)
		}
		out := map[string]any{"id": user.ID, "email": user.Email, "role": user.Role}
		return f.print(w, out, []string{"ID", "E-MAIL", "ROLE"}, [][]string{{id(user.ID), user.Email, string(user.Role)}})
	})
}
