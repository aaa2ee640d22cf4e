package alert

import (
	"testing"
	"time"
)

func TestASampleHasReachedItsThresholdAndSaysSoInItsFigures(t *testing.T) {
	zone := time.FixedZone("", -3*3600)
	for _, now := range []time.Time{time.Date(2026, 11, 22, 14, 5, 0, 0, zone), time.Date(2026, 11, 1, 0, 0, 0, 0, zone), time.Date(2026, 11, 30, 23, 59, 59, 0, zone)} {
		for _, k := range Kinds() {
			for _, audience := range k.Audiences {
				for _, unit := range k.Units {
					for _, threshold := range k.Usual {
						n := Sample(k.Metric, audience, threshold, unit, now)
						checkSample(t, n, now)
					}
				}
			}
		}
	}
}

func TestASampleOfTheWholeNamesNoCustomer(t *testing.T) {
	now := time.Date(2026, 11, 22, 14, 5, 0, 0, time.UTC)
	for _, m := range []Metric{ErrorRate, LatencyP95} {
		one := Sample(m, Operator, 500, Percent, now)
		n := one.OfWhole()
		if e := n.Events[0]; e.Subject.TenantID != 0 || e.Details.Tenant != "" || e.Details.Plan != "" || !e.Details.PeriodEnd.IsZero() || len(n.Days) != 0 || e.Details.Calls == 0 {
			t.Errorf("%s: %+v of %+v, %d days", m, e.Details, e.Subject, len(n.Days))
		}
		if one.Events[0].Details.Tenant == "" {
			t.Errorf("%s: the sample itself lost its customer", m)
		}
	}
}

func checkSample(t *testing.T, n Notice, now time.Time) {
	t.Helper()
	e := n.Events[0]
	if e.Value < e.Threshold || n.Audience != e.Audience || n.Kind != OneAlert {
		t.Errorf("%s: value %d of threshold %d, audience %s of %s", e.Metric, e.Value, e.Threshold, e.Audience, n.Audience)
	}
	d := e.Details
	if e.Metric == InputQuota && e.Unit == Percent && Share(d.UsedIn, d.LimitIn) < e.Threshold {
		t.Errorf("%s: %d of %d is not %d", e.Metric, d.UsedIn, d.LimitIn, e.Threshold)
	}
	if e.Metric == SpendCap && Share(int64(d.Charged), int64(d.Cap)) < e.Threshold {
		t.Errorf("%s: %d of %d is not %d", e.Metric, d.Charged, d.Cap, e.Threshold)
	}
	if e.Subject.TenantID != 0 && (!d.PeriodEnd.After(now) || len(n.Days) != 14) {
		t.Errorf("%s: the period ends at %v, %d days", e.Metric, d.PeriodEnd, len(n.Days))
	}
	if !d.RunsOutAt.IsZero() && (d.RunsOutAt.Before(now) || d.RunsOutAt.After(d.PeriodEnd)) {
		t.Errorf("%s: runs out at %v", e.Metric, d.RunsOutAt)
	}
	if (n.Audience == Customer) != (n.Unsubscribe != "") {
		t.Errorf("%s: unsubscribe %q of the %s", e.Metric, n.Unsubscribe, n.Audience)
	}
}
