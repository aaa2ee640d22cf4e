package store

import (
	"database/sql"
	"errors"

	"github.com/lib/pq"

	"github.com/fila-ia/filaia/internal/fault"
)

// violation gives each constraint that a person can run into its field and message.
func violation(constraint string) *fault.Error {
	field := func(name, key string) *fault.Error {
		e := fault.New(fault.Conflict, key)
		e.Fields = []fault.Field{{Name: name, Key: key}}
		return e
	}
	switch constraint {
	case "plans_slug_unique":
		return field("slug", "plans.error.slug_taken")
	case "plan_versions_one_draft", "plan_versions_number_unique", "plan_versions_immutable":
		return fault.New(fault.Conflict, "plans.error.changed_meanwhile")
	case "tenants_tax_id_unique":
		return field("tax_id", "tenants.error.tax_id_taken")
	case "users_email_unique":
		return field("email", "users.error.email_taken")
	case "users_tenant_id_fkey":
		return fault.New(fault.NotFound, "tenants.error.not_found")
	case "api_keys_rotated_once":
		return fault.New(fault.Conflict, "keys.error.already_rotated")
	case "providers_slug_unique":
		return field("slug", "providers.error.slug_taken")
	case "model_routes_provider_id_fkey", "model_prices_provider_id_fkey", "breaker_forces_provider_id_fkey":
		return fault.New(fault.NotFound, "providers.error.not_found")
	case "models_pkey":
		return field("name", "models.error.name_taken")
	case "models_one_default":
		return fault.New(fault.Conflict, "models.error.changed_meanwhile")
	case "model_prices_once":
		return field("since", "models.error.price_taken")
	}
	return nil
}

// known turns constraint violations and missing rows into faults; what it does not know passes unchanged.
// missing is the message key for a row that is not there.
func known(err error, missing string) error {
	if errors.Is(err, sql.ErrNoRows) {
		return fault.New(fault.NotFound, missing)
	}
	var pqErr *pq.Error
	if errors.As(err, &pqErr) && pqErr.Code.Class() == "23" {
		if f := violation(pqErr.Constraint); f != nil {
			return f.Because(err)
		}
	}
	return err
}
