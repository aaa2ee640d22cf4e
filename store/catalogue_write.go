package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/lib/pq"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
)

func modelSubject(name string) string { return "model:" + name }

// routeDetails is what the audit log keeps of a route.
type routeDetails struct {
	ProviderID    int64  `json:"provider_id"`
	UpstreamModel string `json:"upstream_model"`
	Priority      int    `json:"priority"`
	Weight        int    `json:"weight"`
	Active        bool   `json:"active"`
}

func modelDetails(d tenancy.ModelDraft) map[string]any {
	routes := make([]routeDetails, len(d.Routes))
	for i, r := range d.Routes {
		routes[i] = routeDetails{r.ProviderID, r.UpstreamModel, r.Priority, r.Weight, r.Active}
	}
	return map[string]any{"name": d.Name, "owned_by": d.OwnedBy, "max_output_tokens": d.MaxOutputTokens, "active": d.Active,
		"default": d.Default, "routes": routes}
}

// CreateModel adds a model with its routes and its first price. A name that is taken is a Conflict on the field name.
func (s *Store) CreateModel(ctx context.Context, d tenancy.ModelDraft, p tenancy.Price) error {
	if err := d.Validate(); err != nil {
		return err
	}
	if err := p.Validate(); err != nil {
		return err
	}
	err := s.inTx(ctx, func(tx *tx) error {
		if err := tx.takeDefault(ctx, d); err != nil {
			return err
		}
		const insert = `INSERT INTO models (name, owned_by, max_output_tokens, active, is_default, created_at) VALUES ($1, $2, $3, $4, $5, $6)`
		if _, err := tx.ExecContext(ctx, insert, d.Name, d.OwnedBy, d.MaxOutputTokens, d.Active, d.Default, tx.now); err != nil {
			return known(err, modelMissing)
		}
		if err := tx.audit(ctx, "model.create", modelSubject(d.Name), 0, modelDetails(d)); err != nil {
			return err
		}
		if err := tx.replaceRoutes(ctx, d); err != nil {
			return err
		}
		if err := tx.insertPrice(ctx, d.Name, p); err != nil {
			return err
		}
		return tx.requirePrices(ctx, d.Name)
	})
	if err != nil {
		return fmt.Errorf("create model %q: %w", d.Name, err)
	}
	return nil
}

// UpdateModel changes a model and its routes; those that stay keep their ids. The name may change only while no call,
// plan or key has it (else a Conflict on the field name). A model goes on offer only with a price for every active route.
func (s *Store) UpdateModel(ctx context.Context, name string, d tenancy.ModelDraft) error {
	if err := d.Validate(); err != nil {
		return err
	}
	err := s.inTx(ctx, func(tx *tx) error {
		if err := tx.lockModel(ctx, name); err != nil {
			return err
		}
		if d.Name != name {
			if err := tx.refuseNamed(ctx, name); err != nil {
				return err
			}
		}
		if err := tx.takeDefault(ctx, d); err != nil {
			return err
		}
		const update = `UPDATE models SET name = $2, owned_by = $3, max_output_tokens = $4, active = $5, is_default = $6 WHERE name = $1`
		if _, err := tx.ExecContext(ctx, update, name, d.Name, d.OwnedBy, d.MaxOutputTokens, d.Active, d.Default); err != nil {
			return known(err, modelMissing)
		}
		if err := tx.replaceRoutes(ctx, d); err != nil {
			return err
		}
		if err := tx.requirePrices(ctx, d.Name); err != nil {
			return err
		}
		return tx.audit(ctx, "model.edit", modelSubject(name), 0, modelDetails(d))
	})
	if err != nil {
		return fmt.Errorf("edit model %q: %w", name, err)
	}
	return nil
}

// lockModel makes changes of one model wait for each other.
func (t *tx) lockModel(ctx context.Context, name string) error {
	var found string
	return known(t.GetContext(ctx, &found, `SELECT name FROM models WHERE name = $1 FOR UPDATE`, name), modelMissing)
}

// takeDefault makes room for another default model.
func (t *tx) takeDefault(ctx context.Context, d tenancy.ModelDraft) error {
	if !d.Default {
		return nil
	}
	_, err := t.ExecContext(ctx, `UPDATE models SET is_default = false WHERE is_default`)
	return err
}

// refuseNamed refuses to rename what calls, plans, keys or the cache's settings know by its name.
func (t *tx) refuseNamed(ctx context.Context, name string) error {
	var named bool
	const query = `SELECT EXISTS (SELECT FROM usage_hourly WHERE model = $1)
		OR EXISTS (SELECT FROM plan_versions WHERE $1 = ANY(allowed_models))
		OR EXISTS (SELECT FROM api_keys WHERE $1 = ANY(allowed_models))
		OR EXISTS (SELECT FROM settings WHERE name = '` + cacheSetting + `' AND value->>'embedding_model' = $1)`
	if err := t.GetContext(ctx, &named, query, name); err != nil {
		return err
	}
	if named {
		f := fault.New(fault.Conflict, "models.error.named")
		f.Fields = []fault.Field{{Name: "name", Key: f.Key}}
		return f
	}
	return nil
}

// replaceRoutes lets a locked or new model have the draft's routes and no others.
func (t *tx) replaceRoutes(ctx context.Context, d tenancy.ModelDraft) error {
	providers := ints(d.Routes, func(r *tenancy.Route) int64 { return r.ProviderID })
	names := texts(d.Routes, func(r *tenancy.Route) string { return r.UpstreamModel })
	const gone = `DELETE FROM model_routes r WHERE r.model = $1 AND NOT EXISTS (
		SELECT FROM unnest($2::bigint[], $3::text[]) AS d (provider_id, upstream_model)
		WHERE d.provider_id = r.provider_id AND d.upstream_model = r.upstream_model)`
	if _, err := t.ExecContext(ctx, gone, d.Name, providers, names); err != nil {
		return err
	}
	const keep = `INSERT INTO model_routes (model, provider_id, upstream_model, priority, weight, active)
		SELECT $1, d.* FROM unnest($2::bigint[], $3::text[], $4::int[], $5::int[], $6::bool[]) AS d
		ON CONFLICT ON CONSTRAINT model_routes_once
		DO UPDATE SET priority = EXCLUDED.priority, weight = EXCLUDED.weight, active = EXCLUDED.active`
	_, err := t.ExecContext(ctx, keep, d.Name, providers, names,
		ints(d.Routes, func(r *tenancy.Route) int64 { return int64(r.Priority) }),
		ints(d.Routes, func(r *tenancy.Route) int64 { return int64(r.Weight) }),
		bools(d.Routes, func(r *tenancy.Route) bool { return r.Active }))
	return known(err, providerMissing)
}

// Rank of an imported route: of a model that is new, and behind the routes that others have.
const (
	importedPriority = 1
	fallbackPriority = 2
)

// importedMaxOutput stands for a model's longest answer until somebody says better; providers' lists do not tell it.
const importedMaxOutput = 16384

// ImportModels takes over a provider's own list. A name that does not exist becomes a model that is not on offer until it
// gets a price; one that exists gets a route behind those it has, which serves only where a price holds for it. It
// gives the names for which something was added, and passes over those that no model can have.
func (s *Store) ImportModels(ctx context.Context, providerID int64, names []string) (added []string, err error) {
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !tenancy.ValidModelName(name) })
	err = s.inTx(ctx, func(tx *tx) error {
		provider, err := oneProvider(ctx, tx, `id = $1 FOR SHARE`, providerID)
		if err != nil {
			return err
		}
		const models = `INSERT INTO models (name, owned_by, max_output_tokens, active, created_at)
			SELECT DISTINCT n, $2, $3::bigint, false, $4::timestamptz FROM unnest($1::text[]) n ORDER BY n
			ON CONFLICT DO NOTHING RETURNING name`
		var made []string
		if err := tx.SelectContext(ctx, &made, models, pq.StringArray(names), provider.Slug, importedMaxOutput, tx.now); err != nil {
			return err
		}
		const routes = `INSERT INTO model_routes (model, provider_id, upstream_model, priority, active)
			SELECT m.name, $2, m.name, CASE WHEN m.name = ANY($3) THEN $4::int ELSE $5::int END,
				NOT m.active OR EXISTS (SELECT FROM model_prices p
					WHERE p.model = m.name AND (p.provider_id IS NULL OR p.provider_id = $2) AND p.since <= $6)
			FROM models m WHERE m.name = ANY($1) AND NOT EXISTS (SELECT FROM model_routes r WHERE r.model = m.name AND r.provider_id = $2)
			ORDER BY m.name ON CONFLICT DO NOTHING RETURNING model`
		err = tx.SelectContext(ctx, &added, routes, pq.StringArray(names), providerID, pq.StringArray(made), importedPriority, fallbackPriority, tx.now)
		if err != nil || len(added) == 0 {
			return err
		}
		return tx.audit(ctx, "provider.import", providerSubject(providerID), 0, map[string]any{"models": made, "routes": added})
	})
	if err != nil {
		return nil, fmt.Errorf("import models of provider %d: %w", providerID, err)
	}
	return added, nil
}
