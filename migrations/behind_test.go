package migrations_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/fila-ia/filaia/migrations"
	"github.com/fila-ia/filaia/store/storetest"
)

func TestBehindCountsWhatIsMissingAndWritesNothing(t *testing.T) {
	db := storetest.Open(t).DB
	ctx := context.Background()
	behind := func(want int) {
		t.Helper()
		if n, err := migrations.Behind(ctx, db); err != nil || n != want {
			t.Fatalf("behind by %d (%v), want %d", n, err, want)
		}
	}
	behind(0)
	states, err := migrations.Status(ctx, db)
	if err != nil {
		t.Fatal(err)
	}
	downTo(t, db, 4)
	behind(len(states) - 4)
	if _, err := db.Exec(`DROP TABLE goose_db_version`); err != nil {
		t.Fatal(err)
	}
	behind(len(states))
	var made sql.NullString
	if err := db.QueryRow(`SELECT to_regclass('goose_db_version')`).Scan(&made); err != nil || made.Valid {
		t.Errorf("looking made %v (%v)", made, err)
	}
}

func TestBehindRefusesADatabaseOfANewerProgram(t *testing.T) {
	db := storetest.Open(t).DB
	if _, err := db.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true)`); err != nil {
		t.Fatal(err)
	}
	if _, err := migrations.Behind(context.Background(), db); !errors.Is(err, migrations.ErrNewer) {
		t.Errorf("%v, want ErrNewer", err)
	}
}
