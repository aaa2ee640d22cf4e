package webhook

import (
	"encoding/json"
	"testing"

	"github.com/fila-ia/filaia/internal/alert"
)

func TestADigestOfManyAlertsIsBounded(t *testing.T) {
	const each = 4 // thresholds
	for name, c := range map[string]struct{ groups, shown int }{
		"as many as there may be": {maxAlerts / each, maxAlerts}, "one group more": {maxAlerts/each + 1, maxAlerts/each + 1}, "a night of ten thousand customers": {10_000, maxAlerts},
	} {
		var n alert.Notice
		for id := range int64(c.groups * each) {
			n.Events = append(n.Events, alert.Event{ID: id + 1, Lead: id%each == 0, Metric: alert.InputQuota, Unit: alert.Percent})
		}
		body, err := payload(alert.Delivery{Kind: alert.Digest}, n, alert.Text{})
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Data struct {
				Alerts  []struct{ Lead bool }
				LeftOut int `json:"alerts_left_out"`
			}
		}
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatal(err)
		}
		if len(got.Data.Alerts) != c.shown || got.Data.LeftOut != c.groups*each-c.shown || len(body) > 256<<10 {
			t.Errorf("%s: %d alerts, %d left out, %d bytes", name, len(got.Data.Alerts), got.Data.LeftOut, len(body))
		}
		for _, a := range got.Data.Alerts {
			if !a.Lead && got.Data.LeftOut > 0 {
				t.Errorf("%s: what stands for others is left out for what does not", name)
				break
			}
		}
	}
}
