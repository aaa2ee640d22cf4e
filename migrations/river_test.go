package migrations_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/riverqueue/river/riverdriver/riverdatabasesql"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/fila-ia/filaia/store/storetest"
)

// riverShape lists what River looks at in a schema, without the schema's name.
func riverShape(t *testing.T, db *sql.DB, schema string) string {
	t.Helper()
	const query = `SELECT string_agg(replace(line, $1 || '.', ''), E'\n' ORDER BY line) FROM (
		SELECT format('column %s.%s %s %s %s %s', table_name, ordinal_position, column_name, udt_name, is_nullable, column_default) AS line
			FROM information_schema.columns WHERE table_schema = $1 AND table_name LIKE 'river_%'
		UNION ALL SELECT format('constraint %s %s', conname, pg_get_constraintdef(c.oid)) FROM pg_constraint c
			WHERE connamespace = $1::regnamespace AND conrelid IN (SELECT oid FROM pg_class WHERE relname LIKE 'river_%')
		UNION ALL SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = $1 AND tablename LIKE 'river_%'
		UNION ALL SELECT format('table %s %s', relname, relpersistence) FROM pg_class
			WHERE relnamespace = $1::regnamespace AND relname LIKE 'river_%' AND relkind = 'r'
		UNION ALL SELECT format('enum %s %s', row_number() OVER (ORDER BY enumsortorder), enumlabel) FROM pg_enum e JOIN pg_type y ON y.oid = e.enumtypid
			WHERE y.typnamespace = $1::regnamespace AND y.typname LIKE 'river_%'
		UNION ALL SELECT format('function %s %s', proname, prosrc) FROM pg_proc WHERE pronamespace = $1::regnamespace AND proname LIKE 'river_%'
		UNION ALL SELECT 'trigger ' || pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
			WHERE NOT tgisinternal AND c.relnamespace = $1::regnamespace AND c.relname LIKE 'river_%'
	) AS lines`
	var text sql.NullString
	if err := db.QueryRow(query, schema).Scan(&text); err != nil {
		t.Fatal(err)
	}
	return text.String
}

func TestTheQueueIsWhatItsOwnMigrationsMake(t *testing.T) {
	db := storetest.Open(t).DB
	ctx := context.Background()
	if _, err := db.Exec(`CREATE SCHEMA theirs`); err != nil {
		t.Fatal(err)
	}
	theirs, err := rivermigrate.New(riverdatabasesql.New(db), &rivermigrate.Config{Schema: "theirs"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := theirs.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		t.Fatal(err)
	}
	want, got := riverShape(t, db, "theirs"), riverShape(t, db, "public")
	if len(want) < 2000 || got != want {
		t.Errorf("theirs:\n%s\n\nours:\n%s", want, got)
	}
	ours, err := rivermigrate.New(riverdatabasesql.New(db), nil)
	if err != nil {
		t.Fatal(err)
	}
	result, err := ours.Validate(ctx, nil)
	if err != nil || !result.OK {
		t.Errorf("River finds its tables out of date: %+v, %v", result, err)
	}
	left, err := ours.Migrate(ctx, rivermigrate.DirectionUp, nil)
	if err != nil || len(left.Versions) != 0 {
		t.Errorf("River would migrate %+v (%v), want nothing", left, err)
	}
}
