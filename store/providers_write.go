package store

import (
	"context"
	"fmt"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
)

func providerSubject(id int64) string { return fmt.Sprintf("provider:%d", id) }

// providerDetails is what the audit log keeps of a provider: of its credential only that there is another one now.
func providerDetails(d tenancy.ProviderDraft) map[string]any {
	return map[string]any{
		"slug": d.Slug, "name": d.Name, "kind": d.Kind, "base_url": d.BaseURL, "api_version": d.APIVersion, "active": d.Active,
		"limits": limitsOf(d.Limits), "credential_changed": d.Credential != nil,
	}
}

func rowOf(d tenancy.ProviderDraft) providerRow {
	return providerRow{Slug: d.Slug, Name: d.Name, Kind: string(d.Kind), BaseURL: d.BaseURL, APIVersion: d.APIVersion,
		Credential: d.Credential, CredentialHint: d.Hint, Active: d.Active, limitsRow: limitsOf(d.Limits)}
}

// CreateProvider adds a provider. A slug that is taken is a Conflict on the field slug.
func (s *Store) CreateProvider(ctx context.Context, d tenancy.ProviderDraft) (provider tenancy.Provider, err error) {
	if err := d.Validate(false); err != nil {
		return provider, err
	}
	row := rowOf(d)
	if len(row.Credential) == 0 {
		row.Credential, row.CredentialHint, d.Credential = nil, "", nil
	}
	err = s.inTx(ctx, func(tx *tx) error {
		row.CreatedAt = tx.now
		const insert = `INSERT INTO providers (slug, name, kind, base_url, api_version, credential, credential_hint, active, created_at, ` +
			limitColumns + `) VALUES (:slug, :name, :kind, :base_url, :api_version, :credential, :credential_hint, :active, :created_at,
			:connect_ms, :first_byte_ms, :idle_ms, :total_ms, :retries, :hedge_ms, :max_parallel, :max_waiting, :max_wait_ms,
			:breaker_failure_percent, :breaker_min_calls, :breaker_window_ms, :breaker_slow_ms, :breaker_open_ms)`
		if _, err := tx.NamedExecContext(ctx, insert, row); err != nil {
			return known(err, providerMissing)
		}
		if provider, err = oneProvider(ctx, tx, `slug = $1`, d.Slug); err != nil {
			return err
		}
		return tx.audit(ctx, "provider.create", providerSubject(provider.ID), 0, providerDetails(d))
	})
	if err != nil {
		return tenancy.Provider{}, fmt.Errorf("create provider %q: %w", d.Slug, err)
	}
	return provider, nil
}

// UpdateProvider changes everything of a provider but its slug, to which its credential is sealed. Credential nil keeps
// the one that is there; an empty one takes it away. The provider from the environment may keep an empty address.
func (s *Store) UpdateProvider(ctx context.Context, id int64, d tenancy.ProviderDraft) error {
	err := s.inTx(ctx, func(tx *tx) error {
		before, err := oneProvider(ctx, tx, `id = $1 FOR UPDATE`, id)
		if err != nil {
			return err
		}
		d.Slug = before.Slug
		if err := d.Validate(before.FromEnvironment); err != nil {
			return err
		}
		row := rowOf(d)
		row.ID = id
		switch {
		case d.Credential == nil:
			row.Credential, row.CredentialHint = before.Credential, before.CredentialHint
		case len(d.Credential) == 0:
			row.Credential, row.CredentialHint = nil, ""
		}
		const update = `UPDATE providers SET name = :name, kind = :kind, base_url = :base_url, api_version = :api_version,
			credential = :credential, credential_hint = :credential_hint, active = :active, connect_ms = :connect_ms,
			first_byte_ms = :first_byte_ms, idle_ms = :idle_ms, total_ms = :total_ms, retries = :retries, hedge_ms = :hedge_ms,
			max_parallel = :max_parallel, max_waiting = :max_waiting, max_wait_ms = :max_wait_ms,
			breaker_failure_percent = :breaker_failure_percent, breaker_min_calls = :breaker_min_calls,
			breaker_window_ms = :breaker_window_ms, breaker_slow_ms = :breaker_slow_ms, breaker_open_ms = :breaker_open_ms WHERE id = :id`
		if _, err := tx.NamedExecContext(ctx, update, row); err != nil {
			return known(err, providerMissing)
		}
		return tx.audit(ctx, "provider.edit", providerSubject(id), 0, providerDetails(d))
	})
	if err != nil {
		return fmt.Errorf("edit provider %d: %w", id, err)
	}
	return nil
}

// DeleteProvider removes a provider with the prices of its own, its forced breakers and their history; what calls cost is
// kept with the calls. It is a Conflict while a route points to it, and for the one from the environment.
func (s *Store) DeleteProvider(ctx context.Context, id int64) error {
	err := s.inTx(ctx, func(tx *tx) error {
		provider, err := oneProvider(ctx, tx, `id = $1 FOR UPDATE`, id)
		if err != nil {
			return err
		}
		if provider.FromEnvironment {
			return fault.New(fault.Conflict, "providers.error.from_environment")
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM model_prices WHERE provider_id = $1`, id); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM providers WHERE id = $1`, id); err != nil {
			return stillRouted(err)
		}
		return tx.audit(ctx, "provider.delete", providerSubject(id), 0, map[string]any{"slug": provider.Slug, "name": provider.Name})
	})
	if err != nil {
		return fmt.Errorf("delete provider %d: %w", id, err)
	}
	return nil
}

// stillRouted tells of a delete that routes stand in the way; the same constraint says on an insert that there is no
// such provider.
func stillRouted(err error) error {
	if f := known(err, providerMissing); fault.Is(f, fault.NotFound) {
		return fault.New(fault.Conflict, "providers.error.in_use").Because(err)
	}
	return err
}
