package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
)

const modelMissing = "models.error.not_found"

// modelRow is a model with the price that holds for every provider without one of its own.
type modelRow struct {
	Name            string    `db:"name"`
	OwnedBy         string    `db:"owned_by"`
	MaxOutputTokens int64     `db:"max_output_tokens"`
	Default         bool      `db:"is_default"`
	Active          bool      `db:"active"`
	CreatedAt       time.Time `db:"created_at"`
	priceRow
}

// routeRow is a route with its provider's own price, or else the one of every provider.
type routeRow struct {
	ID            int64  `db:"id"`
	Model         string `db:"model"`
	RouteProvider int64  `db:"route_provider_id"`
	UpstreamModel string `db:"upstream_model"`
	Priority      int    `db:"priority"`
	Weight        int    `db:"weight"`
	Active        bool   `db:"active"`
	priceRow
}

func (r routeRow) route() tenancy.Route {
	return tenancy.Route{ID: r.ID, ProviderID: r.RouteProvider, UpstreamModel: r.UpstreamModel, Priority: r.Priority, Weight: r.Weight,
		Active: r.Active, Price: r.price()}
}

// $1 is the moment, $2 a name or ” for all, $3 whether only what serves calls counts.
const (
	modelsQuery = `SELECT m.name, m.owned_by, m.max_output_tokens, m.is_default, m.active, m.created_at, ` + priceColumns + ` FROM models m
		LEFT JOIN LATERAL (SELECT * FROM model_prices WHERE model = m.name AND provider_id IS NULL AND since <= $1
			ORDER BY since DESC LIMIT 1) p ON true
		WHERE ($2 = '' OR m.name = $2) AND (m.active OR NOT $3) ORDER BY m.is_default DESC, m.name`
	routesQuery = `SELECT r.id, r.model, r.provider_id AS route_provider_id, r.upstream_model, r.priority, r.weight, r.active, ` + priceColumns + `
		FROM model_routes r JOIN providers v ON v.id = r.provider_id
		LEFT JOIN LATERAL (SELECT * FROM model_prices WHERE model = r.model AND (provider_id = r.provider_id OR provider_id IS NULL)
			AND since <= $1 ORDER BY provider_id IS NULL, since DESC LIMIT 1) p ON true
		WHERE ($2 = '' OR r.model = $2) AND (r.active AND v.active OR NOT $3) ORDER BY r.priority, r.weight DESC, r.id`
)

// Models lists the models on offer with the routes that may serve them and the prices that hold now: the default one
// first, then by name. A model without any such route is on offer and cannot be served.
func (s *Store) Models(ctx context.Context) ([]tenancy.Model, error) {
	return readModels(ctx, s.db, s.now(), "", true)
}

// AllModels is Models with those that are not on offer, and with every route.
func (s *Store) AllModels(ctx context.Context) ([]tenancy.Model, error) {
	return readModels(ctx, s.db, s.now(), "", false)
}

// Model reads one model as AllModels does. NotFound when there is none.
func (s *Store) Model(ctx context.Context, name string) (tenancy.Model, error) {
	return oneModel(ctx, s.db, s.now(), name)
}

func oneModel(ctx context.Context, db sqlx.QueryerContext, now time.Time, name string) (tenancy.Model, error) {
	if name == "" { // which would mean all
		return tenancy.Model{}, fault.New(fault.NotFound, modelMissing)
	}
	models, err := readModels(ctx, db, now, name, false)
	if err != nil {
		return tenancy.Model{}, err
	}
	if len(models) == 0 {
		return tenancy.Model{}, fmt.Errorf("model %q: %w", name, fault.New(fault.NotFound, modelMissing))
	}
	return models[0], nil
}

func readModels(ctx context.Context, db sqlx.QueryerContext, now time.Time, name string, serving bool) ([]tenancy.Model, error) {
	var rows []modelRow
	if err := sqlx.SelectContext(ctx, db, &rows, modelsQuery, now, name, serving); err != nil {
		return nil, fmt.Errorf("list models: %w", err)
	}
	models := make([]tenancy.Model, len(rows))
	at := make(map[string]*tenancy.Model, len(rows))
	for i, r := range rows {
		models[i] = tenancy.Model{Name: r.Name, OwnedBy: r.OwnedBy, MaxOutputTokens: r.MaxOutputTokens, Default: r.Default, Active: r.Active,
			CreatedAt: r.CreatedAt, Price: r.price()}
		at[r.Name] = &models[i]
	}
	var routes []routeRow
	if err := sqlx.SelectContext(ctx, db, &routes, routesQuery, now, name, serving); err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	for _, r := range routes {
		if m := at[r.Model]; m != nil { // or it was made between the two queries
			m.Routes = append(m.Routes, r.route())
		}
	}
	return models, nil
}
