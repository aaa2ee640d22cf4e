package store

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/tenancy"
)

// event writes a call that took so long.
func (l *lookout) event(tenant tenancy.Tenant, ago time.Duration, ms int, status string) {
	l.t.Helper()
	at := l.at.Add(-ago)
	id := firstID(at)
	id[6], id[15] = 0x70, 1
	l.db.MustExec(`INSERT INTO usage_events (id, created_at, tenant_id, key_id, period_id, model, endpoint, status, http_status, streamed, estimated, input_tokens,
			cached_tokens, output_tokens, reasoning_tokens, cost_usd_micros, latency_ms, first_byte_ms, request_id)
		VALUES ($1, $2, $3, 1, 1, 'm', 'chat.completions', $4, 200, false, false, 0, 0, 0, 0, 0, $5, 0, '')`, id, at, tenant.ID, status, ms)
}

func TestSlownessIsThatOfTheAnsweredCallsOfTheWindow(t *testing.T) {
	l := openLookout(t)
	plan := l.plan("basis", charging(1000, 1000))
	a, b := l.customer("Padaria", plan.ID), l.customer("Oficina", plan.ID)
	l.add(`audience, scope, metric, unit, thresholds, window_minutes`, `'customer', 'all', 'latency_p95', 'ms', '{25000}', 10`)
	for n := range 40 {
		l.event(a, 11*time.Minute+time.Duration(n)*time.Second, 90_000, "ok") // too long ago
		l.event(a, time.Duration(n)*time.Second, 90_000, "error")
	}
	for n := range 18 {
		l.event(a, time.Duration(100+n)*time.Second, 100, "ok")
	}
	l.event(a, 120*time.Second, 20_000, "ok")
	l.look(alert.LatencyP95)
	l.wantRaised(alert.LatencyP95) // nineteen say nothing
	l.event(a, 121*time.Second, 20_000, "ok")
	l.look(alert.LatencyP95)
	l.wantRaised(alert.LatencyP95, "operator installation 20000=20000 lead")
	for n := range 20 {
		l.event(b, time.Duration(200+n)*time.Second, 30_000, "ok")
	}
	l.look(alert.LatencyP95)
	l.wantRaised(alert.LatencyP95, "operator installation 20000=20000 lead", fmt.Sprintf("customer tenant:%d 25000=30000 lead", b.ID))
	if got := l.details(`(details->>'tenant') || (details->>'calls')`); got != "Oficina20" {
		t.Errorf("details %q", got)
	}
}

// used writes the tokens of the hour that is so many weeks back.
func (l *lookout) used(tenant tenancy.Tenant, weeks int, tokens int64) {
	l.t.Helper()
	l.db.MustExec(`INSERT INTO usage_hourly (hour, tenant_id, key_id, period_id, model, requests, failures, input_tokens, cached_tokens, output_tokens,
		reasoning_tokens, cost_usd_micros, charge_brl_micros) VALUES ($1, $2, 1, 1, 'm', 7, 0, $3, 0, 0, 0, 0, 0)`,
		time.Date(2026, 11, 22-7*weeks, 13, 0, 0, 0, time.UTC), tenant.ID, tokens)
}

func TestASuddenChangeStandsBesideTheSameHourOfWeeksBefore(t *testing.T) {
	for _, folded := range []bool{false, true} {
		t.Run(fmt.Sprintf("folded %v", folded), func(t *testing.T) {
			l := openLookout(t)
			a := l.customer("Padaria", l.plan("basis", charging(1000, 1000)).ID)
			l.at = time.Date(2026, 11, 22, 14, 30, 0, 0, time.UTC)
			l.add(`audience, scope, metric, unit, thresholds, direction`, `'customer', 'all', 'sudden_change', 'percent', '{20000, 50000}', 'down'`)
			l.used(a, 1, 30_000)
			l.used(a, 2, 20_000)
			l.used(a, 0, 60_000)
			l.look(alert.SuddenChange)
			l.wantRaised(alert.SuddenChange) // two weeks are not what is usual
			l.used(a, 4, 10_000)
			if folded {
				l.must(l.FoldUsage(l.ctx))
			}
			l.look(alert.SuddenChange)
			l.wantRaised(alert.SuddenChange, "operator installation 30000=30000 lead")
			if got := l.details(`(details->>'now') || ' ' || (details->>'base')`); got != "60000 20000" {
				t.Errorf("details %q", got)
			}
			l.db.MustExec(`DELETE FROM usage_hourly WHERE hour = '2026-11-22 13:00:00+00'`)
			l.look(alert.SuddenChange)
			subject := fmt.Sprintf("customer tenant:%d ", a.ID)
			l.wantRaised(alert.SuddenChange, "operator installation 30000=30000 lead over", subject+"20000=0", subject+"50000=0 lead")
		})
	}
}

func TestTheSameHourIsTheOneOnTheWall(t *testing.T) {
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	hours := hoursAlike(time.Date(2027, 3, 15, 14, 4, 0, 0, zone), zone) // a day after the clock was put forward
	for i, want := range []string{"15T16", "08T17", "01T17", "22T17", "15T17"} {
		if got := hours[i].Format("02T15"); got != want {
			t.Errorf("hour %d is %s, want %s", i, got, want)
		}
	}
}

func TestAForecastTellsThatAQuotaWillRunOut(t *testing.T) {
	l := openLookout(t)
	tenant := l.customer("Padaria", l.plan("basis", blocking(1_000_000, 1_000_000)).ID)
	current, err := l.CurrentUsage(l.ctx, tenant.ID)
	l.must(err)
	start := current.Period.Start
	var period, subscription int64
	l.must(l.db.QueryRow(`SELECT id, subscription_id FROM billing_periods`).Scan(&period, &subscription))
	subject := fmt.Sprintf("operator subscription:%d ", subscription)
	use := func(in, out int64) { l.db.MustExec(`UPDATE quota_buckets SET used_in = $1, used_out = $2`, in, out) }

	l.at = start.Add(24 * time.Hour)
	use(200_000, 0) // a day of thirty
	l.look(alert.Forecast)
	l.wantRaised(alert.Forecast)
	// After ten days of which seven are folded: 30,000 a day.
	for day := range 10 {
		l.db.MustExec(`INSERT INTO usage_hourly (hour, tenant_id, key_id, period_id, model, requests, failures, input_tokens, cached_tokens, output_tokens,
			reasoning_tokens, cost_usd_micros, charge_brl_micros) VALUES ($1, $2, 1, $3, 'm', 7, 0, 0, 0, 30000, 0, 0, 0)`,
			start.Add(time.Duration(day)*24*time.Hour+12*time.Hour).Truncate(time.Hour), tenant.ID, period)
	}
	l.at = start.Add(10 * 24 * time.Hour)
	l.must(l.FoldUsage(l.ctx))
	use(200_000, 599_999)
	l.look(alert.Forecast)
	l.wantRaised(alert.Forecast) // 599,999 and twenty days of 30,000 are not 120 %
	use(200_000, 600_000)
	for range 2 {
		l.look(alert.Forecast)
	}
	l.wantRaised(alert.Forecast, subject+"12000=12000 lead")
	if got := l.details(`(details->>'runs_out_at') || ' ' || (details->>'tenant') || ' ' || (details->>'used_out') || ' ' || (details->>'blocks')`); got !=
		l.at.Add(40*24*time.Hour/3).Truncate(time.Second).Format(time.RFC3339)+" Padaria 600000 true" {
		t.Errorf("details %q", got)
	}
	// A limit that is raised ends it. When it comes back in the period it goes on and is not told of again.
	l.db.MustExec(`UPDATE quota_buckets SET limit_out = 2000000`)
	l.look(alert.Forecast)
	l.wantRaised(alert.Forecast, subject+"12000=12000 lead over")
	l.db.MustExec(`UPDATE quota_buckets SET limit_out = 1000000`)
	l.look(alert.Forecast)
	l.wantRaised(alert.Forecast, subject+"12000=12000 lead")
	// It comes true: it is not over before the period is, and nothing more is told.
	use(200_000, 1_000_000)
	l.rule(alert.Forecast, `thresholds = '{12000,20000}'`)
	l.look(alert.Forecast)
	l.wantRaised(alert.Forecast, subject+"12000=12000 lead")
	use(1_000_000, 1_000_000)
	l.look(alert.Forecast)
	l.wantRaised(alert.Forecast, subject+"12000=12000 lead")
	l.at = current.Period.End
	l.look(alert.Forecast)
	l.wantRaised(alert.Forecast, subject+"12000=12000 lead over")
}

func TestAForecastIsAboutOneQuotaAndSaysWhich(t *testing.T) {
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	now := start.Add(10 * 24 * time.Hour)
	row := func(usedIn, recentIn, usedOut, recentOut int64) forecastRow {
		r := forecastRow{RecentIn: recentIn, RecentOut: recentOut}
		r.Start, r.End, r.LimitIn, r.LimitOut, r.UsedIn, r.UsedOut = start, start.Add(30*24*time.Hour), 1000, 1000, usedIn, usedOut
		return r
	}
	days := func(n time.Duration) time.Time { return now.Add(n * 24 * time.Hour) }
	for name, c := range map[string]struct {
		row     forecastRow
		quota   alert.Metric
		value   int64
		runsOut time.Time
	}{
		"the one used less and faster": {row(600, 7, 550, 350), alert.OutputQuota, 15_500, days(9)},
		"the other has run out":        {row(1200, 700, 920, 70), alert.OutputQuota, 11_200, days(8)},
		"input":                        {row(500, 350, 900, 7), alert.InputQuota, 15_000, days(10)},
		"none runs out":                {row(100, 70, 100, 63), alert.InputQuota, 3000, time.Time{}},
	} {
		got, ok := c.row.reading(now, now)
		if !ok || got.Details.Quota != c.quota || got.Value != c.value || !got.Details.RunsOutAt.Equal(c.runsOut) {
			t.Errorf("%s: %s at %d, out at %v (%v); want %s at %d, out at %v", name, got.Details.Quota, got.Value, got.Details.RunsOutAt, ok, c.quota, c.value, c.runsOut)
		}
	}
	spent := row(1000, 70, 1200, 70)
	if got, ok := spent.reading(now, now); ok {
		t.Errorf("what has run out is forecast: %+v", got)
	}
}

func TestAKeyThatNobodyUsesIsToldOfOnceALastUse(t *testing.T) {
	l := openLookout(t)
	tenant := l.customer("Padaria", l.plan("basis", charging(1000, 1000)).ID)
	old, _ := l.newKey(tenancy.KeyDraft{TenantID: tenant.ID, Name: "Velha"})
	gone, _ := l.newKey(tenancy.KeyDraft{TenantID: tenant.ID, Name: "Revogada"})
	l.newKey(tenancy.KeyDraft{TenantID: tenant.ID, Name: "Nova"})
	l.db.MustExec(`UPDATE api_keys SET last_used_at = $1 WHERE id = $2`, l.at.AddDate(0, 0, -60).Add(time.Second), old.ID)
	l.db.MustExec(`UPDATE api_keys SET created_at = $1, revoked_at = now() WHERE id = $2`, l.at.AddDate(0, 0, -90), gone.ID)
	l.look(alert.KeyUnused)
	l.wantRaised(alert.KeyUnused) // it is switched off
	l.rule(alert.KeyUnused, `enabled = true`)
	l.look(alert.KeyUnused)
	l.wantRaised(alert.KeyUnused)
	l.at = l.at.Add(time.Second)
	for range 2 {
		l.look(alert.KeyUnused)
	}
	subject := fmt.Sprintf("operator key:%d ", old.ID)
	l.wantRaised(alert.KeyUnused, subject+"60=60 lead")
	if got := l.details(`(details->>'key') || (details->>'tenant') || key_id || tenant_id`); got != fmt.Sprintf("VelhaPadaria%d%d", old.ID, tenant.ID) {
		t.Errorf("details %q", got)
	}
	l.db.MustExec(`UPDATE api_keys SET last_used_at = $1`, l.at)
	l.look(alert.KeyUnused)
	l.at = l.at.AddDate(0, 0, 60)
	l.look(alert.KeyUnused)
	if got := l.raised(alert.KeyUnused); len(got) != 3 || !strings.HasSuffix(got[0], " over") {
		t.Errorf("%q, want it over and both keys told of anew", got)
	}
}

func (l *lookout) use(key tenancy.Key, address string, at time.Time) {
	l.t.Helper()
	l.must(l.NoteKeyUses(l.ctx, []tenancy.KeyUse{{KeyID: key.ID, TenantID: key.TenantID, Address: tenancy.NetworkOf(netip.MustParseAddr(address)), At: at}}))
}

func TestANewAddressIsToldOfOnceTheKeyIsKnown(t *testing.T) {
	l := openLookout(t)
	tenant := l.customer("Padaria", l.plan("basis", charging(1000, 1000)).ID)
	key, _ := l.newKey(tenancy.KeyDraft{TenantID: tenant.ID, Name: "Loja"})
	l.db.MustExec(`UPDATE alert_rules SET enabled = true WHERE metric = 'key_address'`)
	first := l.at
	l.use(key, "203.0.113.5", first)
	l.use(key, "203.0.113.6", first.Add(24*time.Hour)) // a day is learnt
	l.at = first.Add(25 * time.Hour)
	l.look(alert.KeyAddress)
	l.wantRaised(alert.KeyAddress)
	l.use(key, "2001:db8:1:2::7", l.at)
	l.use(key, "2001:db8:1:2:ffff::9", l.at.Add(time.Second)) // of the same network
	l.use(key, "203.0.113.5", l.at.Add(time.Second))
	l.at = l.at.Add(time.Minute)
	for range 2 {
		l.look(alert.KeyAddress)
	}
	subject := fmt.Sprintf("customer key:%d ", key.ID)
	l.wantRaised(alert.KeyAddress, subject+"1=1 lead")
	if got := l.details(`(details->>'address') || ' ' || (details->>'key') || ' ' || (details->>'since')`); got != "2001:db8:1:2::/64 Loja "+first.Format(time.RFC3339) {
		t.Errorf("details %q", got)
	}
	l.use(key, "198.51.100.1", l.at)
	l.look(alert.KeyAddress)
	l.wantRaised(alert.KeyAddress, subject+"1=1 lead", subject+"1=2 lead")
	l.at = l.at.Add(24*time.Hour + time.Minute)
	l.look(alert.KeyAddress)
	l.wantRaised(alert.KeyAddress, subject+"1=1 lead over", subject+"1=2 lead over")
}

func TestAddressesAreKeptForSixMonthsOfNoUse(t *testing.T) {
	l := openLookout(t)
	tenant := l.customer("Padaria", l.plan("basis", charging(1000, 1000)).ID)
	key, _ := l.newKey(tenancy.KeyDraft{TenantID: tenant.ID, Name: "Loja"})
	l.use(key, "203.0.113.5", l.at.AddDate(0, 0, -200))
	l.use(key, "203.0.113.5", l.at.AddDate(0, 0, -100))
	l.use(key, "203.0.113.5", l.at.AddDate(0, 0, -150)) // told late by another replica
	l.use(key, "203.0.113.6", l.at.AddDate(0, 0, -181))
	l.use(tenancy.Key{ID: 999, TenantID: tenant.ID}, "203.0.113.7", l.at)
	l.must(l.AddThrottled(l.ctx, []tenancy.Throttled{{ProviderID: l.provider("a").ID, Minute: l.at.AddDate(0, 0, -91), Count: 1}}))
	l.breaker("nobody", l.house(), "closed", "open", 0)
	if n, err := l.SweepWatched(l.ctx); err != nil || n != 3 {
		t.Errorf("%d swept (%v), want an address, a minute and a breaker", n, err)
	}
	var left []string
	l.must(l.db.Select(&left, `SELECT host(address) || ' ' || (last_seen - first_seen) FROM key_addresses`))
	if len(left) != 1 || left[0] != "203.0.113.5 100 days" {
		t.Errorf("left %q", left)
	}
}

// One key must not fill the database, and one customer does not see from where another calls.
func TestAddressesOfAKeyAreBounded(t *testing.T) {
	l := openLookout(t)
	plan := l.plan("basis", charging(1000, 1000)).ID
	a, b := l.customer("Padaria", plan), l.customer("Oficina", plan)
	key, _ := l.newKey(tenancy.KeyDraft{TenantID: a.ID, Name: "Loja"})
	for batch := range 3 {
		var uses []tenancy.KeyUse
		for n := range 600 {
			uses = append(uses, tenancy.KeyUse{KeyID: key.ID, TenantID: a.ID, Address: netip.AddrFrom4([4]byte{10, byte(batch), byte(n / 256), byte(n)}), At: l.at})
		}
		l.must(l.NoteKeyUses(l.ctx, append(uses, uses[0])))
	}
	var kept int
	l.must(l.db.Get(&kept, `SELECT count(*) FROM key_addresses`))
	if kept < addressesOfKey || kept > addressesOfKey+600 {
		t.Errorf("%d addresses are kept", kept)
	}
	for tenant, want := range map[int64]int{a.ID: kept, b.ID: 0} {
		var seen int
		l.must(l.ForTenant(tenant).read(l.ctx, func(tx *tx) error { return tx.Get(&seen, `SELECT count(*) FROM key_addresses`) }))
		if seen != want {
			t.Errorf("tenant %d sees %d addresses, want %d", tenant, seen, want)
		}
	}
}

// A forgotten key that somebody uses from elsewhere after half a year is just what one wants to hear of.
func TestAKeyThatSleptForLongAndWakesUpElsewhereIsToldOf(t *testing.T) {
	l := openLookout(t)
	tenant := l.customer("Padaria", l.plan("basis", charging(1000, 1000)).ID)
	key, _ := l.newKey(tenancy.KeyDraft{TenantID: tenant.ID, Name: "Velha"})
	l.db.MustExec(`UPDATE alert_rules SET enabled = true WHERE metric = 'key_address'`)
	for _, address := range []string{"203.0.113.5", "203.0.113.6"} {
		l.use(key, address, l.at.AddDate(-1, 0, 0))
	}
	l.use(key, "203.0.113.5", l.at.AddDate(0, 0, -200))
	if n, err := l.SweepWatched(l.ctx); err != nil || n != 1 {
		t.Errorf("%d swept (%v), want the address that was not the last", n, err)
	}
	l.use(key, "203.0.113.5", l.at.Add(-time.Minute))
	l.look(alert.KeyAddress)
	l.wantRaised(alert.KeyAddress) // awake, where it was
	l.use(key, "198.51.100.66", l.at)
	l.look(alert.KeyAddress)
	l.wantRaised(alert.KeyAddress, fmt.Sprintf("customer key:%d 1=1 lead", key.ID))
}

// However much others call, a customer's own calls tell how fast it is answered.
func TestASmallCustomersSlownessIsSeenBesideABigOne(t *testing.T) {
	l := openLookout(t)
	plan := l.plan("basis", charging(1000, 1000))
	big, small := l.customer("Grande", plan.ID), l.customer("Pequena", plan.ID)
	l.db.MustExec(`UPDATE alert_rules SET enabled = false`)
	l.add(`audience, scope, metric, unit, thresholds, window_minutes`, `'customer', 'all', 'latency_p95', 'ms', '{25000}', 10`)
	for n := range 30 {
		l.event(small, time.Duration(300+n)*time.Second, 60_000, "ok")
	}
	at := l.at.Add(-4 * time.Minute)
	l.db.MustExec(`INSERT INTO usage_events (id, created_at, tenant_id, key_id, period_id, model, endpoint, status, http_status, streamed, estimated, input_tokens,
			cached_tokens, output_tokens, reasoning_tokens, cost_usd_micros, latency_ms, first_byte_ms, request_id)
		SELECT (left($1::text, 14) || '7' || lpad(to_hex(n % 4096), 3, '0') || '-8000-' || lpad(to_hex(n), 12, '0'))::uuid, $2, $3, 1, 1, 'm', 'e', 'ok', 200,
			false, false, 0, 0, 0, 0, 0, 30000, 0, '' FROM generate_series(1, $4::int) AS n`, firstID(at).String(), at, big.ID, newestCalls)
	l.look(alert.LatencyP95)
	l.wantRaised(alert.LatencyP95, fmt.Sprintf("customer tenant:%d 25000=30000 lead", big.ID), fmt.Sprintf("customer tenant:%d 25000=60000 lead", small.ID))
	if got := l.details(`details->>'calls'`); got != "30" {
		t.Errorf("%s calls tell of the small one", got)
	}
}
