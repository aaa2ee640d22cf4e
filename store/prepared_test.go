package store

import (
	"testing"

	"github.com/fila-ia/filaia/internal/usage"
)

// A statement that was prepared before another replica's migration does not fit the tables after it.
func TestACommitterGetsOverAMigrationUnderItsStatements(t *testing.T) {
	s := openServing(t, charging(1000, 1000))
	s.lease(t, "replica")
	c := s.committer()
	commit := func() error { return c.CommitUsage(t.Context(), []usage.Event{s.call(1, 1)}) }
	for range 3 { // by then all are prepared
		if err := commit(); err != nil {
			t.Fatal(err)
		}
	}
	for _, migration := range []string{
		`ALTER TABLE quota_leases ALTER COLUMN committed_in TYPE numeric`,
		`ALTER TABLE quota_leases ALTER COLUMN committed_in TYPE bigint`,
		`ALTER TABLE quota_buckets ADD COLUMN more int`,
	} {
		s.db.MustExec(migration)
		if err := commit(); err != nil && !outdated(err) {
			t.Errorf("%s: %v", migration, err)
		}
		for range 3 {
			if err := commit(); err != nil {
				t.Fatalf("%s: it still fails: %v", migration, err)
			}
		}
	}
	s.audit(t)
}

// So it is where something between us and PostgreSQL hands out another of its connections.
func TestACommitterGetsOverTheLossOfItsStatements(t *testing.T) {
	s := openServing(t, charging(1000, 1000))
	c := s.committer()
	commit := func() error { return c.CommitUsage(t.Context(), []usage.Event{s.call(1, 1)}) }
	for range 3 {
		if err := commit(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.commits.Exec(`DEALLOCATE ALL`); err != nil { // of the one connection
		t.Fatal(err)
	}
	if err := commit(); !outdated(err) {
		t.Fatalf("without its statements: %v", err)
	}
	if err := commit(); err != nil {
		t.Fatal(err)
	}
	s.audit(t)
}
