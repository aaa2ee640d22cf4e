package store

import (
	"context"
	"fmt"
	"time"

	"github.com/fila-ia/filaia/internal/money"
	"github.com/fila-ia/filaia/internal/tenancy"
)

type modelRow struct {
	Name             string       `db:"name"`
	OwnedBy          string       `db:"owned_by"`
	InputPrice       money.Micros `db:"input_price_micros"`
	CachedInputPrice money.Micros `db:"cached_input_price_micros"`
	OutputPrice      money.Micros `db:"output_price_micros"`
	MaxOutputTokens  int64        `db:"max_output_tokens"`
	Default          bool         `db:"is_default"`
	CreatedAt        time.Time    `db:"created_at"`
}

// Models lists the models on offer, the default one first, then by name.
func (s *Store) Models(ctx context.Context) ([]tenancy.Model, error) {
	const query = `SELECT name, owned_by, input_price_micros, cached_input_price_micros, output_price_micros,
		max_output_tokens, is_default, created_at FROM models WHERE active ORDER BY is_default DESC, name`
	var rows []modelRow
	if err := s.db.SelectContext(ctx, &rows, query); err != nil {
		return nil, fmt.Errorf("list models: %w", err)
	}
	models := make([]tenancy.Model, len(rows))
	for i, r := range rows {
		models[i] = tenancy.Model(r)
	}
	return models, nil
}
