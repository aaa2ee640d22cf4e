package migrations_test

import (
	"context"
	"testing"

	"github.com/fila-ia/filaia/migrations"
	"github.com/fila-ia/filaia/store/storetest"
)

// Whom customers' own rules name by then goes on being told; going back leaves no message that the older program does not know.
func TestWhoWasToldBeforeAddressesWereAskedCountsAsAgreeing(t *testing.T) {
	db := storetest.Open(t)
	ctx := context.Background()
	downBelow(t, db.DB, 16)
	db.MustExec(`INSERT INTO tenants (name) VALUES ('A'), ('B')`)
	db.MustExec(`INSERT INTO alert_rules (audience, scope, tenant_id, metric, unit, thresholds, addresses, escalate_minutes, escalate_to) VALUES
		('customer', 'tenant', 1, 'input_quota', 'percent', '{1}', '{Ana@X.com,bia@x.com}', 5, '{chefe@x.com}'),
		('customer', 'tenant', 1, 'overage', 'brl', '{1}', '{ana@x.com}', NULL, '{}'),
		('operator', 'tenant', 2, 'overage', 'brl', '{1}', '{equipe@x.com}', NULL, '{}'),
		('customer', 'all', NULL, 'forecast', 'percent', '{1}', '{todos@x.com}', NULL, '{}')`)
	if err := migrations.Up(ctx, db.DB); err != nil {
		t.Fatal(err)
	}
	var got string
	const agreed = `SELECT string_agg(tenant_id || ' ' || address, ', ' ORDER BY address) FROM alert_addresses WHERE confirmed_at IS NOT NULL`
	if err := db.Get(&got, agreed); err != nil || got != "1 ana@x.com, 1 bia@x.com, 1 chefe@x.com" {
		t.Errorf("%q (%v)", got, err)
	}
	db.MustExec(`INSERT INTO deliveries (batch, kind, audience, tenant_id, channel, recipient, language, event_ids, state, reason, due_at, created_at) VALUES
		('confirm:1', 'confirmation', 'customer', 1, 'email', 'x@x.com', 'en', '{}', 'pending', '', now(), now()),
		('unsent:1', 'alert', 'customer', 1, 'email', 'x@x.com', 'en', '{1}', 'cancelled', 'unconfirmed', now(), now()),
		('group:1', 'alert', 'customer', 1, 'email', 'x@x.com', 'en', '{1}', 'delivered', '', now(), now())`)
	downBelow(t, db.DB, 16)
	if err := db.Get(&got, `SELECT string_agg(batch, ' ') FROM deliveries`); err != nil || got != "group:1" {
		t.Errorf("%q (%v)", got, err)
	}
}
