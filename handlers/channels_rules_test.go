package handlers

import (
	"strings"
	"testing"

	"github.com/fila-ia/filaia/internal/tenancy"
)

func TestACustomerSeesNoNameThatTheTeamGaveARule(t *testing.T) {
	s, _ := newChannelSite(t)
	customer := s.as(t, tenancy.TenantAdmin)
	path := madeAt(t, customer.post("/portal/alerts/channels", channelForm("slack", "url", slackSecret)))
	_, err := s.db.Exec(`INSERT INTO alert_rules (name, audience, scope, tenant_id, metric, unit, thresholds, channel_ids)
		SELECT 'Cliente que paga mal', 'customer', 'tenant', tenant_id, 'overage', 'brl', '{50000000}', ARRAY[id] FROM alert_channels`)
	must(t, err)
	for _, page := range []string{path, "/portal/alerts/channels", "/portal/alerts/settings"} {
		if body := customer.get(page).body; strings.Contains(body, "Cliente que paga mal") {
			t.Errorf("%s shows it:\n%s", page, body)
		}
	}
	if !strings.Contains(customer.get(path).body, "/portal/alerts/settings") {
		t.Error("the channel's page leads to no notice that uses it")
	}
}
