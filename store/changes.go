package store

import (
	"context"
	"fmt"
	"time"

	"github.com/fila-ia/filaia/internal/tenancy"
)

// ProviderChanges tells who changed a provider, the newest first, at most limit.
func (s *Store) ProviderChanges(ctx context.Context, id int64, limit int) ([]tenancy.Change, error) {
	return s.changes(ctx, providerSubject(id), limit)
}

// ModelChanges tells who changed a model or its prices, the newest first, at most limit.
func (s *Store) ModelChanges(ctx context.Context, name string, limit int) ([]tenancy.Change, error) {
	return s.changes(ctx, modelSubject(name), limit)
}

func (s *Store) changes(ctx context.Context, subject string, limit int) ([]tenancy.Change, error) {
	var rows []struct {
		At     time.Time `db:"at"`
		Actor  string    `db:"actor"`
		Action string    `db:"action"`
	}
	const query = `SELECT at, actor, action FROM audit_log WHERE subject = $1 ORDER BY at DESC, id DESC LIMIT $2`
	if err := s.db.SelectContext(ctx, &rows, query, subject, limit); err != nil {
		return nil, fmt.Errorf("changes of %s: %w", subject, err)
	}
	changes := make([]tenancy.Change, len(rows))
	for i, r := range rows {
		changes[i] = tenancy.Change(r)
	}
	return changes, nil
}
