package migrations

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/pressly/goose/v3"
)

// ErrNewer says that the database was migrated by a newer program.
var ErrNewer = errors.New("the database is of a newer version than this program; use that version")

// Behind tells how many migrations a database lacks. It only reads, as does nothing else here: goose makes its table
// of versions before it looks into it. It is ErrNewer where there are migrations that this program does not know.
func Behind(ctx context.Context, db *sql.DB) (int, error) {
	files, err := fs.Glob(FS, "*.sql")
	if err != nil {
		return 0, err
	}
	missing := map[int64]bool{}
	for _, file := range files {
		version, err := goose.NumericComponent(file)
		if err != nil {
			return 0, fmt.Errorf("number of %s: %w", file, err)
		}
		missing[version] = true
	}
	var managed bool
	if err := db.QueryRowContext(ctx, `SELECT to_regclass('goose_db_version') IS NOT NULL`).Scan(&managed); err != nil {
		return 0, fmt.Errorf("look for migrations: %w", err)
	}
	if !managed {
		return len(missing), nil
	}
	rows, err := db.QueryContext(ctx, `SELECT version_id FROM goose_db_version WHERE is_applied`)
	if err != nil {
		return 0, fmt.Errorf("read migrations: %w", err)
	}
	defer rows.Close()
	var applied []int64
	for rows.Next() {
		var version int64
		if err := rows.Scan(&version); err != nil {
			return 0, fmt.Errorf("read migrations: %w", err)
		}
		applied = append(applied, version)
	}
	if err := rows.Err(); err != nil {
		return 0, fmt.Errorf("read migrations: %w", err)
	}
	if slices.ContainsFunc(applied, func(v int64) bool { return v > 0 && !missing[v] }) {
		return 0, ErrNewer
	}
	for _, version := range applied {
		delete(missing, version)
	}
	return len(missing), nil
}
