package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/fila-ia/filaia/internal/fault"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// readSetting reads what is kept under a name as JSON; where nothing is, into stays as it was.
func readSetting(ctx context.Context, q sqlx.QueryerContext, name string, into any) error {
	var value []byte
	err := sqlx.GetContext(ctx, q, &value, `SELECT value FROM settings WHERE name = $1`, name)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(value, into)
}

// keepSetting keeps a value under a name as JSON.
func (t *tx) keepSetting(ctx context.Context, name string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	const upsert = `INSERT INTO settings (name, value, updated_at) VALUES ($1, $2, $3)
		ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value, updated_at = EXCLUDED.updated_at`
	_, err = t.ExecContext(ctx, upsert, name, text, t.now)
	return err
}

// cacheSetting is where the cache's settings lie.
const cacheSetting = "cache"

// installationSetting is where the name of the installation lies.
const installationSetting = "installation"

// Installation names the installation that this database belongs to, for what it shares with others, such as a Redis.
// The name is drawn by the first who asks and stays.
func (s *Store) Installation(ctx context.Context) (string, error) {
	const read = `SELECT value #>> '{}' FROM settings WHERE name = $1`
	var name string
	err := s.db.GetContext(ctx, &name, read, installationSetting)
	if errors.Is(err, sql.ErrNoRows) {
		const draw = `INSERT INTO settings (name, value) VALUES ($1, to_jsonb($2::text)) ON CONFLICT (name) DO NOTHING`
		if _, err = s.db.ExecContext(ctx, draw, installationSetting, strings.ToLower(rand.Text()[:16])); err == nil {
			err = s.db.GetContext(ctx, &name, read, installationSetting) // another may have been first
		}
	}
	if err != nil {
		return "", fmt.Errorf("read the installation's name: %w", err)
	}
	return name, nil
}

// CacheSettings gives the cache's settings. Until they are set, likeness is not looked for.
func (s *Store) CacheSettings(ctx context.Context) (tenancy.CacheSettings, error) {
	settings := tenancy.CacheSettings{Threshold: 0.95}
	if err := readSetting(ctx, s.db, cacheSetting, &settings); err != nil {
		return settings, fmt.Errorf("read the cache's settings: %w", err)
	}
	return settings, nil
}

// SetCacheSettings keeps the cache's settings. The embedding model must be on offer.
func (s *Store) SetCacheSettings(ctx context.Context, settings tenancy.CacheSettings) error {
	settings.EmbeddingModel = strings.TrimSpace(settings.EmbeddingModel)
	err := s.inTx(ctx, func(tx *tx) error {
		var offered bool
		const query = `SELECT $1 = '' OR EXISTS (SELECT FROM models WHERE name = $1 AND active)`
		if err := tx.GetContext(ctx, &offered, query, settings.EmbeddingModel); err != nil {
			return err
		}
		var f fault.Form
		f.Check(offered, "embedding_model", "models.error.not_offered", "value", settings.EmbeddingModel)
		f.Check(settings.Threshold >= 0.5 && settings.Threshold <= 1, "threshold", "models.error.threshold")
		if err := f.Err(); err != nil {
			return err
		}
		if err := tx.keepSetting(ctx, cacheSetting, settings); err != nil {
			return err
		}
		return tx.audit(ctx, "cache.change", "settings:"+cacheSetting, 0, settings)
	})
	if err != nil {
		return fmt.Errorf("set the cache's settings: %w", err)
	}
	return nil
}

// PurgeCache makes every replica forget the answers that were kept for a tenant.
func (s *Store) PurgeCache(ctx context.Context, tenantID int64) error {
	err := s.inTx(ctx, func(tx *tx) error {
		var purges int64
		const update = `UPDATE tenants SET cache_purges = cache_purges + 1 WHERE id = $1 RETURNING cache_purges`
		if err := tx.GetContext(ctx, &purges, update, tenantID); err != nil {
			return known(err, tenantMissing)
		}
		return tx.audit(ctx, "cache.purge", tenantSubject(tenantID), tenantID, nil)
	})
	if err != nil {
		return fmt.Errorf("purge the cache of tenant %d: %w", tenantID, err)
	}
	return nil
}
