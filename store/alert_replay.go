package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/fila-ia/filaia/internal/alert"
)

// rerun is a replay of one rule, in its transaction.
type rerun struct {
	*tx
	rule     *alert.Rule
	from, to time.Time
	zone     *time.Location
}

// Replay tells what a rule would have raised between two moments; it need not be saved. It is the rule as it is given that
// looks at all that it covers: closer rules are not asked. Limits are those of now. Single calls tell of errors and of slowness,
// as far back as they are not too many; what the watch saw, of what comes and goes within the house; hours, of the rest. Days are
// those of to's zone.
func (s *Store) Replay(ctx context.Context, rule alert.Rule, from, to time.Time) (replayed alert.Replayed, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	if len(rule.Thresholds) == 0 {
		return alert.Replayed{Since: from}, nil
	}
	err = s.inTx(ctx, func(t *tx) error {
		if _, err := t.ExecContext(ctx, `SET TRANSACTION READ ONLY; `+withoutJIT); err != nil {
			return err
		}
		replayed, err = (&rerun{t, &rule, from.UTC(), to.UTC(), to.Location()}).run(ctx)
		return err
	})
	if err != nil {
		return replayed, fmt.Errorf("replay a rule of %s: %w", rule.Metric, err)
	}
	return replayed, nil
}

func (r *rerun) run(ctx context.Context) (alert.Replayed, error) {
	switch r.rule.Metric {
	case alert.InputQuota, alert.OutputQuota, alert.Overage, alert.SpendCap, alert.Forecast:
		return r.ofUsage(ctx, r.periods)
	case alert.ProviderCost:
		return r.ofUsage(ctx, r.cost)
	case alert.ErrorRate:
		return r.ofUsage(ctx, r.errors)
	case alert.SuddenChange:
		return r.ofUsage(ctx, r.changes)
	case alert.LatencyP95:
		return r.latency(ctx)
	case alert.BreakerOpen, alert.QueueAge, alert.SpoolLag:
		return r.counted(ctx, looksSince, r.looks)
	case alert.Provider429:
		return r.counted(ctx, countedSince, r.throttles)
	case alert.KeyAddress:
		return r.counted(ctx, countedSince, r.addresses)
	case alert.KeyUnused:
		fired, err := r.unused(ctx)
		return alert.Newest(fired, r.from), err
	case alert.RateStale:
		return r.rates(ctx)
	}
	return alert.Replayed{Since: r.from}, nil
}

// ofUsage replays what usage tells, as far back as there is any.
func (r *rerun) ofUsage(ctx context.Context, replay func(context.Context) ([]alert.Firing, error)) (alert.Replayed, error) {
	first, err := r.firstUsage(ctx)
	if err != nil || first.IsZero() {
		return alert.Replayed{Since: r.from}, err
	}
	fired, err := replay(ctx)
	return alert.Newest(fired, maxTime(first, r.from)), err
}

// firstUsage is the first hour in which anything was used; zero where nothing was.
func (r *rerun) firstUsage(ctx context.Context) (time.Time, error) {
	var first *time.Time
	const query = `SELECT least((SELECT min(hour) FROM usage_hours), (SELECT min(hour) FROM usage_hourly WHERE hour >= (SELECT until FROM usage_folded)))`
	if err := r.GetContext(ctx, &first, query); err != nil || first == nil {
		return time.Time{}, err
	}
	return first.UTC(), nil
}

// countedSince is the migration from which on addresses and refusals of providers are counted.
const countedSince = 12

// counted replays what is kept since an installation came to the version with a migration.
func (r *rerun) counted(ctx context.Context, version int, replay func(context.Context) ([]alert.Firing, error)) (alert.Replayed, error) {
	since := r.from
	const query = `SELECT extract(epoch FROM max(tstamp AT TIME ZONE current_setting('TimeZone')))::bigint FROM goose_db_version WHERE version_id = $1 AND is_applied`
	var at *int64
	if err := r.GetContext(ctx, &at, query, version); err != nil {
		return alert.Replayed{Since: since}, err
	}
	if at != nil {
		since = maxTime(since, time.Unix(*at, 0).UTC())
	}
	fired, err := replay(ctx)
	return alert.Newest(fired, since), err
}

// covering is the condition that what the rule covers meets, by the ids of its plan, tenant and key, with its argument.
func (r *rerun) covering(n int, plan, tenant, key string) (string, any) {
	condition := func(column string) string { return column + ` = $` + strconv.Itoa(n) }
	switch r.rule.Scope {
	case alert.Plan:
		return condition(plan), r.rule.PlanID
	case alert.Tenant:
		return condition(tenant), r.rule.TenantID
	case alert.Key:
		return condition(key), r.rule.KeyID
	}
	return `$` + strconv.Itoa(n) + `::bigint = 0`, 0
}

// throttles replays how often providers said 429, by the minute.
func (r *rerun) throttles(ctx context.Context) ([]alert.Firing, error) {
	window := time.Duration(r.rule.LooksBack()) * time.Minute
	var rows []throttleRow
	const query = `SELECT h.provider_id, v.name AS provider, h.minute, h.count FROM provider_throttles h JOIN providers v ON v.id = h.provider_id
		WHERE h.minute > $1 AND h.minute <= $2 ORDER BY h.provider_id, h.minute`
	if err := r.SelectContext(ctx, &rows, query, r.from.Add(-window), r.to); err != nil {
		return nil, fmt.Errorf("read what providers refused: %w", err)
	}
	var past []alert.Past
	for len(rows) > 0 {
		n := slices.IndexFunc(rows, func(t throttleRow) bool { return t.ProviderID != rows[0].ProviderID })
		if n < 0 {
			n = len(rows)
		}
		past = append(past, r.refused(rows[:n], window)...)
		rows = rows[n:]
	}
	return r.rule.Replay(slices.Values(past), 0, r.from, r.to), nil
}

type throttleRow struct {
	ProviderID int64     `db:"provider_id"`
	Provider   string    `db:"provider"`
	Minute     time.Time `db:"minute"`
	Count      int64     `db:"count"`
}

// refused is how often one provider had refused within the window whenever that changed: with minutes that come and that go.
func (r *rerun) refused(rows []throttleRow, window time.Duration) (past []alert.Past) {
	var sum int64
	for in, out := 0, 0; out < len(rows); {
		at := rows[out].Minute.Add(window)
		if in < len(rows) {
			at = minTime(at, rows[in].Minute)
		}
		for ; in < len(rows) && !rows[in].Minute.After(at); in++ {
			sum += rows[in].Count
		}
		for ; out < len(rows) && !rows[out].Minute.Add(window).After(at); out++ {
			sum -= rows[out].Count
		}
		past = append(past, alert.Past{At: at.UTC(), Reading: alert.Reading{Subject: ofProvider(rows[0].ProviderID), Value: sum,
			Details: alert.Details{Provider: rows[0].Provider, Window: r.rule.LooksBack(), Failures: sum}}})
	}
	return past
}

// addresses replays when keys were first used from their addresses.
func (r *rerun) addresses(ctx context.Context) ([]alert.Firing, error) {
	var rows []struct {
		watchedKey
		Address string    `db:"address"`
		First   time.Time `db:"first_seen"`
		Nth     int64     `db:"nth"`
	}
	covered, arg := r.covering(5, "v.plan_id", "n.id", "k.id")
	query := `SELECT * FROM (SELECT ` + watchedKeyColumns + `, CASE family(a.address) WHEN 4 THEN host(a.address) ELSE text(network(a.address)) END AS address, a.first_seen,
			(SELECT count(*) FROM key_addresses o WHERE o.key_id = k.id AND o.first_seen <= a.first_seen
				AND o.first_seen > a.first_seen - $4 * interval '1 second') AS nth
		FROM key_addresses a JOIN api_keys k ON k.id = a.key_id` + watchedKeyOf + `
		WHERE a.first_seen > $1 AND a.first_seen <= $2 AND ` + covered + `
			AND EXISTS (SELECT FROM key_addresses o WHERE o.key_id = a.key_id AND o.first_seen < a.first_seen - $3 * interval '1 second')
		ORDER BY a.first_seen DESC LIMIT 2000) u WHERE nth <= $6 ORDER BY first_seen DESC, nth DESC`
	if err := r.SelectContext(ctx, &rows, query, r.from, r.to, learningTime.Seconds(), addressNews.Seconds(), arg, mostAddresses); err != nil {
		return nil, fmt.Errorf("read new addresses: %w", err)
	}
	slices.Reverse(rows) // the newest were taken
	past := make([]alert.Past, len(rows))
	for i := range rows {
		row := &rows[i]
		past[i] = alert.Past{At: row.First.UTC(), Reading: row.reading(alert.KeyAddress, row.Nth, row.First, alert.Details{Address: row.Address})}
	}
	return r.rule.Replay(slices.Values(past), 0, r.from, r.to), nil
}

// unused replays for how long keys are not used now: when they were used before is not kept.
func (r *rerun) unused(ctx context.Context) ([]alert.Firing, error) {
	var rows []struct {
		watchedKey
		Since time.Time `db:"since"`
	}
	covered, arg := r.covering(4, "v.plan_id", "n.id", "k.id")
	query := `SELECT ` + watchedKeyColumns + `, coalesce(k.last_used_at, k.created_at) AS since FROM api_keys k` + watchedKeyOf + `
		WHERE ` + watchedKeyWorks + ` AND coalesce(k.last_used_at, k.created_at) BETWEEN $2 AND $3 AND ` + covered + ` ORDER BY 8 DESC, k.id LIMIT 10000`
	oldest := r.rule.Thresholds[len(r.rule.Thresholds)-1]
	if err := r.SelectContext(ctx, &rows, query, r.to, r.from.Add(-time.Duration(oldest)*utcDay),
		r.to.Add(-time.Duration(r.rule.Thresholds[0])*utcDay), arg); err != nil {
		return nil, fmt.Errorf("read keys that are not used: %w", err)
	}
	courses := make([]alert.Course, len(rows))
	for i := range rows {
		reading := rows[i].reading(alert.KeyUnused, 0, rows[i].Since, alert.Details{Since: rows[i].Since.UTC()})
		courses[i] = alert.Course{Subject: reading.Subject, Details: reading.Details, Since: rows[i].Since.UTC()}
	}
	return r.rule.ReplayAges(courses, utcDay, r.from, r.to), nil
}

// rates replays how old the newest exchange rate was, among those that were known.
func (r *rerun) rates(ctx context.Context) (alert.Replayed, error) {
	var rows []struct {
		Day   time.Time `db:"day"`
		Known time.Time `db:"recorded_at"`
	}
	if err := r.SelectContext(ctx, &rows, `SELECT day, recorded_at FROM exchange_rates WHERE recorded_at <= $1 ORDER BY day`, r.to); err != nil {
		return alert.Replayed{Since: r.from}, fmt.Errorf("read exchange rates: %w", err)
	}
	var courses []alert.Course
	for _, row := range rows {
		year, month, date := row.Day.Date()
		since := time.Date(year, month, date, 0, 0, 0, 0, r.zone).UTC()
		known := maxTime(since, row.Known.UTC()) // a rate may be given ahead, or late
		if known.After(r.to) {
			continue
		}
		// Days before it that were known later were never the newest.
		for n := len(courses); n > 0 && !courses[n-1].Known.Before(known); n-- {
			courses = courses[:n-1]
		}
		if n := len(courses); n > 0 {
			courses[n-1].Until = known
		}
		courses = append(courses, alert.Course{Subject: installation, Details: alert.Details{Since: midnight(row.Day)}, Since: since, Known: known})
	}
	if len(courses) == 0 {
		return alert.Replayed{Since: r.from}, nil
	}
	return alert.Newest(r.rule.ReplayAges(courses, utcDay, r.from, r.to), maxTime(r.from, courses[0].Known)), nil
}
