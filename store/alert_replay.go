package store

import (
	"context"
	"fmt"
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
// looks at all that it covers: closer rules are not asked. Limits are those of now, and hours are what most of it is kept by.
// Days are those of to's zone.
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
	case alert.BreakerOpen:
		fired, err := r.breakers(ctx)
		return alert.Newest(fired, r.from), err
	case alert.Provider429:
		return r.counted(ctx, r.throttles)
	case alert.KeyAddress:
		return r.counted(ctx, r.addresses)
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
	var first *time.Time
	const query = `SELECT least((SELECT min(hour) FROM usage_hours), (SELECT min(hour) FROM usage_hourly WHERE hour >= (SELECT until FROM usage_folded)))`
	if err := r.GetContext(ctx, &first, query); err != nil || first == nil {
		return alert.Replayed{Since: r.from}, err
	}
	fired, err := replay(ctx)
	return alert.Newest(fired, maxTime(first.UTC(), r.from)), err
}

// countedSince is the migration from which on addresses and refusals of providers are counted.
const countedSince = 12

// counted replays what is counted since an installation came to this version.
func (r *rerun) counted(ctx context.Context, replay func(context.Context) ([]alert.Firing, error)) (alert.Replayed, error) {
	since := r.from
	const query = `SELECT extract(epoch FROM max(tstamp))::bigint FROM goose_db_version WHERE version_id = $1 AND is_applied`
	var at *int64
	if err := r.GetContext(ctx, &at, query, countedSince); err != nil {
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

// breakers replays the changes of breakers. What a replica found ends with its next change at the latest.
func (r *rerun) breakers(ctx context.Context) ([]alert.Firing, error) {
	var rows []struct {
		ProviderID int64      `db:"provider_id"`
		Provider   string     `db:"provider"`
		Model      string     `db:"model"`
		Since      time.Time  `db:"since"`
		Until      *time.Time `db:"until"`
	}
	// A run of changes that leave it open is one course, which ends with the first change after it.
	const query = `WITH changes AS (
			SELECT replica, provider_id, model, at, id, to_state IN ('open', 'half_open') AS open,
				from_state NOT IN ('open', 'half_open') AS anew FROM breaker_changes WHERE at > $1 AND at <= $2
		), runs AS (
			SELECT *, count(*) FILTER (WHERE NOT open OR anew) OVER w AS run FROM changes WINDOW w AS (PARTITION BY replica, provider_id, model ORDER BY at, id)
		), courses AS (
			SELECT replica, provider_id, model, run, min(at) AS since, max(at) AS last FROM runs WHERE open GROUP BY 1, 2, 3, 4
		)
		SELECT c.provider_id, v.name AS provider, c.model, c.since,
			(SELECT min(at) FROM changes n WHERE n.replica = c.replica AND n.provider_id = c.provider_id AND n.model = c.model AND n.at > c.last) AS until
		FROM courses c JOIN providers v ON v.id = c.provider_id ORDER BY c.since LIMIT 20000`
	if err := r.SelectContext(ctx, &rows, query, r.from.Add(-utcDay), r.to); err != nil {
		return nil, fmt.Errorf("read changes of breakers: %w", err)
	}
	var courses []alert.Course
	last := map[string]int{} // of each subject, among the courses
	for _, row := range rows {
		subject := ofProvider(row.ProviderID)
		subject.Key += "/" + row.Model
		c := alert.Course{Subject: subject, Details: alert.Details{Provider: row.Provider, Model: row.Model, Since: row.Since.UTC()}, Since: row.Since.UTC()}
		if row.Until != nil {
			c.Until = row.Until.UTC()
		}
		// Several replicas find the same: it is one for as long as one of them does.
		if n, met := last[subject.Key]; met && (courses[n].Until.IsZero() || !c.Since.After(courses[n].Until)) {
			if !courses[n].Until.IsZero() && (c.Until.IsZero() || c.Until.After(courses[n].Until)) {
				courses[n].Until = c.Until
			}
			continue
		}
		last[subject.Key] = len(courses)
		courses = append(courses, c)
	}
	return r.rule.ReplayAges(courses, time.Second, r.from, r.to), nil
}

// throttles replays how often providers said 429, by the minute.
func (r *rerun) throttles(ctx context.Context) ([]alert.Firing, error) {
	window := time.Duration(r.rule.LooksBack()) * time.Minute
	var rows []struct {
		ProviderID int64     `db:"provider_id"`
		Provider   string    `db:"provider"`
		Minute     time.Time `db:"minute"`
		Count      int64     `db:"count"`
	}
	const query = `SELECT h.provider_id, v.name AS provider, h.minute,
			sum(h.count) OVER (PARTITION BY h.provider_id ORDER BY h.minute RANGE BETWEEN $3 * interval '1 second' PRECEDING AND CURRENT ROW)::bigint AS count
		FROM provider_throttles h JOIN providers v ON v.id = h.provider_id WHERE h.minute > $1 AND h.minute <= $2 ORDER BY h.provider_id, h.minute`
	if err := r.SelectContext(ctx, &rows, query, r.from.Add(-window), r.to, (window - time.Minute).Seconds()); err != nil {
		return nil, fmt.Errorf("read what providers refused: %w", err)
	}
	past := make([]alert.Past, len(rows))
	for i, row := range rows {
		past[i] = alert.Past{At: row.Minute.UTC(), Reading: alert.Reading{Subject: ofProvider(row.ProviderID), Value: row.Count,
			Details: alert.Details{Provider: row.Provider, Window: r.rule.LooksBack(), Failures: row.Count}}}
	}
	return r.rule.Replay(past, window, r.from), nil
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
	query := `SELECT ` + watchedKeyColumns + `, CASE family(a.address) WHEN 4 THEN host(a.address) ELSE text(network(a.address)) END AS address, a.first_seen,
			(SELECT count(*) FROM key_addresses o WHERE o.key_id = k.id AND o.first_seen <= a.first_seen
				AND o.first_seen > a.first_seen - $4 * interval '1 second') AS nth
		FROM key_addresses a JOIN api_keys k ON k.id = a.key_id` + watchedKeyOf + `
		WHERE a.first_seen > $1 AND a.first_seen <= $2 AND ` + covered + `
			AND EXISTS (SELECT FROM key_addresses o WHERE o.key_id = a.key_id AND o.first_seen < a.first_seen - $3 * interval '1 second')
		ORDER BY a.first_seen DESC LIMIT 2000`
	if err := r.SelectContext(ctx, &rows, query, r.from, r.to, learningTime.Seconds(), addressNews.Seconds(), arg); err != nil {
		return nil, fmt.Errorf("read new addresses: %w", err)
	}
	past := make([]alert.Past, len(rows))
	for i := range rows {
		row := &rows[i]
		past[i] = alert.Past{At: row.First.UTC(), Reading: row.reading(alert.KeyAddress, row.Nth, row.First, alert.Details{Address: row.Address})}
	}
	return r.rule.Replay(past, 0, r.from), nil
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

// rates replays how old the newest exchange rate was.
func (r *rerun) rates(ctx context.Context) (alert.Replayed, error) {
	var days []time.Time
	if err := r.SelectContext(ctx, &days, `SELECT day FROM exchange_rates WHERE day <= $1 ORDER BY day`, midnight(r.to.In(r.zone))); err != nil {
		return alert.Replayed{Since: r.from}, fmt.Errorf("read exchange rates: %w", err)
	}
	if len(days) == 0 {
		return alert.Replayed{Since: r.from}, nil
	}
	local := func(day time.Time) time.Time {
		year, month, date := day.Date()
		return time.Date(year, month, date, 0, 0, 0, 0, r.zone)
	}
	courses := make([]alert.Course, len(days))
	for i, day := range days {
		courses[i] = alert.Course{Subject: installation, Details: alert.Details{Since: midnight(day)}, Since: local(day).UTC()}
		if i+1 < len(days) {
			courses[i].Until = local(days[i+1]).UTC()
		}
	}
	return alert.Newest(r.rule.ReplayAges(courses, utcDay, r.from, r.to), maxTime(r.from, courses[0].Since)), nil
}
