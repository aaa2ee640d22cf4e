package migrations_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/fila-ia/filaia/migrations"
	"github.com/fila-ia/filaia/store/storetest"
)

// downBelow undoes migrations until the one of a version is undone.
func downBelow(t *testing.T, db *sql.DB, version int64) {
	t.Helper()
	for {
		states, err := migrations.Status(context.Background(), db)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range states {
			if s.Version == version && !s.Applied {
				return
			}
		}
		if err := migrations.Down(context.Background(), db); err != nil {
			t.Fatal(err)
		}
	}
}

// Who goes back keeps the prices that held; who comes again has them as the first of a history.
func TestPricesThatHoldGoDownAndUpAgain(t *testing.T) {
	db := storetest.Open(t)
	db.MustExec(`INSERT INTO providers (slug, name, kind, base_url) VALUES ('casa', 'Casa', 'compatible', 'http://casa/v1')`)
	db.MustExec(`INSERT INTO models (name, max_output_tokens, active) VALUES ('do-dono', 7, true), ('sem-preco', 7, false)`)
	db.MustExec(`INSERT INTO model_routes (model, provider_id, upstream_model) SELECT m.name, p.id, m.name FROM models m, providers p WHERE p.slug = 'casa'`)
	db.MustExec(`INSERT INTO model_prices (model, provider_id, since, input_price_micros, cached_input_price_micros, output_price_micros, reasoning_price_micros)
		SELECT 'do-dono', id, now() - interval '1 day', 11, 12, 13, 14 FROM providers WHERE slug = 'casa'`)
	db.MustExec(`INSERT INTO model_prices (model, since, input_price_micros, cached_input_price_micros, output_price_micros, reasoning_price_micros)
		VALUES ('gpt-4.1', now() - interval '1 day', 21, 22, 23, 24), ('gpt-4.1', now() + interval '1 day', 31, 32, 33, 34)`)
	downBelow(t, db.DB, 4)
	prices := func(query string) (in, cached, out int64) {
		t.Helper()
		if err := db.QueryRow(query).Scan(&in, &cached, &out); err != nil {
			t.Fatal(err)
		}
		return in, cached, out
	}
	const old = `SELECT input_price_micros, cached_input_price_micros, output_price_micros FROM models WHERE name = `
	if in, cached, out := prices(old + `'gpt-4.1'`); in != 21 || cached != 22 || out != 23 {
		t.Errorf("gpt-4.1 goes back with %d, %d, %d", in, cached, out)
	}
	if in, cached, out := prices(old + `'do-dono'`); in != 11 || cached != 12 || out != 13 {
		t.Errorf("do-dono goes back with %d, %d, %d", in, cached, out)
	}
	var left int
	if err := db.Get(&left, `SELECT count(*) FROM models WHERE name = 'sem-preco'`); err != nil || left != 0 {
		t.Errorf("a model that was never on offer: %d, %v", left, err)
	}
	if err := migrations.Up(context.Background(), db.DB); err != nil {
		t.Fatal(err)
	}
	const again = `SELECT input_price_micros, cached_input_price_micros, reasoning_price_micros FROM model_prices WHERE model = 'gpt-4.1'`
	if in, cached, reasoning := prices(again); in != 21 || cached != 22 || reasoning != 23 {
		t.Errorf("gpt-4.1 comes again with %d, %d, %d", in, cached, reasoning)
	}
	var routes int
	if err := db.Get(&routes, `SELECT count(*) FROM model_routes r JOIN providers p ON p.id = r.provider_id WHERE p.from_environment AND model = 'do-dono'`); err != nil || routes != 1 {
		t.Errorf("do-dono has %d routes, %v", routes, err)
	}
}
