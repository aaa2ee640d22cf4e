package store

import (
	"context"
	"testing"

	"github.com/fila-ia/filaia/internal/alert"
)

func TestOldAlertsAreForgottenUnlessTheyGoOn(t *testing.T) {
	s := openShop(t, blocking(1000, 1000))
	s.onlyTeam(t, alert.InputQuota)
	s.commitCalls(t, 500, 300, 100)
	s.sql(t, `UPDATE alert_events SET dispatched_at = now(), raised_at = now() - interval '401 days' WHERE threshold < 9000`)
	s.sql(t, `UPDATE alert_events SET resolved_at = now() WHERE threshold <> 5000`)
	const message = `INSERT INTO deliveries (batch, kind, audience, channel, recipient, language, event_ids, state, due_at, created_at)
		VALUES ($1, 'alert', 'operator', 'email', 'a@b.example', 'en', '{1}', $2, now(), now() - interval '401 days')`
	s.sql(t, message, "sent", "delivered")
	s.sql(t, message, "waiting", "pending")
	if n, err := s.SweepAlerts(context.Background()); err != nil || n != 2 {
		t.Errorf("%d swept, %v; want the resolved one and its message", n, err)
	}
	same(t, s.told(t), "operator input_quota 5000 5000 lead", "operator input_quota 9000 9000 lead")
}

func TestAnAddressThatNeverAnsweredIsForgotten(t *testing.T) {
	s := openShop(t, blocking(1000, 1000))
	const asked = `INSERT INTO alert_addresses (tenant_id, address, asked_at, expires_at, confirmed_at, declined_at)
		SELECT id, $1, now() - $2::int * interval '1 day', now(), CASE WHEN $3 = 'agreed' THEN now() END, CASE WHEN $3 = 'declined' THEN now() END FROM tenants`
	s.sql(t, asked, "silent@b.example", 401, "")
	s.sql(t, asked, "agreed@b.example", 401, "agreed")
	s.sql(t, asked, "declined@b.example", 401, "declined")
	s.sql(t, asked, "new@b.example", 399, "")
	if _, err := s.SweepAlerts(context.Background()); err != nil {
		t.Fatal(err)
	}
	var left []string
	if err := s.db.Select(&left, `SELECT address FROM alert_addresses ORDER BY address`); err != nil {
		t.Fatal(err)
	}
	same(t, left, "agreed@b.example", "declined@b.example", "new@b.example")
}
