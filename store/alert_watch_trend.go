package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
	"github.com/fila-ia/filaia/internal/money"
)

const (
	weeksBack   = 4
	fewestWeeks = 3      // with any use, without which nothing is usual
	leastUsual  = 10_000 // tokens of an hour; below it a change is chance
)

// hoursAlike gives the last full hour and the same one of the weeks before, by the clock on the wall, the newest first. Calls
// that began in an hour are in the books shortly after it.
func hoursAlike(now time.Time, zone *time.Location) []time.Time {
	last := now.Add(-foldSlack).Truncate(time.Hour).Add(-time.Hour)
	wall := last.In(zone)
	hours := []time.Time{last.UTC()}
	for week := 1; week <= weeksBack; week++ {
		then := time.Date(wall.Year(), wall.Month(), wall.Day()-7*week, wall.Hour(), wall.Minute(), 0, 0, zone)
		hours = append(hours, then.UTC().Truncate(time.Hour))
	}
	return hours
}

// readChanges reads the tokens of the last full hour beside what is usual in it, of all and of customers.
func readChanges(ctx context.Context, s *sight) ([]alert.Reading, error) {
	folded, err := foldedUntil(ctx, s)
	if err != nil {
		return nil, err
	}
	hours := hoursAlike(s.now, s.zone)
	rows := func(sums source, names string) (string, []any) {
		var stretches []stretch
		for _, h := range hours {
			stretches = append(stretches, byHours(spanOf(h, h.Add(time.Hour)), folded, sums)...)
		}
		return union(stretches, names, []string{"input_tokens", "output_tokens"}, " AND input_tokens + output_tokens > 0", hours[0])
	}
	const usual = `coalesce(sum(input_tokens + output_tokens) FILTER (WHERE hour = $1), 0)::bigint AS current,
		coalesce(sum(input_tokens + output_tokens) FILTER (WHERE hour <> $1), 0)::bigint AS past, count(DISTINCT hour) FILTER (WHERE hour <> $1) AS weeks`
	type change struct {
		Now   int64 `db:"current"`
		Past  int64 `db:"past"`
		Weeks int64 `db:"weeks"`
	}
	var readings []alert.Reading
	add := func(subject alert.Subject, covered alert.Covered, details alert.Details, c change) {
		if c.Weeks < fewestWeeks || c.Past/c.Weeks < leastUsual {
			return
		}
		details.Now, details.Base, details.Since = c.Now, c.Past/c.Weeks, hours[0]
		readings = append(readings, alert.Reading{
			Metric: alert.SuddenChange, Subject: subject, Covered: covered, Value: alert.Share(details.Now, details.Base), Details: details,
		})
	}
	if _, asked := s.lowest(0, true); asked {
		var all change
		from, args := rows(allHours, "hour, ")
		if err := s.GetContext(ctx, &all, `SELECT `+usual+` FROM (`+from+`) u`, args...); err != nil {
			return nil, fmt.Errorf("read the hour beside those of weeks before: %w", err)
		}
		add(installation, alert.Covered{}, alert.Details{}, all)
	}
	if _, asked := s.lowest(0, false); asked {
		var customers []struct {
			watchedCustomer
			change
		}
		from, args := rows(tenantHours, "tenant_id, hour, ")
		query := `SELECT ` + watchedCustomerColumns + `, u.current, u.past, u.weeks FROM (SELECT tenant_id, ` + usual + ` FROM (` + from + `) u GROUP BY tenant_id) u` +
			watchedCustomerOf + ` ORDER BY n.id`
		if err := s.SelectContext(ctx, &customers, query, args...); err != nil {
			return nil, fmt.Errorf("read customers' hour beside those of weeks before: %w", err)
		}
		for _, c := range customers {
			add(c.subject(), c.covered(), c.details(), c.change)
		}
	}
	return readings, nil
}

// paceDays is how many days tell how fast a quota is used.
const paceDays = 7

type forecastRow struct {
	standingRow
	RecentIn  int64 `db:"recent_in"`
	RecentOut int64 `db:"recent_out"`
}

// readForecasts reads where the use of the current periods will stand at their end. The pace is that of their last whole UTC
// days: the hours since are in what is used, and need not be summed.
func readForecasts(ctx context.Context, s *sight) ([]alert.Reading, error) {
	var mark time.Time
	if err := s.GetContext(ctx, &mark, `SELECT date_trunc('day', until, 'UTC') FROM usage_folded`); err != nil {
		return nil, fmt.Errorf("read how far usage is folded: %w", err)
	}
	const query = `SELECT p.id AS period_id, p.subscription_id, p.tenant_id, v.plan_id, k.id AS key_id, p.starts_at, p.ends_at, n.name AS tenant,
			pl.name AS plan, coalesce(k.name, '') AS key_name, n.time_zone, v.overage = 'block' AS blocks,
			CASE WHEN v.overage = 'charge' THEN v.overage_price_micros ELSE 0 END AS overage_price_micros,
			b.limit_in, b.used_in, b.limit_out, b.used_out, b.charge_brl_micros, coalesce(d.recent_in, 0) AS recent_in, coalesce(d.recent_out, 0) AS recent_out
		FROM billing_periods p
		JOIN quota_buckets b ON b.period_id = p.id
		JOIN subscriptions s ON s.id = p.subscription_id AND s.ended_at IS NULL
		JOIN plan_versions v ON v.id = p.plan_version_id JOIN plans pl ON pl.id = v.plan_id
		JOIN tenants n ON n.id = p.tenant_id AND n.status = 'active'
		LEFT JOIN LATERAL (SELECT id, name FROM api_keys WHERE tenant_id = s.tenant_id AND subscription_id = s.id AND s.scope = 'key'
			ORDER BY revoked_at IS NULL DESC, id DESC LIMIT 1) k ON true
		LEFT JOIN LATERAL (SELECT sum(input_tokens)::bigint AS recent_in, sum(output_tokens)::bigint AS recent_out FROM usage_key_days u
			WHERE u.tenant_id = p.tenant_id AND u.day >= $2 AND u.day < $3 AND u.period_id = p.id) d ON true
		WHERE p.starts_at <= $1 AND p.ends_at > $1 AND b.used_in + b.used_out > 0 ORDER BY p.id`
	var rows []forecastRow
	if err := s.SelectContext(ctx, &rows, query, s.now, mark.Add(-paceDays*utcDay), mark); err != nil {
		return nil, fmt.Errorf("read how fast quotas are used: %w", err)
	}
	var readings []alert.Reading
	for i := range rows {
		if reading, ok := rows[i].reading(mark, s.now); ok {
			readings = append(readings, reading)
		}
		if rows[i].cameTrue() {
			stand := rows[i].standing()
			readings = append(readings, alert.Reading{
				Metric: alert.Forecast, Subject: stand.Subject, Covered: stand.Covered, Value: alert.Never, Period: stand.Start, Silent: true,
			})
		}
	}
	return readings, nil
}

// cameTrue tells that nothing is left of a quota: what was forecast is not over, and need not be any more.
func (r *forecastRow) cameTrue() bool {
	return r.LimitIn > 0 && r.UsedIn >= r.LimitIn || r.LimitOut > 0 && r.UsedOut >= r.LimitOut
}

// reading is the forecast of the quota that will stand worse: its share, and when that one runs out.
func (r *forecastRow) reading(mark, now time.Time) (alert.Reading, bool) {
	span := mark.Sub(maxTime(r.Start, mark.Add(-paceDays*utcDay)))
	in, inAt, inOK := alert.Pace{Limit: r.LimitIn, Used: r.UsedIn, Recent: r.RecentIn, Span: span}.Forecast(r.Start, r.End, now)
	out, outAt, outOK := alert.Pace{Limit: r.LimitOut, Used: r.UsedOut, Recent: r.RecentOut, Span: span}.Forecast(r.Start, r.End, now)
	if !inOK && !outOK {
		return alert.Reading{}, false
	}
	value, runsOut, quota := in, inAt, alert.InputQuota
	if !inOK || outOK && out > in { // one that has run out is not forecast
		value, runsOut, quota = out, outAt, alert.OutputQuota
	}
	stand := r.standing()
	details := stand.Details
	details.LimitIn, details.UsedIn, details.LimitOut, details.UsedOut, details.Charged = r.LimitIn, r.UsedIn, r.LimitOut, r.UsedOut, money.Micros(r.Charged)
	details.Quota = quota
	if !runsOut.IsZero() {
		details.RunsOutAt = runsOut.UTC()
	}
	return alert.Reading{
		Metric: alert.Forecast, Subject: stand.Subject, Covered: stand.Covered, Value: value, Period: stand.Start, Details: details,
	}, true
}

// watchedKey is a key as its readings name it.
type watchedKey struct {
	watchedCustomer
	KeyID int64  `db:"key_id"`
	Key   string `db:"key_name"`
}

func (r *watchedKey) reading(metric alert.Metric, value int64, period time.Time, details alert.Details) alert.Reading {
	details.Tenant, details.Plan, details.Zone, details.Key = r.Tenant, r.Plan, r.Zone, r.Key
	return alert.Reading{
		Metric: metric, Subject: alert.Subject{Key: keySubject(r.KeyID), TenantID: r.TenantID, KeyID: r.KeyID},
		Covered: alert.Covered{PlanID: r.PlanID, TenantID: r.TenantID, KeyID: r.KeyID}, Value: value, Period: period.UTC(), Details: details,
	}
}

// watchedKeyColumns and watchedKeyOf name the key k, its customer and its plan: its own or the customer's.
const (
	watchedKeyColumns = `k.id AS key_id, k.name AS key_name, n.id AS tenant_id, n.name AS tenant, n.time_zone AS zone,
		coalesce(v.plan_id, 0) AS plan_id, coalesce(pl.name, '') AS plan`
	watchedKeyOf = ` JOIN tenants n ON n.id = k.tenant_id AND n.status = 'active'
		LEFT JOIN subscriptions own ON own.id = k.subscription_id
		LEFT JOIN subscriptions s ON s.tenant_id = n.id AND s.scope = 'tenant' AND s.ended_at IS NULL
		LEFT JOIN plan_versions v ON v.id = coalesce(own.plan_version_id, s.plan_version_id) LEFT JOIN plans pl ON pl.id = v.plan_id`
	watchedKeyWorks = `k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > $1)`
)

// readUnused reads since when the keys that work were not used; one that never was, since it was made.
func readUnused(ctx context.Context, s *sight) ([]alert.Reading, error) {
	least, asked := s.lowest(0, false)
	if !asked {
		return nil, nil
	}
	var rows []struct {
		watchedKey
		Since time.Time    `db:"since"`
		Used  sql.NullTime `db:"last_used_at"`
	}
	const query = `SELECT ` + watchedKeyColumns + `, coalesce(k.last_used_at, k.created_at) AS since, k.last_used_at
		FROM api_keys k` + watchedKeyOf + ` WHERE ` + watchedKeyWorks + ` AND coalesce(k.last_used_at, k.created_at) <= $2 ORDER BY k.id`
	if err := s.SelectContext(ctx, &rows, query, s.now, s.now.Add(-time.Duration(least)*utcDay)); err != nil {
		return nil, fmt.Errorf("read keys that are not used: %w", err)
	}
	var readings []alert.Reading
	for i := range rows {
		r := &rows[i]
		readings = append(readings, r.reading(alert.KeyUnused, int64(s.now.Sub(r.Since)/utcDay), r.Since, alert.Details{Since: r.Since.UTC()}))
	}
	return readings, nil
}

const (
	// learningTime is how long a key is watched before an address is taken for new.
	learningTime = 24 * time.Hour
	// addressNews is how long an address is news, and how much counts together.
	addressNews = 24 * time.Hour
	// mostAddresses of a key are told of within addressNews.
	mostAddresses = 20
)

// readAddresses reads the addresses from which keys were used for the first time lately. The value counts those of a key
// within a day.
func readAddresses(ctx context.Context, s *sight) ([]alert.Reading, error) {
	var rows []struct {
		watchedKey
		Address string    `db:"address"`
		First   time.Time `db:"first_seen"`
		Since   time.Time `db:"since"`
		Nth     int64     `db:"nth"`
	}
	const query = `SELECT ` + watchedKeyColumns + `, CASE family(u.address) WHEN 4 THEN host(u.address) ELSE text(network(u.address)) END AS address,
			u.first_seen, u.since, u.nth
		FROM (SELECT a.key_id, a.address, a.first_seen, l.since, row_number() OVER (PARTITION BY a.key_id ORDER BY a.first_seen, a.address) AS nth
			FROM key_addresses a CROSS JOIN LATERAL (SELECT min(first_seen) AS since FROM key_addresses WHERE key_id = a.key_id) l
			WHERE a.first_seen > $2 AND l.since < a.first_seen - $3 * interval '1 second') u
		JOIN api_keys k ON k.id = u.key_id` + watchedKeyOf + ` WHERE ` + watchedKeyWorks + ` AND u.nth <= $4 ORDER BY k.id, u.nth`
	if err := s.SelectContext(ctx, &rows, query, s.now, s.now.Add(-addressNews), learningTime.Seconds(), mostAddresses); err != nil {
		return nil, fmt.Errorf("read new addresses: %w", err)
	}
	var readings []alert.Reading
	for i := range rows {
		r := &rows[i]
		readings = append(readings, r.reading(alert.KeyAddress, r.Nth, r.First, alert.Details{Address: r.Address, Since: r.Since.UTC()}))
	}
	return readings, nil
}
